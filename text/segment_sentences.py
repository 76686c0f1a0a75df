"""Where the sentences of a paragraph end.

Kernels; the rules are those of `text.segment`. Bytes that cannot begin a terminal are skipped, eight at a time in
ASCII, a character at a time in Chinese, Japanese and Korean.
"""

from __future__ import annotations

import numpy as np

from tamis.kernels import kernel
from text.bits import HIGH_BITS, bytes_before, equal_bytes, load8
from text.chars import HAN, KANA, NUMBER, SINGLE, SPACE, WORD, class_of, decode
from text.segment_stops import class_before, ends_here
from text.segment_tables import IS_CLOSER, IS_DOT, IS_MIDDLE, IS_OPENER, IS_STRONG, IS_TERMINAL


@kernel(inline="always")
def _mark(marks, point):  # type: ignore[no-untyped-def]
    return marks[point] if point < 0x10000 else np.uint8(0)


@kernel(inline="always")
def _may_end(eight):  # type: ignore[no-untyped-def]
    """Sets the high bit of the first of eight bytes that is not ASCII, or is a terminal or a straight quote."""
    marks = equal_bytes(eight, 46) | equal_bytes(eight, 33) | equal_bytes(eight, 63) | equal_bytes(eight, 34)
    return (eight & HIGH_BITS) | marks


@kernel
def cut_sentences(text, begin, end, tables, out, n):  # type: ignore[no-untyped-def]
    """Writes the starts of the sentences behind the first of `text[begin:end]`."""
    lead = tables.lead
    in_quotes = False
    i = begin
    while i < end:
        b = text[i]
        if not lead[b]:
            if 0xE4 <= b <= 0xED:
                i += 3
            elif b < 128 and i + 8 <= end:
                i += max(1, bytes_before(_may_end(load8(text, i))))
            else:
                i += 1
            continue
        if b == 34:
            in_quotes = not in_quotes
            i += 1
            continue
        point, size = decode(text, i)
        if not _mark(tables.marks, point) & IS_TERMINAL:
            i += size
            continue
        i, after, is_end, in_quotes = _terminal(text, begin, i, end, in_quotes, tables)
        if is_end:
            if n == len(out):
                return -1
            out[n] = after
            n += 1
            begin = i = after
    return n


@kernel
def _terminal(text, begin, at, end, in_quotes, tables):  # type: ignore[no-untyped-def]
    """Reads the terminals at `at` with their closers, and decides whether they end the sentence.

    Returns:
        (byte after them, byte of the next non-space, whether the sentence ends, whether a `"` is open).
    """
    classes, marks = tables.classes, tables.marks
    i = at
    strong = loud = False
    dots = count = 0
    closer = 0
    while i < end:
        point, size = decode(text, i)
        mark = _mark(marks, point)
        if mark & IS_TERMINAL:
            strong |= mark & IS_STRONG != 0
            loud |= point == 33 or point == 63
            dots += mark & IS_DOT != 0
            count += 1
            closer = 0
        elif mark & IS_CLOSER and _closes(text, i + size, end, point, in_quotes, classes):
            in_quotes ^= point == 34
            closer = point
        else:
            break
        i += size
    after = i
    point = 0
    while after < end:
        point, size = decode(text, after)
        if not class_of(classes, point) & SPACE:
            break
        after += size
    if after == end or _mark(marks, point) & IS_MIDDLE:
        return i, after, False, in_quotes
    bits = class_of(classes, point)
    spaced = after > i
    first, _ = decode(text, at)
    if count == 1 and first == 0xFF0E:  # ． between digits or Latin letters is a decimal point
        joined = not spaced and bits & WORD and not bits & SINGLE
        return i, after, not (joined or class_before(text, begin, at, classes) & NUMBER), in_quotes
    if strong or dots >= 2:
        title = (closer == 0x300B or closer == 0x3009) and not spaced and bits & WORD
        return i, after, not title, in_quotes
    if not spaced:
        sure = loud or (first == 46 and count == 1 and class_before(text, begin, at, classes) & SINGLE)
        return i, after, bool(bits & (HAN | KANA) and sure), in_quotes
    word = after
    while word < end:
        point, size = decode(text, word)
        if not _mark(marks, point) & IS_OPENER:
            break
        word += size
    if point < 0x2000 and tables.lower[point]:
        return i, after, False, in_quotes
    is_end = not (first == 46 and count == 1 and closer == 0) or ends_here(text, begin, at, word, end, tables)
    return i, after, is_end, in_quotes


@kernel
def _closes(text, i, end, point, in_quotes, classes):  # type: ignore[no-untyped-def]
    """Whether a closer after a terminal really closes: a straight quote may also open what follows at `i`."""
    if (point != 34 and point != 39) or (point == 34 and in_quotes) or i == end:
        return True
    point, _ = decode(text, i)
    return not class_of(classes, point) & WORD
