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

    @property
    def chinese(self) -> Bools:
        """Which lines are Chinese."""
        return self.has(f.CHINESE)


def _limit(value: int | None) -> int:
    return -1 if value is None else value


LINE_RULES: dict[str, Callable[[Lines, LineThresholds], Bools]] = {
    "refinedweb_upper_case": lambda x, t: (
        ~x.chinese & (x.upper_ratio > np.float32(1.0 if t.max_upper_ratio is None else t.max_upper_ratio))
    ),
    "refinedweb_numeric": lambda x, t: x.has(f.NUMERIC) & t.refinedweb_numeric,
    "refinedweb_counter": lambda x, t: ~x.chinese & x.has(f.IS_COUNTER) & t.refinedweb_counters,
    "refinedweb_boilerplate": lambda x, t: (
        ~x.chinese & x.has(f.IS_BOILERPLATE) & (x.words <= _limit(t.max_boilerplate_words))
    ),
    "refinedweb_one_word": lambda x, t: ~x.chinese & (x.words == 1) & t.refinedweb_one_word,
    "zh_counter": lambda x, t: x.chinese & x.has(f.IS_COUNTER) & t.zh_counters,
    "zh_boilerplate": lambda x, t: (
        x.chinese & x.has(f.IS_BOILERPLATE) & (x.words <= _limit(t.max_zh_boilerplate_chars))
    ),
    "c4_javascript": lambda x, t: x.has(f.HAS_JAVASCRIPT) & t.c4_javascript,
    "c4_policy": lambda x, t: x.has(f.HAS_POLICY) & t.c4_policy,
    "c4_long_word": lambda x, t: ~x.chinese & x.has(f.LONG_WORD) & t.c4_long_words,
    "c4_few_words": lambda x, t: ~x.chinese & (x.words < (t.c4_min_words or 0)),
    "c4_no_terminal_punctuation": lambda x, t: ~x.chinese & x.has(f.NO_TERMINAL) & t.c4_terminal_punctuation,
    "zh_few_chars": lambda x, t: x.chinese & (x.words < (t.zh_min_chars or 0)),
    "zh_no_terminal_punctuation": lambda x, t: x.chinese & x.has(f.NO_TERMINAL) & t.zh_terminal_punctuation,
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
