"""Bad sentences made from good ones: what a broken extraction, a keyword farm or a menu does to text.

Real bad text differs from good text in its subject too, and a model learns the subject first. A corrupted
sentence has the subject and the words of its original and nothing of its order, so it teaches what is left.
Five ways, a sentence each, drawn with fixed shares: words in any order; characters lost; keywords repeated; a
list of catchwords as in a menu; the end of one sentence run into the beginning of another. The last is
hardest to tell (only one seam is wrong) and drawn least.

Everything is a function of (seed, name, document). The ways are those in which crawled text breaks; their shares are
our choice, not a published one. Cost: some 3 MB/s; it runs in training only.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import numpy as np

from text.arrow import TextColumn
from text.segment import sentences

_PIECES = re.compile(r"[⺀-鿿豈-﫿぀-ヿ]|[^\W_]+|[^\w\s]|_", re.UNICODE)
_CJK = re.compile(r"[⺀-鿿豈-﫿぀-ヿ]")
Rng = np.random.Generator


def corrupt(column: TextColumn, seed: int, name: str) -> list[str]:
    """Corrupts each sentence of each document, one text a document; a sentence stays a line of its own. `name` is that
    of the reference set, so that sets differ.
    """
    spans = sentences(column)
    ends = spans.ends(column)
    corrupted = []
    for i in range(len(column)):
        data = column.bytes_at(i)
        own = range(spans.ptr[i], spans.ptr[i + 1])
        pieces = [p for s in own if (p := _PIECES.findall(data[spans.starts[s] : ends[s]].decode("utf-8")))]
        rng = np.random.Generator(np.random.PCG64([seed & 0xFFFFFFFF, zlib.crc32(name.encode()), i]))
        lines = []
        for k, sentence in enumerate(pieces):
            way = _WAYS[int(rng.choice(len(_WAYS), p=_SHARES))]
            lines.append(way(sentence, pieces[(k + 1) % len(pieces)], rng))
        corrupted.append("\n".join(line for line in lines if line))
    return corrupted


def _join(pieces: list[str]) -> str:
    """Writes pieces as text again: a space between two unless one of them is Han, Kana or a mark."""
    out = ""
    for piece in pieces:
        if out and piece[0].isalnum() and out[-1].isalnum() and not (_CJK.match(piece) or _CJK.match(out[-1])):
            out += " "
        out += piece
    return out


def _phrases(pieces: list[str], rng: Rng, longest: int) -> list[str]:
    """Cuts a sentence into phrases of 1 to `longest` words, or twice as many of Han; marks are left out."""
    words = [piece for piece in pieces if piece[0].isalnum()]
    phrases = []
    i = 0
    while i < len(words):
        most = 2 * longest if _CJK.match(words[i]) else longest
        size = int(rng.integers(1, most + 1))
        phrases.append(_join(words[i : i + size]))
        i += size
    return phrases


def _shuffled(pieces: list[str], _: list[str], rng: Rng) -> str:
    words = [pieces[i] for i in rng.permutation(len(pieces))]
    return _join(words)


def _lossy(pieces: list[str], _: list[str], rng: Rng) -> str:
    text = _join(pieces)
    kept = rng.random(len(text)) >= rng.uniform(0.15, 0.35)
    return "".join(char for char, keep in zip(text, kept, strict=True) if keep)


def _repeated(pieces: list[str], _: list[str], rng: Rng) -> str:
    phrases = _phrases(pieces, rng, 2)
    if not phrases:
        return ""
    few = [phrases[i] for i in rng.permutation(len(phrases))[: int(rng.integers(1, 4))]]
    separator = str(rng.choice([" ", ",", "，", "、", ""])) if _CJK.match(few[0]) else str(rng.choice([" ", ", "]))
    return separator.join(few[int(rng.integers(len(few)))] for _ in range(int(rng.integers(6, 16))))


def _menu(pieces: list[str], following: list[str], rng: Rng) -> str:
    phrases = _phrases(pieces + following, rng, 2)
    chosen = [phrases[i] for i in sorted(rng.permutation(len(phrases))[: int(rng.integers(4, 13))])]
    order = rng.permutation(len(chosen))
    return str(rng.choice([" | ", " ", " · ", " > ", "／"])).join(chosen[i] for i in order)


def _seamed(pieces: list[str], following: list[str], rng: Rng) -> str:
    first, second = _join(pieces), _join(following)
    a, b = int(rng.integers(len(first) // 3, len(first))), int(rng.integers(0, max(1, 2 * len(second) // 3)))
    return first[:a] + second[b:]


_WAYS: tuple[Callable[[list[str], list[str], Rng], str], ...] = (_shuffled, _lossy, _repeated, _menu, _seamed)
_SHARES = (0.3, 0.2, 0.2, 0.2, 0.1)
