"""The stream over ranks, batches, restarts, phases: always the same samples in the same order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.loader import Prefetch
from sampler.mixture import Mixture, PhaseConfig, resolve_shares
from sampler.stream import order
from sampler.stream.digest import step_digests
from sampler.stream.mixture_stream import MixtureStream, RankStream
from sampler.stream.phases import lay_phases
from sampler.stream.state import position_of, state_at
from tamis.errors import ConfigError, TamisError
from tests.support.examples import examples
from tests.support.sampler_run import bare_documents

SIZES = {"books": [400, 3, 1], "code": [1], "web": [5, 80, 1, 1, 30] * 8}
SHARES = {"books": 0.2, "code": 0.013, "web": 0.787}
PHASES: list[dict[str, Any]] = [
    {"tokens": 700},
    {"tokens": 500, "domains": {"web": {"weight": 1}}, "packing": "best_fit"},
    {"tokens": 900, "sequence_length": 40, "packing": "concat"},
    {"domains": {"books": {"weight": 2}, "web": {"weight": 1}}, "packing": "document", "sequence_length": 24},
]


def make_stream(seed: int = 3, phases: list[dict[str, Any]] | None = None, packing: str = "concat") -> MixtureStream:
    unlimited = {name: {"weight": weight, "max_epochs": 1e9} for name, weight in SHARES.items()}
    changed = [
        {**p, "domains": {n: {**d, "max_epochs": 1e9} for n, d in p["domains"].items()}} if "domains" in p else p
        for p in phases or []
    ]
    mixture = Mixture.model_validate(
        {"domains": unlimited, "sequence_length": 16, "seed": seed, "phases": tuple(changed), "packing": packing}
    )
    documents = {
        name: bare_documents(
            lengths, [1.0, 0.4, 2.5, 1.0, 1.0][: len(lengths)] * max(1, len(lengths) // 5), seed, 64, name
        )
        for name, lengths in SIZES.items()
    }
    tokens = {name: has.tokens_per_epoch for name, has in documents.items()}

    def shares_of(stretch: PhaseConfig) -> Any:
        return resolve_shares(stretch.domains or {}, tokens, stretch.temperature or 1.0)

    return MixtureStream(mixture, lay_phases(mixture.stretches(), shares_of, documents, f"identity-{seed}"), 0)


@examples(20)
@given(st.integers(0, 10**6), st.integers(0, 500), st.sampled_from([None, PHASES]))
def test_ranks_concatenated_are_one_stream(seed: int, start: int, phases: list[dict[str, Any]] | None) -> None:
    stream = make_stream(seed, phases)
    expected = list(step_digests(stream, start, start + 4, 24))
    for world in (2, 3, 8, 24):
        assert list(step_digests(stream, start, start + 4, 24, world)) == expected


@examples(30)
@given(
    st.integers(0, 10**6),
    st.lists(st.sampled_from([(1, 8), (2, 8), (4, 12), (8, 8), (3, 6)]), max_size=6),
    st.sampled_from([None, PHASES]),
)
def test_reshaped_in_flight_nothing_is_lost_or_doubled(
    seed: int, stretches: list[tuple[int, int]], phases: list[dict[str, Any]] | None
) -> None:
    stream, position, got = make_stream(seed, phases), 0, []
    for world, batch in stretches:
        state = json.loads(json.dumps(state_at(stream, position)))  # kill, and resume with another shape
        stream = make_stream(seed, phases)
        position = position_of(stream, state)
        for step in range(2):
            for rank in range(world):
                got += RankStream(stream.fork(), rank, world, batch, position).batch(step).sequences
        position += 2 * batch
    whole = make_stream(seed, phases).batch(0, position).sequences if position else []
    assert [row.tokens.tolist() for row in got] == [row.tokens.tolist() for row in whole]
    assert [row.doc_ids.tolist() for row in got] == [row.doc_ids.tolist() for row in whole]


@pytest.mark.parametrize("phases", [None, PHASES])
def test_a_sample_does_not_depend_on_what_was_read_before(phases: list[dict[str, Any]] | None) -> None:
    stream = make_stream(phases=phases)
    whole = stream.batch(0, 300).sequences
    for index in np.random.default_rng(0).permutation(300)[:60].tolist():
        for reader in (stream, make_stream(phases=phases)):
            assert np.array_equal(reader.batch(index, index + 1).sequences[0].tokens, whole[index].tokens)


@pytest.mark.parametrize("packing", ["concat", "best_fit", "document"])
def test_every_domain_within_one_sequence_of_its_target(packing: str) -> None:
    stream = make_stream(packing=packing)
    names = [row.domain for row in stream.batch(0, 2000).sequences]
    for name, weight in SHARES.items():
        counts = np.cumsum([found == name for found in names])
        assert np.abs(counts - weight * np.arange(1, 2001)).max() < 1


def test_in_every_phase_within_one_sequence_of_its_target() -> None:
    stream = make_stream(phases=PHASES)
    for phase, after in pairwise([*stream.phases, None]):
        assert phase is not None
        stop = after.start if after else phase.start + 300
        names = [row.domain for row in stream.batch(phase.start, stop).sequences]
        for name, share in phase.shares.items():
            counts = np.cumsum([found == name for found in names])
            assert np.abs(counts - share.weight * np.arange(1, len(names) + 1)).max() < 1


def test_phases_begin_at_the_first_boundary_past_their_tokens_and_rows_have_their_length() -> None:
    stream = make_stream(phases=PHASES)
    assert [phase.start for phase in stream.phases] == [0, 44, 76, 99]  # ceil(700/16), + ceil(500/16), + ceil(900/40)
    assert stream.phases[-1].stop is None
    across = stream.batch(70, 80)
    assert across.sequence_length == 40 and (across.used[:6] <= 16).all() and (across.used[6:] == 40).all()
    assert (across.labels[0, 16:] == -100).all() and (across.labels[7] != -100).all()
    assert {row.domain for row in stream.batch(44, 76).sequences} == {"web"}


@examples(25)
@given(st.integers(0, 10**6), st.sampled_from([None, PHASES]), st.integers(1, 400))
def test_each_documents_count_is_within_its_epoch_bounds(
    seed: int, phases: list[dict[str, Any]] | None, samples: int
) -> None:
    stream = make_stream(seed, phases)
    got: dict[str, Counter[int]] = {name: Counter() for name in SIZES}
    for row in stream.batch(0, samples).sequences:
        got[row.domain].update(row.tokens.tolist())
    for phase in stream.phases:
        for name, reader in zip(phase.shares, phase.readers, strict=True):
            has, total = reader.documents, sum(got[name].values())
            copies = np.array([got[name][int(token)] for token in has.shards[0].index.offsets[:-1]])  # first tokens
            passes = 0
            while has.tokens_after(passes + 1) <= total:
                passes += 1
            low = order.copies_after(has.weights, has.draws, passes, has.passes)
            high = order.copies_after(has.weights, has.draws, passes + 1, has.passes)
            assert (low <= copies).all() and (copies <= high).all()


def test_a_longer_run_and_an_appended_phase_change_nothing_before() -> None:
    short, long = make_stream(phases=PHASES[:2] + [{"tokens": 64}]), make_stream(phases=PHASES)
    assert np.array_equal(short.batch(0, 76).tokens, long.batch(0, 76).tokens)
    state = state_at(short, 60)
    assert state == state_at(long, 60)  # in phase 1, which both have
    assert position_of(long, state) == 60


def test_an_edited_phase_is_refused_once_it_is_consumed() -> None:
    state = state_at(make_stream(phases=PHASES), 90)
    for number, change in ((0, {"tokens": 701 + 16}), (1, {"packing": "document"}), (2, {"sequence_length": 41})):
        edited = [phase | change if k == number else phase for k, phase in enumerate(PHASES)]
        with pytest.raises(TamisError, match="found manifest .*expected .*phase 2, .*consumed have changed"):
            position_of(make_stream(phases=edited), state)
    coming = [*PHASES[:3], PHASES[3] | {"packing": "concat"}]
    assert position_of(make_stream(phases=coming), state) == 90
    assert position_of(make_stream(phases=[*PHASES[:2], PHASES[2] | {"tokens": 5000}]), state) == 90
    with pytest.raises(TamisError, match="at sample 90 of phase 2, which now ends at 77"):
        position_of(make_stream(phases=[*PHASES[:2], PHASES[2] | {"tokens": 40}]), state)
    with pytest.raises(TamisError, match="of 2 phases"):
        position_of(make_stream(phases=PHASES[:2]), state)


def test_far_positions_are_taken_up_at_once() -> None:
    stream, position = make_stream(), 40_000_000  # the counts come with the state, nothing is replayed
    state = state_at(stream, position)
    fresh = make_stream()
    assert position_of(fresh, state) == position
    assert len(fresh.phases[0].blend._marks) == 1
    assert np.array_equal(fresh.batch(position, position + 4).tokens, stream.batch(position, position + 4).tokens)


def test_at_a_boundary_the_coming_phase_may_still_be_edited() -> None:
    state = state_at(make_stream(phases=PHASES), 44)
    assert state["phase"] == 0
    edited = make_stream(phases=[PHASES[0], PHASES[1] | {"packing": "document"}])
    assert position_of(edited, state) == 44
    assert edited.batch(44, 45).sequences[0].domain == "web"


def test_steps_of_one_length_are_gathered_at_once_beside_a_change_of_length() -> None:
    ranked, calls = RankStream(make_stream(phases=PHASES), 0, 1, 4), []
    real = ranked.stream.gather
    ranked.stream.gather = lambda samples, length=0: calls.append(len(samples)) or real(samples, length)  # type: ignore
    batches = ranked.gather(range(10, 30))  # samples 40 to 119; the length changes at 76 and at 99
    assert calls == [36, 24, 20] and [batch.sequence_length for batch in batches] == [16] * 9 + [40] * 6 + [24] * 5
    calls.clear()
    assert [batch.sequence_length for batch in RankStream(ranked.stream, 0, 1, 8).gather(range(8, 11))] == [16, 40, 40]


def test_two_threads_read_one_domain() -> None:
    stream = make_stream()
    whole = stream.batch(0, 4000).tokens
    with Prefetch(RankStream(stream, 0, 1, 8), 0, 500) as batches:
        for step, batch in enumerate(batches):
            assert np.array_equal(batch.tokens, whole[8 * step : 8 * step + 8])
            if step % 7 == 0:
                state_at(stream, 8 * step * 3)


def test_a_mixture_that_ends_says_so_and_prefetch_stops_there() -> None:
    stream = make_stream(phases=[{"tokens": 160}])
    with pytest.raises(ConfigError, match=r"phases.0.tokens: found 160, which ends the mixture after 10 sequences"):
        stream.batch(0, 11)
    with Prefetch(RankStream(stream, 0, 1, 4)) as batches:
        assert [b.samples.tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("stride", [1, 3])
def test_prefetch_gives_the_same_batches(stride: int) -> None:
    stream = make_stream(phases=PHASES)
    ranked = RankStream(stream, 1, 2, 8)
    with Prefetch(ranked, 2, 30, stride) as batches:
        got = list(batches)
    assert [b.samples[0] for b in got] == [8 * step + 4 for step in range(2, 30, stride)]
    for step, batch in zip(range(2, 30, stride), got, strict=True):
        alone = ranked.batch(step)
        assert np.array_equal(batch.window, alone.window) and np.array_equal(batch.cu_seqlens, alone.cu_seqlens)
        assert np.array_equal(batch.positions, alone.positions) and np.array_equal(batch.doc_ids, alone.doc_ids)


def test_digest_is_of_little_endian_uint32_rows() -> None:
    stream = make_stream()
    tokens = np.concatenate([stream.batch(i, i + 1).tokens for i in range(8, 16)])
    assert list(step_digests(stream, 1, 2, 8)) == [(1, hashlib.sha256(tokens.astype("<u4").tobytes()).hexdigest())]


def test_refusals() -> None:
    stream = make_stream()
    with pytest.raises(ConfigError, match=r"world_size.*3.*8"):
        RankStream(stream, 0, 3, 8)
    with pytest.raises(TamisError, match="manifest"):
        position_of(make_stream(4), state_at(stream, 8))
    for change in ({"position": 9}, {"domains": {}}, {"digest": "0"}, {"seed": 5}):
        with pytest.raises(TamisError, match="damaged"):
            position_of(stream, state_at(stream, 8) | change)
    with pytest.raises(TamisError, match="format"):
        position_of(stream, {})
