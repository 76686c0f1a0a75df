"""Tokens, folds, digests and shingles of any Unicode text equal their slow twins."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import text as oracles
from tests.support.examples import examples
from text.arrow import TextColumn
from text.chars import char_tables, is_tag
from text.fold import fold, nfc
from text.hash import digest128
from text.shingle import shingle_sets
from text.tokens import token_hashes, token_hashes_with_fnv

TRICKY = st.sampled_from(
    ["Σ", "ΑΣ", "ς", "İ", "ǅ", "ﬃ", "ﷺ", "㍿", "㌀", "ｶﾞ", "ﾡￂ", "각", "각", "é", "e\u0301", "e\u0327\u0301", "\u0301"]
    + ["Å", "Ω", "ά", "ก", "กำ", "မြ", "ខ្មែរ", "नमस्ते", "عَرَبِيّ", "𠮷", "葛󠄀", "疫情", "COVID-19", "９", "½", "Ⅷ", "㊷"]
    + [
        "\u0bc6\u0bbe",
        "\U0001d15e",
        "\U000e0041",
        "\U0010ffff",
        "😀",
        "_",
        "-",
        " ",
        "\u3000",
        "\u00a0",
        "\x85",
        "\x1c",
        "\n",
    ]
    + ["\u00ad", "\u034f", "\u061c", "\u115f", "\u17b4", "\u180e", "\u200b", "\u200d", "\u202e", "\u2060", "\u3164"]
    + ["\ufe0f", "\ufeff", "\uffa0", "\U000e0041", "\U000e0100"]
)
TEXT = st.one_of(st.text(max_size=40), st.lists(TRICKY, max_size=14).map("".join), st.text("aAbB cC,. ", max_size=60))
COLUMN = st.lists(TEXT, max_size=6)


def pieces(ptr: np.ndarray, values: np.ndarray) -> list[list[int]]:
    return [values[ptr[i] : ptr[i + 1]].tolist() for i in range(len(ptr) - 1)]


class Dictionary:
    """Learns which hash stands for which token, and complains when one stands for two or two for one."""

    def __init__(self) -> None:
        self.by_token: dict[object, int] = {}
        self.by_hash: dict[int, object] = {}

    def learn(self, token: object, value: int) -> None:
        assert self.by_token.setdefault(token, value) == value, token
        assert self.by_hash.setdefault(value, token) == token, token


WORDS = Dictionary()


@examples(400)
@given(COLUMN)
def test_tokens_equal_the_oracle(texts: list[str]) -> None:
    ptr, hashes = token_hashes(TextColumn.from_texts(texts))
    for text, found in zip(texts, pieces(ptr, hashes), strict=True):
        expected = oracles.tokens(text)
        assert len(found) == len(expected)
        for token, value in zip(expected, found, strict=True):
            WORDS.learn(token, value)


@pytest.mark.slow
def test_every_code_point_is_read_as_the_oracle_reads_it() -> None:
    """Alone, and between letters, where it joins, splits or stands by itself."""
    points = [p for p in range(sys.maxunicode + 1) if not 0xD800 <= p <= 0xDFFF]
    interesting = [p for p in points if p < 0x33000 or p % 97 == 0 or 0xE0000 <= p <= 0xE0200]
    texts = [f"a{chr(p)}b" for p in interesting]
    ptr, hashes = token_hashes(TextColumn.from_texts(texts))
    known = Dictionary()
    for text, found in zip(texts, pieces(ptr, hashes), strict=True):
        expected = oracles.tokens(text)
        assert len(expected) == len(found), (hex(ord(text[1])), expected)
        for token, value in zip(expected, found, strict=True):
            known.learn(token, value)
    assert len(known.by_token) > 100_000


def folded_by_table(text: str) -> str:
    tables = char_tables()
    out = ""
    for char in text:
        point = ord(char)
        if point < len(tables.classes):
            bounds = tables.fold_start[point], tables.fold_start[point + 1]
            char = "".join(map(chr, tables.fold_data[bounds[0] : bounds[1]]))
        elif is_tag(point):
            char = ""
        out += char
    return out


@examples(400)
@given(COLUMN)
def test_the_fast_fold_equals_unicodedata(texts: list[str]) -> None:
    """A document is either folded as a whole, or folding it character by character is exact."""
    folded = fold(TextColumn.from_texts(texts))
    for i, text in enumerate(texts):
        if folded.done[i]:
            assert folded.column.text_at(i) == oracles.fold(text)
        else:
            assert folded.column.text_at(i) == text
            assert folded_by_table(text) == oracles.fold(text)


@examples(200)
@given(COLUMN)
def test_nfc_equals_unicodedata(texts: list[str]) -> None:
    found = nfc(TextColumn.from_texts(texts))
    assert [found.text_at(i) for i in range(len(texts))] == [unicodedata.normalize("NFC", t) for t in texts]


@examples(300)
@given(COLUMN)
def test_the_word_hash_is_that_of_fasttext(texts: list[str]) -> None:
    column = TextColumn.from_texts(texts)
    ptr, hashes, fnv = token_hashes_with_fnv(column)
    assert pieces(ptr, hashes) == pieces(*token_hashes(column))
    for text, found in zip(texts, pieces(ptr, fnv), strict=True):
        assert found == [oracles.fasttext_hash(token) for token in oracles.tokens(text)]


FORMS = Dictionary()


@examples(400)
@given(COLUMN, st.lists(st.sampled_from([" ", "\n", "\t ", "\u3000", "\u2028", "\x1f", ""]), min_size=3, max_size=3))
def test_digests_are_equal_just_where_exact_forms_are(texts: list[str], spaces: list[str]) -> None:
    first, inner, last = spaces
    texts = [*texts, *(first + t.replace(" ", inner or " ") + last for t in texts)]
    texts += [unicodedata.normalize("NFD", t) for t in texts]
    low, high = digest128(TextColumn.from_texts(texts))
    for text, *halves in zip(texts, low.tolist(), high.tolist(), strict=True):
        for half in halves:
            FORMS.learn((oracles.exact_form(text), half == halves[0]), half)


@examples(200)
@given(COLUMN, st.integers(1, 7))
def test_shingle_sets_have_the_oracles_size_and_overlap(texts: list[str], width: int) -> None:
    ptr, hashes, modulus = shingle_sets(TextColumn.from_texts(texts), width)
    found = pieces(ptr, hashes)
    assert modulus.tolist() == [1] * len(texts)
    sets = [oracles.shingles(text, width) for text in texts]
    for values, expected in zip(found, sets, strict=True):
        assert values == sorted(set(values))
        assert len(values) == len(expected)
    for i in range(len(texts)):
        for j in range(i):
            assert len(set(found[i]) & set(found[j])) == len(sets[i] & sets[j])


@examples(100)
@given(st.lists(st.text("abcdefgh ", max_size=400), max_size=4), st.integers(1, 40))
def test_a_sampled_set_is_the_part_that_its_modulus_divides(texts: list[str], max_size: int) -> None:
    column = TextColumn.from_texts(texts)
    whole = pieces(*shingle_sets(column)[:2])
    ptr, hashes, modulus = shingle_sets(column, max_size=max_size)
    for full, kept, m in zip(whole, pieces(ptr, hashes), modulus.tolist(), strict=True):
        assert m & (m - 1) == 0
        assert kept == [h for h in full if h % m == 0]
        assert len(kept) <= max_size
        assert m == 1 or sum(h % (m // 2) == 0 for h in full) > max_size, "not the least power of two"


@examples(50)
@given(COLUMN, st.integers(0, 6), st.integers(0, 6))
def test_slices_and_chunks_change_no_kernel(texts: list[str], cut: int, skip: int) -> None:
    import pyarrow as pa

    whole = TextColumn.from_texts(texts)
    chunks = pa.chunked_array([pa.array(texts[:cut], pa.string()), pa.array(texts[cut:], pa.string())])
    sliced = pa.array(["é" * skip, *texts, "x"], pa.large_string()).slice(1, len(texts))
    for kernel in (token_hashes, digest128, shingle_sets):
        expected = [part.tolist() for part in kernel(whole)]
        for array in (chunks, sliced):
            assert [part.tolist() for part in kernel(TextColumn.from_arrow(array))] == expected
