"""Held-out loss by domain: what each domain's rows give alone, from no more forward passes, on any number of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corpus.config import parse
from sampler.mixture import Mixture
from sampler.prepare import prepare
from tamis.progress import SILENT
from tests.support.ranks import on_ranks
from tests.support.sampler_run import SMALL, write_run

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from trainer import loop, setup  # noqa: E402
from trainer.config import TrainConfig  # noqa: E402
from trainer.evaluation import loss as evaluate  # noqa: E402
from trainer.evaluation.heldout import domain_losses  # noqa: E402
from trainer.evaluation.loss import batch_loss, mean_loss  # noqa: E402
from trainer.head import OutputHead  # noqa: E402
from trainer.metrics import read_metrics  # noqa: E402

DOMAINS = ("en", "zh", "en-法 <b>")
MIXTURE: dict[str, Any] = {
    "domains": {name: {"weight": weight} for name, weight in zip(DOMAINS, (0.5, 0.3, 0.2), strict=True)},
    "sequence_length": 32,
    "seed": 1,
    "tokenizer": SMALL,
}
CONFIG: dict[str, Any] = {
    "model": {"width": 32, "layers": 1, "heads": 2, "loss_chunk_tokens": 20},
    "optimizer": {"max_learning_rate": 0.01, "warmup_steps": 1},
    "steps": 4,
    "global_batch": 4,
    "seed": 1,
    "device": "cpu",
    "heldout_steps": 2,
    "heldout_sequences": 11,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("heldout"), DOMAINS)
    prepare(run, Mixture.model_validate(MIXTURE))
    return run


def opened(run: Path, name: str) -> Any:
    config = parse(TrainConfig, {**CONFIG, "name": name}, "")
    state = setup.build(config, Mixture.model_validate(MIXTURE), run, None, False, SILENT)
    state.metrics.close()
    return state


def judged(run: Path, name: str) -> Any:
    """By domain, and the mean, on the ranks of this process group."""
    state = opened(run, name)
    arguments = (state.model, state.heldout, state.heldout_samples, 4, state.prepared.tokenizer.eos_id)
    return domain_losses(*arguments, state.world), mean_loss(*arguments, state.world)


def test_the_loss_of_a_row_is_that_of_the_row_alone() -> None:
    """Stretches of the loss that end within rows, a row that counts nothing, and one that counts in part."""
    head = OutputHead(8, 30, chunk_tokens=5)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
    hidden = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(2))
    labels = torch.randint(0, 30, (3, 7), generator=torch.Generator().manual_seed(3))
    labels[1], labels[2, 3:] = -100, -100
    found = head(hidden, labels)
    for row in range(3):
        alone = head(hidden[row : row + 1], labels[row : row + 1])
        assert float(found.row_nats[row]) == pytest.approx(float(alone.nats), rel=1e-5, abs=1e-9)
    assert found.row_tokens.tolist() == [7, 0, 3] and int(found.tokens) == 10
    assert float(found.nats) == pytest.approx(float(found.row_nats.sum())) and float(found.row_nats[1]) == 0


def test_each_domain_is_what_its_rows_give_alone_and_all_give_the_mean(run: Path) -> None:
    state = opened(run, "alone")
    found, mean = judged(run, "alone2")
    eos, samples = state.prepared.tokenizer.eos_id, state.heldout_samples
    slow = {name: [0.0, 0] for name in DOMAINS}
    for i in range(samples):
        part = state.heldout.batch(i, i + 1)
        loss = batch_loss(state.model, state.config.model, part, eos, state.device)
        slow[part.names[part.domains[0]]][0] += float(loss.nats)
        slow[part.names[part.domains[0]]][1] += int(loss.tokens)
    assert samples > 8 and list(found.by_domain) == sorted(DOMAINS)
    for name, (nats, tokens) in slow.items():
        assert found.tokens[name] == tokens and found.by_domain[name] == pytest.approx(nats / tokens, rel=1e-5)
    whole = sum(found.tokens.values())
    weighted = sum(found.by_domain[name] * tokens / whole for name, tokens in found.tokens.items())
    assert found.loss == pytest.approx(weighted, rel=1e-12) and mean == pytest.approx(found.loss, rel=1e-6)
    assert len({round(loss, 6) for loss in found.by_domain.values()}) == 3  # or any domain's would do


def test_it_takes_no_more_forward_passes_than_the_mean(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, passes = evaluate.batch_loss, []

    def counted(*arguments: Any) -> Any:
        passes.append(len(arguments[2].used))
        return real(*arguments)

    monkeypatch.setattr(evaluate, "batch_loss", counted)
    state = opened(run, "passes")
    arguments = (state.model, state.heldout, 10, 4, state.prepared.tokenizer.eos_id)
    domain_losses(*arguments, state.world)
    assert passes == [4, 4, 2] and state.model.training
    mean_loss(*arguments)
    assert passes == [4, 4, 2] * 2


def test_ranks_agree_with_one_process(run: Path) -> None:
    """Eleven samples, four at a time on two ranks: the last pass leaves one of them without a sample."""
    alone, mean = judged(run, "ranks1")
    for found, total in on_ranks(2, judged, run, "ranks2"):
        assert found.tokens == alone.tokens and total == pytest.approx(mean, rel=1e-5)
        assert found.loss == pytest.approx(alone.loss, rel=1e-5)
        for name, loss in alone.by_domain.items():
            assert found.by_domain[name] == pytest.approx(loss, rel=1e-5)


def test_rows_and_summary_tell_it(run: Path) -> None:
    config = parse(TrainConfig, {**CONFIG, "name": "told", "steps": 3}, "")
    summary = loop.train(config, Mixture.model_validate(MIXTURE), run)
    rows = read_metrics(run / "train" / "told" / "metrics.jsonl")
    assert ["heldout_by_domain" in row for row in rows] == [False, True, True]
    assert rows[-1]["heldout_by_domain"] == summary["heldout_by_domain"] and set(rows[-1]["epochs"]) == set(DOMAINS)
    assert rows[-1]["epochs"] == summary["epochs"] and rows[-1]["heldout_loss"] == summary["heldout_loss"]
