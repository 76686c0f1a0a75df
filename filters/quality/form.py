"""The form of a sentence: what its marks, capitals, digits and ends say, whatever it is about.

A bag of folded words knows what a sentence is about and little of how it is written: `CLICK HERE!!!` and ``click
here`` are the same to it, and so are a sentence and its words in another order. The numbers here are what it cannot
see, counted in one pass over the bytes as they stand, and they mean the same in any script that has them.

Cost: one pass, a table look-up a character. Source: the surface features of Gopher (Rae et al. 2021, arXiv:2112.11446,
A1.1) and of web page boilerplate detection (Kohlschütter et al. 2010, "Boilerplate Detection using Shallow Text
Features"), taken per sentence. Deviation: no mark-up, as there is none left.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import LETTER, NUMBER, PUNCT, SINGLE, SPACE, SYMBOL, UPPER, WORD, char_tables, class_of, decode
from text.segment_tables import CLOSERS

_Form = namedtuple(
    "_Form",
    "log_chars log_tokens share_upper share_digit share_mark share_symbol share_single word_length longest_word "
    "one_letter_words capital_words shouted_words doubled_marks commas exclamations questions ellipses quotes brackets "
    "slashes signs apostrophes longest_run inner_breaks starts_upper starts_lower starts_digit starts_single "
    "starts_mark ends_stop ends_colon ends_mark ends_word ends_digit",
)
FEATURES = _Form._fields
"""Columns of `sentence_form`. Lengths are log(1 + n); shares are of the characters without white space; kinds of words
are divided by words, marks by tokens; what a sentence ends with is looked at before closing quotes and brackets."""
FORM = _Form(*range(len(FEATURES)))
"""The column of each feature, by its name."""

(
    CHARS,
    LETTERS,
    SINGLES,
    UPPERS,
    DIGITS,
    MARKS,
    SYMBOLS,
    WORDS,
    WORD_LETTERS,
    LONGEST,
    ONE_LETTER,
    CAPITAL,
    SHOUTED,
    DOUBLED,
    RUN,
    BREAKS,
    MARKED,
) = range(17)
"""Places in `counts`; from `MARKED` on those of the marks in `_COUNTED`."""
COMMA, EXCLAMATION, QUESTION, ELLIPSIS, QUOTE, BRACKET, SLASH, SIGN, APOSTROPHE, STOP, COLON, CLOSE, BREAK = (
    1 << k for k in range(13)
)
_COUNTED = (COMMA, EXCLAMATION, QUESTION, ELLIPSIS, QUOTE, BRACKET, SLASH, SIGN, APOSTROPHE)
_MARKS = (
    (",，、،", COMMA),
    ("!！", EXCLAMATION),
    ("?？", QUESTION),
    ("…～~", ELLIPSIS),
    ('"“”«»「」『』《》〈〉', QUOTE),
    ("()[]{}（）【】〔〕［］", BRACKET),
    ("/\\|｜／", SLASH),
    ("@#*_+=^<>$%&•·★☆◆●■►→", SIGN),
    (".。｡!！?？…", STOP),
    (":：;；", COLON),
    (CLOSERS + "'", CLOSE),
    ("'’", APOSTROPHE),
    ("\n", BREAK),
)


def _mark_table() -> npt.NDArray[np.uint16]:
    table = np.zeros(0x10000, np.uint16)
    for chars, bit in _MARKS:
        for char in chars:
            table[ord(char)] |= np.uint16(bit)
    return table


_MARK_TABLE = _mark_table()


def sentence_form(column: TextColumn) -> npt.NDArray[np.float32]:
    """What `FEATURES` name, of each text (`Spans.as_column`): float32[n_texts, len(FEATURES)], 0 for white space."""
    out = np.zeros((len(column), len(FEATURES)), np.float32)
    _forms(column.offsets, column.data, char_tables().classes, _MARK_TABLE, out)
    return out


@kernel
def _forms(offsets, data, classes, marks, out):  # type: ignore[no-untyped-def]
    counts = np.zeros(MARKED + len(_COUNTED), np.int64)
    for d in range(len(offsets) - 1):
        counts[:] = 0
        first, last = _count(data, offsets[d], offsets[d + 1], classes, marks, counts)
        if counts[CHARS]:
            _describe(counts, first, last, classes, marks, out[d])


@kernel(inline="always")
def _end_word(counts, size, size_upper):  # type: ignore[no-untyped-def]
    """Counts a word that has ended."""
    counts[WORDS] += 1
    counts[WORD_LETTERS] += size
    counts[LONGEST] = max(counts[LONGEST], size)
    if size == 1:
        counts[ONE_LETTER] += 1
    elif size_upper == size:
        counts[SHOUTED] += 1


@kernel
def _count(data, start, end, classes, marks, counts):  # type: ignore[no-untyped-def]
    """Counts into `counts`; returns the first character and the last that is no closing mark (the first if none).

    Lower-case ASCII, spaces and common Han come first and need no table; all others are looked up.
    """
    first, last, before = np.int32(-1), np.int32(-1), np.int32(-1)
    chars, letters, single, size, size_upper, run, longest_run, breaks, pending = 0, 0, 0, 0, 0, 1, 1, 0, 0
    i = start
    while i < end:
        byte = data[i]
        if np.uint8(97) <= byte <= np.uint8(122):
            point = np.int32(byte)
            i += 1
            size += 1
            letters += 1
            last = point
        elif byte == np.uint8(32):
            i += 1
            before = np.int32(-1)
            if size:
                _end_word(counts, size, size_upper)
                size, size_upper = 0, 0
            continue
        else:
            point, step = decode(data, i)
            i += step
            if 0x4E00 <= point <= 0x9FFF:
                if size:
                    _end_word(counts, size, size_upper)
                    size, size_upper = 0, 0
                letters += 1
                single += 1
                last = point
            else:
                bits = np.int64(class_of(classes, point))
                mark = np.int64(marks[point]) if point < len(marks) else 0
                if bits & WORD and not bits & SINGLE:
                    counts[CAPITAL] += 1 if size == 0 and bits & UPPER else 0
                    size += 1
                    size_upper += 1 if bits & UPPER else 0
                elif size:
                    _end_word(counts, size, size_upper)
                    size, size_upper = 0, 0
                if bits & SPACE:
                    pending += 1 if mark & BREAK else 0
                    before = np.int32(-1)
                    continue
                letters += 1 if bits & LETTER else 0
                single += 1 if bits & SINGLE else 0
                _book(counts, bits, mark, point == before)
                if not mark & CLOSE or mark & STOP or last < 0:
                    last = point
        if chars == 0:
            first = point
            pending = 0
        if pending:
            breaks += pending
            pending = 0
        chars += 1
        if point == before:
            run += 1
            longest_run = max(longest_run, run)
        else:
            run = 1
        before = point
    if size:
        _end_word(counts, size, size_upper)
    counts[CHARS], counts[LETTERS], counts[SINGLES], counts[RUN], counts[BREAKS] = (
        chars,
        letters,
        single,
        longest_run,
        breaks,
    )
    return first, last


@kernel(inline="always")
def _book(counts, bits, mark, again):  # type: ignore[no-untyped-def]
    """Counts a character that is no plain letter."""
    counts[UPPERS] += 1 if bits & UPPER else 0
    counts[DIGITS] += 1 if bits & NUMBER else 0
    counts[SYMBOLS] += 1 if bits & SYMBOL else 0
    if bits & PUNCT:
        counts[MARKS] += 1
        counts[DOUBLED] += 1 if again else 0
    if mark:
        for k in range(len(_COUNTED)):
            counts[MARKED + k] += 1 if mark & _COUNTED[k] else 0


@kernel
def _describe(counts, first, last, classes, marks, out):  # type: ignore[no-untyped-def]
    """The features of counts that are not empty."""
    first_bits, last_bits = np.int64(class_of(classes, first)), np.int64(class_of(classes, last))
    last_marks = np.int64(marks[last]) if last < len(marks) else 0
    chars, words = counts[CHARS], max(1, counts[WORDS])
    tokens = max(1, counts[WORDS] + counts[SINGLES])
    out[FORM.log_chars] = np.log1p(chars)
    out[FORM.log_tokens] = np.log1p(counts[WORDS] + counts[SINGLES])
    out[FORM.share_upper] = counts[UPPERS] / max(1, counts[LETTERS])
    out[FORM.share_digit] = counts[DIGITS] / chars
    out[FORM.share_mark] = counts[MARKS] / chars
    out[FORM.share_symbol] = counts[SYMBOLS] / chars
    out[FORM.share_single] = counts[SINGLES] / chars
    out[FORM.word_length] = counts[WORD_LETTERS] / words
    out[FORM.longest_word] = np.log1p(counts[LONGEST])
    out[FORM.one_letter_words] = counts[ONE_LETTER] / words
    out[FORM.capital_words] = counts[CAPITAL] / words
    out[FORM.shouted_words] = counts[SHOUTED] / words
    out[FORM.doubled_marks] = counts[DOUBLED] / tokens
    for k in range(len(_COUNTED)):
        out[FORM.commas + k] = counts[MARKED + k] / tokens
    out[FORM.longest_run] = np.log1p(counts[RUN])
    out[FORM.inner_breaks] = np.log1p(counts[BREAKS])
    out[FORM.starts_upper] = 1.0 if first_bits & UPPER else 0.0
    out[FORM.starts_lower] = 1.0 if first_bits & LETTER and not first_bits & (UPPER | SINGLE) else 0.0
    out[FORM.starts_digit] = 1.0 if first_bits & NUMBER and not first_bits & SINGLE else 0.0
    out[FORM.starts_single] = 1.0 if first_bits & SINGLE else 0.0
    out[FORM.starts_mark] = 1.0 if first_bits & (PUNCT | SYMBOL) else 0.0
    out[FORM.ends_stop] = 1.0 if last_marks & STOP else 0.0
    out[FORM.ends_colon] = 1.0 if last_marks & COLON else 0.0
    out[FORM.ends_mark] = 1.0 if last_bits & (PUNCT | SYMBOL) and not last_marks & (STOP | COLON) else 0.0
    out[FORM.ends_word] = 1.0 if last_bits & WORD and not last_bits & NUMBER else 0.0
    out[FORM.ends_digit] = 1.0 if last_bits & NUMBER else 0.0
