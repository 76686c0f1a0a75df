"""Thresholds of the heuristic filter: one frozen model a profile, each default with its source.

A threshold is part of the decision, never of the evidence, so changing one repeats no scan. ``null``
switches a rule off. A domain overrides by copying: ``thresholds.spaced.model_copy(update={"min_words":
20})`` inside a copy of the whole. Ratios are 0 to 1. A document *at* a threshold passes.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_GOPHER = "Gopher (Rae et al. 2021), A1.1"
_TABLE = "Gopher (Rae et al. 2021), table A1"
_MEASURED = "measured: beyond the 1 % and 99 % quantiles of Chinese news, novels, laws and abstracts"
_CHINESE = "ChineseWebText (Chen et al. 2023), preprocess.py"


def _limit(default: float, what: str, source: str) -> Any:
    return Field(default, ge=0, description=f"{what}. Source: {source}.")


class RepetitionThresholds(BaseModel):
    """Repetition inside a document, the same numbers in every script.

    The n-grams are of words; in scripts without spaces, of twice as many single characters (see
    ``filters.features``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_dup_line_ratio: float | None = _limit(0.30, "repeated lines", _TABLE)
    max_dup_line_char_ratio: float | None = _limit(0.20, "characters in repeated lines", _TABLE)
    max_dup_paragraph_ratio: float | None = _limit(0.30, "repeated paragraphs", _TABLE)
    max_dup_paragraph_char_ratio: float | None = _limit(0.20, "characters in repeated paragraphs", _TABLE)
    max_top_2gram_char_ratio: float | None = _limit(0.20, "characters in the top 2-gram", _TABLE)
    max_top_3gram_char_ratio: float | None = _limit(0.18, "characters in the top 3-gram", _TABLE)
    max_top_4gram_char_ratio: float | None = _limit(0.16, "characters in the top 4-gram", _TABLE)
    max_dup_5gram_char_ratio: float | None = _limit(0.15, "characters in repeated 5-grams", _TABLE)
    max_dup_6gram_char_ratio: float | None = _limit(0.14, "characters in repeated 6-grams", _TABLE)
    max_dup_7gram_char_ratio: float | None = _limit(0.13, "characters in repeated 7-grams", _TABLE)
    max_dup_8gram_char_ratio: float | None = _limit(0.12, "characters in repeated 8-grams", _TABLE)
    max_dup_9gram_char_ratio: float | None = _limit(0.11, "characters in repeated 9-grams", _TABLE)
    max_dup_10gram_char_ratio: float | None = _limit(0.10, "characters in repeated 10-grams", _TABLE)


class SpacedThresholds(RepetitionThresholds):
    """Text in Latin letters: Gopher's rules. ``min_stop_words`` speaks English: null for other languages."""

    min_words: int | None = _limit(50, "words that are not mere symbols", _GOPHER)
    max_words: int | None = _limit(100_000, "words that are not mere symbols", _GOPHER)
    min_mean_word_chars: float | None = _limit(3, "mean length of a word, characters", _GOPHER)
    max_mean_word_chars: float | None = _limit(10, "mean length of a word, characters", _GOPHER)
    max_symbol_word_ratio: float | None = _limit(0.1, "# or ellipses a word", _GOPHER)
    max_bullet_line_ratio: float | None = _limit(0.9, "lines that start with a bullet", _GOPHER)
    max_ellipsis_line_ratio: float | None = _limit(0.3, "lines that end with an ellipsis", _GOPHER)
    min_alpha_word_ratio: float | None = _limit(0.8, "words that hold a letter", _GOPHER)
    min_stop_words: int | None = _limit(2, "different stop words of Gopher's eight", _GOPHER)


class CjkThresholds(RepetitionThresholds):
    """Chinese and Japanese: Gopher's ideas in characters, and the published rules of Chinese web corpora."""

    min_text_chars: int | None = _limit(80, "characters", f"50 words of 1.6 characters; {_GOPHER}")
    max_text_chars: int | None = _limit(160_000, "characters", f"100,000 words of 1.6 characters; {_GOPHER}")
    min_cjk_ratio: float | None = _limit(
        0.2,
        "Han and Kana among characters",
        f"{_CHINESE}, there 0.3; a quarter of Chinese articles on software lie between",
    )
    min_punctuation_ratio: float | None = _limit(0.02, "less is a keyword list", _MEASURED)
    max_punctuation_ratio: float | None = _limit(0.35, "more is a table of contents or art", _MEASURED)
    max_digit_ratio: float | None = _limit(0.3, "more is a table or a price list", _MEASURED)
    max_bullet_line_ratio: float | None = _limit(0.9, "lines that start with a bullet", _GOPHER)
    max_ellipsis_line_ratio: float | None = _limit(0.3, "lines that end with an ellipsis", _GOPHER)
    min_terminal_line_char_ratio: float | None = _limit(
        0.2, "characters in lines with a sentence's end; less is all menus and headings", _MEASURED
    )
    min_mean_line_chars: float | None = _limit(10, "mean length of a line, characters", _CHINESE)


class OtherThresholds(RepetitionThresholds):
    """Other scripts (Cyrillic, Arabic, Thai, …): length and repetition alone; Gopher speaks English."""

    min_text_chars: int | None = _limit(200, "characters", f"50 words of 4 characters; {_GOPHER}")
    max_text_chars: int | None = _limit(1_000_000, "characters", f"100,000 words of 10 characters; {_GOPHER}")


class HeuristicThresholds(BaseModel):
    """The decision of the heuristic filter, by profile (see the feature ``profile``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spaced: SpacedThresholds = SpacedThresholds()
    cjk: CjkThresholds = CjkThresholds()
    other: OtherThresholds = OtherThresholds()
