"""Kinds of tokens: signs where they mean something, source code; by example, and against slow twins."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import text as oracles
from tests.support.examples import examples
from text.arrow import TextColumn
from text.tokens import CODE, TEXT, WORDS, token_hashes


def found(texts: list[str], mode: int) -> list[list[int]]:
    ptr, hashes = token_hashes(TextColumn.from_texts(texts), mode)
    return [hashes[ptr[i] : ptr[i + 1]].tolist() for i in range(len(texts))]


DIFFERENT = """fell to 30|fell to -30
x<y|x>y
x < y|x > y
a == 0|a != 0
a >= 0|a > 0
30%|30
$30|€30
-30|+30
(-30)|(30)
-.5|.5
$-5|$5
\t-3.2\t4|\t3.2\t4
x = -3|x = 3
气温-30度|气温30度
气温是-５度|气温是５度
5 + 3|5 * 3
a/b|a*b
x - y|x y
p<0.05|p>0.05
p <.05|p >.05
x^2|x 2
10^-3|10^3
3×5|3 5
±5|5
√2|2
∀x|∃x
a ≤ b|a ≥ b
¬p|p
e\u0301 -3|e\u0301 3"""

SAME = """−30|-30
–30|-30
－３０|-30
30 %|30%
COVID-19|COVID 19
2020-10-12|2020 10 12
2020/10/12|2020 10 12
10-20|10 20
(555) 123-4567|555 123 4567
well-known|well known
> quoted|quoted
> > twice|twice
★☆ good ♪ → x ◆|good x
- 30 apples|30 apples
* 30 apples|30 apples
and/or|and or
C++ is|C is
√ 支持|支持
5月-6月|5月6月
5%-10%|5% 10%
1990 - 2000|1990 2000
1990 – 2000|1990 2000
a – b|a b
a -> b|a b
a => b|a b
张××|张
it's - I'm|it's I'm
*bold* words|bold words
hey! = x|hey x
9∶30|9:30
well -- no|well no
<b> bold|b bold"""


def pairs(lines: str) -> list[tuple[str, str]]:
    return [tuple(line.split("|")) for line in lines.split("\n")]  # type: ignore[misc]


def test_signs_are_tokens_where_they_change_what_a_text_says() -> None:
    for a, b in pairs(DIFFERENT):
        one, other = found([a, b], TEXT)
        assert one != other, (a, b)


def test_signs_that_say_nothing_are_no_tokens() -> None:
    rows = [("=====\nTitle\n-----", "Title"), ("quoted\n> line\n>> again", "quoted\nline\nagain"), ("~~ * * * ~~", "")]
    for a, b in [*pairs(SAME), *rows]:
        one, other = found([a, b], TEXT)
        assert one == other, (a, b)


@examples(300)
@given(st.text("ab1一。 -+/*<>=!%$^\n(){}.−×√é\u0301\u200b％＜－", max_size=30))
def test_words_stay_where_they_are_among_signs(text: str) -> None:
    """The words of a text in their order, with signs between them; what shows nothing changes none of it."""
    words, signed, hidden = *found([text], WORDS), *found([text, "\u200b".join(text)], TEXT)
    rest = iter(signed)
    assert all(word in rest for word in words)
    assert hidden == signed


@examples(1000)
@given(st.text("ab15一月。 -+/*<>=!%$€^\n(){}.'−–×±√∀é\u0301＜－", max_size=24))
def test_signs_equal_the_oracle(text: str) -> None:
    expected, tokens = oracles.tokens(text, signs=True), found([text], TEXT)[0]
    assert len(expected) == len(tokens)
    for name, value in zip(expected, tokens, strict=True):
        assert KNOWN.setdefault(name, value) == value


KNOWN: dict[str, int] = {}


@examples(200)
@given(st.text("abz一二。，？ ,.?\n'\"“”…:;", max_size=60))
def test_without_signs_both_kinds_are_the_same(text: str) -> None:
    assert found([text], TEXT) == found([text], WORDS)


def code_tokens(text: str) -> list[object]:
    """Tokens of source code, line by line."""
    tokens: list[object] = []
    blocks: list[int] = []
    text = "".join(c for c in unicodedata.normalize("NFC", text) if not oracles.is_hidden(c))
    for line in re.split("[\n\r]", text):
        if not line.strip():
            continue
        width = 0
        for char in line[: len(line) - len(line.lstrip())]:
            width = width + 8 - width % 8 if char == "\t" else width + 1
        blocks = blocks or [width]
        while width < blocks[-1]:
            tokens.append("dedent")
            blocks = blocks[:-1] or [width]
        if width > blocks[-1]:
            tokens.append("indent")
            blocks.append(width)
        for run in re.finditer(r"((?:[^\W一-鿿]|\$)+)|([一-鿿])|(([^\w\s$])\4*)", line):
            tokens += [run[1] or run[2]] if not run[3] else [run[4]] * min(3, len(run[3]))
    return tokens


@examples(400)
@given(st.lists(st.text("aB1_$一é =<>!#-+(){}。×  \n\t\u200b", max_size=30), min_size=1, max_size=4))
def test_tokens_of_code_equal_the_oracle(texts: list[str]) -> None:
    known: dict[object, int] = {}
    for text, tokens in zip(texts, found(texts, CODE), strict=True):
        expected = code_tokens(text)
        assert len(expected) == len(tokens), text
        for name, value in zip(expected, tokens, strict=True):
            assert known.setdefault(name, value) == value
    assert len(set(known.values())) == len(known)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("if a:\n  b\nc", "if a:\n    b\nc", True),
        ("if a:\n\tb\nc", "if a:\n    b\nc", True),
        ("if a:\r\n  b\r\n", "if a:\n\n\n  b\n", True),
        ("  def f():\n    x", "def f():\n  x", True),
        ("a+b", "a + b", True),
        ("#" * 70, "#" * 80, True),
        ("a\u200bb\ufeff", "ab", True),
        ("if a:\n  b\nc", "if a:\n  b\n  c", False),
        ("a == 0", "a != 0", False),
        ("Foo", "foo", False),
        ("x²", "x2", False),
        ("a_b", "a b", False),
        ("i++", "i+", False),
    ],
)
def test_code_is_the_same_up_to_spaces_and_the_width_of_its_indentation(a: str, b: str, same: bool) -> None:
    one, other = found([a, b], CODE)
    assert (one == other) is same
