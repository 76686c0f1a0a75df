"""Counts of characters, words, tokens and lines of one document: the loops behind ``filters.features``.

Characters are counted as a histogram over eight class bits, so that the loop is a look-up and an increment;
words, tokens and lines each have a loop of their own, which costs a second reading of bytes that are in the
cache, and keeps each readable.
"""

from __future__ import annotations

from functools import cache

import numba as nb
import numpy as np
import numpy.typing as npt

from text.chars import (
    HAN,
    KANA,
    LETTER,
    NUMBER,
    PUNCT,
    SINGLE,
    SPACE,
    SYMBOL,
    WORD,
    char_tables,
    class_of,
    decode,
)
from text.hash import mix
from text.segment import BULLETS, CLOSERS

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Source: Gopher, A1.1."""

LINE_BULLETS = BULLETS + "-*"
LINE_TERMINALS = "。！？｡….!?"
STOPS = "。！？｡"

_STOP_CODES = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.uint32)
_PRIME = np.uint64(0x9DDFEA08EB382D69)
_SEED = np.uint64(0x51ED270B27B4F3CF)
_START, _END, _CLOSER, _STOP = 1, 2, 4, 8
_REAL = np.uint16(0x8000)
"""Beside the class bits: the word holds more than punctuation and symbols."""


@cache
def character_kinds() -> npt.NDArray[np.uint8]:
    """uint8[TABLE_SIZE]: 1 space, 2 word, 4 letter, 8 Latin, 16 single, 32 CJK, 64 punctuation, 128 digit."""
    classes = char_tables().classes
    kinds = np.zeros(len(classes), np.uint8)
    for k, bits in enumerate((SPACE, WORD, LETTER, None, SINGLE, HAN | KANA, PUNCT, NUMBER)):
        if bits is not None:
            kinds[(classes & bits) != 0] |= 1 << k
    latin = np.r_[0:0x250, 0x1E00:0x1F00]
    kinds[latin[(classes[latin] & LETTER) != 0]] |= 8
    return kinds


@cache
def line_marks() -> npt.NDArray[np.uint8]:
    """uint8[0x10000]: 1 a bullet, 2 may end a line's sentence, 4 may follow that, 8 ends one anywhere."""
    marks = np.zeros(0x10000, np.uint8)
    for bit, chars in ((_START, LINE_BULLETS), (_END, LINE_TERMINALS), (_CLOSER, CLOSERS), (_STOP, STOPS)):
        marks[[ord(c) for c in chars]] |= bit
    return marks


@nb.njit(cache=True)
def count_characters(text, kinds):  # type: ignore[no-untyped-def]
    """Counts characters: all, then of each kind in the order of ``character_kinds``."""
    histogram = np.zeros(256, np.int64)
    i = 0
    while i < len(text):
        b = text[i]
        if b < 128:
            histogram[kinds[b]] += 1
            i += 1
            continue
        point, size = decode(text, i)
        i += size
        histogram[kinds[point] if point < len(kinds) else (2 if 0xE0100 <= point <= 0xE01EF else 0)] += 1
    found = np.zeros(9, np.int64)
    for kind in range(256):
        if histogram[kind] == 0:
            continue
        found[0] += histogram[kind]
        for k in range(8):
            found[k + 1] += histogram[kind] if kind >> k & 1 else 0
    return found[0], found[1], found[2], found[3], found[4], found[5], found[6], found[7], found[8]


@nb.njit(cache=True)
def read_words(text, classes, hashes, ends):  # type: ignore[no-untyped-def]
    """Writes each word's hash and the characters up to its end.

    Returns:
        (words, words that hold more than signs, characters in those, words that hold a letter, # or ellipses
        whichever is more, different stop words).
    """
    words = real_words = real_chars = alpha_words = total = number_signs = ellipses = found = 0
    i = 0
    end = len(text)
    while i < end:
        start = i
        size_of_word = dots = 0
        seen = np.uint16(0)
        h = _SEED
        while i < end:
            point, size = decode(text, i)
            bits = class_of(classes, point)
            if bits & SPACE:
                break
            i += size
            size_of_word += 1
            h = (h ^ np.uint64(point)) * _PRIME
            if bits & (PUNCT | SYMBOL) == 0:
                seen |= bits | _REAL
                dots = 0
                continue
            number_signs += point == 35
            dots = dots + 1 if point == 46 else 0
            if dots == 3 or point == 0x2026:
                ellipses += 1
                dots = 0
        if size_of_word:
            total += size_of_word
            hashes[words] = mix(h)
            ends[words] = total
            words += 1
            alpha_words += 1 if seen & LETTER else 0
            real_words += 1 if seen & _REAL else 0
            real_chars += size_of_word if seen & _REAL else 0
            found |= _stop_word(text, start, i)
        if i < end:
            i += size
    return words, real_words, real_chars, alpha_words, max(number_signs, ellipses), _bit_count(found)


@nb.njit(cache=True)
def _bit_count(x):  # type: ignore[no-untyped-def]
    n = 0
    while x:
        n += x & 1
        x >>= 1
    return n


@nb.njit(cache=True)
def _stop_word(text, start, end):  # type: ignore[no-untyped-def]
    """The bit of the stop word that ``text[start:end]`` is, ASCII signs around it cut off; else 0."""
    while start < end and text[start] < 128 and not 97 <= text[start] | 32 <= 122:
        start += 1
    while end > start and text[end - 1] < 128 and not 97 <= text[end - 1] | 32 <= 122:
        end -= 1
    if not 2 <= end - start <= 4:
        return 0
    code = np.uint32(0)
    for k in range(end - start):
        if text[start + k] >= 128:
            return 0
        code |= np.uint32(text[start + k] | 32) << np.uint32(8 * k)
    for k in range(len(_STOP_CODES)):
        if _STOP_CODES[k] == code:
            return 1 << k
    return 0


@nb.njit(cache=True)
def read_tokens(text, classes, hashes, ends):  # type: ignore[no-untyped-def]
    """Writes tokens (a single character, or a run of other letters, marks, numbers); returns how many."""
    n = total = i = 0
    is_open = False
    h = _SEED
    while i < len(text):
        point, size = decode(text, i)
        i += size
        bits = class_of(classes, point)
        if bits & SINGLE or not bits & WORD:
            is_open = False
        if not bits & WORD:
            continue
        if not is_open:
            h = _SEED
            n += 1
        h = (h ^ np.uint64(point)) * _PRIME
        total += 1
        hashes[n - 1] = h
        ends[n - 1] = total
        is_open = bits & SINGLE == 0
    return n


@nb.njit(cache=True)
def read_lines(text, classes, marks, lines, blocks):  # type: ignore[no-untyped-def]
    """Writes hash and length of each line that holds text, and of each paragraph.

    Args:
        text: uint8[...].
        classes: see ``text.chars.CharTables``.
        marks: see ``line_marks``.
        lines: (uint64[capacity], int32[capacity]).
        blocks: likewise.

    Returns:
        (lines, paragraphs, (lines that start with a bullet, that end with an ellipsis, that end a sentence;
        characters of lines that end a sentence or hold the end of one; characters of all lines)).
    """
    n_lines = n_blocks = bullets = ellipses = terminals = terminal_chars = total = 0
    open_block = False
    i = 0
    while i < len(text):
        i, h, size, first, last, dots, mark, stops = _read_line(text, i, classes, marks)
        if size == 0:
            open_block = False
            continue
        bullets += first < 0x10000 and marks[first] & _START != 0
        ellipses += last == 0x2026 or dots >= 3
        terminals += mark & _END != 0
        terminal_chars += size if mark & _END or stops else 0
        lines[0][n_lines] = h
        lines[1][n_lines] = size
        n_lines += 1
        total += size
        if not open_block:
            blocks[0][n_blocks] = _SEED
            blocks[1][n_blocks] = 0
            n_blocks += 1
            open_block = True
        blocks[0][n_blocks - 1] = mix((blocks[0][n_blocks - 1] ^ h) * _PRIME)
        blocks[1][n_blocks - 1] += size
    return n_lines, n_blocks, (bullets, ellipses, terminals, terminal_chars, total)


@nb.njit(cache=True)
def _read_line(text, i, classes, marks):  # type: ignore[no-untyped-def]
    """Reads the line at ``i``, stripped.

    Returns:
        (byte of the next line, hash, characters, first and last character, full stops at its end, marks of
        the last character before closing quotes, not 0 if it holds 。！？).
    """
    h = h_solid = _SEED
    size_of_line = solid = dots = 0
    stops = last_mark = np.uint8(0)
    first = last = np.int32(0)
    while i < len(text):
        point, size = decode(text, i)
        i += size
        if point == 10 or point == 13 or point == 0x85 or point == 0x2028 or point == 0x2029:
            if point == 13 and i < len(text) and text[i] == 10:
                i += 1
            break
        is_space = class_of(classes, point) & SPACE != 0
        if is_space and solid == 0:
            continue
        size_of_line += 1
        h = (h ^ np.uint64(point)) * _PRIME
        if is_space:
            continue
        if solid == 0:
            first = point
        h_solid = h
        last = point
        dots = (dots if solid == size_of_line - 1 else 0) + 1 if point == 46 else 0
        solid = size_of_line
        mark = marks[point] if point < 0x10000 else np.uint8(0)
        stops |= mark & _STOP
        if not mark & _CLOSER:
            last_mark = mark
    return i, mix(h_solid), solid, first, last, dots, last_mark, stops
