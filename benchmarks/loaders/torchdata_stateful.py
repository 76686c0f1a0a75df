"""torchdata's StatefulDataLoader over a plain iterable dataset: domains drawn at random, each in an order of its own.

This is what one writes first: the dataset knows nothing of workers and ranks and has no state of its own, so that the
loader resumes by reading again all that was read, and every worker and rank delivers everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.loaders.common import SEED, Peer, Setup, Stateful
from benchmarks.loaders.grain_memmap import Windows
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library


def load() -> None:
    """Imports the loader."""
    library("torchdata.stateful_dataloader")


def samples(setup: Setup) -> Iterator[Any]:
    """The mixture without end: uint16[window] each."""
    generator = np.random.default_rng(SEED)
    parts = [Windows(setup.corpus, domain, setup.window) for domain in setup.weights]
    orders = [generator.permutation(len(part)) for part in parts]
    edges, taken = np.cumsum(list(setup.weights.values())), [0] * len(parts)
    while True:
        domain = min(int(np.searchsorted(edges, generator.random(), "right")), len(parts) - 1)
        yield parts[domain][int(orders[domain][taken[domain] % len(parts[domain])])]
        taken[domain] += 1


class Plain(Stateful):
    """A StatefulDataLoader."""

    def __init__(self, setup: Setup, state: Any) -> None:
        members = {"__iter__": lambda dataset: samples(setup)}
        plain = type("Mixture", (library("torch.utils.data").IterableDataset,), members)
        loader = library("torchdata.stateful_dataloader").StatefulDataLoader
        super().__init__(loader(plain(), batch_size=setup.batch, num_workers=setup.workers, collate_fn=np.stack), state)


PEER = Peer(
    name="torchdata StatefulDataLoader",
    packages=("torchdata",),
    load=load,
    convert=lambda setup: None,
    open=Plain,
    note="reads the corpus's own files through a dataset of twenty lines",
)

if __name__ == "__main__":
    run(PEER, "torchdata_stateful")
