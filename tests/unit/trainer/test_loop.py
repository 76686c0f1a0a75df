"""The trainer: packed equals separate, decay where it belongs, a right bar, resuming that changes nothing."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus.config import load_config, parse
from sampler.mixture import Mixture
from sampler.prepare import bins_for, open_stream
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT
from tests.conftest import REPOSITORY
from tests.support.sampler_run import SMALL, write_run

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # steps of a millisecond: a second thread waits more than it works

from sampler.stream.batch import IGNORED  # noqa: E402
from trainer import loop, setup  # noqa: E402
from trainer.config import ModelConfig, OptimizerConfig, TrainConfig  # noqa: E402
from trainer.evaluation.loss import batch_loss, mean_loss, whole_epoch  # noqa: E402
from trainer.evaluation.unigram import count_tokens, unigram_loss  # noqa: E402
from trainer.loss import summed_loss, targets  # noqa: E402
from trainer.metrics import loss_chart, read_metrics  # noqa: E402
from trainer.model import Transformer, rotary, rotate  # noqa: E402
from trainer.optim import build_optimizer, learning_rate  # noqa: E402
from trainer.spikes import SpikeGuard  # noqa: E402

CONF = REPOSITORY / "conf" / "models"
MIXTURE = Mixture(domains="*", sequence_length=32, seed=1, tokenizer=SMALL)  # type: ignore[arg-type]
SHAPE = {"width": 32, "layers": 2, "heads": 2}
CONFIG: dict[str, Any] = {
    "name": "test",
    "model": SHAPE,
    "optimizer": {"max_learning_rate": 0.01, "warmup_steps": 3},
    "steps": 8,
    "global_batch": 4,
    "seed": 1,
    "device": "cpu",
    "heldout_steps": 4,
    "heldout_sequences": 8,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


def config(**changes: Any) -> TrainConfig:
    return parse(TrainConfig, CONFIG | changes, "")


def big_weights(model: Transformer) -> Transformer:
    """Larger weights, so that a leak from another document would show."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.4, generator=torch.Generator().manual_seed(5))
    return model.double()


def test_masked_packed_documents_equal_separate_ones() -> None:
    model = big_weights(Transformer(ModelConfig(**SHAPE), 50, 1))
    lengths = [7, 1, 12, 4]
    tokens = torch.randint(0, 50, (1, sum(lengths)), generator=torch.Generator().manual_seed(2))
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    cu_seqlens = torch.tensor([0, *lengths]).cumsum(0).int()
    packed = model(tokens, positions, cu_seqlens)[0]
    alone = [model(part[None], torch.arange(len(part))[None])[0] for part in tokens[0].split(lengths)]
    assert torch.allclose(packed, torch.cat(alone), atol=1e-6)
    open_model = big_weights(Transformer(ModelConfig(**SHAPE, document_mask=False), 50, 1))
    assert not torch.allclose(open_model(tokens, positions, cu_seqlens)[0], torch.cat(alone), atol=1e-2)


def test_logits_are_causal() -> None:
    model = big_weights(Transformer(ModelConfig(**SHAPE), 50, 1))
    tokens, positions = torch.arange(10)[None], torch.arange(10)[None]
    changed = tokens.clone()
    changed[0, 6] = 40
    first, second = model(tokens, positions), model(changed, positions)
    assert torch.equal(first[0, :6], second[0, :6]) and not torch.allclose(first[0, 6:], second[0, 6:])


def test_rotation_is_relative_and_in_full_precision() -> None:
    vectors = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(1))
    products = []
    for offset in (0, 5000):
        turned = [
            rotate(v, rotary(torch.tensor([[p + offset]]), 16, 1e4)) for v, p in zip(vectors, (3, 10), strict=True)
        ]
        products.append(float((turned[0] * turned[1]).sum()))
    assert products[0] == pytest.approx(products[1], abs=1e-3)
    near = rotary(torch.tensor([[256, 257]], dtype=torch.int64), 16, 1e4)
    assert near.dtype == torch.float32 and not torch.equal(near[:, :, 0], near[:, :, 1])
    assert rotate(vectors[0].bfloat16(), rotary(torch.tensor([[257]]), 16, 1e4)).dtype == torch.bfloat16


def test_feed_forward_is_eight_thirds_to_the_next_128() -> None:
    assert [ModelConfig(width=w, layers=1, heads=1).feed_forward for w in (4096, 5120, 48)] == [11008, 13696, 128]


def test_only_matrices_decay() -> None:
    model = Transformer(ModelConfig(**SHAPE), 50, 1)
    decayed, others = build_optimizer(model, OptimizerConfig(max_learning_rate=1e-3, warmup_steps=1)).param_groups
    assert decayed["weight_decay"] == 0.1 and others["weight_decay"] == 0 and decayed["betas"] == (0.9, 0.95)
    assert all(p.ndim == 2 for p in decayed["params"]) and all(p.ndim == 1 for p in others["params"])
    assert len(others["params"]) == 2 * 2 + 1
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


def test_schedule_warms_up_and_falls_to_its_minimum() -> None:
    rates = [learning_rate(s, 100, OptimizerConfig(max_learning_rate=1.0, warmup_steps=10)) for s in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1) and max(rates) == pytest.approx(1)
    assert rates[100] == pytest.approx(0.1) and rates[55] == pytest.approx(0.55)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_loss_leaves_out_what_cannot_be_known() -> None:
    tokens, labels = torch.tensor([[5, 2, 7, 8]]), torch.tensor([[2, 7, 8, 9]])
    assert targets(tokens, labels, 2, True).tolist() == [[2, IGNORED, 8, 9]]
    assert targets(tokens, labels, 2, False).tolist() == labels.tolist()
    model = Transformer(ModelConfig(**SHAPE), 50, 1)
    batch = {"tokens": tokens, "labels": labels, "positions": torch.tensor([[0, 1, 0, 1]])}
    batch["cu_seqlens"] = torch.tensor([0, 2, 4], dtype=torch.int32)
    loss = summed_loss(model, model.config, batch, 2)
    assert int(loss.tokens) == 3 and float(loss.nats) / 3 == pytest.approx(math.log(50), rel=0.05)


def test_unigram_loss_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(0)
    train, held = rng.integers(0, 30, 500), rng.integers(0, 40, 200)  # some held-out tokens were never seen
    counts = Counter(train.tolist())
    slow = -sum(math.log((counts[t] + 1) / (500 + 40)) for t in held.tolist()) / 200
    parts = [train[:100].astype(np.uint32), train[100:].astype(np.uint32)]
    fast = unigram_loss(count_tokens(parts, 40), count_tokens([held.astype(np.uint32)], 40))
    assert fast == pytest.approx(slow, rel=1e-12)
    assert unigram_loss(np.zeros(40, np.int64), np.ones(40, np.int64)) == pytest.approx(math.log(40))


def test_the_loop_judges_on_the_tokens_of_the_streams(run: Path) -> None:
    """The summary's unigram loss, counted again, one token at a time."""
    summary = loop.train(config(name="twin"), MIXTURE, run, steps=3)
    state = setup.build(config(name="twin2"), MIXTURE, run, 3, False, SILENT)
    state.metrics.close()
    seen, held = [], []
    for stream, samples, into in ((state.train, 12, seen), (state.heldout, state.heldout_samples, held)):
        for i in range(samples):
            row = stream.batch(i, i + 1)
            into += [int(y) for x, y in zip(row.tokens[0], row.labels[0], strict=True) if x != 2]
    counts = Counter(seen)
    slow = -sum(math.log((counts[t] + 1) / (len(seen) + 620)) for t in held) / len(held)
    assert summary["unigram_loss"] == pytest.approx(slow, rel=1e-9)
    assert max(state.heldout.epochs_needed(state.heldout_samples).values()) <= 1


def test_mean_loss_is_that_of_each_sequence_alone_and_leaves_the_model_as_it_was(run: Path) -> None:
    state = setup.build(config(name="judged"), MIXTURE, run, 2, False, SILENT)
    state.metrics.close()
    samples, eos = min(5, state.heldout_samples), state.prepared.tokenizer.eos_id
    alone = [mean_loss(state.model, state.heldout.fork(), 1, 1, eos)]
    parts = [state.heldout.batch(i, i + 1) for i in range(samples)]
    counts = [int((part.tokens != eos).sum()) for part in parts]
    whole = mean_loss(state.model, state.heldout, samples, 2, eos)

    def one_loss(i: int) -> float:
        part = state.heldout.batch(i, i + 1)
        return float(batch_loss(state.model, state.config.model, part, eos, state.device).nats)

    one = [one_loss(i) for i in range(samples)]
    assert alone[0] == pytest.approx(one[0] / counts[0], rel=1e-5)
    assert whole == pytest.approx(sum(one) / sum(counts), rel=1e-5) and state.model.training
    assert whole_epoch(state.heldout, 10_000) >= samples and whole_epoch(state.heldout, 2) == 2


def test_one_model_is_judged_on_the_text_of_another_run(run: Path, tmp_path: Path) -> None:
    """`assemble` takes streams as given: the held-out text need not be the run's own."""
    own = setup.build(config(name="own"), MIXTURE, run, 2, False, SILENT)
    own.metrics.close()
    bins = bins_for(write_run(tmp_path, count=60), own.prepared.tokenizer)
    other = open_stream(tmp_path, bins, MIXTURE)
    state = setup.assemble(config(name="other"), own.prepared, own.train, other, 2)
    assert loop.take_steps(state, 2, lambda row: None) == 2
    state.metrics.close()
    assert state.folder == run / "train" / "other" and state.heldout is other
    eos = own.prepared.tokenizer.eos_id
    judged = mean_loss(state.model, other, state.heldout_samples, 4, eos)
    assert state.metrics.rows[-1]["heldout_loss"] == pytest.approx(judged, rel=1e-6)


def test_thirty_steps_on_one_batch_overfit(run: Path) -> None:
    state = setup.build(config(name="overfit"), MIXTURE, run, 30, False, SILENT)
    state.metrics.close()
    parts = list(loop.micro_batches(state, [state.train.batch(0, 4)]))
    first = [loop.take_step(state, parts, 0.01, SpikeGuard())[0] for _ in range(30)]
    assert first[0] == pytest.approx(math.log(620), rel=0.05)
    assert first[-1] < 0.4 * first[0]


@pytest.mark.slow
def test_it_beats_the_unigram_model_and_leaves_its_results(run: Path) -> None:
    rows: list[dict[str, Any]] = []
    summary = loop.train(config(name="beats"), MIXTURE, run, steps=70, report=rows.append)
    folder = run / "train" / "beats"
    assert summary["beats_unigram"] and summary["heldout_loss"] < summary["unigram_loss"]
    assert summary["tokens"] == 70 * 4 * 32 and summary["heldout_note"] == ""
    assert read_metrics(folder / "metrics.jsonl") == rows and len(rows) == 70
    assert all(row["loader_seconds"] <= row["seconds"] for row in rows)
    assert "•" in summary["chart"]
    assert json.loads((folder / "summary.json").read_text())["steps"] == 70


def test_resumed_equals_uninterrupted(run: Path) -> None:
    whole = loop.train(config(name="whole"), MIXTURE, run)
    loop.train(config(name="halves"), MIXTURE, run, stop_after=6)
    assert [path.name for path in (run / "train" / "halves").glob("checkpoint-*")] == ["checkpoint-00000006"]
    with (run / "train" / "halves" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "loss": 99}\n{"step"')  # steps after the checkpoint, then a crash
    halves = loop.train(config(name="halves"), MIXTURE, run, resume=True)
    losses = [
        [(r["step"], r["loss"], r["learning_rate"]) for r in read_metrics(run / "train" / name / "metrics.jsonl")]
        for name in ("whole", "halves")
    ]
    assert losses[0] == losses[1] and [step for step, *_ in losses[0]] == list(range(8))
    assert whole["heldout_loss"] == halves["heldout_loss"]


def test_resuming_what_does_not_fit_is_refused(run: Path) -> None:
    with pytest.raises(TamisError, match="no checkpoint"):
        loop.train(config(name="fresh"), MIXTURE, run, resume=True)
    loop.train(config(name="fits"), MIXTURE, run, stop_after=1)
    with pytest.raises(TamisError, match="model"):
        loop.train(config(name="fits", model=SHAPE | {"layers": 1}), MIXTURE, run, resume=True)
    with pytest.raises(TamisError, match="manifest"):
        loop.train(config(name="fits"), MIXTURE.model_copy(update={"seed": 2}), run, resume=True)
    path = next((run / "train" / "fits").glob("checkpoint-*/*.distcp"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TamisError, match="corrupt"):
        loop.train(config(name="fits"), MIXTURE, run, resume=True)


def test_what_a_device_cannot_do_is_refused_before_the_first_step(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {"flex": "no backward pass on a CPU", "varlen": "device is cpu"}
    for kernel, said in shapes.items():
        with pytest.raises(ConfigError, match=said):
            loop.train(config(model=SHAPE | {"attention": kernel}), MIXTURE, run)
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="compile: found true, but there is no C"):
        loop.train(config(compile=True), MIXTURE, run)
    assert not (run / "train" / "test").exists()


def test_no_held_out_split_is_said(tmp_path: Path) -> None:
    write_run(tmp_path, count=200, heldout=False)
    summary = loop.train(config(), MIXTURE, tmp_path, steps=1)
    assert "no held-out split" in summary["heldout_note"] and math.isfinite(summary["heldout_loss"])


def test_a_loss_that_is_no_number_stops_the_run(run: Path) -> None:
    state = setup.build(config(name="nan"), MIXTURE, run, 2, False, SILENT)
    state.metrics.close()
    with torch.no_grad():
        state.model.head.weight[0, 0] = float("nan")
    with pytest.raises(TamisError, match="at step 0 the loss is nan, for several batches .* no checkpoint"):
        loop.take_steps(state, 2, lambda row: None)


def test_a_schedule_shorter_than_its_warm_up_is_refused() -> None:
    optimizer = {"max_learning_rate": 0.01, "warmup_steps": 9}
    with pytest.raises(ConfigError, match=r"steps: found 8; expected at least optimizer\.warmup_steps, 9"):
        config(optimizer=optimizer)
    assert config(optimizer=optimizer, steps=9).steps == 9


def test_configs(run: Path) -> None:
    for path in sorted(CONF.glob("*.yaml")):
        load_config(TrainConfig, path)
    with pytest.raises(ConfigError, match="name: found '../x'"):
        config(name="../x")
    with pytest.raises(ConfigError, match="model.width: found .*multiple of heads = 3"):
        config(model=SHAPE | {"heads": 3})
    with pytest.raises(ConfigError, match="optimizer.lr: unknown key 'lr'"):
        config(optimizer={"lr": 1})
    with pytest.raises(ConfigError, match="max_epochs"):
        loop.train(config(), MIXTURE, run, steps=100_000)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no GPU"):
            setup.choose_device("cuda")


def test_the_chart_of_losses_falls_with_them() -> None:
    lines = loss_chart([4.0, 3.0, 2.0, 1.0], 2.5, width=40, height=8).splitlines()
    assert len(lines) == 8 and max(map(len, lines)) <= 40 and "\x1b" not in "".join(lines)
    dots = [(y, x) for y, line in enumerate(lines) for x, c in enumerate(line) if c == "•"]
    assert len(dots) == 4 and [x for _, x in dots] == sorted(x for _, x in dots), "the highest loss is the first step's"
    assert any(line.count("┈") > 20 for line in lines)
    assert "•" in loss_chart([3.0] * 1000, 3.0) and loss_chart([1.0], 2.0).count("•") == 1
    assert loss_chart([], 1.0) == ""
