"""Packing: how documents become sequences of `sequence_length` tokens. Three ways; each conserves tokens.

::

    documents   a a a a a a $ | b $ | c c c c c c c c c c c $ | d d $ …      $ is the end token, part of its document

    concat      [a a a a a a $   b]  cu_seqlens 0 7 8    no padding; a document is cut where the sequence ends
                [$ c c c c c c c]               0 1 8    and goes on in the next one
                [c c c c $ d d $]               0 5 8
    best_fit    [c c c c c c c c]               0 8      a document longer than a sequence gives whole sequences and
                [a a a a a a $ .]               0 7      a rest; rests and short documents are placed, longest first,
                [c c c $ d d $ .]               0 4 7    where they fit best within their shuffle block; what stays
                [b $ . . . . . .]               0 2      free is padding
    document    [a a a a a a $ .]               0 7      one document a sequence; a long one takes several
                …

concat needs no padding and cuts most; best_fit cuts only documents that are longer than a sequence, and `tamis mixture
plan` measures its padding; document is for texts that must not share a sequence, and pads most.

Positions restart with each piece of a document, since a piece cannot attend to an earlier sequence anyway. Labels are
the tokens shifted by one. A piece that was cut has the document's next token as its last label, whatever the packing.
Under concat the last label of a sequence is the first token of the domain's next sequence, so that every token is an
input once and a label once. A whole document at the end of a row has its end token once more as the last label.

Cost of best_fit: 20-60 ns a document to plan a block, then a copy for each sequence.

Source: best fit after Ding et al. 2024, "Fewer Truncations Improve Language Modeling" (arXiv 2404.10830), section 3.
Deviation: we pack within shuffle blocks, which keeps the order random and the plan local; they pack the whole corpus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel

CONCAT, DOCUMENT = "concat", "document"
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Stretches of documents of one shard, in order."""

    rows: Int64s  # [n], the document's row in its shard
    begins: Int64s  # [n], where the stretch starts in the shard's bin
    ends: Int64s  # [n], where it ends

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return int((self.ends - self.begins).sum())

    def taken(self, index: Int64s) -> Pieces:
        """The pieces at `index`, in that order."""
        return Pieces(rows=self.rows[index], begins=self.begins[index], ends=self.ends[index])

    def after(self, tokens: int) -> Pieces:
        """What is left after the first `tokens` tokens."""
        prefix = np.cumsum(self.ends - self.begins)
        first = int(np.searchsorted(prefix, tokens, "right"))
        begins = self.begins[first:].copy()
        if len(begins):
            begins[0] = self.ends[first] - (prefix[first] - tokens)
        return Pieces(rows=self.rows[first:], begins=begins, ends=self.ends[first:])

    def joined(self) -> Pieces:
        """The same, with adjacent pieces that continue one document merged."""
        goes_on = (self.rows[1:] == self.rows[:-1]) & (self.begins[1:] == self.ends[:-1])
        first = np.flatnonzero(np.append(True, ~goes_on)[: len(self.rows)])
        last = np.flatnonzero(np.append(~goes_on, True)[: len(self.rows)])
        return Pieces(rows=self.rows[first], begins=self.begins[first], ends=self.ends[last])


@dataclass(frozen=True, kw_only=True)
class PackingPlan:
    """How a block's pieces fill sequences."""

    pieces: Pieces  # the block's pieces, cut to fit, sequence by sequence
    first: Int64s  # [n_sequences + 1], each sequence's first piece
    origin: Int64s  # [n_pieces], each piece's position in the pass's order

    @property
    def sequences(self) -> int:
        """Number of sequences."""
        return len(self.first) - 1

    def after(self, sequences: int) -> Pieces:
        """The pieces that are left after the first `sequences` sequences, in the pass's order."""
        left = np.arange(int(self.first[sequences]), len(self.origin))
        return self.pieces.taken(left[np.argsort(self.origin[left], kind="stable")]).joined()


def plan_packing(pieces: Pieces, length: int, packing: str) -> PackingPlan:
    """Fill sequences from a block's pieces, in the pass's order, for best_fit or document; a document that fits into a
    sequence is not cut.
    """
    rows, begins, ends, target = _targets(pieces, length, packing)
    by_target = np.argsort(target, kind="stable")
    cut = Pieces(rows=rows, begins=begins, ends=ends)
    count = int(target.max(initial=-1)) + 1
    first = np.searchsorted(target[by_target], np.arange(count + 1)).astype(np.int64)
    return PackingPlan(pieces=cut.taken(by_target), first=first, origin=by_target.astype(np.int64))


def sequences_of(pieces: Pieces, length: int, packing: str) -> int:
    """How many sequences `plan_packing` gives."""
    return int(_targets(pieces, length, packing)[3].max(initial=-1)) + 1


def _targets(pieces: Pieces, length: int, packing: str) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    """Pieces cut to fit, as rows, begins and ends, and the sequence of each."""
    rows, begins, ends, alone = _cut(pieces.rows, pieces.begins, pieces.ends, length)
    if packing == DOCUMENT:
        return rows, begins, ends, np.arange(len(rows), dtype=np.int64)
    return rows, begins, ends, _best_fit(ends - begins, alone, length)


@kernel(nogil=True)
def _cut(rows, begins, ends, length):  # type: ignore[no-untyped-def]
    """Cut pieces into whole sequences and a rest: rows, begins, ends, and whether each fills a sequence alone."""
    count = 0
    for i in range(len(rows)):
        count += (ends[i] - begins[i] + length - 1) // length
    cut_rows, cut_begins, cut_ends = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    alone = np.empty(count, np.bool_)
    k = 0
    for i in range(len(rows)):
        at = begins[i]
        while at < ends[i]:
            stop = min(at + length, ends[i])
            cut_rows[k], cut_begins[k], cut_ends[k], alone[k] = rows[i], at, stop, stop - at == length
            at = stop
            k += 1
    return cut_rows, cut_begins, cut_ends, alone


@kernel(nogil=True)
def _best_fit(lengths, alone, length):  # type: ignore[no-untyped-def]
    """The sequence of each piece, numbered in the order of their last piece: int64[n].

    With that numbering a document's rest never comes before its whole sequences: wherever a phase ends, what is left of
    a document is its end.

    Pieces are placed longest first, each into the sequence with the least sufficient free space, the one opened last
    if there are several. Open sequences form a linked list for each size of free space; a binary tree tells which
    lists are not empty.
    """
    n = len(lengths)
    heads = np.full(length + 1, -1, np.int64)  # free space → the last sequence that has exactly so much
    below = np.empty(n, np.int64)  # sequence → the next one in its list
    size = 1
    while size < length + 1:
        size *= 2
    tree = np.zeros(2 * size, np.bool_)  # node → whether any size below it has a sequence
    counts = np.zeros(length + 2, np.int64)
    for i in range(n):
        counts[lengths[i] + 1] += 1
    starts = np.cumsum(counts)
    by_length = np.empty(n, np.int64)
    for i in range(n):  # stable: pieces of equal length stay in the block's order
        by_length[starts[lengths[i]]] = i
        starts[lengths[i]] += 1
    target = np.empty(n, np.int64)
    opened = 0
    group = np.int64(n)
    while group > 0:
        low = group - 1
        while low > 0 and lengths[by_length[low - 1]] == lengths[by_length[group - 1]]:
            low -= 1
        for k in range(low, group):
            i = by_length[k]
            need = lengths[i]
            free = -1 if alone[i] else _least(tree, size, need)
            if free < 0:
                chosen = opened
                opened += 1
                left = length - need
            else:
                chosen = heads[free]
                heads[free] = below[chosen]
                if heads[free] < 0:
                    _mark(tree, size, free, False)
                left = free - need
            target[i] = chosen
            if left > 0:
                if heads[left] < 0:
                    _mark(tree, size, left, True)
                below[chosen] = heads[left]
                heads[left] = chosen
        group = low
    names = np.full(opened, -1, np.int64)  # numbered in the block's order, so that the longest do not come first
    named = opened
    for i in range(n - 1, -1, -1):
        if names[target[i]] < 0:
            named -= 1
            names[target[i]] = named
    for i in range(n):
        target[i] = names[target[i]]
    return target


@kernel(inline="always")
def _mark(tree, size, leaf, there):  # type: ignore[no-untyped-def]
    node = size + leaf
    tree[node] = there
    while node > 1:
        node //= 2
        tree[node] = tree[2 * node] or tree[2 * node + 1]


@kernel(inline="always")
def _least(tree, size, need):  # type: ignore[no-untyped-def]
    """The least free space of at least `need` in any sequence, or -1."""
    node = size + need
    if tree[node]:
        return need
    while node > 1:
        if node % 2 == 0 and tree[node + 1]:
            node += 1
            while node < size:
                node = 2 * node if tree[2 * node] else 2 * node + 1
            return node - size
        node //= 2
    return -1
