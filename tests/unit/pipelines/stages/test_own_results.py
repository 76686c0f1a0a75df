"""What a stage of one's own returns is looked at before it counts, and a bug in it names the document."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from corpus.files import write_table
from corpus.run_folder import DocumentShard
from corpus.schemas import DOCUMENT
from pipelines.stages.base import Batch, Column, LocalStage, Verdict, drops_table, edits_table
from pipelines.stages.own_results import blamed, checked_evidence, checked_verdict
from tamis.errors import ReadError, TamisError

ROWS = np.arange(3, dtype=np.int32)


class Mine(LocalStage):
    """A stage with a column."""

    name: ClassVar[str] = "mine"
    provides = {"x": Column(pa.int32(), "A number.")}

    def scan(self, batch: Batch) -> pa.Table:
        return batch.table()


STAGE = Mine(Mine.Evidence(), {})


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> DocumentShard:
    """Three texts: "héllo", "一二", ""."""
    folder = tmp_path_factory.mktemp("shard")
    texts = ["héllo", "一二", ""]
    columns = {name: pa.nulls(3, kind.type) for name, kind in zip(DOCUMENT.names, DOCUMENT, strict=True)}
    columns["text"] = pa.array(texts)
    entry = write_table(folder, "d", pa.table(columns), kind="documents")
    return DocumentShard(0, "web", folder / entry.path, 3, 12, 1000)


def edits(row: int, start: int, end: int) -> pa.Table:
    return edits_table(*(pa.array([n], pa.int32()) for n in (row, start, end)), "cut", 0)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (None, "mine: decide returned nothing; expected a `tamis.Verdict`"),
        (
            Verdict(drops_table(np.array([3], np.int32), 1000, "r")),
            "drops: found row 3; expected rows that it was asked",
        ),
        (Verdict(drops_table(np.array([1, 1], np.int32), 1000, "r")), "drops: found a document twice"),
        (Verdict(pa.table({"row": [1]})), "drops: "),
        (Verdict(edits=edits(0, 0, 7)), "edits: found bytes 0 to 7 of document 1000, which has 6"),
        (Verdict(edits=edits(0, -1, 1)), "edits: found bytes -1 to 1"),
        (Verdict(edits=edits(0, 3, 3)), "edits: found bytes 3 to 3"),
        (Verdict(edits=edits(0, 2, 5)), "edits: found bytes 2 to 5"),
        (Verdict(edits=edits(1, 0, 1)), "edits: found bytes 0 to 1 of document 1001"),
        (Verdict(edits=edits(2, 0, 1)), "edits: found bytes 0 to 1 of document 1002, which has 0"),
        (Verdict(columns=pa.table({"row": ROWS})), "columns: found no 'x'"),
        (Verdict(columns=pa.table({"row": ROWS, "x": ["a", "b", "c"]})), "columns: Failed to parse string: '"),
        (Verdict(columns=pa.table({"row": [0, 0, 1], "x": [1, 2, 3]})), "columns: found a document twice"),
    ],
)
def test_a_verdict_that_cannot_count_is_one_sentence(shard: DocumentShard, verdict: Any, said: str) -> None:
    with pytest.raises(TamisError) as caught:
        checked_verdict(STAGE, verdict, ROWS, shard)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_verdict_in_other_order_and_types_is_put_right(shard: DocumentShard) -> None:
    drops = drops_table(np.array([2, 0], np.int32), 1000, ["b", "a"])
    columns = pa.table({"x": pa.array([1, None], pa.int64()), "row": pa.array([2, 0], pa.int64()), "other": ["a", "b"]})
    found = checked_verdict(STAGE, Verdict(drops, edits(1, 3, 6), columns), ROWS, shard)
    assert found.drops.column("reason").to_pylist() == ["a", "b"]
    assert found.columns is not None and found.columns.to_pydict() == {"row": [0, 2], "x": [None, 1]}
    assert found.columns.schema.types == [pa.int32(), pa.int32()]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "scan returned nothing"),
        ([1], "scan returned a list"),
        (pa.table({"x": [1]}), "expected `batch.table(…)`"),
        (pa.table({"row": [5]}), "scan: found row 5"),
        (pa.table({"row": ["a"]}), "scan: found `row` of type string"),
        (pa.table({"row": pa.array([None], pa.int32())}), "without nulls"),
    ],
)
def test_evidence_that_cannot_count_is_one_sentence(table: Any, said: str) -> None:
    with pytest.raises(TamisError, match="mine: ") as caught:
        checked_evidence(STAGE, table, ROWS)
    assert said in str(caught.value)


def test_evidence_is_sorted_by_row() -> None:
    found = checked_evidence(STAGE, pa.table({"row": [2, 0, 2], "x": ["c", "a", "d"]}), ROWS)
    assert found.column("x").to_pylist() == ["a", "c", "d"]


def test_a_bug_names_document_kind_and_line_and_failing_storage_goes_through() -> None:
    with pytest.raises(TamisError) as caught, blamed(STAGE, np.array([1001])):
        {}["key"]  # noqa: B018
    assert str(caught.value).startswith("mine failed on document 1001: KeyError: 'key' (test_own_results.py, line ")
    with (
        pytest.raises(TamisError, match="mine failed on the documents 7 to 9: ValueError"),
        blamed(STAGE, np.arange(7, 10)),
    ):
        raise ValueError("two\nlines")
    for error in (OSError("disk"), MemoryError(), ReadError("storage"), TamisError("said")):
        with pytest.raises(type(error)) as passed, blamed(STAGE, np.array([1])):
            raise error
        assert passed.value is error
