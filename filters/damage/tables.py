"""What the kernel of this wing looks up: kinds of characters, and cues in a hash table."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.damage.cues import han_cues, latin_cues
from tamis.kernels import kernel
from text.chars import LETTER, NUMBER, SINGLE, UPPER, WORD, char_tables
from text.segment_tables import CLOSERS

U64 = np.uint64
(
    OTHER,
    SPACE,
    BREAK,
    LOWER,
    CAPITAL,
    DIGIT,
    HAN,
    MARK,
    COMMA,
    STOP,
    STRONG_STOP,
    CLOSER,
    ORNAMENT,
    INVISIBLE,
    WIDE,
    BROKEN,
) = range(16)
"""Kinds of characters. `HAN` stands alone as a token; `STOP` ends a sentence before a space, `STRONG_STOP` anywhere;
`WIDE` are other forms of Latin letters and digits; `BROKEN` no text has."""
LEAD_2, LEAD_3, CONTINUES, RARE = 16, 32, 64, 128
"""Bits beside a kind: what a first byte of two or three, or a later byte, of UTF-8 looks like when it was read as
Windows-1252; and a Han that neither the common thousands of simplified nor those of traditional Chinese know."""
KIND = 15

TABLE_BITS = 13
_MIX = U64(0x9E3779B97F4A7C15)


class DamageTables(NamedTuple):
    """What the kernel looks up."""

    kinds: npt.NDArray[np.uint8]  # [0x10000], kind and bits of each character
    han: npt.NDArray[np.uint16]  # [0x10000], kinds of the cues of one Han
    ends_cue: npt.NDArray[np.bool_]  # [0x10000], Han that end a longer cue
    keys: npt.NDArray[np.uint64]  # [2^TABLE_BITS], hash table with linear probing; 0 where free
    bits: npt.NDArray[np.uint16]  # [2^TABLE_BITS], kinds of the cue


@cache
def damage_tables() -> DamageTables:
    """The tables; made once a process."""
    kinds = np.array([_kind(p) for p in range(0x10000)], np.uint8)
    han, ends_cue = np.zeros(0x10000, np.uint16), np.zeros(0x10000, np.bool_)
    keys, bits = np.zeros(1 << TABLE_BITS, np.uint64), np.zeros(1 << TABLE_BITS, np.uint16)

    def put(key: int, kind: int) -> None:
        at = (key * int(_MIX) % 2**64) >> (64 - TABLE_BITS)
        while keys[at] not in (0, key):
            at = (at + 1) % len(keys)
        keys[at], bits[at] = key, bits[at] | kind

    for words, kind in latin_cues().items():
        hashes = [_word_hash(word) for word in words]
        put(hashes[0] if len(words) == 1 else _pair(*hashes), kind)
    for cue, kind in han_cues().items():
        if len(cue) == 1:
            han[ord(cue)] |= kind
            continue
        ends_cue[ord(cue[-1])] = True
        put(int.from_bytes(cue.encode("utf-16-be"), "big"), kind)
    return DamageTables(kinds, han, ends_cue, keys, bits)


def _kind(point: int) -> int:
    char, bits = chr(point), int(char_tables().classes[point])
    category = unicodedata.category(char)
    if category == "Cs":
        return OTHER
    if char in "\n\r\x85\u2028\u2029\v\f":
        return BREAK | (CONTINUES if point == 0x85 else 0)
    extra = (CONTINUES if 0x80 <= point <= 0xBF or char in _WINDOWS else 0) | (LEAD_2 if 0xC2 <= point <= 0xDF else 0)
    extra |= LEAD_3 if 0xE0 <= point <= 0xEF else 0
    if 0xFF10 <= point <= 0xFF5A and unicodedata.normalize("NFKC", char).isalnum() or 0xFF66 <= point <= 0xFF9F:
        return WIDE
    if point == 0xFFFD or category == "Co" or category == "Cc" and char != "\t":
        return BROKEN | extra
    if category == "Cf" or 0xFE00 <= point <= 0xFE0F or point in (0x34F, 0x115F, 0x1160, 0x3164, 0xFFA0):
        return INVISIBLE | extra
    if char.isspace():
        return SPACE | extra
    if bits & SINGLE:
        return HAN | (RARE if 0x4E00 <= point <= 0x9FFF and not _is_common(char) else 0)
    if bits & NUMBER:
        return DIGIT | extra
    if bits & WORD:
        return (CAPITAL if bits & UPPER else LOWER if bits & LETTER else OTHER) | extra
    if char in "。！？｡":
        return STRONG_STOP
    if char in ".!?…":
        return STOP | extra
    if char in CLOSERS:
        return CLOSER | extra
    if char in ",;:，；：、":
        return COMMA
    is_ornament = category == "So" or 0x2190 <= point <= 0x21FF or 0x2500 <= point <= 0x27BF or char in "*=~_#|※•●◆■★"
    return (ORNAMENT if is_ornament else MARK) | extra


_WINDOWS = bytes(b for b in range(0x80, 0xA0) if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)).decode("cp1252")


def _is_common(char: str) -> bool:
    """Whether a Han is of the first level of GB 2312 or of Big5."""
    simple, traditional = char.encode("gb2312", "ignore"), char.encode("big5", "ignore")
    return bool(simple and simple[0] < 0xD8) or bool(traditional and traditional[0] < 0xC7)


def _word_hash(word: str) -> int:
    h = 0
    for char in word:
        h = (h * 0x100000001B3 ^ ord(char)) % 2**64
    return h


def _pair(first: int, second: int) -> int:
    return (first * int(_MIX) ^ second) % 2**64


@kernel(inline="always")
def add_to_word(h, point):  # type: ignore[no-untyped-def]
    """The hash of a word with one more character, in lower case; it begins with 0."""
    return (h * U64(0x100000001B3)) ^ U64(point)


@kernel(inline="always")
def pair(first, second):  # type: ignore[no-untyped-def]
    """The key of two words in a row, from their hashes."""
    return (first * _MIX) ^ second


@kernel
def find_cue(key, keys, bits):  # type: ignore[no-untyped-def]
    """The kinds of a cue, 0 if it is none."""
    at = np.int64((key * _MIX) >> U64(64 - TABLE_BITS))
    while keys[at] != U64(0):
        if keys[at] == key:
            return bits[at]
        at = (at + 1) & ((1 << TABLE_BITS) - 1)
    return np.uint16(0)
