"""Listed words and phrases in texts, counted by their tokens in one pass.

A term is what its tokens are (`text.tokens`), and it is found where these stand side by side. So three things that
word lists are known to trip over need no rule of their own:

- Scunthorpe: a term of a spaced script matches whole words, never a part of one.
- No word breaks: a Chinese or Japanese term is a sequence of characters, and is found inside a running line.
- Disguise: case, full width, and symbols or spaces put between Chinese characters are gone before tokens are compared
  ("法*轮 功" has the tokens of "法轮功"). A word spelled out with symbols ("s.p.a.m") is a row of one-letter tokens,
  which each single-word term of three letters and more is also listed as.

What that does not see: letters replaced by look-alikes ("5pam"), and a term in a longer compound of a spaced script.
Terms that overlap count once, the longest first at each place.

Cost: the tokens, and for each a probe of a bitmap of 8 KB; only tokens that may begin a term are looked at further.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tamis.errors import ConfigError
from tamis.kernels import kernel
from text.arrow import TextColumn
from text.sequences import nested_hashes, positions_of
from text.tokens import token_hashes

U64 = np.uint64
MAX_TERM_TOKENS = 64
LEAST_SPELLED = 3
"""Words of at least so many letters are also searched for letter by letter (s.p.a.m); shorter would match initials."""
_BITS = 16


@dataclass(frozen=True)
class WordList:
    """Terms, ready to be looked for."""

    hashes: npt.NDArray[np.int64]  # [n], distinct hashes of the terms' tokens
    lengths: npt.NDArray[np.int32]  # [m], the lengths in tokens that occur, longest first
    first: npt.NDArray[np.uint64]  # [2^16 / 64], a bitmap of the highest 16 bits of the terms' first tokens
    terms: int  # how many
    left_out: tuple[str, ...] = ()  # those that hold no letter or digit, such as an emoji: tokens cannot tell them

    @classmethod
    def of(cls, terms: Iterable[str]) -> WordList:
        """Makes a list.

        Raises:
            ConfigError: a term has too many tokens.
        """
        given = sorted(set(terms))
        sizes = np.diff(token_hashes(TextColumn.from_texts(given))[0])
        for i in np.flatnonzero(sizes > MAX_TERM_TOKENS).tolist():
            raise ConfigError(f"the term {given[i]!r} has more than {MAX_TERM_TOKENS} tokens")
        usable = [term for term, size in zip(given, sizes.tolist(), strict=True) if size]
        column = TextColumn.from_texts([*usable, *_spelled(usable)])
        ptr, tokens = token_hashes(column)
        _, (hashes, _) = nested_hashes(ptr, tokens, np.arange(len(column), dtype=np.int64))
        first = np.zeros(1 << _BITS >> 6, np.uint64)
        at = (tokens[ptr[:-1]] >> U64(64 - _BITS)).astype(np.int64) if len(tokens) else np.zeros(0, np.int64)
        np.bitwise_or.at(first, at >> 6, U64(1) << (at & 63).astype(np.uint64))
        lengths = np.unique(np.diff(ptr))[::-1].astype(np.int32)
        left_out = tuple(term for term, size in zip(given, sizes.tolist(), strict=True) if not size)
        return cls(np.unique(hashes), lengths, first, len(usable), left_out)

    @classmethod
    def load(cls, paths: Sequence[Path]) -> WordList:
        """Reads files with one term a line; empty lines and those that begin with # do not count.

        Raises:
            ConfigError: a file is not UTF-8, or a term cannot be looked for.
        """
        terms: list[str] = []
        for path in paths:
            try:
                lines = path.read_text("utf-8-sig").splitlines()
            except UnicodeDecodeError as error:
                raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
            terms += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        try:
            return cls.of(terms)
        except ConfigError as error:
            raise ConfigError(f"{', '.join(map(str, paths))}: {error}") from None


def _spelled(terms: Sequence[str]) -> list[str]:
    """Single words of ASCII letters, letter by letter."""
    return [" ".join(t) for t in terms if t.isascii() and t.isalpha() and len(t) >= LEAST_SPELLED]


def count_listed(words: WordList, column: TextColumn) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """How often listed terms occur in each text.

    Returns:
        listed: int32[n_docs], occurrences; tokens: int32[n_docs].
    """
    ptr, tokens = token_hashes(column)
    sizes = np.diff(ptr).astype(np.int32)
    if not len(words.hashes):
        return np.zeros(len(column), np.int32), sizes
    starts, begins = _candidates(ptr, tokens, words.first)
    return _counted(ptr, tokens, words, starts, begins), sizes


def _counted(
    ptr: npt.NDArray[np.int64],
    tokens: npt.NDArray[np.uint64],
    words: WordList,
    starts: npt.NDArray[np.int64],
    texts: npt.NDArray[np.int64],
) -> npt.NDArray[np.int32]:
    """Compares the candidates with the terms, the longest first, and counts the matches that do not overlap."""
    matched = np.zeros(len(starts), np.int32)
    for length in words.lengths.tolist():
        open_ = np.flatnonzero((matched == 0) & (starts + length <= ptr[texts + 1]))
        bounds = np.stack([starts[open_], starts[open_] + length], axis=1)
        found = positions_of(words.hashes, _phrase_hashes(tokens, bounds)) >= 0
        matched[open_[found]] = length
    return _without_overlaps(starts, texts, matched, len(ptr) - 1)


@kernel
def _candidates(ptr, tokens, first):  # type: ignore[no-untyped-def]
    """The places of tokens that may begin a term, and their texts."""
    found, texts = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    for d in range(len(ptr) - 1):
        for k in range(ptr[d], ptr[d + 1]):
            at = tokens[k] >> U64(48)
            if (first[np.int64(at >> U64(6))] >> (at & U64(63))) & U64(1):
                found.append(np.int64(k))
                texts.append(np.int64(d))
    return np.array(found, np.int64), np.array(texts, np.int64)


def _phrase_hashes(tokens: npt.NDArray[np.uint64], bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The hash of `tokens[low:high]` for each row of bounds, as `text.sequences` makes it."""
    if not len(bounds):
        return np.zeros(0, np.int64)
    lengths = bounds[:, 1] - bounds[:, 0]
    ptr = np.concatenate(([0], np.cumsum(lengths)))
    gathered = tokens[np.repeat(bounds[:, 0] - ptr[:-1], lengths) + np.arange(ptr[-1])]
    return nested_hashes(ptr, gathered, np.arange(len(bounds), dtype=np.int64))[1][0]


@kernel
def _without_overlaps(starts, texts, matched, n):  # type: ignore[no-untyped-def]
    """Occurrences by text, from the left; starts ascend."""
    out = np.zeros(n, np.int32)
    behind = np.int64(0)
    for i in range(len(starts)):
        if matched[i] > 0 and starts[i] >= behind:
            out[texts[i]] += 1
            behind = starts[i] + matched[i]
    return out
