"""Tokens, as Tamis means them everywhere: similarity, spans and models share this one state machine.

Where texts are compared, signs that mean something are tokens too (`text.signs`), and source code has its own
(`text.code_tokens`); `token_hashes` and `tokenize_as` are told which.

A token is, after NFKC and lower-casing, a run of Unicode letters, marks and numbers, or a single character of Han,
Kana, Thai, Lao, Khmer or Myanmar. So "COVID-19 疫情" is `covid 19 疫 情`: text that mixes scripts needs no special
case, and scripts without spaces need no word segmenter. What shows nothing (soft hyphens, zero-width spaces, variation
selectors: `text.chars.IGNORABLE`) is neither part of a token nor a break.

The kernel emits hashes, never strings. A token's characters are packed into 64-bit words (one byte for an ASCII
character, four for any other), and a word at a time is mixed into the hash. Most tokens are one word, so there is no
chain of one multiplication a byte, and tokens of up to eight ASCII letters cannot collide at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import ASCII_SIGNS, PLAIN, SIGN, SINGLE, WORD, char_tables, class_of, decode, is_tag
from text.code_tokens import tokenize_code
from text.fold import FoldedColumn, fold, nfc
from text.hash import TOKEN_SEED, WIDE, mix, packed, unmix
from text.signs import AROUND, is_sign, look_around, may_be_sign, unified

U64 = np.uint64
U32 = np.uint32
ASCII_FOLD = np.array([ord(chr(c).lower()) if chr(c).isalnum() else 0 for c in range(128)], np.uint8)
"""The folded character if it may be part of a token, else 0."""
MAY_BE_SIGN = np.uint8(1)
"""In the place of a folded character: `text.signs` is asked."""
WORDS, TEXT, CODE = 0, 1, 2
"""Kinds of tokens: words alone; words, and signs where they mean something; source code (`text.code_tokens`)."""
TOKENS = {"text": TEXT, "code": CODE}
"""The kinds by which texts are compared, by name."""
FNV_OFFSET = U32(2166136261)
FNV_PRIME = U32(16777619)
VERSION = 2
"""Raised when the same text gives other tokens: part of the names of models that are made from tokens."""
NO_FNV = np.zeros(0, np.uint32)
"""Passed as `fnv` when fastText's word hash is not wanted."""


def token_hashes(column: TextColumn, mode: int = WORDS) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """The tokens of each document as 64-bit hashes, of one of the kinds `WORDS`, `TEXT` and `CODE`.

    Returns:
        ptr: int64[n_docs + 1]; hashes: uint64[ptr[-1]]; document i owns `hashes[ptr[i]:ptr[i + 1]]`.
    """
    ptr, hashes, _ = _column_tokens(column, False, mode)
    return ptr, hashes


def token_hashes_with_fnv(
    column: TextColumn,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """As `token_hashes`, with fastText's own word hash (FNV-1a, 32 bits, bytes sign-extended) beside each token."""
    return _column_tokens(column, True, WORDS)


def ready(column: TextColumn, mode: int) -> FoldedColumn:
    """A column for `tokenize_as`: folded as far as a kernel cannot; source code is in NFC, and keeps case and width."""
    return FoldedColumn(nfc(column), np.zeros(len(column), np.bool_)) if mode == CODE else fold(column)


def _column_tokens(
    column: TextColumn, with_fnv: bool, mode: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    folded = ready(column, mode)
    texts, tables = folded.column, char_tables()
    capacity = texts.nbytes // 2 + len(texts) + 64
    while True:
        hashes = np.empty(capacity, np.uint64)
        fnv = np.empty(capacity, np.uint32) if with_fnv else NO_FNV
        ptr = _tokens_of_column(texts.offsets, texts.data, folded.done, *tables, hashes, fnv, mode)
        if ptr[-1] >= 0:
            return ptr, hashes[: ptr[-1]], fnv[: ptr[-1]]
        capacity *= 2


@kernel
def _tokens_of_column(offsets, data, done, classes, fold_start, fold_data, hashes, fnv, mode):  # type: ignore[no-untyped-def]
    ptr = np.zeros(len(offsets), np.int64)
    at = 0
    for d in range(len(offsets) - 1):
        start, end = offsets[d], offsets[d + 1]
        if mode == WORDS:
            n = tokenize(data, start, end, done[d], classes, fold_start, fold_data, hashes[at:], fnv[at:])
        else:
            n = tokenize_as(mode, data, start, end, done[d], classes, fold_start, fold_data, hashes[at:])
        if n < 0:
            ptr[-1] = -1
            return ptr
        at += n
        ptr[d + 1] = at
    return ptr


def _tokenizer(signs: bool) -> Any:
    """The state machine, with or without signs: two kernels, so that neither asks which it is at each character."""
    table = ASCII_FOLD.copy()
    if signs:
        table[np.frombuffer(ASCII_SIGNS, np.uint8)] = MAY_BE_SIGN

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
        h, word, size = (
            TOKEN_SEED,
            U64(0),
            0,
        )  # the open token: hash of its full words, current word, bytes in it (0: none open)
        f = FNV_OFFSET
        want_fnv = len(fnv) > 0
        capacity = len(out)
        i = start
        while i < end:
            first = data[i]
            if first < 128:
                i += 1
                char = table[first]
                if char > MAY_BE_SIGN:
                    if size == 8:
                        h, word, size = mix(h ^ word), U64(0), 0
                    word = (word << U64(8)) | U64(char)
                    size += 1
                    if want_fnv:
                        f = U32((f ^ U32(char)) * FNV_PRIME)
                    continue
                if size != 0:
                    if n == capacity:
                        return -1
                    out[n] = mix(h ^ word)
                    if want_fnv:
                        fnv[n] = f
                    n += 1
                    h, word, size, f = TOKEN_SEED, U64(0), 0, FNV_OFFSET
                if signs and char == MAY_BE_SIGN:
                    if n == capacity:
                        return -1
                    capacity -= 1
                    out[capacity] = U64(n) << U64(32) | U64(i - start)
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
                    h, word, size, f = TOKEN_SEED, U64(0), 0, FNV_OFFSET
                if not is_word:
                    if signs and bits & SIGN != 0:
                        if n == capacity:
                            return -1
                        capacity -= 1
                        out[capacity] = U64(n) << U64(32) | U64(i - start)
                    continue
                if want_fnv:
                    f = _fnv_char(f, char)
                if is_single:
                    if n == capacity:
                        return -1
                    out[n] = mix(TOKEN_SEED ^ packed(char))
                    if want_fnv:
                        fnv[n] = f
                        f = FNV_OFFSET
                    n += 1
                    continue
                room = 1 if char < 128 else 4
                if size + room > 8:
                    h, word, size = mix(h ^ word), U64(0), 0
                word = (word << U64(8 * room)) | packed(char)
                size += room
        if size != 0:
            if n == capacity:
                return -1
            out[n] = mix(h ^ word)
            if want_fnv:
                fnv[n] = f
            n += 1
        if signs and capacity < len(out):
            return _insert_signs(data, start, end, done, classes, fold_start, fold_data, out, n, capacity)
        return n

    return tokenize


@kernel
def _insert_signs(data, start, end, done, classes, fold_start, fold_data, out, n, low):  # type: ignore[no-untyped-def]
    """Puts the signs that are tokens between the words, `out[:n]`; returns how many there are then, or -1.

    What may be a sign is noted from the end of `out` down to `low`, as (words before it, the byte behind it). So the
    loop over characters, which every text goes through, does no more than to note it, and few texts have many.
    """
    size, signs = len(out), 0
    left, right = np.empty(AROUND, np.int64), np.empty(AROUND, np.int64)
    for c in range(size - 1, low - 1, -1):
        words, behind = out[c] >> U64(32), start + np.int64(out[c] & U64(0xFFFFFFFF))
        at = behind - 1
        char = np.int64(data[at])
        if char < 128:
            if not may_be_sign(data, start, at, end):
                continue
        else:
            while data[at] & 0xC0 == 0x80:
                at -= 1
            char = np.int64(decode(data, at)[0])
            if not done and classes[char] & PLAIN == 0:
                if fold_start[char + 1] - fold_start[char] != 1:
                    continue
                char = np.int64(fold_data[fold_start[char]])
        look_around(data, start, at, behind, end, done, classes, fold_start, fold_data, left, right)
        if is_sign(char, left, right, classes):
            signs += 1
            out[size - signs] = words << U64(32) | U64(unified(char))  # in the place of one that was looked at
    if n + 2 * signs > size:
        return -1
    total = n + signs
    for c in range(size - signs, size):  # the last first
        words, ahead = np.int64(out[c] >> U64(32)), size - c
        for i in range(n - 1, words - 1, -1):
            out[i + ahead] = out[i]
        out[words + ahead - 1] = mix(TOKEN_SEED ^ packed(np.int64(out[c] & U64(0xFFFFFFFF))))
        n = words
    return total


tokenize = _tokenizer(False)
_tokenize_text = _tokenizer(True)


@kernel
def tokenize_as(mode, data, start, end, done, classes, fold_start, fold_data, out):  # type: ignore[no-untyped-def]
    """As `tokenize`, by one of the kinds `WORDS`, `TEXT` and `CODE`; the column is what `ready` gives for it."""
    no_fnv = np.zeros(0, np.uint32)
    if mode == CODE:
        return tokenize_code(data, start, end, classes, out)
    if mode == TEXT:
        return _tokenize_text(data, start, end, done, classes, fold_start, fold_data, out, no_fnv)
    return tokenize(data, start, end, done, classes, fold_start, fold_data, out, no_fnv)


@kernel(inline="always")
def stands_alone(token, classes):  # type: ignore[no-untyped-def]
    """Whether a token is a single character of a script without spaces, decided from its hash.

    A token of up to eight bytes can be recovered from its hash, as `mix` is a bijection. A longer token is taken for
    such a character with a probability of 2^-33, and consistently in every text.
    """
    word = unmix(token) ^ TOKEN_SEED
    if word >> U64(31) != U64(1):
        return False
    return (class_of(classes, np.int64(word ^ WIDE)) & SINGLE) != 0


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
