"""A document shard as a task sees it: its domains, the rows that a stage handles, what earlier stages left about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus import ids
from corpus.files import Manifest
from corpus.run_folder import DocumentShard
from corpus.schemas import EDITS
from pipelines.spark.wire import decode, encode
from pipelines.stages.registry import shard_tasks
from pipelines.stages.shard_task import ShardTask, read_own
from tests.support.exchanges import committed

ROWS, NUMBER = 6, 3
FIRST = ids.first_id(2, NUMBER)


def rows(*values: int) -> pa.Array:
    return pa.array(values, pa.int32())


def chain(folder: Path) -> list[tuple[str, Manifest]]:
    """A predicate moves 1 and 4; 0 is a copy; 2 is cut; 5 falls in near_dedup, 3 behind it."""
    cut = {"row": 2, "start": 0, "end": 4, "reason": "x", "replacement": None, "sentences": 1}
    tables = {
        "eligibility": {"columns": pa.table({"row": rows(1, 4), "domain": ["law", "新闻"]})},
        "exact_dedup": {
            "drops": pa.table({"row": rows(0)}),
            "columns": pa.table({"row": rows(3), "exact_copies": [7]}),
        },
        "sentence_quality": {"edits": pa.Table.from_pylist([cut], EDITS)},
        "near_dedup": {"drops": pa.table({"row": rows(5)})},
        "span_dedup": {"drops": pa.table({"row": rows(3)})},
    }
    return [(stage, committed(folder / stage, NUMBER, **found)) for stage, found in tables.items()]


def task(folder: Path, skip: tuple[str, ...] = (), earlier: bool = False) -> ShardTask:
    """As a worker receives it."""
    shard = DocumentShard(NUMBER, "web", folder / "none.parquet", ROWS, 0, FIRST)
    evidence = committed(folder / "evidence", NUMBER, evidence=pa.table({"row": rows(1, 2), "score": [0.5, 0.25]}))
    (made,) = shard_tasks([shard], chain(folder), evidence, skip, earlier)
    return decode(ShardTask, encode(made))


def test_domains_are_those_that_a_predicate_assigned(tmp_path: Path) -> None:
    assert task(tmp_path).domains().tolist() == ["web", "law", "web", "web", "新闻", "web"]
    shard = DocumentShard(NUMBER, "web", tmp_path / "none.parquet", 2, 0, FIRST)
    assert ShardTask(shard, ()).domains().tolist() == ["web", "web"]


def test_the_state_is_the_fold_of_the_decisions_before(tmp_path: Path) -> None:
    found = task(tmp_path)
    assert found.state().alive.tolist() == [False, True, True, False, True, False]
    assert found.state().edits.rows().tolist() == [2]
    settled = found.state(until=lambda decided: decided.needs_settled)
    assert settled.alive.tolist() == [False, True, True, True, True, True], "near_dedup and what follows do not count"
    nothing = found.state(until=lambda decided: decided.stage == "eligibility")
    assert nothing.alive.all() and not len(nothing.edits)
    assert found.state(until=lambda decided: False).alive.tolist() == found.state().alive.tolist()
    assert [stage for stage, _ in found.decisions()] == [stage for stage, _ in chain(tmp_path / "again")]


def test_flags_of_stages_travel_with_their_decisions(tmp_path: Path) -> None:
    told = {decided.stage: (decided.assigns_domains, decided.needs_settled) for decided in task(tmp_path).chain}
    assert told == {
        "eligibility": (True, False),
        "exact_dedup": (False, False),
        "sentence_quality": (False, False),
        "near_dedup": (False, True),
        "span_dedup": (False, True),
    }


def test_a_column_that_an_earlier_stage_left(tmp_path: Path) -> None:
    found, all_rows = task(tmp_path), np.arange(ROWS, dtype=np.int32)
    assert found.column(all_rows, "exact_dedup", "exact_copies", 1).tolist() == [1, 1, 1, 7, 1, 1]
    assert found.column(np.array([3, 1], np.int32), "exact_dedup", "exact_copies", 1).tolist() == [7, 1]
    assert found.column(all_rows, "exact_dedup", "exact_copies", None).tolist() == [None, None, None, 7, None, None]
    assert found.column(all_rows, "semantic_clusters", "semantic_size", 1).tolist() == [1] * ROWS
    assert np.isnan(found.column(all_rows, "sentence_quality", "quality", np.nan)).all()


def test_evidence_and_ids_are_of_the_shard(tmp_path: Path) -> None:
    found = task(tmp_path)
    evidence = found.read_evidence(["score"])
    assert evidence is not None and evidence.to_pydict() == {"score": [0.5, 0.25]}
    assert found.doc_ids(np.array([0, 5], np.int32)).tolist() == [FIRST, FIRST + 5]
    other = committed(tmp_path / "other", NUMBER + 1, evidence=pa.table({"row": rows(0)}))
    assert read_own(other.ref, "evidence", found) is None and read_own(None, "evidence", found) is None


def test_a_task_of_an_earlier_snapshot_is_marked(tmp_path: Path) -> None:
    assert task(tmp_path / "old", earlier=True).earlier and not task(tmp_path / "own").earlier


def test_a_stage_handles_what_is_alive_and_of_a_domain_that_does_not_skip_it(tmp_path: Path) -> None:
    own, skipping = task(tmp_path / "own"), task(tmp_path / "skip", skip=("law", "code"))
    assert own.is_active(own.state()).tolist() == [False, True, True, False, True, False]
    assert skipping.is_active(skipping.state()).tolist() == [False, False, True, False, True, False]


@pytest.mark.parametrize(
    ("values", "default", "expected"),
    [
        (pa.array([5, None], pa.int64()), -1, [-1, 5, -1]),
        (pa.array([True, None]), True, [True, True, True]),
        (pa.array(["english", None]), "", ["", "english", ""]),
        (pa.array([0.75, None], pa.float32()), 0, [0, 0.75, 0]),
        (pa.array(["a", "b"]).dictionary_encode(), "", ["", "a", "b"]),
        (pa.array([[1], None]), None, [None, [1], None]),
    ],
)
def test_a_null_is_the_default_and_no_value_is_cut_to_the_type_of_the_default(
    tmp_path: Path, values: pa.Array, default: Any, expected: list[Any]
) -> None:
    left = [("eligibility", committed(tmp_path, NUMBER, columns=pa.table({"row": rows(1, 2), "x": values})))]
    shard = DocumentShard(NUMBER, "web", tmp_path / "none.parquet", ROWS, 0, FIRST)
    found = shard_tasks([shard], left)[0].column(np.arange(3), "eligibility", "x", default)
    assert [v.tolist() if isinstance(v, np.ndarray) else v for v in found.tolist()] == expected
