"""The benchmark of data loaders: its corpus, and the identity of a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.corpora.sampler_corpus import END_OF_DOCUMENT, write_corpus
from benchmarks.loaders.common import Corpus
from benchmarks.loaders.identity import Places, Taken
from benchmarks.sampler.loader_exactness import others, repeated


def _corpus(folder: Path, seed: int = 0) -> Corpus:
    write_corpus(folder, 84_000, seed)
    return Corpus.read(folder)


def test_the_same_seed_makes_the_same_corpus(tmp_path: Path) -> None:
    one, same, other = (_corpus(tmp_path / name, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    for domain in one.sizes:
        assert np.array_equal(one.tokens(domain), same.tokens(domain))
        assert np.array_equal(one.offsets(domain), same.offsets(domain))
        assert not np.array_equal(one.tokens(domain), other.tokens(domain))


def test_every_document_ends_with_its_token_and_none_holds_another(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    for domain, size in corpus.sizes.items():
        tokens, offsets = corpus.tokens(domain), corpus.offsets(domain)
        assert offsets[0] == 0 and offsets[-1] == len(tokens) == size
        assert np.array_equal(np.flatnonzero(tokens == END_OF_DOCUMENT), offsets[1:] - 1)
        assert np.diff(offsets).min() >= 2


def test_a_sample_tells_its_domain(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    places, generator = Places.of(corpus), np.random.default_rng(0)
    for number, domain in enumerate(corpus.sizes):
        tokens = np.asarray(corpus.tokens(domain))
        for start in generator.integers(0, len(tokens) - 300, 20):
            assert places.domain_of(tokens[start : start + 300]) == number
    assert places.domain_of(generator.integers(1, 1 << 16, 300, dtype=np.uint16)) == -1


def test_drift_is_that_of_counting_step_by_step() -> None:
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}
    domains = np.random.default_rng(1).integers(0, 3, 200).astype(np.int16)
    counts, worst = [0, 0, 0], 0.0
    for step, domain in enumerate(domains.tolist(), 1):
        counts[domain] += 1
        worst = max(
            worst, *(abs(count - weight * step) for count, weight in zip(counts, weights.values(), strict=True))
        )
    taken = Taken(hashes=np.arange(200, dtype=np.uint64), domains=domains)
    assert abs(taken.drift(weights) - worst) < 1e-9


def test_others_counts_places_that_differ_or_are_missing() -> None:
    assert others(np.array([1, 2, 3]), np.array([1, 2, 3])) == 0
    assert others(np.array([1, 9]), np.array([1, 2, 3])) == 2
    assert repeated(np.array([1, 2, 1, 1])) == 2
