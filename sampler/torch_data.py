"""The stream for torch: an IterableDataset, one item a step, with a state to save and load; and copying to the GPU.

A plain DataLoader takes it with `batch_size=None`, torchdata's StatefulDataLoader too. Without workers a thread of this
process prefetches batches, which is fastest; with workers, worker w of n makes steps w, w + n, … and the loader takes
one item from each in turn, so that the order is kept and nothing comes twice, whatever their number.

**State.** `dataset.state_after(item)` is the state to save after an item was consumed. It is equal on every rank, no
matter how many steps were prefetched by a worker, a loader or the copy to the GPU. A StatefulDataLoader keeps a state
of its own, which includes whose turn it is: save that one, and load it with the same number of workers and batch size.

Cost beyond the sampler's: none on the CPU, where tokens and labels are views of the arrays that the kernels filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from sampler.loader import Prefetch
from sampler.stream.batch import Batch
from sampler.stream.mixture_stream import RankStream
from sampler.stream.state import position_of, state_at
from tamis.errors import TamisError

FIELDS = ("tokens", "labels", "positions", "cu_seqlens")
Item = dict[str, Any]


class StreamDataset(IterableDataset):  # type: ignore[type-arg]
    """Steps of a rank as dictionaries of tensors, without end unless the mixture or `steps` ends it: one past the last
    step, counted from the stream's beginning. Each item has the `fields` of `tensors`, and `position`, the sample to
    continue from after it.

    An iteration begins at the current position: the beginning, after the last item that an iteration in this process
    gave, or the position of a loaded state.

    Raises:
        ConfigError: so many steps would take a domain past its max_epochs.
    """

    def __init__(self, ranked: RankStream, steps: int | None = None, fields: Sequence[str] = FIELDS) -> None:
        self.ranked, self.fields = ranked, tuple(fields)
        self.position = ranked.position
        self._end = None if steps is None else ranked.position + steps * ranked.global_batch
        self._turn: int | None = None  # the sample at which the next step of this worker begins
        self._cleared = ranked.position
        if self._end is not None:
            ranked.stream.require(self._end)
            self._cleared = self._end

    def __iter__(self) -> Iterator[Item]:
        """Yield items from the current position on.

        Raises:
            ConfigError: before a step that would take a domain past its max_epochs.
        """
        worker, batch = get_worker_info(), self.ranked.global_batch
        stride, number = (worker.num_workers, worker.id) if worker else (1, 0)
        at = self.position + number * batch if self._turn is None else self._turn
        ranked = RankStream(self.ranked.stream, self.ranked.rank, self.ranked.world_size, batch, at)
        stop = None if self._end is None else max(0, (self._end - at) // batch)
        with Prefetch(ranked, 0, stop, stride) as batches:
            for made in batches:
                after, at = at + batch, at + stride * batch
                if after > self._cleared:
                    self._cleared = ranked.stream.cleared_until(after)
                if worker:
                    self._turn = at
                else:
                    self.position = after
                yield {**tensors(made, self.fields), "position": after}

    def state_after(self, item: Item) -> dict[str, Any]:
        """The sampler state after an item was consumed, equal on every rank."""
        return state_at(self.ranked.stream, int(item["position"]))

    def state_dict(self) -> dict[str, Any]:
        """The sampler state after the last item that this process gave; in a worker also that worker's next step."""
        state = state_at(self.ranked.stream, self.position)
        if self._turn is None:
            return state
        return {"sampler": state, "turn": self._turn, "global_batch": self.ranked.global_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state, at the next iteration.

        Raises:
            TamisError: it belongs to another mixture or other bins, is damaged, or comes from a worker with another
            global batch.
        """
        if not isinstance(state, dict):
            raise TamisError(f"sampler state: found a {type(state).__name__}; expected what state_dict gave")
        batch = state.get("global_batch", self.ranked.global_batch)
        if batch != self.ranked.global_batch:
            raise TamisError(
                f"sampler state: found a worker's with a global batch of {batch}; expected {self.ranked.global_batch}, "
                "as here, or the state of `state_after`, which any batch can go on from"
            )
        self.position = position_of(self.ranked.stream, state.get("sampler", state))
        self._turn = state.get("turn")


def tensors(batch: Batch, fields: Sequence[str] = FIELDS) -> dict[str, torch.Tensor]:
    """A batch as tensors, without a copy. Fields are tokens, labels (int64[rows, sequence_length]), positions, segments
    (int32, the same shape) and cu_seqlens (int32[n_pieces + 1]).
    """
    return {name: torch.from_numpy(np.asarray(getattr(batch, name))) for name in fields}


def to_device(items: Iterable[Item], device: torch.device) -> Iterator[Item]:
    """Items on a device, the next one being copied while the current one is used; save states by `state_after`.

    int64 tensors are copied to a GPU from pinned memory as int32, half the bytes, and widened there; for the CPU items
    pass unchanged.
    """
    if device.type != "cuda":
        yield from items
        return
    side = torch.cuda.Stream(device)
    ready: Item | None = None
    for item in items:
        with torch.cuda.stream(side):
            coming = {name: _sent(value, device) for name, value in item.items()}
        if ready is not None:
            yield ready
        torch.cuda.current_stream(device).wait_stream(side)
        for value in coming.values():
            if isinstance(value, torch.Tensor):
                value.record_stream(torch.cuda.current_stream(device))
        ready = coming
    if ready is not None:
        yield ready


def _sent(value: Any, device: torch.device) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    narrow = value.to(torch.int32).contiguous().pin_memory().to(device, non_blocking=True)
    return narrow.to(value.dtype)
