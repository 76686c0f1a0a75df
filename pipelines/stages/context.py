"""What the runner hands to a stage: where to prepare models, and all that a decision over the whole corpus needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from corpus import ids
from corpus.config import StrictModel
from corpus.files import FileEntry, Manifest
from corpus.run_folder import RunFolder
from pipelines.spark.blocks import Block
from pipelines.spark.exchange import Hop
from pipelines.spark.session import Cluster
from pipelines.spark.shard_files import ShardFiles, write_by_shard
from pipelines.stages.shard_task import Chain, ShardTask

Task = TypeVar("Task")


@dataclass(frozen=True)
class PrepareContext:
    """What `Stage.prepare` is given: the folder for models and indexes, the base of relative globs, and Spark."""

    models: Path
    base: Path
    cluster: Cluster


@dataclass(frozen=True)
class Snapshot:
    """A snapshot whose documents a global decision compares: the run's own, or an ancestor, whose decisions are final.

    `chain` holds the decisions, of the own snapshot those so far; `evidence` is what the deciding stage found in it.
    """

    run: RunFolder
    chain: Chain
    evidence: Manifest
    tasks: tuple[ShardTask, ...]

    @property
    def number(self) -> int:
        """The number of the snapshot."""
        return int(self.run.ingest.body["snapshot"])


@dataclass(frozen=True)
class DecisionContext:
    """What `GlobalStage.decide_globally` is given.

    `earlier` are the ancestors, the latest last; `domain_configs` the configs of domains that override something;
    `folder` is where the decision is written; `upstream` the key of the decision before this one, or the identity of
    the ingest.
    """

    cluster: Cluster
    own: Snapshot
    earlier: tuple[Snapshot, ...]
    config: Any
    domain_configs: Mapping[str, StrictModel]
    skip: tuple[str, ...]
    folder: Path
    artefacts: Mapping[str, str]
    upstream: str

    @property
    def scratch(self) -> Path:
        """Folder of intermediate files; see `remove_scratch`."""
        return self.folder / "scratch"

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """All snapshots that are compared, this one first."""
        return (self.own, *self.earlier)

    def tasks(self) -> list[ShardTask]:
        """The document shards of all snapshots."""
        return [task for snapshot in self.snapshots for task in snapshot.tasks]

    def evidence_rows(self) -> int:
        """Rows of evidence, all snapshots."""
        return sum(snapshot.evidence.rows("evidence") for snapshot in self.snapshots)

    @property
    def first_new(self) -> int:
        """The first id of this run's snapshot; documents with a lower id are published already."""
        return ids.first_id(self.own.number, 0)

    @property
    def writers(self) -> int:
        """Partitions of the hop that writes files by shard."""
        shards = len(self.own.tasks)
        return max(1, min(shards, max(self.cluster.least_partitions, shards // 8)))

    def exchange(
        self,
        source: Callable[[Task], Iterable[Block]],
        tasks: Sequence[Task],
        hops: Sequence[Hop[Any, Block]],
        schemas: Mapping[str, pa.Schema],
        *,
        label: str,
        gpu: bool = False,
    ) -> list[FileEntry]:
        """Runs an exchange whose last hop writes one file for each kind and document shard of this run.

        The last of `hops` addresses its blocks by `by_shard`, to `writers` partitions. The first field of each schema
        is `row`.
        """
        last = Hop(write_by_shard, self.writers, ShardFiles(self.folder, dict(schemas)))
        found = self.cluster.exchange(source, tasks, hops, last, label=label, gpu=gpu)
        return sorted(found, key=lambda f: (f.table, f.shard))


@dataclass(frozen=True)
class GlobalVerdict:
    """A stage's decision about the whole corpus: files by document shard, small figures for manifest and report."""

    files: list[FileEntry]
    facts: dict[str, Any] = field(default_factory=dict)


def count_rows(files: Iterable[FileEntry], table: str) -> int:
    """Rows of a table in some of its files."""
    return sum(f.rows for f in files if f.table == table)


def remove_scratch(scratch: Path) -> None:
    """Removes a decision's intermediate files, receipts first: a receipt must not outlive the files that it names."""
    for receipts in scratch.rglob("receipts"):
        shutil.rmtree(receipts, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)
