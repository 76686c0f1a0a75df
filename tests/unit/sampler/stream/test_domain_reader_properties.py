"""A domain's sequences: equal to their slow twin, conserved within an epoch, read from anywhere, however packed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.stream import order
from sampler.stream.domain_documents import DomainDocuments
from sampler.stream.domain_reader import Cursor, DomainReader
from sampler.stream.window import PADDING, Window, positions_of, segments_of
from tests.support.examples import examples
from tests.support.sampler_run import bare_documents

LENGTHS = st.lists(st.one_of(st.just(1), st.integers(1, 12), st.integers(60, 150)), min_size=1, max_size=25)
WEIGHT = st.sampled_from([0.0, 0.1, 0.3, 1.0, 1.0, 1.5, 2.5])
PACKINGS = ["concat", "best_fit", "document"]
PAD = 1 << 40


def slow_stream(has: DomainDocuments, passes: int) -> list[int]:
    """Passes laid out in full: permuted blocks of permuted documents, each a list of tokens."""
    lengths = np.concatenate([np.diff(shard.index.offsets) for shard in has.shards])
    begins = np.cumsum(lengths) - lengths  # token values run on through the shards
    stream: list[int] = []
    for number in range(passes):
        epoch, within = divmod(number, has.passes)
        taken = set(order.documents_in_pass(has.weights, has.draws, number, has.passes).tolist())
        for block in order.permutation(has.blocks, order.key_of(has.seed, has.domain, epoch, within)).tolist():
            members = [d for d in range(has.starts[block], has.starts[block + 1]) if d in taken]
            key = order.key_of(has.seed, has.domain, epoch, within, block)
            for i in order.permutation(len(members), key).tolist():
                stream += range(begins[members[i]], begins[members[i]] + lengths[members[i]])
    return stream


def read(reader: DomainReader, ordinals: list[int], width: int | None = None) -> Window:
    """Some sequences, one a row."""
    window = Window(len(ordinals), width or reader.length, PAD)
    if ordinals:
        reader.fill(np.array(ordinals, np.int64), np.arange(len(ordinals), dtype=np.int64), window)
    return window


def tokens_of(window: Window) -> list[int]:
    """Tokens in the order of the rows, without padding."""
    return [t for row, used in zip(window.tokens, window.used, strict=True) for t in row[:used].tolist()]


def draw_documents(lengths: list[int], data: st.DataObject, seed: int, block: int = 64) -> DomainDocuments:
    weights = data.draw(st.lists(WEIGHT, min_size=len(lengths), max_size=len(lengths)))
    weights[0] = weights[0] or 0.7
    shards = data.draw(st.integers(1, min(3, len(lengths))))
    return bare_documents(lengths, weights, seed, block, shards=shards)


@examples(80)
@given(LENGTHS, st.data(), st.integers(0, 10**6), st.sampled_from([1, 20, 64, 10_000]), st.integers(1, 70))
def test_concat_equals_the_slow_twin_from_anywhere(
    lengths: list[int], data: st.DataObject, seed: int, block: int, length: int
) -> None:
    has = draw_documents(lengths, data, seed, block)
    whole = slow_stream(has, 4 * has.passes)
    count = max(0, (len(whole) - 1) // length)
    got = read(DomainReader(has, length), list(range(count)))
    assert tokens_of(got) == whole[: count * length]
    assert got.tokens[:, -1].tolist() == [whole[(k + 1) * length] for k in range(count)]  # the last labels
    some = sorted(data.draw(st.lists(st.integers(0, max(count - 1, 0)), max_size=6, unique=True))) if count else []
    fresh = read(DomainReader(has, length), some, length + 3)
    for row, ordinal in enumerate(some):
        assert fresh.tokens[row, : length + 1].tolist() == whole[ordinal * length : (ordinal + 1) * length + 1]
        assert set(fresh.tokens[row, length + 1 :].tolist()) == {PAD}


@examples(100)
@given(LENGTHS, st.data(), st.integers(0, 10**6), st.sampled_from(["best_fit", "document"]), st.integers(2, 90))
def test_planned_packings_conserve_every_epoch(
    lengths: list[int], data: st.DataObject, seed: int, packing: str, length: int
) -> None:
    has = draw_documents(lengths, data, seed)
    reader, wanted, ordinal = DomainReader(has, length, packing), slow_stream(has, 2 * has.passes), 0
    got: list[int] = []
    while len(got) < len(wanted):
        window = read(reader, [ordinal])
        got += tokens_of(window)
        first, columns, ids = window.pieces()
        check_row(window, columns, ids, has, length)
        if packing == "document":
            assert len(set(ids.tolist()) - {PADDING}) == 1
        ordinal += 1
    assert Counter(got) == Counter(wanted)  # passes end with a sequence, so an epoch is whole
    again = [tokens_of(read(DomainReader(has, length, packing), [i])) for i in range(0, ordinal, 3)]
    assert again == [tokens_of(read(reader, [i])) for i in range(0, ordinal, 3)]


def check_row(window: Window, columns: np.ndarray, ids: np.ndarray, has: DomainDocuments, length: int) -> None:  # type: ignore[type-arg]
    """A row of one window: each piece runs on within one document, and only cut where it does not fit."""
    row, used = window.tokens[0], int(window.used[0])
    ends = [*columns[1:].tolist(), length]
    sizes = {int(d): int(n) for s in has.shards for d, n in zip(s.index.doc_ids, np.diff(s.index.offsets), strict=True)}
    for begin, end, doc in zip(columns.tolist(), ends, ids.tolist(), strict=True):
        piece = row[begin:end].tolist()
        if doc == PADDING:
            assert begin == used and set(piece) == {PAD}
            continue
        assert piece == list(range(piece[0], piece[0] + len(piece)))
        assert len(piece) == sizes[doc] if sizes[doc] <= length else len(piece) <= length
    lasts = np.cumsum([size for size in sizes.values()]) - 1  # token values run on through the shards
    whole = int(row[used - 1]) in lasts.tolist()
    assert row[used] == (PAD if whole else row[used - 1] + 1)  # a cut document's next token is the last label


@examples(60)
@given(LENGTHS, st.integers(3, 60), st.integers(0, 1000))
def test_best_fit_opens_few_sequences(lengths: list[int], length: int, seed: int) -> None:
    has = bare_documents(lengths, seed=seed, block_tokens=100_000)
    rows, got = 0, 0
    reader = DomainReader(has, length, "best_fit")
    while got < sum(lengths):
        got += len(tokens_of(read(reader, [rows])))
        rows += 1
    whole = -(-sum(lengths) // length)
    assert whole <= rows <= max(whole, 2 * whole - 1)  # any-fit opens at most one half-empty bin


@examples(60)
@given(LENGTHS, st.data(), st.integers(0, 10**6))
def test_phases_consume_nothing_twice_and_skip_nothing(lengths: list[int], data: st.DataObject, seed: int) -> None:
    has = draw_documents(lengths, data, seed)
    cursor, got = Cursor(), Counter[int]()
    total = 0
    for _ in range(data.draw(st.integers(1, 5))):
        length, packing = data.draw(st.integers(2, 80)), data.draw(st.sampled_from(PACKINGS))
        reader, count = DomainReader(has, length, packing, cursor), data.draw(st.integers(0, 7))
        window = read(reader, list(range(count)))
        got.update(tokens_of(window))
        total += len(tokens_of(window))
        assert reader.consumed(count) == total
        assert reader.epochs_after(count) >= 0
        cursor = reader.cursor_after(count)
    # Go on to the end of the pass, of the one after it, … : what came is exactly these passes.
    reader, ordinal = DomainReader(has, 1, "concat", cursor), 0
    passes = reader.place(0)["pass"] + 1
    wanted = Counter(slow_stream(has, passes))
    left = sum(wanted.values()) - total
    got.update(tokens_of(read(reader, list(range(left)))))
    assert got == wanted, ordinal


@examples(60)
@given(LENGTHS, st.data(), st.integers(2, 50), st.integers(0, 10**6), st.sampled_from(["concat", "document"]))
def test_a_change_of_nothing_changes_nothing(
    lengths: list[int], data: st.DataObject, length: int, seed: int, packing: str
) -> None:
    """But for best_fit, whose open block is packed anew."""
    has = draw_documents(lengths, data, seed)
    whole = read(DomainReader(has, length, packing), list(range(12)))
    cut = data.draw(st.integers(0, 8))
    first = DomainReader(has, length, packing)
    after = read(DomainReader(has, length, packing, first.cursor_after(cut)), list(range(12 - cut)))
    assert np.array_equal(after.tokens, whole.tokens[cut:])


@examples(100)
@given(LENGTHS, st.data(), st.integers(0, 10**6))
def test_over_phases_a_label_is_the_documents_next_token(lengths: list[int], data: st.DataObject, seed: int) -> None:
    has = draw_documents(lengths, data, seed)
    lasts = {int(n) - 1 for n in np.cumsum([n for s in has.shards for n in np.diff(s.index.offsets)])}
    cursor = Cursor()
    for _ in range(4):
        length, packing = data.draw(st.integers(2, 80)), data.draw(st.sampled_from(PACKINGS))
        reader, count = DomainReader(has, length, packing, cursor), data.draw(st.integers(0, 5))
        window = read(reader, list(range(count)))
        for row, used in zip(window.tokens.tolist(), window.used.tolist(), strict=True):
            for token, label in zip(row[:used], row[1 : used + 1], strict=True):
                assert token in lasts or label == token + 1
        first, columns, ids = window.pieces()
        for row in range(count):
            for piece in range(first[row] + 1, first[row + 1]):  # no document stands as two neighbouring pieces
                at = columns[piece]
                assert ids[piece] == PADDING or window.tokens[row, at - 1] in lasts
        cursor = reader.cursor_after(count)


@examples(60)
@given(LENGTHS, st.data(), st.integers(2, 40), st.integers(0, 10**6))
def test_what_a_phase_leaves_of_a_document_is_its_end(
    lengths: list[int], data: st.DataObject, length: int, seed: int
) -> None:
    """The rest of a long document shares a sequence, which must not come before the document's whole ones."""
    has = draw_documents(lengths, data, seed)
    reader = DomainReader(has, length, data.draw(st.sampled_from(["best_fit", "document"])))
    for count in range(1, 8):
        left = reader.cursor_after(count).left
        if left is None:
            continue
        ends = [
            shard.index.offsets[left.rows + 1] for shard in has.shards if left.rows.max(initial=-1) < shard.documents
        ]
        assert any(np.array_equal(left.ends, end) for end in ends)


@examples(60)
@given(LENGTHS, st.integers(2, 50), st.integers(0, 10**6))
def test_boundaries_name_the_documents(lengths: list[int], length: int, seed: int) -> None:
    has = bare_documents(lengths, seed=seed)
    window = read(DomainReader(has, length), list(range(6)))
    first, columns, ids = window.pieces()
    offsets = has.shards[0].index.offsets
    for row in range(6):
        begins, docs = columns[first[row] : first[row + 1]].tolist(), ids[first[row] : first[row + 1]].tolist()
        assert begins[0] == 0 and sorted(set(begins)) == begins
        for begin, end, doc in zip(begins, [*begins[1:], length], docs, strict=True):
            document = (doc - 100) // 7
            run = window.tokens[row, begin:end].tolist()
            assert run == list(range(run[0], run[0] + len(run)))
            assert offsets[document] <= run[0] and run[-1] < offsets[document + 1]
            assert begin == 0 or run[0] == offsets[document]  # only the first piece may begin inside
            assert end == length or run[-1] == offsets[document + 1] - 1
    positions, segments = positions_of(first, columns, length), segments_of(first, columns, length)
    for row in range(6):
        begins = columns[first[row] : first[row + 1]]
        assert positions[row].tolist() == [i - begins[s] for i, s in enumerate(segments[row].tolist())]
        assert np.array_equal(np.flatnonzero(positions[row] == 0), begins)


@pytest.mark.parametrize("lengths", [[1], [5], [500], [1] * 40, [1, 300, 1]])
@pytest.mark.parametrize("packing", PACKINGS)
def test_one_document_or_one_token(lengths: list[int], packing: str) -> None:
    got = tokens_of(read(DomainReader(bare_documents(lengths), 32, packing), list(range(60))))
    whole = len(got) // sum(lengths) * sum(lengths)
    counts = np.bincount(got[:whole], minlength=sum(lengths))
    assert (counts == whole // sum(lengths)).all()


def test_epochs_are_counted_with_their_fraction() -> None:
    reader = DomainReader(bare_documents([10, 20, 30]), 10)
    assert [reader.epochs_after(n) for n in (0, 3, 6, 15)] == [0, 0.5, 1, 2.5]


def test_epochs_and_seeds_and_domains_differ_in_order() -> None:
    lengths = [3] * 60
    first = DomainReader(bare_documents(lengths, seed=1), 180)
    other_seed = DomainReader(bare_documents(lengths, seed=2), 180)
    other_domain = DomainReader(bare_documents(lengths, seed=1, domain="books"), 180)
    order_of = [
        tokens_of(read(reader, [start]))
        for reader, start in ((first, 0), (first, 1), (other_seed, 0), (other_domain, 0))
    ]
    assert len({tuple(found) for found in order_of}) == 4
    assert len({tuple(sorted(found)) for found in order_of}) == 1
