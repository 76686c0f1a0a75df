"""Tokens, as Tamis means them everywhere: similarity, spans and models share this one state machine.

A token is, after NFKC and lower-casing, a run of Unicode letters, marks and numbers, or a single character of Han,
Kana, Thai, Lao, Khmer or Myanmar. So "COVID-19 疫情" is ``covid 19 疫 情``: mixed text is handled by run of script, and
no
word segmenter is needed for the scripts that write no spaces.

The kernel emits hashes, never strings. Cost: some 500 MB/s a core on English, 350 on Chinese.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from text.arrow import TextColumn
from text.chars import SINGLE, WORD, char_tables, class_of, decode
from text.fold import fold
from text.hash import mix

U64 = np.uint64
U32 = np.uint32
_SEED = U64(0x51ED270B27B4F3CF)
_PRIME = U64(0x9DDFEA08EB382D69)
FNV_OFFSET = U32(2166136261)
FNV_PRIME = U32(16777619)
NO_FNV = np.zeros(0, np.uint32)
"""Pass as ``fnv`` where fastText's word hash is not wanted."""


def token_hashes(column: TextColumn) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """The tokens of each document as 64-bit hashes.

    Returns:
        ptr: int64[n_docs + 1]; hashes: uint64[ptr[-1]]; document i owns ``hashes[ptr[i]:ptr[i + 1]]``.
    """
    ptr, hashes, _ = _column_tokens(column, False)
    return ptr, hashes


def token_hashes_with_fnv(
    column: TextColumn,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """As ``token_hashes``, with fastText's own word hash (FNV-1a, 32 bits, bytes sign-extended) beside each token."""
    return _column_tokens(column, True)


def _column_tokens(
    column: TextColumn, with_fnv: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    folded = fold(column)
    texts, tables = folded.column, char_tables()
    capacity = texts.nbytes // 2 + len(texts) + 64
    while True:
        hashes = np.empty(capacity, np.uint64)
        fnv = np.empty(capacity, np.uint32) if with_fnv else NO_FNV
        ptr = _tokens_of_column(texts.offsets, texts.data, folded.done, *tables, hashes, fnv)
        if ptr[-1] >= 0:
            return ptr, hashes[: ptr[-1]], fnv[: ptr[-1]]
        capacity *= 2


@nb.njit(cache=True)
def _tokens_of_column(offsets, data, done, classes, fold_start, fold_data, hashes, fnv):  # type: ignore[no-untyped-def]
    ptr = np.zeros(len(offsets), np.int64)
    at = 0
    for d in range(len(offsets) - 1):
        start, end = offsets[d], offsets[d + 1]
        n = tokenize(data, start, end, done[d], classes, fold_start, fold_data, hashes[at:], fnv[at:])
        if n < 0:
            ptr[-1] = -1
            return ptr
        at += n
        ptr[d + 1] = at
    return ptr


@nb.njit(cache=True)
def tokenize(data, start, end, done, classes, fold_start, fold_data, out, fnv):  # type: ignore[no-untyped-def]
    """Writes the token hashes of ``data[start:end]`` into ``out``.

    Args:
        data: uint8[...], valid UTF-8.
        start: first byte.
        end: byte behind the last.
        done: True if the text is already folded.
        classes: see ``CharTables``.
        fold_start: see ``CharTables``.
        fold_data: see ``CharTables``.
        out: uint64[capacity].
        fnv: uint32[capacity], or empty to leave fastText's hash out.

    Returns:
        The number of tokens, or -1 when ``out`` is too small.
    """
    n = 0
    h = _SEED
    f = FNV_OFFSET
    open_token = False
    want_fnv = len(fnv) > 0
    capacity = len(out)
    i = start
    while i < end:
        first = data[i]
        if first < 128:
            i += 1
            if (classes[first] & WORD) != 0:
                if 65 <= first <= 90 and not done:
                    first += np.uint8(32)
                h = (h ^ U64(first)) * _PRIME
                if want_fnv:
                    f = U32((f ^ U32(first)) * FNV_PRIME)
                open_token = True
            elif open_token:
                if n == capacity:
                    return -1
                out[n] = mix(h)
                if want_fnv:
                    fnv[n] = f
                n += 1
                h = _SEED
                f = FNV_OFFSET
                open_token = False
            continue
        point, size = decode(data, i)
        i += size
        low, high = 0, 1
        tabled = not done and point < len(classes)
        if tabled:
            low, high = fold_start[point], fold_start[point + 1]
        for k in range(low, high):
            char = fold_data[k] if tabled else point
            bits = class_of(classes, char)
            is_word = (bits & WORD) != 0
            is_single = (bits & SINGLE) != 0
            if open_token and (is_single or not is_word):
                if n == capacity:
                    return -1
                out[n] = mix(h)
                if want_fnv:
                    fnv[n] = f
                n += 1
                h = _SEED
                f = FNV_OFFSET
                open_token = False
            if is_word:
                h = (h ^ U64(char)) * _PRIME
                if want_fnv:
                    f = _fnv_char(f, char)
                if is_single:
                    if n == capacity:
                        return -1
                    out[n] = mix(h)
                    if want_fnv:
                        fnv[n] = f
                    n += 1
                    h = _SEED
                    f = FNV_OFFSET
                else:
                    open_token = True
    if open_token:
        if n == capacity:
            return -1
        out[n] = mix(h)
        if want_fnv:
            fnv[n] = f
        n += 1
    return n


@nb.njit(inline="always", cache=True)
def _fnv_char(f, char):  # type: ignore[no-untyped-def]
    """FNV-1a over the UTF-8 bytes of a character, each sign-extended from int8 as fastText does."""
    if char < 0x80:
        return _fnv_byte(f, char)
    if char < 0x800:
        return _fnv_byte(_fnv_byte(f, 0xC0 | (char >> 6)), 0x80 | (char & 0x3F))
    if char < 0x10000:
        f = _fnv_byte(_fnv_byte(f, 0xE0 | (char >> 12)), 0x80 | ((char >> 6) & 0x3F))
        return _fnv_byte(f, 0x80 | (char & 0x3F))
    f = _fnv_byte(_fnv_byte(f, 0xF0 | (char >> 18)), 0x80 | ((char >> 12) & 0x3F))
    return _fnv_byte(_fnv_byte(f, 0x80 | ((char >> 6) & 0x3F)), 0x80 | (char & 0x3F))


@nb.njit(inline="always", cache=True)
def _fnv_byte(f, byte):  # type: ignore[no-untyped-def]
    extended = U32(byte) if byte < 0x80 else U32(U32(byte) | U32(0xFFFFFF00))
    return U32((f ^ extended) * FNV_PRIME)
