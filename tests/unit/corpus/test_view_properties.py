"""Views, states and ledgers over random chains of decisions equal twins that work on Python bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from corpus.ledger import account, total_ledgers
from corpus.schemas import DROPS, EDITS
from corpus.shard_state import ShardState
from corpus.view import build_view
from tamis.errors import TamisError
from tests.oracles import text as oracles
from tests.support.examples import examples
from text.arrow import TextColumn

TEXT = st.text(st.sampled_from("abc é疫𠮷"), max_size=14)
REPLACEMENT = st.sampled_from([None, None, None, "", "X", "Y", "<疫>"])


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[str], list[dict[str, Any]]]:
    """Texts, and decisions whose edits were found in the views of their stage: disjoint, nested over stages."""
    texts = draw(st.lists(TEXT, min_size=1, max_size=4))
    known: list[list[oracles.Edit]] = [[] for _ in texts]
    stages = []
    for _ in range(draw(st.integers(1, 4))):
        edits = []
        for row, text in enumerate(texts):
            stored = text.encode()
            pieces = oracles.view_pieces(stored, known[row])
            fresh: list[oracles.Edit] = []
            for _ in range(draw(st.integers(0, 3)) if pieces else 0):
                start = draw(st.integers(0, len(pieces) - 1))
                low, high = oracles.stored_span(pieces, start, draw(st.integers(start + 1, len(pieces))))
                if all(high <= e[0] or e[1] <= low for e in fresh):
                    text_there = draw(REPLACEMENT)
                    fresh.append((low, high, None if text_there is None else text_there.encode()))
            known[row] = oracles.later_edits(known[row], fresh)
            edits += [(row, *e, draw(st.sampled_from(["menu", "ad"]))) for e in sorted(fresh, key=lambda e: e[0])]
        drops = draw(st.lists(st.integers(0, len(texts) - 1), max_size=2, unique=True))
        stages.append({"edits": edits, "drops": sorted(drops), "known": [list(k) for k in known]})
    return texts, stages


def edits_table(edits: list[tuple[int, int, int, bytes | None, str]]) -> pa.Table:
    rows = [
        {
            "row": r,
            "start": a,
            "end": b,
            "reason": why,
            "replacement": None if t is None else t.decode(),
            "sentences": 1,
        }
        for r, a, b, t, why in edits
    ]
    return pa.Table.from_pylist(rows, EDITS)


def drops_table(rows: list[int]) -> pa.Table:
    return pa.Table.from_pylist([{"row": r, "doc_id": r, "reason": f"why{r % 2}"} for r in rows], DROPS)


def states(texts: list[str], stages: list[dict[str, Any]]) -> list[ShardState]:
    found = [ShardState.fresh(len(texts))]
    for stage in stages:
        found.append(found[-1].after(drops_table(stage["drops"]), edits_table(stage["edits"])))
    return found


def column_of(texts: list[str], skip: int) -> TextColumn:
    """The texts as a slice whose first offset is not 0."""
    return TextColumn.from_arrow(pa.array(["é" * skip, *texts, "end"]).slice(1, len(texts)))


@examples(250)
@given(chains(), st.integers(0, 2), st.data())
def test_views_equal_those_of_python_bytes(chain: Any, skip: int, data: st.DataObject) -> None:
    texts, stages = chain
    stored = column_of(texts, skip)
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(texts) - 1)))), np.int32)
    for state, stage in zip(states(texts, stages)[1:], stages, strict=True):
        view = build_view(stored, state.edits, rows)
        for i, row in enumerate(rows.tolist()):
            pieces = oracles.view_pieces(texts[row].encode(), stage["known"][row])
            assert view.column.bytes_at(i) == bytes(p[0] for p in pieces)
            mine = slice(state.edits.ptr[row], state.edits.ptr[row + 1])
            assert state.edits.start[mine].tolist() == [e[0] for e in stage["known"][row]]
            assert state.edits.end[mine].tolist() == [e[1] for e in stage["known"][row]]


@examples(250)
@given(chains(), st.data())
def test_spans_of_a_view_go_back_to_the_stored_text(chain: Any, data: st.DataObject) -> None:
    texts, stages = chain
    rows = np.arange(len(texts), dtype=np.int32)
    edits = states(texts, stages)[-1].edits
    view = build_view(column_of(texts, 1), edits, rows)
    spans = []
    for row, text in enumerate(texts):
        pieces = oracles.view_pieces(text.encode(), stages[-1]["known"][row])
        for _ in range(3 if pieces else 0):
            start = data.draw(st.integers(0, len(pieces) - 1))
            end = data.draw(st.integers(start + 1, len(pieces)))
            spans.append((row, start, end, *oracles.stored_span(pieces, start, end)))
    assume(spans)
    which, start, end, low, high = np.array(spans, np.int64).T
    found_rows, found_low, found_high = view.to_stored(which, start, end)
    assert found_rows.tolist() == which.tolist()
    assert found_low.tolist() == low.tolist()
    assert found_high.tolist() == high.tolist()
    again = [  # what lies there, seen through the edits inside it, is the span, or more where it began in a rewrite
        bytes(p[0] for p in oracles.view_pieces(texts[r].encode(), stages[-1]["known"][r]) if a <= p[1] and p[2] <= b)
        for r, a, b in zip(which.tolist(), found_low.tolist(), found_high.tolist(), strict=True)
    ]
    for text, (row, a, b, _, _) in zip(again, spans, strict=True):
        assert view.column.bytes_at(row)[a:b] in text
    _, empty_low, empty_high = view.to_stored(which, start, start)
    assert (empty_low <= empty_high).all()
    assert ((empty_low == empty_high) | ((empty_low == low) & (empty_high <= high))).all(), (
        "only inside a rewrite is it more than nothing"
    )


@examples(150)
@given(chains())
def test_a_view_key_changes_just_when_the_edits_do(chain: Any) -> None:
    texts, stages = chain
    known = [[[] for _ in texts], *(stage["known"] for stage in stages)]
    seen: dict[int, Any] = {}
    for state, edits in zip(states(texts, stages), known, strict=True):
        for key, mine in zip(state.view_keys().tolist(), edits, strict=True):
            seen_as = tuple((a, b, t or b"") for a, b, t in mine)
            assert seen.setdefault(key, seen_as) == seen_as
            assert (key == 0) == (not mine)
    assert len(seen) == len(set(seen.values()))


def funnel(texts: list[str], stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ledger, byte by byte: each stored byte is there until a drop or a cut takes it; a rewrite takes none."""
    alive = [True] * len(texts)
    there = [[True] * len(t.encode()) for t in texts]
    lines = []
    for stage in stages:
        line: dict[str, Any] = {"in": (sum(alive), sum(sum(b) for a, b in zip(alive, there, strict=True) if a))}
        dropped: dict[str, int] = {}
        lost: dict[str, int] = {}
        for row in stage["drops"]:
            if alive[row]:
                dropped[f"why{row % 2}"] = dropped.get(f"why{row % 2}", 0) + 1
                lost[f"why{row % 2}"] = lost.get(f"why{row % 2}", 0) + sum(there[row])
            alive[row] = False
        for row, low, high, replacement, why in stage["edits"]:
            if replacement is None:
                if alive[row]:
                    lost[f"cut:{why}"] = lost.get(f"cut:{why}", 0) + sum(there[row][low:high])
                there[row][low:high] = [False] * (high - low)
        line["kept"] = (sum(alive), sum(sum(b) for a, b in zip(alive, there, strict=True) if a))
        line["dropped"], line["lost"] = dropped, lost
        views = [oracles.view_pieces(t.encode(), k) for t, k in zip(texts, stage["known"], strict=True)]
        line["growth"] = sum(len(v) - sum(b) for v, b, a in zip(views, there, alive, strict=True) if a)
        lines.append(line)
    return lines


@examples(250)
@given(chains())
def test_the_ledger_of_any_decisions_adds_up_to_what_a_byte_count_says(chain: Any) -> None:
    texts, stages = chain
    size = np.array([len(t.encode()) for t in texts], np.int64)
    state = ShardState.fresh(len(texts))
    for stage, line in zip(stages, funnel(texts, stages), strict=True):
        before = state
        ledger, state = account(
            "s", before, drops_table(stage["drops"]), edits_table(stage["edits"]), size, size * 0 + 9
        )
        ledger.check()
        assert (ledger.documents_in, ledger.bytes_in) == line["in"]
        assert (ledger.documents_kept, ledger.bytes_kept) == line["kept"]
        assert ledger.documents_dropped == line["dropped"]
        assert ledger.bytes_dropped == line["lost"]
        growth = [int(s.edits.rewritten_bytes()[state.alive].sum()) for s in (before, state)]
        assert ledger.bytes_rewritten == growth[1] - growth[0]
        assert growth[1] == line["growth"]
        total = total_ledgers("s", [ledger, ledger])
        assert total.bytes_dropped == {why: 2 * n for why, n in line["lost"].items()}


@examples(100)
@given(
    chains(),
    st.sampled_from(["documents_in", "documents_kept", "bytes_in", "bytes_kept", "documents_dropped", "bytes_dropped"]),
)
def test_a_ledger_that_is_off_by_one_is_refused(chain: Any, name: str) -> None:
    texts, stages = chain
    size = np.array([len(t.encode()) for t in texts], np.int64)
    stage = stages[0]
    ledger, _ = account(
        "cut", ShardState.fresh(len(texts)), drops_table(stage["drops"]), edits_table(stage["edits"]), size, size
    )
    value = getattr(ledger, name)
    if isinstance(value, dict):
        value["lost"] = value.get("lost", 0) + 1
    else:
        setattr(ledger, name, value + 1)
    with pytest.raises(TamisError, match="ledger of stage cut is off by"):
        ledger.check()
