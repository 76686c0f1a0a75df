"""What a task needs to know about one document shard: where it lies, what was decided about it, what was seen in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.files import Manifest
from corpus.run_folder import DocumentShard
from corpus.shard_state import DecisionFiles, ShardState, read_files

BATCH_BYTES = 8 << 20
"""View text per batch: bounds a task's memory beside its shard."""

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ShardTask:
    """A task's payload, opened.

    Attributes:
        shard: the document shard.
        chain: the decisions before the stage.
        stage: its name.
        evidence_config: JSON of the evidence config.
        artefacts: name → path.
        decisions: JSON of the decision config: ``default``, ``domains`` and ``skip``.
        evidence_files: an earlier scan's (for the scan) or the current (for the decision).
        folder: where to write.
        batch_bytes: view text per batch.
    """

    shard: DocumentShard
    chain: tuple[DecisionFiles, ...]
    stage: str
    evidence_config: dict[str, Any]
    artefacts: dict[str, str]
    decisions: dict[str, Any]
    evidence_files: tuple[str, ...]
    folder: Path
    batch_bytes: int

    @classmethod
    def of(cls, payload: dict[str, Any]) -> ShardTask:
        """Opens a payload."""
        shard = DocumentShard(**{**payload["shard"], "path": Path(payload["shard"]["path"])})
        chain = tuple(
            DecisionFiles(d["stage"], tuple(d["drops"]), tuple(d["edits"]), tuple(d["columns"]))
            for d in payload["chain"]
        )
        return cls(
            shard,
            chain,
            payload["stage"],
            payload["evidence_config"],
            payload["artefacts"],
            payload["decisions"],
            tuple(payload["evidence_files"]),
            Path(payload["folder"]),
            payload.get("batch_bytes", BATCH_BYTES),
        )

    def payload(self) -> dict[str, Any]:
        """The task as JSON; paths as strings."""
        body = asdict(self)
        body["shard"]["path"] = str(self.shard.path)
        body["folder"] = str(self.folder)
        return body

    def domains(self) -> npt.NDArray[np.object_]:
        """The domain of each row, after re-assignment by predicate."""
        found = np.full(self.shard.rows, self.shard.domain, dtype=object)
        for files in self.chain:
            if files.stage == "eligibility" and (table := read_files(files.columns)) is not None:
                found[table.column("row").to_numpy()] = table.column("domain").to_numpy(zero_copy_only=False)
        return found

    def taken(self, state: ShardState) -> Int32:
        """The rows that the stage is about: alive, and of a domain that does not skip it."""
        rows = np.flatnonzero(state.alive).astype(np.int32)
        skip = self.decisions.get("skip", [])
        return rows[~np.isin(self.domains()[rows].astype(str), skip)] if skip else rows


def earlier_column(task: ShardTask, rows: Int32, stage: str, column: str, default: Any) -> npt.NDArray[Any]:
    """A column that an earlier stage of the chain left, for some rows of the shard; ``default`` where it has none."""
    values = np.full(task.shard.rows, default, dtype=np.array([default]).dtype if default is not None else object)
    for files in task.chain:
        if files.stage == stage and (table := read_files(files.columns)) is not None:
            values[table.column("row").to_numpy()] = table.column(column).to_numpy(zero_copy_only=False)
    return values[rows]


def decision_files(chain: Sequence[tuple[str, Manifest]], shard: DocumentShard) -> tuple[DecisionFiles, ...]:
    """A chain's files of one document shard, for a task's payload."""
    return tuple(DecisionFiles.of(stage, manifest, shard.number) for stage, manifest in chain)
