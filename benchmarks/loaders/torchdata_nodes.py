"""torchdata.nodes: a weighted sampler over map-style domains, batched, with the state of its Loader.

MultiNodeWeightedSampler is torchdata's own mixture; each domain is a map-style dataset of sequences cut from the
mapped file, in the order of torch's RandomSampler. Resuming replays what was skipped of that order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.loaders.common import SEED, Peer, Setup, Stateful
from benchmarks.loaders.grain_memmap import Windows
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library


def load() -> None:
    """Imports torchdata's nodes."""
    library("torchdata.nodes")


class Nodes(Stateful):
    """A Loader of nodes."""

    def __init__(self, setup: Setup, state: Any) -> None:
        nodes, torch = library("torchdata.nodes"), library("torch")
        sources = {}
        for number, domain in enumerate(setup.weights):
            dataset = Windows(setup.corpus, domain, setup.window)
            generator = torch.Generator().manual_seed(SEED + number)
            sampler = torch.utils.data.RandomSampler(dataset, generator=generator)
            sources[domain] = nodes.MapStyleWrapper(dataset, sampler)
        mixed = nodes.MultiNodeWeightedSampler(
            sources, setup.weights, stop_criteria=nodes.StopCriteria.CYCLE_FOREVER, seed=SEED
        )
        batched = nodes.Batcher(mixed, batch_size=setup.batch)
        mapped = nodes.Mapper(batched, np.stack)
        if setup.workers:
            mapped = nodes.ParallelMapper(batched, np.stack, num_workers=setup.workers, method="process")
        super().__init__(nodes.Loader(mapped), state)


PEER = Peer(
    name="torchdata nodes",
    packages=("torchdata",),
    load=load,
    convert=lambda setup: None,
    open=Nodes,
    note="reads the corpus's own files",
)

if __name__ == "__main__":
    run(PEER, "torchdata_nodes")
