"""MosaicML Streaming: MDS shards of ready sequences, one Stream a domain with its proportion, StreamingDataLoader.

Shuffling is its default, `py1e`; an epoch is as long as the corpus, drawn by the proportions. Its workers find each
other through shared memory, which a loader that ended badly leaves behind: stale blocks are cleaned away first.

Streaming imports torchvision for its vision datasets, whose wheels on PyPI are built for CUDA and fail beside a torch
for CPUs. An empty module stands in for it while Streaming is imported; no text dataset uses it.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from typing import Any

from benchmarks.loaders.common import SEED, Peer, Setup, widened
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library

STOOD_IN = {
    "torchvision": (),
    "torchvision.datasets": ("VisionDataset",),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": ("to_tensor",),
}


def load() -> None:
    """Imports Streaming."""
    if "streaming" not in sys.modules:
        for name, members in STOOD_IN.items():
            module = types.ModuleType(name)
            module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
            for member in members:
                setattr(module, member, object)
            sys.modules[name] = module
        library("streaming")
        for name in STOOD_IN:
            del sys.modules[name]


def convert(setup: Setup) -> None:
    """Writes one folder of shards a domain."""
    load()
    for domain in setup.corpus.sizes:
        columns = {"tokens": f"ndarray:uint16:{setup.window}"}
        with library("streaming").MDSWriter(out=str(setup.folder / domain), columns=columns) as writer:
            for window in setup.corpus.windows(domain, setup.window):
                writer.write({"tokens": window})


class Streamed:
    """A StreamingDataset and its loader."""

    def __init__(self, setup: Setup, state: Any) -> None:
        streaming = library("streaming")
        if setup.rank == 0 and setup.world_size == 1:
            library("streaming.base.util").clean_stale_shared_memory()
        streams = [
            streaming.Stream(local=str(setup.folder / domain), proportion=weight)
            for domain, weight in setup.weights.items()
        ]
        self.dataset = streaming.StreamingDataset(
            streams=streams, shuffle=True, shuffle_seed=SEED, batch_size=setup.batch, num_canonical_nodes=1
        )
        self.loader = streaming.StreamingDataLoader(
            self.dataset, batch_size=setup.batch, num_workers=setup.workers, drop_last=True
        )
        if state is not None:
            self.loader.load_state_dict(state)

    def __iter__(self) -> Iterator[Any]:
        """Batches, widened."""
        for batch in self.loader:
            yield widened(batch["tokens"])

    def state(self) -> Any:
        """The loader's."""
        return self.loader.state_dict()

    def close(self) -> None:
        """Lets go of the shared memory."""
        self.loader = self.dataset = None


PEER = Peer(name="MosaicML Streaming", packages=("mosaicml-streaming",), load=load, convert=convert, open=Streamed)

if __name__ == "__main__":
    run(PEER, "mosaic_streaming")
