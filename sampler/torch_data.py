"""The stream as a torch IterableDataset, one item a step, with a state to save and load.

Works in a plain DataLoader with `batch_size=None`. With workers, worker w of n makes steps w, w + n, … and
the DataLoader takes turns, so that order is kept. The state is the position of the *consumer* only without
workers: a worker's prefetched steps are not yet consumed. Keep the step count in the training loop then, as
ours does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from sampler.state import position_of, state_at
from sampler.stream import Batch, RankStream


class StreamDataset(IterableDataset):  # type: ignore[type-arg]
    """Steps of a rank as dictionaries of tensors, without end unless `steps` is given.

    Args:
        ranked: the rank's stream.
        steps: the step to end before.
    """

    def __init__(self, ranked: RankStream, steps: int | None = None) -> None:
        self.ranked = ranked
        self.steps = steps
        self.step = 0

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield from the current step on."""
        worker = get_worker_info()
        stride = worker.num_workers if worker else 1
        self.step += worker.id if worker else 0
        while self.steps is None or self.step < self.steps:
            item = tensors(self.ranked.batch(self.step))
            self.step += stride
            yield item

    def state_dict(self) -> dict[str, Any]:
        """The sampler state, equal on every rank."""
        return state_at(self.ranked.stream, self.step * self.ranked.global_batch)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            TamisError: it belongs to another mixture or other bins.
            ValueError: its position is not a whole number of this global batch.
        """
        position = position_of(self.ranked.stream, state)
        if position % self.ranked.global_batch:
            raise ValueError(f"position {position} is no multiple of the global batch {self.ranked.global_batch}")
        self.step = position // self.ranked.global_batch


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """A batch as int64 tensors: tokens, labels, positions, segments, each [rows, sequence_length]."""
    return {
        name: torch.from_numpy(getattr(batch, name).astype(np.int64))
        for name in ("tokens", "labels", "positions", "segments")
    }
