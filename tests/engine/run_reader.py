"""Reads a run folder the slow way: ids to names, decisions folded in plain Python, digests of what is published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus import ids
from corpus.files import Manifest
from corpus.run_folder import RunFolder
from tests.oracles.text import later_edits, view_pieces

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class RunReader:
    """A finished run.

    Attributes:
        root: the run folder.
    """

    root: Path

    @cached_property
    def run(self) -> RunFolder:
        """The run folder as Tamis sees it."""
        return RunFolder(self.root)

    @cached_property
    def documents(self) -> dict[int, dict[str, Any]]:
        """Every ingested document by id; `input_domain` is added."""
        found = {}
        for shard in self.run.shards:
            for row, document in enumerate(pq.read_table(shard.path, partitioning=None).to_pylist()):
                found[shard.first_id + row] = {**document, "input_domain": shard.domain}
        return found

    @cached_property
    def id_of(self) -> dict[str, int]:
        """`source_id` → id."""
        return {d["source_id"]: i for i, d in self.documents.items()}

    def name(self, doc_id: int) -> str:
        """The `source_id` of a document."""
        return str(self.documents[doc_id]["source_id"])

    @cached_property
    def chain(self) -> dict[str, Manifest]:
        """Stage → its current decision."""
        return dict(self.run.chain())

    def table(self, manifest: Manifest | None, kind: str) -> list[dict[str, Any]]:
        """All rows of a committed table, with their `doc_id`."""
        rows: list[dict[str, Any]] = []
        for entry in manifest.files if manifest else ():
            if entry.table != kind:
                continue
            first = self.run.shards[entry.shard].first_id
            read = pq.read_table(manifest.folder / entry.path, partitioning=None).to_pylist()  # type: ignore[union-attr]
            rows += [{**row, "doc_id": first + row["row"]} for row in read]
        return rows

    def evidence(self, stage: str) -> list[dict[str, Any]]:
        """Rows of a stage's current evidence."""
        return self.table(self.run.evidence(stage), "evidence")

    def drops(self, stage: str) -> dict[int, dict[str, Any]]:
        """What a stage drops: id → row."""
        return {row["doc_id"]: row for row in self.table(self.chain[stage], "drops")}

    def columns(self, stage: str) -> dict[int, dict[str, Any]]:
        """What a stage hands on: id → row."""
        return {row["doc_id"]: row for row in self.table(self.chain[stage], "columns")}

    def edits(self, stage: str) -> dict[int, list[dict[str, Any]]]:
        """What a stage cuts: id → rows in the text's order."""
        found: dict[int, list[dict[str, Any]]] = {}
        for row in self.table(self.chain[stage], "edits"):
            found.setdefault(row["doc_id"], []).append(row)
        return found

    def domain(self, doc_id: int) -> str:
        """The final domain of a document."""
        assigned = self.columns("eligibility") if "eligibility" in self.chain else {}
        return str(assigned[doc_id]["domain"] if doc_id in assigned else self.documents[doc_id]["input_domain"])

    def fates(self) -> dict[int, tuple[str, dict[str, Any]]]:
        """For each dropped document the first stage that drops it, and that stage's row."""
        found: dict[int, tuple[str, dict[str, Any]]] = {}
        for stage in self.chain:
            for doc_id, row in self.drops(stage).items():
                found.setdefault(doc_id, (stage, row))
        return found

    def before(self, stage: str | None = None) -> dict[int, str]:
        """The documents alive before a stage (None: at the end) and their views, by folding in plain Python."""
        alive = set(self.documents)
        edits: dict[int, list[tuple[int, int, bytes | None]]] = {}
        for name in self.chain:
            if name == stage:
                break
            alive -= set(self.drops(name))
            for doc_id, rows in self.edits(name).items():
                new = [(r["start"], r["end"], r["replacement"] and r["replacement"].encode()) for r in rows]
                edits[doc_id] = later_edits(edits.get(doc_id, []), new)
        return {i: self._view(i, edits.get(i, [])) for i in sorted(alive)}

    def _view(self, doc_id: int, edits: list[tuple[int, int, bytes | None]]) -> str:
        stored = self.documents[doc_id]["text"].encode()
        return bytes(piece[0] for piece in view_pieces(stored, edits)).decode() if edits else stored.decode()

    def published(self) -> list[dict[str, Any]]:
        """Rows of all published shards."""
        return _rows(self.root / "shards")

    def dropped(self) -> list[dict[str, Any]]:
        """Rows of the dropped table."""
        return _rows(self.root / "dropped")

    def kept_names(self) -> set[str]:
        """`source_id` of what is published."""
        return {row["source_id"] for row in self.published()}

    def file_digests(self) -> dict[str, str]:
        """sha256 of every file below `shards`, `dropped` and the current weights, by its path."""
        weights = f"weights/{self.run.state()['weights']}"
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for below in ("shards", "dropped", weights)
            for path in sorted((self.root / below).rglob("*.parquet"))
        }

    def narrow_tables(self) -> dict[str, Rows]:
        """Every decision's and evidence's rows, sorted."""
        found = {}
        for stage, decision in self.chain.items():
            kinds = {entry.table for entry in decision.files}
            for kind in sorted(kinds):
                found[f"{stage}/{kind}"] = _sorted(self.table(decision, kind))
            found[f"{stage}/evidence"] = _sorted(self.evidence(stage))
        return found


def _rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("*.parquet")):
        found += pq.read_table(path, partitioning=None).to_pylist()
    return found


def _sorted(rows: list[dict[str, Any]]) -> Rows:
    return sorted((tuple(sorted(row.items())) for row in rows), key=repr)


def table_of(rows: list[dict[str, Any]], *names: str) -> pa.Table:
    """Some columns of rows."""
    return pa.table({name: [row[name] for row in rows] for name in names})


def shard_of(doc_id: int) -> int:
    """The document shard of an id."""
    return ids.shard_of(doc_id)
