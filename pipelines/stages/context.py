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
    """For `Stage.prepare`.

    Attributes:
        models: folder for trained artefacts.
        base: folder that relative globs of the pipeline YAML start from.
        cluster: for progress.
    """

    models: Path
    base: Path
    cluster: Cluster


@dataclass(frozen=True)
class Snapshot:
    """A snapshot whose documents a global decision compares: the run's own, or an ancestor's, which is final.

    Attributes:
        run: its run folder.
        chain: its decisions; the run's own are those so far.
        evidence: of the stage that decides.
        tasks: its document shards.
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
    """For `GlobalStage.decide_globally`.

    Attributes:
        cluster: Spark.
        own: the run's own snapshot.
        earlier: ancestors, the latest last.
        config: the decision config outside overriding domains.
        domain_configs: those of domains that override it.
        skip: domains that the stage leaves alone.
        folder: where the decision is written.
        artefacts: what `prepare` made, as name → path.
        upstream: the key of the decision before this one, or of the ingest.
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
        """A folder for what the decision needs on the way; see `forget`."""
        return self.folder / "scratch"

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """All snapshots that are compared, this one first."""
        return (self.own, *self.earlier)

    def tasks(self) -> list[ShardTask]:
        """The document shards of all snapshots."""
        return [task for snapshot in self.snapshots for task in snapshot.tasks]

    def evidence_rows(self) -> int:
        """Rows of evidence of all snapshots."""
        return sum(snapshot.evidence.rows("evidence") for snapshot in self.snapshots)

    @property
    def first_new(self) -> int:
        """The first id of this run's snapshot; documents below it are published."""
        return ids.first_id(self.own.number, 0)

    @property
    def writers(self) -> int:
        """Partitions of the hop that writes by shard."""
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
        """Runs an exchange whose rows end in one file a kind and document shard of this run.

        Args:
            source: see `pipelines.spark.exchange`.
            tasks: what it is called with.
            hops: those before the writing one, which send it their blocks by `by_shard` to `writers` partitions.
            schemas: kind → schema of the files; the first field is `row`.
            label: for progress and errors.
            gpu: whether the source's tasks want a GPU each.
        """
        last = Hop(write_by_shard, self.writers, ShardFiles(self.folder, dict(schemas)))
        found = self.cluster.exchange(source, tasks, hops, last, label=label, gpu=gpu)
        return sorted(found, key=lambda f: (f.table, f.shard))


@dataclass(frozen=True)
class GlobalVerdict:
    """A decision over the whole corpus.

    Attributes:
        files: drops, edits and columns by document shard.
        facts: small figures for the manifest and the report.
    """

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
