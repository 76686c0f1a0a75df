"""Which script a letter is of, and what a text is mostly written in."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from filters.language.lid import load_model
from filters.language.scripts import (
    HAN,
    HANZI,
    LANGUAGES,
    N_COUNTS,
    NAMES,
    languages_by_script,
    main_script,
    read_line,
    script_table,
)
from tests.oracles import language as oracle
from text.chars import TABLE_SIZE

NUMBER = {name: number for number, name in enumerate([*NAMES, "other"], 1)}


def read(text: str) -> tuple[str, dict[str, int], str]:
    """The first line, its letters by script, and what lies behind it."""
    data = np.frombuffer(text.encode(), np.uint8)
    letters = np.zeros(N_COUNTS, np.int64)
    stop, behind, total = read_line(data, 0, len(data), script_table(), letters)
    assert total == letters.sum()
    letters[HAN] += letters[HANZI]
    found = {name: int(letters[number]) for name, number in NUMBER.items() if letters[number]}
    return text.encode()[:stop].decode(), found, text.encode()[behind:].decode()


def script(text: str) -> tuple[str | None, float]:
    letters = np.zeros(N_COUNTS, np.int64)
    data = np.frombuffer(text.encode(), np.uint8)
    read_line(data, 0, len(data), script_table(), letters)
    number, share = main_script(letters)
    return [None, *NAMES, "other"][number], share


@pytest.mark.slow
def test_every_letter_has_the_script_that_unicode_gives_it() -> None:
    table = np.where(script_table() == HANZI, HAN, script_table())
    for point in range(TABLE_SIZE):
        char = chr(point)
        if unicodedata.category(char)[0] != "L":
            assert table[point] == 0, hex(point)
        elif not 0x3400 <= point < 0xD7A4 and point < 0x1F000 or point % 7 == 0:  # of the long runs a part
            assert table[point] == NUMBER[oracle.script_of(char) or ""], (hex(point), oracle.script_of(char))


def test_han_characters_that_japanese_does_not_have() -> None:
    table = script_table()
    assert {int(table[ord(c)]) for c in "㐀𠀀𪚥"} == {HANZI}
    assert {int(table[ord(c)]) for c in "这们说爱门"} == {HANZI}
    assert {int(table[ord(c)]) for c in "国気説愛門質々髙﨑"} == {HAN}


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("", {}),
        ("12 %, 34 。！", {}),
        ("🙂 👩‍👩‍👧 → ①", {}),
        ("ab Zé", {"latin": 5}),
        ("ＡＢｃ１", {"latin": 9}),  # full width
        ("汉字々〇", {"han": 9}),  # 〇 is a number
        ("かなカナーｱ", {"kana": 18}),
        ("한글 ㄱ", {"hangul": 9}),
        ("का", {"devanagari": 3}),  # its vowel sign is a mark
        ("e\u0301", {"latin": 1}),
        ("𝕳 ᠮᠣ ꀀ", {"other": 13}),
        ("𠀀丽", {"han": 7}),
        ("\ufeffж́", {"cyrillic": 2}),
    ],
)
def test_letters_are_counted_in_bytes(text: str, letters: dict[str, int]) -> None:
    assert read(text)[1] == letters == dict(oracle.letters(text))


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\u2029"])
def test_a_line_ends_at_each_break(end: str) -> None:
    assert read(f"ab汉{end}cd") == ("ab汉", {"latin": 2, "han": 3}, "cd")
    assert read(end) == ("", {}, "")


@pytest.mark.parametrize("char", ["\x0b", "\x0c", "\x1c", "\u00a0", "\u2027", "\u202a", "Å", "\u2085"])
def test_nothing_else_ends_one(char: str) -> None:
    assert read(f"ab{char}cd")[2] == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, 0.0)),
        ("中文 with some", ("latin", 8 / 14)),
        ("中文中 abc", ("han", 9 / 12)),
        ("東京は雨", ("kana", 1.0)),
        ("巧克力の店铺已经开张迎客欢迎光临", ("han", 1.0)),
        ("汉字 한글 한", ("hangul", 9 / 15)),
        ("abc жж", ("cyrillic", 4 / 7)),
        ("ab ж", ("latin", 0.5)),  # the first of equals
        ("ᠮᠣᠩ", ("other", 1.0)),
    ],
)
def test_the_main_script(text: str, expected: tuple[str | None, float]) -> None:
    assert script(text) == oracle.main_script(text) == expected


def test_every_language_of_the_model_is_written_in_a_script() -> None:
    named = " ".join(LANGUAGES.values()).split()
    assert set(named) == set(load_model().labels)
    assert set(LANGUAGES) == set(NAMES)
    assert all(len(set(codes.split())) == len(codes.split()) for codes in LANGUAGES.values())


def test_languages_of_another_model_may_be_written_in_any_script() -> None:
    allowed = languages_by_script(("zh", "en", "tlh"))
    row = {name: allowed[number].tolist() for name, number in NUMBER.items()}
    assert row["han"] == [True, False, True]
    assert row["latin"] == [False, True, True]
    assert row["other"] == [True] * 3 == allowed[0].tolist()
    assert languages_by_script(("zh", "en"))[NUMBER["thai"]].tolist() == [True, True]  # it knows no Thai
