"""Word lists: what must be found and what must not, by example and against plain Python over token lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.word_lists import LEAST_SPELLED, WordList, count_listed
from tamis.errors import ConfigError
from tests.oracles.text import tokens as oracle_tokens
from tests.support.examples import examples
from text.arrow import TextColumn

TERMS = ["spam", "free money", "ab", "法轮", "发票", "代开发票", "ＳＭＳ", "Ünwort"]


def counted(texts: list[str], terms: list[str] = TERMS) -> list[int]:
    return count_listed(WordList.of(terms), TextColumn.from_texts(texts))[0].tolist()


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("spam", 1),
        ("SPAM, spam; (spam)!", 3),
        ("spammer spams antispam", 0),
        ("Scunthorpe, class, cab, abc", 0),
        ("ab AB a b", 2),  # two letters spelled out are initials
        ("s.p.a.m and s p a m and s-P-a-M", 3),
        ("free, MONEY free  money freemoney money free", 2),
        ("ｓｐａｍ", 1),
        ("sms ＳＭＳ", 2),
        ("ÜNWORT ünwort", 2),
        ("他们练法轮的", 1),
        ("法*轮 法 轮 法\n轮 法，轮", 4),
        ("代开发票", 1),  # the longest at a place, and what it covers is not counted again
        ("发票代开发票发票", 3),
        ("开发 票据", 1),  # what Chinese word breaks would tell apart, characters do not
        ("", 0),
        ("。", 0),
    ],
)
def test_what_is_listed(text: str, times: int) -> None:
    assert counted([text]) == [times]
    assert counted(["x", text, f"{text} ｜ {text}", ""]) == [0, times, 2 * times, 0]


def test_a_list_is_read_from_files_with_comments(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeff# a comment\nspam\n\n  eggs  \n", "utf-8")
    (tmp_path / "b.txt").write_text("spam\n垃圾\n", "utf-8")
    words = WordList.load([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert words.terms == 3
    assert count_listed(words, TextColumn.from_texts(["eggs 垃圾 spam #"]))[0].tolist() == [3]


def test_a_list_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("字" * 65, "utf-8")
    with pytest.raises(ConfigError, match=r"a\.txt: the term '字+' has more than 64 tokens"):
        WordList.load([tmp_path / "a.txt"])
    (tmp_path / "b.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 3"):
        WordList.load([tmp_path / "b.txt"])


def test_terms_without_a_letter_are_told_and_left_out() -> None:
    words = WordList.of(["***", "fine", "🖕"])
    assert (words.terms, words.left_out) == (1, ("***", "🖕"))
    assert count_listed(words, TextColumn.from_texts(["*** 🖕 fine"]))[0].tolist() == [1]


def test_an_empty_list_and_no_texts() -> None:
    assert counted(["spam"], []) == [0]
    assert counted([]) == []


def slow_count(terms: list[str], text: str) -> int:
    """The rules of the module, over lists of token strings."""
    listed = {tuple(oracle_tokens(t)) for t in terms}
    listed |= {tuple(t.lower()) for t in terms if t.isascii() and t.isalpha() and len(t) >= LEAST_SPELLED}
    found, tokens = 0, oracle_tokens(text)
    i = 0
    while i < len(tokens):
        longest = max((n for n in range(1, 65) if tuple(tokens[i : i + n]) in listed), default=0)
        found += longest > 0
        i += max(1, longest)
    return found


ALPHABET = "aAbｂ .,-法轮功*\n"


@examples(200)
@given(
    st.lists(st.text(ALPHABET, min_size=1, max_size=6).filter(oracle_tokens), max_size=5),
    st.lists(st.text(ALPHABET, max_size=40), max_size=4),
)
def test_counts_are_those_of_the_slow_way(terms: list[str], texts: list[str]) -> None:
    listed, tokens = count_listed(WordList.of(terms), TextColumn.from_texts(texts))
    assert listed.tolist() == [slow_count(terms, text) for text in texts]
    assert tokens.tolist() == [len(oracle_tokens(text)) for text in texts]
    assert listed.dtype == tokens.dtype == np.int32
