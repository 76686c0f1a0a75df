"""MinHash signatures: 32-bit minima of k random affine maps over shingle hashes.

One-permutation hashing would need k times fewer multiplications, but its empty bins and densification bias short
documents. Nor would it save time: with four permutations at a time in the outer loop (the minima stay in registers,
the shingles stream through the vector unit) most of the time goes to tokenising, not to hashing.

A map is x → a·x + b modulo 2^32 with odd a. It is a bijection of 32-bit words, so that each minimum belongs to exactly
one shingle. The arithmetic must stay in uint32: numba widens a product of two uint32 to 64 bits unless it is cast.

A document also gets a sketch: one bit of each of the first 128 minima. Two popcounts on the sketches of two documents
estimate their similarity (standard error 0.06 at J = 0.75), and its 16 bytes are cheap to shuffle.

Source: Broder 1997, "On the resemblance and containment of documents"; Li and König 2010 (b-bit minwise hashing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import char_tables
from text.hash import mix
from text.shingle import WIDTH, shingle_into
from text.tokens import TEXT, ready, tokenize_as

U32, U64 = np.uint32, np.uint64
SKETCH_BITS = 128


@dataclass(frozen=True, slots=True)
class Signatures:
    """The MinHash of a column."""

    minima: npt.NDArray[np.uint32]  # [n_docs, k]; all ones for a document without shingles
    sketch: npt.NDArray[np.uint64]  # [n_docs, 2], one bit of each of the first 128 minima
    shingles: npt.NDArray[np.int32]  # [n_docs], shingles with repeats; 0 for a document without tokens
    token_keys: npt.NDArray[np.int64]  # [n_docs], a hash of the token sequence: equal keys, similarity 1


def permutations(k: int, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """The coefficients a (odd) and b of k maps, from the seed alone."""
    with np.errstate(over="ignore"):
        words = np.array([mix(U64(seed) * U64(0x9E3779B97F4A7C15) + U64(i + 1)) for i in range(2 * k)], np.uint64)
    high = (words >> U64(32)).astype(np.uint32)
    return high[:k] | U32(1), high[k:]


def signatures(column: TextColumn, k: int, seed: int = 1, width: int = WIDTH, mode: int = TEXT) -> Signatures:
    """MinHash signatures of the texts from `k` permutations; they compare only under one seed and mode (`text.tokens`).

    Raises:
        ValueError: k is not a multiple of 4 or is below 128.
    """
    if k % 4 or k < SKETCH_BITS:
        raise ValueError(f"k must be a multiple of 4 and at least {SKETCH_BITS}, found {k}")
    folded = ready(column, mode)
    a, b = permutations(k, seed)
    capacity = 64 + (int(folded.column.lengths.max()) if len(column) else 0)
    while True:
        minima, shingles, keys = _minima(
            folded.column.offsets, folded.column.data, folded.done, *char_tables(), width, a, b, capacity, mode
        )
        if not len(shingles) or shingles[-1] >= 0:
            return Signatures(minima, _sketches(minima), shingles, keys)
        capacity *= 2


def estimate(x: npt.NDArray[np.uint32], y: npt.NDArray[np.uint32]) -> float:
    """Estimated Jaccard similarity of two signatures, uint32[k] each; standard error sqrt(J(1 - J) / k)."""
    return float(np.mean(x == y))


@kernel
def _minima(offsets, data, done, classes, fold_start, fold_data, width, a, b, capacity, mode):  # type: ignore[no-untyped-def]
    n, k = len(offsets) - 1, len(a)
    out = np.empty((n, k), np.uint32)
    counts = np.zeros(n, np.int32)
    keys = np.empty(n, np.int64)
    tokens = np.empty(capacity, np.uint64)
    shingles = np.empty(capacity, np.uint64)
    words = np.empty(capacity, np.uint32)
    for d in range(n):
        found = tokenize_as(mode, data, offsets[d], offsets[d + 1], done[d], classes, fold_start, fold_data, tokens)
        if found < 0:
            counts[n - 1] = -1
            return out, counts, keys
        key = U64(found)
        for i in range(found):
            key = (key ^ tokens[i]) * U64(0x9FB21C651E98DF25)
            key ^= key >> U64(32)
        keys[d] = np.int64(mix(key))
        found = shingle_into(tokens, found, width, shingles)
        for i in range(found):
            words[i] = U32(shingles[i] >> U64(32))
        fill_minima(words[:found], a, b, out[d])
        counts[d] = found
    return out, counts, keys


@kernel
def fill_minima(words, a, b, out):  # type: ignore[no-untyped-def]
    """Writes the minimum of each map over some shingles; all ones where there is none.

    Args:
        words: uint32[n], the shingles.
        a: uint32[k], odd; k is a multiple of 4.
        b: uint32[k].
        out: uint32[k].
    """
    top = U32(0xFFFFFFFF)
    for p in range(0, len(a), 4):
        a0, a1, a2, a3 = a[p], a[p + 1], a[p + 2], a[p + 3]
        b0, b1, b2, b3 = b[p], b[p + 1], b[p + 2], b[p + 3]
        m0, m1, m2, m3 = top, top, top, top
        for i in range(len(words)):
            x = words[i]
            m0 = min(m0, U32(a0 * x + b0))
            m1 = min(m1, U32(a1 * x + b1))
            m2 = min(m2, U32(a2 * x + b2))
            m3 = min(m3, U32(a3 * x + b3))
        out[p], out[p + 1], out[p + 2], out[p + 3] = m0, m1, m2, m3


@kernel
def _sketches(minima):  # type: ignore[no-untyped-def]
    out = np.zeros((len(minima), 2), np.uint64)
    for d in range(len(minima)):
        for j in range(128):
            bit = (U32(minima[d, j] * U32(0x9E3779B1)) >> U32(31)) & U32(1)
            out[d, j // 64] |= U64(bit) << U64(j % 64)
    return out


@kernel
def row_hashes(minima, low, high):  # type: ignore[no-untyped-def]
    """A 64-bit hash of columns `low` to `high` of each signature, and of `low`: int64[n_docs].

    Args:
        minima: uint32[n_docs, k].
        low: the first column.
        high: the one behind the last.
    """
    out = np.empty(len(minima), np.int64)
    for d in range(len(minima)):
        h = mix(U64(0x2545F4914F6CDD1D) + U64(low))  # mixed, so that no minimum can undo the band's number
        for j in range(low, high):
            h = mix((h ^ U64(minima[d, j])) * U64(0x9FB21C651E98DF25))
        out[d] = np.int64(h)
    return out
