"""A document shard as a task sees it: where it lies, what was decided about it, what a stage has seen in it.

A task names the shard and the manifests that it needs, and finds its own files in them; a worker process reads each
manifest once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import Manifest, ManifestRef
from corpus.run_folder import DocumentShard
from corpus.shard_state import ShardState, load_state

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Chain = Sequence[tuple[str, Manifest]]
"""Decisions in pipeline order, by stage."""


@dataclass(frozen=True)
class Decided:
    """A stage's decision, as a task is told of it.

    Attributes:
        stage: its name.
        manifest: of the decision.
        assigns_domains: see `Stage`.
        needs_settled: see `Stage`.
    """

    stage: str
    manifest: ManifestRef
    assigns_domains: bool = False
    needs_settled: bool = False


@dataclass(frozen=True)
class ShardTask:
    """A document shard for a task.

    Attributes:
        shard: where it lies.
        chain: the decisions so far.
        evidence: what the stage has seen; None where it has seen nothing yet.
        skip: domains that the stage leaves alone.
        earlier: whether it is an earlier snapshot's, whose decisions are final.
    """

    shard: DocumentShard
    chain: tuple[Decided, ...]
    evidence: ManifestRef | None = None
    skip: tuple[str, ...] = ()
    earlier: bool = False

    def decisions(self) -> Iterator[tuple[str, Manifest]]:
        """The decisions so far, opened."""
        return ((decided.stage, decided.manifest.open()) for decided in self.chain)

    def state(self, until: Callable[[Decided], bool] | None = None) -> ShardState:
        """Which documents are alive and what was cut from them; behind the decisions before the first `until` holds."""
        before: Iterable[Decided] = self.chain
        if until is not None:
            before = takewhile(lambda decided: not until(decided), self.chain)
        return load_state((decided.manifest.open() for decided in before), self.shard.number, self.shard.rows)

    def seen(self, columns: list[str] | None = None, table: str = "evidence") -> pa.Table | None:
        """The stage's evidence about the shard, or None."""
        return read_own(self.evidence, table, self, columns)

    def domains(self) -> npt.NDArray[np.object_]:
        """The domain of each row, after re-assignment by predicate."""
        found = np.full(self.shard.rows, self.shard.domain, dtype=object)
        for decided in self.chain:
            columns = read_own(decided.manifest, "columns", self) if decided.assigns_domains else None
            if columns is not None:
                found[columns.column("row").to_numpy()] = columns.column("domain").to_numpy(zero_copy_only=False)
        return found

    def taken(self, state: ShardState) -> Int32:
        """The rows that the stage is about: alive, and of a domain that does not skip it."""
        rows = np.flatnonzero(state.alive).astype(np.int32)
        return rows[~np.isin(self.domains()[rows].astype(str), self.skip)] if self.skip else rows

    def column(self, rows: Int32, stage: str, name: str, default: Any) -> npt.NDArray[Any]:
        """A column that an earlier stage left, for some rows; `default` where it has none."""
        kind = np.array([default]).dtype if default is not None else object
        values = np.full(self.shard.rows, default, dtype=kind)
        for decided in self.chain:
            columns = read_own(decided.manifest, "columns", self) if decided.stage == stage else None
            if columns is not None:
                values[columns.column("row").to_numpy()] = columns.column(name).to_numpy(zero_copy_only=False)
        return values[rows]

    def doc_ids(self, rows: Int32) -> Int64:
        """The ids of documents of the shard."""
        return self.shard.first_id + rows.astype(np.int64)


def read_own(
    manifest: ManifestRef | None, table: str, task: ShardTask, columns: list[str] | None = None
) -> pa.Table | None:
    """The rows of a committed table that are about a task's shard, or None."""
    return None if manifest is None else manifest.open().read(table, task.shard.number, columns)
