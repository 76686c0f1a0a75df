"""The scan equals its slow twin on random texts of real pieces; a decision is the first failure."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from filters.heuristic.decide import KEEP, decide, failures, scan
from filters.heuristic.features import COUNTS, FEATURES
from tests.oracles import heuristic as oracles_heuristic
from tests.support.examples import examples
from text.arrow import TextColumn

WORDS = [
    "the",
    "The",
    "(that)",
    "be.",
    "word",
    "Word,",
    "of",
    "#",
    "...",
    "…",
    "....",
    "|",
    "3.14",
    "2024",
    "é",
    "ñandú",
    "日本",
    "中",
    "文字。",
    "の",
    "カ",
    "ไทย",
    "ภาษา",
    "привет",
    "мир",
    "مرحبا",
    "한국",
    "😀",
    "𠀀",
    "１２",
    "€",
    "—",
    "-",
    "•",
    "*",
    "e\u0301",
    "\U000e0101",
    "said.”",
    '("Yes!")',
    "J.",
    "U.S.",
    "lorem",
    "Ipsum",
    "{x}",
    "a\x07b",
    "\x7f",
    "extraordinarily",
    "incomprehensible",
    "x" * 31,
    "Lorem ipsum",
    "”",
    "？！",
    "the,",
    "of—",
]
SPACES = [" ", "  ", "\n", "\n\n", "\n \n", "\r\n", "\r", "\t", "\u3000", "\xa0", "\x85", "\u2028", "\x0b", "", ""]
LINES = [
    "Home | About\n",
    "- item…\n",
    "他来了。",
    "他来了吗？”\n",
    "A line of words.\n",
    "\n",
    "首页 新闻 体育\n",
    "a b c d ",
]
documents = st.one_of(
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES)), max_size=60).map(
        lambda pairs: "".join(word + space for word, space in pairs)
    ),
    st.lists(st.sampled_from(["a", "b", "中", "国"]), max_size=80).map(" ".join),
    st.lists(st.sampled_from("中国人民好"), max_size=120).map("".join),
    st.lists(st.sampled_from(LINES), max_size=25).map("".join),
    st.text(max_size=80),
)


@examples(700)
@given(st.lists(documents, min_size=1, max_size=5))
@example(["", " \r\n ", "word", "😀", "a\r\nb\r\n\r\na\r\nb", "no newline"])
def test_scan_equals_twin(texts: list[str]) -> None:
    found = scan(TextColumn.from_texts(texts))
    assert list(found) == list(FEATURES)
    for name, values in found.items():
        assert values.dtype == (np.int32 if name in COUNTS else np.float32)
    for i, text in enumerate(texts):
        for name, value in oracles_heuristic.features(text).items():
            assert found[name][i] == value, (name, text)


@examples(100)
@given(st.lists(documents, min_size=1, max_size=5))
def test_a_decision_is_the_first_failure_and_rows_are_independent(texts: list[str]) -> None:
    found = scan(TextColumn.from_texts(texts))
    codes, failed = decide(found), failures(found)
    assert codes.dtype == np.int16
    for i in range(len(texts)):
        assert codes[i] == (int(np.flatnonzero(failed[i])[0]) if failed[i].any() else KEEP)
    alone = scan(TextColumn.from_texts(texts[-1:]))
    assert all(alone[name][0] == found[name][-1] for name in FEATURES)
