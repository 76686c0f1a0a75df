"""The stream for torch: an IterableDataset, one item a step, with a state to save and load; and a way to the GPU.

A plain DataLoader takes it with `batch_size=None`, torchdata's StatefulDataLoader too. Without workers a thread of this
process makes batches ahead, which is the fastest way; with workers, worker w of n makes steps w, w + n, … and the
loader takes turns, so that order is kept and nothing comes twice, whatever their number.

**State.** Under a StatefulDataLoader ask the loader. With a plain DataLoader and workers the dataset object here does
not see what was consumed; each item says it: `dataset.state_after(item)` is the state to save, equal on every rank.

Cost beyond the sampler's: none on the CPU, where tokens and labels are views of what the kernels wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from sampler.batch import Batch
from sampler.loader import Prefetch
from sampler.state import position_of, state_at
from sampler.stream import RankStream

FIELDS = ("tokens", "labels", "positions", "cu_seqlens")
Item = dict[str, Any]


class StreamDataset(IterableDataset):  # type: ignore[type-arg]
    """Steps of a rank as dictionaries of tensors, without end unless the mixture or `steps` has one.

    Args:
        ranked: the rank's stream.
        steps: the step to end before.
        fields: of `tensors`; `position`, the sample to go on from after the item, is always there.
    """

    def __init__(self, ranked: RankStream, steps: int | None = None, fields: Sequence[str] = FIELDS) -> None:
        self.ranked, self.fields = ranked, tuple(fields)
        self._end = None if steps is None else ranked.position + steps * ranked.global_batch
        self.step = 0
        self._turn: int | None = None  # the next step of this very worker, once it has taken one

    def __iter__(self) -> Iterator[Item]:
        """Yield from the current step on."""
        worker = get_worker_info()
        stride, number = (worker.num_workers, worker.id) if worker else (1, 0)
        step = self.step + number if self._turn is None else self._turn
        with Prefetch(self.ranked, step, self._last(), stride) as batches:
            for batch in batches:
                step += stride
                if worker:
                    self._turn = step
                else:
                    self.step = step
                after = self.ranked.position + (step - stride + 1) * self.ranked.global_batch
                yield {**tensors(batch, self.fields), "position": after}

    def _last(self) -> int | None:
        return None if self._end is None else (self._end - self.ranked.position) // self.ranked.global_batch

    def state_after(self, item: Item) -> dict[str, Any]:
        """The sampler state after an item was consumed, equal on every rank."""
        return state_at(self.ranked.stream, int(item["position"]))

    def state_dict(self) -> dict[str, Any]:
        """The sampler state; inside a worker also that worker's turn."""
        state = state_at(self.ranked.stream, self.ranked.position + self.step * self.ranked.global_batch)
        return state if self._turn is None else {"sampler": state, "turn": self._turn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            TamisError: it belongs to another mixture or other bins, or is damaged.
        """
        self._turn = state.get("turn")
        position = position_of(self.ranked.stream, state.get("sampler", state))
        self.step = 0
        if self._turn is None:
            self.ranked.position = position
        else:
            self.step = (position - self.ranked.position) // self.ranked.global_batch


def tensors(batch: Batch, fields: Sequence[str] = FIELDS) -> dict[str, torch.Tensor]:
    """A batch as tensors, without a copy.

    Args:
        batch: the rows.
        fields: of tokens, labels (int64[rows, sequence_length]), positions, segments (int32, the same shape),
            cu_seqlens (int32[n_pieces + 1]).
    """
    return {name: torch.from_numpy(np.asarray(getattr(batch, name))) for name in fields}


def to_device(items: Iterable[Item], device: torch.device) -> Iterator[Item]:
    """Items on a device, the next one under way while the last is used.

    On a GPU tokens and labels travel from pinned memory as one int32 array, half the bytes, and are widened there; on
    the CPU items pass as they are.
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
