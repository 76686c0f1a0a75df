"""Near-duplicate short texts against plain Python: sets of token 3-grams, every bucket walked by hand."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.banding import band_keys, detection_probability
from dedup.minhash import fill_minima, permutations
from dedup.short_texts import BANDS, ROWS, SEED, WIDTH, ShortTexts, link_buckets, short_texts
from tests.oracles import text as oracles
from tests.support.examples import examples
from text.arrow import TextColumn
from text.tokens import token_hashes

WORDS = ["a", "bb", "的", "ccc", "12", "ß", "DD", "中"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join), max_size=8)


def found_in(texts: list[str]) -> ShortTexts:
    ptr, tokens = token_hashes(TextColumn.from_texts(texts))
    return short_texts(ptr, tokens, np.arange(len(texts), dtype=np.int64))


def sets_of(found: ShortTexts) -> list[list[int]]:
    return [found.shingles[a:b].tolist() for a, b in zip(found.ptr[:-1], found.ptr[1:], strict=True)]


def packed(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    ptr = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return ptr, np.array([h for s in sets for h in sorted(s)], np.uint32)


@examples()
@given(TEXTS)
def test_sets_are_those_of_token_trigrams(texts: list[str]) -> None:
    sets = sets_of(found_in(texts))
    for text, mine in zip(texts, sets, strict=True):
        expected = oracles.shingles(text, WIDTH)
        assert mine == sorted(set(mine)) and len(mine) == len(expected)
        for other, theirs in zip(texts, sets, strict=True):
            assert len(set(mine) & set(theirs)) == len(expected & oracles.shingles(other, WIDTH))


@examples()
@given(TEXTS.filter(len), st.data())
def test_neither_the_other_texts_nor_their_number_matter(texts: list[str], data: st.DataObject) -> None:
    whole = found_in(texts)
    which = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6)), np.int64)
    some = short_texts(*token_hashes(TextColumn.from_texts(texts)), which)
    assert sets_of(some) == [sets_of(whole)[i] for i in which]
    assert some.keys.tolist() == [whole.keys[i].tolist() for i in which]


def test_none_is_none() -> None:
    found = found_in([])
    assert found.ptr.tolist() == [0] and found.keys.shape == (0, BANDS) and len(found.shingles) == 0


def test_a_key_tells_its_band_and_equal_sets_have_equal_keys() -> None:
    keys = found_in(["one two three four", "One, two: THREE four!", "two"]).keys
    assert keys[0].tolist() == keys[1].tolist()
    assert len({*keys[0].tolist(), *keys[2].tolist()}) == 2 * BANDS


@pytest.mark.parametrize(("similarity", "stated"), [(0.8, 0.958), (0.9, 0.998), (0.3, 0.048)])
def test_pairs_meet_as_often_as_the_docstring_says(similarity: float, stated: float) -> None:
    assert detection_probability(similarity, BANDS, ROWS) == pytest.approx(stated, abs=5e-4)
    rng = np.random.default_rng(7)
    trials, union = 6000, 40
    both = round(similarity * union)
    left_only = (union - both) // 2
    # Few texts have trigrams of just this overlap, so sets are made, and their keys as for a text's.
    a, b = permutations(BANDS * ROWS, SEED)
    met = 0
    for _ in range(trials):
        words = rng.integers(0, 2**32, union, dtype=np.uint32)
        minima = np.empty((2, BANDS * ROWS), np.uint32)
        fill_minima(np.ascontiguousarray(words[: both + left_only]), a, b, minima[0])
        fill_minima(np.concatenate([words[:both], words[both + left_only :]]), a, b, minima[1])
        keys = band_keys(minima, BANDS, ROWS)
        met += bool((keys[0] == keys[1]).any())
    expected = detection_probability(both / union, BANDS, ROWS)
    assert met / trials == pytest.approx(expected, abs=4 * (expected * (1 - expected) / trials) ** 0.5 + 0.005)


def test_what_a_changed_word_costs() -> None:
    """The figures of the docstring."""

    def similarity(n: int, changed: set[int]) -> float:
        texts = [[f"w{i}" for i in range(n)], [f"x{i}" if i in changed else f"w{i}" for i in range(n)]]
        left, right = map(set, sets_of(found_in([" ".join(t) for t in texts])))
        return len(left & right) / len(left | right)

    assert similarity(20, {9}) == pytest.approx(15 / 21) and similarity(20, {19}) == pytest.approx(17 / 19)
    assert similarity(28, {9}) < 0.8 <= similarity(29, {9}) and similarity(40, {20}) == pytest.approx(35 / 41)
    assert similarity(20, set(range(10))) < 0.35 and similarity(20, set(range(0, 20, 2))) == 0


# ---------------------------------------------------------------------------------------------------------- buckets

Row = tuple[int, int, int, frozenset[int]]
ROWS_OF_BUCKETS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 6),
        st.integers(0, 3),
        st.frozensets(st.integers(0, 7), min_size=1, max_size=6),
    ),
    max_size=25,
    unique_by=lambda row: row[:3],
)


def by_hand(rows: list[Row], threshold: float, first_new: int, cap: int) -> tuple[dict[tuple[int, int], float], int]:
    links, capped = {}, 0
    buckets: dict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(rows)), key=lambda i: rows[i][:3]):
        buckets[rows[i][0]].append(i)
    for members in buckets.values():
        anchors: list[int] = []
        old = 0
        for i in members:
            if len(members) == 1:
                continue
            if rows[i][1] < first_new:
                capped += old == 16 * cap
                anchors += [i] * (old < 16 * cap)
                old += old < 16 * cap
                continue
            like = [(j, len(rows[i][3] & rows[j][3]) / len(rows[i][3] | rows[j][3])) for j in anchors]
            like = [(j, s) for j, s in like if s >= threshold]
            if like:
                links[i, like[0][0]] = like[0][1]
            elif len(anchors) - old < cap:
                anchors.append(i)
            else:
                capped += 1
    return links, capped


@examples(300)
@given(ROWS_OF_BUCKETS, st.sampled_from([0.5, 0.6, 2 / 3, 0.8, 1.0]), st.integers(0, 4), st.integers(1, 3))
def test_buckets_are_linked_as_by_hand(rows: list[Row], threshold: float, first_new: int, cap: int) -> None:
    columns = [np.array([row[i] for row in rows], np.int64) for i in range(3)]
    sets = packed([set(r[3]) for r in rows])
    found = link_buckets(columns[0], columns[1], columns[2].astype(np.int32), *sets, threshold, first_new, cap)
    pairs = zip(found.member.tolist(), found.anchor.tolist(), found.similarity.tolist(), strict=True)
    links = {(m, a): s for m, a, s in pairs}
    expected, capped = by_hand(rows, threshold, first_new, cap)
    assert links == {k: pytest.approx(s, abs=1e-6) for k, s in expected.items()} and found.capped == capped
    assert all(rows[a][1:3] < rows[m][1:3] and rows[m][1] >= first_new for m, a in links)
