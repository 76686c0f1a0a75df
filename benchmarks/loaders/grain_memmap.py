"""grain over a data source of our own: the same mixture, with sequences cut from the mapped files, nothing converted.

Grain accepts whatever has `__len__` and `__getitem__`; this saves decoding ArrayRecord.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.loaders import grain_loader
from benchmarks.loaders.common import Corpus, Peer, Setup
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library


class Windows:
    """A domain cut into sequences; pickled by its path, for worker processes."""

    def __init__(self, corpus: Corpus, domain: str, length: int) -> None:
        self.corpus, self.domain, self.length = corpus, domain, length
        self.tokens = corpus.tokens(domain).view(np.ndarray)

    def __len__(self) -> int:
        """How many."""
        return len(self.tokens) // self.length

    def __getitem__(self, index: int) -> Any:
        """One of them, uint16[length]."""
        return self.tokens[index * self.length : (index + 1) * self.length]

    def __reduce__(self) -> Any:
        """Maps the file anew."""
        return Windows, (self.corpus, self.domain, self.length)


def windows(setup: Setup, domain: str) -> Any:
    """The domain's sequences."""
    return library("grain").MapDataset.source(Windows(setup.corpus, domain, setup.window))


PEER = Peer(
    name="grain (own memmap source)",
    packages=("grain",),
    load=grain_loader.load,
    convert=lambda setup: None,
    open=lambda setup, state: grain_loader.Mixed(setup, state, windows),
    note="reads the corpus's own files",
)

if __name__ == "__main__":
    run(PEER, "grain_memmap")
