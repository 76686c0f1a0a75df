"""The stream over ranks, batches, restarts: always the same samples in the same order."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import ConfigError, TamisError
from sampler.digest import step_digests
from sampler.mixture import DomainShare, Mixture
from sampler.state import position_of, state_at
from sampler.stream import MixtureStream, RankStream
from tests.sampler_run import bare_documents

SIZES = {"books": [400, 3, 1], "code": [1], "web": [5, 80, 1, 1, 30] * 8}


def make_stream(seed: int = 3, weights: tuple[float, ...] = (0.2, 0.013, 0.787)) -> MixtureStream:
    shares = {name: DomainShare(weight=w, max_epochs=1e9) for name, w in zip(SIZES, weights, strict=True)}
    mixture = Mixture(domains=shares, sequence_length=16, seed=seed)
    documents = {
        name: bare_documents(
            lengths, [1.0, 0.4, 2.5, 1.0, 1.0][: len(lengths)] * max(1, len(lengths) // 5), seed, 64, name
        )
        for name, lengths in SIZES.items()
    }
    return MixtureStream(mixture, shares, documents, f"manifest-{seed}")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 500))
def test_ranks_concatenated_are_one_stream(seed: int, start: int) -> None:
    stream = make_stream(seed)
    expected = list(step_digests(stream, start, start + 4, 24))
    for world in (2, 3, 8, 24):
        assert list(step_digests(stream, start, start + 4, 24, world)) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.sampled_from([(1, 8), (2, 8), (4, 12), (8, 8), (3, 6)]), max_size=6))
def test_reshaped_in_flight_nothing_is_lost_or_doubled(seed: int, stretches: list[tuple[int, int]]) -> None:
    stream, position, got = make_stream(seed), 0, []
    for world, batch in stretches:
        state = json.loads(json.dumps(state_at(stream, position)))  # kill, and resume with another shape
        stream = make_stream(seed)
        position = position_of(stream, state)
        for _ in range(2):
            for rank in range(world):
                rows = batch // world
                begin = position + rank * rows
                got.append(stream.fork().batch(begin, begin + rows).tokens)
            position += batch
    if got:
        assert np.array_equal(np.concatenate(got), make_stream(seed).batch(0, position).tokens)


def test_a_sample_does_not_depend_on_what_was_read_before() -> None:
    stream = make_stream()
    whole = stream.batch(0, 300).tokens
    for index in np.random.default_rng(0).permutation(300)[:60]:
        assert np.array_equal(stream.sample(int(index)).tokens, whole[index])
        assert np.array_equal(make_stream().sample(int(index)).tokens, whole[index])


def test_every_domain_within_one_sequence_of_its_target() -> None:
    stream = make_stream()
    names = [row.domain for row in stream.samples(0, 2000)]
    for name, weight in zip(SIZES, (0.2, 0.013, 0.787), strict=True):
        counts = np.cumsum([found == name for found in names])
        assert np.abs(counts - weight * np.arange(1, 2001)).max() < 1


def test_digest_is_of_little_endian_uint32_rows() -> None:
    import hashlib

    stream = make_stream()
    tokens = np.stack([stream.sample(i).tokens for i in range(8, 16)])
    assert list(step_digests(stream, 1, 2, 8)) == [(1, hashlib.sha256(tokens.astype("<u4").tobytes()).hexdigest())]


def test_refusals() -> None:
    stream = make_stream()
    with pytest.raises(ConfigError, match="world_size.*3.*8"):
        RankStream(stream, 0, 3, 8)
    with pytest.raises(TamisError, match="manifest"):
        position_of(make_stream(4), state_at(stream, 8))
    with pytest.raises(TamisError, match="damaged"):
        position_of(stream, state_at(stream, 8) | {"position": 9})
