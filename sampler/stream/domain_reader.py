"""One domain in one phase: its sequences, with random access.

A domain is an endless series of passes over permuted blocks of permuted documents (`sampler.stream.domain_documents`).
A phase starts at the cursor where the phase before it stopped and cuts what follows into sequences. Sequence j is
found without replaying the ones before it: its pass by a closed form (concat) or from the number of sequences in the
passes counted so far; its block from prefix sums over the pass's blocks; its documents from prefix sums in the block.

A cursor may lie in the middle of a block, even of a document: it then carries what is left of that block, which the
phase reads first. Nothing is consumed twice or skipped, even if sequence length and packing differ between phases.

Cost: opening a block takes 5-10 ns a document for its permutation; copying a token some 0.5 ns. Memory: the open
blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sampler.bins.format import AnyBin
from sampler.stream import order
from sampler.stream.block import ShuffleBlock
from sampler.stream.domain_documents import DomainDocuments
from sampler.stream.packing import CONCAT, Int64s, Pieces, plan_packing, sequences_of
from sampler.stream.window import Window
from tamis.errors import TamisError

Value = TypeVar("Value")
_OPEN_BLOCKS = 3
_OPEN_PASSES = 3


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """A position in a domain between two sequences."""

    number: int = 0  # of the pass, counted over all epochs
    slot: int = 0  # the block's position in the pass's order
    left: Pieces | None = None  # what is left of that block; None for all of it


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """A pass: its blocks in order, and the unit (see `_locate`) at which each begins and the last one ends."""

    number: int
    blocks: Int64s
    prefix: Int64s


class DomainReader:
    """The sequences of a domain in a phase, from `cursor` on; each rank has its own, and threads never share one."""

    def __init__(
        self, documents: DomainDocuments, length: int, packing: str = CONCAT, cursor: Cursor | None = None
    ) -> None:
        self.documents, self.length, self.packing = documents, length, packing
        self.cursor = cursor or Cursor()
        self._passes: OrderedDict[Hashable, _Pass] = OrderedDict()
        self._blocks: OrderedDict[Hashable, ShuffleBlock] = OrderedDict()
        self._coming: dict[tuple[int, int], Future[npt.NDArray[Any]]] = {}
        self._totals = [0]  # sequences of this phase before each pass, from the cursor's pass on; not under concat
        first = self.cursor.number
        counted, blocks = documents.tokens_by_block(first), documents.block_order(first)
        before = int(counted[blocks[: self.cursor.slot]].sum())
        if self.cursor.left is not None:
            before += int(counted[blocks[self.cursor.slot]]) - self.cursor.left.tokens
        self.start = documents.tokens_after(first) + before
        """Tokens of the domain that earlier phases consumed."""

    def fork(self) -> DomainReader:
        """The same with caches of its own."""
        return DomainReader(self.documents.fork(), self.length, self.packing, self.cursor)

    def fill(self, ordinals: Int64s, rows: Int64s, window: Window) -> None:
        """Write the phase's sequences `ordinals`, int64[n] ascending, into the window's `rows`, int64[n].

        Raises:
            TamisError: the domain's tokens cannot be read, or are corrupt.
        """
        if self.packing == CONCAT:
            self._fill_concat(ordinals, rows, window)
        else:
            self._fill_planned(ordinals, rows, window)

    def consumed(self, sequences: int) -> int:
        """Tokens of the domain, from its beginning, that are consumed after so many sequences of the phase."""
        if self.packing == CONCAT:
            return self.start + sequences * self.length
        number, slot, inside = self._locate(sequences)
        current, block = self._pass(number), self._block(number, slot)
        counted = self.documents.tokens_by_block(number)
        before = int(counted[current.blocks[:slot]].sum())
        assert block.plan is not None
        left = block.plan.after(inside).tokens
        return self.documents.tokens_after(number) + before + int(counted[current.blocks[slot]]) - left

    def cursor_after(self, sequences: int) -> Cursor:
        """The cursor after so many sequences of the phase."""
        if self.packing == CONCAT:
            number, slot, inside = self._locate(self.start + sequences * self.length)
            block = self._block(number, slot)
            return Cursor(number=number, slot=slot, left=block.pieces.after(inside - int(block.prefix[0])))
        number, slot, inside = self._locate(sequences)
        plan_of = self._block(number, slot).plan
        assert plan_of is not None
        return Cursor(number=number, slot=slot, left=plan_of.after(inside))

    def epochs_after(self, sequences: int) -> float:
        """Epochs of the domain, with a fraction, that are consumed after so many sequences of the phase."""
        token, has = self.consumed(sequences), self.documents
        number = _bisect(lambda passes: has.tokens_after(passes) <= token, has.domain)
        epoch = number // has.passes
        begin, end = (has.tokens_after((epoch + more) * has.passes) for more in (0, 1))
        return epoch + (token - begin) / (end - begin)

    def place(self, sequences: int) -> dict[str, int]:
        """The position in human terms: pass, block and unit within the block (see `_locate`)."""
        unit = self.start + sequences * self.length if self.packing == CONCAT else sequences
        number, slot, inside = self._locate(unit)
        return {"pass": number, "block": slot, "unit": inside}

    # ------------------------------------------------------------------------------------------------- concat

    def _fill_concat(self, ordinals: Int64s, rows: Int64s, window: Window) -> None:
        starts = self.start + ordinals * self.length
        done = 0  # sequences that are finished
        at = int(starts[0])
        while done < len(starts):
            number, slot, inside = self._locate(at)
            block = self._block(number, slot)
            begin = at - inside  # the block's first token, counted in the domain
            end = begin + int(block.prefix[-1])
            last = int(np.searchsorted(starts, end))  # sequences before it begin in this block or earlier
            window.copy_stretches(block, starts[done:last], rows[done:last], begin, self.length)
            done = int(np.searchsorted(starts, end - self.length))  # a sequence needs one token after its end
            at = max(end, int(starts[done])) if done < len(starts) else at

    # ------------------------------------------------------------------------------------- best_fit, document

    def _fill_planned(self, ordinals: Int64s, rows: Int64s, window: Window) -> None:
        done = 0
        while done < len(ordinals):
            number, slot, inside = self._locate(int(ordinals[done]))
            block = self._block(number, slot)
            assert block.plan is not None
            begin = int(ordinals[done]) - inside
            last = int(np.searchsorted(ordinals, begin + block.plan.sequences))
            window.copy_planned(block, ordinals[done:last] - begin, rows[done:last])
            done = last

    # ---------------------------------------------------------------------------------------- passes and blocks

    def _locate(self, unit: int) -> tuple[int, int, int]:
        """The pass and slot of a unit, and its position in that block.

        A unit is a token of the domain under concat, a sequence of the phase under the other packings.
        """
        current = self._pass_of(unit)
        slot = int(np.searchsorted(current.prefix, unit, "right")) - 1
        return current.number, slot, unit - int(current.prefix[slot])

    def _pass_of(self, unit: int) -> _Pass:
        for known in reversed(self._passes.values()):
            if known.prefix[0] <= unit < known.prefix[-1]:
                return known
        if self.packing == CONCAT:
            has = self.documents
            return self._pass(_bisect(lambda passes: has.tokens_after(passes) <= unit, has.domain))
        while self._totals[-1] <= unit:
            number = self.cursor.number + len(self._totals) - 1
            if len(self._totals) > order.MAX_SEARCH and self._totals[-1] == 0:
                raise TamisError(f"domain {self.documents.domain}: its weights are so small that no pass has a token.")
            self._totals.append(self._totals[-1] + int(self._units(number).sum()))
        index = int(np.searchsorted(self._totals, unit, "right")) - 1
        return self._pass(self.cursor.number + index)

    def _pass(self, number: int) -> _Pass:
        def make() -> _Pass:
            units, blocks = self._units(number), self.documents.block_order(number)
            if self.packing == CONCAT:
                first = self.documents.tokens_after(number)
            else:
                first = self._totals[number - self.cursor.number]
            prefix = np.concatenate([[0], np.cumsum(units[blocks])]) + first
            return _Pass(number=number, blocks=blocks, prefix=prefix.astype(np.int64))

        return _cached(self._passes, number, _OPEN_PASSES, make)

    def _units(self, number: int) -> Int64s:
        """Units of each block in a pass: tokens, or sequences; 0 for blocks before the cursor."""
        has, cursor = self.documents, self.cursor
        if self.packing == CONCAT:
            return has.tokens_by_block(number)
        found = has.sequences_by_block(number, self.length, self.packing)
        if number == cursor.number and (cursor.slot or cursor.left is not None):
            found, blocks = found.copy(), has.block_order(number)
            found[blocks[: cursor.slot]] = 0
            if cursor.left is not None:
                found[blocks[cursor.slot]] = sequences_of(cursor.left, self.length, self.packing)
        return found

    def _pieces(self, number: int, slot: int, block: int) -> tuple[AnyBin, Pieces]:
        if self.cursor.left is not None and (number, slot) == (self.cursor.number, self.cursor.slot):
            return self.documents.shards[int(self.documents.block_shards[block])], self.cursor.left
        return self.documents.pieces_of(number, block)

    def _block(self, number: int, slot: int) -> ShuffleBlock:
        return _cached(self._blocks, (number, slot), _OPEN_BLOCKS, lambda: self._open(number, slot))

    def _open(self, number: int, slot: int) -> ShuffleBlock:
        block = int(self._pass(number).blocks[slot])
        shard, pieces = self._pieces(number, slot, block)
        low, _ = self.documents.bounds_of(block)
        base = int(shard.index.offsets[low])
        prefix = np.concatenate([[0], np.cumsum(pieces.ends - pieces.begins)])
        if self.packing == CONCAT and (number, slot) == (self.cursor.number, self.cursor.slot):
            prefix += int(self.documents.tokens_by_block(number)[block]) - pieces.tokens
        planned = None if self.packing == CONCAT else plan_packing(pieces, self.length, self.packing)
        return ShuffleBlock(
            shard=shard,
            base=base,
            pieces=pieces,
            prefix=prefix.astype(np.int64),
            plan=planned,
            document_ends=shard.index.offsets[planned.pieces.rows + 1] if planned else prefix[:0],
            fetch=lambda: self._source(number, slot, block),
        )

    def _source(self, number: int, slot: int, block: int) -> npt.NDArray[Any]:
        """A block's tokens; if its bin is remote, the next block is fetched in the background."""
        coming = self._coming.pop((number, slot), None)
        found = self._read(block) if coming is None else coming.result()
        following = self._pass(number).blocks[slot + 1 : slot + 2].tolist()
        if following and self.documents.shards[int(self.documents.block_shards[block])].remote:
            self._coming = {(number, slot + 1): self._fetcher.submit(self._read, following[0])}
        return found

    def _read(self, block: int) -> npt.NDArray[Any]:
        shard = self.documents.shards[int(self.documents.block_shards[block])]
        low, high = self.documents.bounds_of(block)
        base, end = int(shard.index.offsets[low]), int(shard.index.offsets[high])
        return shard.read(base, end)

    @cached_property
    def _fetcher(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "tamis-fetch")


def _bisect(passed: Callable[[int], bool], domain: str) -> int:
    """The last number of passes for which `passed` holds."""
    low, high = 0, 1
    while passed(high):
        low, high = high, 2 * high
        if high > order.MAX_PASSES:
            raise TamisError(f"domain {domain}: its weights are so small that no pass in reach has a token of it.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passed(middle) else (low, middle)
    return low


def _cached(cache: OrderedDict[Any, Value], key: Hashable, limit: int, make: Callable[[], Value]) -> Value:
    if key in cache:
        cache.move_to_end(key)
    else:
        cache[key] = make()
        if len(cache) > limit:
            cache.popitem(last=False)
    return cache[key]
