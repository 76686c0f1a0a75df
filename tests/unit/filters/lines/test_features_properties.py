"""The scan for lines equals its slow twin on random texts of real pieces."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from filters.lines.features import scan_lines
from tests.oracles import lines as oracles_lines
from tests.support.examples import examples
from text.arrow import TextColumn

PIECES = [
    "the",
    "Home",
    "LOGIN",
    "3 likes",
    "1,204 Comments",
    "Comments (3)",
    "Read more...",
    "sign-in",
    "2 items in cart",
    "JavaScript",
    "uses cookies",
    "12:30",
    "2024",
    "Été",
    "ÉTÉ",
    "привет",
    "阅读 1.2万",
    "评论(3)",
    "登录",
    "阅读全文",
    "版权所有",
    "他来了。",
    "他说：“好。”",
    "正文很长没有句号",
    "ไทย",
    "```",
    "```py",
    "x" * 999,
    "y" * 1001,
    "”",
    "...",
    "a word.",
    'said "no"',
    "¿",
    "😀",
    "\x07",
    "\x7f",
    "𠀀",
    "\U000e0101",
    "eight888",
]
BREAKS = [" ", " ", " ", "\n", "\n", "\r\n", "\r", "\n\n", "\u2028", "\x85", "\u3000", "\t", "\x0b", ""]
documents = st.one_of(
    st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(BREAKS)), max_size=40).map(
        lambda pairs: "".join(piece + space for piece, space in pairs)
    ),
    st.text(max_size=60),
)


@examples(500)
@given(st.lists(documents, min_size=1, max_size=4))
@example(['the 阅读全文 said "no" \U000e0101 '])
@example(["", "\r\n", "a\rb\r\nc", "one two three four five six seven eight nine ten eleven."])
def test_scan_equals_twin(texts: list[str]) -> None:
    found = scan_lines(TextColumn.from_texts(texts))
    for d, text in enumerate(texts):
        expected, total = oracles_lines.lines(text)
        of = found.doc == d
        facts = (found.start, found.end, found.words, found.upper_ratio, found.flags)
        assert list(zip(*(fact[of].tolist() for fact in facts), strict=True)) == expected, text
        assert found.total_words[d] == total
    assert (found.sentences >= 1).all()
