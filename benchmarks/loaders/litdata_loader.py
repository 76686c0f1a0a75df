"""litdata: token chunks by `optimize`, TokensLoader, CombinedStreamingDataset by weights, StreamingDataLoader.

As its page on pretraining does it: documents go in one by one, blocks of `window` tokens come out. Ids are stored as
torch.uint16, half of what its example stores, and widened a batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.loaders.common import SEED, Corpus, Peer, Setup, Stateful
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library

CHUNK = "64MB"
PIECES = 16
"""Inputs of `optimize` a domain, each a range of documents."""


def load() -> None:
    """Imports litdata."""
    library("litdata")


def documents(piece: tuple[str, str, int, int]) -> Iterator[Any]:
    """The documents of a piece, as tensors of uint16."""
    torch, (folder, domain, first, last) = library("torch"), piece
    corpus = Corpus.read(Path(folder))
    tokens, offsets = corpus.tokens(domain), corpus.offsets(domain)[first : last + 1].tolist()
    for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
        yield torch.from_numpy(tokens[start:stop].copy())


def convert(setup: Setup) -> None:
    """Runs `optimize` on each domain with one worker."""
    litdata = library("litdata")
    for domain in setup.corpus.sizes:
        count = len(setup.corpus.offsets(domain)) - 1
        edges = [count * part // PIECES for part in range(PIECES + 1)]
        litdata.optimize(
            fn=documents,
            inputs=[
                (str(setup.corpus.folder), domain, first, last)
                for first, last in zip(edges[:-1], edges[1:], strict=True)
            ],
            output_dir=str(setup.folder / domain),
            chunk_bytes=CHUNK,
            num_workers=1,
            item_loader=library("litdata.streaming.item_loader").TokensLoader(block_size=setup.window),
            verbose=False,
        )


class Combined(Stateful):
    """A combined dataset and its loader."""

    def __init__(self, setup: Setup, state: Any) -> None:
        litdata = library("litdata")
        tokens_loader = library("litdata.streaming.item_loader").TokensLoader
        parts = [
            litdata.StreamingDataset(
                str(setup.folder / domain),
                item_loader=tokens_loader(block_size=setup.window),
                shuffle=True,
                drop_last=True,
                seed=SEED,
            )
            for domain in setup.weights
        ]
        self.dataset = litdata.CombinedStreamingDataset(
            parts, seed=SEED, weights=list(setup.weights.values()), iterate_over_all=False
        )
        super().__init__(
            litdata.StreamingDataLoader(self.dataset, batch_size=setup.batch, num_workers=setup.workers), state
        )


PEER = Peer(name="litdata", packages=("litdata",), load=load, convert=convert, open=Combined)

if __name__ == "__main__":
    run(PEER, "litdata_loader")
