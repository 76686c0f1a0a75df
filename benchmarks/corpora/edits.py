"""Edited copies of documents, as arrays of pieces: what makes near-duplicates in a benchmark corpus.

A *recipe* says how a copy differs: words (or Han characters) exchanged, deleted and inserted at a rate, paragraphs
dropped, a passage of another page put before and behind, punctuation and case changed, line feeds doubled. At a rate
p a 5-gram survives with probability s = (1 - p)^5, so that J is about s / (2 - s): the rates below give 0.97 down to
0.5. The real similarity of each copy is measured. Cost: some 200 MB/s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.corpora.pieces import BREAK, DIGITS, OTHER, WORD, Int32, Int64, Pieces
from tamis.kernels import kernel

Uint8 = npt.NDArray[np.uint8]
_U64 = np.uint64


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a copy differs from its original.

    Attributes:
        name: in the truth file.
        words: share of words exchanged, deleted or inserted, in equal parts.
        paragraphs: share of paragraphs dropped.
        boilerplate: whether passages of other pages stand before and behind.
        punctuation: share of punctuation marks replaced by others.
        case: 0 as it is, 1 all capitals, 2 no capitals.
        breaks: whether line feeds are doubled; exact dedup ignores that.
        weight: how often the recipe is drawn, relative to the others of its table.
    """

    name: str
    words: float = 0.0
    paragraphs: float = 0.0
    boilerplate: bool = False
    punctuation: float = 0.0
    case: int = 0
    breaks: bool = False
    weight: float = 1.0

    def row(self) -> list[float]:
        """The numbers that the kernel reads."""
        return [self.words, self.paragraphs, self.boilerplate, self.punctuation, self.case, self.breaks]


EDITED = (
    Recipe("words_0.4%", words=0.004),
    Recipe("words_1%", words=0.01),
    Recipe("words_2%", words=0.02),
    Recipe("words_3.5%", words=0.035),
    Recipe("words_6%", words=0.06),
    Recipe("paragraphs", paragraphs=0.12),
    Recipe("boilerplate", boilerplate=True),
    Recipe("punctuation", punctuation=0.5),
    Recipe("case", case=1, punctuation=0.05, weight=0.5),
    Recipe("lower", case=2, punctuation=0.05, weight=0.5),
    Recipe("mixed", words=0.01, paragraphs=0.05, boilerplate=True, punctuation=0.2),
)
EXACT = (Recipe("exact"), Recipe("exact_breaks", breaks=True, weight=0.5))
RECIPES = (*EDITED, *EXACT)

_MARKS = {
    ", ": "; ",
    ". ": " . ",
    ",": " ,",
    "? ": " ! ",
    "! ": ". ",
    " - ": " -- ",
    "; ": ", ",
    " (": " [",
    ") ": "] ",
    "，": ",",
    "。": ". ",
    "、": ",",
    "：": ":",
    "；": "，",
    "“": "「",
    "”": "」",
    "！": "!",
    "？": "?",
    "（": "(",
    "）": ")",
}
PROBE = "".join(f"x{old}x{new}x " for old, new in _MARKS.items()).encode()
"""A document that must be split with the others, so that every mark is in the vocabulary."""


@dataclass(frozen=True)
class Editor:
    """Makes copies of the documents of `pieces`.

    Attributes:
        pieces: the documents; the last one is `PROBE`.
        streams: int64[n_docs, 2], the first piece of the document's language and the one after its last.
        swap: int32[n_vocabulary], the mark that may replace this one, or -1.
        space: the number of the piece " ".
    """

    pieces: Pieces
    streams: Int64
    swap: Int32
    space: int

    @classmethod
    def of(cls, pieces: Pieces, langs: list[str]) -> Editor:
        """An editor for documents of these languages, where those of one language lie together."""
        streams = np.zeros((len(langs), 2), np.int64)
        for lang in set(langs):
            mine = np.flatnonzero(np.array(langs) == lang)
            streams[mine] = pieces.ptr[mine[0]], pieces.ptr[mine[-1] + 1]
        swap = np.full(len(pieces.kinds), -1, np.int32)
        marks = pieces.numbers([m.encode() for pair in _MARKS.items() for m in pair])
        for old, new in zip(marks[::2], marks[1::2], strict=True):
            if old >= 0:
                swap[old] = new
        return cls(pieces, streams, swap, pieces.numbers([b" "])[0])

    def copies(self, docs: Int64, recipes: Int64, seeds: npt.NDArray[np.uint64]) -> tuple[Int32, Int64]:
        """Edited documents.

        Args:
            docs: int64[n], which documents.
            recipes: int64[n], places in `RECIPES`.
            seeds: uint64[n], the randomness of each.

        Returns:
            Piece numbers, and int64[n + 1] where each copy begins.
        """
        table = np.array([r.row() for r in RECIPES], np.float64)
        p = self.pieces
        return _copies(p.ids, p.ptr, p.kinds, self.swap, self.space, self.streams, docs, table[recipes], seeds)  # type: ignore[no-any-return]


def render(ids: Int32, ptr: Int64, case: Uint8, starts: Int64, blob: Uint8) -> tuple[Uint8, Int64]:
    """Pieces as text.

    Args:
        ids: piece numbers of the documents, back to back.
        ptr: int64[n + 1], where each begins.
        case: uint8[n]: 0 as it is, 1 capitals, 2 none (ASCII).
        starts: of the vocabulary.
        blob: of the vocabulary, in the replica wanted.

    Returns:
        UTF-8 bytes, and int64[n + 1] where each document begins in them.
    """
    return _render(ids, ptr, case, starts, blob)  # type: ignore[no-any-return]


@kernel(inline="always")
def _uniform(state):  # type: ignore[no-untyped-def]
    """The next number of splitmix64, in [0, 1)."""
    state[0] += _U64(0x9E3779B97F4A7C15)
    x = state[0]
    x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
    x = x ^ (x >> _U64(31))
    return np.float64(x >> _U64(11)) * (1.0 / 9007199254740992.0)


@kernel
def _another(ids, low, high, kinds, kind, state, fallback):  # type: ignore[no-untyped-def]
    """A random piece of a kind, drawn from the running text, so that frequent pieces come more often."""
    for _ in range(64):
        piece = ids[low + np.int64(_uniform(state) * (high - low))]
        if kinds[piece] == kind and piece != fallback:
            return piece
    return fallback


@kernel
def _passage(ids, low, high, state, out, at):  # type: ignore[no-untyped-def]
    """Appends 20 to 80 consecutive pieces from elsewhere in the language."""
    length = min(20 + np.int64(_uniform(state) * 60), high - low)
    begin = low + np.int64(_uniform(state) * (high - low - length))
    out[at : at + length] = ids[begin : begin + length]
    return at + length


@kernel
def _copies(ids, ptr, kinds, swap, space, streams, docs, rows, seeds):  # type: ignore[no-untyped-def]
    room = np.int64(0)
    for d in docs:
        room += 3 * (ptr[d + 1] - ptr[d]) + 256
    out = np.empty(room, np.int32)
    begin = np.zeros(len(docs) + 1, np.int64)
    state = np.zeros(1, np.uint64)
    at = np.int64(0)
    for k in range(len(docs)):
        d = docs[k]
        words, paragraphs, boilerplate, punctuation, breaks = rows[k, 0], rows[k, 1], rows[k, 2], rows[k, 3], rows[k, 5]
        low, high = streams[d, 0], streams[d, 1]
        state[0] = seeds[k]
        if boilerplate > 0:
            at = _passage(ids, low, high, state, out, at)
        dropping = False
        i, end = ptr[d], ptr[d + 1]
        while i < end:
            piece = ids[i]
            kind = kinds[piece]
            if kind == BREAK:
                if paragraphs > 0:
                    dropping = _uniform(state) < paragraphs
                out[at] = piece
                at += 1
                if breaks > 0:
                    out[at] = piece
                    at += 1
            elif dropping:
                pass
            elif words > 0 and kind != OTHER and kind != DIGITS:
                u = _uniform(state)
                if u >= words:
                    out[at] = piece
                    at += 1
                elif 3 * u < words:
                    out[at] = _another(ids, low, high, kinds, kind, state, piece)
                    at += 1
                elif 3 * u < 2 * words:
                    if i + 1 < end and ids[i + 1] == space:
                        i += 1
                else:
                    out[at] = _another(ids, low, high, kinds, kind, state, piece)
                    at += 1
                    if kind == WORD:
                        out[at] = space
                        at += 1
                    out[at] = piece
                    at += 1
            else:
                if kind == OTHER and swap[piece] >= 0 and punctuation > 0 and _uniform(state) < punctuation:
                    piece = swap[piece]
                out[at] = piece
                at += 1
            i += 1
        if boilerplate > 0:
            at = _passage(ids, low, high, state, out, at)
        begin[k + 1] = at
    return out[:at], begin


@kernel
def _render(ids, ptr, case, starts, blob):  # type: ignore[no-untyped-def]
    offsets = np.zeros(len(ptr), np.int64)
    for d in range(len(ptr) - 1):
        size = np.int64(0)
        for i in range(ptr[d], ptr[d + 1]):
            size += starts[ids[i] + 1] - starts[ids[i]]
        offsets[d + 1] = offsets[d] + size
    out = np.empty(offsets[-1], np.uint8)
    at = 0
    for d in range(len(ptr) - 1):
        for i in range(ptr[d], ptr[d + 1]):
            for k in range(starts[ids[i]], starts[ids[i] + 1]):
                c = blob[k]
                if case[d] == 1 and 97 <= c <= 122:
                    c -= np.uint8(32)
                elif case[d] == 2 and 65 <= c <= 90:
                    c += np.uint8(32)
                out[at] = c
                at += 1
    return out, offsets
