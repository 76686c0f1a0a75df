"""The two task functions of a text stage: scan a shard for evidence, decide about a shard.

Both open one document shard, and the tables about it, with pyarrow, and return file entries. Rows that an earlier scan
has seen in the same view are copied from it: a changed threshold upstream costs a scan of the documents that it brought
back, no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.config import StrictModel, parse
from corpus.files import FileEntry, stable_hash, write_table
from corpus.shard_state import ShardState
from corpus.view import Edits, build_view
from pipelines.stages.base import Batch, LocalStage, Stage, write_verdicts
from pipelines.stages.own import told
from pipelines.stages.own_results import blamed, checked_evidence, checked_verdict
from pipelines.stages.registry import stage_class
from pipelines.stages.shard_task import Int32, Int64, ShardTask
from tamis.errors import TamisError
from text.arrow import TextColumn

BATCH_BYTES = 8 << 20
"""Bytes of text in a batch: bounds a task's memory beside its shard."""


@dataclass(frozen=True)
class StageConfig:
    """A stage and its configs, as JSON, in the form in which tasks receive them; `artefacts` are name → path.

    `decision` holds for domains that override nothing, `domains` for each that overrides something; `code` is the
    reference of a stage of one's own.
    """

    name: str
    evidence: dict[str, Any]
    artefacts: dict[str, str]
    decision: dict[str, Any]
    domains: dict[str, dict[str, Any]]
    code: str = ""

    def open(self) -> Stage:
        """The stage; a worker process keeps it, so that models are loaded once."""
        return _open_stage(self.code or self.name, json.dumps(self.evidence), json.dumps(self.artefacts))

    def configs(self) -> tuple[StrictModel, dict[str, StrictModel]]:
        """The decision config, and domain → decision config where a domain overrides something."""
        kind = stage_class(self.code or self.name).Decision
        overrides = {d: parse(kind, block, f"domains.{d}.{self.name}") for d, block in self.domains.items()}
        return parse(kind, self.decision, self.name), overrides


@lru_cache(maxsize=8)
def _open_stage(name: str, evidence: str, artefacts: str) -> Stage:
    kind = stage_class(name)
    with told(kind, "its beginning"):
        return kind(parse(kind.Evidence, json.loads(evidence), name), json.loads(artefacts))


@dataclass(frozen=True)
class ScanTask:
    """A document shard to be scanned; its evidence is that of an earlier scan, if there is one."""

    task: ShardTask
    stage: StageConfig
    folder: Path
    batch_bytes: int


@dataclass(frozen=True)
class Scanned:
    """What the scan of a shard gave; `reused` counts documents whose evidence was copied from the earlier scan."""

    files: list[FileEntry]
    scanned: int
    reused: int


def scan_shard(job: ScanTask) -> Scanned:
    """Task: writes the stage's evidence about one document shard."""
    task, stage = job.task, job.stage.open()
    state = task.state()
    rows = np.flatnonzero(task.is_active(state)).astype(np.int32)
    keys = state.view_keys() if stage.sees_cuts() and "text" in stage.reads else np.zeros(task.shard.rows, np.int64)
    groups = _by_settings(task, stage, rows)
    for settings, own in groups[1:]:
        keys[own] ^= np.int64(int(stable_hash(settings), 16) >> 1)  # seen otherwise
    pieces, fresh = _reusable(task, rows, keys)
    for batch in _batches(job, stage, state, fresh):
        table = _evidence(job, stage, state, batch)
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
        files.append(write_table(job.folder, stem, table, kind="evidence", shard=task.shard.number))
    return Scanned(files, len(fresh), len(rows) - len(fresh))


def _evidence(job: ScanTask, stage: Stage, state: ShardState, batch: Batch) -> pa.Table:
    """What a scan finds in a batch. Where it fails, its documents are scanned one by one, to name the one at fault."""
    with blamed(stage, batch.doc_ids):
        try:
            return checked_evidence(stage, stage.scan(batch), batch.rows) if job.stage.code else stage.scan(batch)
        except (TamisError, MemoryError, OSError):
            raise
        except Exception:
            for one in _batches(replace(job, batch_bytes=1), stage, state, batch.rows):
                with blamed(stage, one.doc_ids):
                    stage.scan(one)
            raise


def _reusable(task: ShardTask, rows: Int32, keys: Int64) -> tuple[list[pa.Table], Int32]:
    """The earlier evidence that still holds, and the rows that must be scanned."""
    earlier = task.read_evidence()
    if earlier is None:
        return [], rows
    old = earlier.column("row").to_numpy()
    holds = _mask(rows, task.shard.rows)[old] & (earlier.column("view").to_numpy() == keys[old])
    seen = _mask(old[holds], task.shard.rows)
    return [earlier.filter(pa.array(holds))], rows[~seen[rows]]


def _mask(rows: Int32, total: int) -> npt.NDArray[np.bool_]:
    """True at some of so many rows."""
    mask = np.zeros(total, np.bool_)
    mask[rows] = True
    return mask


def _batches(job: ScanTask, stage: Stage, state: ShardState, rows: Int32) -> Iterator[Batch]:
    edits = state.edits if stage.sees_cuts() else Edits.none(job.task.shard.rows)
    for settings, own in _by_settings(job.task, stage, rows):
        yield from _batches_of(job, stage, edits, own, settings)


def _batches_of(job: ScanTask, stage: Stage, edits: Edits, rows: Int32, settings: dict[str, Any]) -> Iterator[Batch]:
    shard = job.task.shard
    wants_text = "text" in stage.reads
    for first, table in shard.groups(list(stage.reads), rows):
        low, high = np.searchsorted(rows, (first, first + table.num_rows))
        here = rows[low:high]
        stored = TextColumn.from_arrow(table.column("text")) if wants_text else None
        metadata = table.drop_columns(["text"]) if wants_text else table
        sizes = stored.lengths[here - first] if stored is not None else np.full(len(here), 64)
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // job.batch_bytes)) + 1
        for part in np.split(here, cuts):
            view = build_view(stored, edits, part, first) if stored is not None else None
            others = metadata.take(pa.array(part - first))
            yield Batch(part, job.task.doc_ids(part), shard.domain, view, others, settings)


def _by_settings(task: ShardTask, stage: Stage, rows: Int32) -> list[tuple[dict[str, Any], Int32]]:
    """The rows by the settings of the scan that hold in their domains: first those that no domain overrides."""
    overriding = {domain for name in stage.scan_by_domain for domain in getattr(stage.evidence, f"{name}_of")}
    groups = [(stage.scan_settings(""), rows)]
    if overriding:
        domains = task.domains()[rows].astype(str)
        groups[0] = (groups[0][0], rows[~np.isin(domains, list(overriding))])
        groups += [(stage.scan_settings(d), rows[domains == d]) for d in sorted(overriding)]
    return groups


@dataclass(frozen=True)
class DecideTask:
    """A document shard about which a local stage decides, and the folder of the decision."""

    task: ShardTask
    stage: StageConfig
    folder: Path


def decide_shard(job: DecideTask) -> list[FileEntry]:
    """Task: writes a local stage's decision about one document shard."""
    task, stage = job.task, job.stage.open()
    assert isinstance(stage, LocalStage)
    evidence = task.read_evidence()
    rows = np.flatnonzero(task.is_active(task.state())).astype(np.int32)
    if not len(rows) or (evidence is None and stage.reads):
        return []
    evidence = pa.table({"row": pa.array([], pa.int32())}) if evidence is None else evidence
    evidence_rows = evidence.column("row").to_numpy()
    verdicts = []
    for part, config in _by_config(job, rows):
        own = evidence.filter(pa.array(_mask(part, task.shard.rows)[evidence_rows]))

        def earlier(name: str, column: str, default: Any, part: Int32 = part) -> Any:
            return task.column(part, name, column, default)

        with blamed(stage, task.doc_ids(part)):
            verdict = stage.decide(own, part, task.shard.first_id, config, earlier)
            verdicts.append(checked_verdict(stage, verdict, part, task.shard) if job.stage.code else verdict)
    return write_verdicts(job.folder, task.shard.number, verdicts)


def _by_config(job: DecideTask, rows: Int32) -> Iterator[tuple[Int32, StrictModel]]:
    """The rows, grouped by the decision config of their domain: here the thresholds that a domain overrides apply."""
    default, overrides = job.stage.configs()
    domains = job.task.domains()[rows].astype(str)
    special = [d for d in sorted(overrides) if (domains == d).any()]
    rest = rows[~np.isin(domains, special)]
    if len(rest):
        yield rest, default
    for domain in special:
        yield rows[domains == domain], overrides[domain]
