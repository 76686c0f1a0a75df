"""Inputs at the edge, through the public runner: nothing left, nothing to read or compare, more than a batch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.spark.session import Cluster
from tests.engine.run_reader import RunReader
from tests.engine.small_run import NO_RULES, execute
from tests.support.corpora import texts

pytestmark = pytest.mark.spark

STAGES: dict[str, Any] = {
    "eligibility": {},
    "exact_dedup": {},
    "heuristic_filter": NO_RULES,
    "near_dedup": {},
    "span_dedup": {},
    "score": {},
}
"""All that needs no model; no rule of the heuristics but those that a test sets."""


def lines(documents: Iterable[str]) -> bytes:
    """JSON lines with ids 0, 1, …"""
    return b"".join(json.dumps({"id": str(i), "text": t}).encode() + b"\n" for i, t in enumerate(documents))


def run(
    folder: Path, cluster: Cluster, files: dict[str, bytes], options: dict[str, Any] | None = None, **body: Any
) -> RunReader:
    """Writes files named `<domain>/<name>` and runs the stages over them."""
    domains = sorted({name.split("/")[0] for name in files})
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    inputs = [{"domain": d, "paths": [f"{folder / d}/*"]} for d in domains]
    path = folder / "edges.yaml"
    path.write_text(yaml.safe_dump({"name": "edges", "inputs": inputs, "stages": STAGES, **body}, sort_keys=False))
    return execute(path, folder / "run", cluster, **(options or {}))


def sums_hold(found: RunReader) -> dict[str, Any]:
    """The ledger, its sums counted again."""
    ledger = json.loads((found.root / "ledger.json").read_text("utf-8"))
    before = ledger["ingest"]["documents"]
    assert [s["name"] for s in ledger["stages"]] == list(STAGES)
    for stage in ledger["stages"]:
        assert stage["documents_in"] == before
        before = stage["documents_kept"]
        assert stage["documents_in"] == before + sum(stage["documents_dropped"].values())
        assert stage["bytes_in"] == stage["bytes_kept"] + sum(stage["bytes_dropped"].values())
    assert len(found.published()) == before
    assert len(found.published()) + len(found.dropped()) == ledger["ingest"]["documents"]
    return ledger


def test_everything_is_quarantined(cluster: Cluster, tmp_path: Path) -> None:
    found = run(
        tmp_path, cluster, {"web/a.jsonl": b'{"id": "x"}\nnot json\n{"text": "  "}\n', "web/b.jsonl": b"\xff\n"}
    )
    ledger = sums_hold(found)
    assert ledger["quarantined"] == {"no_text": 1, "broken_json": 1, "empty_text": 1, "invalid_utf8": 1}
    assert not found.run.shards and not found.published()


def test_an_empty_file_and_a_domain_of_nothing_else(cluster: Cluster, tmp_path: Path) -> None:
    english = texts("en")[:6]
    found = run(tmp_path, cluster, {"void/a.jsonl": b"", "web/a.jsonl": b"", "web/b.jsonl": lines(english)})
    sums_hold(found)
    assert [row["text"] for row in found.published()] == list(english)


def test_rules_empty_a_domain_and_its_copies_are_promoted_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    english = texts("en")[:6]
    files = {"gone/a.jsonl": lines(english), "web/a.jsonl": lines(english[:3])}
    no_one = {"heuristic_filter": {"spaced": {"min_words": 100_000}}}
    found = run(tmp_path, cluster, files, domains={"gone": no_one})
    sums_hold(found)
    assert sorted(row["text"] for row in found.published()) == sorted(english[:3])
    assert {row["domain"] for row in found.published()} == {"web"}
    assert {row["domain"] for row in found.dropped()} == {"gone"}


def test_documents_without_tokens_are_copies_of_nothing_but_themselves(cluster: Cluster, tmp_path: Path) -> None:
    odd = ["!!!", "???", "!!!", "…", "— — —", "🙂", "one", "One!", "two"]
    found = run(tmp_path, cluster, {"web/a.jsonl": lines(odd)})
    sums_hold(found)
    reasons = {row["source_id"]: (row["reason"], found.name(row["survivor"])) for row in found.dropped()}
    assert reasons == {"2": ("exact_duplicate", "0"), "7": ("near_duplicate", "6")} or reasons == {
        "2": ("exact_duplicate", "0"),
        "6": ("near_duplicate", "7"),
    }


def test_a_document_larger_than_a_batch(cluster: Cluster, tmp_path: Path) -> None:
    english = list(texts("en"))
    large = "\n\n".join(english[:60])
    documents = [english[60], large, english[61], large + "\n\nThe end.", english[62]]
    found = run(tmp_path, cluster, {"web/a.jsonl": lines(documents)}, {"batch_bytes": 2_000})
    assert len(large.encode()) > 10 * 2_000
    sums_hold(found)
    (dropped,) = found.dropped()
    assert {dropped["source_id"], found.name(dropped["survivor"])} == {"1", "3"}
    other = run(tmp_path / "other", cluster, {"web/a.jsonl": lines(documents)}, {"batch_bytes": 64 << 20})
    assert other.file_digests() == found.file_digests()


def test_lines_are_cut_before_the_rules_see_the_text(cluster: Cluster, tmp_path: Path) -> None:
    prose = "The river rose in the night, and by morning it stood in the fields. " * 4
    lorem = "Lorem ipsum is what the printers of old set where there was no text of the authors to be had.\n"
    files = {"web/a.jsonl": lines([f"{prose}\n3 likes\n{prose}", "Home\nNews\nSport\n" + prose[:67], lorem + prose])}
    rules = {"spaced": {**NO_RULES["spaced"], "max_short_line_ratio": 0, "max_lorem_ipsum": 0}}
    stages = {"line_filter": {"max_upper_ratio": None}, "heuristic_filter": {**NO_RULES, **rules}}
    found = run(tmp_path, cluster, files, stages=stages)
    (published,) = found.published()
    assert published["text"] == f"{prose}\n{prose}"
    assert published["sentences"] == 8
    reasons = {row["source_id"]: (row["stage"], row["reason"]) for row in found.dropped()}
    assert reasons == {"1": ("line_filter", "refinedweb_flagged_lines"), "2": ("heuristic_filter", "c4_lorem_ipsum")}
    stage = json.loads((found.root / "ledger.json").read_text("utf-8"))["stages"][0]
    assert stage["bytes_dropped"]["cut:refinedweb_counter"] == len(b"3 likes\n")


def test_half_of_the_records(cluster: Cluster, tmp_path: Path) -> None:
    english = texts("en")[:200]
    files = {"web/a.jsonl": lines(english[:100]), "web/b.jsonl": lines(english[100:]) + b"broken\n" * 40}
    found = run(tmp_path, cluster, files, ingest={"sample": 0.5})
    ledger = sums_hold(found)
    taken = ledger["ingest"]
    quarantined = sum(ledger["quarantined"].values())
    assert taken["records"] == 240 == taken["documents"] + taken["not_sampled"] + quarantined
    assert 70 <= taken["documents"] <= 130
    again = run(tmp_path / "again", cluster, files, ingest={"sample": 0.5})
    assert again.file_digests() == found.file_digests()
    other = run(tmp_path / "other", cluster, files, {"until": "eligibility"}, ingest={"sample": 0.5, "sample_seed": 1})
    assert {d["text"] for d in other.documents.values()} != {d["text"] for d in found.documents.values()}
