"""The two task functions of a text stage: scan a shard for evidence, decide about a shard.

Both run in Spark tasks, open one document shard and its sidecars with pyarrow, and return file entries. Rows that
an earlier scan already saw, in the same view, are copied from it: a changed threshold upstream costs only the
documents that it brought back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.config import StrictModel, parse
from corpus.files import FileEntry, write_table
from corpus.schemas import DROPS, EDITS
from corpus.shard_state import ShardState, load_state, read_files
from corpus.view import Edits, build_view
from pipelines.stages.base import Batch, LocalStage, Stage, Verdict
from pipelines.stages.registry import stage_class
from pipelines.stages.shard_task import ShardTask, earlier_column
from text.arrow import TextColumn

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


def open_stage(task: ShardTask) -> Stage:
    """The stage object of a task; kept by the worker process, so that models are loaded once."""
    import json

    return _open_stage(task.stage, json.dumps(task.evidence_config), json.dumps(task.artefacts))


@lru_cache(maxsize=8)
def _open_stage(name: str, evidence_config: str, artefacts: str) -> Stage:
    import json

    kind = stage_class(name)
    return kind(parse(kind.Evidence, json.loads(evidence_config), name), json.loads(artefacts))


def scan_shard(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: writes the stage's evidence about one document shard.

    Returns:
        ``{"files": [FileEntry], "scanned": rows scanned, "reused": rows copied}``.
    """
    task = ShardTask.of(payload)
    stage = open_stage(task)
    state = load_state(task.chain, task.shard.rows)
    rows = task.taken(state)
    keys = state.view_keys() if stage.sees_cuts() and "text" in stage.reads else np.zeros(task.shard.rows, np.int64)
    pieces, fresh = _reusable(task, rows, keys)
    for batch in _batches(task, stage, state, fresh):
        table = stage.scan(batch)
        view = pa.array(keys[table.column("row").to_numpy()])
        pieces.append(table.append_column(pa.field("view", pa.int64(), nullable=False), view))
    files: list[FileEntry] = []
    pieces = [p for p in pieces if p.num_rows]
    if pieces:
        table = pa.concat_tables(pieces).combine_chunks()
        row = table.column("row").to_numpy()
        if (row[1:] < row[:-1]).any():
            table = table.take(pa.array(np.argsort(row, kind="stable")))
        stem = f"{task.shard.number:06d}"
        files.append(write_table(task.folder, stem, table, kind="evidence", shard=task.shard.number))
    return {"files": [asdict(f) for f in files], "scanned": len(fresh), "reused": len(rows) - len(fresh)}


def _reusable(task: ShardTask, rows: Int32, keys: Int64) -> tuple[list[pa.Table], Int32]:
    """Earlier evidence that still holds, and the rows that must be scanned."""
    earlier = read_files(task.evidence_files)
    if earlier is None:
        return [], rows
    old = earlier.column("row").to_numpy()
    wanted = np.zeros(task.shard.rows, np.bool_)
    wanted[rows] = True
    holds = wanted[old] & (earlier.column("view").to_numpy() == keys[old])
    seen = np.zeros(task.shard.rows, np.bool_)
    seen[old[holds]] = True
    return [earlier.filter(pa.array(holds))], rows[~seen[rows]]


def _batches(task: ShardTask, stage: Stage, state: ShardState, rows: Int32) -> Iterator[Batch]:
    wants_text = "text" in stage.reads
    edits = state.edits if stage.sees_cuts() else Edits.none(task.shard.rows)
    for first, table in task.shard.groups(list(stage.reads), rows):
        low, high = np.searchsorted(rows, (first, first + table.num_rows))
        here = rows[low:high]
        stored = TextColumn.from_arrow(table.column("text")) if wants_text else None
        metadata = table.drop_columns(["text"]) if wants_text else table
        sizes = stored.lengths[here - first] if stored is not None else np.full(len(here), 64)
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // task.batch_bytes)) + 1
        for part in np.split(here, cuts):
            view = build_view(stored, edits, part, first) if stored is not None else None
            ids = task.shard.first_id + part.astype(np.int64)
            yield Batch(part, ids, task.shard.domain, view, metadata.take(pa.array(part - first)))


def decide_shard(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: writes a local stage's decision about one document shard.

    Returns:
        ``{"files": [FileEntry]}``.
    """
    task = ShardTask.of(payload)
    stage = open_stage(task)
    assert isinstance(stage, LocalStage)
    evidence = read_files(task.evidence_files)
    rows = task.taken(load_state(task.chain, task.shard.rows))
    if not len(rows) or (evidence is None and stage.reads):
        return {"files": []}
    evidence = pa.table({"row": pa.array([], pa.int32())}) if evidence is None else evidence
    verdicts = []
    for part, config in _by_config(task, rows):
        found = _rows_of(evidence, part, task.shard.rows)
        verdicts.append(stage.decide(found, part, task.shard.first_id, config, partial(earlier_column, task, part)))
    return {"files": [asdict(f) for f in write_verdicts(task.folder, task.shard.number, verdicts)]}


def _rows_of(table: pa.Table, rows: Int32, total: int) -> pa.Table:
    wanted = np.zeros(total, np.bool_)
    wanted[rows] = True
    return table.filter(pa.array(wanted[table.column("row").to_numpy()]))


def _by_config(task: ShardTask, rows: Int32) -> Iterator[tuple[Int32, StrictModel]]:
    """The rows, grouped by the decision config that holds for their domain."""
    kind = stage_class(task.stage)
    default, overrides = task.decisions["default"], task.decisions.get("domains", {})
    domains = task.domains()[rows].astype(str)
    special = [d for d in sorted(overrides) if (domains == d).any()]
    rest = rows[~np.isin(domains, special)]
    if len(rest):
        yield rest, parse(kind.Decision, default, task.stage)
    for domain in special:
        yield rows[domains == domain], parse(kind.Decision, overrides[domain], f"domains.{domain}.{task.stage}")


def write_verdicts(folder: Path, shard: int, verdicts: list[Verdict]) -> list[FileEntry]:
    """Writes a shard's drops, edits and columns, merged and sorted by row; an empty table has no file."""
    tables = {
        "drops": pa.concat_tables([v.drops.cast(DROPS) for v in verdicts]),
        "edits": pa.concat_tables([v.edits.cast(EDITS) for v in verdicts]),
    }
    columns = [v.columns for v in verdicts if v.columns is not None]
    if columns:
        tables["columns"] = pa.concat_tables(columns)
    files = []
    for kind, table in tables.items():
        if table.num_rows:
            keys = [("row", "ascending"), *([("start", "ascending")] if kind == "edits" else [])]
            files.append(
                write_table(folder, f"{kind}-{shard:06d}", table.sort_by(keys).combine_chunks(), kind=kind, shard=shard)
            )
    return files
