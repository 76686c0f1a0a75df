"""What each Unicode character is: class bits and the NFKC-lower-case fold, as flat tables for kernels.

Python's `unicodedata` knows all of it, but one character a call. Here it is asked once for each process (about 0.3 s),
and the answers become arrays of 205,824 entries; the planes above contain only tags and private use.

The fold of a character is `unicodedata.normalize("NFKC", c).lower()`, and empty for one that shows nothing. Folding
character by character equals folding the whole string, unless the string contains a combining mark, a character that
may compose with its predecessor, or a capital sigma. Such characters are marked `SLOW`, and a document that contains
one is folded as a string by `unicodedata` itself (see `text.fold`). So the fast path is exact, not an approximation.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel

TABLE_SIZE = 0x32400
"""Code points with a table entry; planes 0 to 2 and the start of 3."""

LETTER = np.uint16(1)
MARK = np.uint16(2)
NUMBER = np.uint16(4)
WORD = np.uint16(8)
"""Letter, mark or number: may stand in a token."""
SINGLE = np.uint16(16)
"""A token by itself: Han, Kana, Thai, Lao, Khmer, Myanmar."""
HAN = np.uint16(32)
KANA = np.uint16(64)
SPACE = np.uint16(128)
PUNCT = np.uint16(256)
SYMBOL = np.uint16(512)
UPPER = np.uint16(1024)
SLOW = np.uint16(2048)
"""Its fold depends on its neighbours: fold the document as a string."""
NFC_SLOW = np.uint16(4096)
"""NFC may change the text around this character."""

PLAIN = np.uint16(8192)
"""Folds to itself."""
IGNORABLE = np.uint16(16384)
"""Shows nothing, and folds to nothing: see `_IGNORABLE_BLOCKS`."""

SIGN = np.uint16(32768)
"""May be a token where texts are compared: see `text.signs`."""

ASCII_SIGNS = b"!$%*+-/<=>^"
_SIGNS = ASCII_SIGNS.decode() + "¬±×÷–‰"
_ORNAMENTS = "∎∗∘∙∣∥∶∷∼∽⋄⋅⋆⋮⋯⋰⋱"
"""Mathematical operators that stand for a bullet, an ellipsis, a colon or a rule in prose: never signs."""

_IGNORABLE_BLOCKS = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
"""Unicode's Default_Ignorable_Code_Point: soft hyphen, zero-width space and joiners, direction marks, fillers,
variation selectors, tags. Whoever sees the text does not see them. Source: DerivedCoreProperties.txt, Unicode 16."""

_SINGLE_BLOCKS = (
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3038, 0x303C),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_KANA_BLOCKS = ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F))
_SOUTH_EAST_ASIAN = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x19E0, 0x19FF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
)


class CharTables(NamedTuple):
    """Tables indexed by code point."""

    classes: npt.NDArray[np.uint16]  # [TABLE_SIZE], the bits above
    fold_start: npt.NDArray[np.int32]  # [TABLE_SIZE + 1], the fold of c is `fold_data[fold_start[c]:fold_start[c + 1]]`
    fold_data: npt.NDArray[np.int32]  # [...], code points


@cache
def char_tables() -> CharTables:
    """Builds the tables of this interpreter's Unicode version; cached."""
    classes = np.zeros(TABLE_SIZE, np.uint16)
    start = np.zeros(TABLE_SIZE + 1, np.int32)
    folds: list[int] = []
    joining = _characters_that_join()
    hidden = frozenset(map(chr, ignorables()))
    for point in range(TABLE_SIZE):
        start[point] = len(folds)
        if 0xD800 <= point <= 0xDFFF:
            continue
        char = chr(point)
        normal = unicodedata.normalize("NFKC", char) if unicodedata.decomposition(char) else char
        bits = _class_bits(char)
        if char in hidden:
            normal = ""
            bits |= int(IGNORABLE)
        folds.extend(map(ord, normal.lower()))
        if folds[start[point] :] == [point]:
            bits |= int(PLAIN)
        if "Σ" in normal or any(unicodedata.combining(c) or c in joining for c in normal):
            bits |= int(SLOW)
        if unicodedata.combining(char) or char in joining or not unicodedata.is_normalized("NFC", char):
            bits |= int(NFC_SLOW)
        classes[point] = bits
    start[TABLE_SIZE] = len(folds)
    for low, high in (*_SINGLE_BLOCKS, *_KANA_BLOCKS, *_SOUTH_EAST_ASIAN):
        block = classes[low : min(high + 1, TABLE_SIZE)]
        block[(block & WORD) != 0] |= SINGLE
    for bit, blocks in ((HAN, _SINGLE_BLOCKS), (KANA, _KANA_BLOCKS)):
        for low, high in blocks:
            block = classes[low : min(high + 1, TABLE_SIZE)]
            block[(block & SINGLE) != 0] |= bit
    return CharTables(classes, start, np.array(folds, np.int32))


@cache
def ignorables() -> dict[int, None]:
    """The code points that show nothing, as a table for `str.translate` that removes them."""
    return {point: None for low, high in _IGNORABLE_BLOCKS for point in range(low, high + 1)}


def _class_bits(char: str) -> int:
    category = unicodedata.category(char)
    bits = 0
    if category[0] == "L":
        bits |= int(LETTER | WORD)
        if category in ("Lu", "Lt"):
            bits |= int(UPPER)
    elif category[0] == "M":
        bits |= int(MARK | WORD)
    elif category[0] == "N":
        bits |= int(NUMBER | WORD)
    elif category[0] == "P":
        bits |= int(PUNCT)
    elif category[0] == "S":
        bits |= int(SYMBOL)
    if char.isspace():
        bits |= int(SPACE)
    if char in _SIGNS or category == "Sc" or ("\u2200" <= char <= "\u22ff" and char not in _ORNAMENTS):
        bits |= int(SIGN)
    return bits


def _characters_that_join() -> frozenset[str]:
    """Characters that may compose with the one before them (Unicode's NFC_Quick_Check = Maybe)."""
    joining = {chr(p) for p in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for point in range(TABLE_SIZE):
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            second = chr(int(parts[1], 16))
            if unicodedata.normalize("NFC", chr(int(parts[0], 16)) + second) == chr(point):
                joining.add(second)
    return frozenset(joining)


@kernel(inline="always")
def decode(data, i):  # type: ignore[no-untyped-def]
    """Decodes the UTF-8 character at byte `i`; returns (code point, byte length). The input must be valid."""
    b = np.int32(data[i])
    if b < 0x80:
        return b, 1
    if b < 0xE0:
        return ((b & 0x1F) << 6) | (np.int32(data[i + 1]) & 0x3F), 2
    if b < 0xF0:
        return ((b & 0x0F) << 12) | ((np.int32(data[i + 1]) & 0x3F) << 6) | (np.int32(data[i + 2]) & 0x3F), 3
    return (
        ((b & 0x07) << 18)
        | ((np.int32(data[i + 1]) & 0x3F) << 12)
        | ((np.int32(data[i + 2]) & 0x3F) << 6)
        | (np.int32(data[i + 3]) & 0x3F)
    ), 4


@kernel(inline="always")
def is_tag(point):  # type: ignore[no-untyped-def]
    """Whether a code point above the table shows nothing: a tag, or a variation selector."""
    return 0xE0000 <= point <= 0xE0FFF


@kernel(inline="always")
def class_of(classes, point):  # type: ignore[no-untyped-def]
    """The class bits of a code point; above the table only variation selectors (marks) mean anything."""
    if point < len(classes):
        return classes[point]
    if 0xE0100 <= point <= 0xE01EF:
        return np.uint16(10)  # MARK | WORD
    return np.uint16(0)
