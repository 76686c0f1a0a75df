"""Runs of `conf/pipelines/dedup.yaml` over Parquet files, and the decision about each document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.tools.pipeline_run import run_pipeline
from corpus.run_folder import RunFolder
from pipelines.spark.session import Cluster
from tamis.places import ROOT

PIPELINE = ROOT / "conf" / "pipelines" / "dedup.yaml"


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a document was dropped.

    Attributes:
        reason: "exact_duplicate" or "near_duplicate".
        survivor: the document that was kept for it; None if none was named.
        similarity: to the survivor, as the run has verified it.
    """

    reason: str
    survivor: str | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run decided, by the documents' own ids.

    Attributes:
        kept: the published documents.
        dropped: the other documents; raw records that were not ingested are in neither.
        facts: what the ledger counted.
    """

    kept: frozenset[str]
    dropped: dict[str, Drop]
    facts: dict[str, Any]

    def final(self, name: str) -> str:
        """The document at the end of the chain of survivors."""
        seen = {name}
        while name in self.dropped:
            survivor = self.dropped[name].survivor
            if survivor is None or survivor in seen:
                return name
            seen.add(survivor)
            name = survivor
        return name

    def joined(self, a: str, b: str) -> bool:
        """Whether two documents have the same final survivor."""
        return self.final(a) == self.final(b)


def deduplicate(inputs: dict[str, str], out: Path, cluster: Cluster, pipeline: Path = PIPELINE) -> Outcome:
    """Runs a pipeline that decides about whole documents only.

    Args:
        inputs: domain → glob.
        out: an empty or missing folder.
        cluster: Spark.
        pipeline: its YAML file.
    """
    run_pipeline(pipeline, out, cluster, inputs=[f"{domain}={glob}" for domain, glob in inputs.items()])
    return outcome(out)


def outcome(run: Path) -> Outcome:
    """What a finished run decided, read from its shards, its `dropped` table and its ledger."""
    kept = read_rows(run / "shards", ["doc_id", "source_id"])
    dropped = read_rows(run / "dropped", ["doc_id", "source_id", "reason", "survivor", "similarity"])
    name = {row["doc_id"]: row["source_id"] for row in (*kept, *dropped)}
    if len(set(name.values())) != len(name):
        raise SystemExit(f"{run}: two documents have one id")
    drops = {row["source_id"]: Drop(row["reason"], name.get(row["survivor"]), row["similarity"]) for row in dropped}
    ledger = RunFolder(run).ledger()
    facts = {"documents": len(name), "stages": {s["name"]: s["documents_dropped"] for s in ledger["stages"]}}
    return Outcome(frozenset(row["source_id"] for row in kept), drops, facts)


def read_rows(folder: Path, columns: list[str]) -> list[dict[str, Any]]:
    """Some columns of all Parquet files below a folder, a dictionary a row."""
    tables = [pq.read_table(path, columns=columns, partitioning=None) for path in sorted(folder.rglob("*.parquet"))]
    return pa.concat_tables(tables).to_pylist() if tables else []


def write_documents(folder: Path, documents: dict[str, str]) -> str:
    """Writes id → text as one Parquet file; returns its glob."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": pa.array(list(documents), pa.string()), "text": pa.array(documents.values(), pa.string())})
    pq.write_table(table, folder / "documents.parquet", compression="zstd")
    return str(folder / "*.parquet")
