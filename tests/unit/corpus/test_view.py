"""Views, edits and shard states by example, and a ledger that must refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpus.files import Manifest, commit, read_files, write_table
from corpus.ledger import account, total_ledgers
from corpus.schemas import DROPS, EDITS
from corpus.shard_state import ShardState, load_state
from corpus.view import Edits, build_view
from tamis.errors import TamisError
from text.arrow import TextColumn

STORED = "[menu] write to bob@example.org, please [cookies]"
Row = tuple[int, int, int, str | None]


def edits(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(
        [{"row": r, "start": a, "end": b, "reason": "why", "replacement": t, "sentences": 2} for r, a, b, t in rows],
        EDITS,
    )


def drops(*rows: int) -> pa.Table:
    return pa.Table.from_pylist([{"row": r, "doc_id": r, "reason": "why"} for r in rows], DROPS)


def merged(state: Edits, *rows: Row) -> Edits:
    r, a, b, texts = zip(*rows, strict=True)
    return state.merged(np.array(r, np.int32), np.array(a, np.int32), np.array(b, np.int32), list(texts))


def as_rows(found: Edits) -> list[tuple[int, int, int, int, str]]:
    parts = zip(found.rows().tolist(), found.start.tolist(), found.end.tolist(), found.cut.tolist(), strict=True)
    return [(*part, found.replacement.text_at(i)) for i, part in enumerate(parts)]


def view_of(state: Edits, *texts: str) -> list[str]:
    column = build_view(TextColumn.from_texts(list(texts)), state, np.arange(len(texts), dtype=np.int32)).column
    return [column.text_at(i) for i in range(len(column))]


def test_the_picture_in_the_module() -> None:
    at = STORED.index("bob")
    mail = (0, at, at + len("bob@example.org"), "<EMAIL>")
    found = merged(Edits.none(1), (0, 0, 7, None), mail, (0, len(STORED) - 10, len(STORED), None))
    assert view_of(found, STORED) == ["write to <EMAIL>, please"]
    view = build_view(TextColumn.from_texts([STORED]), found, np.array([0], np.int32))

    def back(start: int, end: int) -> str:
        _, low, high = view.to_stored(np.array([0]), np.array([start]), np.array([end]))
        return STORED[low[0] : high[0]]

    assert back(0, 24) == "write to bob@example.org, please", "cuts at the ends stay outside"
    assert back(9, 16) == "bob@example.org"
    assert back(10, 11) == "bob@example.org", "a span inside a rewrite is the whole of it"
    assert back(0, 9) == "write to " and back(16, 24) == ", please"


def test_nothing_edited_is_viewed_without_a_copy() -> None:
    column = TextColumn.from_texts(["a", "bc"])
    view = build_view(column, Edits.none(2), np.arange(2, dtype=np.int32))
    assert view.column is column
    part = build_view(column, Edits.none(2), np.array([1], np.int32)).column
    assert (len(part), part.text_at(0)) == (1, "bc")
    assert len(build_view(column, Edits.none(2), np.zeros(0, np.int32)).column) == 0


def test_a_later_edit_swallows_those_inside_it_and_leaves_its_neighbours() -> None:
    first = merged(Edits.none(2), (0, 2, 4, None), (0, 6, 8, "XY"), (1, 0, 3, None))
    later = merged(first, (0, 1, 8, "Z"), (0, 8, 9, None))
    assert as_rows(later) == [(0, 1, 8, 2, "Z"), (0, 8, 9, 1, ""), (1, 0, 3, 3, "")]
    assert view_of(later, "0123456789", "abcd") == ["0Z9", "d"]
    assert later.cut_bytes().tolist() == [3, 3]
    assert later.rewritten_bytes().tolist() == [-4, 0], "five bytes that were still there became one"
    assert first.merged(*[np.zeros(0, np.int32)] * 3, []) is first


def test_of_equal_spans_the_later_one_stays() -> None:
    first = merged(Edits.none(1), (0, 2, 4, "long text"), (0, 6, 8, None))
    later = merged(first, (0, 2, 4, None), (0, 6, 8, "X"))
    assert view_of(later, "0123456789") == ["0145X89"]
    assert later.cut_bytes().tolist() == [4], "the two bytes under X were cut before, and count as cut"
    assert later.rewritten_bytes().tolist() == [1]


def test_order_of_the_new_edits_does_not_matter_and_overlaps_are_refused() -> None:
    rows: list[Row] = [(1, 5, 6, None), (0, 3, 4, "x"), (1, 0, 2, None), (0, 0, 1, None)]
    assert as_rows(merged(Edits.none(2), *rows)) == as_rows(merged(Edits.none(2), *rows[::-1]))
    with pytest.raises(ValueError, match="edits of row 1 overlap"):
        merged(Edits.none(2), (1, 0, 4, None), (1, 3, 6, None))
    with pytest.raises(ValueError, match="edits of row 1 overlap"):
        merged(merged(Edits.none(2), (1, 0, 4, None)), (1, 3, 6, "x"))


def test_a_view_key_knows_the_words_of_a_rewrite() -> None:
    """Another replacement of the same length is another view; so is the same edit in another place."""
    fresh = ShardState.fresh(3)
    keys = {
        fresh.after(None, edits((1, *span, text))).view_keys()[1]
        for span in ((0, 5), (1, 5), (0, 4))
        for text in ("<EMAIL>", "<PHONE>", None, "<PHONE")
    }
    assert len(keys) == 12 and 0 not in keys
    assert fresh.view_keys().tolist() == [0, 0, 0]
    state = fresh.after(drops(0), edits((1, 0, 5, None)))
    assert state.view_keys()[[0, 2]].tolist() == [0, 0]
    assert (
        fresh.after(None, edits((0, 0, 2, None), (0, 3, 4, None))).view_keys()[0]
        != fresh.after(None, edits((0, 0, 4, None), (0, 3, 4, None))).view_keys()[0]
    )


def test_a_state_is_the_fold_of_the_decisions_on_disk(tmp_path: Path) -> None:
    chain: list[Manifest] = []
    for i, (gone, cuts) in enumerate(
        [(drops(0), edits((1, 0, 2, None))), (drops(0, 2), None), (None, edits((1, 4, 5, "é")))]
    ):
        folder = tmp_path / str(i)
        files = [
            write_table(folder, kind, t, kind=kind, shard=4)
            for kind, t in (("drops", gone), ("edits", cuts))
            if t is not None
        ]
        chain.append(commit(folder, {}, files))
    assert [len(d.of_shard("drops", 4)) + len(d.of_shard("edits", 4)) for d in chain] == [2, 1, 1]
    state = load_state(chain, 4, 4)
    assert state.alive.tolist() == [False, True, False, True]
    assert state.cut_sentences.tolist() == [0, 2, 0, 0]
    assert view_of(state.edits, "a", "012345", "b", "c") == ["a", "23é5", "b", "c"]
    for nothing, shard in ((commit(tmp_path / "none", {}, []), 4), (chain[0], 5)):
        assert (nothing.read("drops", shard), nothing.read("edits", shard)) == (None, None)
        assert load_state([nothing], shard, 4).alive.all()
    assert read_files([]) is None
    fresh = ShardState.fresh(2)
    fresh.after(drops(0), None)
    assert fresh.alive.all(), "the state before a decision is left as it was"


def test_the_first_decision_that_drops_a_document_counts() -> None:
    size, sentences = np.array([10, 20, 30]), np.array([1, 2, 3])
    first, state = account("a", ShardState.fresh(3), drops(1), None, size, sentences)
    second, state = account("b", state, drops(1, 2), edits((0, 0, 4, None), (2, 0, 9, None)), size, sentences)
    assert (first.documents_dropped, first.bytes_dropped) == ({"why": 1}, {"why": 20})
    assert (second.documents_dropped, second.bytes_dropped) == ({"why": 1}, {"why": 30, "cut:why": 4})
    assert (second.bytes_in, second.bytes_kept, second.sentences_in, second.sentences_kept) == (40, 6, 4, -1)
    for ledger in (first, second):
        ledger.check()


def test_a_document_dropped_twice_in_one_decision_breaks_the_sum() -> None:
    size = np.array([10, 20])
    ledger, _ = account("twice", ShardState.fresh(2), drops(1, 1), None, size, size)
    with pytest.raises(TamisError, match="stage twice is off by -1 documents, -20 bytes and"):
        total_ledgers("twice", [ledger])
