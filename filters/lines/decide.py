"""The line filter: which lines are cut, for what reason, and which documents go because too much of them was.

Each rule is a function over the facts of all lines of a batch (`filters.lines.features`) and the settings; the first
that cuts a line is its reason. A line is cut whole, its break with it.

Source: C4 (Raffel et al. 2020), § 2.2; RefinedWeb (Penedo et al. 2023), appendix G.2; CLUECorpus2020 (Xu et al. 2020).
Deviation: RefinedWeb takes a phrase such as "Read more" out of its line; here a short line goes as a whole, as
offsets of spans are lines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.lines import features as f
from filters.lines.thresholds import LineThresholds

Bools = npt.NDArray[np.bool_]


class Lines(NamedTuple):
    """Facts of lines, as `filters.lines.features.LineFacts` has them."""

    words: npt.NDArray[np.int32]  # [k]
    upper_ratio: npt.NDArray[np.float32]  # [k]
    flags: npt.NDArray[np.uint8]  # [k]

    def has(self, flag: int) -> Bools:
        """Which lines have the flag."""
        return (self.flags & np.uint8(flag)) != 0


def _no_terminal(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.NO_TERMINAL) & ~x.has(f.CHINESE) & t.c4_terminal_punctuation


def _few_words(x: Lines, t: LineThresholds) -> Bools:
    return (x.words < (t.c4_min_words or 0)) & ~x.has(f.CHINESE)


def _long_word(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.LONG_WORD) & ~x.has(f.CHINESE) & t.c4_long_words


def _javascript(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.HAS_JAVASCRIPT) & t.c4_javascript


def _policy(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.HAS_POLICY) & t.c4_policy


def _upper_case(x: Lines, t: LineThresholds) -> Bools:
    limit = 1.0 if t.max_upper_ratio is None else t.max_upper_ratio
    return (x.upper_ratio > np.float32(limit)) & ~x.has(f.CHINESE)


def _numeric(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.NUMERIC) & t.refinedweb_numeric


def _counter(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.IS_COUNTER) & ~x.has(f.CHINESE) & t.refinedweb_counters


def _one_word(x: Lines, t: LineThresholds) -> Bools:
    return (x.words == 1) & ~x.has(f.CHINESE) & t.refinedweb_one_word


def _boilerplate(x: Lines, t: LineThresholds) -> Bools:
    limit = -1 if t.max_boilerplate_words is None else t.max_boilerplate_words
    return x.has(f.IS_BOILERPLATE) & ~x.has(f.CHINESE) & (x.words <= limit)


def _zh_no_terminal(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.NO_TERMINAL) & x.has(f.CHINESE) & t.zh_terminal_punctuation


def _zh_few_chars(x: Lines, t: LineThresholds) -> Bools:
    return (x.words < (t.zh_min_chars or 0)) & x.has(f.CHINESE)


def _zh_counter(x: Lines, t: LineThresholds) -> Bools:
    return x.has(f.IS_COUNTER) & x.has(f.CHINESE) & t.zh_counters


def _zh_boilerplate(x: Lines, t: LineThresholds) -> Bools:
    limit = -1 if t.max_zh_boilerplate_chars is None else t.max_zh_boilerplate_chars
    return x.has(f.IS_BOILERPLATE) & x.has(f.CHINESE) & (x.words <= limit)


LINE_RULES: dict[str, Callable[[Lines, LineThresholds], Bools]] = {
    "refinedweb_upper_case": _upper_case,
    "refinedweb_numeric": _numeric,
    "refinedweb_counter": _counter,
    "refinedweb_boilerplate": _boilerplate,
    "refinedweb_one_word": _one_word,
    "zh_counter": _zh_counter,
    "zh_boilerplate": _zh_boilerplate,
    "c4_javascript": _javascript,
    "c4_policy": _policy,
    "c4_long_word": _long_word,
    "c4_few_words": _few_words,
    "c4_no_terminal_punctuation": _no_terminal,
    "zh_few_chars": _zh_few_chars,
    "zh_no_terminal_punctuation": _zh_no_terminal,
}
"""Reason → rule, in the order of precedence: RefinedWeb's come first, as `max_flagged_word_ratio` counts them."""
LINE_REASONS = tuple(LINE_RULES)
FLAGGED = LINE_REASONS.index("zh_boilerplate")
"""The last of the rules that `max_flagged_word_ratio` counts."""
KEEP = -1


def choose_lines(lines: Lines, thresholds: LineThresholds) -> npt.NDArray[np.int8]:
    """The first rule that cuts each line: int8[k], an index of `LINE_REASONS` or `KEEP`."""
    chosen = np.full(len(lines.words), KEEP, np.int8)
    for code, rule in enumerate(LINE_RULES.values()):
        chosen[(chosen == KEEP) & rule(lines, thresholds)] = code
    return chosen
