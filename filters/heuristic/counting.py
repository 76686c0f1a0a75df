"""Counts of characters, words and lines of one document in one pass: the loop behind `filters.heuristic.features`.

The pass goes from word to word. ASCII is read eight bytes at a time: one load gives the word's end, its letters and
digits, and its hash; only signs (every sixth word or so has one) are looked at one by one. Han, the next most common,
needs no look-up. A line's features are computed when it ends, from the offsets of its first and last character; only
its hash reads its bytes a second time.

`read_text` is one long function: what it carries from word to word stays in registers, which it would not across
helpers that numba does not inline. The counts are written into `found`, an int64 array with the places named below.
"""

from __future__ import annotations

import numpy as np

from filters.character_marks import (
    CLOSER,
    END,
    IS_CJK,
    IS_LATIN,
    IS_LETTER,
    IS_NUMBER,
    IS_SINGLE,
    IS_WORD,
    SIGN,
    START,
    STOP,
    breaks_line,
    count_high_bits,
    find_digits,
    find_letters,
    last_mark,
)
from tamis.kernels import kernel
from text.bits import HIGH_BITS, LOW_BITS, U64, bytes_before, count_bits, load8
from text.chars import PUNCT, SINGLE, SPACE, SYMBOL, WORD, class_of, decode
from text.hash import mix

SHORT_LINE_CHARS, SHORT_CJK_LINE_CHARS = 30, 10
"""A line of at most so many characters is short. Source: FineWeb, § 3.6 (30); for Chinese ours, as ten characters
hold what thirty Latin letters do."""
LONG_LINE_CHARS = 200
"""Source: mC4 (Xue et al. 2021), § 3.1."""

(
    CHARS,
    SPACES,
    WORD_CHARS,
    LETTERS,
    LATIN,
    SINGLES,
    CJK_CHARS,
    PUNCTUATION,
    NUMBERS,
    WORDS,
    REAL_WORDS,
    REAL_CHARS,
    ALPHA_WORDS,
    NUMBER_SIGNS,
    ELLIPSES,
    STOP_WORDS_FOUND,
    SENTENCES,
    CURLY,
    LOREM,
    FOREIGN_RUN,
    BREAKS,
    LINES,
    BLOCKS,
    BULLETS,
    DOTTED_LINES,
    TERMINALS,
    TERMINAL_CHARS,
    LINE_CHARS,
    SHORT_LINES,
    SHORT_CJK_LINES,
    LONG_LINES,
    OPEN_BLOCK,
) = range(32)
"""Places in `found`."""
PLACES = 32

_PRIME = U64(0x9DDFEA08EB382D69)
_SEED = U64(0x51ED270B27B4F3CF)
_ONE = U64(1)
_HAN_KIND = IS_WORD | IS_LETTER | IS_SINGLE | IS_CJK
_LETTER_KIND, _DIGIT_KIND = IS_WORD | IS_LETTER | IS_LATIN, IS_WORD | IS_NUMBER


@kernel(inline="always")
def _load(text, i, end):  # type: ignore[no-untyped-def]
    """The eight bytes from `i`; beyond `end` they are 0."""
    if i + 8 <= end:
        return load8(text, i)
    eight = U64(0)
    for k in range(end - i):
        eight |= U64(text[i + k]) << U64(8 * k)
    return eight


@kernel(inline="always")
def _ascii_space(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31


@kernel
def read_text(text, tables, hashes, ends, lines, blocks, found):  # type: ignore[no-untyped-def]
    """Reads a document; writes each word's hash and end, each line's and paragraph's hash and length, and the counts.

    Args:
        text: uint8[...], valid UTF-8.
        tables: see `filters.character_marks.CharacterMarks`.
        hashes: uint64[capacity].
        ends: int32[capacity], cumulated characters of words, each word's own included.
        lines: (uint64[capacity], int32[capacity]): hash and characters of each line that holds text, stripped.
        blocks: likewise, of each paragraph.
        found: int64[PLACES], zeros; the places named in this module.
    """
    marks = tables.marks
    histogram = np.zeros(256, np.int64)
    end = len(text)
    i = chars = spaces = ascii_letters = digits = han = words = total = 0
    real_words = real_chars = alpha_words = sentences = longest_run = 0
    last_han, first, first_char, last, last_char = 0, -1, 0, 0, 0
    stop_words = 0
    last_dot, dots = -1, 0
    is_open = has_stop = False  # of the line: text follows its last sentence; it holds a Chinese full stop
    while i < end:
        if text[i] == 32:
            i += 1
            chars += 1
            spaces += 1
            continue
        point, size = decode(text, i)
        if size == 1 and _ascii_space(point) or size > 1 and class_of(tables.classes, point) & SPACE:
            i += size
            chars += 1
            spaces += 1
            if breaks_line(point):
                if point == 13 and i < end and text[i] == 10:
                    i += 1
                    chars += 1
                    spaces += 1
                found[BREAKS] += 1
                sentences += is_open
                _close_line(text, first, last, last_char - first_char, has_stop, marks, lines, blocks, found)
                first = -1
                is_open = has_stop = False
            continue
        start, start_char = i, chars
        letters = ascii_digits = 0
        others = 0  # bits over the characters read one by one: 1 a letter, 2 more than a sign
        h = _SEED
        while i < end:
            eight = _load(text, i, end)
            stop = (eight | (eight - LOW_BITS * U64(33)) | (eight + LOW_BITS)) & HIGH_BITS  # not 33 to 126
            n = bytes_before(stop)
            if n:
                if n < 8:
                    eight &= (_ONE << U64(8 * n)) - _ONE
                is_letter, is_digit = find_letters(eight), find_digits(eight)
                k, m = count_high_bits(is_letter), count_high_bits(is_digit)
                letters += k
                ascii_digits += m
                if k + m:
                    is_open = True
                if k + m < n:
                    signs = HIGH_BITS & ~(is_letter | is_digit | stop)
                    if n < 8:
                        signs &= (_ONE << U64(8 * n)) - _ONE
                    while signs:
                        j = i + bytes_before(signs)
                        signs &= signs - _ONE
                        byte = text[j]
                        histogram[tables.kinds[byte]] += 1
                        if not marks[byte] & CLOSER:
                            is_open = True
                        if byte == 46:
                            dots = dots + 1 if last_dot == j - 1 else 1
                            last_dot = j
                            if dots == 3:
                                found[ELLIPSES] += 1
                                dots = 0
                        elif byte == 35:
                            found[NUMBER_SIGNS] += 1
                        elif byte == 123:
                            found[CURLY] += 1
                h = (h ^ eight) * _PRIME
                h ^= h >> U64(32)
                i += n
                chars += n
                if n == 8 or i >= end:
                    continue
            if text[i] == 32:
                break
            point, size = decode(text, i)
            if size == 1 and _ascii_space(point):
                break
            is_end = False
            while True:
                if 0x4E00 <= point <= 0x9FA5:
                    han += 1
                    others |= 3
                    is_open = True
                    if chars - last_han > longest_run:
                        longest_run = chars - last_han
                    last_han = chars + 1
                else:
                    bits = class_of(tables.classes, point)
                    if bits & SPACE:
                        is_end = True
                        break
                    in_table = point < len(tables.kinds)
                    kind = tables.kinds[point] if in_table else np.uint8(IS_WORD if bits & WORD else 0)
                    histogram[kind] += 1
                    if kind & IS_CJK:
                        if chars - last_han > longest_run:
                            longest_run = chars - last_han
                        last_han = chars + 1
                    others |= 1 if kind & IS_LETTER else 0
                    others |= 2 if not bits & (PUNCT | SYMBOL) else 0
                    mark = marks[point] if point < 0x10000 else np.uint8(0)
                    if mark & STOP:
                        sentences += is_open
                        is_open = False
                        has_stop = True
                    elif not mark & CLOSER:
                        is_open = True
                        if point == 0x2026:
                            found[ELLIPSES] += 1
                h = (h ^ U64(point)) * _PRIME
                i += size
                chars += 1
                if i >= end or text[i] < 128:
                    break
                point, size = decode(text, i)
            if is_end:
                break
        ascii_letters += letters
        digits += ascii_digits
        size = chars - start_char
        hashes[words] = mix(h)
        total += size
        ends[words] = total
        words += 1
        alpha_words += letters > 0 or others & 1 != 0
        if letters + ascii_digits or others & 2:
            real_words += 1
            real_chars += size
        if 2 <= letters <= 4:
            if letters == i - start:
                stop_words |= _stop_bit(np.uint32(eight | U64(0x20202020)), letters, tables)
            else:
                stop_words |= _stop_word(text, start, i, tables)
        b = text[i - 1]
        if is_open and (b >= 128 or marks[b] & SIGN) and _ends_sentence(text, start, i, marks):
            sentences += 1
            is_open = False
        if b | 32 == 109 and size >= 5 and _is_lorem_ipsum(text, i - 5):
            found[LOREM] += 1
        if first < 0:
            first, first_char = start, start_char
        last, last_char = i, chars
    sentences += is_open
    _close_line(text, first, last, last_char - first_char, has_stop, marks, lines, blocks, found)
    histogram[_LETTER_KIND] += ascii_letters
    histogram[_DIGIT_KIND] += digits
    histogram[_HAN_KIND] += han
    for kind in range(256):
        if histogram[kind]:
            for k in range(8):
                found[SPACES + k] += histogram[kind] if kind >> k & 1 else 0
    found[CHARS] = chars
    found[SPACES] = spaces
    found[WORDS] = words
    found[REAL_WORDS] = real_words
    found[REAL_CHARS] = real_chars
    found[ALPHA_WORDS] = alpha_words
    found[STOP_WORDS_FOUND] = count_bits(U64(stop_words))
    found[SENTENCES] = sentences
    found[FOREIGN_RUN] = max(longest_run, chars - last_han)


@kernel
def _stop_word(text, start, end, tables):  # type: ignore[no-untyped-def]
    """The bit of the stop word that `text[start:end]` is, ASCII signs around it cut off; else 0."""
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
        code |= np.uint32(text[start + k]) << np.uint32(8 * k)
    return _stop_bit(code | np.uint32(0x20202020), end - start, tables)


@kernel(inline="always")
def _stop_bit(code, size, tables):  # type: ignore[no-untyped-def]
    """The bit of the stop word of `size` lower-case letters whose bytes are those of `code`; else 0."""
    code &= np.uint32(0xFFFFFFFF) >> np.uint32(32 - 8 * size)
    slot = np.uint32(code * tables.stop_factor[0]) >> np.uint32(26)
    return np.int64(tables.stop_bits[slot]) if tables.stop_codes[slot] == code else 0


@kernel
def _ends_sentence(text, start, end, marks):  # type: ignore[no-untyped-def]
    """Whether `. ! ? …` ends the word `text[start:end]`, closing quotes cut off; not an initial's full stop."""
    mark, at = last_mark(text, start, end, marks)
    if not mark & END or mark & STOP:
        return False
    if text[at] != 46 or at == start or not 97 <= text[at - 1] | 32 <= 122:
        return True
    if at - 1 == start:
        return False
    before = text[at - 2]
    return before >= 128 or 48 <= before <= 57 or 97 <= before | 32 <= 122


@kernel
def _is_lorem_ipsum(text, i):  # type: ignore[no-untyped-def]
    """Whether "lorem ipsum" stands at `i`, in any case."""
    if i + 11 > len(text):
        return False
    one, two = load8(text, i), load8(text, i + 3)
    wide = LOW_BITS * U64(32)
    return one | wide == U64(0x7069206D65726F6C) and two | wide == U64(0x6D75737069206D65)


@kernel
def _close_line(text, first, last, size, has_stop, marks, lines, blocks, found):  # type: ignore[no-untyped-def]
    """Counts the line whose text is `text[first:last]`; `first` is -1 for a line without text."""
    if first < 0:
        found[OPEN_BLOCK] = 0
        return
    point, _ = decode(text, first)
    found[BULLETS] += point < 0x10000 and marks[point] & START != 0
    at = last - 1
    while text[at] & 0xC0 == 0x80:
        at -= 1
    point, _ = decode(text, at)
    is_dots = point == 46 and at - 2 >= first and text[at - 1] == 46 and text[at - 2] == 46
    found[DOTTED_LINES] += point == 0x2026 or is_dots
    found[TERMINALS] += point != 0x2026 and point < 0x10000 and marks[point] & END != 0
    mark, _ = last_mark(text, first, last, marks)
    found[TERMINAL_CHARS] += size if mark & END or has_stop else 0
    found[LINE_CHARS] += size
    found[SHORT_LINES] += size <= SHORT_LINE_CHARS
    found[SHORT_CJK_LINES] += size <= SHORT_CJK_LINE_CHARS
    found[LONG_LINES] += size >= LONG_LINE_CHARS
    h = _SEED
    i = first
    while i < last:
        eight = _load(text, i, len(text))
        if last - i < 8:
            eight &= (_ONE << U64(8 * (last - i))) - _ONE
        h = (h ^ eight) * _PRIME
        h ^= h >> U64(32)
        i += 8
    n_lines, n_blocks = found[LINES], found[BLOCKS]
    lines[0][n_lines] = mix(h)
    lines[1][n_lines] = size
    found[LINES] += 1
    if not found[OPEN_BLOCK]:
        blocks[0][n_blocks] = _SEED
        blocks[1][n_blocks] = 0
        found[BLOCKS] += 1
        found[OPEN_BLOCK] = 1
        n_blocks += 1
    blocks[0][n_blocks - 1] = mix((blocks[0][n_blocks - 1] ^ mix(h)) * _PRIME)
    blocks[1][n_blocks - 1] += size


@kernel
def read_tokens(text, classes, hashes, ends):  # type: ignore[no-untyped-def]
    """Writes tokens (a single character, or a run of other letters, marks, numbers); returns how many."""
    n = total = i = 0
    is_open = False
    h = _SEED
    end = len(text)
    while i < end:
        point, size = decode(text, i)
        i += size
        if 0x4E00 <= point <= 0x9FA5:
            total += 1
            hashes[n] = (_SEED ^ U64(point)) * _PRIME
            ends[n] = total
            n += 1
            is_open = False
            continue
        bits = class_of(classes, point)
        if not bits & WORD:
            is_open = False
            continue
        if bits & SINGLE:
            is_open = False
        if not is_open:
            h = _SEED
            n += 1
        h = (h ^ U64(point)) * _PRIME
        total += 1
        hashes[n - 1] = h
        ends[n - 1] = total
        is_open = bits & SINGLE == 0
    return n
