"""`tamis clusters --show`: a component's members beside their survivor; the token diff behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.inspect.component import compare
from cli.inspect.token_diff import MAX_GAP, Tokens, byte_offsets, differences
from cli.main import app
from filters.pii.mask import masked
from tamis.errors import TamisError
from tests.oracles import text as oracles
from tests.support.runs import S, decision, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("component") / "run")


def text(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["clusters", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def found(*arguments: object) -> Any:
    return json.loads(text(*arguments, "--format", "json"))


def fails(*arguments: object) -> str:
    with pytest.raises(TamisError) as caught:
        CliRunner().invoke(app, ["clusters", *map(str, arguments)], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", ["c", "d", "2", "3"])  # source ids, doc ids, and 2 is the component's id as well
def test_a_component_has_its_survivor_edges_and_differing_spans(run: Path, key: str) -> None:
    (component,) = found(run, "--show", key)["components"]
    assert (component["id"], component["size"], component["dropped"], component["edges_count"]) == ("2", 2, 1, 1)
    assert component["edges"] == [{"doc_id": "2", "other": "3", "similarity": 0.8125}]
    (survivor,) = component["survivors"]
    assert (survivor["doc_id"], survivor["stands_for"], survivor["fate"]["stage"]) == ("3", 1, "span_dedup")
    (member,) = component["members"]
    assert (member["doc_id"], member["survivor"], member["similarity"], member["edges"]) == ("2", "3", 0.8125, 1)
    assert member["differences_count"] == 1 and member["whole"]
    assert member["differences"][0] == {
        "member": {"start": 13, "end": 18, "text": "three", "before": "near one two ", "after": ""},
        "survivor": {"start": 13, "end": 17, "text": "four", "before": "near one two ", "after": ""},
    }


def test_text_is_side_by_side_where_there_is_room(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = text(run, "--show", "c")
    assert any("near one two ⟦four⟧" in line and "near one two ⟦three⟧" in line for line in shown.splitlines())
    assert "similarity 0.8125 to 3" in shown and "dropped later by span_dedup" in shown
    from cli.inspect import component_view

    monkeypatch.setattr(component_view, "SIDE_BY_SIDE", 1000)
    lines = text(run, "--show", "c").splitlines()
    assert [line.strip() for line in lines if "⟦" in line] == ["−  near one two ⟦four⟧", "+  near one two ⟦three⟧"]


def test_who_is_in_no_component_is_told_why(run: Path) -> None:
    assert "near_dedup found nothing" in fails(run, "--show", "a")
    said = fails(run, "--show", "b")
    assert "exact_dedup had dropped it before (exact_duplicate, in favour of document 0)" in said
    assert "'nobody'" in fails(run, "--show", "nobody") and "no component" in fails(run, "--show", 1 << 70)
    assert "exact copies" in fails(run, "--show", "b", "--kind", "exact")


def test_several_survivors_the_least_similar_first_and_survivors_elsewhere(tmp_path: Path) -> None:
    """A component of six: two survivors, one member whose survivor lies in an earlier run."""
    root, elsewhere = write_run(tmp_path / "run"), 5 << 51
    decision(
        root,
        "near_dedup",
        {
            0: {
                "drops": [(1, 1, "near_duplicate", 0, 0.9), (2, 2, "near_duplicate", 3, 0.8)],
                "columns": {"row": [0, 1, 2, 3], "component_id": [0] * 4, "component_size": [6] * 4},
                "edges": {"row": [0, 2], "other": [1, 3], "similarity": [0.9, 0.8], "method": ["exact", "sketch"]},
            },
            1: {
                "drops": [(0, S, "near_duplicate", elsewhere, 0.7)],
                "columns": {"row": [0, 2], "component_id": [0] * 2, "component_size": [6] * 2},
            },
        },
    )
    (component,) = found(root, "--show", 0)["components"]
    assert [m["doc_id"] for m in component["members"]] == [str(S), "2", "1"]
    assert "differences" not in component["members"][0] and component["members"][2]["differences"] == []
    assert [s["doc_id"] for s in component["survivors"]] == ["0", "3", str(S + 2), str(elsewhere)]
    assert component["survivors"][3]["fate"] is None
    assert [e["method"] for e in component["edges"]] == ["sketch", "exact"]
    shown = text(root, "--show", "b", "-n", 1)
    assert "the same tokens" in shown and "and 2 more members" in shown and "in an earlier run" in shown
    assert "text is not in this run" in text(root, "--show", 0)


TEXT = st.text(st.sampled_from("abcXYZ é磨坊主한น。,\n12-ªßﬁ①\u0301\U00020000😀"), max_size=40)


@given(TEXT)
def test_tokens_are_those_of_similarity(text: str) -> None:
    tokens = Tokens.of(text)
    assert list(tokens.names) == oracles.tokens(text)
    data = text.encode()
    starts, ends = byte_offsets(text, tokens.start.tolist()), byte_offsets(text, tokens.end.tolist())
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        assert data[start:end].decode() == text[tokens.start[i] : tokens.end[i]]


WORDS = st.lists(st.sampled_from("abcdef"), max_size=60)


@given(WORDS, WORDS)
def test_the_differences_turn_one_text_into_the_other(a: list[str], b: list[str]) -> None:
    built, at = [], 0
    for a0, a1, b0, b1 in differences(a, b):
        assert a0 >= at and (a0 < a1 or b0 < b1)
        built += [*a[at:a0], *b[b0:b1]]
        at = a1
    assert [*built, *a[at:]] == b
    assert differences(a, a) == []


def test_a_long_text_is_compared_in_its_anchors_and_to_a_bound() -> None:
    words = [f"w{i}" for i in range(20_000)]
    changed = [*words[:5_000], "new", *words[5_001:12_000], *words[12_010:]]
    assert differences(words, changed) == [(5_000, 5_001, 5_000, 5_001), (12_000, 12_010, 12_000, 12_000)]
    other = [f"v{i}" for i in range(2 * MAX_GAP)]
    assert differences(words, other) == [(0, len(words), 0, len(other))]
    short = Tokens.of("a b c d", 2)
    assert short.names == ("a", "b") and not short.complete
    assert not compare(short, Tokens.of("a b"))["whole"]
    many = compare(
        Tokens.of(" ".join(words[:100])), Tokens.of(" ".join(w if i % 5 else "x" for i, w in enumerate(words[:100])))
    )
    assert many["differences_count"] == 20 and len(many["differences"]) == 8


def test_texts_are_compared_as_stored_and_shown_with_stars() -> None:
    one, other = (Tokens.of(f"公告：write to {name}@example.org today") for name in ("bob", "eve"))
    found = compare(one, other, lambda text: masked([text])[0])
    ((ours, theirs),) = [(d["member"], d["survivor"]) for d in found["differences"]]
    assert found["differences_count"] == 1 and ours["text"] == theirs["text"] == "***"
    assert ours["before"] == "公告：write to " and ours["after"] == "*" * len("@example.org") + " today"
    plain = compare(one, other)["differences"][0]["member"]
    assert (plain["text"], plain["start"], plain["end"]) == ("bob", ours["start"], ours["end"])
