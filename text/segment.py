"""Paragraphs and sentences of a document, as byte offsets that tile it.

Rules over bytes instead of a trained splitter (Punkt, a tagger): the same text gives the same spans for
ever, which hashes of spans need, the rules are the same in each language, and they run some hundred times
faster. What they get wrong they get wrong alike in every copy, so duplicates still meet.

A **line** ends at ``\\n``, ``\\r\\n``, ``\\r``, U+0085, U+2028 or U+2029. A **paragraph** is a line, except:

- A code block is one: a closed fence of ``` or ~~~; or a run of lines indented by 4 columns behind a blank
  line, at least half of which hold a character of ``CODE_CHARS``.
- In a hard-wrapped document, lines of a block are joined. A block ends before a blank line, an indented line
  (its first; inside a list item none), a list item, and behind a line under 40 columns (a title, the last of
  a paragraph) unless lower case follows. Lines with a line of their block behind them are *inner*. The
  document is hard-wrapped when they are at least 3 and a third of its lines, in 2 blocks or more, three
  quarters of them 40 to 90 columns wide, and half of the lines behind them begin in lower case, or with
  Han or Kana behind a full line (within 4 columns of the widest). Verse, menus and lists of headlines fail on
  width or on capitals.

A **sentence** is a line of code, a list item (``- * +`` or ``1.`` and a space, a bullet, （一）), or the part
of a paragraph up to a terminal, the closing quotes and brackets behind it, and white space. 。！？ and
their kin, and runs of …, end one unless a comma or its like follows; ；does not. ASCII ``. ! ?`` end one
before white space and a token that is not lower-case, unless an abbreviation, an initial or a list number
stands before the full stop; ``! ?`` also before Han. Scripts without terminals (Thai) keep their paragraphs,
and a sentence, however long, stays whole.

Cost: linear; two passes over the bytes, 120 to 190 MB/s a core on English, 170 to 380 on Chinese.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from text.arrow import TextColumn
from text.chars import HAN, KANA, NUMBER, SINGLE, SPACE, WORD, char_tables, class_of, decode

MIN_WRAPPED_COLUMNS = 40
MAX_WRAPPED_COLUMNS = 90
MAX_DOCUMENT_BYTES = 2**31 - 1

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

_BLANK, _INDENTED, _CODE_INDENT, _TICKS, _TILDES, _LIST = 1, 2, 4, 8, 16, 32
_CODE_LIKE, _LOWER, _CJK, _CODE, _CODE_START = 64, 128, 256, 512, 1024
_FENCE = _TICKS | _TILDES


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans that tile each document of a column; separators belong to the preceding span.

    Attributes:
        ptr: int64[n_docs + 1]; the spans of document i are ``starts[ptr[i]:ptr[i + 1]]``; an empty document
            has none.
        starts: int32[ptr[-1]], bytes from the document's first; the first of a document is 0.
    """

    ptr: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int32]

    def ends(self, column: TextColumn) -> npt.NDArray[np.int32]:
        """Where each span ends, int32[ptr[-1]]: the next one's start, or the document's length in bytes."""
        ends = np.empty_like(self.starts)
        ends[:-1] = self.starts[1:]
        filled = np.diff(self.ptr) > 0
        ends[self.ptr[1:][filled] - 1] = column.lengths[filled]
        return ends

    def as_column(self, column: TextColumn) -> TextColumn:
        """The spans as a column of their own, over the same bytes: they tile it, so nothing is copied."""
        offsets = np.empty(len(self.starts) + 1, np.int64)
        offsets[:-1] = self.starts + np.repeat(column.offsets[:-1], np.diff(self.ptr))
        offsets[-1] = column.offsets[-1]
        return TextColumn(offsets, column.data)


class _Tables(NamedTuple):
    """What the kernels look up.

    Attributes:
        classes: see ``text.chars.CharTables``.
        lower: bool[0x2000], lower-case letters.
        ascii_kind: uint8[128], 1 space, 2 code character, 4 line break.
        lead: bool[256], first bytes of characters that may end a sentence.
        marks: uint8[0x10000], 1 strong terminal, 2 dot, 4 ASCII terminal, 8 closer, 16 opener, 32 middle, 64
            bullet.
        words: uint64[n], abbreviations and starters, packed, ascending.
        word_kinds: uint8[n], 1 never, 2 before a number, 3 before a starter, 4 a starter.
    """

    classes: npt.NDArray[np.uint16]
    lower: npt.NDArray[np.bool_]
    ascii_kind: npt.NDArray[np.uint8]
    lead: npt.NDArray[np.bool_]
    marks: npt.NDArray[np.uint8]
    words: npt.NDArray[np.uint64]
    word_kinds: npt.NDArray[np.uint8]


def paragraphs(column: TextColumn) -> Spans:
    """The paragraphs of each document.

    Raises:
        ValueError: a document is over ``MAX_DOCUMENT_BYTES`` long.
    """
    return _spans(column, False)


def sentences(column: TextColumn) -> Spans:
    """The sentences of each document; each paragraph's start is a sentence's start.

    Raises:
        ValueError: a document is over ``MAX_DOCUMENT_BYTES`` long.
    """
    return _spans(column, True)


def _spans(column: TextColumn, want_sentences: bool) -> Spans:
    longest = int(column.lengths.max(initial=0))
    if longest > MAX_DOCUMENT_BYTES:
        raise ValueError(f"a document of {longest} bytes: offsets are int32")
    capacity = column.nbytes // 32 + len(column) + 64
    while True:
        starts = np.empty(capacity, np.int32)
        ptr = _segment(column.offsets, column.data, _tables(), longest, want_sentences, starts)
        if ptr[-1] >= 0:
            return Spans(ptr, starts[: ptr[-1]].copy())
        capacity *= 4


@cache
def _tables() -> _Tables:
    lower = np.array([unicodedata.category(chr(p)) == "Ll" for p in range(0x2000)])
    ascii_kind = np.zeros(128, np.uint8)
    ascii_kind[[p for p in range(128) if chr(p).isspace()]] = 1
    ascii_kind[[ord(c) for c in CODE_CHARS]] = 2
    ascii_kind[[10, 13]] = 4
    lead = np.zeros(256, np.bool_)
    lead[[c.encode()[0] for c in STRONG + DOTS + '.!?"']] = True
    marks = np.zeros(0x10000, np.uint8)
    for bit, chars in (
        (1, STRONG),
        (2, DOTS),
        (4, ".!?"),
        (8, CLOSERS),
        (16, OPENERS),
        (32, MIDDLE),
        (64, BULLETS),
    ):
        marks[[ord(c) for c in chars]] |= bit
    kinds = {
        int.from_bytes(word.encode(), "little"): kind
        for kind, words in enumerate((NEVER, BEFORE_NUMBER, BEFORE_STARTER, STARTERS), 1)
        for word in words.split()
    }
    words = np.array(sorted(kinds), np.uint64)
    word_kinds = np.array([kinds[word] for word in sorted(kinds)], np.uint8)
    return _Tables(char_tables().classes, lower, ascii_kind, lead, marks, words, word_kinds)


@nb.njit(cache=True)
def _segment(offsets, data, tables, longest, want_sentences, out):  # type: ignore[no-untyped-def]
    """Fills ``out``; returns ptr, whose last entry is -1 when ``out`` is too small."""
    ptr = np.zeros(len(offsets), np.int64)
    first = np.empty(longest + 2, np.int32)
    columns = np.empty(longest + 2, np.int32)
    flags = np.empty(longest + 2, np.uint16)
    joins = np.empty(longest + 2, np.bool_)
    n = 0
    for d in range(len(offsets) - 1):
        text = data[offsets[d] : offsets[d + 1]]
        lines = _lines(text, tables, first, columns, flags)
        _mark_code(flags, lines)
        _join_lines(flags, columns, lines, joins)
        n = _emit(text, tables, first, flags, joins, lines, want_sentences, out, n)
        if n < 0:
            ptr[-1] = -1
            return ptr
        ptr[d + 1] = n
    return ptr


@nb.njit(inline="always", cache=True)
def _break_size(text, i):  # type: ignore[no-untyped-def]
    """Bytes of the line break at ``i``, 0 if there is none."""
    b = text[i]
    if b == 10:
        return 1
    if b == 13:
        return 2 if i + 1 < len(text) and text[i + 1] == 10 else 1
    if b == 0xC2 and text[i + 1] == 0x85:
        return 2
    if b == 0xE2 and text[i + 1] == 0x80 and (text[i + 2] == 0xA8 or text[i + 2] == 0xA9):
        return 3
    return 0


@nb.njit(cache=True)
def _lines(text, tables, first, columns, flags):  # type: ignore[no-untyped-def]
    """Finds the lines: first byte, width in columns without trailing space, flags. Returns their number."""
    classes, ascii_kind = tables.classes, tables.ascii_kind
    n = i = 0
    end = len(text)
    while i < end:
        first[n] = i
        i, flag, column = _line_head(text, i, tables)
        width = 0
        while i < end:
            b = text[i]
            if b < 128:
                kind = ascii_kind[b]
                if kind == 4:
                    break
                i += 1
                column += 1
                if kind != 1:
                    width = column
                    if kind == 2:
                        flag |= _CODE_LIKE
                continue
            if (b == 0xC2 or b == 0xE2) and _break_size(text, i):
                break
            point, size = decode(text, i)
            i += size
            column += 2 if point >= 0x2E80 else 1
            if not class_of(classes, point) & SPACE:
                width = column
        columns[n] = width
        flags[n] = flag
        n += 1
        if i < end:
            i += _break_size(text, i)
    first[n] = end
    return n


@nb.njit(cache=True)
def _line_head(text, i, tables):  # type: ignore[no-untyped-def]
    """Reads a line's indent and first characters: (byte of the first non-space, flags, columns before)."""
    end = len(text)
    column = code_indent = 0
    while i < end and not _break_size(text, i):
        point, size = decode(text, i)
        if not class_of(tables.classes, point) & SPACE:
            break
        column += 4 if point == 9 else (2 if point >= 0x2E80 else 1)
        if point == 32 or point == 9:
            code_indent += 4 if point == 9 else 1
        i += size
    if i == end or _break_size(text, i):
        return i, _BLANK, column
    flag = 0
    if column >= 2:
        flag |= _INDENTED
    if code_indent >= 4:
        flag |= _CODE_INDENT
    if i + 2 < end and text[i] == text[i + 1] and text[i] == text[i + 2]:
        if text[i] == 96:
            flag |= _TICKS
        elif text[i] == 126:
            flag |= _TILDES
    if point < 0x2000 and tables.lower[point]:
        flag |= _LOWER
    if class_of(tables.classes, point) & (HAN | KANA):
        flag |= _CJK
    if _is_list_item(text, i, tables):
        flag |= _LIST
    return i, flag, column


@nb.njit(inline="always", cache=True)
def _is_numeral(point):  # type: ignore[no-untyped-def]
    """0-9, ０-９ or 一二三四五六七八九十百."""
    if 48 <= point <= 57 or 0xFF10 <= point <= 0xFF19:
        return True
    if point == 0x4E00 or point == 0x4E8C or point == 0x4E09 or point == 0x56DB or point == 0x4E94:
        return True
    if point == 0x516D or point == 0x4E03 or point == 0x516B or point == 0x4E5D:
        return True
    return point == 0x5341 or point == 0x767E


@nb.njit(cache=True)
def _is_list_item(text, i, tables):  # type: ignore[no-untyped-def]
    """A list marker at ``i``: a bullet; ``- * +`` and space; ``1.`` or ``1)`` and space; （一） or (1)."""
    end = len(text)
    point, size = decode(text, i)
    if point < 0x10000 and tables.marks[point] & 64:
        return True
    i += size
    if point == 45 or point == 42 or point == 43:
        return i < end and (text[i] == 32 or text[i] == 9)
    opened = point == 40 or point == 0xFF08
    if not opened and not 48 <= point <= 57:
        return False
    digits = 0 if opened else 1
    while i < end:
        point, size = decode(text, i)
        if not (_is_numeral(point) if opened else 48 <= point <= 57):
            break
        digits += 1
        i += size
    if i == end or not 1 <= digits <= 3:
        return False
    i += size
    if opened:
        return point == 41 or point == 0xFF09
    return (point == 46 or point == 41) and i < end and (text[i] == 32 or text[i] == 9)


@nb.njit(cache=True)
def _mark_code(flags, n):  # type: ignore[no-untyped-def]
    """Marks the lines of closed fences and of indented code."""
    unclosed = 0
    k = 0
    while k < n:
        fence = flags[k] & _FENCE
        last = k - 1
        if fence and not fence & unclosed:
            j = k + 1
            while j < n and not flags[j] & fence:
                j += 1
            if j < n:
                last = j
            else:
                unclosed |= fence
        elif not fence and flags[k] & _CODE_INDENT and (k == 0 or flags[k - 1] & (_BLANK | _CODE)):
            last, is_code = _indented_run(flags, k, n)
            if not is_code:
                k = last + 1
                continue
        if last < k:
            k += 1
            continue
        flags[k] |= _CODE_START
        while k <= last:
            flags[k] |= _CODE
            k += 1


@nb.njit(cache=True)
def _indented_run(flags, k, n):  # type: ignore[no-untyped-def]
    """The last line of the run of indented lines from ``k``, blank ones inside; and whether it is code."""
    last = k
    lines = like = 0
    while k < n and flags[k] & (_CODE_INDENT | _BLANK) and not flags[k] & _FENCE:
        if not flags[k] & _BLANK:
            lines += 1
            like += 1 if flags[k] & _CODE_LIKE else 0
            last = k
        k += 1
    return last, 2 * like >= lines


@nb.njit(cache=True)
def _join_lines(flags, columns, n, joins):  # type: ignore[no-untyped-def]
    """Sets ``joins[k]`` where line k continues the paragraph of line k - 1: nowhere unless hard-wrapped."""
    in_item = False
    prose = inner = widest = 0
    for k in range(n):
        is_prose = not flags[k] & (_BLANK | _CODE)
        joins[k] = is_prose and k > 0 and not flags[k - 1] & (_BLANK | _CODE) and not flags[k] & _LIST
        if joins[k] and flags[k] & _INDENTED and not in_item:
            joins[k] = flags[k - 1] & _INDENTED and columns[k - 1] >= MIN_WRAPPED_COLUMNS
        if joins[k]:
            joins[k] = columns[k - 1] >= MIN_WRAPPED_COLUMNS or flags[k] & _LOWER
        if not joins[k]:
            in_item = flags[k] & _LIST
        prose += is_prose
        if joins[k]:
            inner += 1
            if columns[k - 1] <= MAX_WRAPPED_COLUMNS:
                widest = max(widest, columns[k - 1])
    outside = flowing = 0
    for k in range(n):
        if not joins[k]:
            continue
        width = columns[k - 1]
        outside += not MIN_WRAPPED_COLUMNS <= width <= MAX_WRAPPED_COLUMNS
        full = widest - 4 <= width <= MAX_WRAPPED_COLUMNS
        flowing += 1 if flags[k] & _LOWER or (flags[k] & _CJK and full) else 0
    wrapped = inner >= 3 and 3 * inner >= prose and prose - inner >= 2
    if not (wrapped and 4 * outside <= inner and 2 * flowing >= inner):
        joins[:n] = False


@nb.njit(cache=True)
def _emit(text, tables, first, flags, joins, lines, want_sentences, out, n):  # type: ignore[no-untyped-def]
    """Writes the starts of one document behind ``out[n]``; returns the new n, -1 when ``out`` is full."""
    begin_n = n
    k = 0
    while k < lines:
        head = k
        k += 1
        if flags[head] & _BLANK and not flags[head] & _CODE:
            continue
        if flags[head] & _CODE:
            while k < lines and flags[k] & _CODE and not flags[k] & _CODE_START:
                k += 1
        else:
            while k < lines and joins[k]:
                k += 1
        if n + k - head >= len(out):
            return -1
        out[n] = first[head]
        n += 1
        if not want_sentences or flags[head] & _LIST and not flags[head] & _CODE:
            continue
        if flags[head] & _CODE:
            for line in range(head + 1, k):
                if not flags[line] & _BLANK:
                    out[n] = first[line]
                    n += 1
            continue
        n = _cut(text, first[head], first[k], tables, out, n)
        if n < 0:
            return -1
    if n > begin_n:
        out[begin_n] = 0
    elif len(text) > 0:
        if n == len(out):
            return -1
        out[n] = 0
        n += 1
    return n


@nb.njit(inline="always", cache=True)
def _mark(marks, point):  # type: ignore[no-untyped-def]
    return marks[point] if point < 0x10000 else np.uint8(0)


@nb.njit(cache=True)
def _cut(text, begin, end, tables, out, n):  # type: ignore[no-untyped-def]
    """Writes the starts of the sentences behind the first of ``text[begin:end]``."""
    lead = tables.lead
    in_quotes = False
    i = begin
    while i < end:
        b = text[i]
        if not lead[b]:
            i += 1
            continue
        if b == 34:
            in_quotes = not in_quotes
            i += 1
            continue
        point, size = decode(text, i)
        if not _mark(tables.marks, point) & 7:
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


@nb.njit(cache=True)
def _terminal(text, begin, at, end, in_quotes, tables):  # type: ignore[no-untyped-def]
    """Reads the terminals at ``at`` with their closers, and decides.

    Returns:
        (byte behind them, byte of the next non-space, whether the sentence ends, whether a ``"`` is open).
    """
    classes, marks = tables.classes, tables.marks
    i = at
    strong = loud = False
    dots = count = 0
    closer = 0
    while i < end:
        point, size = decode(text, i)
        mark = _mark(marks, point)
        if mark & 7:
            strong |= mark & 1 != 0
            loud |= point == 33 or point == 63
            dots += mark & 2 != 0
            count += 1
            closer = 0
        elif mark & 8 and _closes(text, i + size, end, point, in_quotes, classes):
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
    if after == end or _mark(marks, point) & 32:
        return i, after, False, in_quotes
    bits = class_of(classes, point)
    spaced = after > i
    first, _ = decode(text, at)
    if count == 1 and first == 0xFF0E:  # ． between digits or Latin letters is a decimal point
        joined = not spaced and bits & WORD and not bits & SINGLE
        return i, after, not (joined or _class_before(text, begin, at, classes) & NUMBER), in_quotes
    if strong or dots >= 2:
        title = (closer == 0x300B or closer == 0x3009) and not spaced and bits & WORD
        return i, after, not title, in_quotes
    if not spaced:
        sure = loud or (first == 46 and count == 1 and _class_before(text, begin, at, classes) & SINGLE)
        return i, after, bool(bits & (HAN | KANA) and sure), in_quotes
    word = after
    while word < end:
        point, size = decode(text, word)
        if not _mark(marks, point) & 16:
            break
        word += size
    if point < 0x2000 and tables.lower[point]:
        return i, after, False, in_quotes
    is_end = not (first == 46 and count == 1 and closer == 0) or _ends_here(text, begin, at, word, end, tables)
    return i, after, is_end, in_quotes


@nb.njit(cache=True)
def _closes(text, i, end, point, in_quotes, classes):  # type: ignore[no-untyped-def]
    """Whether a closer behind a terminal closes: a straight quote may also open what follows at ``i``."""
    if (point != 34 and point != 39) or (point == 34 and in_quotes) or i == end:
        return True
    point, _ = decode(text, i)
    return not class_of(classes, point) & WORD


@nb.njit(cache=True)
def _class_before(text, begin, i, classes):  # type: ignore[no-untyped-def]
    """The class bits of the character before byte ``i``, 0 at ``begin``."""
    if i == begin:
        return np.uint16(0)
    i -= 1
    while text[i] & 0xC0 == 0x80:
        i -= 1
    point, _ = decode(text, i)
    return class_of(classes, point)


@nb.njit(cache=True)
def _ends_here(text, begin, stop, word, end, tables):  # type: ignore[no-untyped-def]
    """Whether the full stop at ``stop`` ends a sentence, not an abbreviation, an initial or a list number."""
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
    before = _class_before(text, begin, i, tables.classes)
    if size == 0 or (before & WORD and not before & SINGLE):
        return True
    starter = _kind_of_word(text, word, _letters_from(text, word, end), tables, False) == 4
    if size <= 3 and (digits == size or (letters == 1 and size == 1)) and _only_space(text, begin, i, tables.classes):
        return False
    kind = _kind_of_word(text, i, size, tables, True)
    if kind == 1:
        return False
    if kind == 2:
        return not (word < end and 48 <= text[word] <= 57)
    initial = size == 1 and 65 <= text[i] <= 90 and text[i] != 73
    acronym = dotted > 0 and digits == 0 and longest_piece <= 2
    return starter if kind == 3 or initial or acronym else True


@nb.njit(cache=True)
def _only_space(text, begin, end, classes):  # type: ignore[no-untyped-def]
    while begin < end:
        point, size = decode(text, begin)
        if not class_of(classes, point) & SPACE:
            return False
        begin += size
    return True


@nb.njit(cache=True)
def _letters_from(text, i, end):  # type: ignore[no-untyped-def]
    """The number of ASCII letters from ``i``, at most 9."""
    n = 0
    while i + n < end and n < 9 and 97 <= (text[i + n] | 32) <= 122:
        n += 1
    return n


@nb.njit(cache=True)
def _kind_of_word(text, i, size, tables, fold):  # type: ignore[no-untyped-def]
    """The kind of the word ``text[i:i + size]`` in the table of abbreviations and starters, 0 for none."""
    if size == 0 or size > 8:
        return 0
    packed = np.uint64(0)
    for k in range(size):
        b = np.uint64(text[i + k])
        if fold and 65 <= b <= 90:
            b += np.uint64(32)
        packed |= b << np.uint64(8 * k)
    at = np.searchsorted(tables.words, packed)
    if at == len(tables.words) or tables.words[at] != packed:
        return 0
    return np.int64(tables.word_kinds[at])
