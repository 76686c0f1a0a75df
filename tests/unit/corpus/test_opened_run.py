"""A run opened from Python: its tables are the manifests' files, lazily, and what is missing is a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from corpus.files import commit, load_manifest, manifest_path, retract, write_table
from corpus.reading.opened_run import LEDGER, Run
from corpus.reading.run_reader import RunReader
from corpus.schemas import DROPPED, PUBLISHED, QUARANTINE, WEIGHTS
from tamis.errors import TamisError
from tests.support.runs import TEXTS, URL, S, write_empty_run, write_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("opened") / "run")


def test_documents_are_the_files_of_the_manifest_and_nothing_else(tmp_path: Path) -> None:
    root = write_run(tmp_path / "run")
    stray = pa.table({"doc_id": [99], "text": ["left by a task"]})
    write_table(root / "shards", "web", stray, kind="published")
    run = Run(root)
    assert run.documents.schema == PUBLISHED and run.weights.schema == WEIGHTS
    table = run.documents.to_table(columns=["doc_id", "domain", "text"])
    assert (
        sorted(table["doc_id"].to_pylist())
        == [0, 4, S + 1, S + 2]
        == sorted(run.weights.to_table()["doc_id"].to_pylist())
    )
    assert run.documents.count_rows(filter=pc.field("domain") == "law") == 2
    assert run.quarantine.schema.names == QUARANTINE.names and run.quarantine.count_rows() == 1


def test_polars_and_duckdb_take_the_datasets_as_they_are(root: Path) -> None:
    documents = Run(root).documents
    lazy = polars.scan_pyarrow_dataset(documents).filter(polars.col("doc_id") >= S).select("doc_id").collect()
    assert lazy["doc_id"].to_list() == [S + 1, S + 2]
    assert duckdb.sql("select count(*) from documents where domain = 'web'").fetchall() == [(2,)]


def test_weights_stand_beside_their_documents(root: Path) -> None:
    """Some columns and the weight, row by row, streamed; the order is the shards'."""
    run = Run(root)
    table = run.weighted(["text", "doc_id"]).read_all()
    assert table.schema.names == ["text", "doc_id", "weight"]
    assert table["doc_id"].equals(run.documents.to_table()["doc_id"])
    assert table.select(["doc_id", "weight"]).equals(run.weights.to_table())
    assert run.weighted().schema.names == [*PUBLISHED.names, "weight"]
    assert sum(batch.num_rows for batch in run.weighted(["bytes"])) == 4


def test_the_ledger_is_a_row_a_stage(root: Path) -> None:
    run = Run(root)
    assert run.ledger.schema == LEDGER and run.ledger.num_rows == len(run.counts["stages"])
    for line, known in zip(run.ledger.to_pylist(), run.counts["stages"], strict=True):
        assert line.pop("stage") == known["name"]
        for key, value in line.items():
            assert (dict(value) if key.endswith("_dropped") else value) == known[key]


def test_it_shows_its_funnel(root: Path) -> None:
    run = Run(root)
    lines = repr(run).splitlines()
    assert lines[0] == f"Run({str(root)!r})" and len(lines) == 2 + run.ledger.num_rows
    assert "ingest" in lines[1] and "9 documents" in lines[1] and "4 documents" in lines[-1]
    assert run._repr_html_().count("<tr>") == 2 + run.ledger.num_rows
    assert run.root == root


def test_a_documents_story_by_any_of_its_names(root: Path) -> None:
    run = Run(str(root), mask=lambda texts: ["*" * len(text.encode()) for text in texts])
    assert [document["doc_id"] for document in run.explain(URL)["documents"]] == ["4", str(S)]
    story = run.explain(2)["documents"][0]
    assert not story["kept"] and story["stages"][4]["survivor"] == "3"
    assert set(story["text"]) == {"*"} and RunReader(root).documents([2], ["text"])[2]["text"] == TEXTS[0][2]
    assert run.explain("b.jsonl#77")["quarantined"]
    with pytest.raises(TamisError, match="holds no document whose doc_id, source_id or URL is 'nobody'"):
        run.explain("nobody")


def test_what_is_not_there_yet_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TamisError, match="is not a run folder"):
        Run(tmp_path)
    empty = Run(write_empty_run(tmp_path / "empty"))
    assert "0 documents" in repr(empty)
    for name in ("documents", "dropped", "weights"):
        with pytest.raises(TamisError, match="has no finished shards of its current decisions; run the"):
            getattr(empty, name)
    with pytest.raises(TamisError, match="has no finished shards"):
        empty.weighted()
    root = write_run(tmp_path / "run")
    run = Run(root)
    with pytest.raises(TamisError, match=r"is not finished: it has no .*/dropped; run the pipeline to its end"):
        run.dropped  # noqa: B018
    (root / "ledger.json").unlink()
    assert "nothing decided yet" in repr(Run(root)) and Run(root)._repr_html_()
    with pytest.raises(TamisError, match="has no ledger.json yet"):
        Run(root).ledger  # noqa: B018
    retract(root / "weights" / "curve")
    with pytest.raises(TamisError, match="is not finished: it has no .*weights"):
        run.weights  # noqa: B018


def test_shards_of_other_decisions_are_not_the_runs_documents(tmp_path: Path) -> None:
    """As a run is whose threshold was changed and which was stopped behind a stage."""
    root = write_run(tmp_path / "run")
    path = manifest_path(root / "shards")
    for decisions, fine in (
        (["near_dedup/other"], False),
        ([f"{s}/{m.folder.name}" for s, m in RunReader(root).chain], True),
    ):
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "decisions": decisions}))
        if fine:
            assert Run(root).documents.count_rows() == 4
        else:
            with pytest.raises(TamisError, match="current decisions"):
                Run(root).documents  # noqa: B018


def test_a_table_without_files_is_an_empty_dataset_of_its_schema(tmp_path: Path) -> None:
    root = write_run(tmp_path / "run")
    commit(root / "dropped", {"key": "none"}, [])
    assert load_manifest(root / "dropped") is not None
    table = Run(root).dropped.to_table()
    assert table.num_rows == 0 and table.schema == DROPPED
