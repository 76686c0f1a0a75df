"""grain: an ArrayRecord file of ready sequences a domain, each shuffled, mixed by proportions, batched.

The way of its tutorials: `MapDataset.source(ArrayRecordDataSource).shuffle().repeat()`, `MapDataset.mix`, `batch`,
`to_iter_dataset`. The mix is a pure function of the index, and so is the resume. Reading runs in threads of this
process. A rank takes every `world_size`-th sample by slicing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.loaders.common import SEED, Peer, Setup, widened
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library

READING = {"num_threads": 2, "prefetch_buffer_size": 16}


def load() -> None:
    """Imports grain and torch."""
    library("grain")
    library("torch")


def convert(setup: Setup) -> None:
    """Writes one ArrayRecord a domain, uncompressed (ids are noise), one sequence a group as grain asks for."""
    writer_of = library("array_record.python.array_record_module").ArrayRecordWriter
    for domain in setup.corpus.sizes:
        writer = writer_of(str(setup.folder / f"{domain}.array_record"), "group_size:1,uncompressed")
        for window in setup.corpus.windows(domain, setup.window):
            writer.write(window.tobytes())
        writer.close()


def records(setup: Setup, domain: str) -> Any:
    """The domain's sequences, uint16[window] each."""
    grain = library("grain")
    path = str(setup.folder / f"{domain}.array_record")
    return grain.MapDataset.source(grain.sources.ArrayRecordDataSource(path)).map(decode)


def decode(record: bytes) -> Any:
    """A stored sequence: uint16[window]."""
    return np.frombuffer(record, "<u2")


class Mixed:
    """An iterator of grain's."""

    def __init__(self, setup: Setup, state: Any, source: Any = records) -> None:
        grain = library("grain")
        parts = [
            source(setup, domain).shuffle(seed=SEED + number).repeat() for number, domain in enumerate(setup.weights)
        ]
        mixed = grain.MapDataset.mix(parts, weights=list(setup.weights.values()))
        if setup.world_size > 1:
            mixed = mixed[setup.rank :: setup.world_size]
        dataset = mixed.batch(setup.batch, drop_remainder=True).to_iter_dataset(grain.ReadOptions(**READING))
        if setup.workers:
            dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=setup.workers))
        self.iterator = iter(dataset)
        if state is not None:
            self.iterator.set_state(state)

    def __iter__(self) -> Iterator[Any]:
        """Batches, widened."""
        for batch in self.iterator:
            yield widened(batch)

    def state(self) -> Any:
        """The iterator's."""
        return self.iterator.get_state()

    def close(self) -> None:
        """Ends its threads or workers."""
        close = getattr(self.iterator, "close", None)
        if close:
            close()


PEER = Peer(name="grain (ArrayRecord)", packages=("grain", "array_record"), load=load, convert=convert, open=Mixed)

if __name__ == "__main__":
    run(PEER, "grain_loader")
