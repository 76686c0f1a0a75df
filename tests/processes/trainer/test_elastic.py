"""Elastic training: stopped at one number of ranks, resumed at another, on the same data with the same losses."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corpus.config import parse
from sampler.mixture import Mixture
from sampler.prepare import prepare
from tamis.errors import TamisError
from tests.conftest import REPOSITORY
from tests.support.ranks import on_ranks
from tests.support.sampler_run import SMALL, write_run

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from trainer import loop  # noqa: E402
from trainer.checkpoint import Checkpoints, Saved, read_pointer, read_weights  # noqa: E402
from trainer.config import TrainConfig  # noqa: E402
from trainer.metrics import read_metrics  # noqa: E402

MIXTURE: dict[str, Any] = {"domains": "*", "sequence_length": 32, "seed": 1, "tokenizer": SMALL}
CONFIG: dict[str, Any] = {
    "model": {"width": 32, "layers": 2, "heads": 2, "norm_head": True, "max_z": 2e-4},
    "optimizer": {"max_learning_rate": 0.01, "warmup_steps": 3},
    "steps": 9,
    "global_batch": 8,
    "seed": 1,
    "device": "cpu",
    "heldout_steps": 3,
    "heldout_sequences": 7,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("elastic"))
    prepare(run, Mixture.model_validate(MIXTURE))
    return run


def train(run: Path, name: str, options: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A stretch of training on the ranks of this process group."""
    config = parse(TrainConfig, {**CONFIG, "name": name, **changes}, "")
    return loop.train(config, Mixture.model_validate(MIXTURE), run, **options)


def stretch(run: Path, name: str, options: dict[str, Any], changes: dict[str, Any]) -> float:
    return float(train(run, name, options, **changes)["heldout_loss"])


def curve(run: Path, name: str) -> list[tuple[int, float, float | None]]:
    rows = read_metrics(run / "train" / name / "metrics.jsonl")
    return [(row["step"], row["loss"], row.get("heldout_loss")) for row in rows]


def equal(first: Any, second: Any) -> None:
    assert [row[0] for row in first] == [row[0] for row in second]
    for (_, a, ha), (_, b, hb) in zip(first, second, strict=True):
        assert a == pytest.approx(b, rel=1e-4) and (ha is None) == (hb is None)
        assert ha is None or ha == pytest.approx(hb, rel=1e-4)


def test_stopped_at_four_ranks_resumed_at_two_and_at_one(run: Path) -> None:
    whole = train(run, "whole", {})
    on_ranks(4, stretch, run, "shrinking", {"stop_after": 3}, {"parallel": {"tensor": 2}})
    on_ranks(2, stretch, run, "shrinking", {"stop_after": 6, "resume": True}, {})
    last = train(run, "shrinking", {"resume": True})
    equal(curve(run, "whole"), curve(run, "shrinking"))
    assert last["heldout_loss"] == pytest.approx(whole["heldout_loss"], rel=1e-4)
    assert last["unigram_loss"] == whole["unigram_loss"]  # the very same tokens


def test_grown_from_one_rank_to_four_and_in_parts(run: Path) -> None:
    train(run, "whole4", {})
    train(run, "growing", {"stop_after": 3})
    found = on_ranks(4, stretch, run, "growing", {"resume": True}, {"parallel": {"replicate": 2}, "micro_rows": 1})
    equal(curve(run, "whole4"), curve(run, "growing"))
    assert len(set(found)) == 1


def test_a_changed_global_batch_goes_on_at_the_same_sample(run: Path) -> None:
    train(run, "batches", {"stop_after": 3})
    train(run, "batches", {"resume": True, "stop_after": 5}, global_batch=12)
    assert read_pointer(run / "train" / "batches")["sampler"]["position"] == 3 * 8 + 2 * 12
    (told,) = read_metrics(run / "train" / "batches" / "events.jsonl")
    assert told["event"] == "resumed with global_batch 12, before it was 8" and told["kind"] == "changed"


# ------------------------------------------------------------------------------------------------------ checkpoints


def small() -> tuple[Any, Any]:
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return model, optimizer


def saved(step: int, tokens: int = 0) -> Saved:
    return Saved(step=step, tokens=tokens, sampler={"position": step})


def test_what_is_saved_is_the_moment_of_saving(tmp_path: Path) -> None:
    model, optimizer = small()
    checkpoints = Checkpoints(tmp_path, {"model": 1})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoints.save(saved(1), model, optimizer)
    with torch.no_grad():
        model.weight.add_(100)  # training goes on while a thread writes
    checkpoints.wait()
    assert torch.equal(read_weights(tmp_path)["weight"], before["weight"])
    assert checkpoints.load(model, optimizer).step == 1 and torch.equal(model.weight, before["weight"])


def test_checkpoints_are_kept_by_policy(tmp_path: Path) -> None:
    model, optimizer = small()
    checkpoints = Checkpoints(tmp_path, {}, keep_every_tokens=100)
    for step, tokens in enumerate((40, 90, 130, 170, 210, 260, 420), 1):
        checkpoints.save(saved(step, tokens), model, optimizer)
    checkpoints.wait()
    there = sorted(int(path.name.split("-")[1]) for path in tmp_path.glob("checkpoint-*") if path.is_dir())
    assert there == [3, 5, 7]  # the first past 100, past 200, past 400, which is the newest too


def test_a_failed_save_is_told_and_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = small()
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.save(saved(1), model, optimizer)
    checkpoints.wait()
    monkeypatch.setattr("trainer.checkpoint.file_digest", lambda _: 1 / 0)
    checkpoints.save(saved(2), model, optimizer)
    with pytest.raises(TamisError, match="could not be written"):
        checkpoints.wait()
    monkeypatch.undo()
    assert checkpoints.load(model, optimizer).step == 1


KILLED = """
import sys, torch
from pathlib import Path
from trainer.checkpoint import Checkpoints, Saved
torch.set_num_threads(1)
model = torch.nn.Linear(700, 700)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
checkpoints = Checkpoints(Path(sys.argv[1]), {})
for step in range(1, 1000):
    model(torch.ones(2, 700)).sum().backward()
    optimizer.step()
    checkpoints.save(Saved(step=step, tokens=step, sampler={"weight": float(model.weight.sum())}), model, optimizer)
    print(step, flush=True)
"""


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_a_kill_in_a_save_loses_nothing(tmp_path: Path, steps: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    for _ in range(steps):
        child.stdout.readline()
    time.sleep(0.004 * steps)  # somewhere in the next save
    child.send_signal(signal.SIGKILL)
    child.wait()
    if not (tmp_path / "checkpoint.json").exists():
        assert steps == 1  # killed in the very first one
        return
    pointer = json.loads((tmp_path / "checkpoint.json").read_text())
    assert pointer["step"] >= steps - 1
    weights = read_weights(tmp_path)  # verified by digest
    assert float(weights["weight"].sum()) == pytest.approx(pointer["sampler"]["weight"], rel=1e-5)
    model = torch.nn.Linear(700, 700)
    checkpoints = Checkpoints(tmp_path, {})
    assert checkpoints.load(model, torch.optim.AdamW(model.parameters(), lr=0.1)).step == pointer["step"]


# ------------------------------------------------------------------------------------------------------------ spikes


def broken(loss: Any) -> Any:
    """The same, no number."""
    nan = float("nan")
    return replace(loss, objective=loss.objective * nan, nats=loss.nats * nan)


def spoil(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]) -> None:
    """Make the losses of some calls, counted from 1, no number."""
    real, calls = loop.item_loss, itertools.count(1)

    def spoiled(*arguments: Any) -> Any:
        loss = real(*arguments)
        return broken(loss) if when(next(calls)) else loss

    monkeypatch.setattr(loop, "item_loss", spoiled)


def test_a_spike_is_passed_over_and_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda call: call == 4)
    rows: list[dict[str, Any]] = []
    summary = train(run, "spike", {"report": rows.append})
    assert summary["skipped_steps"] == 1 and [row["step"] for row in rows if "event" not in row] == list(range(9))
    (event,) = [json.loads(line) for line in (run / "train" / "spike" / "events.jsonl").read_text().splitlines()]
    assert event["kind"] == "skipped" and "the loss is nan" in event["event"]
    assert event["step"] == 3 and event["position"] == 4 * 8
    assert read_pointer(run / "train" / "spike")["sampler"]["position"] == 10 * 8  # the data was passed over


def test_ways_back_end_in_a_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 4 on every batch is refused: three times back to the checkpoint, then the reason, not on for ever."""
    spoil(monkeypatch, lambda call: call > 5)
    with pytest.raises(TamisError, match="the loss is nan, and the run has gone back to step 4 3 times"):
        train(run, "endless", {}, checkpoint_steps=4)
    kinds = [json.loads(line)["kind"] for line in (run / "train" / "endless" / "events.jsonl").read_text().splitlines()]
    assert kinds == (["skipped"] * 3 + ["went back"]) * 3 + ["skipped"] * 3


def test_a_mixture_that_ends_first_ends_the_run_with_what_it_has(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight steps of data, one of them passed over: seven are taken, judged, saved, and it is told."""
    spoil(monkeypatch, lambda call: call == 3)
    mixture = Mixture.model_validate({**MIXTURE, "phases": [{"tokens": 8 * 8 * 32}]})
    config = parse(TrainConfig, {**CONFIG, "name": "ends", "steps": 8}, "")
    told: list[dict[str, Any]] = []
    summary = loop.train(config, mixture, run, report=told.append)
    assert summary["steps"] == 7 and summary["skipped_steps"] == 1 and summary["heldout_loss"] > 0
    assert told[-1]["event"] == "the mixture ended at sample 64: the run ends here, 1 steps short"
    assert read_pointer(run / "train" / "ends")["step"] == 7


def test_a_run_anew_forgets_the_checkpoints_of_the_one_before(run: Path) -> None:
    train(run, "anew", {}, checkpoint_steps=2, keep_every_tokens=512)
    train(run, "anew", {"stop_after": 1}, keep_every_tokens=512, seed=2)
    pointer = read_pointer(run / "train" / "anew")
    assert pointer["step"] == 1 and pointer["kept"] == []
    assert [path.name for path in (run / "train" / "anew").glob("checkpoint-*")] == ["checkpoint-00000001"]


def test_another_kernel_is_the_same_model(run: Path) -> None:
    """How it is computed may change at a resume, what it is may not; the sentence names the key."""
    model = CONFIG["model"]
    train(run, "kernels", {"stop_after": 2})
    train(
        run, "kernels", {"resume": True, "stop_after": 3}, model=model | {"attention": "sdpa", "loss_chunk_tokens": 7}
    )
    with pytest.raises(TamisError, match=r"found model\.norm_head True; expected that of this run, False"):
        train(run, "kernels", {"resume": True}, model=model | {"norm_head": False})


def test_what_was_passed_over_is_counted_over_a_resume(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda call: call == 2)
    train(run, "counted", {"stop_after": 4})
    assert train(run, "counted", {"resume": True})["skipped_steps"] == 1


def test_after_several_in_a_row_the_run_goes_back_and_on_with_new_data(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda call: 6 <= call <= 9)
    summary = train(run, "back", {}, checkpoint_steps=4)
    events = [json.loads(line) for line in (run / "train" / "back" / "events.jsonl").read_text().splitlines()]
    assert [event["kind"] for event in events] == ["skipped"] * 3 + ["went back"]
    assert "back to step 4, on with the data from here" in events[-1]["event"]
    assert summary["skipped_steps"] == 4 and [step for step, *_ in curve(run, "back")] == list(range(9))
    assert read_pointer(run / "train" / "back")["sampler"]["position"] == (5 + 4 + 5) * 8
