"""`tamis diff`: what another configuration would have kept, matched by doc_id or by domain and source_id."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.inspect.diff import Tally, compare
from cli.inspect.outcomes import Names, Outcomes, _joined, _Keyed, _numbered, matched
from cli.main import app
from corpus.files import manifest_path
from corpus.reading.run_reader import RunReader
from tamis.errors import TamisError
from tests.support.runs import NOTICE, S, decision, write_empty_run, write_ingest, write_run


def change(path: Path, **values: Any) -> None:
    """Sets keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values))


def set_config(root: Path, stage: str, default: dict[str, Any], **more: Any) -> None:
    config = {"default": default, "domains": {}, "skip": [], **more}
    change(manifest_path(root / "stages" / stage / "decision" / "d"), config=config)


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_run(tmp_path_factory.mktemp("diff") / "a")
    set_config(root, "near_dedup", {"threshold": 0.75, "bands": 21})
    return root


@pytest.fixture(scope="module")
def b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same documents: without near copies, spans cut from nobody, "seven" too short."""
    root = write_run(tmp_path_factory.mktemp("diff") / "b")
    decision(root, "near_dedup", {})
    decision(root, "span_dedup", {})
    decision(root, "heuristic_filter", {1: {"drops": [(2, S + 2, "too_short", None, None)]}})
    set_config(root, "near_dedup", {"threshold": 0.9, "bands": 21}, skip=["law"])
    return root


def found(*arguments: object) -> Any:
    return json.loads(text(*arguments, "--format", "json"))


def text(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["diff", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def fails(*arguments: object) -> str:
    with pytest.raises(TamisError) as caught:
        CliRunner().invoke(app, ["diff", *map(str, arguments)], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_documents_reasons_and_domains(a: Path, b: Path) -> None:
    result = found(a, b)
    assert result["matched_by"] == "doc_id" and result["documents"] == {"a": 9, "b": 9}
    totals = result["totals"]
    assert {kind: line["documents"] for kind, line in totals.items()} == {
        "both": 3,
        "only_a": 1,
        "only_b": 2,
        "neither": 3,
    }
    ledger = json.loads((a / "ledger.json").read_text("utf-8"))
    assert sum(line["bytes"] for line in totals.values()) == ledger["ingest"]["text_bytes"]
    assert totals["both"]["bytes_left_a"] + totals["only_a"]["bytes"] == ledger["stages"][-1]["bytes_kept"]
    assert totals["both"]["bytes_left_b"] - totals["both"]["bytes_left_a"] == NOTICE[1] - NOTICE[0]
    assert totals["both"]["cut_differently"] == 1
    assert result["reasons"]["only_a"] == [
        {"stage": "heuristic_filter", "reason": "too_short", "documents": 1, "bytes": 5}
    ]
    assert [(r["stage"], r["reason"], r["documents"]) for r in result["reasons"]["only_b"]] == [
        ("near_dedup", "near_duplicate", 1),
        ("span_dedup", "mostly_repeated_spans", 1),
    ]
    (same,) = result["reasons"]["neither"]  # the first decision wins: an exact copy, not a short text
    assert same["a"] == same["b"] == {"stage": "exact_dedup", "reason": "exact_duplicate"} and same["documents"] == 3
    law = {kind: line["documents"] for kind, line in result["domains"]["law"].items()}
    assert law == {"both": 2, "only_a": 1, "only_b": 0, "neither": 2}  # document 4 is in law by predicate


def test_what_differs_turns_round_with_the_runs(a: Path, b: Path) -> None:
    there, back = found(a, b), found(b, a)
    assert there["reasons"]["only_a"] == back["reasons"]["only_b"]
    assert there["examples"]["only_b"] == back["examples"]["only_a"]
    assert there["totals"]["neither"] == back["totals"]["neither"]


def test_settings_that_differ(a: Path, b: Path) -> None:
    assert found(a, b)["settings"] == [
        {"key": "near_dedup.threshold", "a": 0.75, "b": 0.9},
        {"key": "near_dedup.skip", "a": [], "b": ["law"]},
    ]
    assert found(a, a)["settings"] == []


def test_settings_of_domains_and_of_the_rest(tmp_path: Path) -> None:
    roots = [write_run(tmp_path / name) for name in "ab"]
    set_config(roots[0], "span_dedup", {"min_copies": 2}, domains={"law": {"min_copies": 5}})
    set_config(roots[1], "span_dedup", {"min_copies": 2})
    change(
        roots[1] / "run.json",
        pipeline={
            "name": "other",
            "weights": {"default": {"cap": 3}},
            "inputs": [{"domain": "web", "paths": ["x"]}],
            "stages": {"exact_dedup": {}, "language": {}},
            "domains": {"law": {"alarm": 0.5, "skip": ["language"]}},
        },
    )
    result = found(*roots)
    assert {line["key"]: (line["a"], line["b"]) for line in result["settings"]} == {
        "name": ("small <run>", "other"),
        "weights.default.cap": (None, 3),
        "inputs.0.domain": (None, "web"),
        "inputs.0.paths": (None, ["x"]),
        "domains.law.span_dedup.min_copies": (5, 2),
        "domains.law.alarm": (None, 0.5),
    }
    assert result["unfinished"] == {"a": [], "b": ["language"]}
    assert "not decided yet: language" in text(*roots)


def test_examples_and_the_text_view(a: Path, b: Path) -> None:
    examples = found(a, b, "-n", 9)["examples"]
    assert [e["source_id"] for e in examples["only_a"]] == ["7"]
    near = next(e for e in examples["only_b"] if e["source_id"] == "c")
    assert (near["doc_id"], near["text"], near["other"]["similarity"]) == ("2", "near one two three", 0.8125)
    assert near["survivor"] == {"doc_id": "3", "source_id": "d", "text": "near one two four"}
    assert found(a, b, "-n", 0)["examples"] == {"only_a": [], "only_b": []}
    shown = text(a, b)
    for part in (
        "near_dedup.threshold",
        "Kept by B only: why A has not",
        "the same reason in both",
        "1 documents were cut differently",
        "A kept 3  d instead:",
        "0.75",
    ):
        assert part in shown, part
    assert "The settings of both are the same." in text(a, a)


def test_another_ingest_is_matched_by_domain_and_source_id(a: Path, b: Path, tmp_path: Path) -> None:
    expected = found(a, b)
    root = write_run(tmp_path / "other")
    decision(root, "near_dedup", {})
    decision(root, "span_dedup", {})
    decision(root, "heuristic_filter", {1: {"drops": [(2, S + 2, "too_short", None, None)]}})
    change(manifest_path(root / "ingest"), identity="another", snapshot=3)
    result = found(a, root)
    assert result["matched_by"] == "domain and source_id"
    for part in ("totals", "reasons", "domains"):
        assert result[part] == expected[part]
    ours, theirs = result["examples"]["only_a"][0], result["examples"]["only_b"]
    assert ours["doc_id"] == str(S + 2) and ours["other"]["doc_id"] == str((3 << 51) + S + 2)
    assert {e["doc_id"] for e in theirs} == {str((3 << 51) + 2), str((3 << 51) + 3)}


def test_documents_of_one_run_only_and_repeated_ids(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_ingest(one, (("t", "u", "v"), ("w",)), (("x", "x", "y"), ("z",)))
    write_ingest(two, (("t", "tt"), ("w",)), (("x", "n"), ("z",)))
    change(manifest_path(two / "ingest"), identity="another")
    result = found(one, two)
    assert {k: v["documents"] for k, v in result["totals"].items()} == {
        "both": 2,
        "only_a": 2,
        "only_b": 1,
        "neither": 0,
    }
    assert result["reasons"]["only_a"] == [{"stage": None, "reason": "not ingested", "documents": 2, "bytes": 2}]
    assert result["totals"]["only_b"]["bytes"] == 2 and "not ingested in B" in text(one, two)
    readers = RunReader(one), RunReader(two)
    for rows in (1, 2, 3):  # however the domains are cut into parts
        tally = Tally(0)
        for chunk in matched(*readers, Names(), rows):
            tally.add(chunk)
        assert tally.totals() == result["totals"]


KEYS = st.lists(st.integers(0, 6), max_size=30)


@given(KEYS, KEYS)
def test_every_document_is_matched_once(ours: list[int], theirs: list[int]) -> None:
    def keyed(keys: list[int]) -> _Keyed:
        ids = np.arange(len(keys), dtype=np.int64)
        return _Keyed(_numbered(np.array(keys, np.uint64)), Outcomes(ids, ids * 0 - 1, ids, ids, ids * 0))

    found = _joined(keyed(ours), keyed(theirs))
    pairs = list(zip(found.a.doc_id.tolist(), found.b.doc_id.tolist(), strict=True))
    assert sorted(i for i, _ in pairs if i >= 0) == list(range(len(ours)))
    assert sorted(j for _, j in pairs if j >= 0) == list(range(len(theirs)))
    both = [(i, j) for i, j in pairs if i >= 0 and j >= 0]
    assert len(both) == (Counter(ours) & Counter(theirs)).total()
    for i, j in both:
        assert ours[i] == theirs[j] and ours[:i].count(ours[i]) == theirs[:j].count(theirs[j])


def test_empty_runs_and_folders_that_are_no_runs(a: Path, tmp_path: Path) -> None:
    empty = write_empty_run(tmp_path / "empty")
    assert found(empty, empty)["totals"]["both"]["documents"] == 0 and "kept by both" in text(empty, empty)
    change(manifest_path(empty / "ingest"), identity="none")
    assert compare(RunReader(a), RunReader(empty), 1)["totals"]["only_a"]["documents"] == 4
    assert str(tmp_path / "nothing") in fails(a, tmp_path / "nothing")
    assert str(tmp_path) in fails(tmp_path, a)
