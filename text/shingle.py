"""Shingles: hashed 5-grams over tokens, the features of every similarity in Tamis.

A text of fewer tokens than `n` is one shingle; a text without tokens has none. A shingle's hash is a
polynomial over its token hashes modulo 2^64, mixed; order matters. Among 10^6 distinct shingles of a pair of
documents the chance of any collision is below 10^-7.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import char_tables
from text.hash import mix
from text.tokens import TEXT, ready, tokenize_as

U64 = np.uint64
WIDTH = 5
"""Tokens in a shingle."""
_BASE = U64(0xA24BAED4963EE407)


@kernel
def shingle_into(tokens, n_tokens, width, out):  # type: ignore[no-untyped-def]
    """Writes the shingle hashes of a token sequence, repeats included; returns how many.

    Args:
        tokens: uint64[>= n_tokens].
        n_tokens: tokens that count.
        width: tokens in a shingle.
        out: uint64[>= max(1, n_tokens)].
    """
    if n_tokens == 0:
        return 0
    span = min(width, n_tokens)
    lead = U64(1)
    for _ in range(span - 1):
        lead = lead * _BASE
    h = U64(0)
    for i in range(span):
        h = h * _BASE + tokens[i]
    out[0] = mix(h ^ U64(span))
    count = n_tokens - span + 1
    for i in range(1, count):
        h = (h - tokens[i - 1] * lead) * _BASE + tokens[i + span - 1]
        out[i] = mix(h ^ U64(span))
    return count


def shingle_sets(
    column: TextColumn, width: int = WIDTH, max_size: int = 0, mode: int = TEXT
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The set of shingles of each document, sorted; of a large one, a sample. `mode`: see `text.tokens`.

    A document with more than `max_size` shingles (0: none) keeps those with `hash % m == 0`, where m is the least power
    of two that leaves at most so many. Two sets are compared at the larger of their two m: an estimate of J with a
    standard error of sqrt(J(1 - J) / n), n the size of the sampled union (0.007 at n = 4,096, J = 0.75).

    Returns:
        ptr: int64[n_docs + 1]; hashes: uint64[ptr[-1]], ascending within a document; modulus: int64[n_docs].
    """
    folded = ready(column, mode)
    tables = char_tables()
    capacity = 64 + (int(column.lengths.max()) if len(column) else 0)
    while True:
        result = _sets(folded.column.offsets, folded.column.data, folded.done, *tables, width, max_size, capacity, mode)
        if result[0][-1] >= 0:
            return result  # type: ignore[no-any-return]
        capacity *= 2


def narrow(ptr: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """Shingle sets in half the bytes, for a shuffle: the 20 leading and 12 trailing bits of each hash, ascending.

    The trailing bits allow further sampling, up to a modulus of 4,096. Between two sets of n shingles about n² / 2^32
    different pairs collide: 0.004 at n = 4,096.
    """
    found: npt.NDArray[np.uint32] = _narrow(ptr, hashes)
    return found


@kernel
def _narrow(ptr, hashes):  # type: ignore[no-untyped-def]
    out = np.empty(len(hashes), np.uint32)
    for s in range(len(ptr) - 1):
        for i in range(ptr[s], ptr[s + 1]):
            x = np.uint32(((hashes[i] >> U64(44)) << U64(12)) | (hashes[i] & U64(4095)))
            k = i - 1
            while k >= ptr[s] and out[k] > x:  # only where the 20 leading bits are equal
                out[k + 1] = out[k]
                k -= 1
            out[k + 1] = x
    return out


@kernel
def sort_hashes(values, out):  # type: ignore[no-untyped-def]
    """Sorts well mixed hashes into `out`, both uint64[n]: by their leading bits into n buckets, then by insertion.

    As the hashes are uniform, a bucket holds about one of them, so the cost is linear; equal hashes are adjacent after
    the first step and cost the insertion sort nothing.
    """
    n = len(values)
    bits = 1
    while (1 << bits) < n and bits < 20:
        bits += 1
    shift = U64(64 - bits)
    starts = np.zeros((1 << bits) + 1, np.int64)
    for i in range(n):
        starts[np.int64(values[i] >> shift) + 1] += 1
    for b in range(1 << bits):
        starts[b + 1] += starts[b]
    for i in range(n):
        bucket = np.int64(values[i] >> shift)
        out[starts[bucket]] = values[i]
        starts[bucket] += 1
    for i in range(1, n):
        x = out[i]
        k = i - 1
        while k >= 0 and out[k] > x:
            out[k + 1] = out[k]
            k -= 1
        out[k + 1] = x


@kernel
def _sets(offsets, data, done, classes, fold_start, fold_data, width, max_size, capacity, mode):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    tokens = np.empty(capacity, np.uint64)
    scratch = np.empty(capacity, np.uint64)
    ptr = np.zeros(n + 1, np.int64)
    modulus = np.ones(n, np.int64)
    out = np.empty(max(1024, (offsets[n] - offsets[0]) // 4), np.uint64)
    at = 0
    for d in range(n):
        count = tokenize_as(mode, data, offsets[d], offsets[d + 1], done[d], classes, fold_start, fold_data, tokens)
        if count < 0:
            ptr[n] = -1
            return ptr, out, modulus
        count = shingle_into(tokens, count, width, scratch)
        hashes = np.empty(count, np.uint64)
        sort_hashes(scratch[:count], hashes)
        unique = 0
        for i in range(count):
            if i == 0 or hashes[i] != hashes[unique - 1]:
                hashes[unique] = hashes[i]
                unique += 1
        m = U64(1)
        if max_size > 0:
            kept = unique
            while kept > max_size:
                m *= U64(2)
                kept = 0
                for i in range(unique):
                    if hashes[i] % m == 0:
                        kept += 1
        if at + unique > len(out):
            grown = np.empty(2 * len(out) + unique, np.uint64)
            grown[:at] = out[:at]
            out = grown
        for i in range(unique):
            if hashes[i] % m == 0:
                out[at] = hashes[i]
                at += 1
        modulus[d] = np.int64(m)
        ptr[d + 1] = at
    return ptr, out[:at], modulus
