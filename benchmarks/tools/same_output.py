"""Whether two runs have written the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from corpus.files import Manifest
from corpus.run_folder import RunFolder


def digests(out: Path) -> dict[str, str]:
    """sha256 of every published file, by path."""
    files = sorted(p for kind in ("shards", "dropped", "weights") for p in (out / kind).rglob("*.parquet"))
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def narrow_tables(root: Path) -> dict[str, str]:
    """Digest of every decision's and evidence's rows, sorted, by stage and table."""
    run = RunFolder(root)
    found = {}
    for stage, decision in run.chain():
        evidence = run.evidence(stage)
        for manifest in (decision, *([evidence] if evidence else [])):
            for table in sorted({f.table for f in manifest.files}):
                found[f"{stage}/{table}"] = _rows_digest(manifest, table)
    return found


def _rows_digest(manifest: Manifest, table: str) -> str:
    rows: list[str] = []
    for entry in manifest.files:
        if entry.table == table:
            read = pq.read_table(manifest.folder / entry.path, partitioning=None).to_pylist()
            rows += [f"{entry.shard} {sorted(row.items())}" for row in read]
    return f"{len(rows)} rows, {hashlib.sha256(chr(10).join(sorted(rows)).encode()).hexdigest()[:16]}"


def different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The keys of two tables of digests that are not equal, or not in both."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
