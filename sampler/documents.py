"""The documents of a domain as the stream sees them: numbered through its shards, weighted, cut into shuffle blocks.

A document is a row of a shard's bin; its weight and its draw u(seed, d) are fixed-point numbers beside it. Blocks are
runs of consecutive documents within one shard, about `shuffle_block_tokens` long: what a pass permutes, and all that
has to be open at a time. Which documents a pass holds and where it ends follow in closed form (`sampler.order`).

Everything that grows with the corpus lies in maps: the bins' indexes, and two uint32 a document made here and kept
beside the bins under the hash of what they were made from (`sampler.weighting`). Private memory is a block table, 12
bytes for some four million tokens.

Cost: a sweep for one pass 2-3 ns a document, once; its table is kept too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.files import atomic_file
from sampler import order
from sampler.bins import AnyBin

BLOCK_DOCUMENTS = 1 << 16
_OPEN_TABLES = 4
_MAX_TABLES = 1 << 12  # of passes, on disk: tiny domains pass by the million


@dataclass(frozen=True, kw_only=True)
class DomainDocuments:
    """What a stream needs to know of a domain; immutable, shared by all its readers.

    Attributes:
        domain: its name in the mixture.
        seed: the mixture's.
        shards: its bins, in order.
        bases: int64[n_shards + 1], the number of each shard's first document.
        weights: uint32[n_docs], fixed-point expected copies an epoch; 0 for what the split leaves out.
        draws: uint32[n_docs], fixed-point u(seed, d).
        starts: int64[n_blocks + 1], first document of each block.
        block_shards: int32[n_blocks], the shard of each block.
        passes: passes an epoch.
        tokens_per_epoch: expected tokens of an epoch, Σ weight · length.
        digest: of weights and bins, what tells this domain's samples from another's.
        folder: where tables of passes are kept, or None.
    """

    domain: str
    seed: int
    shards: Sequence[AnyBin]
    bases: npt.NDArray[np.int64]
    weights: npt.NDArray[np.uint32]
    draws: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    block_shards: npt.NDArray[np.int32]
    passes: int
    tokens_per_epoch: float
    digest: str
    folder: Path | None = None
    _after: dict[int, int] = field(default_factory=dict, compare=False)
    _by_block: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict, compare=False)

    @property
    def blocks(self) -> int:
        """Number of shuffle blocks."""
        return len(self.block_shards)

    def tokens_after(self, passes_done: int) -> int:
        """Tokens of the first so many passes."""
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
        return self._after[passes_done]

    def tokens_by_block(self, number: int) -> npt.NDArray[np.int64]:
        """Tokens of each block in a pass: int64[n_blocks]."""
        if number not in self._by_block:
            if len(self._by_block) >= _OPEN_TABLES:
                self._by_block.pop(next(iter(self._by_block)), None)
            self._by_block[number] = self._counted(number)
        return self._by_block[number]

    def _counted(self, number: int) -> npt.NDArray[np.int64]:
        path = self.folder / f"pass-{number:06d}.npy" if self.folder and number < _MAX_TABLES else None
        if path and path.exists():
            return np.asarray(np.load(path))
        found = np.zeros(self.blocks, np.int64)
        edges = np.searchsorted(self.block_shards, np.arange(len(self.shards) + 1))
        for shard, low, high, first, last in zip(
            self.shards, self.bases[:-1], self.bases[1:], edges[:-1], edges[1:], strict=True
        ):
            if last > first:
                found[first:last] = order.tokens_by_block(
                    self.weights[low:high], self.draws[low:high], shard.index.offsets,
                    self.starts[first : last + 1] - low, number, self.passes,
                )  # fmt: skip
        if path:
            with atomic_file(path) as file:
                np.save(file, found)
        return found

    def block_order(self, number: int) -> npt.NDArray[np.int64]:
        """The blocks in the order in which a pass visits them: int64[n_blocks]."""
        epoch, within = divmod(number, self.passes)
        return order.permutation(self.blocks, order.key_of(self.seed, self.domain, epoch, within))

    def documents_of(self, number: int, block: int) -> tuple[AnyBin, npt.NDArray[np.int64]]:
        """A block's shard, and the rows in it that a pass takes, in the pass's order: int64[m]."""
        shard = int(self.block_shards[block])
        low, high, base = int(self.starts[block]), int(self.starts[block + 1]), int(self.bases[shard])
        members = order.documents_in_pass(self.weights[low:high], self.draws[low:high], number, self.passes)
        epoch, within = divmod(number, self.passes)
        shuffled = order.permutation(len(members), order.key_of(self.seed, self.domain, epoch, within, block))
        return self.shards[shard], members[shuffled] + (low - base)

    def bounds_of(self, block: int) -> tuple[int, int]:
        """The rows of its shard that a block holds, taken or not: first, and end."""
        base = int(self.bases[self.block_shards[block]])
        return int(self.starts[block]) - base, int(self.starts[block + 1]) - base


def lay_blocks(
    shards: Sequence[AnyBin], bases: npt.NDArray[np.int64], block_tokens: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Cut shards into blocks.

    Args:
        shards: in order.
        bases: int64[n_shards + 1], the number of each shard's first document.
        block_tokens: about so many tokens each.

    Returns:
        int64[n_blocks + 1] first documents, ending with their number; int32[n_blocks] shards.
    """
    starts, owners = [], []
    for number, shard in enumerate(shards):
        edges = order.block_starts(shard.index.offsets, block_tokens, BLOCK_DOCUMENTS)[:-1]
        starts.append(edges + bases[number])
        owners.append(np.full(len(edges), number, np.int32))
    return (
        np.concatenate([*starts, bases[-1:]]).astype(np.int64),
        np.concatenate([np.zeros(0, np.int32), *owners]),
    )


def frozen(array: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The array, made read-only: kernels are compiled for one kind only."""
    array.setflags(write=False)
    return array
