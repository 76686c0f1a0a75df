"""The second scan of `near_dedup`: shingle sets of the documents about which the sketch cannot decide.

Sets lie beside the evidence, under a hash of what they depend on. A document whose set is there already, from a run
with another threshold or from a driver that died, is not read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus.files import FileEntry, Manifest, ManifestRef, commit, load_manifest, stable_hash, write_table
from corpus.view import Edits, build_view
from pipelines.spark.session import Cluster
from pipelines.stages.context import Snapshot
from pipelines.stages.near_dedup.tables import STAGE
from pipelines.stages.shard_task import Int32, ShardTask, read_own
from text.arrow import TextColumn
from text.shingle import shingle_sets
from text.tokens import TOKENS


@dataclass(frozen=True)
class SetRules:
    """A shingle set: tokens a shingle, most hashes (a larger set is sampled), whether the text is less its cuts, and
    which tokens count, in all domains but those of `tokens_of`.
    """

    width: int
    max_size: int
    cut: bool
    tokens: str = "text"
    tokens_of: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SetTask:
    """A document shard: table `members` says whose sets are wanted, table `sets` holds those that are there already."""

    task: ShardTask
    planned: ManifestRef
    known: ManifestRef | None
    rules: SetRules
    folder: Path


@dataclass(frozen=True)
class SetFile:
    """The file of a shard's sets, None where there are none; and how many documents were read."""

    file: FileEntry | None = None
    scanned: int = 0


def read_sets(
    cluster: Cluster, snapshots: Sequence[Snapshot], planned: Mapping[int, Manifest], rules: SetRules, beside: Path
) -> tuple[dict[int, Manifest], int]:
    """Makes the wanted sets below `beside`: snapshot → table `sets`; and how many documents were read."""
    found, scanned = {}, 0
    for snapshot in sorted((s for s in snapshots if s.number in planned), key=lambda s: s.number):
        found[snapshot.number], read = _sets_of_snapshot(cluster, snapshot, planned[snapshot.number], rules, beside)
        scanned += read
    return found, scanned


def _sets_of_snapshot(
    cluster: Cluster, snapshot: Snapshot, planned: Manifest, rules: SetRules, beside: Path
) -> tuple[Manifest, int]:
    """The sets of one snapshot, and how many documents were read for them."""
    view = snapshot.evidence.body["key"] if rules.cut else ""
    key = stable_hash(
        [snapshot.run.ingest.body["identity"], view, rules.width, rules.max_size, *_tokens(snapshot, rules)]
    )
    folder = beside / "sets" / key
    known = load_manifest(folder)
    answers = cluster.map(
        sets_of_shard,
        [
            SetTask(task, planned.ref, known.ref if known else None, rules, folder)
            for task in snapshot.tasks
            if planned.of_shard("members", task.shard.number)
        ],
        label="near_dedup: scan shingle sets",
        receipts=folder / "receipts",
    )
    fresh = [a.file for a in answers if a.file is not None]
    others = [f for f in known.files if f.shard not in {e.shard for e in fresh}] if known else []
    return commit(folder, {"key": key}, [*fresh, *others]), sum(a.scanned for a in answers)


def _tokens(snapshot: Snapshot, rules: SetRules) -> list[object]:
    """What says which tokens of a document count: settings, and, where domains differ, what assigns them."""
    assigned = [d.manifest.digest for task in snapshot.tasks[:1] for d in task.chain if d.assigns_domains]
    return [rules.tokens, rules.tokens_of, assigned] if rules.tokens_of else [rules.tokens]


def sets_of_shard(job: SetTask) -> SetFile:
    """Task: writes the wanted shingle sets of a shard, beside those that are there already."""
    task = job.task
    members = read_own(job.planned, "members", task, ["row", "doc_id", "wanted"])
    assert members is not None
    rows = members.filter(members.column("wanted")).column("row").to_numpy()
    known = read_own(job.known, "sets", task)
    if known is not None:
        rows = rows[~np.isin(task.doc_ids(rows), known.column("doc_id").to_numpy())]
    pieces = [] if known is None else [known]
    pieces += _scan_sets(task, rows, job.rules) if len(rows) else []
    if not pieces:
        return SetFile()
    table = pa.concat_tables(pieces).sort_by("doc_id")
    name = f"sets-{task.shard.number:06d}"
    file = write_table(job.folder, name, table, kind="sets", shard=task.shard.number, row_group_rows=20_000)
    return SetFile(file, len(rows))


def _scan_sets(task: ShardTask, rows: Int32, rules: SetRules) -> list[pa.Table]:
    """The sets of some documents, from their text."""
    edits = task.state(until=lambda decided: decided.stage == STAGE).edits if rules.cut else Edits.none(task.shard.rows)
    domains = task.domains() if rules.tokens_of else np.full(task.shard.rows, "", dtype=object)
    tokens = np.array([rules.tokens_of.get(str(domain), rules.tokens) for domain in domains])
    pieces = []
    for first, table in task.shard.groups(["text"], rows):
        stored = TextColumn.from_arrow(table.column("text"))
        group = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + table.num_rows)]
        for kind in np.unique(tokens[group]).tolist():
            here = group[tokens[group] == kind]
            view = build_view(stored, edits, here, first)
            ptr, hashes, modulus = shingle_sets(view.column, rules.width, rules.max_size, TOKENS[kind])
            offsets = pa.py_buffer((ptr * 8).astype(np.int32))
            binary = pa.Array.from_buffers(pa.binary(), len(here), [None, offsets, pa.py_buffer(hashes)])
            pieces.append(pa.table({"doc_id": task.doc_ids(here), "modulus": modulus, "hashes": binary}))
    return pieces
