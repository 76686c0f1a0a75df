"""Where two texts differ, token by token, as spans of both.

A token is what Similarity means by it (`text.tokens`), so that what counts as a difference here is what keeps
shingles apart there; here it is cut out of strings and keeps its place. The diff is anchored: runs of four tokens that
occur once in each text are matched in their longest common order (Bram Cohen's patience diff), and `difflib`, which
is quadratic, sees only the short gaps between anchors. A gap past `MAX_GAP` is one difference. A block that has moved
shows as removed here and put in there. Cost: n log n over the first `MAX_TOKENS` tokens of each text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

MAX_TOKENS, MAX_GAP = 200_000, 600
ANCHOR, JOIN = 4, 2
"""Tokens in an anchor; two differences with at most `JOIN` equal tokens between them count as one."""

Block = tuple[int, int, int, int]
"""Tokens `[a0, a1)` of the first text stand where `[b0, b1)` of the second do."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The folded tokens of a text, characters [start, end): int64[n]; not complete where the text goes on behind."""

    text: str
    names: tuple[str, ...]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    complete: bool

    @classmethod
    def of(cls, text: str, most: int = MAX_TOKENS) -> Tokens:
        """The first `most` tokens of a text."""
        from text.chars import SINGLE, TABLE_SIZE, WORD, char_tables, ignorables
        from text.fold import fold_text

        points = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
        shown = np.flatnonzero(~np.isin(points, np.fromiter(ignorables(), np.uint32)))
        points = points[shown]
        bits = char_tables().classes[np.minimum(points, TABLE_SIZE - 1)]
        bits = np.where(points < TABLE_SIZE, bits, 0)
        word, single = (bits & WORD) != 0, (bits & SINGLE) != 0
        run = word & ~single
        inside = np.concatenate([[False], run[1:] & run[:-1]]) if len(run) else run
        start = np.flatnonzero(word & ~inside)
        closes = np.concatenate([~inside[1:], [True]]) if len(run) else run
        end = np.flatnonzero(word & closes) + 1
        complete = len(start) <= most
        start, end = shown[start[:most]], shown[end[:most] - 1] + 1
        spans = zip(start.tolist(), end.tolist(), strict=True)
        names = tuple(fold_text(text[a:b]) for a, b in spans)
        return cls(text, names, start.astype(np.int64), end.astype(np.int64), complete)

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """The characters of tokens `[first, last)`; an empty range stands behind the token before it."""
        if first < last:
            return int(self.start[first]), int(self.end[last - 1])
        at = int(self.end[first - 1]) if first > 0 else 0
        return at, at


def byte_offsets(text: str, characters: Sequence[int]) -> list[int]:
    """UTF-8 offsets of some characters."""
    points = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    width = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    before = np.concatenate([[0], np.cumsum(width, dtype=np.int64)])
    return [int(before[c]) for c in characters]


def differences(a: Sequence[str], b: Sequence[str]) -> list[Block]:
    """Where two token sequences differ, in order; adjacent differences joined."""
    blocks: list[Block] = []
    i = j = 0
    for x, y in [*_anchors(a, b), (len(a), len(b))]:
        blocks += _gap(a, b, (i, x, j, y))
        i, j = x, y
    return _joined(blocks)


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Places (i, j) from which the same run of tokens follows, unique in both, rising in both."""
    here, there = _unique_runs(a), _unique_runs(b)
    places = [(i, there[run]) for run, i in here.items() if run in there]
    tails: list[int] = []  # the least end of a rising sequence of each length
    ends: list[int] = []  # which place that is
    before: list[int] = []
    for n, (_, j) in enumerate(places):
        k = bisect_left(tails, j)
        before.append(ends[k - 1] if k else -1)
        tails[k : k + 1] = [j]
        ends[k : k + 1] = [n]
    chosen: list[tuple[int, int]] = []
    n = ends[-1] if ends else -1
    while n >= 0:
        chosen.append(places[n])
        n = before[n]
    return chosen[::-1]


def _unique_runs(names: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Runs of `ANCHOR` tokens that occur once → where, ascending."""
    runs = [tuple(names[i : i + ANCHOR]) for i in range(len(names) - ANCHOR + 1)]
    counts = Counter(runs)
    return {run: i for i, run in enumerate(runs) if counts[run] == 1}


def _gap(a: Sequence[str], b: Sequence[str], gap: Block) -> list[Block]:
    """The differences within a gap."""
    a0, a1, b0, b1 = gap
    while a0 < a1 and b0 < b1 and a[a0] == b[b0]:
        a0, b0 = a0 + 1, b0 + 1
    while a0 < a1 and b0 < b1 and a[a1 - 1] == b[b1 - 1]:
        a1, b1 = a1 - 1, b1 - 1
    if a0 == a1 and b0 == b1:
        return []
    if a0 == a1 or b0 == b1 or max(a1 - a0, b1 - b0) > MAX_GAP:
        return [(a0, a1, b0, b1)]
    codes = SequenceMatcher(None, a[a0:a1], b[b0:b1], autojunk=False).get_opcodes()
    return [(a0 + i, a0 + k, b0 + j, b0 + m) for tag, i, k, j, m in codes if tag != "equal"]


def _joined(blocks: list[Block]) -> list[Block]:
    """Differences with at most `JOIN` equal tokens between them become one."""
    joined: list[Block] = []
    for block in blocks:
        if joined and block[0] - joined[-1][1] <= JOIN and block[2] - joined[-1][3] <= JOIN:
            joined[-1] = (joined[-1][0], block[1], joined[-1][2], block[3])
        else:
            joined.append(block)
    return joined
