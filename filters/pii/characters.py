"""Characters as the finder of personal data sees them: ASCII, with what Chinese text writes at full width put back.

NFKC of the digits, letters and signs that a number or an address is made of, done a character at a time and in place,
so that an offset stays an offset: `１３９` is read as `139`, `＠` as `@`. Spaces and hyphens of any width are a
space and a hyphen. The full-width colon stays itself: it is punctuation before an address, never part of one. Other
characters of NFKC (circled, superscript and mathematical digits) are not read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel

EDGE = 0
"""The code of what lies before the first and behind the last character."""
OTHER = 128
"""The code of a character that means nothing here."""
WIDE_COLON = 129
SPACE, OPEN, CLOSE, PLUS, HYPHEN, DOT, SLASH, COLON, EQUALS, UNDERSCORE = map(ord, " ()+-./:=_")
"""Codes of the signs that numbers and addresses are made of."""

DIGIT, UPPER, LOWER, HEX, LOCAL = 1, 2, 4, 8, 16
"""Class bits of a code; `LOCAL`: may stand in the local part of an e-mail address."""
LETTER = UPPER | LOWER


def _classes() -> npt.NDArray[np.uint8]:
    classes = np.zeros(256, np.uint8)
    classes[ord("0") : ord("9") + 1] = DIGIT | HEX | LOCAL
    classes[ord("A") : ord("Z") + 1] = UPPER | LOCAL
    classes[ord("a") : ord("z") + 1] = LOWER | LOCAL
    for low in b"aA":
        classes[low : low + 6] |= HEX
    classes[list(b"._%+-'")] = LOCAL
    return classes


def _widths() -> npt.NDArray[np.uint8]:
    """The code of U+FF00 + i: ASCII where the character is one that numbers and addresses are made of."""
    codes = np.full(128, OTHER, np.uint8)
    for char in range(0x21, 0x7F):
        if chr(char).isalnum() or chr(char) in ".+-_%@()":
            codes[char - 0x20] = char
    codes[ord(":") - 0x20] = WIDE_COLON
    return codes


CLASSES = _classes()
_WIDE = _widths()


@kernel(inline="always")
def code_at(text, i):  # type: ignore[no-untyped-def]
    """The character at byte `i`: (code, its bytes)."""
    b = np.int64(text[i])
    if b < 0x80:
        return b, 1
    return _wide_code(text, i, b)


@kernel
def _wide_code(text, i, b):  # type: ignore[no-untyped-def]
    if b < 0xE0:
        space = b == 0xC2 and text[i + 1] == 0xA0  # U+00A0
        return (SPACE if space else OTHER), 2
    if b >= 0xF0:
        return OTHER, 4
    c, d = np.int64(text[i + 1]), np.int64(text[i + 2])
    if b == 0xEF and (c == 0xBC or c == 0xBD):  # U+FF00 to U+FF7F
        return np.int64(_WIDE[(c - 0xBC) * 64 + d - 0x80]), 3
    if b == 0xE3 and c == 0x80 and d == 0x80:  # U+3000
        return SPACE, 3
    if b == 0xE2 and c == 0x80:
        if 0x90 <= d <= 0x93:  # U+2010 to U+2013
            return HYPHEN, 3
        if d == 0x87 or d == 0x89 or d == 0xAF:  # U+2007, U+2009, U+202F
            return SPACE, 3
    if b == 0xE2 and c == 0x88 and d == 0x92:  # U+2212
        return HYPHEN, 3
    return OTHER, 3


@kernel(inline="always")
def code_before(text, i):  # type: ignore[no-untyped-def]
    """The character that ends before byte `i`: (code, its bytes); (EDGE, 0) at the beginning."""
    if i == 0:
        return np.int64(EDGE), 0
    if text[i - 1] < 0x80:
        return np.int64(text[i - 1]), 1
    first = i - 1
    while text[first] & 0xC0 == 0x80:
        first -= 1
    code, size = _wide_code(text, first, np.int64(text[first]))
    return np.int64(code), size


@kernel(inline="always")
def is_digit(code):  # type: ignore[no-untyped-def]
    """0 to 9."""
    return 48 <= code <= 57


@kernel(inline="always")
def is_letter(code):  # type: ignore[no-untyped-def]
    """A to Z, a to z."""
    return 65 <= code <= 90 or 97 <= code <= 122


@kernel(inline="always")
def is_name(code):  # type: ignore[no-untyped-def]
    """Letter, digit or underscore: what a number must not touch."""
    return is_digit(code) or is_letter(code) or code == UNDERSCORE
