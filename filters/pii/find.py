"""Personal data in text: what kind, and where. Never the text itself.

    find(column) → for each document the spans of e-mail addresses, telephone numbers, IP addresses, Chinese resident
                   identity numbers, bank cards and IBANs

One pass over the bytes. All that is looked for holds a digit, an `@` or a colon, so all other bytes are skipped by a
table of 256 entries; at one of these a few characters around it are put into a window (full width read as ASCII) and
the forms are tried there. Regular expressions would read the text once for each kind, and cannot test check digits.

Where matches overlap, the longer in bytes stays, of equal ones the kind that stands first in `KINDS`, then the
earlier one. Cost: linear; some 600 MB/s a core in Chinese and English text (`benchmarks/filters/pii_speed.py`).

Left out, as their form does not tell them from other numbers: fixed-line numbers without `+`, passport and licence
numbers; names and postal addresses have no form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.pii.addresses import email, ipv4, ipv6, is_local_4
from filters.pii.characters import DOT, HYPHEN, OPEN, PLUS, SPACE, code_at, code_before, is_digit
from filters.pii.numbers import BEFORE, WINDOW, bank_card, iban, phone, resident
from tamis.kernels import kernel
from text.arrow import Int64, TextColumn

KINDS = ("email", "cn_id", "iban", "bank_card", "phone", "ip", "ip_local")
"""What is found; of matches of one length the earlier kind stays. `ip_local`: an address that identifies nobody."""
_EMAIL, _CN_ID, _IBAN, _BANK_CARD, _PHONE, _IP, _IP_LOCAL = range(len(KINDS))

_DIGIT, _AT, _COLON, _WIDE = 1, 2, 3, 4
START, END, KIND, OVERLAPPED = range(4)
"""Columns of a candidate; the last is 1 where a better one takes its place."""
_TRIGGERS = np.zeros(256, np.uint8)
_TRIGGERS[ord("0") : ord("9") + 1] = _DIGIT
_TRIGGERS[ord("@")], _TRIGGERS[ord(":")], _TRIGGERS[0xEF] = _AT, _COLON, _WIDE


class Scratch(NamedTuple):
    """What is known of the characters around a place: int64[WINDOW] each."""

    window: Int64  # their codes, see `filters.pii.numbers`
    places: Int64  # the byte at which each begins
    digits: Int64  # the digits of a number


@dataclass(frozen=True, slots=True)
class Matches:
    """What was found, by document and in the order of the text; matches of a document are disjoint."""

    ptr: Int64  # [n_docs + 1]; document i owns `start[ptr[i]:ptr[i + 1]]`
    start: npt.NDArray[np.int32]  # [n], first byte within the document
    end: npt.NDArray[np.int32]  # [n], byte behind the last
    kind: npt.NDArray[np.int8]  # [n], index in `KINDS`

    def documents(self) -> Int64:
        """The document of each match, int64[n]."""
        return np.repeat(np.arange(len(self.ptr) - 1, dtype=np.int64), np.diff(self.ptr))


def find(column: TextColumn, old_resident_numbers: bool = False) -> Matches:
    """Finds the personal data of each document; on request also resident numbers of 15 places, without check digit."""
    capacity = column.nbytes // 512 + len(column) + 64
    while True:
        found = np.empty((capacity, OVERLAPPED + 1), np.int32)
        ptr = np.zeros(len(column) + 1, np.int64)
        n = _find(column.offsets, column.data, old_resident_numbers, ptr, found)
        if n <= capacity:
            break
        capacity = n
    found = found[:n]
    stay = _without_overlaps(ptr, found)
    counts = np.concatenate(([0], np.cumsum(stay, dtype=np.int64)))
    kept = found[stay]
    start, end = np.ascontiguousarray(kept[:, START]), np.ascontiguousarray(kept[:, END])
    return Matches(counts[ptr], start, end, kept[:, KIND].astype(np.int8))


@kernel
def _find(offsets, data, old, ptr, found):  # type: ignore[no-untyped-def]
    """Writes the candidates' rows, as many as there is room for; returns how many there are."""
    scratch = Scratch(np.zeros(WINDOW, np.int64), np.zeros(WINDOW, np.int64), np.zeros(WINDOW, np.int64))
    n = 0
    for d in range(len(offsets) - 1):
        n = _find_in(data[offsets[d] : offsets[d + 1]], old, scratch, found, n)
        ptr[d + 1] = n
    return n


@kernel
def _find_in(text, old, scratch, found, n):  # type: ignore[no-untyped-def]
    i, colons_done = np.int64(0), np.int64(0)
    size = len(text)
    while True:
        while i < size and _TRIGGERS[text[i]] == 0:
            i += 1
        if i >= size:
            return n
        what, width = _TRIGGERS[text[i]], 1
        if what == _WIDE:
            width = 3
            what = 0
            if text[i + 1] == 0xBC:
                what = _DIGIT if 0x90 <= text[i + 2] <= 0x99 else (_AT if text[i + 2] == 0xA0 else 0)
        if what == _DIGIT:
            n, i = _numbers(text, i, old, scratch, found, n)
            continue
        if what == _AT:
            start, end = email(text, i, width)
            if start >= 0:
                n = _put(found, n, start, end, _EMAIL)
        elif what == _COLON and i >= colons_done:
            start, end, local, colons_done = ipv6(text, i, scratch.window, scratch.places)
            if start >= 0:
                n = _put(found, n, start, end, _IP_LOCAL if local else _IP)
        i += width


@kernel
def _put(found, n, start, end, kind):  # type: ignore[no-untyped-def]
    if n < len(found):
        found[n, START], found[n, END], found[n, KIND], found[n, OVERLAPPED] = start, end, kind, 0
    return n + 1


@kernel
def _numbers(text, first, old, scratch, found, n):  # type: ignore[no-untyped-def]
    """What begins at the run of digits at byte `first`, or just before it; returns (n, byte behind the run)."""
    run, i = 0, first
    code = np.int64(0)
    while i < len(text):
        code, size = code_at(text, i)
        if not is_digit(code):
            break
        i += size
        run += 1
        code = np.int64(0)
    before, size = code_before(text, first)
    joined = False
    if code in (SPACE, HYPHEN, DOT):
        behind = i + code_at(text, i)[1]
        following = code_at(text, behind)[0] if behind < len(text) else 0
        joined = (is_digit(following) and (code != DOT or run <= 3)) or (following == OPEN and run == 1)
    country = 65 <= before <= 90 and run >= 2
    sign = before in (OPEN, PLUS)
    if not (run >= 11 or joined or country or sign or (run == 1 and code == OPEN)):
        return n, i
    window, places, digits = scratch
    _look(text, first, country, window, places)
    if country:
        end = iban(window)
        if end >= 0:
            n = _put(found, n, places[BEFORE - 2], places[end], _IBAN)
    if run <= 3 and code == DOT:
        end, address = ipv4(text, first, window)
        if end >= 0:
            n = _put(found, n, first, places[end], _IP_LOCAL if is_local_4(address) else _IP)
    if run >= 14 or run == 6:
        end = resident(window, digits, old)
        if end >= 0:
            n = _put(found, n, first, places[end], _CN_ID)
    if run >= 13 or run == 4 or run == 6:
        end = bank_card(window, run, digits)
        if end >= 0:
            n = _put(found, n, first, places[end], _BANK_CARD)
    if run <= 15:
        for start in range(BEFORE - 2, BEFORE + 1):
            if start == BEFORE or window[start] == OPEN or window[start] == PLUS:
                if start == BEFORE - 2 and window[start + 1] != PLUS:
                    continue
                end = phone(window, start)
                if end >= 0:
                    n = _put(found, n, places[start], places[end], _PHONE)
    return n, i


@kernel
def _look(text, first, letters, window, places):  # type: ignore[no-untyped-def]
    """Fills a window around the run of digits at `first`: up to the second character that cannot stand in a number."""
    i = first
    for k in range(BEFORE - 1, -1, -1):
        code, size = code_before(text, i)
        i -= size
        window[k], places[k] = code, i
    i, strange = first, 0
    for k in range(BEFORE, WINDOW - 4):
        if strange >= 2 or i >= len(text) or k == WINDOW - 5:
            window[k : k + 4] = 0
            places[k : k + 4] = i
            break
        code, size = code_at(text, i)
        window[k], places[k] = code, i
        i += size
        if not (is_digit(code) or code == SPACE or OPEN <= code <= DOT or (letters and 65 <= code <= 90)):
            strange += 1


@kernel
def _without_overlaps(ptr, found):  # type: ignore[no-untyped-def]
    """Which candidates overlap no better one, bool[n]; those of a document are put in the order of the text."""
    stay = np.ones(len(found), np.bool_)
    for d in range(len(ptr) - 1):
        low, high = ptr[d], ptr[d + 1]
        ordered = True
        for k in range(low + 1, high):
            ordered = ordered and found[k, START] >= found[k - 1, END]
        if ordered:
            continue
        mine = found[low:high].copy()
        # Keys of 64 bits: a stable sort by kind, then by length, is a sort by (length, kind, place).
        rank = np.argsort(mine[:, START].astype(np.int64), kind="mergesort")
        mine = mine[rank]
        lengths = (mine[:, END] - mine[:, START]).astype(np.int64)
        order = np.argsort(mine[:, KIND].astype(np.int64) - lengths * 16, kind="mergesort")
        base = mine[0, START]
        taken = np.zeros(mine[:, END].max() - base, np.bool_)
        for k in order:
            first, last = mine[k, START] - base, mine[k, END] - base - 1
            if taken[first] or taken[last]:  # whoever stands inside it would be shorter, and come later
                mine[k, OVERLAPPED] = 1
                continue
            taken[first : last + 1] = True
        found[low:high] = mine
        for k in range(len(mine)):
            stay[low + k] = mine[k, OVERLAPPED] == 0
    return stay
