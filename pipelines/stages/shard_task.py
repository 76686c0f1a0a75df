"""A document shard as a task sees it: where it lies, what was decided about it, what a stage's scan found in it.

A task names its shard and the manifests that it needs, and finds the files of its shard in them. A worker process reads
each manifest once.
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
"""The decisions of a run, in pipeline order: (stage, decision)."""


@dataclass(frozen=True)
class Decided:
    """A decision, in the form in which tasks receive it, with two flags of its `Stage`."""

    stage: str
    manifest: ManifestRef
    assigns_domains: bool = False
    needs_settled: bool = False


@dataclass(frozen=True)
class ShardTask:
    """A document shard, with what a task needs to know about it.

    `evidence` is what the stage's scan found, None before its first scan; `skip` are domains that skip the stage;
    `earlier` says whether the shard belongs to an earlier snapshot, whose decisions are final.
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
        """Which documents are alive, and what was cut from them, after the decisions so far.

        With `until`, the first decision for which it holds, and those behind it, do not count.
        """
        before: Iterable[Decided] = self.chain
        if until is not None:
            before = takewhile(lambda decided: not until(decided), self.chain)
        return load_state((decided.manifest.open() for decided in before), self.shard.number, self.shard.rows)

    def read_evidence(self, columns: list[str] | None = None) -> pa.Table | None:
        """The stage's evidence about the shard; None where there is none."""
        return read_own(self.evidence, "evidence", self, columns)

    def domains(self) -> npt.NDArray[np.object_]:
        """The domain of each row: that of the shard's input, unless a stage has assigned another."""
        found = np.full(self.shard.rows, self.shard.domain, dtype=object)
        for decided in self.chain:
            columns = read_own(decided.manifest, "columns", self) if decided.assigns_domains else None
            if columns is not None:
                found[columns.column("row").to_numpy()] = columns.column("domain").to_numpy(zero_copy_only=False)
        return found

    def ranks(self, rows: Int32, priority: Sequence[str]) -> Int32:
        """The place of each row's domain in an order of domains; those not in it come last."""
        names, which = np.unique(self.domains()[rows].astype(str), return_inverse=True)
        place = {name: number for number, name in enumerate(priority)}
        return np.array([place.get(str(name), len(place)) for name in names], np.int32)[which]

    def is_active(self, state: ShardState) -> npt.NDArray[np.bool_]:
        """Which rows the stage handles: those alive, and of a domain that does not skip it; bool[rows]."""
        return state.alive & ~np.isin(self.domains().astype(str), self.skip) if self.skip else state.alive

    def column(self, rows: Int32, stage: str, name: str, default: Any) -> npt.NDArray[Any]:
        """The values of a column that an earlier stage left, for some rows; `default` where it left none, or a null.

        Texts are objects; numbers are of a type that holds the column's and the default.
        """
        values = np.full(
            self.shard.rows, default, dtype=object if default is None or isinstance(default, str) else None
        )
        for decided in self.chain:
            columns = read_own(decided.manifest, "columns", self) if decided.stage == stage else None
            if columns is not None:
                left = columns.select(["row", name])
                if default is not None and left.column(name).null_count:
                    left = left.filter(left.column(name).is_valid())
                told = left.column(name).to_numpy()
                values = values.astype(np.result_type(values, told), copy=False)
                values[left.column("row").to_numpy()] = told
        return values[rows]

    def doc_ids(self, rows: Int32) -> Int64:
        """The ids of some documents of the shard."""
        return self.shard.first_id + rows.astype(np.int64)


def read_own(
    manifest: ManifestRef | None, table: str, task: ShardTask, columns: list[str] | None = None
) -> pa.Table | None:
    """The rows of a committed table that are about the task's own shard; None where there are none."""
    return None if manifest is None else manifest.open().read(table, task.shard.number, columns)
