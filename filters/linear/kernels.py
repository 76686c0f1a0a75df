"""The loops behind `filters.linear.model`: words to rows, bigrams to buckets, rows to a mean.

Each text is tokenised into a scratch buffer that stays in the cache, then looked up; nothing is kept per
token.
"""

from __future__ import annotations

import numpy as np

from tamis.kernels import kernel
from text.tokens import tokenize

U64 = np.uint64
U32 = np.uint32
END_OF_LINE_FNV = U32(3617362777)
"""fastText's hash of `</s>`."""


@kernel
def hash_words(offsets, data, classes, fold_start, fold_data, end_row, no_fnv):  # type: ignore[no-untyped-def]
    """The token hash of each word (0 for `</s>`), and the first row whose word is not exactly one token, or -1."""
    n = len(offsets) - 1
    hashes = np.zeros(n, np.uint64)
    for row in range(n):
        if row == end_row:
            continue
        # The words are folded already: folding them again could change the few that are not stable under it.
        count = tokenize(
            data, offsets[row], offsets[row + 1], True, classes, fold_start, fold_data, hashes[row : row + 1], no_fnv
        )
        if count != 1:
            return hashes, row
    return hashes, -1


@kernel
def build_slots(word_hashes, end_row, capacity):  # type: ignore[no-untyped-def]
    """Open addressing over the words' hashes: keys uint64[capacity], rows int32[capacity], -1 where free."""
    keys = np.zeros(capacity, np.uint64)
    rows = np.full(capacity, -1, np.int32)
    mask = U64(capacity - 1)
    for row in range(len(word_hashes)):
        if row == end_row:
            continue
        slot = word_hashes[row] & mask
        while rows[slot] >= 0:
            slot = (slot + U64(1)) & mask
        keys[slot] = word_hashes[row]
        rows[slot] = row
    return keys, rows


@kernel(inline="always")
def _find(key, keys, rows, mask):  # type: ignore[no-untyped-def]
    slot = key & mask
    while rows[slot] >= 0:
        if keys[slot] == key:
            return rows[slot]
        slot = (slot + U64(1)) & mask
    return np.int32(-1)


@kernel(inline="always")
def _bigram(first, second):  # type: ignore[no-untyped-def]
    """fastText's hash of two neighbouring words: FNV values, sign-extended from int32 to 64 bits."""
    a = U64(np.int64(np.int32(first)))
    return U64(a * U64(116049371) + U64(np.int64(np.int32(second))))


@kernel(inline="always")
def _binary(hashes, fnv, keys, rows, mask, relative, n_words, bucket, is_power, end_row):  # type: ignore[no-untyped-def]
    """The probability of one of two labels, in one pass over the tokens; 0 where the model knows none of them."""
    total = 0.0
    used = 0
    if end_row >= 0:
        used = 1
        total = np.float64(relative[end_row, 0])
    for i in range(len(hashes)):
        row = _find(hashes[i], keys, rows, mask)
        if row >= 0:
            used += 1
            total += relative[row, 0]
    if bucket > 0:
        used += len(hashes)
        for i in range(len(hashes)):
            h = _bigram(fnv[i], fnv[i + 1] if i + 1 < len(hashes) else END_OF_LINE_FNV)
            h = h & (bucket - U64(1)) if is_power else h % bucket
            total += relative[n_words + np.int64(h), 0]
    return np.float32(1.0 / (1.0 + np.exp(total / used))) if used > 0 else np.float32(0.0)


@kernel(inline="always")
def _softmax(hashes, fnv, keys, rows, mask, relative, n_words, bucket, is_power, end_row, sums):  # type: ignore[no-untyped-def]
    """The same among more than two labels; `sums` is scratch, float64[n_labels - 1]."""
    width = len(sums)
    sums[:] = 0.0
    used = 0
    if end_row >= 0:
        used = 1
        for k in range(width):
            sums[k] = relative[end_row, k]
    for i in range(len(hashes)):
        row = _find(hashes[i], keys, rows, mask)
        if row >= 0:
            used += 1
            for k in range(width):
                sums[k] += relative[row, k]
    if bucket > 0:
        used += len(hashes)
        for i in range(len(hashes)):
            h = _bigram(fnv[i], fnv[i + 1] if i + 1 < len(hashes) else END_OF_LINE_FNV)
            h = h & (bucket - U64(1)) if is_power else h % bucket
            for k in range(width):
                sums[k] += relative[n_words + np.int64(h), k]
    if used == 0:
        return np.float32(0.0)
    total = 1.0
    for k in range(width):
        total += np.exp(sums[k] / used)
    return np.float32(1.0 / total)


@kernel
def score_texts(  # type: ignore[no-untyped-def]
    offsets, data, done, classes, fold_start, fold_data, keys, rows, relative, n_words, bucket, end_row
):
    """The probability of the target label for each text, float32[n_texts].

    Args:
        offsets: int64[n_texts + 1].
        data: uint8[...].
        done: bool[n_texts], already folded.
        classes: see `CharTables`.
        fold_start: see `CharTables`.
        fold_data: see `CharTables`.
        keys: uint64[capacity], see `build_slots`.
        rows: int32[capacity].
        relative: float32[n_words + bucket, n_labels - 1], each other label's logit minus the target's.
        n_words: rows before the buckets.
        bucket: uint64, 0 without bigrams.
        end_row: row of `</s>` or -1.
    """
    n = len(offsets) - 1
    width = relative.shape[1]
    mask = U64(len(keys) - 1)
    is_power = bucket > 0 and (bucket & (bucket - U64(1))) == 0
    out = np.zeros(n, np.float32)
    sums = np.zeros(width, np.float64)
    hashes = np.empty(4096, np.uint64)
    fnv = np.empty(4096, np.uint32)
    for d in range(n):
        args = (data, offsets[d], offsets[d + 1], done[d], classes, fold_start, fold_data)
        count = tokenize(*args, hashes, fnv)
        while count < 0:
            hashes = np.empty(2 * len(hashes), np.uint64)
            fnv = np.empty(2 * len(fnv), np.uint32)
            count = tokenize(*args, hashes, fnv)
        if width == 1:
            out[d] = _binary(hashes[:count], fnv, keys, rows, mask, relative, n_words, bucket, is_power, end_row)
            continue
        out[d] = _softmax(hashes[:count], fnv, keys, rows, mask, relative, n_words, bucket, is_power, end_row, sums)
    return out
