"""The floor: the smallest domain's file read front to back, widened to int64; no mixture, no shuffle, no documents.

Nothing that delivers int64 tensors from a uint16 file can be much faster; the difference to it is what a loader adds.
The file is small enough that all its pages are mapped after the first of the three measured parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.loaders.common import Peer, Setup, widened
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library


class Floor:
    """Rows in file order, over and over."""

    def __init__(self, setup: Setup, state: Any) -> None:
        self.tokens = setup.corpus.tokens(min(setup.weights, key=setup.corpus.sizes.__getitem__)).view(np.ndarray)
        self.shape = (setup.batch, setup.window)
        self.at = int(state or 0)

    def __iter__(self) -> Iterator[Any]:
        """Batches."""
        size = self.shape[0] * self.shape[1]
        while True:
            if self.at + size > len(self.tokens):
                self.at = 0
            rows = self.tokens[self.at : self.at + size].reshape(self.shape)
            self.at += size
            yield widened(rows)

    def state(self) -> int:
        """The place in the file."""
        return self.at

    def close(self) -> None:
        """Nothing to do."""


PEER = Peer(
    name="memmap floor",
    packages=("numpy",),
    load=lambda: library("torch") and None,
    convert=lambda setup: None,
    open=Floor,
    mixes=False,
    note="one domain, in file order",
)

if __name__ == "__main__":
    run(PEER, "memmap_floor")
