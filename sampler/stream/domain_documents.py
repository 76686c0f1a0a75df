"""The documents of a domain as the stream sees them: numbered across its shards, weighted, cut into shuffle blocks.

A document is a row of a shard's bin, with a weight and a draw u(seed, d), both fixed-point numbers. A block is a run of
consecutive documents of one shard, about `shuffle_block_tokens` long. A pass permutes the blocks and the documents
within each; only the current block has to be open. Which documents belong to a pass, and where it ends, follows in
closed form (`sampler.stream.order`).

Everything that grows with the corpus is memory-mapped: the bins' indexes, and two uint32 for each document, which are
made here and kept beside the bins under the hash of their inputs (`sampler.stream.document_index`). Private memory is
a block table, 12 bytes for some four million tokens.

Cost: 2-3 ns a document to count a pass, once; the result is stored too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.files import atomic_file, read_json, stable_hash, write_json
from sampler.bins.checksums import check_of
from sampler.bins.format import AnyBin
from sampler.stream import order
from sampler.stream.packing import Pieces, sequences_of

BLOCK_DOCUMENTS = 1 << 16
_OPEN_TABLES, _WORTH_A_FILE = 8, 1 << 14
_SUMS, _WORTH_KEEPING = "passes.json", 1 << 20  # documents
_MAX_TABLES = 1 << 12  # passes whose tables are stored: a tiny domain may have millions of passes


@dataclass(frozen=True, kw_only=True)
class DomainDocuments:
    """What a stream needs to know of a domain. All readers share its arrays; each thread has caches of its own."""

    domain: str
    seed: int  # the mixture's
    shards: Sequence[AnyBin]  # its bins, in order
    bases: npt.NDArray[np.int64]  # [n_shards + 1], the number of each shard's first document
    weights: npt.NDArray[np.uint32]  # [n_docs], fixed-point expected copies an epoch; 0 for documents outside the split
    draws: npt.NDArray[np.uint32]  # [n_docs], fixed-point u(seed, d)
    starts: npt.NDArray[np.int64]  # [n_blocks + 1], first document of each block
    block_shards: npt.NDArray[np.int32]  # [n_blocks], the shard of each block
    passes: int  # passes an epoch
    tokens_per_epoch: float  # expected tokens of an epoch, Σ weight · length
    digest: str  # of weights and bins; it identifies the domain's samples
    folder: Path | None = None  # where tables of passes are stored, or None
    _after: dict[int, int] = field(default_factory=dict, compare=False)
    _tables: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict, compare=False)

    def fork(self) -> DomainDocuments:
        """The same documents with caches of their own, for another thread."""
        return replace(self, _after=dict(self._after), _tables=dict(self._tables))

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the memory maps: another process maps the files itself."""
        state = {**vars(self), "_after": {}, "_tables": {}}
        return {**state, "weights": None, "draws": None} if self.folder else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files again."""
        if state["folder"] is not None:
            state["weights"], state["draws"] = map_columns(state["folder"])
        self.__dict__.update(state)

    @property
    def blocks(self) -> int:
        """Number of shuffle blocks."""
        return len(self.block_shards)

    def tokens_after(self, passes_done: int) -> int:
        """Tokens of the first so many passes."""
        if passes_done == 0:
            return 0
        if passes_done not in self._after:
            self._after.update(self._kept())
        if passes_done not in self._after:
            self._after[passes_done] = sum(
                int(
                    order.tokens_after(
                        self.weights[low:high], self.draws[low:high], shard.index.offsets, passes_done, self.passes
                    )
                )
                for shard, low, high in zip(self.shards, self.bases[:-1], self.bases[1:], strict=True)
                if high > low
            )
            if self.folder and len(self.weights) >= _WORTH_KEEPING:
                sums = {str(number): total for number, total in self._after.items()}
                write_json(self.folder / _SUMS, {**sums, "check": stable_hash(sums)})
        return self._after[passes_done]

    def _kept(self) -> dict[int, int]:
        """Sums stored by an earlier process, as counting a billion documents takes seconds."""
        path = self.folder / _SUMS if self.folder else None
        if path is None or not path.exists():
            return {}
        kept = read_json(path)
        sound = kept.pop("check", None) == stable_hash(kept)
        return {int(number): total for number, total in kept.items()} if sound else {}

    def tokens_by_block(self, number: int) -> npt.NDArray[np.int64]:
        """Tokens of each block in a pass: int64[n_blocks]."""
        return self._table(f"pass-{number:06d}", number, lambda: self._count_tokens(number))

    def sequences_by_block(self, number: int, length: int, packing: str) -> npt.NDArray[np.int64]:
        """Sequences that a planned packing makes of each block in a pass: int64[n_blocks]."""

        def count() -> npt.NDArray[np.int64]:
            blocks = (self.pieces_of(number, block)[1] for block in range(self.blocks))
            return np.array([sequences_of(pieces, length, packing) for pieces in blocks], np.int64)

        return self._table(f"{packing}-{length}-{number:06d}", number, count)

    def _table(self, name: str, number: int, make: Callable[[], npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """A table of a pass: from memory, from disk, or made now."""
        if name not in self._tables:
            if len(self._tables) >= _OPEN_TABLES:
                self._tables.pop(next(iter(self._tables)), None)
            worth = self.folder and number < _MAX_TABLES and len(self.weights) >= _WORTH_A_FILE
            path = self.folder / f"{name}.npy" if self.folder and worth else None
            found = _kept_table(path, self.blocks) if path else None
            if found is None:
                found = make()
                if path:
                    with atomic_file(path) as file:
                        np.save(file, np.append(found, _check(found)))
            self._tables[name] = found
        return self._tables[name]

    def _count_tokens(self, number: int) -> npt.NDArray[np.int64]:
        found = np.zeros(self.blocks, np.int64)
        edges = np.searchsorted(self.block_shards, np.arange(len(self.shards) + 1))
        for shard, low, high, first, last in zip(
            self.shards, self.bases[:-1], self.bases[1:], edges[:-1], edges[1:], strict=True
        ):
            if last > first:
                found[first:last] = order.tokens_by_block(
                    self.weights[low:high],
                    self.draws[low:high],
                    shard.index.offsets,
                    self.starts[first : last + 1] - low,
                    number,
                    self.passes,
                )
        return found

    def pieces_of(self, number: int, block: int) -> tuple[AnyBin, Pieces]:
        """A block's shard, and the whole documents that a pass takes of it, in the pass's order."""
        shard, rows = self.documents_of(number, block)
        offsets = shard.index.offsets
        return shard, Pieces(rows=rows, begins=offsets[rows], ends=offsets[rows + 1])

    def block_order(self, number: int) -> npt.NDArray[np.int64]:
        """The blocks in the order in which a pass visits them: int64[n_blocks]."""
        epoch, within = divmod(number, self.passes)
        return order.permutation(self.blocks, order.key_of(self.seed, self.domain, epoch, within))

    def documents_of(self, number: int, block: int) -> tuple[AnyBin, npt.NDArray[np.int64]]:
        """A block's shard, and its rows that a pass takes, in the pass's order: int64[m]."""
        shard = int(self.block_shards[block])
        low, high, base = int(self.starts[block]), int(self.starts[block + 1]), int(self.bases[shard])
        members = order.documents_in_pass(self.weights[low:high], self.draws[low:high], number, self.passes)
        epoch, within = divmod(number, self.passes)
        shuffled = order.permutation(len(members), order.key_of(self.seed, self.domain, epoch, within, block))
        return self.shards[shard], members[shuffled] + (low - base)

    def bounds_of(self, block: int) -> tuple[int, int]:
        """The range of its shard's rows that a block covers: first, and one past the last."""
        base = int(self.bases[self.block_shards[block]])
        return int(self.starts[block]) - base, int(self.starts[block + 1]) - base


def _kept_table(path: Path, blocks: int) -> npt.NDArray[np.int64] | None:
    """A stored table; None if it is missing or damaged."""
    try:
        found: npt.NDArray[np.int64] = np.load(path)
    except (OSError, ValueError):
        return None
    sound = found.dtype == np.int64 and len(found) == blocks + 1 and found[-1] == _check(found[:-1])
    return found[:-1] if sound else None


def _check(table: npt.NDArray[np.int64]) -> np.int64:
    return np.uint64(check_of(np.ascontiguousarray(table).view(np.uint8))).astype(np.int64)


def lay_blocks(
    shards: Sequence[AnyBin], bases: npt.NDArray[np.int64], block_tokens: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Cut shards into blocks of about `block_tokens`: int64[n_blocks + 1] first documents, ending with their number;
    int32[n_blocks] shards. `bases` is int64[n_shards + 1], the number of each shard's first document.
    """
    starts, owners = [], []
    for number, shard in enumerate(shards):
        edges = order.block_starts(shard.index.offsets, block_tokens, BLOCK_DOCUMENTS)[:-1]
        starts.append(edges + bases[number])
        owners.append(np.full(len(edges), number, np.int32))
    return (np.concatenate([*starts, bases[-1:]]).astype(np.int64), np.concatenate([np.zeros(0, np.int32), *owners]))


def map_columns(folder: Path) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Weights and draws of an index, mapped."""
    weights, draws = (np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ("weights", "draws"))
    return weights, draws


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, made read-only: so are mapped ones, and numba would compile a kernel for each kind."""
    array.setflags(write=False)
    return array
