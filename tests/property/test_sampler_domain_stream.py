"""A domain's stream: equal to its slow twin, conserved within an epoch, read from anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler import order
from sampler.domain import DomainDocuments, DomainReader
from tests.sampler_run import bare_documents

LENGTHS = st.lists(st.one_of(st.just(1), st.integers(1, 12), st.integers(60, 150)), min_size=1, max_size=25)
WEIGHT = st.sampled_from([0.0, 0.1, 0.3, 1.0, 1.0, 1.5, 2.5])


def slow_stream(has: DomainDocuments, passes: int) -> list[int]:
    """Passes laid out in full: permuted blocks of permuted documents, each a list of tokens."""
    stream: list[int] = []
    for number in range(passes):
        epoch, within = divmod(number, has.passes)
        taken = set(order.documents_in_pass(has.weights, has.phases, number, has.passes).tolist())
        name = has.source.domain
        for block in order.permutation(len(has.starts) - 1, order.key_of(has.seed, name, epoch, within)).tolist():
            members = [d for d in range(has.starts[block], has.starts[block + 1]) if d in taken]
            key = order.key_of(has.seed, name, epoch, within, block)
            for i in order.permutation(len(members), key).tolist():
                stream += range(has.begins[members[i]], has.ends[members[i]])
    return stream


@settings(max_examples=80, deadline=None)
@given(LENGTHS, st.data(), st.integers(0, 10**6), st.sampled_from([1, 20, 64, 10_000]))
def test_equals_the_slow_twin_from_anywhere(lengths: list[int], data: st.DataObject, seed: int, block: int) -> None:
    weights = data.draw(st.lists(WEIGHT, min_size=len(lengths), max_size=len(lengths)))
    weights[0] = weights[0] or 0.7
    has = bare_documents(lengths, weights, seed, block)
    whole = slow_stream(has, 4 * has.passes)
    reader = DomainReader(has)
    if whole:
        assert reader.read(0, len(whole))[0].tolist() == whole
        for start in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
            stop = min(len(whole), start + 40)
            assert DomainReader(has).read(start, stop - start)[0].tolist() == whole[start:stop]


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.data(), st.integers(0, 10**6))
def test_tokens_are_conserved_within_an_epoch(lengths: list[int], data: st.DataObject, seed: int) -> None:
    weights = data.draw(st.lists(WEIGHT, min_size=len(lengths), max_size=len(lengths)))
    weights[-1] = weights[-1] or 1.0
    has = bare_documents(lengths, weights, seed)
    reader = DomainReader(has)
    ends = [int(order.tokens_after(has.weights, has.phases, has.lengths, e * has.passes, has.passes)) for e in range(4)]
    for epoch, (begin, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        copies = np.diff(
            [order.copies_after(has.weights, has.phases, (epoch + more) * has.passes, has.passes) for more in (0, 1)],
            axis=0,
        )[0]
        got = reader.read(begin, end - begin)[0] if end > begin else np.zeros(0, np.int64)
        wanted = [t for d, n in enumerate(copies) for t in list(range(has.begins[d], has.ends[d])) * int(n)]
        assert sorted(got.tolist()) == sorted(wanted)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(2, 50), st.integers(0, 10**6))
def test_boundaries_name_the_documents(lengths: list[int], length: int, seed: int) -> None:
    has = bare_documents(lengths, seed=seed)
    reader, after = DomainReader(has), None
    for ordinal in range(6):
        row = reader.sequence(ordinal, length)
        assert row.tokens.dtype == np.uint32 and len(row.tokens) == length
        assert row.cu_seqlens[0] == 0 and row.cu_seqlens[-1] == length and (np.diff(row.cu_seqlens) > 0).all()
        assert after is None or int(row.tokens[0]) == after  # the label past the end is the next first token
        after = row.following
        for piece, (begin, end) in enumerate(zip(row.cu_seqlens[:-1], row.cu_seqlens[1:], strict=True)):
            document = int(row.doc_ids[piece] - 100) // 7
            run = row.tokens[begin:end].tolist()
            assert run == list(range(run[0], run[0] + len(run)))
            assert has.begins[document] <= run[0] and run[-1] < has.ends[document]
            assert begin == 0 or run[0] == has.begins[document]  # only the first piece may begin inside
            assert end == length or run[-1] == has.ends[document] - 1
        assert row.positions.tolist() == [i - row.cu_seqlens[s] for i, s in enumerate(row.segments.tolist())]
        assert row.labels[:-1].tolist() == row.tokens[1:].tolist()


@pytest.mark.parametrize("lengths", [[1], [5], [500], [1] * 40, [1, 300, 1]])
def test_one_document_or_one_token(lengths: list[int]) -> None:
    reader = DomainReader(bare_documents(lengths))
    got = np.concatenate([reader.sequence(i, 32).tokens for i in range(40)])
    whole = len(got) // sum(lengths) * sum(lengths)
    counts = np.bincount(got[:whole], minlength=sum(lengths))
    assert (counts == whole // sum(lengths)).all()


def test_epochs_are_counted_with_their_fraction() -> None:
    reader = DomainReader(bare_documents([10, 20, 30]))
    assert reader.epochs_at(0) == 0
    assert reader.epochs_at(30) == 0.5
    assert reader.epochs_at(60) == 1
    assert reader.epochs_at(150) == 2.5


def test_epochs_and_seeds_and_domains_differ_in_order() -> None:
    lengths = [3] * 60
    first = DomainReader(bare_documents(lengths, seed=1))
    other_seed, other_domain = (
        DomainReader(bare_documents(lengths, seed=2)),
        DomainReader(bare_documents(lengths, seed=1, domain="books")),
    )
    order_of = [
        reader.read(start, 180)[0].tolist()
        for reader, start in ((first, 0), (first, 180), (other_seed, 0), (other_domain, 0))
    ]
    assert len({tuple(found) for found in order_of}) == 4
    assert len({tuple(sorted(found)) for found in order_of}) == 1
