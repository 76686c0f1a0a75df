"""Tokens, as Tamis means them everywhere: similarity, spans and models share this one state machine.

A token is, after NFKC and lower-casing, a run of Unicode letters, marks and numbers, or a single character of Han,
Kana, Thai, Lao, Khmer or Myanmar. So "COVID-19 疫情" is `covid 19 疫 情`: text that mixes scripts needs no special
case, and scripts without spaces need no word segmenter. What shows nothing (soft hyphens, zero-width spaces, variation
selectors: `text.chars.IGNORABLE`) is neither part of a token nor a break.

The kernel emits hashes, never strings. A token's characters are packed into 64-bit words (one byte for an ASCII
character, four for any other), and a word at a time is mixed into the hash. Most tokens are one word, so there is no
chain of one multiplication a byte, and tokens of up to eight ASCII letters cannot collide at all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import PLAIN, SINGLE, WORD, char_tables, class_of, decode, is_tag
from text.fold import fold
from text.hash import mix, unmix

U64 = np.uint64
U32 = np.uint32
_SEED = U64(0x51ED270B27B4F3CF)
_WIDE = U64(0x80000000)
"""Set in the four bytes of a character that is not ASCII, so that different character sequences pack differently."""
ASCII_FOLD = np.array([ord(chr(c).lower()) if chr(c).isalnum() else 0 for c in range(128)], np.uint8)
"""The folded character if it may be part of a token, else 0."""
FNV_OFFSET = U32(2166136261)
FNV_PRIME = U32(16777619)
VERSION = 2
"""Raised when the same text gives other tokens: part of the names of models that are made from tokens."""
NO_FNV = np.zeros(0, np.uint32)
"""Passed as `fnv` when fastText's word hash is not wanted."""


def token_hashes(column: TextColumn) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """The tokens of each document as 64-bit hashes.

    Returns:
        ptr: int64[n_docs + 1]; hashes: uint64[ptr[-1]]; document i owns `hashes[ptr[i]:ptr[i + 1]]`.
    """
    ptr, hashes, _ = _column_tokens(column, False)
    return ptr, hashes


def token_hashes_with_fnv(
    column: TextColumn,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """As `token_hashes`, with fastText's own word hash (FNV-1a, 32 bits, bytes sign-extended) beside each token."""
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


@kernel
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


@kernel
def tokenize(data, start, end, done, classes, fold_start, fold_data, out, fnv):  # type: ignore[no-untyped-def]
    """Writes the token hashes of `data[start:end]` into `out`.

    Args:
        data: uint8[...], valid UTF-8.
        start: first byte.
        end: byte behind the last.
        done: True if the text is already folded.
        classes: see `CharTables`.
        fold_start: see `CharTables`.
        fold_data: see `CharTables`.
        out: uint64[capacity].
        fnv: uint32[capacity], for fastText's hash of each token; empty if it is not wanted.

    Returns:
        The number of tokens, or -1 when `out` is too small.
    """
    n = 0
    h, word, size = _SEED, U64(0), 0  # the open token: hash of its full words, current word, bytes in it (0: none open)
    f = FNV_OFFSET
    want_fnv = len(fnv) > 0
    capacity = len(out)
    i = start
    while i < end:
        first = data[i]
        if first < 128:
            i += 1
            char = ASCII_FOLD[first]
            if char != 0:
                if size == 8:
                    h, word, size = mix(h ^ word), U64(0), 0
                word = (word << U64(8)) | U64(char)
                size += 1
                if want_fnv:
                    f = U32((f ^ U32(char)) * FNV_PRIME)
            elif size != 0:
                if n == capacity:
                    return -1
                out[n] = mix(h ^ word)
                if want_fnv:
                    fnv[n] = f
                n += 1
                h, word, size, f = _SEED, U64(0), 0, FNV_OFFSET
            continue
        point, width = decode(data, i)
        i += width
        bits = class_of(classes, point)
        low, high = 0, 1
        folded = False
        if (bits & PLAIN) == 0:
            if point >= len(classes):
                high = 0 if is_tag(point) else 1
            elif not done:
                folded = True
                low, high = fold_start[point], fold_start[point + 1]
        for k in range(low, high):
            char = fold_data[k] if folded else point
            if folded:
                bits = class_of(classes, char)
            is_single = (bits & SINGLE) != 0
            is_word = (bits & WORD) != 0
            if size != 0 and (is_single or not is_word):
                if n == capacity:
                    return -1
                out[n] = mix(h ^ word)
                if want_fnv:
                    fnv[n] = f
                n += 1
                h, word, size, f = _SEED, U64(0), 0, FNV_OFFSET
            if not is_word:
                continue
            if want_fnv:
                f = _fnv_char(f, char)
            if is_single:
                if n == capacity:
                    return -1
                out[n] = mix(_SEED ^ _packed(char))
                if want_fnv:
                    fnv[n] = f
                    f = FNV_OFFSET
                n += 1
                continue
            room = 1 if char < 128 else 4
            if size + room > 8:
                h, word, size = mix(h ^ word), U64(0), 0
            word = (word << U64(8 * room)) | _packed(char)
            size += room
    if size != 0:
        if n == capacity:
            return -1
        out[n] = mix(h ^ word)
        if want_fnv:
            fnv[n] = f
        n += 1
    return n


@kernel(inline="always")
def stands_alone(token, classes):  # type: ignore[no-untyped-def]
    """Whether a token is a single character of a script without spaces, decided from its hash.

    A token of up to eight bytes can be recovered from its hash, as `mix` is a bijection. A longer token is taken for
    such a character with a probability of 2^-33, and consistently in every text.
    """
    word = unmix(token) ^ _SEED
    if word >> U64(31) != U64(1):
        return False
    return (class_of(classes, np.int64(word ^ _WIDE)) & SINGLE) != 0


@kernel(inline="always")
def _packed(char):  # type: ignore[no-untyped-def]
    return U64(char) if char < 128 else U64(char) | _WIDE


@kernel(inline="always")
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


@kernel(inline="always")
def _fnv_byte(f, byte):  # type: ignore[no-untyped-def]
    extended = U32(byte) if byte < 0x80 else U32(U32(byte) | U32(0xFFFFFF00))
    return U32((f ^ extended) * FNV_PRIME)
