"""Batches from Python: the same as the stream's, whatever the ranks, and on from a state."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import yaml

from sampler.batches import stream
from sampler.mixture import Mixture
from tamis.errors import ConfigError, TamisError
from tests.support.sampler_run import SMALL, write_run

MIXTURE = {"domains": {"en": {"max_epochs": 3}, "zh": {}}, "sequence_length": 32, "seed": 7, "tokenizer": SMALL}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("batches") / "run")


def test_a_mixture_may_come_as_a_mapping_a_model_or_a_file(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "mixture.yaml"
    file.write_text(yaml.safe_dump({**MIXTURE, "run": str(run)}))
    opened = [stream(m, run, global_batch=4) for m in (MIXTURE, Mixture.model_validate(MIXTURE), str(file))]
    opened += [stream(file, global_batch=4), stream({**MIXTURE, "run": str(run)}, global_batch=4)]
    first = [next(iter(batches)).tokens.tolist() for batches in opened]
    assert all(tokens == first[0] for tokens in first)


def test_ranks_share_each_step_and_a_state_goes_on_at_any_number_of_them(run: Path) -> None:
    whole = stream(MIXTURE, run, global_batch=8)
    steps = [batch.tokens for batch in islice(whole, 6)]
    halves = [stream(MIXTURE, run, global_batch=8, rank=rank, world_size=2) for rank in range(2)]
    for at, parts in zip(range(3), zip(*halves, strict=False), strict=False):
        assert np.array_equal(np.concatenate([part.tokens for part in parts]), steps[at])
    again = stream(MIXTURE, run, global_batch=8)
    list(islice(again, 3))
    state = again.state()
    for batches in (again, stream(MIXTURE, run, global_batch=4)):
        batches.load_state(state)
        assert batches.state() == state
        assert np.array_equal(next(iter(batches)).tokens[:4], steps[3][:4])


def test_an_iteration_goes_on_where_the_last_one_was_left(run: Path) -> None:
    batches = stream(MIXTURE, run, global_batch=4)
    samples = [batch.samples.tolist() for _ in range(3) for batch in islice(batches, 2)]
    assert sum(samples, []) == list(range(24))


def test_the_dataset_has_the_same_steps_from_here_on(run: Path) -> None:
    batches = stream(MIXTURE, run, global_batch=4)
    list(islice(batches, 2))
    items = list(batches.dataset(steps=2))
    assert [item["position"] for item in items] == [12, 16]
    assert np.array_equal(items[0]["tokens"].numpy(), next(iter(batches)).tokens)


def test_it_ends_where_an_epoch_too_many_would_begin(run: Path) -> None:
    batches = stream({**MIXTURE, "domains": {"en": {"max_epochs": 1}}}, run, global_batch=16)
    with pytest.raises(ConfigError, match=r"domains.en.max_epochs: found 1, but"):
        for _ in batches:
            pass
    assert batches.state()["position"] > 0


def test_what_does_not_fit_is_a_sentence(run: Path, tmp_path: Path) -> None:
    for mixture, where, ranks, said in (
        (MIXTURE, None, {}, "run: found None; expected the folder of a run"),
        (MIXTURE, tmp_path / "no", {}, "run: found .*no'"),
        (MIXTURE, run, {"world_size": 3}, "world_size: found 3"),
        ({**MIXTURE, "sed": 1}, run, {}, "mixture.sed"),
        ("no.yaml", run, {}, "no.yaml"),
    ):
        with pytest.raises(TamisError, match=said):
            stream(mixture, where, global_batch=8, **ranks)  # type: ignore[arg-type]
    with pytest.raises(TamisError, match="sampler state: format"):
        stream(MIXTURE, run, global_batch=8).load_state({})
