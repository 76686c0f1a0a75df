"""The lines of a document: where they begin, how wide they are, and flags of their form.

Kernels; the rules are those of `text.segment`.
"""

from __future__ import annotations

from tamis.kernels import kernel
from text.bits import HIGH_BITS, LOW_BITS, U64, bytes_before, load8
from text.chars import HAN, KANA, SPACE, class_of, decode
from text.segment_tables import IS_BULLET

BLANK, INDENTED, CODE_INDENT, TICKS, TILDES, LIST = 1, 2, 4, 8, 16, 32
CODE_LIKE, LOWER, CJK, CODE, CODE_START = 64, 128, 256, 512, 1024
FENCE = TICKS | TILDES
"""`CODE_LIKE` is only set on lines with `CODE_INDENT`."""


@kernel(inline="always")
def _break_size(text, i):  # type: ignore[no-untyped-def]
    """Bytes of the line break at `i`, 0 if there is none."""
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


@kernel
def find_lines(text, tables, first, columns, flags):  # type: ignore[no-untyped-def]
    """Finds the lines: first byte, width in columns without trailing space, flags. Returns their number."""
    n = i = 0
    end = len(text)
    while i < end:
        first[n] = i
        i, flag, column = _line_head(text, i, tables)
        head = i
        while i < end:
            b = text[i]
            if 0xE4 <= b <= 0xED:  # U+4000 to U+DFFF: wide, no break, no space
                i += 3
                column += 2
            elif b < 128:
                if b == 10 or b == 13:
                    break
                width = bytes_before(_not_plain(load8(text, i))) if i + 8 <= end else 1
                width = max(1, width)
                i += width
                column += width
            elif (b == 0xC2 or b == 0xE2) and _break_size(text, i):
                break
            else:
                point, size = decode(text, i)
                i += size
                column += 2 if point >= 0x2E80 else 1
        columns[n] = 0 if flag & BLANK else column - _trailing_columns(text, head, i, tables.classes)
        if flag & CODE_INDENT and _holds_code(text, head, i, tables.code):
            flag |= CODE_LIKE
        flags[n] = flag
        n += 1
        if i < end:
            i += _break_size(text, i)
    first[n] = end
    return n


@kernel(inline="always")
def _not_plain(eight):  # type: ignore[no-untyped-def]
    """Sets the high bit of the first of eight bytes that is not ASCII or is a control character below 14."""
    return (eight | (eight - LOW_BITS * U64(14))) & HIGH_BITS


@kernel
def _trailing_columns(text, begin, end, classes):  # type: ignore[no-untyped-def]
    """The columns of the white space at the end of `text[begin:end]`."""
    found = 0
    while end > begin:
        end -= 1
        while text[end] & 0xC0 == 0x80:
            end -= 1
        point, _ = decode(text, end)
        if not class_of(classes, point) & SPACE:
            break
        found += 2 if point >= 0x2E80 else 1
    return found


@kernel
def _holds_code(text, begin, end, code):  # type: ignore[no-untyped-def]
    for i in range(begin, end):  # noqa: SIM110 - a generator is nothing for numba
        if code[text[i]]:
            return True
    return False


@kernel
def _line_head(text, i, tables):  # type: ignore[no-untyped-def]
    """Reads a line's indent and first characters: (byte of the first non-space, flags, columns before)."""
    end = len(text)
    b = text[i]
    if 97 <= (b | 32) <= 122:  # as most lines begin
        return i, LOWER if b >= 97 else 0, 0
    if 0xE5 <= b <= 0xE9:  # U+5000 to U+9FFF
        return i, CJK, 0
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
        return i, BLANK, column
    flag = 0
    if column >= 2:
        flag |= INDENTED
    if code_indent >= 4:
        flag |= CODE_INDENT
    if i + 2 < end and text[i] == text[i + 1] and text[i] == text[i + 2]:
        if text[i] == 96:
            flag |= TICKS
        elif text[i] == 126:
            flag |= TILDES
    if point < 0x2000 and tables.lower[point]:
        flag |= LOWER
    if class_of(tables.classes, point) & (HAN | KANA):
        flag |= CJK
    if _is_list_item(text, i, tables):
        flag |= LIST
    return i, flag, column


@kernel(inline="always")
def _is_numeral(point):  # type: ignore[no-untyped-def]
    """0-9, ０-９ or 一二三四五六七八九十百."""
    if 48 <= point <= 57 or 0xFF10 <= point <= 0xFF19:
        return True
    if point == 0x4E00 or point == 0x4E8C or point == 0x4E09 or point == 0x56DB or point == 0x4E94:
        return True
    if point == 0x516D or point == 0x4E03 or point == 0x516B or point == 0x4E5D:
        return True
    return point == 0x5341 or point == 0x767E


@kernel
def _is_list_item(text, i, tables):  # type: ignore[no-untyped-def]
    """A list marker at `i`: a bullet; `- * +` and space; `1.` or `1)` and space; （一） or (1)."""
    end = len(text)
    point, size = decode(text, i)
    if point < 0x10000 and tables.marks[point] & IS_BULLET:
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
