"""Hashes of token sequences: what makes two paragraphs, two sentences or two phrases "the same".

Two texts are the same when their tokens are: case, width, punctuation and spacing do not count. The hash is 64 bits:
over the 10^11 distinct sentences of a 15-trillion-token corpus some 300 pairs collide by chance, each costing one
sentence; 128 bits would double the one table that is wider than all the others together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.hash import mix
from text.segment import Spans
from text.tokens import WORDS, token_hashes

U64 = np.uint64
SpanHashes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]
"""The hash of each span, and how many tokens it has."""


def span_hashes(spans: TextColumn, mode: int = WORDS) -> SpanHashes:
    """The token hash of each span, given as a text of its own: hashes int64[n_spans], tokens int32[n_spans]."""
    ptr, tokens = token_hashes(spans, mode)
    return nested_hashes(ptr, tokens, np.arange(len(spans), dtype=np.int64))[1]


def opening(inner: Spans, outer: Spans) -> npt.NDArray[np.int64]:
    """Each outer span's first inner span, int64[n_outer]; each outer span starts where an inner one does."""
    return np.searchsorted(_positions(inner), _positions(outer))


def _positions(spans: Spans) -> npt.NDArray[np.int64]:
    """(text, start) of each span as one ascending number."""
    which = np.repeat(np.arange(len(spans.ptr) - 1, dtype=np.int64), np.diff(spans.ptr))
    return which << 32 | spans.starts


def nested_hashes(
    ptr: npt.NDArray[np.int64], tokens: npt.NDArray[np.uint64], first: npt.NDArray[np.int64]
) -> tuple[SpanHashes, SpanHashes]:
    """The token hashes of nesting spans, outer and inner, the same as from `span_hashes`, from one pass over the
    tokens.

    Inner span i owns `tokens[ptr[i]:ptr[i + 1]]`, as `text.tokens.token_hashes` gives them; `first`: see `opening`.
    """
    by_outer, by_inner = _fold(ptr, tokens, first)
    outer_ptr = np.append(ptr[first], ptr[-1])
    return (by_outer, np.diff(outer_ptr).astype(np.int32)), (by_inner, np.diff(ptr).astype(np.int32))


def positions_of(known: npt.NDArray[np.int64], hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The index of each hash, well mixed, among distinct known ones, int64[n]; -1 where it is not among them.

    Cost: a hash table of 8 to 16 bytes for each known hash; one or two probes for each of n.
    """
    return _positions_of(known.view(np.uint64), hashes.view(np.uint64), max(1, 2 * len(known) - 1).bit_length())


@kernel
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


@kernel(inline="always")
def _step(h, token):  # type: ignore[no-untyped-def]
    """Adds a token; a bijection in `h` and in `token`, so texts that differ in one token have different hashes."""
    h = (h ^ token) * U64(0x9FB21C651E98DF25)
    return h ^ (h >> U64(32))


@kernel
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
