"""Thresholds of the heuristic filter: one frozen model a profile, each default with its source.

The sources are Gopher (Rae et al. 2021), C4 (Raffel et al. 2020), mC4 (Xue et al. 2021) and FineWeb (Penedo et al.
2024), and for Chinese WuDaoCorpora (Yuan et al. 2021, § 3), CLUECorpus2020 (Xu et al. 2020, which takes C4's rules)
and ChineseWebText (Chen et al. 2023). MAP-CC (Du et al. 2024) takes Gopher's rules over segmented words, as our
counterparts do over characters. Skywork's report on SkyPile (Wei et al. 2023) names stages and no thresholds, so
nothing here is from it. "Ours" is what nobody has published; "measured" is ours too, with what it was measured on.

Some published rules are off (null), because they take good text with the bad: C4's curly bracket takes all code and
most technical prose, WuDao's ten characters every page with a foreign name, mC4's long lines all dialogue.

A threshold is part of the decision, never of the evidence, so changing one repeats no scan. `null`
switches a rule off. A domain overrides by copying: ``thresholds.spaced.model_copy(update={"min_words":
20})`` inside a copy of the whole. Ratios are 0 to 1. A document *at* a threshold passes.
"""

from __future__ import annotations

from typing import Any

from corpus.config import StrictModel, setting

_GOPHER = "Gopher (Rae et al. 2021), A1.1"
_TABLE = "Gopher (Rae et al. 2021), table A1"
_MEASURED = "measured: beyond the 1 % and 99 % quantiles of Chinese news, novels, laws and abstracts"
_CHINESE = "ChineseWebText (Chen et al. 2023), preprocess.py"
_C4 = "C4 (Raffel et al. 2020), § 2.2"
_MC4 = "mC4 (Xue et al. 2021), § 3.1"
_FINEWEB = "FineWeb (Penedo et al. 2024), § 3.6"
_WUDAO = "WuDaoCorpora (Yuan et al. 2021), § 3"


def _limit(default: float | None, what: str, source: str, unit: str = "share") -> Any:
    return setting(default, what, unit=unit, source=source, ge=0)


class RepetitionThresholds(StrictModel):
    """Repetition inside a document, the same numbers in every script.

    The n-grams are of words; in scripts without spaces, of twice as many single characters (see
    `filters.heuristic.features`).
    """

    max_dup_line_ratio: float | None = _limit(0.30, "Lines that are repeated.", _TABLE)
    max_dup_line_char_ratio: float | None = _limit(0.20, "Characters in repeated lines.", _TABLE)
    max_dup_paragraph_ratio: float | None = _limit(0.30, "Paragraphs that are repeated.", _TABLE)
    max_dup_paragraph_char_ratio: float | None = _limit(0.20, "Characters in repeated paragraphs.", _TABLE)
    max_top_2gram_char_ratio: float | None = _limit(0.20, "Characters in the commonest 2-gram.", _TABLE)
    max_top_3gram_char_ratio: float | None = _limit(0.18, "Characters in the commonest 3-gram.", _TABLE)
    max_top_4gram_char_ratio: float | None = _limit(0.16, "Characters in the commonest 4-gram.", _TABLE)
    max_dup_5gram_char_ratio: float | None = _limit(0.15, "Characters in repeated 5-grams.", _TABLE)
    max_dup_6gram_char_ratio: float | None = _limit(0.14, "Characters in repeated 6-grams.", _TABLE)
    max_dup_7gram_char_ratio: float | None = _limit(0.13, "Characters in repeated 7-grams.", _TABLE)
    max_dup_8gram_char_ratio: float | None = _limit(0.12, "Characters in repeated 8-grams.", _TABLE)
    max_dup_9gram_char_ratio: float | None = _limit(0.11, "Characters in repeated 9-grams.", _TABLE)
    max_dup_10gram_char_ratio: float | None = _limit(0.10, "Characters in repeated 10-grams.", _TABLE)


class WebThresholds(RepetitionThresholds):
    """What web pages are judged by in every script."""

    max_dup_line_own_char_ratio: float | None = _limit(
        0.1,
        "Characters in repeated lines, of all lines' characters; datatrove's FineWeb filter has 0.01, which takes"
        " a page of fifty lines for one line that comes twice.",
        _FINEWEB,
    )
    max_lorem_ipsum: int | None = _limit(0, "Occurrences of lorem ipsum.", _C4, "occurrences")
    max_curly_brackets: int | None = _limit(
        None, "Curly brackets; C4 has 0, which is off here, as it drops all code.", _C4, "characters"
    )
    min_long_lines: int | None = _limit(
        None, "Lines of 200 characters; mC4 has 3, which is off here, as it drops dialogue.", _MC4, "lines"
    )


class SpacedThresholds(WebThresholds):
    """Text in Latin letters: Gopher's, C4's and FineWeb's rules.

    `min_stop_words` speaks English: null for other languages.
    """

    min_words: int | None = _limit(50, "Words that are not mere symbols.", _GOPHER, "words")
    max_words: int | None = _limit(100_000, "Words that are not mere symbols.", _GOPHER, "words")
    min_mean_word_chars: float | None = _limit(3, "Mean length of a word.", _GOPHER, "characters")
    max_mean_word_chars: float | None = _limit(10, "Mean length of a word.", _GOPHER, "characters")
    max_symbol_word_ratio: float | None = _limit(0.1, "Signs # and ellipses, for each word.", _GOPHER, "signs a word")
    max_bullet_line_ratio: float | None = _limit(0.9, "Lines that start with a bullet.", _GOPHER)
    max_ellipsis_line_ratio: float | None = _limit(0.3, "Lines that end with an ellipsis.", _GOPHER)
    min_alpha_word_ratio: float | None = _limit(0.8, "Words that hold a letter.", _GOPHER)
    min_stop_words: int | None = _limit(2, "Different stop words of Gopher's eight.", _GOPHER, "words")
    min_sentences: int | None = _limit(
        3,
        "Sentences; behind line_filter, of the lines that it left, as in C4. Versions of the paper say 5 and 3.",
        _C4,
        "sentences",
    )
    min_terminal_line_ratio: float | None = _limit(0.12, "Lines that end with punctuation.", _FINEWEB)
    max_short_line_ratio: float | None = _limit(0.67, "Lines of at most 30 characters.", _FINEWEB)
    max_line_break_word_ratio: float | None = _limit(
        0.3,
        "Line breaks, for each word; a text with more is a list.",
        "datatrove's FineWeb filter, new_line_ratio; not in the paper",
        "breaks a word",
    )


class CjkThresholds(WebThresholds):
    """Chinese and Japanese: Gopher's ideas in characters, and the published rules of Chinese web corpora."""

    min_text_chars: int | None = _limit(80, "Characters.", f"50 words of 1.6 characters; {_GOPHER}", "characters")
    max_text_chars: int | None = _limit(
        160_000, "Characters.", f"100,000 words of 1.6 characters; {_GOPHER}", "characters"
    )
    min_cjk_ratio: float | None = _limit(
        0.2,
        "Han and Kana among characters; a quarter of Chinese articles on software lie between 0.2 and 0.3.",
        f"{_CHINESE}, there 0.3",
    )
    min_punctuation_ratio: float | None = _limit(0.02, "Punctuation; a text with less is a keyword list.", _MEASURED)
    max_punctuation_ratio: float | None = _limit(
        0.35, "Punctuation; a text with more is a table of contents or art.", _MEASURED
    )
    max_digit_ratio: float | None = _limit(0.3, "Digits; a text with more is a table or a price list.", _MEASURED)
    max_bullet_line_ratio: float | None = _limit(0.9, "Lines that start with a bullet.", _GOPHER)
    max_ellipsis_line_ratio: float | None = _limit(0.3, "Lines that end with an ellipsis.", _GOPHER)
    min_terminal_line_char_ratio: float | None = _limit(
        0.2, "Characters in lines with a sentence's end; a text with less is all menus and headings.", _MEASURED
    )
    min_mean_line_chars: float | None = _limit(10, "Mean length of a line.", _CHINESE, "characters")
    min_cjk_chars: int | None = _limit(10, "Han and Kana.", _WUDAO, "characters")
    max_foreign_run: int | None = _limit(
        None,
        "Characters in a row that are not Chinese; WuDao has 10, which is off here, as a foreign name is enough.",
        _WUDAO,
        "characters",
    )
    min_sentences: int | None = _limit(
        None,
        "Sentences; CLUECorpus2020 has 5, which is off here, as it drops abstracts and short news.",
        f"CLUECorpus2020 (Xu et al. 2020); {_C4}",
        "sentences",
    )
    max_short_line_ratio: float | None = _limit(
        0.67, "Lines of at most 10 characters, which hold what 30 Latin letters do (the ten is ours).", _FINEWEB
    )


class OtherThresholds(WebThresholds):
    """Other scripts (Cyrillic, Arabic, Thai, …): length and repetition alone; Gopher speaks English."""

    min_text_chars: int | None = _limit(200, "Characters.", f"50 words of 4 characters; {_GOPHER}", "characters")
    max_text_chars: int | None = _limit(
        1_000_000, "Characters.", f"100,000 words of 10 characters; {_GOPHER}", "characters"
    )


class HeuristicThresholds(StrictModel):
    """The decision of the heuristic filter, by profile (see the feature `profile`): beyond a limit it drops."""

    spaced: SpacedThresholds = setting(SpacedThresholds(), "Limits for text in Latin letters.")
    cjk: CjkThresholds = setting(CjkThresholds(), "Limits for Chinese and Japanese.")
    other: OtherThresholds = setting(OtherThresholds(), "Limits for other scripts.")
