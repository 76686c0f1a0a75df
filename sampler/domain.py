"""One domain as an endless stream of tokens with random access.

Token t of a domain is found in three steps, none of which replays the stream: the pass, by bisection over the
closed form of tokens after g passes; the block, in the pass's prefix sums over its permuted blocks; the
document, in the block's prefix sums over its permuted documents. The stream runs on from pass to pass and
from epoch to epoch without padding, so that tokens are conserved.

Cost: a new pass one or two sweeps over the documents' lengths and weights (2-3 ns a document); a new block
its permutation; a read a copy. Memory: 40 bytes a document, and the open pass and blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sampler import order
from sampler.packing import Packed, copy_documents, pack
from sampler.tokens import DomainBin

Value = TypeVar("Value")
_OPEN_BLOCKS = 4
_OPEN_PASSES = 4


@dataclass(frozen=True, kw_only=True)
class DomainDocuments:
    """The documents of a domain that a stream draws on; immutable, shared by all its readers.

    Attributes:
        source: the bin.
        seed: the mixture's.
        begins: int64[n], where each chosen document starts in the bin.
        ends: int64[n], where it ends.
        doc_ids: int64[n].
        lengths: int64[n], tokens.
        weights: int64[n], fixed-point expected copies an epoch.
        phases: int64[n], fixed-point u(seed, d).
        starts: int64[n_blocks + 1].
        passes: passes an epoch.
    """

    source: DomainBin
    seed: int
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    doc_ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int64]
    phases: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    passes: int

    @property
    def tokens_per_epoch(self) -> float:
        """Expected tokens of an epoch, Σ weight · length."""
        return float((self.weights.astype(np.float64) * self.lengths).sum() / order.UNIT)


def choose_documents(
    source: DomainBin,
    chosen: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float32],
    seed: int,
    block_tokens: int,
) -> DomainDocuments:
    """Fix what a stream needs to know of a domain.

    Args:
        source: the domain's bin.
        chosen: bool[n_docs], which documents belong to the split.
        weights: float32[n_docs], expected copies an epoch.
        seed: the mixture's.
        block_tokens: tokens of a shuffle block.

    Raises:
        ValueError: a weight is negative or above 64.
    """
    fixed = order.fixed_weights(weights)
    rows = np.flatnonzero(chosen & (fixed > 0))
    fixed, lengths = fixed[rows], np.diff(source.offsets)[rows]
    return DomainDocuments(
        source=source,
        seed=seed,
        begins=source.offsets[rows],
        ends=source.offsets[rows + 1],
        doc_ids=source.doc_ids[rows],
        lengths=lengths,
        weights=fixed,
        phases=order.phases(seed, source.doc_ids[rows]),
        starts=order.block_starts(lengths, block_tokens),
        passes=order.passes_per_epoch(fixed),
    )


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """A pass: its blocks in order, and the stream's token at which each begins (and the last ends)."""

    number: int
    blocks: npt.NDArray[np.int64]
    prefix: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Block:
    """A block in a pass: its documents in order, and their first tokens within the block."""

    documents: npt.NDArray[np.int64]
    prefix: npt.NDArray[np.int64]


class DomainReader:
    """Random access to a domain's stream, with small caches; one a rank, never shared between threads."""

    def __init__(self, documents: DomainDocuments) -> None:
        self.documents = documents
        self._passes: OrderedDict[Hashable, _Pass] = OrderedDict()
        self._blocks: OrderedDict[Hashable, _Block] = OrderedDict()

    def sequence(self, ordinal: int, length: int) -> Packed:
        """The domain's sequence number `ordinal` of `length` tokens."""
        tokens, begins, documents = self.read(ordinal * length, length + 1)
        return pack(self.documents.source.domain, tokens, begins, self.documents.doc_ids[documents])

    def read(
        self, start: int, count: int
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tokens start…start+count-1 of the stream.

        Returns:
            uint32[count] tokens; int64[n] where each document's piece begins in them; int64[n] which
            document.
        """
        out = np.empty(count, np.uint32)
        begins, taken = [], []
        scratch = np.empty((2, count), np.int64)
        filled = 0
        while filled < count:
            block, inside = self._seek(start + filled)
            first = int(np.searchsorted(block.prefix, inside, "right")) - 1
            filled, pieces = copy_documents(
                self.documents.source.tokens,
                self.documents.begins,
                self.documents.ends,
                block.documents,
                first,
                inside - int(block.prefix[first]),
                out,
                filled,
                scratch[0],
                scratch[1],
            )
            begins.append(scratch[0, :pieces].copy())
            taken.append(scratch[1, :pieces].copy())
        return out, np.concatenate(begins), np.concatenate(taken)

    def pass_at(self, token: int) -> int:
        """The pass (counted over all epochs) that holds a token of the stream."""
        return self._pass_of(token).number

    def epochs_at(self, token: int) -> float:
        """How many epochs the first `token` tokens are, with the fraction of the current one."""
        epoch = self.pass_at(token) // self.documents.passes
        begin, end = (self._after((epoch + more) * self.documents.passes) for more in (0, 1))
        return epoch + (token - begin) / (end - begin)

    def _seek(self, token: int) -> tuple[_Block, int]:
        """The block that holds a token of the stream, and the token's place in it."""
        current = self._pass_of(token)
        slot = int(np.searchsorted(current.prefix, token, "right")) - 1
        block = self._block(current.number, int(current.blocks[slot]))
        return block, token - int(current.prefix[slot])

    def _pass_of(self, token: int) -> _Pass:
        for known in reversed(self._passes.values()):
            if known.prefix[0] <= token < known.prefix[-1]:
                return known
        low, high = 0, 1
        while self._after(high) <= token:
            low, high = high, 2 * high
            if high > order.MAX_PASSES:
                raise ValueError(f"token {token} of domain {self.documents.source.domain} is out of reach")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._after(middle) <= token else (low, middle)
        return _cached(self._passes, low, _OPEN_PASSES, lambda: self._plan(low))

    def _after(self, passes_done: int) -> int:
        has = self.documents
        return int(order.tokens_after(has.weights, has.phases, has.lengths, passes_done, has.passes))

    def _plan(self, number: int) -> _Pass:
        has = self.documents
        counted = order.tokens_by_block(has.weights, has.phases, has.lengths, has.starts, number, has.passes)
        epoch, within = divmod(number, has.passes)
        blocks = order.permutation(len(counted), order.key_of(has.seed, has.source.domain, epoch, within))
        prefix = np.concatenate([[0], np.cumsum(counted[blocks])]) + self._after(number)
        return _Pass(number=number, blocks=blocks, prefix=prefix.astype(np.int64))

    def _block(self, number: int, block: int) -> _Block:
        return _cached(self._blocks, (number, block), _OPEN_BLOCKS, lambda: self._shuffled(number, block))

    def _shuffled(self, number: int, block: int) -> _Block:
        has = self.documents
        low, high = int(has.starts[block]), int(has.starts[block + 1])
        members = low + order.documents_in_pass(has.weights[low:high], has.phases[low:high], number, has.passes)
        epoch, within = divmod(number, has.passes)
        key = order.key_of(has.seed, has.source.domain, epoch, within, block)
        documents = members[order.permutation(len(members), key)]
        prefix = np.concatenate([[0], np.cumsum(has.lengths[documents])]).astype(np.int64)
        return _Block(documents=documents, prefix=prefix)


def _cached(cache: OrderedDict[Any, Value], key: Hashable, limit: int, make: Callable[[], Value]) -> Value:
    if key in cache:
        cache.move_to_end(key)
    else:
        cache[key] = make()
        if len(cache) > limit:
            cache.popitem(last=False)
    return cache[key]
