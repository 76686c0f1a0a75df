"""Hashes of spans: what makes two paragraphs or two sentences "the same".

Two spans are the same when their tokens are: case, width, punctuation and spacing do not count. The hash is 64 bits:
over the 10^11 distinct sentences of a 15-trillion-token corpus some 300 pairs collide by chance, each costing one
sentence; 128 bits would double the one table that is wider than all the others together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from text.arrow import TextColumn
from text.hash import mix
from text.segment import Spans
from text.tokens import token_hashes

U64 = np.uint64
SpanHashes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]
"""The hash of each span, and its tokens."""


def span_hashes(spans: TextColumn) -> SpanHashes:
    """The token hash of each span.

    Args:
        spans: one text a span.

    Returns:
        hashes: int64[n_spans]; tokens: int32[n_spans].
    """
    ptr, tokens = token_hashes(spans)
    return nested_hashes(ptr, tokens, np.arange(len(spans), dtype=np.int64))[1]


def opening(inner: Spans, outer: Spans) -> npt.NDArray[np.int64]:
    """The inner span that each outer one begins with, int64[n_outer]: each starts where an inner one does."""
    return np.searchsorted(_positions(inner), _positions(outer))


def _positions(spans: Spans) -> npt.NDArray[np.int64]:
    """(text, start) of each span as one ascending number."""
    which = np.repeat(np.arange(len(spans.ptr) - 1, dtype=np.int64), np.diff(spans.ptr))
    return which << 32 | spans.starts


def nested_hashes(
    ptr: npt.NDArray[np.int64], tokens: npt.NDArray[np.uint64], first: npt.NDArray[np.int64]
) -> tuple[SpanHashes, SpanHashes]:
    """The token hashes of nesting spans, from one pass over the tokens.

    Args:
        ptr: int64[n_inner + 1].
        tokens: uint64[ptr[-1]], those of the inner spans, as ``text.tokens.token_hashes`` gives them.
        first: int64[n_outer], see ``opening``.

    Returns:
        Those of the outer spans and those of the inner ones, each what ``span_hashes`` gives for them.
    """
    by_outer, by_inner = _fold(ptr, tokens, first)
    outer_ptr = np.append(ptr[first], ptr[-1])
    return (by_outer, np.diff(outer_ptr).astype(np.int32)), (by_inner, np.diff(ptr).astype(np.int32))


def distinct(
    hashes: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct hashes, ascending, with the first row and the number of rows of each; int64[m] each.

    Cost: one sort that need not be stable, which numpy does with vector instructions.
    """
    if not len(hashes):
        return (np.zeros(0, np.int64),) * 3
    order = np.argsort(hashes)
    starts = _starts(hashes[order])
    return hashes[order[starts]], np.minimum.reduceat(order, starts), np.diff(np.append(starts, len(hashes)))


def _starts(ordered: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each group of equal numbers starts."""
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.flatnonzero(first)


@dataclass(frozen=True, slots=True)
class Owners:
    """Spans that occur often enough, ascending by hash.

    Attributes:
        hash: int64[n], distinct.
        copies: int64[n], occurrences.
        doc_id: int64[n], the owner: the least (document, start).
        start: int32[n].
        rows: int64[m], the rows given that are about these spans.
        of: int64[m], the span of each.
    """

    hash: npt.NDArray[np.int64]
    copies: npt.NDArray[np.int64]
    doc_id: npt.NDArray[np.int64]
    start: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    of: npt.NDArray[np.int64]


def count_spans(
    hashes: npt.NDArray[np.int64], copies: npt.NDArray[np.int64], doc_id: npt.NDArray[np.int64],
    start: npt.NDArray[np.int32], min_copies: int,
) -> Owners:  # fmt: skip
    """Counts spans by hash and finds their owners.

    Args:
        hashes: int64[n].
        copies: int64[n], occurrences that each row stands for.
        doc_id: int64[n], the first of those.
        start: int32[n].
        min_copies: rarer spans are left out.

    Cost: one sort of n numbers, and one of the rows whose span is often enough there.
    """
    order = np.argsort(hashes)
    starts = _starts(hashes[order])
    total = np.add.reduceat(copies[order], starts) if len(starts) else copies
    often = total >= min_copies
    rows = order[np.repeat(often, np.diff(np.append(starts, len(order))))]
    rows = rows[np.lexsort((start[rows], doc_id[rows], hashes[rows]))]
    leads = _starts(hashes[rows])
    of = np.repeat(np.arange(len(leads)), np.diff(np.append(leads, len(rows))))
    owner = rows[leads]
    return Owners(hashes[owner], total[often], doc_id[owner], start[owner], rows, of)


def positions_of(known: npt.NDArray[np.int64], hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each hash stands among known ones, int64[n]; -1 where it does not.

    Args:
        known: int64[m], distinct.
        hashes: int64[n], mixed well.

    Cost: a table of 4 bytes a slot, two to four slots a known hash; a probe or two for each of n.
    """
    return _positions_of(known.view(np.uint64), hashes.view(np.uint64), max(1, 2 * len(known) - 1).bit_length())


@nb.njit(cache=True)
def _positions_of(known, hashes, bits):  # type: ignore[no-untyped-def]
    slots = np.full(1 << bits, -1, np.int32)
    shift, last = U64(64 - bits), (1 << bits) - 1
    for k in range(len(known)):
        at = np.int64(known[k] >> shift)
        while slots[at] >= 0:
            at = (at + 1) & last
        slots[at] = k
    out = np.empty(len(hashes), np.int64)
    for i in range(len(hashes)):
        at = np.int64(hashes[i] >> shift)
        while slots[at] >= 0 and known[slots[at]] != hashes[i]:
            at = (at + 1) & last
        out[i] = slots[at]
    return out


@nb.njit(inline="always", cache=True)
def _step(h, token):  # type: ignore[no-untyped-def]
    """Takes in a token, itself a mixed hash; one-to-one in either, so that texts of one differing token differ."""
    h = (h ^ token) * U64(0x9FB21C651E98DF25)
    return h ^ (h >> U64(32))


@nb.njit(cache=True)
def _fold(ptr, tokens, first):  # type: ignore[no-untyped-def]
    by_outer, by_inner = np.empty(len(first), np.int64), np.empty(len(ptr) - 1, np.int64)
    for o in range(len(first)):
        last = first[o + 1] if o + 1 < len(first) else len(ptr) - 1
        outer = mix(U64(ptr[last] - ptr[first[o]]))
        for i in range(first[o], last):
            inner = mix(U64(ptr[i + 1] - ptr[i]))
            for k in range(ptr[i], ptr[i + 1]):
                inner, outer = _step(inner, tokens[k]), _step(outer, tokens[k])
            by_inner[i] = np.int64(mix(inner))
        by_outer[o] = np.int64(mix(outer))
    return by_outer, by_inner
