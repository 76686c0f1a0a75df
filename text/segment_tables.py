"""Tables for the kernels: characters that end, close or open a sentence, and words whose full stop ends none."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from text.chars import char_tables

STRONG = "。！？｡؟۔।॥‼⁇⁈⁉"
DOTS = "…⋯．"
CLOSERS = "”’」』）】》〉〕］｝〗〙»›)]}\"'"
OPENERS = "“‘「『（【《〈〔［｛〖〘«‹([{\"'`¿¡"
MIDDLE = "，、；：,;:."
CODE_CHARS = "{}=<>[]_$|\\`"
BULLETS = "•●▪◦‣·"

NEVER = (
    "mr mrs ms dr prof st vs e.g i.e gen col lt sgt capt cmdr rev hon sen rep gov pres mt messrs mme mlle viz"
    " cf v ca approx"
)
BEFORE_NUMBER = (
    "no nos fig figs vol vols sec ch art eq eqs pp p ed jan feb mar apr jun jul aug sep sept oct nov dec tel"
)
BEFORE_STARTER = "etc jr sr inc ltd co corp bros al dept univ ave blvd est ph.d"
STARTERS = (
    "The An In It He She This That But We They And On At For As If There However When His Her Our These Those You"
)
(IS_STRONG, IS_DOT, IS_ASCII_TERMINAL, IS_CLOSER, IS_OPENER, IS_MIDDLE, IS_BULLET) = (1 << bit for bit in range(7))
"""Bits of `SegmentTables.marks`."""
IS_TERMINAL = IS_STRONG | IS_DOT | IS_ASCII_TERMINAL
IS_NEVER, IS_BEFORE_NUMBER, IS_BEFORE_STARTER, IS_STARTER = 1, 2, 3, 4
"""Kinds of words: a full stop after the word never ends a sentence; not before a number; only before a starter; and
words that begin a sentence."""
WORD_BITS = 9
WORD_MIX = np.uint64(0x9E3779B97F4A7C15)


class SegmentTables(NamedTuple):
    """What the kernels look up."""

    classes: npt.NDArray[np.uint16]  # see `text.chars.CharTables`
    lower: npt.NDArray[np.bool_]  # [0x2000], lower-case letters
    code: npt.NDArray[np.bool_]  # [256], bytes that are frequent in code
    lead: npt.NDArray[np.bool_]  # [256], first bytes of characters that may end a sentence
    marks: npt.NDArray[np.uint8]  # [0x10000], the bits above, for a code point
    # [2^WORD_BITS], a hash table (linear probing) of abbreviations and sentence starters, packed into 8 bytes, from
    # slot `word · WORD_MIX >> 64 - WORD_BITS` on; 0 where free
    words: npt.NDArray[np.uint64]
    word_kinds: npt.NDArray[np.uint8]  # [2^WORD_BITS], the kind of each word


@cache
def segment_tables() -> SegmentTables:
    """The tables; made once a process."""
    lower = np.array([unicodedata.category(chr(p)) == "Ll" for p in range(0x2000)])
    code = np.zeros(256, np.bool_)
    code[[ord(c) for c in CODE_CHARS]] = True
    lead = np.zeros(256, np.bool_)
    lead[[c.encode()[0] for c in STRONG + DOTS + '.!?"']] = True
    marks = np.zeros(0x10000, np.uint8)
    for bit, chars in (
        (IS_STRONG, STRONG),
        (IS_DOT, DOTS),
        (IS_ASCII_TERMINAL, ".!?"),
        (IS_CLOSER, CLOSERS),
        (IS_OPENER, OPENERS),
        (IS_MIDDLE, MIDDLE),
        (IS_BULLET, BULLETS),
    ):
        marks[[ord(c) for c in chars]] |= bit
    words, word_kinds = np.zeros(1 << WORD_BITS, np.uint64), np.zeros(1 << WORD_BITS, np.uint8)
    for kind, listed in (
        (IS_NEVER, NEVER),
        (IS_BEFORE_NUMBER, BEFORE_NUMBER),
        (IS_BEFORE_STARTER, BEFORE_STARTER),
        (IS_STARTER, STARTERS),
    ):
        for word in listed.split():
            packed = int.from_bytes(word.encode(), "little")
            at = (packed * int(WORD_MIX) % 2**64) >> (64 - WORD_BITS)
            while words[at]:
                at = (at + 1) % len(words)
            words[at], word_kinds[at] = packed, kind
    return SegmentTables(char_tables().classes, lower, code, lead, marks, words, word_kinds)
