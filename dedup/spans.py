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
    return _fold(ptr, tokens), np.diff(ptr).astype(np.int32)


def nested_hashes(column: TextColumn, inner: Spans, outer: Spans) -> tuple[SpanHashes, SpanHashes]:
    """The token hashes of nesting spans, from one pass over the tokens.

    Args:
        column: the texts.
        inner: spans that tile each text.
        outer: coarser spans; each starts where an inner one does.

    Returns:
        Those of the inner spans and those of the outer ones, each what ``span_hashes`` gives for them.
    """
    return nested_hashes_of(*token_hashes(inner.as_column(column)), inner, outer)


def nested_hashes_of(
    ptr: npt.NDArray[np.int64], tokens: npt.NDArray[np.uint64], inner: Spans, outer: Spans
) -> tuple[SpanHashes, SpanHashes]:
    """What ``nested_hashes`` gives, from the tokens of the inner spans as ``token_hashes`` finds them."""
    first = np.searchsorted(_positions(inner), _positions(outer))
    outer_ptr = np.append(ptr[first], ptr[-1])
    return (
        (_fold(ptr, tokens), np.diff(ptr).astype(np.int32)),
        (_fold(outer_ptr, tokens), np.diff(outer_ptr).astype(np.int32)),
    )


def _positions(spans: Spans) -> npt.NDArray[np.int64]:
    """(text, start) of each span as one ascending number."""
    which = np.repeat(np.arange(len(spans.ptr) - 1, dtype=np.int64), np.diff(spans.ptr))
    return which << 32 | spans.starts


@dataclass(frozen=True, slots=True)
class Owners:
    """Spans that occur often enough, ascending by hash.

    Attributes:
        hash: int64[n], distinct.
        copies: int64[n], occurrences.
        doc_id: int64[n], the owner: the least (document, start).
        start: int32[n].
    """

    hash: npt.NDArray[np.int64]
    copies: npt.NDArray[np.int64]
    doc_id: npt.NDArray[np.int64]
    start: npt.NDArray[np.int32]


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

    Cost: one sort of n numbers, and one of the rows whose hash is there twice.
    """
    order = np.argsort(hashes, kind="stable")
    sorted_hashes = hashes[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = sorted_hashes[1:] != sorted_hashes[:-1]
    group = np.cumsum(first) - 1
    total = np.bincount(group, weights=copies[order], minlength=int(first.sum())).astype(np.int64)
    often = (total >= min_copies)[group] if len(group) else first
    rows = order[often]
    rows = rows[np.lexsort((start[rows], doc_id[rows], hashes[rows]))]
    leads = np.ones(len(rows), np.bool_)
    leads[1:] = hashes[rows][1:] != hashes[rows][:-1]
    owner = rows[leads]
    return Owners(hashes[owner], total[total >= min_copies], doc_id[owner], start[owner])


@nb.njit(cache=True)
def _fold(ptr, tokens):  # type: ignore[no-untyped-def]
    out = np.empty(len(ptr) - 1, np.int64)
    for i in range(len(ptr) - 1):
        h = U64(ptr[i + 1] - ptr[i])
        for k in range(ptr[i], ptr[i + 1]):
            h = mix((h ^ tokens[k]) * U64(0x9FB21C651E98DF25))
        out[i] = np.int64(h)
    return out
