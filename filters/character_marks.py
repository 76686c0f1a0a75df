"""Look-up tables of the heuristic features: what a character is, what a line's first and last one say, stop words."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from text.chars import HAN, KANA, LETTER, NUMBER, PUNCT, SINGLE, SPACE, SYMBOL, TABLE_SIZE, WORD, char_tables
from text.segment_tables import BULLETS, CLOSERS

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Source: Gopher, A1.1."""

LINE_BULLETS = BULLETS + "-*"
LINE_TERMINALS = "。！？｡….!?"
STOPS = "。！？｡"

IS_SPACE, IS_WORD, IS_LETTER, IS_LATIN, IS_SINGLE, IS_CJK, IS_PUNCT, IS_NUMBER = (1 << k for k in range(8))
START, END, CLOSER, STOP, SIGN = 1, 2, 4, 8, 16

STOP_SLOTS = 64


class MarkTables(NamedTuple):
    """What the kernels look up.

    Attributes:
        classes: uint16[TABLE_SIZE], see ``text.chars.CharTables``.
        kinds: uint8[TABLE_SIZE], the bits ``IS_SPACE`` and its like.
        marks: uint8[0x10000], 1 a bullet, 2 may end a line's sentence, 4 may follow that, 8 ends one anywhere, 16 is
            punctuation or a symbol.
        stop_codes: uint32[STOP_SLOTS], the stop words' bytes at ``code · stop_factor >> 26``, else 0.
        stop_bits: uint8[STOP_SLOTS], one bit a stop word.
        stop_factor: uint32[1].
    """

    classes: npt.NDArray[np.uint16]
    kinds: npt.NDArray[np.uint8]
    marks: npt.NDArray[np.uint8]
    stop_codes: npt.NDArray[np.uint32]
    stop_bits: npt.NDArray[np.uint8]
    stop_factor: npt.NDArray[np.uint32]


@cache
def load_tables() -> MarkTables:
    """Builds the tables; cached."""
    classes = char_tables().classes
    return MarkTables(classes, _character_kinds(classes), _line_marks(classes), *_stop_words())


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
