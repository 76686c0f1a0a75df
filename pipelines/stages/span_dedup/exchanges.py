"""The driver's side of `span_dedup`: exchanges by hash, whose answers come back to the shards that hold the spans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from corpus.files import FileEntry, Manifest, commit_by_content
from pipelines.spark.blocks import Block, NextHop
from pipelines.spark.exchange import Hop, partitions_for
from pipelines.spark.session import Cluster
from pipelines.stages.span_dedup.shard import OWNERS, PARAGRAPH, SpanTask
from pipelines.stages.span_dedup.tasks import (
    HEIRS,
    CountRules,
    CountTask,
    HomeFiles,
    emit_orphans,
    emit_spans,
    name_heirs,
    name_owners,
    write_by_home,
)

SPAN_BYTES = 32
"""What a distinct hash of a shard takes in the exchanges."""
Task = TypeVar("Task")


@dataclass(frozen=True)
class SpanExchanges:
    """Runs the exchanges of a decision over `rows` of evidence; answers go to a folder each below `scratch`."""

    cluster: Cluster
    scratch: Path
    writers: int
    rows: int

    def partitions(self, row_bytes: int) -> int:
        """Partitions of a hop that receives so many bytes for each row of evidence."""
        return partitions_for(self.rows, row_bytes, self.cluster.least_partitions)

    def count(self, jobs: Sequence[SpanTask], level: int, min_copies: int) -> Manifest:
        """Table `owners` of a level: the repeated spans of each shard, and the place of their owner."""
        partitions = self.partitions(SPAN_BYTES)
        tasks = [CountTask(replace(job, partitions=partitions), level) for job in jobs]
        hop = Hop(name_owners, partitions, CountRules(min_copies, self.writers))
        name = "paragraphs" if level == PARAGRAPH else "sentences"
        return self._run(emit_spans, tasks, hop, "owners", OWNERS, self.scratch / name, name)

    def heirs(self, jobs: Sequence[SpanTask]) -> Manifest:
        """Table `heirs`: spans whose owner was dropped, in the shard that holds their new owner."""
        partitions = self.partitions(SPAN_BYTES)
        tasks = [replace(job, partitions=partitions) for job in jobs]
        hop = Hop(name_heirs, partitions, NextHop(self.writers))
        return self._run(emit_orphans, tasks, hop, "heirs", HEIRS, self.scratch / "heirs", "heirs")

    def _run(
        self,
        source: Callable[[Task], Iterable[Block]],
        tasks: Sequence[Task],
        hop: Hop[Any, Block],
        kind: str,
        schema: pa.Schema,
        folder: Path,
        name: str,
    ) -> Manifest:
        """Runs an exchange with one hop before the one that writes; commits what was written."""
        last = Hop(write_by_home, self.writers, HomeFiles(folder, kind, schema))
        files: list[FileEntry] = self.cluster.exchange(source, tasks, [hop], last, label=f"span_dedup: {name}")
        return commit_by_content(folder, files)
