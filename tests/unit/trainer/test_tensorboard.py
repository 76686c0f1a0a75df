"""TensorBoard's events, read back by TensorBoard itself: the numbers of metrics.jsonl, each step once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from corpus.config import parse
from sampler.mixture import Mixture
from tamis.errors import ConfigError
from tests.support.sampler_run import SMALL, write_run

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
torch.set_num_threads(1)

from trainer import loop  # noqa: E402
from trainer.config import TrainConfig  # noqa: E402
from trainer.metrics import Metrics, read_metrics  # noqa: E402
from trainer.tensorboard import TensorBoardWriter, open_tensorboard, scalars  # noqa: E402

MIXTURE = Mixture(domains="*", sequence_length=32, seed=1, tokenizer=SMALL)  # type: ignore[arg-type]
CONFIG: dict[str, Any] = {
    "name": "board",
    "model": {"width": 32, "layers": 1, "heads": 2},
    "optimizer": {"max_learning_rate": 0.01, "warmup_steps": 1},
    "steps": 6,
    "global_batch": 4,
    "seed": 1,
    "device": "cpu",
    "heldout_steps": 2,
    "heldout_sequences": 8,
    "tensorboard": True,
}


def shown(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: tag → step → value; a step that comes twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        points = [(event.step, event.value) for event in events.Scalars(tag)]
        assert len(dict(points)) == len(points), tag
        found[tag] = dict(points)
    return {tag: points for tag, points in found.items() if points}


def texts(folder: Path) -> list[tuple[int, str]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    told = events.Tensors("events/text_summary")
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in told]


def expected(rows: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        for tag, value in scalars(row):
            found.setdefault(tag, {})[row["step"] + 1] = pytest.approx(value, rel=1e-6, nan_ok=True)
    return found


def row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": 5.0 - step, "learning_rate": 0.1, "tokens": step, "tokens_per_second": 7, **more}


def test_a_resumed_run_shows_the_numbers_of_its_metrics(tmp_path: Path) -> None:
    write_run(tmp_path)
    config = parse(TrainConfig, CONFIG, "")
    folder = tmp_path / "train" / "board"
    loop.train(config, MIXTURE, tmp_path, stop_after=3)
    board = TensorBoardWriter(folder / "tensorboard", 3)  # steps past the checkpoint, and then a kill
    for step in (3, 4, 5, 6):
        board.add(row(step, loss=99.0, heldout_by_domain={"en": 99.0}))
    loop.train(config, MIXTURE, tmp_path, resume=True)
    rows = read_metrics(folder / "metrics.jsonl")
    assert len(rows) == 6 and shown(folder / "tensorboard") == expected(rows)
    tags = set(shown(folder / "tensorboard"))
    assert {"loss/training", "loss/heldout", "heldout/en", "heldout/zh", "speed/loader_seconds"} <= tags


def test_a_run_that_goes_back_shows_each_step_once_and_tells_why(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", 0, board=TensorBoardWriter(tmp_path / "tensorboard", 0))
    for step in range(5):
        metrics.add(row(step))
    metrics.drop(2)
    metrics.event({"step": 2, "position": 5, "kind": "went back", "event": "the loss is nan: 回到 step 2 <now>"})
    for step in range(2, 4):
        metrics.add(row(step, loss=float("nan"), mfu=0.4, mfu_gemm=None))
    metrics.close()
    assert shown(tmp_path / "tensorboard") == expected(metrics.rows)
    assert shown(tmp_path / "tensorboard")["speed/mfu"] == {3: pytest.approx(0.4), 4: pytest.approx(0.4)}
    assert texts(tmp_path / "tensorboard") == [(3, "the loss is nan: 回到 step 2 <now>")]


def test_every_step_is_on_disk_at_once(tmp_path: Path) -> None:
    board = TensorBoardWriter(tmp_path, 0)
    for step in range(3):
        board.add(row(step))
        assert list(shown(tmp_path)["loss/training"]) == list(range(1, step + 2))  # not closed: as after a kill
    board.close()


def test_a_fresh_run_forgets_the_one_before(tmp_path: Path) -> None:
    first = Metrics(tmp_path / "metrics.jsonl", 0, board=TensorBoardWriter(tmp_path / "tensorboard", 0))
    first.add(row(0, heldout_by_domain={"gone": 1.0}))
    first.event({"step": 0, "position": 4, "event": "something"})
    first.close()
    second = Metrics(tmp_path / "metrics.jsonl", 0, board=TensorBoardWriter(tmp_path / "tensorboard", 0))
    second.add(row(0))
    second.close()
    assert set(shown(tmp_path / "tensorboard")) == set(expected([row(0)]))
    assert read_metrics(tmp_path / "events.jsonl") == []


def test_events_past_the_checkpoint_are_dropped_with_their_steps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, 0)
    for step in range(3):
        metrics.add(row(step))
    for position in (8, 12, 16):
        metrics.event({"step": 1, "position": position, "event": f"at {position}"})
    metrics.close()
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"step": 2, "posi')
    again = Metrics(path, 2, 12)
    again.event({"step": 2, "position": 20, "event": "at 20"})
    again.close()
    told = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert told == ["at 8", "at 12", "at 20"] == [event["event"] for event in again.events]
    assert [r["step"] for r in read_metrics(path)] == [0, 1]


def test_without_the_package_it_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigError, match="tensorboard: true needs tensorboard, .*tamis.tensorboard."):
        open_tensorboard(tmp_path / "new", 0)
    assert not (tmp_path / "new").exists()
