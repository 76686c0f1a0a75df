"""The second scan of `near_dedup`, of documents in candidate edges alone: shingle sets where the sketch cannot decide,
what each text says for itself, by which one of its copies is elected, and the facts of texts with an edge by meaning.

All lie beside the evidence, under a hash of what they depend on. A document that was read already, by a run with
another threshold or before a driver died, is not read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.files import FileEntry, Manifest, ManifestRef, commit, load_manifest, stable_hash, write_table
from corpus.view import Edits, build_view
from dedup import facts
from filters.damage.grade import RULE, grade
from pipelines.spark.session import Cluster
from pipelines.stages.context import Snapshot
from pipelines.stages.near_dedup.tables import STAGE
from pipelines.stages.shard_task import Int32, ShardTask, read_own
from text.arrow import TextColumn
from text.shingle import shingle_sets
from text.tokens import TOKENS


@dataclass(frozen=True)
class SetRules:
    """A shingle set: tokens a shingle, most hashes (a larger set is sampled); whether the text is less its cuts, and
    merits and facts are wanted too; and which tokens count, in all domains but those of `tokens_of`.
    """

    width: int
    max_size: int
    cut: bool
    merits: bool
    facts: bool
    tokens: str = "text"
    tokens_of: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SetTask:
    """A document shard: table `members` says whose sets are wanted, `known` holds what is there already."""

    task: ShardTask
    planned: ManifestRef
    known: ManifestRef | None
    rules: SetRules
    folder: Path


@dataclass(frozen=True)
class SetFiles:
    """The files about a shard, and how many documents were read."""

    files: list[FileEntry]
    scanned: int = 0


def read_sets(
    cluster: Cluster, snapshots: Sequence[Snapshot], planned: Mapping[int, Manifest], rules: SetRules, beside: Path
) -> tuple[dict[int, Manifest], int]:
    """Makes what is wanted below `beside`: snapshot → tables `sets`, `merits`, `facts`; and how many were read."""
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
    sets = [rules.width, rules.max_size, *_tokens(snapshot, rules)]
    key = stable_hash([snapshot.run.ingest.body["identity"], view, *sets, RULE, facts.RULE])
    folder = beside / "sets" / key
    known = load_manifest(folder)
    answers = cluster.map(
        read_shard,
        [
            SetTask(task, planned.ref, known.ref if known else None, rules, folder)
            for task in snapshot.tasks
            if planned.of_shard("members", task.shard.number)
        ],
        label="near_dedup: scan shingle sets",
        receipts=folder / "receipts",
    )
    fresh = [file for answer in answers for file in answer.files]
    replaced = {(file.table, file.shard) for file in fresh}
    others = [f for f in known.files if (f.table, f.shard) not in replaced] if known else []
    return commit(folder, {"key": key}, [*fresh, *others]), sum(a.scanned for a in answers)


def _tokens(snapshot: Snapshot, rules: SetRules) -> list[object]:
    """What says which tokens of a document count: settings, and, where domains differ, what assigns them."""
    assigned = [d.manifest.digest for task in snapshot.tasks[:1] for d in task.chain if d.assigns_domains]
    return [rules.tokens, rules.tokens_of, assigned] if rules.tokens_of else [rules.tokens]


def read_shard(job: SetTask) -> SetFiles:
    """Task: writes the wanted shingle sets, merits and facts of a shard, beside those that are there already."""
    task = job.task
    members = read_own(job.planned, "members", task, ["row", "doc_id", "wanted", "meant"])
    assert members is not None
    known = {kind: read_own(job.known, kind, task) for kind in _TABLES}
    row = members.column("row").to_numpy()
    wanted = {"sets": row[members.column("wanted").to_numpy(zero_copy_only=False)]}
    wanted["merits"] = row if job.rules.merits else row[:0]
    wanted["facts"] = row[members.column("meant").to_numpy(zero_copy_only=False)] if job.rules.facts else row[:0]
    for kind, table in known.items():
        if table is not None:
            wanted[kind] = wanted[kind][~np.isin(task.doc_ids(wanted[kind]), table.column("doc_id").to_numpy())]
    every = reduce(np.union1d, wanted.values())
    fresh = _scan(task, wanted, every, job.rules)
    files, number = [], task.shard.number
    for kind, pieces in fresh.items():
        old = known[kind]
        if pieces:
            table = pa.concat_tables([*pieces, *([] if old is None else [old])]).sort_by("doc_id")
            name = f"{kind}-{number:06d}"
            files.append(write_table(job.folder, name, table, kind=kind, shard=number, row_group_rows=20_000))
    return SetFiles(files, len(every))


def _scan(task: ShardTask, wanted: dict[str, Int32], rows: Int32, rules: SetRules) -> dict[str, list[pa.Table]]:
    """What is wanted of each kind, from the text of documents `rows`."""
    found: dict[str, list[pa.Table]] = {kind: [] for kind in _TABLES}
    if not len(rows):
        return found
    edits = task.state(until=lambda decided: decided.stage == STAGE).edits if rules.cut else Edits.none(task.shard.rows)
    domains = task.domains() if rules.tokens_of else np.full(task.shard.rows, "", dtype=object)
    tokens = np.array([rules.tokens_of.get(str(domain), rules.tokens) for domain in domains])
    for first, table in task.shard.groups(["text"], rows):
        stored = TextColumn.from_arrow(table.column("text"))
        for kind, look in _TABLES.items():
            start, end = np.searchsorted(wanted[kind], [first, first + table.num_rows])
            group = wanted[kind][start:end]
            for counted in np.unique(tokens[group]).tolist():
                here = group[tokens[group] == counted]
                texts = build_view(stored, edits, here, first).column
                found[kind].append(pa.table({"doc_id": task.doc_ids(here), **look(texts, rules, TOKENS[counted])}))
    return found


def _shingle_sets(texts: TextColumn, rules: SetRules, tokens: int) -> dict[str, Any]:
    ptr, hashes, modulus = shingle_sets(texts, rules.width, rules.max_size, tokens)
    offsets = pa.py_buffer((ptr * 8).astype(np.int32))
    return {
        "modulus": modulus,
        "hashes": pa.Array.from_buffers(pa.binary(), len(texts), [None, offsets, pa.py_buffer(hashes)]),
    }


def _merits(texts: TextColumn, *_: Any) -> dict[str, Any]:
    found = grade(texts)
    size = found.parts.itemsize * found.parts.shape[1]
    parts = pa.Array.from_buffers(pa.binary(size), len(texts), [None, pa.py_buffer(found.parts)])
    return {"tokens": found.tokens, "parts": parts.cast(pa.binary())}


def _facts(texts: TextColumn, *_: Any) -> dict[str, Any]:
    found = facts.find_facts(texts)
    offsets = pa.py_buffer(found.ptr * 8)
    return {"facts": pa.Array.from_buffers(pa.large_binary(), len(texts), [None, offsets, pa.py_buffer(found.hashes)])}


_TABLES = {"sets": _shingle_sets, "merits": _merits, "facts": _facts}
