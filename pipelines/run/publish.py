"""Writes the published shards and the `dropped` table: the one place where decisions meet text again, by position.

A published shard is made of consecutive document shards of a domain, grouped by the bytes that will be kept of them,
which the ledger has counted; so a run that keeps a third of a corpus does not end in files a third of the size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import FileEntry, Manifest, commit, load_manifest, place, retract, stable_hash, write_table
from corpus.run_folder import RunFolder
from corpus.schemas import DROPPED, METADATA, PUBLISHED, SCORES
from corpus.shard_state import ShardState
from corpus.view import build_view
from pipelines.run.config import PipelineConfig
from pipelines.run.ledger import Kept
from pipelines.run.settings import WriteShardsConfig
from pipelines.run.weights import write_weights
from pipelines.spark.session import Cluster
from pipelines.spark.wire import WireSchema
from pipelines.stages.context import remove_scratch
from pipelines.stages.own import own_columns
from pipelines.stages.registry import shard_tasks
from pipelines.stages.shard_task import Chain, ShardTask
from tamis.errors import TamisError
from text.hash import uniform

ROW_GROUP_BYTES = 32 << 20
"""Bytes of text in a row group of a published shard: what a reader holds at a time."""


def publish(run: RunFolder, config: PipelineConfig, chain: Chain, kept: Sequence[Kept], cluster: Cluster) -> None:
    """Writes published shards, the dropped table and the weights, unless they are there already.

    Raises:
        TamisError: what was written is not what the ledger counted as kept.
    """
    settings = config.write_shards
    upstream = chain[-1][1].body["key"] if chain else run.ingest.body["identity"]
    settled = [m.body["key"] for _, m in chain]
    columns = pa.schema([field for name, _ in chain for field in own_columns(config.kind(name))])
    told = [[f.name, str(f.type), f.metadata[b"description"].decode()] for f in columns]
    key = stable_hash([upstream, settled, settings.model_dump(mode="json"), *([told] if told else [])])
    tasks = {task.shard.number: task for task in shard_tasks(run.shards, chain)}
    published = _write_shards(run, settings, columns, key, tasks, kept, decisions_of(chain), cluster)
    _write_dropped(run, stable_hash([key, "dropped"]), tasks, cluster)
    write_weights(run, config.weights, published, cluster)


def _write_shards(
    run: RunFolder,
    settings: WriteShardsConfig,
    columns: pa.Schema,
    key: str,
    tasks: dict[int, ShardTask],
    kept: Sequence[Kept],
    decisions: list[str],
    cluster: Cluster,
) -> Manifest:
    folder = run.root / "shards"
    done = load_manifest(folder)
    if done is not None and done.body["key"] == key:
        return done
    scratch = fresh_scratch(folder, key)
    groups = list(plan_groups(kept, settings.target_shard_bytes))
    members = [(domain, [tasks[n] for n in numbers]) for domain, _, numbers in groups]
    written = cluster.map(
        write_published,
        [PublishTask(parts, domain, i, scratch, settings, columns) for i, (domain, parts) in enumerate(members)],
        label="write_shards",
        receipts=scratch / "receipts",
        weights=[sum(k.documents for k in kept if k.domain == d and k.shard in set(n)) for d, _, n in groups],
    )
    retract(folder)  # final names are about to be overwritten
    names = [f"{domain}/{domain}-{index:05d}.parquet" for domain, index, _ in groups]
    entries = [place(folder, entry, name, scratch) for entry, name in zip(written, names, strict=True)]
    rows, size = sum(e.rows for e in entries), sum(e.info["text_bytes"] for e in entries)
    if rows != sum(k.documents for k in kept) or size != sum(k.bytes for k in kept):
        raise TamisError("the published shards hold other documents than the ledger says are kept; please report this")
    manifest = commit(folder, {"key": key, "decisions": decisions, "documents": rows, "text_bytes": size}, entries)
    remove_scratch(scratch)
    return manifest


def decisions_of(chain: Chain) -> list[str]:
    """The decisions of a chain, as the manifest of the shards published by them names them."""
    return [f"{stage}/{manifest.folder.name}" for stage, manifest in chain]


def fresh_scratch(folder: Path, key: str) -> Path:
    """Where tasks write until their files get their final names in `folder`, so that it holds nothing but tables.

    That of a publishing by other decisions which was interrupted goes: its files share their final names.
    """
    for stale in folder.parent.glob(f"{folder.name}.scratch-*"):
        if stale.name != f"{folder.name}.scratch-{key}":
            remove_scratch(stale)
    return folder.with_name(f"{folder.name}.scratch-{key}")


def plan_groups(kept: Sequence[Kept], target: int) -> Iterator[tuple[str, int, list[int]]]:
    """Groups consecutive document shards of a domain: (domain, index in the domain, shard numbers)."""
    for domain in sorted({k.domain for k in kept}):
        index, size = 0, 0
        numbers: list[int] = []
        for part in sorted((k for k in kept if k.domain == domain), key=lambda k: k.shard):
            if numbers and size + part.bytes > target:
                yield domain, index, numbers
                index, numbers, size = index + 1, [], 0
            numbers = [*numbers, part.shard]
            size += part.bytes
        if numbers:
            yield domain, index, numbers


@dataclass(frozen=True)
class PublishTask:
    """A published shard of a domain, to be written from some document shards; `number` counts over all domains.

    `columns` are those of stages of one's own; the metadata of each names its stage.
    """

    tasks: list[ShardTask]
    domain: str
    number: int
    folder: Path
    settings: WriteShardsConfig
    columns: WireSchema


def write_published(job: PublishTask) -> FileEntry:
    """Task: writes one published shard."""
    tables = [_published_rows(task, job) for task in job.tasks]
    table = pa.concat_tables(tables).combine_chunks()
    size = int(np.sum(table.column("bytes").to_numpy(), dtype=np.int64))
    rows = max(1, min(table.num_rows, table.num_rows * ROW_GROUP_BYTES // max(1, size)))
    info = {"domain": job.domain, "text_bytes": size}
    stem = f"{job.domain}-{job.number:06d}"
    return write_table(job.folder, stem, table, kind="published", shard=job.number, info=info, row_group_rows=rows)


def _published_rows(task: ShardTask, job: PublishTask) -> pa.Table:
    """The kept documents of a domain in one document shard, as they are published."""
    domain, state = job.domain, task.state()
    rows = np.flatnonzero(state.alive & (task.domains().astype(str) == domain)).astype(np.int32)
    stored = task.shard.read(["text", "bytes", "sentences", *METADATA])
    from text.arrow import TextColumn

    view = build_view(TextColumn.from_arrow(stored.column("text")), state.edits, rows)
    picked = stored.drop_columns(["text"]).take(pa.array(rows))
    ids = task.shard.first_id + rows.astype(np.int64)
    columns: dict[str, Any] = {
        "doc_id": pa.array(ids),
        "domain": pa.array([domain] * len(rows), pa.string()),
        "text": view.column.to_arrow().cast(pa.string()),
        "bytes": pa.array(view.column.lengths.astype(np.int32)),
        "sentences": pa.array((picked.column("sentences").to_numpy() - state.cut_sentences[rows]).astype(np.int32)),
        "stored_bytes": picked.column("bytes"),
        **{name: picked.column(name) for name in METADATA},
        **_scores(task, rows),
        **_own_columns(task, rows, job.columns),
    }
    components = np.where(columns["component_id"].is_null(), ids, columns["component_id"].fill_null(0))
    columns["split"] = pa.array(split_of(components, job.settings), pa.string())
    schema = pa.schema([*PUBLISHED, *job.columns])
    return pa.table([columns[name] for name in schema.names], schema=schema)


def split_of(components: npt.NDArray[np.int64], settings: WriteShardsConfig) -> npt.NDArray[np.str_]:
    """ "heldout" or "train", by a hash of the component, so that near copies are on the same side."""
    return np.where(uniform(settings.heldout_seed, components) < settings.heldout_fraction, "heldout", "train")


def _scores(task: ShardTask, rows: npt.NDArray[np.int32]) -> dict[str, pa.Array]:
    """The columns that stages left about some documents, or their defaults."""
    found = {}
    for name, kind, stage, default in SCORES:
        values = task.column(rows, stage, name, None)
        array = pa.array(values.tolist(), kind, from_pandas=True)  # a null of a float column comes as NaN
        found[name] = array if default is None else array.fill_null(pa.scalar(default, kind))
    return found


def _own_columns(task: ShardTask, rows: npt.NDArray[np.int32], schema: pa.Schema) -> dict[str, pa.ChunkedArray]:
    """The columns that stages of one's own left about some documents, null where they left nothing."""
    decisions = dict(task.decisions())
    found = {}
    for field in schema:
        left = decisions[field.metadata[b"stage"].decode()].read("columns", task.shard.number)
        left = pa.schema([pa.field("row", pa.int32()), field]).empty_table() if left is None else left
        at = np.full(task.shard.rows, -1, np.int64)
        at[left.column("row").to_numpy()] = np.arange(left.num_rows)
        found[field.name] = left.column(field.name).take(pa.array(at[rows], mask=at[rows] < 0))
    return found


def _write_dropped(run: RunFolder, key: str, tasks: dict[int, ShardTask], cluster: Cluster) -> Manifest:
    folder = run.root / "dropped"
    done = load_manifest(folder)
    if done is not None and done.body["key"] == key:
        return done
    scratch = fresh_scratch(folder, key)
    answers = cluster.map(
        write_dropped_rows,
        [DroppedTask(tasks[n], scratch) for n in sorted(tasks)],
        label="dropped",
        receipts=scratch / "receipts",
    )
    retract(folder)
    files = [file for answer in answers for file in answer]
    entries = [place(folder, file, f"dropped-{file.shard:06d}.parquet", scratch) for file in files]
    alive = run.ingest.body["documents"] - sum(e.rows for e in entries)
    published = load_manifest(run.root / "shards")
    if published is None or published.body["documents"] != alive:
        raise TamisError("the dropped table and the published shards do not add up to the ingest; please report this")
    manifest = commit(folder, {"key": key}, entries)
    remove_scratch(scratch)
    return manifest


@dataclass(frozen=True)
class DroppedTask:
    """A document shard whose dropped documents are listed, and the folder of the list."""

    task: ShardTask
    folder: Path


def write_dropped_rows(job: DroppedTask) -> list[FileEntry]:
    """Task: the file of a shard's dropped documents, each with the stage and reason that dropped it first, if any."""
    task = job.task
    state = ShardState.fresh(task.shard.rows)
    parts = []
    for stage, decision in task.decisions():
        drops = decision.read("drops", task.shard.number)
        if drops is not None:
            fresh = drops.filter(pa.array(state.alive[drops.column("row").to_numpy()]))
            parts.append(fresh.append_column("stage", pa.array([stage] * fresh.num_rows, pa.string())))
        state = state.after(drops, decision.read("edits", task.shard.number))
    table = pa.concat_tables(parts) if parts else None
    if table is None or not table.num_rows:
        return []
    table = table.sort_by("row")
    picked = task.shard.read([*METADATA, "bytes"]).take(table.column("row"))
    domains = pa.array(task.domains()[table.column("row").to_numpy()].tolist(), pa.string())
    columns = {name: part.column(name) for part in (table, picked) for name in part.column_names} | {"domain": domains}
    rows = pa.table([columns[name] for name in DROPPED.names], schema=DROPPED).combine_chunks()
    return [write_table(job.folder, "dropped", rows, kind="dropped", shard=task.shard.number)]
