"""Hashes of spans: what makes two paragraphs or two sentences "the same".

Two spans are the same when their tokens are: case, width, punctuation and spacing do not count. The hash is 64 bits:
over the 10^11 distinct sentences of a 15-trillion-token corpus some 300 pairs collide by chance, each costing one
sentence;
128 bits would double the one table that is wider than all the others together.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from text.arrow import TextColumn
from text.hash import mix
from text.tokens import token_hashes

U64 = np.uint64


def span_hashes(spans: TextColumn) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The token hash of each span.

    Args:
        spans: one text a span.

    Returns:
        hashes: int64[n_spans]; tokens: int32[n_spans].
    """
    ptr, tokens = token_hashes(spans)
    return _fold(ptr, tokens), np.diff(ptr).astype(np.int32)


@nb.njit(cache=True)
def _fold(ptr, tokens):  # type: ignore[no-untyped-def]
    out = np.empty(len(ptr) - 1, np.int64)
    for i in range(len(ptr) - 1):
        h = U64(ptr[i + 1] - ptr[i])
        for k in range(ptr[i], ptr[i + 1]):
            h = mix((h ^ tokens[k]) * U64(0x9FB21C651E98DF25))
        out[i] = np.int64(h)
    return out
