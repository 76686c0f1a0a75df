"""What the line filter sees: the lines that some rule could cut, each with its facts, and every document's totals.

Two passes: a kernel finds the lines and counts their words, letters and capitals eight bytes at a time; regular
expressions (RE2, in Arrow) then look for phrases, in short lines alone, and for C4's words in documents that hold them
at all. Lines of prose are not stored: a line is evidence if it has a flag, if it is short or if a quarter of its
letters are capitals. Fenced code (between lines that begin with three backticks) is never evidence.

A line ends as in `text.segment`. It is *Chinese* when 3 in 10 or more of its letters, marks and numbers are Han or
Kana, whatever its document is: a Chinese page has English menus. Its `words` are Han and Kana then.

Cost: linear, some 280 MB/s a core on prose; pages of short lines 70, the sentences of what is stored counted in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from filters.character_marks import (
    END,
    IS_CJK,
    IS_LETTER,
    IS_NUMBER,
    IS_SPACE,
    IS_WORD,
    breaks_line,
    count_high_bits,
    find_digits,
    find_letters,
    last_mark,
    load_marks,
)
from filters.lines.phrases import BOILERPLATE, C4_WORDS, COUNTER, JAVASCRIPT, POLICY, ZH_BOILERPLATE, ZH_COUNTER
from filters.lines.thresholds import STORE_UPPER_RATIO, STORE_WORDS
from tamis.kernels import kernel
from text.arrow import TextColumn
from text.bits import HIGH_BITS, LOW_BITS, U64, bytes_before, load8
from text.chars import UPPER, WORD, class_of, decode
from text.segment import sentences
from text.segment_tables import DOTS, STRONG

CHINESE, NO_TERMINAL, LONG_WORD, NUMERIC = 1, 2, 4, 8
HAS_JAVASCRIPT, HAS_POLICY, IS_COUNTER, IS_BOILERPLATE = 16, 32, 64, 128
"""Flags of a line."""
MAX_WORD_CHARS = 1000
"""Source: C4's code."""
_SHORT_BYTES = 160
"""Longer lines are neither counters nor boilerplate, nor are those of more than `STORE_WORDS` words."""


_INNER_END = f"[.!?{STRONG}{DOTS}].*[^\\s]"
"""A sentence end with further text in the same line."""


@dataclass(frozen=True, slots=True)
class LineFacts:
    """The lines that some rule could cut."""

    doc: npt.NDArray[np.int64]  # [k], the document's place in the column, ascending
    start: npt.NDArray[np.int64]  # [k], first byte within the document
    end: npt.NDArray[np.int64]  # [k], byte behind the line's break
    words: npt.NDArray[np.int32]  # [k], runs without white space; of a Chinese line Han and Kana
    upper_ratio: npt.NDArray[np.float32]  # [k], capitals among letters
    flags: npt.NDArray[np.uint8]  # [k]
    sentences: npt.NDArray[np.int32]  # [k]
    total_words: npt.NDArray[np.int32]  # [n_docs], the sum of `words` over all lines of a document


def scan_lines(column: TextColumn) -> LineFacts:
    """The facts of every line that some rule could cut."""
    n = len(column)
    hits = pc.match_substring_regex(column.to_arrow(), C4_WORDS).to_numpy(zero_copy_only=False)
    capacity = int(np.count_nonzero(column.data[column.offsets[0] : column.offsets[-1]] == 10)) + n + 64
    while True:  # once, unless most lines end in something else than a newline
        bounds = np.empty((5, capacity), np.int64)
        words, upper, flags = np.empty(capacity, np.int32), np.empty(capacity, np.float32), np.empty(capacity, np.uint8)
        totals = np.zeros(n, np.int32)
        k = _scan(column.offsets, column.data, load_marks(), hits, bounds, words, upper, flags, totals)
        if k >= 0:
            break
        capacity *= 4
    doc, start, end, last, digits = bounds[:, :k]
    words, upper, flags = words[:k], upper[:k], flags[:k]
    at = column.offsets[doc]
    lines = _take(column, at + start, at + last)
    _add_phrases(lines, words, digits > 0, hits[doc], flags)
    keep = (flags & ~np.uint8(CHINESE) != 0) | (words <= STORE_WORDS) | (upper > STORE_UPPER_RATIO)
    count = _count_sentences(lines, keep)
    return LineFacts(doc[keep], start[keep], end[keep], words[keep], upper[keep], flags[keep], count[keep], totals)


def _take(column: TextColumn, start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> TextColumn:
    """Some spans of the column's bytes as a column of their own, copied."""
    offsets = np.concatenate(([0], np.cumsum(end - start))).astype(np.int64)
    data = np.empty(int(offsets[-1]), np.uint8)
    _copy(column.data, start, offsets, data)
    return TextColumn(offsets, data)


def _count_sentences(lines: TextColumn, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """The sentences of some lines, int32[k]; 1 where nothing could end one before the line's end."""
    count = np.ones(len(lines), np.int32)
    rows = np.flatnonzero(which)
    texts = lines.to_arrow().take(pa.array(rows))
    several = pc.match_substring_regex(texts, _INNER_END).to_numpy(zero_copy_only=False)
    column = TextColumn.from_arrow(texts.filter(pa.array(several)))
    count[rows[several]] = np.maximum(np.diff(sentences(column).ptr), 1)
    return count


def _add_phrases(
    lines: TextColumn,
    words: npt.NDArray[np.int32],
    has_digit: npt.NDArray[np.bool_],
    hits: npt.NDArray[np.bool_],
    flags: npt.NDArray[np.uint8],
) -> None:
    """Sets the flags that need a phrase."""
    texts = lines.to_arrow()
    chinese = flags & CHINESE != 0
    short = (lines.lengths <= _SHORT_BYTES) & (words <= STORE_WORDS)
    named = np.zeros(len(lines), np.bool_)
    named[hits] = pc.match_substring_regex(texts.filter(pa.array(hits)), C4_WORDS).to_numpy(zero_copy_only=False)
    for flag, pattern, where in (
        (HAS_JAVASCRIPT, JAVASCRIPT, named),
        (HAS_POLICY, POLICY, named),
        (IS_COUNTER, COUNTER, short & has_digit & ~chinese),
        (IS_COUNTER, ZH_COUNTER, short & has_digit & chinese),
        (IS_BOILERPLATE, BOILERPLATE, short & ~chinese),
        (IS_BOILERPLATE, ZH_BOILERPLATE, short & chinese),
    ):
        rows = np.flatnonzero(where)
        if len(rows):
            found = pc.match_substring_regex(texts.take(pa.array(rows)), pattern).to_numpy(zero_copy_only=False)
            flags[rows[found]] |= np.uint8(flag)


@kernel
def _copy(data, start, offsets, out):  # type: ignore[no-untyped-def]
    for k in range(len(start)):
        shift = start[k] - offsets[k]
        for i in range(offsets[k], offsets[k + 1]):
            out[i] = data[i + shift]


@kernel
def _scan(offsets, data, tables, hits, bounds, words, upper, flags, totals):  # type: ignore[no-untyped-def]
    """Writes the lines that may be evidence; returns how many, -1 when there is no room."""
    n = 0
    for d in range(len(offsets) - 1):
        text = data[offsets[d] : offsets[d + 1]]
        end = len(text)
        i = 0
        in_fence = False
        while i < end:
            start = i
            i, first, last, facts = _read_line(text, i, tables)
            n_words, letters, capitals, digits, cjk, solid, longest = facts
            if first < 0:
                continue
            is_chinese = 10 * cjk >= 3 * solid and cjk > 0
            count = cjk if is_chinese else n_words
            totals[d] += count
            if last - first >= 3 and text[first] == 96 and text[first + 1] == 96 and text[first + 2] == 96:
                in_fence = not in_fence
                continue
            if in_fence:
                continue
            flag = CHINESE if is_chinese else 0
            if not _is_ended(text, first, last, is_chinese, tables.marks):
                flag |= NO_TERMINAL
            if longest > MAX_WORD_CHARS:
                flag |= LONG_WORD
            if digits > 0 and letters == 0:
                flag |= NUMERIC
            ratio = np.float32(capitals / max(letters, 1))
            if flag & 14 == 0 and count > STORE_WORDS and ratio <= STORE_UPPER_RATIO and not hits[d]:
                continue
            if n == len(words):
                return -1
            bounds[:, n] = d, start, i, last, digits
            words[n] = count
            upper[n] = ratio
            flags[n] = flag
            n += 1
    return n


@kernel
def _is_ended(text, first, last, is_chinese, marks):  # type: ignore[no-untyped-def]
    """Whether a line ends as C4 wants it (. ! ? or a quotation mark, no ellipsis), a Chinese one as a sentence."""
    if is_chinese:
        return last_mark(text, first, last, marks)[0] & END != 0
    at = last - 1
    while text[at] & 0xC0 == 0x80:
        at -= 1
    point, _ = decode(text, at)
    if point == 46:
        return not (at - 2 >= first and text[at - 1] == 46 and text[at - 2] == 46)
    return point == 33 or point == 63 or point == 34 or point == 39 or point == 0x201D or point == 0x2019


@kernel
def _read_line(text, i, tables):  # type: ignore[no-untyped-def]
    """Reads the line at `i`.

    Returns:
        (byte of the next line, first byte that is no white space or -1, byte behind the last, (words, letters,
        capitals, numbers, Han and Kana, characters that may stand in words, characters of the longest word)).
    """
    end = len(text)
    first, last = -1, i
    words = letters = capitals = digits = cjk = solid = longest = size_of_word = 0
    while i < end:
        if i + 8 <= end:
            eight = load8(text, i)
            stop = (eight | (eight - LOW_BITS * U64(33)) | (eight + LOW_BITS)) & HIGH_BITS
            n = bytes_before(stop)
            if n:
                inside = HIGH_BITS if n == 8 else (U64(1) << U64(8 * n)) - U64(1)
                is_letter, is_digit = find_letters(eight) & inside, find_digits(eight) & inside
                is_upper = is_letter & ~(eight << U64(2))  # a letter without the bit of lower case
                k, m = count_high_bits(is_letter), count_high_bits(is_digit)
                letters += k
                digits += m
                solid += k + m
                capitals += count_high_bits(is_upper)
                if size_of_word == 0:
                    words += 1
                size_of_word += n
                if first < 0:
                    first = i
                i += n
                last = i
                if n == 8:
                    continue
                if text[i] == 32:
                    longest = max(longest, size_of_word)
                    size_of_word = 0
                    i += 1
                    continue
        point, size = decode(text, i)
        bits = class_of(tables.classes, point)
        in_table = point < len(tables.kinds)
        kind = tables.kinds[point] if in_table else np.uint8(IS_WORD if bits & WORD else 0)
        if kind & IS_SPACE:
            longest = max(longest, size_of_word)
            size_of_word = 0
            i += size
            if breaks_line(point):
                if point == 13 and i < end and text[i] == 10:
                    i += 1
                break
            continue
        if first < 0:
            first = i
        words += size_of_word == 0
        size_of_word += 1
        i += size
        last = i
        letters += kind & IS_LETTER != 0
        capitals += bits & UPPER != 0
        digits += kind & IS_NUMBER != 0
        cjk += kind & IS_CJK != 0
        solid += kind & IS_WORD != 0
    return i, first, last, (words, letters, capitals, digits, cjk, solid, max(longest, size_of_word))
