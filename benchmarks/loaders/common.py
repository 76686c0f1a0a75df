"""What the benchmarks know of a loader, and what they give it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.tools.library import library

SEED = 1234


def widened(batch: Any) -> Any:
    """A numpy or torch batch of uint16 as an int64 tensor; by numpy, which widens uint16 faster than torch."""
    array = batch if isinstance(batch, np.ndarray) else batch.numpy()
    return library("torch").from_numpy(array.astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A folder of `benchmarks.corpora.sampler_corpus`.

    Attributes:
        folder: where it lies.
        end_of_document: the id that ends every document.
        sizes: domain → tokens.
        weights: domain → share of samples.
    """

    folder: Path
    end_of_document: int
    sizes: dict[str, int]
    weights: dict[str, float]

    @classmethod
    def read(cls, folder: Path) -> Corpus:
        """The corpus of a folder."""
        facts = json.loads((folder / "corpus.json").read_text("utf-8"))
        return cls(
            folder=folder, end_of_document=facts["end_of_document"], sizes=facts["tokens"], weights=facts["weights"]
        )

    def tokens(self, domain: str) -> npt.NDArray[np.uint16]:
        """uint16[n_tokens], mapped."""
        return np.memmap(self.folder / f"{domain}.bin", "<u2", "r")

    def offsets(self, domain: str) -> npt.NDArray[np.int64]:
        """int64[n_docs + 1]."""
        return np.load(self.folder / f"{domain}.offsets.npy")

    def windows(self, domain: str, length: int) -> Iterator[npt.NDArray[np.uint16]]:
        """The domain cut every `length` tokens, for tools that take ready sequences; what is left over is dropped."""
        tokens = self.tokens(domain)
        for start in range(0, len(tokens) - length + 1, length):
            yield tokens[start : start + length]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The mixture that a loader is to open, and how.

    Attributes:
        corpus: that was converted.
        folder: for what the tool converts and caches.
        weights: domain → share of samples.
        sequence_length: inputs of a sample.
        batch: samples of a batch on this rank.
        samples: length of the run over all ranks, for tools that must know it in advance.
        rank: this rank of `world_size`.
        world_size: ranks of the run.
        workers: the tool's worker processes; 0 for none.
    """

    corpus: Corpus
    folder: Path
    weights: dict[str, float]
    sequence_length: int
    batch: int
    samples: int
    rank: int = 0
    world_size: int = 1
    workers: int = 0

    def with_changes(self, **changes: Any) -> Setup:
        """A copy with some attributes changed."""
        return replace(self, **changes)

    @property
    def window(self) -> int:
        """Tokens of a stored sequence: the inputs and one more, the last label."""
        return self.sequence_length + 1


class Loader(Protocol):
    """An open loader."""

    def __iter__(self) -> Iterator[Any]:
        """The next batches: int64 tensors [batch, sequence_length or one more]."""

    def state(self) -> Any:
        """What the tool would save after the last batch taken; it can be pickled."""

    def close(self) -> None:
        """Let go of what it holds."""


class Stateful:
    """A loader that has state_dict and load_state_dict, and gives batches of uint16.

    Args:
        loader: the tool's.
        state: to go on from, or None.
    """

    def __init__(self, loader: Any, state: Any) -> None:
        self.loader = loader
        if state is not None:
            loader.load_state_dict(state)

    def __iter__(self) -> Iterator[Any]:
        """Batches, widened."""
        for batch in self.loader:
            yield widened(batch)

    def state(self) -> Any:
        """The loader's."""
        return self.loader.state_dict()

    def close(self) -> None:
        """Nothing to do."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tool, and how it is used.

    Attributes:
        name: in tables.
        packages: distributions whose versions are printed.
        load: imports everything that a user of it imports.
        convert: writes the corpus in its format below `setup.folder`, for windows of `setup.window` if it must know.
        open: opens a loader at the start, or from a state.
        resumes: whether it can continue from a state.
        mixes: whether it mixes domains at all.
        note: printed below its figures.
    """

    name: str
    packages: tuple[str, ...]
    load: Callable[[], None]
    convert: Callable[[Setup], None]
    open: Callable[[Setup, Any], Loader]
    resumes: bool = True
    mixes: bool = True
    note: str = ""
