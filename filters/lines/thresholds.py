"""Settings of the line filter: each rule that cuts a line, with its source.

C4 is Raffel et al. 2020, § 2.2 and its authors' code, RefinedWeb Penedo et al. 2023, § 3.2 and appendix G.2,
CLUECorpus2020 Xu et al. 2020. RefinedWeb publishes which kinds of line it cuts and three examples of its phrases; the
phrases, and how much upper case is "mainly", are ours, and so is everything for Chinese but the full stop. `null` and
`false` switch a rule off.
"""

from __future__ import annotations

from typing import Any

from corpus.config import StrictModel, setting

STORE_WORDS = 10
"""Lines of so few words, or Han and Kana, are always evidence: a rule on words cannot ask for more."""
STORE_UPPER_RATIO = 0.25
"""Lines with a larger share of capitals are kept as evidence too."""


_C4 = "C4"
_C4_CODE = "C4's code"
_REFINED = "RefinedWeb"
_CLUE = "CLUECorpus2020"


def _rule(
    default: float | None, what: str, source: str, *, unit: str = "share", low: float = 0, high: float = 1
) -> Any:
    return setting(default, what, unit=unit, source=source, ge=low, le=high)


def _switch(default: bool, what: str, source: str) -> Any:
    return setting(default, f"Cut {what}.", source=source)


class LineThresholds(StrictModel):
    """Which lines are cut, and when so many are that the document goes."""

    c4_terminal_punctuation: bool = _switch(
        False,
        "lines that do not end in . ! ? or a quotation mark, or that end in an ellipsis; off, as FineWeb found: it"
        " takes 30 % of the text, headings and lists first",
        _C4,
    )
    c4_min_words: int | None = _rule(
        3, "Shorter lines are cut; versions of the paper say 3 and 5.", _C4, unit="words", high=STORE_WORDS
    )
    c4_long_words: bool = _switch(True, "lines with a word of over 1,000 characters", _C4_CODE)
    c4_javascript: bool = _switch(True, "lines that name JavaScript", _C4)
    c4_policy: bool = _switch(True, "lines about cookies, terms of use or privacy", _C4_CODE)
    max_upper_ratio: float | None = _rule(
        0.5,
        "Lines with more capitals among their letters are cut.",
        f"{_REFINED}; the figure is ours",
        low=STORE_UPPER_RATIO,
    )
    refinedweb_numeric: bool = _switch(True, "lines of numbers and signs alone", _REFINED)
    refinedweb_counters: bool = _switch(True, 'counters such as "3 likes"', _REFINED)
    refinedweb_one_word: bool = _switch(True, "lines of one word", _REFINED)
    max_boilerplate_words: int | None = _rule(
        10,
        "Lines of at most so many words are cut that begin like sign-in, end like read more or hold items in cart.",
        f"{_REFINED}, which takes only the phrase out of the line",
        unit="words",
        high=STORE_WORDS,
    )
    zh_terminal_punctuation: bool = _switch(
        False, "Chinese lines that do not end a sentence; off, as C4's", f"{_CLUE}, after C4"
    )
    zh_min_chars: int | None = _rule(
        None,
        "Chinese lines with fewer Han and Kana are cut; off, as it cuts headings.",
        "ours",
        unit="characters",
        high=STORE_WORDS,
    )
    zh_counters: bool = _switch(True, 'counters such as "阅读 1.2万"', "ours")
    max_zh_boilerplate_chars: int | None = _rule(
        10,
        "Lines of at most so many Han are cut that begin like 登录, end like 阅读全文 or hold 版权所有.",
        "ours",
        unit="characters",
        high=STORE_WORDS,
    )
    max_flagged_word_ratio: float | None = _rule(
        0.05,
        "A document is dropped when RefinedWeb's rules and their Chinese counterparts cut more of its words. Made for"
        " extracted main text: null for pages with their menus.",
        _REFINED,
    )
    max_cut_ratio: float = _rule(0.8, "A document is dropped when all rules cut more of its bytes.", "ours")
