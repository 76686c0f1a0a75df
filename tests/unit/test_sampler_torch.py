"""The stream under torch's loaders: any number of workers, stopped and taken up again, gives each step once, in order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from corpus.errors import TamisError
from sampler.mixture import Mixture
from sampler.prepare import prepare
from sampler.stream import MixtureStream, RankStream
from tests.sampler_run import SMALL, write_run

torch = pytest.importorskip("torch")
BASE: dict[str, Any] = {"domains": {"en": {"max_epochs": 99}, "zh": {"max_epochs": 99}}, "seed": 1, "tokenizer": SMALL}
STEPS = 9


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> MixtureStream:
    return prepare(write_run(tmp_path_factory.mktemp("torch")), Mixture(**BASE, sequence_length=32)).stream


def dataset(stream: MixtureStream, **options: Any) -> Any:
    from sampler.torch_data import StreamDataset

    return StreamDataset(RankStream(stream.fork(), 1, 2, 8), STEPS, **options)


def tokens_of(items: Any) -> list[list[int]]:
    return [item["tokens"].reshape(-1).tolist() for item in items]


def test_items_are_views_of_the_batches(stream: MixtureStream) -> None:
    items = list(dataset(stream, fields=("tokens", "labels", "positions", "segments", "cu_seqlens")))
    assert len(items) == STEPS
    for step, item in enumerate(items):
        batch = RankStream(stream, 1, 2, 8).batch(step)
        for name in ("tokens", "labels", "positions", "segments", "cu_seqlens"):
            assert np.array_equal(item[name].numpy(), getattr(batch, name)), name
        assert item["tokens"].dtype == torch.int64 and item["positions"].dtype == torch.int32
        assert item["labels"].data_ptr() == item["tokens"].data_ptr() + 8  # one array, a column apart
        assert item["position"] == (step + 1) * 8


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_a_plain_loader_keeps_order_with_any_workers_and_items_know_the_state(
    stream: MixtureStream, workers: int
) -> None:
    whole = tokens_of(dataset(stream))
    data = dataset(stream)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers)
    got, state = [], None
    for item in loader:
        got += tokens_of([item])
        state = data.state_after(item)
        if len(got) == 4:
            break
    assert got == whole[:4]
    resumed = dataset(stream)  # workers had made more than was consumed: none of it is lost
    resumed.load_state_dict(json.loads(json.dumps(state)))
    loader = torch.utils.data.DataLoader(resumed, batch_size=None, num_workers=(workers + 1) % 3)
    assert tokens_of(loader) == whole[4:]


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("taken", [0, 1, 4, 5])
def test_a_stateful_loader_resumes_with_its_workers(stream: MixtureStream, workers: int, taken: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    whole = tokens_of(dataset(stream))
    loader = stateful(dataset(stream), batch_size=None, num_workers=workers)
    iterator = iter(loader)
    got = tokens_of(next(iterator) for _ in range(taken))
    state = loader.state_dict()
    again = stateful(dataset(stream), batch_size=None, num_workers=workers)
    again.load_state_dict(state)
    assert got + tokens_of(again) == whole


def test_a_state_is_taken_up_by_another_world_and_batch(stream: MixtureStream) -> None:
    from sampler.torch_data import StreamDataset

    data = dataset(stream)
    iterator = iter(data)
    next(iterator), next(iterator), next(iterator)  # 24 samples
    state = json.loads(json.dumps(data.state_dict()))
    parts = []
    for rank in range(3):
        other = StreamDataset(RankStream(stream.fork(), rank, 3, 6), 5)
        other.load_state_dict(state)
        parts.append([item["tokens"] for item in other])
        assert len(parts[-1]) == 1  # steps count from the beginning of the mixture: samples 24 to 29
    assert np.array_equal(torch.cat([part[0] for part in parts]).numpy(), stream.batch(24, 30).tokens)


def test_a_foreign_state_is_refused(stream: MixtureStream) -> None:
    data = dataset(stream)
    with pytest.raises(TamisError, match="damaged"):
        data.load_state_dict(data.state_dict() | {"manifest": "other"})


def test_on_the_cpu_items_pass_as_they_are(stream: MixtureStream) -> None:
    from sampler.torch_data import to_device

    items = list(dataset(stream))
    assert all(a is b for a, b in zip(items, to_device(items, torch.device("cpu")), strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_items_are_equal_and_int64(stream: MixtureStream) -> None:
    from sampler.torch_data import to_device

    items = list(dataset(stream))
    moved = list(to_device(items, torch.device("cuda")))
    for item, there in zip(items, moved, strict=True):
        assert there["tokens"].dtype == torch.int64 and there["tokens"].is_cuda
        assert torch.equal(item["tokens"], there["tokens"].cpu()) and torch.equal(item["labels"], there["labels"].cpu())
