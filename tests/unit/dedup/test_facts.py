"""What texts state: numbers and names by their form, and when two texts agree in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.facts import MOST, agree, compare, find_facts
from tests.support.examples import examples
from text.arrow import TextColumn


def counted(a: str, b: str) -> list[int]:
    """Numbers of a, of b, of both; names of a, of b, of a that b has."""
    found = compare(find_facts(TextColumn.from_texts([a, b])), np.array([0]), np.array([1]))[0].tolist()
    return [*found[:4], found[5], found[4]]


def same(a: str, b: str) -> bool:
    return bool(agree(find_facts(TextColumn.from_texts([a, b])), np.array([0]), np.array([1]))[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("it cost 1,000", "it cost 1000"),
        ("it cost 1,234,567.5", "it cost 1234567.5"),
        ("on 05 of it", "on 5 of it"),
        ("共３０个", "共30个"),
        ("３．５ 吨", "3.5 吨"),
        ("rose 3%", "rose 3 percent"),
        ("about 30km off", "about 30 km off"),
        ("气温−5度", "气温-5度"),
        ("一共十二个", "总共十二个"),
        ("three of 7", "7 of three"),
    ],
)
def test_one_number_however_it_is_written(one: str, other: str) -> None:
    assert counted(one, other) == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("fell to -30", "fell to 30"),
        ("it is 1,5", "it is 15"),
        ("it is 1.5", "it is 15"),
        ("it is 100", "it is 1"),
        ("it is 0", "it is 7"),
        ("十二个", "二十个"),
        ("三月", "四月"),
        ("½ of it", "¼ of it"),
    ],
)
def test_other_numbers(one: str, other: str) -> None:
    left, right, both, *names = counted(one, other)
    assert left and right and not both and names == [0, 0, 0]


def test_a_range_has_no_sign_and_one_numeral_of_han_may_be_no_number() -> None:
    assert counted("from 10-20", "from 20 to 10")[:3] == [2, 2, 2]
    assert counted("2024-05-01", "1 of 5, 2024")[:3] == [3, 3, 3]
    assert counted("一个人", "三天一次")[:3] == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The old house is empty. It is for sale.", 0),
        ("We met Alice Miller in Paris", 3),
        ("We saw Mr. Smith", 2),
        ("NASA said so", 1),
        ("the model gpt-4 and h200", 1),
        ("I think I am", 0),
        ("Мы живём в Москве", 1),
        ("他用iphone打电话", 1),
        ("读《红楼梦》和“水浒传”", 2),
        ("住在海淀区", 1),
        ("清华大学", 1),
        ("明天北京有雨", 1),
        ("原告王小明诉称", 1),
        ("他说，张伟，李强。", 2),
        ("今天天气很好", 0),
    ],
)
def test_names_by_their_form(text: str, count: int) -> None:
    assert counted(text, text)[3:] == [count] * 3


def test_names_are_one_whatever_their_width_and_case() -> None:
    assert counted("we saw NASA there", "we saw ＮＡＳＡ there")[3:] == [1, 1, 1]
    assert counted("we saw Nasa there", "we saw NASA there")[3:] == [1, 1, 1]
    assert counted("in Paris", "in London")[3:] == [1, 1, 0]


def test_a_word_that_begins_a_sentence_is_a_name_only_if_the_other_text_says_so() -> None:
    assert counted("Paris is large", "Paris is old") == [0] * 6
    assert same("Paris is large", "London is large")
    assert counted("we love Paris", "Paris is old") == [0, 0, 0, 1, 0, 1]
    assert same("we love Paris. Berlin is old", "Paris we love. we love Berlin")
    assert not same("we love Paris. Berlin is old", "London we love. we love Rome")


def test_texts_agree_if_the_one_with_fewer_facts_states_what_the_other_states() -> None:
    long = "The train to Boston leaves at 7 and comes back at 9. Anna and Bert take it."
    assert same(long, "The train to Boston leaves at 7")
    assert same(long, "nothing is stated here") and same("", "") and same(long, long)
    assert not same(long, "The train to Boston leaves at 8")
    assert not same(long, "The train to Denver leaves at 7")
    ten = " ".join(f"{n} items" for n in range(10, 20))
    assert same(ten, ten.replace("19", "99")), "one number in ten may differ"
    assert not same(ten, ten.replace("19", "99").replace("18", "88"))
    five = "we met Anna, Bert, Carl, Dora and Emil"
    assert same(five, five.replace("Emil", "Fritz")), "one name in five may differ"
    assert not same(five, five.replace("Emil", "Fritz").replace("Dora", "Gerd"))


def test_of_a_text_with_many_facts_those_of_the_least_hashes_are_compared() -> None:
    many = " ".join(str(n) for n in range(100, 100 + 3 * MOST))
    found = find_facts(TextColumn.from_texts([many]))
    assert len(found.hashes) == MOST and (np.diff(found.hashes.astype(object)) > 0).all()
    left, right, both, *_ = counted(many, many + " 7 and 8")
    assert both >= MOST - 2 and max(left, right) - both <= 2
    short = " ".join(str(n) for n in range(100, 100 + MOST // 2))
    left, right, both, *_ = counted(many, short)
    assert right == both and 0 < right < MOST // 2, "only as far as the longer one was read to"
    left, right, both, *_ = counted(many, short.replace("1", "-1"))
    assert both < right


WORDS = [
    "Anna",
    "the",
    "12",
    "-7",
    "1,000",
    "《红楼梦》",
    "北京",
    "三百",
    "a1",
    ".",
    "\n",
    "é",
    "Ω",
    "“",
    "😀",
    "王小",
    "，",
    "0",
]


@examples(200)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), min_size=1, max_size=6))
def test_a_text_states_the_same_in_any_column(texts: list[str]) -> None:
    found = find_facts(TextColumn.from_texts(texts))
    for i, text in enumerate(texts):
        alone = find_facts(TextColumn.from_texts([text])).hashes
        assert found.hashes[found.ptr[i] : found.ptr[i + 1]].tolist() == alone.tolist() == sorted(set(alone.tolist()))
