"""One pass over a document: its pieces with what speaks for and against each, and its marks of damage.

A *piece* is a sentence, or what a line has in the place of one. A line that goes on in the next, which begins in lower
case, is not ended by the break: a hard wrap. Marks that quote a line stand before it and belong to no piece.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from filters.damage.cues import (
    BEFORE_NOUN,
    FIRST,
    FUNCTION,
    LINKING,
    NO_END,
    NO_START,
    NOTICE,
    PERSON,
    REMARK,
    STRONG_NOTICE,
)
from filters.damage.tables import (
    BREAK,
    BROKEN,
    CAPITAL,
    CLOSER,
    COMMA,
    CONTINUES,
    DIGIT,
    HAN,
    INVISIBLE,
    KIND,
    LEAD_2,
    LEAD_3,
    LOWER,
    MARK,
    ORNAMENT,
    OTHER,
    RARE,
    SPACE,
    STOP,
    STRONG_STOP,
    WIDE,
    add_to_word,
    find_cue,
    pair,
)
from tamis.kernels import kernel
from text.chars import decode

U64 = np.uint64
_TERM_MIX = U64(0xD6E8FEB86659FD93)
(
    TOKENS,
    LINE,
    HANS,
    NOTICES,
    REMARKS,
    PERSONS,
    GRAMMAR,
    CLASHES,
    EXCLAIMS,
    SIGNS,
    NUMBERS,
    CAPITALS,
    RARES,
    ENDED,
    LOW_START,
    LETTERS,
    TERMS,
    KNOWN_TERMS,
) = range(18)
"""Places in what is counted of a piece. Its *terms* are its longer words but those of grammar, and pairs of Han; known
are those that other pieces of the document have too."""
PIECE_PLACES = 18
SLOT_BITS = 14
"""Terms are told apart by so many bits of their hash."""
(
    SEEN_INVISIBLE,
    SEEN_WIDE,
    SEEN_BROKEN,
    SEEN_MARKUP,
    SEEN_QUOTED,
    SEEN_ORNAMENTS,
    SEEN_SPACED,
    SEEN_GAPS,
    SEEN_ODD_MARKS,
    SEEN_MARKS,
    SEEN_WRAPS,
    SEEN_SHOUTED,
) = range(12)
SEEN = (
    "invisible",
    "wide",
    "broken",
    "markup",
    "quoted",
    "ornaments",
    "spaced",
    "gaps",
    "odd_marks",
    "marks",
    "wraps",
    "shouted",
)
"""Names of what is counted of a document, in the order of their places: invisible characters; full-width letters and
digits; characters of a broken encoding; entities and tags; quoted lines; ornaments; letters or Han with a space
between; superfluous white space; marks of the other script's width; proper marks; hard wraps; words in capitals."""
_SPACED_FROM = 4
"""Single letters in a row, with spaces between, from which they are one word letter-spaced."""


@kernel
def read_document(data, start, end, tables, pieces, lines, seen, terms, owner):  # type: ignore[no-untyped-def]
    """Reads `data[start:end]`.

    Args:
        data: uint8[...], valid UTF-8.
        start: first byte.
        end: byte behind the last.
        tables: see `DamageTables`.
        pieces: int32[room, PIECE_PLACES], written.
        lines: int32[room], tokens of each line, written.
        seen: int32[len(SEEN)], zeros, written.
        terms: int32[room for bytes / 2], scratch.
        owner: int32[2^SLOT_BITS], scratch.

    Returns:
        (pieces, lines); (-1, 0) where there is no room.
    """
    n_terms = 0
    kinds, han, ends_cue, keys, cue_bits = tables
    room = len(pieces)
    n, line = 0, 0
    piece = pieces[0]
    piece[:] = 0
    lines[0] = 0
    h, size, small = U64(0), 0, False  # the open word; whether it has a letter that is no capital
    before_hash, before_bits = U64(0), 0  # of the last word
    singles = 0  # letters in a row that stand alone
    tail = U64(0)  # the last four Han in a row, 16 bits each
    last: Any = OTHER
    word_kind: Any = OTHER
    run = 1  # how often the last character that is no space, of kind `last`, stands in a row
    last_point = np.int32(-1)
    gap, fresh, broken_line, stopped = 0, True, False, False  # spaces; at a line's beginning; a break; a stop, pending
    i = start
    while i <= end:
        if i < end:
            first = data[i]
            if first < 128:
                point, step = np.int32(first), 1
            else:
                point, step = decode(data, i)
            bits = np.int64(kinds[point]) if point < 0x10000 else _plane_kind(point)
        else:
            point, step, bits = np.int32(10), 1, BREAK
        kind = bits & KIND
        if kind == INVISIBLE:
            seen[SEEN_INVISIBLE] += (
                0 if last == ORNAMENT or fresh and n == 0 and piece[TOKENS] == 0 and size == 0 else 1
            )
            i += step
            continue
        if kind == WIDE:
            seen[SEEN_WIDE] += 1
            if point < 0xFF60:
                point -= 0xFEE0
                kind = DIGIT if point < 58 else (CAPITAL if point < 91 else LOWER)
            else:
                kind = HAN
        # ------------------------------------------------------------------------------------- a letter inside a word
        is_word = kind in (LOWER, CAPITAL, DIGIT)
        if is_word and size:
            h = add_to_word(h, point + 32 if kind == CAPITAL and point < 128 else point)
            size += 1
            small |= kind == LOWER
            i += step
            if bits & (LEAD_2 | LEAD_3) and _looks_misread(data, i, end, bits, kinds):
                seen[SEEN_BROKEN] += 2
            last, last_point = kind, point
            continue
        # ---------------------------------------------------------------------------------------------- a word is over
        if size:
            piece[TOKENS] += 1
            found: Any = 0
            if word_kind == DIGIT:
                piece[NUMBERS] += 1
            else:
                piece[LETTERS] += 1
                found = np.int64(find_cue(h, keys, cue_bits))
                both: Any = 0
                if before_bits & FIRST:
                    both = np.int64(find_cue(pair(before_hash, h), keys, cue_bits))
                _book(piece, found | both)
                if size > 3 and not found & FUNCTION:
                    terms[n_terms] = np.int64((h * _TERM_MIX) >> U64(64 - SLOT_BITS))
                    n_terms += 1
                    piece[TERMS] += 1
                if before_bits & BEFORE_NOUN and found & (NO_END | LINKING):
                    piece[CLASHES] += 1
                piece[CAPITALS] += 1 if word_kind == CAPITAL else 0
                seen[SEEN_SHOUTED] += 1 if size > 1 and not small else 0
            if size == 1 and word_kind != DIGIT:
                singles += 1
                if singles == _SPACED_FROM:
                    seen[SEEN_SPACED] += singles
                    piece[TOKENS] -= singles
                elif singles > _SPACED_FROM:
                    seen[SEEN_SPACED] += 1
                    piece[TOKENS] -= 1
            else:
                singles = 0
            before_hash, before_bits = h, found
            size = 0
        # ------------------------------------------------------------------------------------------------ white space
        if kind == SPACE:
            gap += 1
            i += step
            continue
        if kind == BREAK:
            if gap and not fresh:
                seen[SEEN_GAPS] += 1
            gap = 0
            if not fresh:
                broken_line = True
            fresh = True
            i += step
            if i <= end:
                continue
        # --------------------------------------------------------------------- marks of quotation at a line's beginning
        if fresh and point == 62 and kind != BREAK:
            while i < end and (data[i] == 62 or data[i] == 32):
                i += 1
            seen[SEEN_QUOTED] += 1
            gap = 0
            continue
        # ---------------------------------------------------------------------------- where a piece ends, a line too
        over = i > end
        if not over and kind == CLOSER and stopped and gap == 0 and not broken_line:
            i += step
            continue
        if broken_line or stopped or over:
            if broken_line and kind == LOWER and not over and not stopped and piece[TOKENS] > 6:
                seen[SEEN_WRAPS] += 1
            elif stopped and not broken_line and not over and last == STOP and (gap == 0 or kind == LOWER):
                pass
            elif piece[TOKENS] or piece[SIGNS] or piece[NOTICES]:
                piece[ENDED] = 1 if stopped else 0
                if (
                    before_bits & NO_END
                    and stopped
                    or last == HAN
                    and tail
                    and han[np.int64(tail & U64(0xFFFF))] & NO_END
                ):
                    piece[CLASHES] += 1
                if piece[RARES] > 2 and 5 * piece[RARES] >= 2 * piece[HANS]:
                    seen[SEEN_BROKEN] += piece[RARES]
                piece[LINE] = line
                lines[line] += piece[TOKENS]
                n += 1
                if n >= room - 1:
                    return -1, 0
                if broken_line or over:
                    line += 1
                    lines[line] = 0
                piece = pieces[n]
                piece[:] = 0
                before_bits = 0
                tail = U64(0)
                singles = 0
                last = OTHER
            elif broken_line and lines[line] > 0:
                line += 1
                lines[line] = 0
            stopped = False
            broken_line = False
        if over:
            break
        begins = piece[TOKENS] == 0
        # ----------------------------------------------------------------------------------------- what is read is told
        if is_word:
            small = kind == LOWER
            if begins and kind == LOWER:
                piece[LOW_START] = 1
            h, size, word_kind = add_to_word(U64(0), point + 32 if kind == CAPITAL and point < 128 else point), 1, kind
            if gap > 1 and not fresh:
                seen[SEEN_GAPS] += gap - 1
            if bits & (LEAD_2 | LEAD_3) and _looks_misread(data, i + step, end, bits, kinds):
                seen[SEEN_BROKEN] += 2
            tail = U64(0)
        elif kind == HAN:
            if gap and last == HAN and not fresh:
                seen[SEEN_SPACED] += 1
            piece[TOKENS] += 1
            piece[HANS] += 1
            piece[RARES] += 1 if bits & RARE else 0
            if point < 0x10000:
                found = np.int64(han[point])
                tail = (tail << U64(16)) | U64(point)
                if ends_cue[point]:
                    found |= np.int64(find_cue(tail & U64(0xFFFFFFFF), keys, cue_bits))
                    found |= np.int64(find_cue(tail & U64(0xFFFFFFFFFFFF), keys, cue_bits))
                    found |= np.int64(find_cue(tail, keys, cue_bits))
                if tail >> U64(16) and not (found | np.int64(han[np.int64(tail >> U64(16) & U64(0xFFFF))])) & FUNCTION:
                    terms[n_terms] = np.int64(((tail & U64(0xFFFFFFFF)) * _TERM_MIX) >> U64(64 - SLOT_BITS))
                    n_terms += 1
                    piece[TERMS] += 1
                if found:
                    _book(piece, found)
                    if found & NO_START and (begins or last == COMMA):
                        piece[CLASHES] += 1
            singles = 0
            before_bits = 0
        elif kind in (COMMA, STOP, STRONG_STOP):
            if point == last_point and kind == last and gap == 0:
                run += 1
                if run > 3:
                    seen[SEEN_ORNAMENTS] += 1
                    piece[SIGNS] += 1
            else:
                run = 1
                if gap == 0 and last in (HAN, LOWER, CAPITAL, DIGIT):
                    if (last == HAN) == (point < 128) and point != 0x2026 and not (point == 46 and last == DIGIT):
                        seen[SEEN_ODD_MARKS] += 1
                    else:
                        seen[SEEN_MARKS] += 1
                if kind == COMMA and tail and last == HAN and han[np.int64(tail & U64(0xFFFF))] & NO_END:
                    piece[CLASHES] += 1
            if kind != COMMA:
                stopped = True
                piece[EXCLAIMS] += 1 if point == 33 or point == 0xFF01 else 0
            tail = U64(0)
            singles = 0
        elif kind == BROKEN:
            seen[SEEN_BROKEN] += 1
            tail = U64(0)
        else:
            if point in (38, 60, 92):
                length = _markup(data, i, end)
                if length:
                    seen[SEEN_MARKUP] += 1
                    step = length
            if kind == ORNAMENT or point == last_point and gap == 0 and kind == last:
                run = run + 1 if point == last_point else 1
                is_bullet = fresh and i + step < end and data[i + step] == 32
                if kind == ORNAMENT and not is_bullet or run > 3:
                    seen[SEEN_ORNAMENTS] += 1
                    piece[SIGNS] += 1
            elif kind == MARK:
                piece[SIGNS] += 1
                run = 1
            if bits & (LEAD_2 | LEAD_3) and _looks_misread(data, i + step, end, bits, kinds):
                seen[SEEN_BROKEN] += 2
            tail = U64(0)
            if kind != CLOSER:
                singles = 0
        if kind not in (STOP, STRONG_STOP, CLOSER):
            stopped = False
        last, last_point = kind, point
        fresh = False
        gap = 0
        i += step
    _count_known(pieces, n, terms, owner)
    return n, line


@kernel
def _count_known(pieces, n, terms, owner):  # type: ignore[no-untyped-def]
    """Counts the terms of each piece that another piece has."""
    several = np.int32(-1)
    owner[:] = 0
    at = 0
    for k in range(n):
        for t in range(at, at + pieces[k, TERMS]):
            slot = terms[t]
            owner[slot] = k + 1 if owner[slot] in (0, k + 1) else several
        at += pieces[k, TERMS]
    at = 0
    for k in range(n):
        known = 0
        for t in range(at, at + pieces[k, TERMS]):
            known += 1 if owner[terms[t]] == several else 0
        at += pieces[k, TERMS]
        pieces[k, KNOWN_TERMS] = known


@kernel(inline="always")
def _plane_kind(point):  # type: ignore[no-untyped-def]
    """The kind of a character beyond the basic plane: Han, emoji and other pictures, tags that nobody sees."""
    if 0x20000 <= point <= 0x3FFFF:
        return HAN
    if 0x1F000 <= point <= 0x1FAFF:
        return ORNAMENT
    return INVISIBLE if 0xE0000 <= point <= 0xE0FFF else OTHER


@kernel(inline="always")
def _book(piece, bits):  # type: ignore[no-untyped-def]
    """Counts the kinds of a cue."""
    if bits == 0:
        return
    if bits & (NOTICE | STRONG_NOTICE):
        piece[NOTICES] += 2 if bits & STRONG_NOTICE else 1
    if bits & REMARK:
        piece[REMARKS] += 1
    if bits & PERSON:
        piece[PERSONS] += 1
    if bits & FUNCTION:
        piece[GRAMMAR] += 1


@kernel
def _looks_misread(data, i, end, bits, kinds):  # type: ignore[no-untyped-def]
    """Whether what follows a possible first byte of UTF-8, read as Windows-1252, are later bytes of it."""
    wanted = 1 if bits & LEAD_2 else 2
    for _ in range(wanted):
        if i >= end or data[i] < 128:
            return False
        point, step = decode(data, i)
        if point > 0xFFFF or not kinds[point] & CONTINUES:
            return False
        i += step
    return True


@kernel
def _markup(data, i, end):  # type: ignore[no-untyped-def]
    """The bytes of an entity, a tag or an escape that begins at byte `i`; 0 if none does."""
    first = data[i]
    if i + 2 >= end:
        return 0
    after = data[i + 1]
    if first == 92:  # backslash
        if after == 117:
            return min(6, end - i)
        return 2 if after in (110, 116, 114, 34) else 0
    if first == 38:  # &
        for k in range(i + 1, min(end, i + 12)):
            c = data[k]
            if c == 59:
                return k + 1 - i if k > i + 2 else 0
            if not (97 <= c <= 122 or 65 <= c <= 90 or 48 <= c <= 57 or c == 35):
                return 0
        return 0
    if not (97 <= after <= 122 or 65 <= after <= 90 or after in (47, 33)):
        return 0
    for k in range(i + 1, min(end, i + 300)):
        if data[k] == 62:
            return k + 1 - i
        if data[k] in (10, 60):
            return 0
    return 0
