"""Publishes: the one place where decisions meet text again, by a merge on position.

A published shard is made of consecutive document shards of one domain, grouped by the bytes that are known to be kept
before anything is written; so keeping a third of a corpus does not leave files a third of the size. Beside the shards
lie the ``dropped`` table and the weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import MANIFEST, FileEntry, Manifest, commit, load_manifest, stable_hash, write_table
from corpus.run_folder import RunFolder
from corpus.schemas import DROPPED, METADATA, PUBLISHED, SCORES
from corpus.shard_state import ShardState, load_state, read_files
from corpus.view import build_view
from pipelines.run.config import PipelineConfig, WriteShardsConfig
from pipelines.run.ledger import Kept
from pipelines.run.weights import place, write_weights
from pipelines.spark.session import Cluster
from pipelines.stages.shard_task import ShardTask, decision_files, earlier_column
from tamis.errors import TamisError
from text.hash import uniform

ROW_GROUP_BYTES = 32 << 20
"""Text bytes of a row group of a published shard: what a reader must hold to read one."""


def publish(
    run: RunFolder,
    config: PipelineConfig,
    chain: Sequence[tuple[str, Manifest]],
    kept: Sequence[Kept],
    cluster: Cluster,
) -> None:
    """Writes published shards, the dropped table and the weights; what is there already stays.

    Raises:
        TamisError: what was written is not what the ledger says is kept.
    """
    settings = config.write_shards
    upstream = chain[-1][1].body["key"] if chain else run.ingest.body["identity"]
    settled = [m.body["key"] for _, m in chain]
    key = stable_hash([upstream, settled, settings.model_dump(mode="json")])
    tasks = {
        s.number: ShardTask(s, decision_files(chain, s), "", {}, {}, {}, (), run.root, 0).payload() for s in run.shards
    }
    published = _write_shards(run, settings, key, tasks, kept, decisions_of(chain), cluster)
    _write_dropped(run, stable_hash([key, "dropped"]), tasks, cluster)
    write_weights(run, config.weights, published, cluster)


def _write_shards(
    run: RunFolder,
    settings: WriteShardsConfig,
    key: str,
    tasks: dict[int, dict[str, Any]],
    kept: Sequence[Kept],
    decisions: list[str],
    cluster: Cluster,
) -> Manifest:
    folder = run.root / "shards"
    done = load_manifest(folder)
    if done is not None and done.body["key"] == key:
        return done
    _forget_others(folder, key)
    groups = list(plan_groups(kept, settings.target_shard_bytes))
    payloads = [
        {
            "domain": domain,
            "tasks": [tasks[n] for n in numbers],
            "folder": str(folder),
            "name": f"{domain}/{domain}-{index:05d}.parquet",
            "settings": settings.model_dump(mode="json"),
            "number": i,
        }
        for i, (domain, index, numbers) in enumerate(groups)
    ]
    answers = cluster.map(
        "pipelines.run.publish:write_published",
        payloads,
        label="write_shards",
        receipts=folder / f"receipts-{key}",
        weights=[sum(k.documents for k in kept if k.domain == d and k.shard in set(n)) for d, _, n in groups],
    )
    (folder / MANIFEST).unlink(missing_ok=True)  # final names are about to be overwritten
    entries = [place(folder, FileEntry(**a["file"]), a["name"]) for a in answers]
    rows, size = sum(e.rows for e in entries), sum(e.info["text_bytes"] for e in entries)
    if rows != sum(k.documents for k in kept) or size != sum(k.bytes for k in kept):
        raise TamisError("the published shards hold other documents than the ledger says are kept; please report this")
    return commit(folder, {"key": key, "decisions": decisions, "documents": rows, "text_bytes": size}, entries)


def decisions_of(chain: Sequence[tuple[str, Manifest]]) -> list[str]:
    """The decisions of a chain, for the manifest of the shards that were published by them."""
    return [f"{stage}/{manifest.folder.name}" for stage, manifest in chain]


def _forget_others(folder: Path, key: str) -> None:
    """Removes the receipts of a publishing under other decisions that never ended: its files have our final names."""
    for receipts in folder.glob("receipts-*"):
        if receipts.name != f"receipts-{key}":
            shutil.rmtree(receipts, ignore_errors=True)


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


def write_published(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: one published shard."""
    settings = WriteShardsConfig.model_validate(payload["settings"])
    tables = [_published_rows(ShardTask.of(t), payload["domain"], settings) for t in payload["tasks"]]
    table = pa.concat_tables(tables).combine_chunks()
    size = int(np.sum(table.column("bytes").to_numpy(), dtype=np.int64))
    rows = max(1, min(table.num_rows, table.num_rows * ROW_GROUP_BYTES // max(1, size)))
    info = {"domain": payload["domain"], "text_bytes": size}
    entry = write_table(
        Path(payload["folder"]),
        payload["name"].replace("/", "-"),
        table,
        kind="published",
        shard=payload["number"],
        info=info,
        row_group_rows=rows,
    )
    return {"file": asdict(entry), "name": payload["name"]}


def _published_rows(task: ShardTask, domain: str, settings: WriteShardsConfig) -> pa.Table:
    state = load_state(task.chain, task.shard.rows)
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
    }
    components = np.where(columns["component_id"].is_null(), ids, columns["component_id"].fill_null(0))
    columns["split"] = pa.array(split_of(components, settings), pa.string())
    return pa.table([columns[name] for name in PUBLISHED.names], schema=PUBLISHED)


def split_of(components: npt.NDArray[np.int64], settings: WriteShardsConfig) -> npt.NDArray[np.str_]:
    """ "heldout" or "train", by a hash of the component: near copies never straddle the split."""
    return np.where(uniform(settings.heldout_seed, components) < settings.heldout_fraction, "heldout", "train")


def _scores(task: ShardTask, rows: npt.NDArray[np.int32]) -> dict[str, pa.Array]:
    found = {}
    for name, kind, stage, default in SCORES:
        values = earlier_column(task, rows, stage, name, None)
        array = pa.array(values.tolist(), kind, from_pandas=True)  # a null of a float column comes as NaN
        found[name] = array if default is None else array.fill_null(pa.scalar(default, kind))
    return found


def _write_dropped(run: RunFolder, key: str, tasks: dict[int, dict[str, Any]], cluster: Cluster) -> Manifest:
    folder = run.root / "dropped"
    done = load_manifest(folder)
    if done is not None and done.body["key"] == key:
        return done
    _forget_others(folder, key)
    payloads = [{"task": tasks[n], "folder": str(folder)} for n in sorted(tasks)]
    answers = cluster.map(
        "pipelines.run.publish:write_dropped_rows", payloads, label="dropped", receipts=folder / f"receipts-{key}"
    )
    (folder / MANIFEST).unlink(missing_ok=True)
    entries = [place(folder, FileEntry(**a["file"]), a["name"]) for a in answers if a["file"]]
    alive = run.ingest.body["documents"] - sum(e.rows for e in entries)
    published = load_manifest(run.root / "shards")
    if published is None or published.body["documents"] != alive:
        raise TamisError("the dropped table and the published shards do not add up to the ingest; please report this")
    return commit(folder, {"key": key}, entries)


def write_dropped_rows(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: the removed documents of one document shard, each with the stage and reason that took it out first."""
    task = ShardTask.of(payload["task"])
    state = ShardState.fresh(task.shard.rows)
    parts = []
    for files in task.chain:
        drops = read_files(files.drops)
        if drops is not None:
            fresh = drops.filter(pa.array(state.alive[drops.column("row").to_numpy()]))
            parts.append(fresh.append_column("stage", pa.array([files.stage] * fresh.num_rows, pa.string())))
        state = state.after(drops, read_files(files.edits))
    table = pa.concat_tables(parts) if parts else None
    if table is None or not table.num_rows:
        return {"file": None, "name": ""}
    table = table.sort_by("row")
    picked = task.shard.read([*METADATA, "bytes"]).take(table.column("row"))
    domains = pa.array(task.domains()[table.column("row").to_numpy()].tolist(), pa.string())
    columns = {name: table.column(name) for name in table.column_names} | {
        name: picked.column(name) for name in picked.column_names
    }
    columns["domain"] = domains
    rows = pa.table([columns[name] for name in DROPPED.names], schema=DROPPED).combine_chunks()
    entry = write_table(Path(payload["folder"]), "dropped", rows, kind="dropped", shard=task.shard.number)
    return {"file": asdict(replace(entry)), "name": f"dropped-{task.shard.number:06d}.parquet"}
