"""Which signs are tokens where a text is compared with another: those that change what it says.

"fell to 30" and "fell to -30", x<y and x>y, 30 and 30 % are not the same; a hyphen, a bullet, a "> " before each quoted
line and a row of ====== say nothing, and with them as tokens a copy would no longer be its original's twin. So a
sign counts by where it stands, on its line and over at most one space:

    sign of a number     - − – +     directly before a number, not directly behind a letter, number or bracket
    comparison           < > = <= >= == != <>     between operands: words, brackets, signed numbers
    arithmetic           - + * / × ÷ ± ^     between operands of a formula: numbers, single letters, brackets
    mathematics          U+2200 to U+22FF, ¬     beside a word
    percent, currency    beside a number

Between two numbers a hyphen is a range or a score and no token, and so are the slashes of 2020/10/12. What
docs/design/near-duplicates.md says of each has its reason there.

Cost: only signs are looked at (`text.chars.SIGN`); for each, one or two characters before and behind it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.chars import IGNORABLE, LETTER, NUMBER, PLAIN, SIGN, SINGLE, WORD, class_of, decode, is_tag

MINUS, EN_DASH, TIMES, OBELUS, PLUS_MINUS, NOT, ROOT = 0x2212, 0x2013, 0xD7, 0xF7, 0xB1, 0xAC, 0x221A
AROUND = 6
"""Characters that are looked at before and behind a sign: enough for the two numbers of a date beside a slash."""
_REACH = 3
"""How many characters of a script without spaces between a number and a hyphen make it a range (5月-6月)."""


_HAN = 127


def _fits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """For each ASCII sign, what may stand directly before and behind it where it is a token: bits of which one must be
    in both. At 0 stands what is not ASCII, at `_HAN` what begins like a Han character.
    """
    digits, letters, every = set(b"0123456789"), {c for c in range(128) if chr(c).isalpha()}, set(range(_HAN))
    left, right = digits | letters | set(b")]}% "), digits | letters | set(b"([{+-.$ ")
    binary, unary, beside = 1, 2, 4
    number = digits | set(b".$")
    rules = {
        "-": [(binary, set(b" "), set(b" ")), (unary, every - digits - letters - set(b")]}%._\\/-+"), number)],
        "+": [(binary, left, right), (unary, every, number)],
        "%": [(beside, digits | set(b" "), every | {_HAN})],
        "$": [(beside, digits | set(b" "), every | {_HAN}), (unary, every, digits | set(b".-+ "))],
        "!": [(binary, left, set(b"="))],
    }
    rules |= {sign: [(binary, left, right)] for sign in "*/^"}
    for sign in "<=>":  # one, or two
        rules[sign] = [(binary, left | set(b"<=>!"), right | {_HAN}), (beside, left, set(b"<=>"))]
    before, behind = np.zeros((128, 128), np.uint8), np.zeros((128, 128), np.uint8)
    for sign, found in rules.items():
        for bit, first, second in found:
            before[ord(sign), [0, *first]] |= bit
            behind[ord(sign), [0, *second]] |= bit
    return before, behind


FITS_BEFORE, FITS_BEHIND = _fits()
_IS_LETTER = np.array([c < 128 and chr(c).isalpha() for c in range(256)], np.bool_)
_IS_DIGIT = np.array([c < 128 and chr(c).isdigit() for c in range(256)], np.bool_)


@kernel(inline="always")
def may_be_sign(data, start, at, end):  # type: ignore[no-untyped-def]
    """Whether the ASCII sign at byte `at` may be a token, by the two bytes at each side; rules out most of them."""
    sign = data[at]
    before = data[at - 1] if at > start else np.uint8(10)
    behind = data[at + 1] if at + 1 < end else np.uint8(10)
    low = before if before < 128 else np.uint8(0)
    high = behind if behind < 128 else np.uint8(_HAN if 0xE4 <= behind <= 0xE9 else 0)
    if FITS_BEFORE[sign, low] & FITS_BEHIND[sign, high] == 0:
        return False
    if sign == 42 or sign == 47:  # * / between words of several letters, or with a space at one side
        if (low == 32) != (high == 32):
            return low == 0 or high == 0
        if at - 1 > start and _IS_LETTER[before] and _IS_LETTER[data[at - 2]]:
            return False
        return not (at + 2 < end and _IS_LETTER[behind] and _IS_LETTER[data[at + 2]])
    if 60 <= sign <= 62 and (low == 32) != (high == 32):  # < = > with a space at one side: beside a number
        further = data[at + 2] if high == 32 and at + 2 < end else (data[at - 2] if at - 1 > start else np.uint8(10))
        return not (_IS_LETTER[further] and (_IS_LETTER[low] or _IS_LETTER[high]))
    return True


@kernel(inline="always")
def unified(char):  # type: ignore[no-untyped-def]
    """One code point for signs that mean the same: the ways to write a minus."""
    return 45 if char == 0x2212 or char == 0x2013 else char


@kernel
def look_around(data, start, at, behind, end, done, classes, fold_start, fold_data, left, right):  # type: ignore[no-untyped-def]
    """Writes the folded characters that show before byte `at` and from byte `behind` on, the nearest first; -1 beyond.

    Args:
        data: uint8[...], valid UTF-8.
        start: the text's first byte.
        at: the sign's first byte.
        behind: the byte behind it.
        end: the byte behind the text.
        done: True if the text is already folded.
        classes: see `CharTables`.
        fold_start: see `CharTables`.
        fold_data: see `CharTables`.
        left: int64[AROUND].
        right: int64[AROUND].
    """
    for side in range(2):
        out = right if side else left
        i, n = (behind, 0) if side else (at, 0)
        while n < AROUND and (i < end if side else i > start):
            if not side:
                i -= 1
                while data[i] & 0xC0 == 0x80:
                    i -= 1
            if data[i] < 128:
                out[n] = data[i]
                n += 1
                i += side
                continue
            point, width = decode(data, i)
            i += width if side else 0
            if is_tag(point) or class_of(classes, point) & IGNORABLE:
                continue
            if done or point >= len(classes) or classes[point] & PLAIN:
                out[n] = point
            else:
                out[n] = fold_data[fold_start[point] if side else fold_start[point + 1] - 1]
            n += 1
        for k in range(n, AROUND):
            out[k] = -1


@kernel(inline="always")
def _bits(classes, point):  # type: ignore[no-untyped-def]
    return class_of(classes, point) if point >= 0 else np.uint16(0)


@kernel(inline="always")
def _is_number(classes, point):  # type: ignore[no-untyped-def]
    return _bits(classes, point) & (NUMBER | SINGLE) == NUMBER


@kernel(inline="always")
def _is_currency(point):  # type: ignore[no-untyped-def]
    return point == 36 or 0xA2 <= point <= 0xA5 or 0x20A0 <= point <= 0x20CF or point == 0xE3F


@kernel(inline="always")
def _closes(point):  # type: ignore[no-untyped-def]
    return point == 41 or point == 93 or point == 125  # ) ] }


@kernel(inline="always")
def _opens(point):  # type: ignore[no-untyped-def]
    return point == 40 or point == 91 or point == 123  # ( [ {


@kernel(inline="always")
def _compares(point):  # type: ignore[no-untyped-def]
    return point == 60 or point == 61 or point == 62 or point == 33  # < = > !


@kernel
def _numeric(classes, right, k):  # type: ignore[no-untyped-def]
    """Whether a number begins at `right[k]`, perhaps with a currency sign, perhaps with a point."""
    k += _is_currency(right[k])
    k += right[k] == 46
    return _is_number(classes, right[k])


@kernel
def _is_letter_alone(classes, point, other):  # type: ignore[no-untyped-def]
    """Whether a character is a word of one letter, by the one beside it that is not the sign: x, not the s of it's."""
    if _bits(classes, point) & (LETTER | SINGLE) != LETTER:
        return False
    return _bits(classes, other) & WORD == 0 and other != 39 and other != 0x2019


@kernel
def _ends_operand(classes, left, i, strict):  # type: ignore[no-untyped-def]
    """Whether `left[i]` ends an operand; in a formula (`strict`) a word is a number or a single letter."""
    point = left[i]
    if _closes(point) or point == 37:
        return True
    if not strict:
        return _bits(classes, point) & WORD != 0
    return _is_number(classes, point) or _is_letter_alone(classes, point, left[i + 1])


@kernel
def _begins_operand(classes, right, k, strict):  # type: ignore[no-untyped-def]
    """Whether `right[k]` begins an operand: see `_ends_operand`."""
    point = right[k]
    if _opens(point):
        return True
    if point == 45 or point == 43 or point == MINUS:
        return _numeric(classes, right, k + 1)
    if point == 46 or _is_currency(point):
        return _numeric(classes, right, k)
    bits = _bits(classes, point)
    if bits & WORD == 0:
        return bits & SIGN != 0 and 0x2200 <= point <= 0x22FF
    return not strict or _is_number(classes, point) or _is_letter_alone(classes, point, right[k + 1])


@kernel
def _ends_number(classes, left, i):  # type: ignore[no-untyped-def]
    """Whether `left[i]` ends a number, with at most a few characters of a script without spaces behind it."""
    for k in range(i, i + _REACH + 1):
        if k == AROUND or _is_number(classes, left[k]):
            return k < AROUND
        if _bits(classes, left[k]) & SINGLE == 0:
            return False
    return False


@kernel
def _is_number_sign(classes, left, right):  # type: ignore[no-untyped-def]
    """Whether a minus or plus belongs to the number directly behind it."""
    if not _numeric(classes, right, 0):
        return False
    point = left[0]
    bits = _bits(classes, point)
    if bits & WORD:
        return bits & SINGLE != 0 and not _ends_number(classes, left, 0)
    if _is_currency(point):
        return not _ends_number(classes, left, 1)
    if _closes(point) or point == 45 or point == 43 or point in (MINUS, EN_DASH):
        return False
    # 5%-10%, No.-5, a/-5, a_-5, a\\-5, 20°-30°
    return not (point == 37 or 46 <= point <= 47 or point == 95 or point == 92 or point == 0xB0 or point == 0x2030)


@kernel
def _in_chain(classes, around, first):  # type: ignore[no-untyped-def]
    """Whether a slash stands at the other end of the word that begins at `around[first]`: a date, a path."""
    for k in range(first, AROUND):
        if _bits(classes, around[k]) & WORD == 0:
            return around[k] == 47
    return False


@kernel
def is_sign(char, left, right, classes):  # type: ignore[no-untyped-def]
    """Whether a folded character of class `SIGN` is a token, by what `look_around` found before and behind it."""
    if (left[0] == char or right[0] == char) and (char != 61 or left[0] == right[0]):
        return False  # a row of them
    i = k = 0  # what is beside it; a comparison of two characters is one
    if _compares(char):
        first, second = np.int64(char), np.int64(-1)
        if _compares(left[0]):
            first, second = left[0], np.int64(char)
            i = 1
        if _compares(right[0]):
            if i:
                return False
            second = right[0]
            k = 1
        if _compares(left[i]) or _compares(right[k]) or first == 33 and second < 0:
            return False
        if second >= 0 and second != 61 and not (first == 60 and second == 62):  # == != <= >= <>
            return False
    spaced_left, spaced_right = left[i] == 32, right[k] == 32
    i += spaced_left
    k += spaced_right
    if char == 37 or char == 0x2030:  # % and per mille
        return _is_number(classes, left[i])
    if _is_currency(char):
        k += right[k] == 45 or right[k] == 43 or right[k] == MINUS
        return _is_number(classes, left[i]) or _numeric(classes, right, k)
    minus = char == 45 or char in (MINUS, EN_DASH)
    if (minus or char == 43) and _is_number_sign(classes, left, right):
        return True
    if char == EN_DASH:
        return False
    if char == PLUS_MINUS:
        return _numeric(classes, right, k)
    if char == ROOT:  # also a tick before an item of a list
        return _opens(right[0]) or _bits(classes, right[0]) & (WORD | SINGLE) == WORD
    if 0x2200 <= char <= 0x22FF and not minus or char == NOT:
        return (_bits(classes, left[i]) | _bits(classes, right[k])) & WORD != 0
    strict = not _compares(char)
    if not _ends_operand(classes, left, i, strict) or not _begins_operand(classes, right, k, strict):
        return False
    if char in (TIMES, OBELUS):
        return True
    before, behind = _is_number(classes, left[i]), _numeric(classes, right, k)
    if char == 94:  # ^
        return not spaced_left and not spaced_right
    if minus:
        return spaced_left and spaced_right and not (before and behind)
    if spaced_left != spaced_right:
        return _compares(char) and (before or behind)
    return char != 47 or not (_in_chain(classes, left, i) or _in_chain(classes, right, k))
