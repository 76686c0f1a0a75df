"""The rules of the heuristic filter: feature, thresholds, reason, in order of precedence.

A rule is data, not a class with a method: it compares one feature with one or two named thresholds, over all documents
at once. The first rule that a document fails is its reason, so the simplest (length) come first.
"""

from __future__ import annotations

from dataclasses import dataclass

from filters.heuristic.features import CJK, OTHER, SPACED


@dataclass(frozen=True, slots=True)
class Rule:
    """A document of `profile` fails when the feature is under the threshold `low` or over `high`."""

    reason: str  # what the ledger and the dropped table say
    profile: int  # `SPACED`, `CJK` or `OTHER`
    feature: str  # a name of `filters.heuristic.features.FEATURES`
    low: str | None = None  # a field of the profile's thresholds, or None
    high: str | None = None  # a field of the profile's thresholds, or None


def _repetition(prefix: str, profile: int, grams: dict[int, str]) -> tuple[Rule, ...]:
    of_lines = [
        Rule(f"{prefix}_{short}", profile, f"{name}_ratio", None, f"max_{name}_ratio")
        for short, name in (
            ("dup_lines", "dup_line"),
            ("dup_line_chars", "dup_line_char"),
            ("dup_paragraphs", "dup_paragraph"),
            ("dup_paragraph_chars", "dup_paragraph_char"),
        )
    ]
    of_grams = [
        Rule(
            f"{prefix}_{kind}_{grams[n]}", profile, f"{kind}_{n}gram_char_ratio", None, f"max_{kind}_{n}gram_char_ratio"
        )
        for kind, sizes in (("top", range(2, 5)), ("dup", range(5, 11)))
        for n in sizes
    ]
    return (*of_lines, *of_grams)


def _web(prefix: str, profile: int) -> tuple[Rule, ...]:
    """C4's, mC4's and FineWeb's rules that hold in every script."""
    return (
        Rule(f"{prefix}c4_lorem_ipsum", profile, "lorem_ipsum", None, "max_lorem_ipsum"),
        Rule(f"{prefix}c4_curly_bracket", profile, "curly_brackets", None, "max_curly_brackets"),
        Rule(f"{prefix}mc4_long_lines", profile, "long_lines", "min_long_lines"),
        Rule(
            f"{prefix}fineweb_dup_line_chars", profile, "dup_line_own_char_ratio", None, "max_dup_line_own_char_ratio"
        ),
    )


_WORD_GRAMS = {n: f"{n}gram" for n in range(2, 11)}
_CHAR_GRAMS = {n: f"{2 * n}char" for n in range(2, 11)}

RULES: tuple[Rule, ...] = (
    Rule("gopher_word_count", SPACED, "words", "min_words", "max_words"),
    Rule("gopher_mean_word_length", SPACED, "mean_word_chars", "min_mean_word_chars", "max_mean_word_chars"),
    Rule("gopher_symbol_ratio", SPACED, "symbol_word_ratio", None, "max_symbol_word_ratio"),
    Rule("gopher_bullet_lines", SPACED, "bullet_line_ratio", None, "max_bullet_line_ratio"),
    Rule("gopher_ellipsis_lines", SPACED, "ellipsis_line_ratio", None, "max_ellipsis_line_ratio"),
    Rule("gopher_alpha_words", SPACED, "alpha_word_ratio", "min_alpha_word_ratio"),
    Rule("gopher_stop_words", SPACED, "stop_words", "min_stop_words"),
    *_repetition("gopher", SPACED, _WORD_GRAMS),
    Rule("c4_sentences", SPACED, "sentences", "min_sentences"),
    *_web("", SPACED),
    Rule("fineweb_terminal_lines", SPACED, "terminal_line_ratio", "min_terminal_line_ratio"),
    Rule("fineweb_short_lines", SPACED, "short_line_ratio", None, "max_short_line_ratio"),
    Rule("fineweb_line_breaks", SPACED, "line_break_word_ratio", None, "max_line_break_word_ratio"),
    Rule("zh_length", CJK, "text_chars", "min_text_chars", "max_text_chars"),
    Rule("zh_cjk_ratio", CJK, "cjk_ratio", "min_cjk_ratio"),
    Rule("zh_punctuation_ratio", CJK, "punctuation_ratio", "min_punctuation_ratio", "max_punctuation_ratio"),
    Rule("zh_digit_ratio", CJK, "digit_ratio", None, "max_digit_ratio"),
    Rule("zh_bullet_lines", CJK, "bullet_line_ratio", None, "max_bullet_line_ratio"),
    Rule("zh_ellipsis_lines", CJK, "ellipsis_line_ratio", None, "max_ellipsis_line_ratio"),
    Rule("zh_mean_line_length", CJK, "mean_line_chars", "min_mean_line_chars"),
    Rule("zh_terminal_lines", CJK, "terminal_line_char_ratio", "min_terminal_line_char_ratio"),
    *_repetition("zh", CJK, _CHAR_GRAMS),
    Rule("zh_chars", CJK, "cjk_chars", "min_cjk_chars"),
    Rule("zh_foreign_run", CJK, "foreign_run", None, "max_foreign_run"),
    Rule("zh_sentences", CJK, "sentences", "min_sentences"),
    Rule("zh_short_lines", CJK, "short_line_ratio", None, "max_short_line_ratio"),
    *_web("zh_", CJK),
    Rule("other_length", OTHER, "text_chars", "min_text_chars", "max_text_chars"),
    *_repetition("other", OTHER, _WORD_GRAMS),
    *_web("other_", OTHER),
)
"""In the order of precedence; a reason's code is its index here."""

REASONS: tuple[str, ...] = tuple(rule.reason for rule in RULES)
