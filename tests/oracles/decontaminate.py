"""Slow, obvious twins of decontamination, over lists of tokens."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from tests.oracles.text import _SINGLE, fold, tokens

Gram = tuple[str, ...]


def alone(token: str) -> bool:
    """Whether a token is a character of a script without spaces."""
    return len(token) == 1 and any(low <= ord(token) <= high for low, high in _SINGLE)


def weight(words: list[str], per_word: int, per_character: int) -> Fraction:
    """How full a gram these tokens make."""
    return sum((Fraction(1, per_character if alone(w) else per_word) for w in words), Fraction(0))


def grams(words: list[str], per_word: int, per_character: int) -> list[tuple[int, int, Gram]]:
    """From each token the shortest run that is full: first, last + 1, tokens."""
    found = []
    for first in range(len(words)):
        for last in range(first + 1, len(words) + 1):
            if weight(words[first:last], per_word, per_character) >= 1:
                found.append((first, last, tuple(words[first:last])))
                break
    return found


@dataclass(frozen=True)
class Sizes:
    """The settings of an index, as `NgramConfig` names them."""

    words: int
    characters: int
    min_words: int
    min_characters: int
    max_items: int


def searched(items: list[str], sizes: Sizes) -> dict[int, tuple[list[str], set[Gram]]]:
    """Item → its tokens and telling grams (none: it is searched for whole); repeated and too short ones are missing."""
    found: dict[int, tuple[list[str], set[Gram]]] = {}
    seen: list[list[str]] = []
    for number, text in enumerate(items):
        words = tokens(text)
        if weight(words, sizes.min_words, sizes.min_characters) < 1 or words in seen:
            continue
        seen.append(words)
        found[number] = words, {g for _, _, g in grams(words, sizes.words, sizes.characters)}
    holders: dict[Gram, set[int]] = defaultdict(set)
    for number, (_, own) in found.items():
        for gram in own:
            holders[gram].add(number)
    return {n: (w, {g for g in own if len(holders[g]) <= sizes.max_items}) for n, (w, own) in found.items()}


Run = tuple[int, int]


def hits(items: list[str], document: str, sizes: Sizes) -> dict[int, list[tuple[int, Fraction, Run]]]:
    """Item → the runs of the document's tokens that hold it, each with its grams and its share of the item's tokens."""
    words = tokens(document)
    mine = grams(words, sizes.words, sizes.characters)
    found = {}
    for number, (own, telling) in searched(items, sizes).items():
        if telling:
            places = [p for p in grams(own, sizes.words, sizes.characters) if p[2] in telling]
        else:
            places = [(0, len(own), tuple(own))]
        findable = {k for a, b, _ in places for k in range(a, b)}
        wanted = {p[2] for p in places}
        here = mine if telling else [(i, i + len(own), tuple(words[i : i + len(own)])) for i in range(len(words))]
        runs: list[list[Run]] = []
        reach = -1
        for first, last in sorted({(a, b) for a, b, g in here if g in wanted}):
            if first > reach:
                runs.append([])
            runs[-1].append((first, last))
            reach = max(reach, last + len(findable))
        if runs:
            found[number] = [_measured(run, words, places, len(findable)) for run in runs]
    return found


def _measured(
    run: list[Run], words: list[str], places: list[tuple[int, int, Gram]], findable: int
) -> tuple[int, Fraction, Run]:
    there = {tuple(words[a:b]) for a, b in run}
    covered = {k for a, b, g in places if g in there for k in range(a, b)}
    return sum(g in there for *_, g in places), Fraction(len(covered), findable), (run[0][0], max(b for _, b in run))


def token_spans(text: str) -> list[tuple[int, int]]:
    """The bytes of each token of a text that NFKC changes character by character."""
    spans: list[tuple[int, int]] = []
    open_at, at = -1, 0
    end = 0
    for char in text:
        size = len(char.encode())
        for folded in fold(char):
            word = unicodedata.category(folded)[0] in "LMN"
            if open_at >= 0 and (not word or alone(folded)):
                spans.append((open_at, end))
                open_at = -1
            if word and alone(folded):
                spans.append((at, at + size))
            elif word:
                open_at, end = (at if open_at < 0 else open_at), at + size
        at += size
    return [*spans, (open_at, end)] if open_at >= 0 else spans
