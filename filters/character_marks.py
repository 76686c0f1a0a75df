"""Look-up tables of the heuristic and line filters: kinds of characters, marks of lines and sentences, stop words."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.bits import HIGH_BITS, LOW_BITS, U64
from text.chars import HAN, KANA, LETTER, NUMBER, PUNCT, SINGLE, SPACE, SYMBOL, TABLE_SIZE, WORD, char_tables, decode
from text.segment_tables import BULLETS, CLOSERS

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Source: Gopher, A1.1."""

LINE_BULLETS = BULLETS + "-*"
LINE_TERMINALS = "。！？｡….!?"
STOPS = "。！？｡"

IS_SPACE, IS_WORD, IS_LETTER, IS_LATIN, IS_SINGLE, IS_CJK, IS_PUNCT, IS_NUMBER = (1 << k for k in range(8))
START, END, CLOSER, STOP, SIGN = 1, 2, 4, 8, 16

STOP_SLOTS = 64


class CharacterMarks(NamedTuple):
    """What the kernels look up."""

    classes: npt.NDArray[np.uint16]  # [TABLE_SIZE], see `text.chars.CharTables`
    kinds: npt.NDArray[np.uint8]  # [TABLE_SIZE], the bits `IS_SPACE` and its like
    # [0x10000], bits: `START` a bullet, `END` ends a sentence at a line's end, `CLOSER` may stand between that and the
    # line's end, `STOP` ends a sentence anywhere, `SIGN` punctuation or a symbol
    marks: npt.NDArray[np.uint8]
    stop_codes: npt.NDArray[np.uint32]  # [STOP_SLOTS], the stop words' bytes at `code · stop_factor >> 26`, else 0
    stop_bits: npt.NDArray[np.uint8]  # [STOP_SLOTS], one bit a stop word
    stop_factor: npt.NDArray[np.uint32]  # [1]


@cache
def load_marks() -> CharacterMarks:
    """Builds the tables; cached."""
    classes = char_tables().classes
    return CharacterMarks(classes, _character_kinds(classes), _line_marks(classes), *_stop_words())


def _character_kinds(classes: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    kinds = np.zeros(TABLE_SIZE, np.uint8)
    for k, bits in enumerate((SPACE, WORD, LETTER, None, SINGLE, HAN | KANA, PUNCT, NUMBER)):
        if bits is not None:
            kinds[(classes & bits) != 0] |= 1 << k
    latin = np.r_[0:0x250, 0x1E00:0x1F00]
    kinds[latin[(classes[latin] & LETTER) != 0]] |= IS_LATIN
    return kinds


def _line_marks(classes: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    marks = np.zeros(0x10000, np.uint8)
    for bit, chars in ((START, LINE_BULLETS), (END, LINE_TERMINALS), (CLOSER, CLOSERS), (STOP, STOPS)):
        marks[[ord(c) for c in chars]] |= bit
    marks[(classes[:0x10000] & (PUNCT | SYMBOL)) != 0] |= SIGN
    return marks


def _stop_words() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """A perfect hash: the first odd factor under which no two stop words meet."""
    words = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.uint64)
    for factor in range(0x9E3779B1, 0xFFFFFFFF, 2):
        slots = (words * np.uint64(factor) & np.uint64(0xFFFFFFFF)) >> np.uint64(26)
        if len(set(slots.tolist())) == len(words):
            break
    codes, bits = np.zeros(STOP_SLOTS, np.uint32), np.zeros(STOP_SLOTS, np.uint8)
    codes[slots], bits[slots] = words, 1 << np.arange(len(words))
    return codes, bits, np.array([factor], np.uint32)


@kernel(inline="always")
def find_letters(eight):  # type: ignore[no-untyped-def]
    """The highest bit of each of eight ASCII bytes that is a letter."""
    low = eight | LOW_BITS * U64(0x20)
    return (low + LOW_BITS * U64(0x1F)) & ~(low + LOW_BITS * U64(0x05)) & HIGH_BITS


@kernel(inline="always")
def find_digits(eight):  # type: ignore[no-untyped-def]
    """The highest bit of each of eight ASCII bytes that is a digit."""
    return (eight + LOW_BITS * U64(0x50)) & ~(eight + LOW_BITS * U64(0x46)) & HIGH_BITS


@kernel(inline="always")
def count_high_bits(eight):  # type: ignore[no-untyped-def]
    """How many of eight bytes have their highest bit set; no other bit is."""
    return np.int64(((eight >> U64(7)) * LOW_BITS) >> U64(56))


@kernel(inline="always")
def breaks_line(point):  # type: ignore[no-untyped-def]
    """Whether a character ends a line."""
    return point == 10 or point == 13 or point == 0x85 or point == 0x2028 or point == 0x2029


@kernel
def last_mark(text, start, end, marks):  # type: ignore[no-untyped-def]
    """The marks and the first byte of the last character of `text[start:end]` that closes nothing; (0, start)."""
    at = end
    while at > start:
        at -= 1
        while text[at] & 0xC0 == 0x80:
            at -= 1
        point, _ = decode(text, at)
        mark = marks[point] if point < 0x10000 else np.uint8(0)
        if not mark & CLOSER:
            return mark, at
    return np.uint8(0), start
