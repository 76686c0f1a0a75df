"""Whether a full stop ends a sentence: it does not after an abbreviation, an initial or a list number.

Kernels; the rules are those of `text.segment`.
"""

from __future__ import annotations

import numpy as np

from tamis.kernels import kernel
from text.chars import SINGLE, SPACE, WORD, class_of, decode
from text.segment_tables import IS_BEFORE_NUMBER, IS_BEFORE_STARTER, IS_NEVER, IS_STARTER, WORD_BITS, WORD_MIX


@kernel
def class_before(text, begin, i, classes):  # type: ignore[no-untyped-def]
    """The class bits of the character before byte `i`, 0 at `begin`."""
    if i == begin:
        return np.uint16(0)
    i -= 1
    while text[i] & 0xC0 == 0x80:
        i -= 1
    point, _ = decode(text, i)
    return class_of(classes, point)


@kernel
def ends_here(text, begin, stop, word, end, tables):  # type: ignore[no-untyped-def]
    """Whether the full stop at `stop` ends a sentence and not just an abbreviation, an initial or a list number."""
    i = stop
    dotted = letters = digits = piece = 0
    longest_piece = 0
    while i > begin and stop - i < 24:
        b = text[i - 1]
        upper = 65 <= b <= 90
        if upper or 97 <= b <= 122:
            letters += 1
            piece += 1
        elif 48 <= b <= 57:
            digits += 1
        elif b == 46:
            dotted += 1
            piece = 0
        else:
            break
        longest_piece = max(longest_piece, piece)
        i -= 1
    size = stop - i
    before = class_before(text, begin, i, tables.classes)
    if size == 0 or (before & WORD and not before & SINGLE):
        return True
    starter = _kind_of_word(text, word, _letters_from(text, word, end), tables, False) == IS_STARTER
    if size <= 3 and (digits == size or (letters == 1 and size == 1)) and _only_space(text, begin, i, tables.classes):
        return False
    kind = _kind_of_word(text, i, size, tables, True)
    if kind == IS_NEVER:
        return False
    if kind == IS_BEFORE_NUMBER:
        return not (word < end and 48 <= text[word] <= 57)
    initial = size == 1 and 65 <= text[i] <= 90 and text[i] != 73
    acronym = dotted > 0 and digits == 0 and longest_piece <= 2
    return starter if kind == IS_BEFORE_STARTER or initial or acronym else True


@kernel
def _only_space(text, begin, end, classes):  # type: ignore[no-untyped-def]
    while begin < end:
        point, size = decode(text, begin)
        if not class_of(classes, point) & SPACE:
            return False
        begin += size
    return True


@kernel
def _letters_from(text, i, end):  # type: ignore[no-untyped-def]
    """The number of ASCII letters from `i`, at most 9."""
    n = 0
    while i + n < end and n < 9 and 97 <= (text[i + n] | 32) <= 122:
        n += 1
    return n


@kernel
def _kind_of_word(text, i, size, tables, fold):  # type: ignore[no-untyped-def]
    """The kind of the word `text[i:i + size]` in the table of abbreviations and starters, 0 for none."""
    if size == 0 or size > 8:
        return 0
    packed = np.uint64(0)
    for k in range(size):
        b = np.uint64(text[i + k])
        if fold and 65 <= b <= 90:
            b += np.uint64(32)
        packed |= b << np.uint64(8 * k)
    at = np.int64((packed * WORD_MIX) >> np.uint64(64 - WORD_BITS))
    while tables.words[at] != packed:
        if tables.words[at] == 0:
            return 0
        at = (at + 1) & ((1 << WORD_BITS) - 1)
    return np.int64(tables.word_kinds[at])
