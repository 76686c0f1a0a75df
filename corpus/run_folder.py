"""The run folder: paths, the lock, the chain of current decisions. See `docs/design/run-layout.md`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus import ids
from corpus.files import Manifest, load_manifest, read_json, write_json
from tamis.errors import TamisError
from tamis.version import RECORD
from text.arrow import TextColumn

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class DocumentShard:
    """One document shard, of the domain of its input; `number` is the middle bits of its ids, `bytes` are of text."""

    number: int
    domain: str
    path: Path
    rows: int
    bytes: int
    first_id: int

    def read(self, columns: list[str]) -> pa.Table:
        """Some columns of the shard, all rows."""
        return pq.read_table(self.path, columns=columns, partitioning=None)

    def groups(self, columns: list[str], rows: npt.NDArray[np.int32]) -> Iterator[tuple[int, pa.Table]]:
        """Row groups that hold some of the rows, int32[k], ascending; one at a time, each with its first row."""
        with pq.ParquetFile(self.path, memory_map=True) as file:
            first = 0
            for number in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(number).num_rows
                low, high = np.searchsorted(rows, (first, first + size))
                if high > low:
                    yield first, file.read_row_group(number, columns=columns)
                first += size

    def text(self) -> TextColumn:
        """The stored text, one copy of the shard in memory."""
        return TextColumn.from_arrow(self.read(["text"]).column("text"))

    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Stored bytes and sentences of each document, int64[rows] each, without reading the text."""
        size, sentences = (column.to_numpy().astype(np.int64) for column in self.read(["bytes", "sentences"]).columns)
        return size, sentences


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The run of an earlier snapshot, as a later run remembers it: hashes of its input and of its decisions.

    `root` is where its folder lay, or where it lies now if it moved together with the later one.
    """

    snapshot: int
    root: Path
    identity: str
    decisions: str

    def open(self) -> RunFolder:
        """Its run folder.

        Raises:
            TamisError: it is not there any more, or another one is.
        """
        run = RunFolder(self.root)
        if not (self.root / "run.json").exists():
            raise TamisError(
                f"snapshot {self.snapshot} lay in {self.root}, which is not there any more; move it back, or run the "
                "later snapshot's pipeline again with --against and the new place"
            )
        if run.ingest.body["identity"] != self.identity:
            raise TamisError(f"snapshot {self.snapshot} lay in {self.root}, where another run lies now; move it back")
        return run


@dataclass(frozen=True)
class RunFolder:
    """A run folder on disk."""

    root: Path

    @property
    def ingest_folder(self) -> Path:
        """Where ingest commits."""
        return self.root / "ingest"

    def stage_folder(self, stage: str, kind: str, key: str) -> Path:
        """`kind` is "evidence" or "decision"; `key` the hash."""
        return self.root / "stages" / stage / kind / key

    @cached_property
    def ingest(self) -> Manifest:
        """The ingest manifest.

        Raises:
            TamisError: nothing was ingested here.
        """
        manifest = load_manifest(self.ingest_folder)
        if manifest is None:
            raise TamisError(
                f"{self.root} is not a finished ingest: run `tamis run PIPELINE.yaml --out {self.root}` first"
            )
        return manifest

    @cached_property
    def shards(self) -> tuple[DocumentShard, ...]:
        """The document shards, in order."""
        snapshot = int(self.ingest.body["snapshot"])
        return tuple(
            DocumentShard(
                f.shard,
                f.info["domain"],
                self.ingest_folder / f.path,
                f.rows,
                f.info["text_bytes"],
                ids.first_id(snapshot, f.shard),
            )
            for f in self.ingest.files
            if f.table == "documents"
        )

    def state(self) -> dict[str, Any]:
        """`state.json`; empty before the first commit."""
        path = self.root / "state.json"
        return read_json(path) if path.exists() else {}

    def write_state(self, state: dict[str, Any]) -> None:
        """Replaces `state.json`."""
        write_json(self.root / "state.json", {**state, **RECORD})

    def run_info(self) -> dict[str, Any]:
        """`run.json`.

        Raises:
            TamisError: this is no run folder, or one of another format version.
        """
        path = self.root / "run.json"
        if not path.exists():
            raise TamisError(f"{self.root} is not a run folder: it has no run.json")
        info = read_json(path)
        if info.get("format_version") != FORMAT_VERSION:
            found = info.get("format_version")
            raise TamisError(f"{self.root} has format version {found}; this Tamis reads {FORMAT_VERSION}")
        return info

    def ledger(self) -> dict[str, Any]:
        """`ledger.json`: the funnel.

        Raises:
            TamisError: the run has not come that far.
        """
        path = self.root / "ledger.json"
        if not path.exists():
            raise TamisError(f"{self.root} has no ledger.json yet: let `tamis run` finish first")
        return read_json(path)

    def removal(self) -> dict[str, Any] | None:
        """`removal.json`: what stages took from each domain and source; None where the run has not come that far."""
        path = self.root / "removal.json"
        return read_json(path) if path.exists() else None

    def earlier_runs(self) -> tuple[EarlierRun, ...]:
        """The runs that this one was deduplicated against, the earliest snapshot first."""
        found = []
        for entry in self.run_info().get("ancestors", []):
            place = Path(entry["run"])
            beside = (self.root / entry["beside"]).resolve()
            moved = not (place / "run.json").exists() and (beside / "run.json").exists()
            names = (str(entry[name]) for name in ("identity", "decisions"))
            found.append(EarlierRun(int(entry["snapshot"]), beside if moved else place, *names))
        return tuple(found)

    def chain(self) -> list[tuple[str, Manifest]]:
        """The current decisions in pipeline order, as (stage, manifest)."""
        found = []
        for entry in self.state().get("stages", []):
            manifest = load_manifest(self.root / entry["decision"])
            if manifest is None:
                raise TamisError(f"{self.root / entry['decision']} is gone; run the pipeline again")
            found.append((str(entry["stage"]), manifest))
        return found

    def evidence(self, stage: str) -> Manifest | None:
        """The current evidence of a stage, or None."""
        for entry in self.state().get("stages", []):
            if entry["stage"] == stage and entry.get("evidence"):
                return load_manifest(self.root / entry["evidence"])
        return None

    def shard_of_id(self, doc_id: int) -> DocumentShard | None:
        """The document shard that holds an id, or None."""
        return next((s for s in self.shards if s.first_id <= doc_id < s.first_id + s.rows), None)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run's lock: one writer at a time. The system releases it when the process dies.

        Raises:
            TamisError: another process holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.root / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise TamisError(
                    f"{self.root} is being written by another Tamis process; wait for it to end"
                ) from error
            yield
        finally:
            os.close(handle)
