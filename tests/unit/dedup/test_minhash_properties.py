"""MinHash: minima equal numpy's, estimates are as good as theory allows, and as good as another library's."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.banding import band_keys, detection_probability
from dedup.minhash import Signatures, estimate, permutations, row_hashes, signatures
from tests.support.examples import examples
from text.arrow import TextColumn
from text.shingle import shingle_sets

K = 128
PAIRS = 2000


@cache
def pairs_of_similarity(shared: int, size: int = 120) -> tuple[float, Signatures, tuple[tuple[str, str], ...]]:
    """Signatures of PAIRS pairs of word sets, `shared` of `size` words in common; rows 2i and 2i + 1 are a pair."""
    rng = np.random.default_rng([shared, size])
    texts = []
    for _ in range(PAIRS):
        words = [f"w{n}" for n in rng.integers(0, 2**40, 2 * size - shared)]
        assert len(set(words)) == len(words)
        texts += [" ".join(words[:size]), " ".join(words[size - shared :])]
    found = signatures(TextColumn.from_texts(texts), K, seed=7, width=1)
    return shared / (2 * size - shared), found, tuple(zip(texts[::2], texts[1::2], strict=True))


SHARED = [12, 40, 70, 90, 103, 114]


@pytest.mark.parametrize("shared", SHARED)
def test_the_estimate_reaches_theory(shared: int) -> None:
    """The gate: a product that numba widens to 64 bits, or saturated signatures, fail here and nowhere in speed."""
    similarity, found, _ = pairs_of_similarity(shared)
    errors = np.mean(found.minima[::2] == found.minima[1::2], axis=1) - similarity
    theory = math.sqrt(similarity * (1 - similarity) / K)
    assert math.sqrt(np.mean(errors**2)) <= 1.06 * theory
    assert abs(np.mean(errors)) < 0.005
    assert estimate(found.minima[0], found.minima[1]) == pytest.approx(similarity + errors[0])


@pytest.mark.parametrize("shared", SHARED)
def test_the_sketch_is_unbiased(shared: int) -> None:
    similarity, found, _ = pairs_of_similarity(shared)
    differ = np.bitwise_count(found.sketch[::2] ^ found.sketch[1::2]).sum(axis=1)
    guesses = 1 - 2 * differ / 128
    assert abs(np.mean(guesses) - similarity) < 0.01
    theory = math.sqrt((1 - similarity**2) / 128)
    assert 0.9 * theory < np.std(guesses) < 1.1 * theory
    if shared == 103:
        assert 0.73 < similarity < 0.77 and np.std(guesses) < 0.065, "stated: 0.06 at J = 0.75"


@pytest.mark.parametrize("size", [3, 30_000])
def test_the_sketch_holds_for_very_short_and_very_long_texts(size: int) -> None:
    """Long texts have small minima only: a bit of them must still be a fair coin."""
    rng = np.random.default_rng(size)
    n = 20 if size > 1000 else 500
    texts = [" ".join(f"w{x}" for x in rng.integers(0, 2**40, size)) for _ in range(2 * n)]
    found = signatures(TextColumn.from_texts(texts), K, width=1)
    differ = np.bitwise_count(found.sketch[::2] ^ found.sketch[1::2]).sum(axis=1)
    assert abs(np.mean(1 - 2 * differ / 128)) < 4 / math.sqrt(128 * n)


def test_as_good_as_datasketch() -> None:
    """The same sets through datasketch: neither the error nor its spread differs by more than chance allows."""
    datasketch = pytest.importorskip("datasketch")
    similarity, found, texts = pairs_of_similarity(103)
    ours, theirs = [], []
    for i, (left, right) in enumerate(texts[:150]):
        ours.append(estimate(found.minima[2 * i], found.minima[2 * i + 1]))
        peers = []
        for text in (left, right):
            peer = datasketch.MinHash(num_perm=K)
            peer.update_batch([word.encode() for word in text.split()])
            peers.append(peer)
        theirs.append(peers[0].jaccard(peers[1]))
    spread = math.sqrt(similarity * (1 - similarity) / K)
    assert abs(np.mean(ours) - np.mean(theirs)) < 4 * spread * math.sqrt(2 / 150)
    assert 0.75 < np.std(ours) / np.std(theirs) < 1.33


@examples(60)
@given(st.lists(st.text("abcd ", max_size=80), max_size=5), st.integers(0, 2**40), st.integers(1, 6))
def test_minima_equal_those_of_numpy(texts: list[str], seed: int, width: int) -> None:
    column = TextColumn.from_texts(texts)
    found = signatures(column, 132, seed, width)
    a, b = permutations(132, seed)
    ptr, hashes, _ = shingle_sets(column, width)
    for i in range(len(texts)):
        words = (hashes[ptr[i] : ptr[i + 1]] >> np.uint64(32)).astype(np.uint32)
        mapped = a[:, None] * words[None, :] + b[:, None]
        assert mapped.dtype == np.uint32
        assert found.minima[i].tolist() == mapped.min(axis=1, initial=2**32 - 1).tolist()
        assert (found.shingles[i] > 0) == (len(words) > 0)
        assert len(words) <= found.shingles[i] or not len(words)


def test_permutations_are_odd_distinct_and_a_function_of_the_seed() -> None:
    a, b = permutations(1024, 5)
    assert (a & 1).all()
    assert len(set(a.tolist())) > 1020 and len(set(b.tolist())) > 1020
    again = permutations(1024, 5)
    assert np.array_equal(a, again[0]) and np.array_equal(b, again[1])
    assert not np.array_equal(a, permutations(1024, 6)[0])
    assert 0.45 < np.mean((b >> np.uint32(31)) & 1) < 0.55


def test_texts_without_tokens_are_told_by_their_shingles() -> None:
    found = signatures(TextColumn.from_texts(["", "?! …", "a b c d e f"]), K)
    assert found.shingles.tolist() == [0, 0, 2]
    assert (found.minima[:2] == 2**32 - 1).all()
    assert signatures(TextColumn.from_texts([]), K).minima.shape == (0, K)


@pytest.mark.parametrize("k", [0, 124, 130, 127])
def test_a_signature_that_does_not_fit_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 4 and at least 128, found {k}"):
        signatures(TextColumn.from_texts(["a"]), k)


def test_row_hashes_are_equal_just_where_signatures_are() -> None:
    texts = ["a b c d e f g", "A  b, c d e f g!", "a b c d e f h", "g f e d c b a", "a b c d e f g a b c d e f g"]
    found = signatures(TextColumn.from_texts(texts), K)
    keys = row_hashes(found.minima, 0, K)
    for i in range(len(texts)):
        for j in range(len(texts)):
            assert (keys[i] == keys[j]) == np.array_equal(found.minima[i], found.minima[j])
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("shared", "bands", "rows"), [(70, 21, 6), (90, 21, 6), (103, 21, 6), (40, 32, 4), (90, 8, 16)]
)
def test_the_detection_probability_is_what_happens(shared: int, bands: int, rows: int) -> None:
    similarity, found, _ = pairs_of_similarity(shared)
    keys = band_keys(found.minima, bands, rows)
    happened = float(np.mean((keys[::2] == keys[1::2]).any(axis=1)))
    expected = detection_probability(similarity, bands, rows)
    assert abs(happened - expected) < 4 * math.sqrt(expected * (1 - expected) / PAIRS) + 1e-3


def test_detection_probabilities_that_the_configuration_promises() -> None:
    assert detection_probability(0.8, 21, 6) == pytest.approx(0.998, abs=5e-4)
    assert detection_probability(0.75, 21, 6) == pytest.approx(0.984, abs=5e-4)
    assert detection_probability(0.0, 21, 6) == 0
    assert detection_probability(1.0, 21, 6) == 1
