"""The stream under torch's loaders: any number of workers, stopped and resumed, gives each step once, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampler.mixture import Mixture
from sampler.prepare import prepare
from sampler.stream.mixture_stream import MixtureStream, RankStream
from sampler.stream.state import state_at
from tamis.errors import ConfigError, TamisError
from tests.support.sampler_run import SMALL, write_run

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


def test_a_second_resume_with_workers_goes_on_where_the_first_stopped(stream: MixtureStream) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    from sampler.torch_data import StreamDataset

    def at_40() -> Any:
        data = StreamDataset(RankStream(stream.fork(), 0, 1, 8))
        data.load_state_dict(state_at(stream, 40))
        return data

    loader = stateful(at_40(), batch_size=None, num_workers=2)
    iterator = iter(loader)
    assert [next(iterator)["position"] for _ in range(3)] == [48, 56, 64]
    again = stateful(StreamDataset(RankStream(stream.fork(), 0, 1, 8)), batch_size=None, num_workers=2)
    again.load_state_dict(loader.state_dict())
    iterator = iter(again)
    assert [next(iterator)["position"] for _ in range(3)] == [72, 80, 88]


def test_a_workers_state_of_another_batch_is_refused(stream: MixtureStream) -> None:
    data = dataset(stream)
    state = {"sampler": data.state_dict(), "turn": 24, "global_batch": 16}
    with pytest.raises(TamisError, match="global batch of 16; expected 8, as here"):
        data.load_state_dict(state)
    with pytest.raises(TamisError, match="found a NoneType"):
        data.load_state_dict(None)


def test_a_state_loaded_in_between_counts_from_the_next_iteration(stream: MixtureStream) -> None:
    from sampler.torch_data import StreamDataset

    data = StreamDataset(RankStream(stream.fork(), 0, 1, 8))
    old = iter(data)
    assert [next(old)["position"] for _ in range(2)] == [8, 16]
    data.load_state_dict(state_at(stream, 80))
    assert next(old)["position"] == 24
    old.close()
    data.load_state_dict(state_at(stream, 80))
    assert next(iter(data))["position"] == 88


def test_max_epochs_hold_in_the_dataset(tmp_path: Path) -> None:
    from sampler.torch_data import StreamDataset

    limits = {"en": {"max_epochs": 1}, "zh": {"max_epochs": 50}}
    strict = prepare(write_run(tmp_path), Mixture(**BASE | {"domains": limits}, sequence_length=32)).stream
    epoch = int(strict.phases[0].readers[0].documents.tokens_per_epoch)  # of en, half of the mixture
    taken = []
    with pytest.raises(ConfigError, match=r"domains\.en\.max_epochs: found 1, but .* sequences need 1\.\d\d epochs"):
        for item in StreamDataset(RankStream(strict, 0, 1, 8)):
            taken.append(item["position"])
    assert abs(taken[-1] * 16 - epoch) <= 16 * 16  # to the very step before
    with pytest.raises(ConfigError, match="max_epochs"):
        StreamDataset(RankStream(strict, 0, 1, 8), steps=taken[-1] // 8 + 2)
    assert len(list(StreamDataset(RankStream(strict, 0, 1, 8), steps=5))) == 5


def test_a_far_state_is_taken_up_by_the_thread_too(stream: MixtureStream) -> None:
    import time

    from sampler.torch_data import StreamDataset

    far = 48_000_000
    state = state_at(stream.fork(), far)
    fresh = StreamDataset(RankStream(stream.fork(), 0, 1, 8))
    fresh.load_state_dict(state)
    fresh._cleared = far + 80
    started = time.perf_counter()
    items = iter(fresh)
    assert next(items)["position"] == far + 8
    blend = fresh.ranked.stream.phases[0].blend
    assert len(blend._marks) == 1  # nothing was replayed from the beginning
    state_at(fresh.ranked.stream, far + 8 * 20_000)
    assert len(blend._marks) == 1
    assert time.perf_counter() - started < 5
    items.close()


class Card:
    """A GPU that is none: what `to_device` asks of torch.cuda."""

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> Card:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait_stream(self, _: Any) -> None:
        pass


def test_a_state_after_an_item_is_not_ahead_on_the_way_to_a_gpu(
    stream: MixtureStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sampler import torch_data

    monkeypatch.setattr(torch.cuda, "Stream", Card)
    monkeypatch.setattr(torch.cuda, "stream", Card)
    monkeypatch.setattr(torch.cuda, "current_stream", Card)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    monkeypatch.setattr(torch_data, "_sent", lambda value, _: value)
    data = dataset(stream)
    seen = []
    for item in torch_data.to_device(data, torch.device("cuda")):
        seen.append(data.state_after(item)["position"])
    assert seen == [8 * (step + 1) for step in range(STEPS)]  # one each, none ahead, none lost


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
