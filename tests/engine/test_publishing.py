"""What a run publishes: text equal to the views, a complete dropped table, sums that hold, weights, splits."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpus.schemas import DROPPED, PUBLISHED, WEIGHTS
from tests.engine.run_reader import RunReader
from tests.oracles.text import jaccard
from tests.support.corpora import BROKEN_REASONS

pytestmark = pytest.mark.spark


def test_the_text_of_a_published_shard_is_the_view_behind_the_last_stage(finished: RunReader) -> None:
    expected = finished.before(None)
    found = finished.published()
    assert {row["doc_id"]: row["text"] for row in found} == expected
    assert len(found) == len(expected)
    for row in found:
        stored = finished.documents[row["doc_id"]]
        assert row["bytes"] == len(row["text"].encode())
        assert row["stored_bytes"] == len(stored["text"].encode())
        assert {k: row[k] for k in ("source_id", "url", "file", "offset", "length", "extra")} == {
            k: stored[k] for k in ("source_id", "url", "file", "offset", "length", "extra")
        }
        assert row["domain"] == finished.domain(row["doc_id"])


def test_published_shards_are_sorted_by_id_hold_one_domain_and_the_documented_schema(finished: RunReader) -> None:
    paths = sorted((finished.root / "shards").rglob("*.parquet"))
    for path in paths:
        table = pq.read_table(path, partitioning=None)
        assert table.schema.equals(PUBLISHED)
        assert set(table.column("domain").to_pylist()) == {path.parent.name}
        ids = table.column("doc_id").to_numpy()
        assert (np.diff(ids) > 0).all()
    assert len({path.parent for path in paths}) >= 5


def test_every_ingested_document_is_published_or_dropped_never_both(finished: RunReader) -> None:
    published = [row["doc_id"] for row in finished.published()]
    dropped = [row["doc_id"] for row in finished.dropped()]
    assert sorted(published + dropped) == sorted(finished.documents)


def test_the_dropped_table_names_the_first_stage_that_dropped_a_document(finished: RunReader) -> None:
    fates = finished.fates()
    rows = {row["doc_id"]: row for row in finished.dropped()}
    for path in (finished.root / "dropped").glob("*.parquet"):
        assert pq.read_schema(path).equals(DROPPED)
    assert set(rows) == set(fates)
    for doc_id, (stage, decided) in fates.items():
        row = rows[doc_id]
        assert (row["stage"], row["reason"], row["survivor"], row["similarity"]) == (
            stage,
            decided["reason"],
            decided["survivor"],
            decided["similarity"],
        )
        assert row["domain"] == finished.domain(doc_id) and row["source_id"] == finished.name(doc_id)
        assert row["bytes"] == len(finished.documents[doc_id]["text"].encode())


def test_every_survivor_exists_and_is_as_similar_as_the_dropped_table_says(finished: RunReader) -> None:
    duplicates = [row for row in finished.dropped() if row["survivor"] is not None]
    known = {row["doc_id"] for row in finished.published()} | {row["doc_id"] for row in finished.dropped()}
    assert {row["reason"] for row in duplicates} == {"exact_duplicate", "near_duplicate"}
    for row in duplicates:
        assert row["survivor"] in known and row["survivor"] != row["doc_id"]
        texts = [finished.documents[i]["text"] for i in (row["doc_id"], row["survivor"])]
        assert row["similarity"] == pytest.approx(jaccard(*texts), abs=1e-3)


def _recount(run: RunReader, stage: str, behind: str | None) -> dict[str, Any]:
    before, after = run.before(stage), run.before(behind)
    gone = [run.drops(stage)[i]["reason"] for i in before if i not in after]
    size = {i: len(t.encode()) for i, t in before.items()}
    return {
        "documents_in": len(before),
        "documents_kept": len(after),
        "documents_dropped": dict(Counter(gone)),
        "bytes_in": sum(size.values()),
        "bytes_kept": sum(len(t.encode()) for t in after.values()),
    }


def test_the_funnel_equals_a_recount_from_texts_and_its_sums_hold(finished: RunReader) -> None:
    ledger = json.loads((finished.root / "ledger.json").read_text("utf-8"))
    names = list(finished.chain)
    assert [line["name"] for line in ledger["stages"]] == names
    for line, behind in zip(ledger["stages"], [*names[1:], None], strict=True):
        expected = _recount(finished, line["name"], behind)
        assert {key: line[key] for key in expected} == expected, line["name"]
        assert line["bytes_in"] == line["bytes_kept"] + sum(line["bytes_dropped"].values())
        assert line["documents_in"] == line["documents_kept"] + sum(line["documents_dropped"].values())
    last = ledger["stages"][-1]
    assert last["documents_kept"] == len(finished.published())
    assert last["sentences_kept"] == sum(row["sentences"] for row in finished.published())


def test_raw_records_are_documents_or_quarantined_with_their_reason(finished: RunReader) -> None:
    ledger = json.loads((finished.root / "ledger.json").read_text("utf-8"))
    domains = {d["input_domain"] for d in finished.documents.values()}
    assert ledger["quarantined"] == {reason: n * len(domains) for reason, n in BROKEN_REASONS.items()}
    assert ledger["ingest"]["records"] == len(finished.documents) + sum(ledger["quarantined"].values())


def test_published_folders_hold_nothing_but_tables(finished: RunReader) -> None:
    """So that other tools open them as they are: `tests/unit/corpus/test_other_readers.py`."""
    names = ("shards", "dropped", f"weights/{finished.run.state()['weights']}")
    found = {path.suffix for name in names for path in (finished.root / name).rglob("*") if path.is_file()}
    assert found == {".parquet"} and not list(finished.root.rglob("*scratch*"))


def test_weights_lie_row_by_row_beside_the_shards_and_follow_the_curve(finished: RunReader) -> None:
    folder = finished.root / "weights" / finished.run.state()["weights"]
    shards = sorted((finished.root / "shards").rglob("*.parquet"))
    assert [p.relative_to(folder) for p in sorted(folder.rglob("*.parquet"))] == [
        p.relative_to(finished.root / "shards") for p in shards
    ]
    cells = Counter(row["cluster_id"] for row in finished.columns("semantic_clusters").values())
    scale = sum(cells.values()) / sum(n**0.8 for n in cells.values())
    for path in shards:
        rows = pq.read_table(path, partitioning=None).to_pylist()
        weights = pq.read_table(folder / path.relative_to(finished.root / "shards"), partitioning=None)
        assert weights.schema.equals(WEIGHTS)
        assert weights.column("doc_id").to_pylist() == [row["doc_id"] for row in rows]
        for row, weight in zip(rows, weights.column("weight").to_pylist(), strict=True):
            size = row["cluster_size"]
            balance = 1.0 if size is None else min(4.0, size**-0.2 * scale)
            assert weight == pytest.approx(_weight(row, balance), rel=1e-6)


def _weight(row: dict[str, Any], balance: float) -> float:
    """What conf/scores makes of a document: news.yaml, code.yaml, else web.yaml; `balance` for its cell's size."""
    copies = np.log2(row["frequency"])
    quality = 0.5 if row["quality"] is None else row["quality"]
    if row["domain"] == "news":
        by_count = np.interp(copies, [0, 3, 6, 9], [1.0, 2.0, 2.0, 1.0])
        return float(np.clip(by_count * np.interp(quality, [0, 0.5, 1], [0.7, 1.0, 1.3]) * balance, 0.2, 3.0))
    if row["domain"] == "code":
        return float(np.clip(np.interp(copies, [0, 4, 8, 12], [1.0, 1.5, 1.0, 0.5]), 0.5, 2.0))
    by_count = np.interp(copies, [0, 2, 6, 10], [1.0, 1.5, 1.0, 0.5])
    language = np.interp(row["language_score"], [0, 0.65], [0.5, 1.0])
    return float(np.clip(by_count * (0.5 + quality) * language * balance, 0.1, 3.0))


def test_the_held_out_split_takes_whole_components(finished: RunReader) -> None:
    splits: dict[int, set[str]] = {}
    sizes: Counter[int] = Counter()
    for row in finished.published():
        if row["component_id"] is not None:
            splits.setdefault(row["component_id"], set()).add(row["split"])
            sizes[row["component_id"]] += 1
    assert max(sizes.values()) > 1, "no component has two survivors: the test says nothing"
    assert all(len(found) == 1 for found in splits.values())
    assert {row["split"] for row in finished.published()} == {"train", "heldout"}
