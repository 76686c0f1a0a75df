"""The digest of a text in which white space counts: what it tells apart and what it does not."""

from __future__ import annotations

import pytest

from text.arrow import TextColumn
from text.hash import digest128


def same(a: str, b: str, keeps_space: bool = True) -> bool:
    low, high = digest128(TextColumn.from_texts([a, b]), keeps_space)
    return bool(low[0] == low[1] and high[0] == high[1])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("if x:\n    y()\n    z()", "if x:\n    y()\nz()"),
        ("a\n  b", "a\n    b"),
        ("a\n\nb", "a\nb"),
        ("a b", "a  b"),
        ("a\tb", "a b"),
        ("  a\n b", "a\n b"),
        ("一\u3000二", "一 二"),
        ("a\u2003b", "a b"),
    ],
)
def test_white_space_tells_apart_only_where_it_counts(a: str, b: str) -> None:
    assert not same(a, b) and same(a, b, keeps_space=False)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a\r\n  b  \n\n", "a\n  b"),
        ("a\rb", "a\nb"),
        ("a \t\n b", "a\n b"),
        ("a\r\n\r\nb", "a\n\nb"),
        ("\n\n  a", "  a"),
        ("a\n \n b", "a\n\n b"),
        ("e\u0301 a", "é a"),
        ("", " \n\t"),
    ],
)
def test_ends_of_lines_and_of_the_text_never_count(a: str, b: str) -> None:
    assert same(a, b)


def test_a_text_of_single_spaces_has_one_digest_either_way() -> None:
    column = TextColumn.from_texts(["one two 三 四", "x" * 99])
    assert [part.tolist() for part in digest128(column)] == [part.tolist() for part in digest128(column, True)]
