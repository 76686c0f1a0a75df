"""Arrow columns as buffers, tokens and digests of small texts, seeded uniform numbers: by example."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from tests.oracles import text as oracles
from text.arrow import TextColumn
from text.chars import MARK, WORD, char_tables, class_of
from text.fold import fold, nfc
from text.hash import digest128, uniform
from text.shingle import narrow, shingle_into, shingle_sets, sort_hashes
from text.tokens import token_hashes, token_hashes_with_fnv


def texts_of(column: TextColumn) -> list[str]:
    return [column.text_at(i) for i in range(len(column))]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_null_is_an_empty_text(kind: pa.DataType) -> None:
    assert texts_of(TextColumn.from_arrow(pa.array(["a", None, "𠮷"], kind))) == ["a", "", "𠮷"]
    assert texts_of(TextColumn.from_arrow(pa.array([None, None], kind))) == ["", ""]


def test_slices_keep_their_place_and_cost_no_copy() -> None:
    array = pa.array(["aa", "é", None, "𠮷b", "z"]).slice(1, 3)
    column = TextColumn.from_arrow(array)
    assert texts_of(column) == ["é", "", "𠮷b"]
    whole = TextColumn.from_arrow(pa.array(["aa", "é", "b"]).slice(1, 2))
    assert (whole.offsets[0], whole.nbytes, whole.lengths.tolist()) == (2, 3, [2, 1])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_empty_columns_and_columns_without_chunks(kind: pa.DataType) -> None:
    for array in (pa.array([], kind), pa.chunked_array([], kind), pa.array([b"x"], kind).slice(1)):
        column = TextColumn.from_arrow(array)
        assert (len(column), column.nbytes) == (0, 0)
        assert [len(part) for part in digest128(column)] == [0, 0]
        assert [part.tolist() for part in token_hashes(column)] == [[0], []]
        assert [part.tolist() for part in shingle_sets(column)] == [[0], [], []]
        assert len(nfc(column)) == len(fold(column).column) == 0


def test_dictionaries_of_several_chunks_are_decoded() -> None:
    chunks = [pa.array(part).dictionary_encode() for part in (["b", "a"], ["c", None, "a"])]
    assert texts_of(TextColumn.from_arrow(pa.chunked_array(chunks))) == ["b", "a", "c", "", "a"]


def test_what_is_no_text_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="found int64"):
        TextColumn.from_arrow(pa.array([1]))


def test_a_column_goes_back_to_arrow() -> None:
    column = TextColumn.from_arrow(pa.array(["aa", "é", "𠮷b"]).slice(1))
    assert column.to_arrow().to_pylist() == ["é", "𠮷b"]
    assert TextColumn.from_texts([]).to_arrow().to_pylist() == []


def test_tokens_of_mixed_scripts() -> None:
    assert oracles.tokens("COVID-19 疫情 ｶﾞ") == ["covid", "19", "疫", "情", "ガ"]
    ptr, hashes = token_hashes(TextColumn.from_texts(["COVID-19 疫情", "covid 19疫,情", "疫 情", "?!", ""]))
    assert ptr.tolist() == [0, 4, 8, 10, 10, 10]
    assert hashes[:4].tolist() == hashes[4:8].tolist()
    assert hashes[8:].tolist() == hashes[2:4].tolist()


HIDDEN = [p for p in range(0x110000) if not 0xD800 <= p <= 0xDFFF and oracles.is_hidden(chr(p))]


@pytest.mark.parametrize(
    "clean", ["What nobody sees parts no word, and joins none.", "看不见的字符，既不分词，也不连词。E\u0301té"]
)
def test_what_shows_nothing_is_neither_part_of_a_token_nor_a_break(clean: str) -> None:
    """Unicode's default-ignorable characters, each between all others of a text: similarity 1 to the clean text."""
    assert len(HIDDEN) > 4_000
    texts = [clean, *(chr(p).join(clean) for p in HIDDEN if p < 0xE0200), "".join(c + chr(0xAD) * 3 for c in clean)]
    ptr, hashes = token_hashes(TextColumn.from_texts(texts))
    expected = hashes[: ptr[1]].tolist()
    assert len(expected) == len(oracles.tokens(clean)) > 8
    for i in range(1, len(texts)):
        assert hashes[ptr[i] : ptr[i + 1]].tolist() == expected, texts[i]


def test_more_tokens_than_half_the_bytes_are_not_lost() -> None:
    """A squared word of three bytes folds to several single characters: the first guess of room is too small."""
    text = "㍿㌀" * 300
    ptr, _, fnv = token_hashes_with_fnv(TextColumn.from_texts([text]))
    assert ptr[-1] == len(oracles.tokens(text)) > len(text.encode()) // 2 + 65
    assert fnv.tolist() == [oracles.fasttext_hash(token) for token in oracles.tokens(text)]


def test_fasttexts_hash_is_fnv1a_on_ascii_and_is_not_beyond() -> None:
    assert oracles.fasttext_hash("a") == 0xE40C292C
    assert oracles.fasttext_hash("foobar") == 0xBF9CF968
    plain = 2166136261
    for byte in "疫".encode():
        plain = ((plain ^ byte) * 16777619) & 0xFFFFFFFF
    fnv = token_hashes_with_fnv(TextColumn.from_texts(["foobar 疫"]))[2]
    assert fnv[0] == 0xBF9CF968
    assert fnv[1] not in (0, plain)


def test_variation_selectors_above_the_tables_are_marks() -> None:
    classes = char_tables().classes
    for point in (0xE0100, 0xE01EF):
        assert class_of(classes, point) == MARK | WORD
    for point in (0xE00FF, 0xE01F0, 0xF0000, 0x10FFFF):
        assert class_of(classes, point) == 0


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("a b", "  a\u3000\n b\t", True),
        ("é", "e\u0301", True),
        ("", " \u2003\x1f", True),
        ("a b", "ab", False),
        ("a", "A", False),
        ("１", "1", False),
        ("a" * 8, "a" * 8 + "\0", False),
        ("a" * 7 + " b", "a" * 7 + "b ", False),
    ],
)
def test_exact_means_nfc_and_collapsed_space(a: str, b: str, same: bool) -> None:
    assert (oracles.exact_form(a) == oracles.exact_form(b)) is same
    low, high = digest128(TextColumn.from_texts([a, b]))
    assert (low[0] == low[1]) is np.bool_(same)
    assert (high[0] == high[1]) is np.bool_(same)


def test_digests_use_both_halves() -> None:
    """The halves are no function of each other: their difference and xor vary like the halves themselves."""
    low, high = digest128(TextColumn.from_texts([f"text number {i}" for i in range(20_000)]))
    for values in (low, high, low ^ high, low - high):
        assert len(np.unique(values)) == 20_000
        bits = [int(np.sum((values >> bit) & 1)) for bit in range(64)]
        assert max(abs(n - 10_000) for n in bits) < 6 * math.sqrt(20_000) / 2


def test_uniform_is_a_function_of_seed_and_id() -> None:
    ids = np.arange(200_000, dtype=np.int64) + (7 << 51)
    found = uniform(3, ids)
    assert found.min() >= 0 and found.max() < 1
    counts = np.histogram(found, bins=100, range=(0, 1))[0]
    assert float(np.sum((counts - 2000) ** 2 / 2000)) < 180  # chi-square, 99 degrees: above it by chance once in 10^6
    assert np.array_equal(uniform(3, ids[::-1])[::-1], found)
    assert np.array_equal(uniform(3, ids[::2]), found[::2])
    assert abs(np.corrcoef(found, uniform(4, ids))[0, 1]) < 0.01
    assert len(uniform(-1, np.array([-1, 0], np.int64))) == 2


def test_a_shingle_knows_order_and_the_length_of_a_short_text() -> None:
    texts = ["a b c d e", "e d c b a", "a b c d", "a b c d ", "a", "a a", "a a a a a a a", ""]
    ptr, hashes, _ = shingle_sets(TextColumn.from_texts(texts))
    sets = [set(hashes[ptr[i] : ptr[i + 1]].tolist()) for i in range(len(texts))]
    assert [len(s) for s in sets] == [1, 1, 1, 1, 1, 1, 1, 0]
    assert sets[2] == sets[3]
    assert len(set.union(*sets)) == 6


def test_rolling_equals_hashing_each_window_anew() -> None:
    tokens = np.random.default_rng(1).integers(0, 2**63, 200).astype(np.uint64) * np.uint64(2) + np.uint64(1)
    rolled = np.empty(200, np.uint64)
    assert shingle_into(tokens, 200, 5, rolled) == 196
    for i in range(196):
        one = np.empty(5, np.uint64)
        assert shingle_into(tokens[i : i + 5].copy(), 5, 5, one) == 1
        assert one[0] == rolled[i]


def test_sampled_sets_estimate_within_the_stated_error() -> None:
    """Pairs of known J, compared at the larger modulus: error about sqrt(J(1 - J) / n), and no bias."""
    from dedup.verify import jaccard_sorted

    rng = np.random.default_rng(5)
    texts, truth = [], []
    for n, shared in ((3000, 2400), (9000, 5000), (1500, 1300), (20_000, 18_000)) * 4:
        base = rng.integers(0, 10**9, (3, n)).astype(str)
        left = [*base[0][:shared], *base[1][shared:]]
        right = [*base[0][:shared], *base[2][: (n - shared) // 2]]
        texts += [" ".join(left), " ".join(right)]
        truth.append(oracles.jaccard(texts[-2], texts[-1]))
    ptr, hashes, modulus = shingle_sets(TextColumn.from_texts(texts), max_size=1024)
    assert set(modulus.tolist()) >= {2, 4, 16}
    scores = []
    for i, j in enumerate(truth):
        m = modulus[2 * i : 2 * i + 2].max()
        left, right = (hashes[ptr[k] : ptr[k + 1]] for k in (2 * i, 2 * i + 1))
        either = {h for h in hashes[ptr[2 * i] : ptr[2 * i + 2]].tolist() if h % int(m) == 0}
        scores.append((jaccard_sorted(left, right, m) - j) / math.sqrt(j * (1 - j) / len(either)))
    assert max(map(abs, scores)) < 4
    assert abs(float(np.mean(scores))) < 4 / math.sqrt(len(scores))
    assert float(np.mean(np.square(scores))) < 2.5


def test_narrowed_sets_stay_sorted_and_can_be_sampled() -> None:
    """Twin: pack each hash by hand and sort; ties in the 20 leading bits are what insertion is for."""
    rng = np.random.default_rng(5)
    sizes = [0, 1, 3000, 0, 40]
    sets = [np.sort(rng.integers(0, 2**64, n, np.uint64)) for n in sizes]
    sets[4] = np.sort(np.uint64(7 << 50) | rng.integers(0, 2**20, 40).astype(np.uint64))
    ptr = np.cumsum([0, *sizes])
    found = narrow(ptr, np.concatenate(sets))
    assert found.dtype == np.uint32
    for i, hashes in enumerate(sets):
        expected = sorted((int(h) >> 44) << 12 | int(h) & 4095 for h in hashes)
        assert found[ptr[i] : ptr[i + 1]].tolist() == expected
        for m in (2, 64, 4096):
            assert int((hashes % np.uint64(m) == 0).sum()) == sum(x % m == 0 for x in expected)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100, 5000])
def test_hashes_are_sorted(n: int) -> None:
    rng = np.random.default_rng(n)
    for values in (
        rng.integers(0, 2**64, n, np.uint64),
        np.full(n, 2**63, np.uint64),
        np.arange(n, dtype=np.uint64)[::-1].copy(),
    ):
        out = np.empty(n, np.uint64)
        sort_hashes(values, out)
        assert out.tolist() == sorted(values.tolist())
