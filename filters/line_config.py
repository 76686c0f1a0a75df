"""Settings of the line filter: each rule that cuts a line, with its source.

C4 is Raffel et al. 2020, § 2.2 and its authors' code, RefinedWeb Penedo et al. 2023, § 3.2 and appendix G.2,
CLUECorpus2020 Xu et al. 2020. RefinedWeb publishes which kinds of line it cuts and three examples of its phrases; the
phrases, and how much upper case is "mainly", are ours, and so is everything for Chinese but the full stop. ``null`` and
``false`` switch a rule off.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

STORE_WORDS = 10
"""Lines of so few words, or Han and Kana, are always evidence: a rule on words cannot ask for more."""
STORE_UPPER_RATIO = 0.25
"""So are lines with a larger share of upper case among their letters."""


class LineThresholds(BaseModel):
    """Which lines are cut, and when so many are that the document goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    c4_terminal_punctuation: bool = Field(
        False, description="Cut lines that do not end in . ! ? or a quotation mark, or that end in an ellipsis; off,"
        " as FineWeb found: it takes 30 % of the text, headings and lists first. Source: C4.",
    )  # fmt: skip
    c4_min_words: int | None = Field(
        3, ge=0, le=STORE_WORDS, description="Words in a line; 3 and 5, by version of the paper. Source: C4.",
    )  # fmt: skip
    c4_long_words: bool = Field(True, description="Cut lines with a word of over 1,000 characters. Source: C4's code.")
    c4_javascript: bool = Field(True, description="Cut lines that name JavaScript. Source: C4.")
    c4_policy: bool = Field(True, description="Cut lines about cookies, terms of use, privacy. Source: C4's code.")
    max_upper_ratio: float | None = Field(
        0.5, ge=STORE_UPPER_RATIO, le=1, description="Upper case among a line's letters. Source: RefinedWeb; figure ours.",
    )  # fmt: skip
    refinedweb_numeric: bool = Field(True, description="Cut lines of numbers and signs alone. Source: RefinedWeb.")
    refinedweb_counters: bool = Field(True, description='Cut counters such as "3 likes". Source: RefinedWeb.')
    refinedweb_one_word: bool = Field(True, description="Cut lines of one word. Source: RefinedWeb.")
    max_boilerplate_words: int | None = Field(
        10, ge=0, le=STORE_WORDS, description="Cut lines of at most so many words that begin like sign-in, end like read"
        " more or hold items in cart. Source: RefinedWeb, which takes only the phrase out of the line.",
    )  # fmt: skip
    zh_terminal_punctuation: bool = Field(
        False, description="Cut Chinese lines that do not end a sentence; off, as C4's. Source: CLUECorpus2020.",
    )  # fmt: skip
    zh_min_chars: int | None = Field(
        None, ge=0, le=STORE_WORDS, description="Han and Kana in a Chinese line; off, as it cuts headings. Source: ours.",
    )  # fmt: skip
    zh_counters: bool = Field(True, description='Cut counters such as "阅读 1.2万". Source: ours.')
    max_zh_boilerplate_chars: int | None = Field(
        10, ge=0, le=STORE_WORDS, description="Cut lines of at most so many Han that begin like 登录, end like 阅读全文 or"
        " hold 版权所有. Source: ours.",
    )  # fmt: skip
    max_flagged_word_ratio: float | None = Field(
        0.05, ge=0, le=1, description="A document loses its place when RefinedWeb's rules and their Chinese counterparts"
        " cut more of its words. Made for extracted main text: null for pages with their menus. Source: RefinedWeb.",
    )  # fmt: skip
    max_cut_ratio: float = Field(
        0.8, ge=0, le=1, description="A document is dropped when all rules cut more of its bytes. Source: ours.",
    )  # fmt: skip
