"""What the runner hands to a stage: where to prepare models, and how to write a global decision."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from corpus import ids
from corpus.config import StrictModel, parse
from corpus.files import FileEntry, Manifest, write_table
from corpus.run_folder import DocumentShard, RunFolder
from pipelines.spark.exchange import Hop, row_order, schemas_as_text
from pipelines.spark.session import Cluster
from pipelines.stages.shard_task import ShardTask, decision_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from pipelines.stages.base import Stage


@dataclass(frozen=True)
class PrepareContext:
    """For ``Stage.prepare``.

    Attributes:
        models: folder for trained artefacts.
        base: folder that relative globs of the pipeline YAML start from.
        cluster: for progress.
    """

    models: Path
    base: Path
    cluster: Cluster


@dataclass(frozen=True)
class Ancestor:
    """An earlier snapshot that this run is deduplicated against. Its decisions are final.

    Attributes:
        run: its run folder.
        chain: its decisions.
        evidence: stage → its committed evidence.
    """

    run: RunFolder
    chain: Sequence[tuple[str, Manifest]]
    evidence: Mapping[str, Manifest]

    @property
    def snapshot(self) -> int:
        """Its number."""
        return int(self.run.ingest.body["snapshot"])


@dataclass
class DecisionContext:
    """For ``GlobalStage.decide_globally``.

    Attributes:
        run: the run folder.
        cluster: Spark.
        stage: the stage's name.
        evidence: its committed evidence.
        chain: the decisions before it.
        decisions: JSON of its decision config: ``default``, ``domains``, ``skip``.
        folder: where its decision is written.
        base: folder that relative paths of the pipeline YAML start from.
        ancestors: earlier snapshots, the latest last.
        files: what has been written so far.
        facts: small figures for the manifest and the report.
    """

    run: RunFolder
    cluster: Cluster
    stage: type[Stage]
    evidence: Manifest
    chain: Sequence[tuple[str, Manifest]]
    decisions: Mapping[str, Any]
    folder: Path
    base: Path
    artefacts: Mapping[str, str] = field(default_factory=dict)
    ancestors: Sequence[Ancestor] = ()
    files: list[FileEntry] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def upstream(self) -> str:
        """The key of the decision before this one, or of the ingest."""
        return str(self.chain[-1][1].body["key"] if self.chain else self.run.ingest.body["identity"])

    @property
    def _evidence_stage(self) -> str:
        return self.stage.evidence_of or self.stage.name

    def config(self) -> Any:
        """The decision config outside overriding domains."""
        return parse(self.stage.Decision, self.decisions["default"], self.stage.name)

    def domain_configs(self) -> dict[str, StrictModel]:
        """The decision configs of domains that override it."""
        overrides = self.decisions.get("domains", {})
        return {d: parse(self.stage.Decision, c, f"domains.{d}.{self.stage.name}") for d, c in overrides.items()}

    def read(self, paths: Sequence[str], schema: str) -> DataFrame:
        """A Spark DataFrame over committed narrow files; empty with ``schema`` (DDL) where there are none."""
        spark = self.cluster.spark
        if not paths:
            return spark.createDataFrame([], schema)
        return spark.read.schema(schema).parquet(*paths)

    def columns_of(self, stage: str, schema: str) -> DataFrame:
        """The columns that an earlier stage left, with ``doc_id``; ``schema`` is DDL without ``row``."""
        manifest = dict(self.chain).get(stage)
        paths = manifest.paths("columns") if manifest else []
        return self.read(paths, f"doc_id BIGINT, {schema}")

    def with_domain(self, frame: DataFrame) -> DataFrame:
        """Adds the ``domain`` of each ``doc_id``: its shard's, or what a predicate assigned."""
        from pyspark.sql import functions as F

        shards = [(s.number, s.domain) for s in self.run.shards]
        table = self.cluster.spark.createDataFrame(shards, "shard INT, shard_domain STRING")
        shard = F.shiftright("doc_id", ids.ROW_BITS).bitwiseAND(ids.MAX_SHARD).cast("int")
        joined = frame.withColumn("shard", shard).join(F.broadcast(table), on="shard", how="left").drop("shard")
        eligibility = dict(self.chain).get("eligibility")
        if eligibility is None or not eligibility.paths("columns"):
            return joined.withColumnRenamed("shard_domain", "domain")
        assigned = self.columns_of("eligibility", "domain STRING")
        return (
            joined.join(assigned, on="doc_id", how="left")
            .withColumn("domain", F.coalesce("domain", "shard_domain"))
            .drop("shard_domain")
        )

    def payloads(self, with_ancestors: bool = False, **extra: Any) -> list[dict[str, Any]]:
        """One task a document shard: its chain and its evidence, with some more settings.

        Args:
            with_ancestors: earlier snapshots' shards too; theirs say ``earlier``.
            extra: added to each.
        """
        found = [{**self._payload(self.run, self.evidence, self.chain, shard), **extra} for shard in self.run.shards]
        for ancestor in self.ancestors if with_ancestors else ():
            evidence = ancestor.evidence[self._evidence_stage]
            for shard in ancestor.run.shards:
                found.append({**self._payload(ancestor.run, evidence, ancestor.chain, shard), **extra, "earlier": True})
        return found

    def _payload(
        self, run: RunFolder, evidence: Manifest, chain: Sequence[tuple[str, Manifest]], shard: DocumentShard
    ) -> dict[str, Any]:
        seen = tuple(evidence.paths_of_shard("evidence", shard.number))
        files = decision_files(chain, shard)
        task = ShardTask(shard, files, self.stage.name, {}, {}, dict(self.decisions), seen, self.folder, 0)
        return {**task.payload(), "snapshot": int(run.ingest.body["snapshot"])}

    def evidence_rows(self, with_ancestors: bool = False) -> int:
        """Rows of evidence, of this run and, if asked, of its ancestors."""
        manifests = [self.evidence]
        manifests += [a.evidence[self._evidence_stage] for a in self.ancestors] if with_ancestors else []
        return sum(f.rows for m in manifests for f in m.files if f.table == "evidence")

    def source(self, snapshot: int) -> tuple[RunFolder, Manifest]:
        """The run that holds a snapshot's documents, this one or an ancestor, and its evidence of the stage."""
        for ancestor in self.ancestors:
            if ancestor.snapshot == snapshot:
                return ancestor.run, ancestor.evidence[self._evidence_stage]
        return self.run, self.evidence

    @property
    def first_new(self) -> int:
        """The first id of this run's snapshot; documents below it are published."""
        return ids.first_id(int(self.run.ingest.body["snapshot"]), 0)

    def exchange(
        self,
        label: str,
        source: str,
        payloads: Sequence[dict[str, Any]],
        hops: Sequence[Hop],
        schemas: Mapping[str, pa.Schema],
        gpu: bool = False,
    ) -> list[FileEntry]:
        """Runs an exchange whose rows end in one file a kind and document shard.

        Args:
            label: for progress and errors.
            source: see ``pipelines.spark.exchange``.
            payloads: one task each.
            hops: those before the writing one, which sends its blocks by ``exchange.by_shard`` to ``writers``.
            schemas: kind → schema of the files; the first field is ``row``.
            gpu: see ``pipelines.spark.exchange.build``.
        """
        settings = {"folder": str(self.folder), "schemas": schemas_as_text(schemas)}
        last = Hop("pipelines.spark.exchange:write_by_shard", self.writers, settings)
        answers = self.cluster.exchange(source, payloads, [*hops, last], label=label, gpu=gpu)
        return sorted((FileEntry(**a) for a in answers), key=lambda f: (f.table, f.shard))

    @property
    def writers(self) -> int:
        """Partitions of the hop that writes by shard."""
        return max(1, min(len(self.run.shards), max(self.cluster.least_partitions, len(self.run.shards) // 8)))

    def scatter(self, frame: DataFrame, kind: str, schema: pa.Schema) -> None:
        """Writes rows with ``doc_id`` to one file a document shard, sorted by row, and adds them to the decision.

        Args:
            frame: ``doc_id`` and the columns of ``schema`` other than ``row``; narrow.
            kind: "drops", "edits" or "columns".
            schema: the file's schema; the first field is ``row``.
        """
        self.files += scatter(frame, kind, schema, self.folder, len(self.run.shards))


def forget(scratch: Path) -> None:
    """Removes a decision's intermediate files, receipts first: one that is left must not name a file that is gone."""
    for receipts in scratch.rglob("receipts"):
        shutil.rmtree(receipts, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)


def scatter(frame: DataFrame, kind: str, schema: pa.Schema, folder: Path, shards: int) -> list[FileEntry]:
    """See ``DecisionContext.scatter``. One shuffle of narrow rows, by shard."""
    from pyspark.sql import functions as F

    order = row_order(schema)
    target, text = str(folder), schema.serialize().to_pybytes()

    def write(batches):  # type: ignore[no-untyped-def]
        from pipelines.spark.worker import unpack_code

        unpack_code()
        from pipelines.stages.context import write_scattered

        yield from write_scattered(batches, kind, text, target)  # type: ignore[no-untyped-call]

    parts = max(1, min(shards, int(frame.sparkSession.conf.get("spark.sql.shuffle.partitions") or "8")))
    rows = (
        frame.withColumn("shard", F.shiftright("doc_id", ids.ROW_BITS).bitwiseAND(ids.MAX_SHARD).cast("int"))
        .repartition(parts, "shard")
        .sortWithinPartitions(*order)
        .mapInArrow(write, "entry STRING")
        .collect()
    )
    import json

    return [FileEntry(**json.loads(row.entry)) for row in rows]


def write_scattered(batches, kind, schema_bytes, folder):  # type: ignore[no-untyped-def]
    """Task side of ``scatter``: rows arrive sorted by ``doc_id``; a file is written whenever the shard changes."""
    import json

    schema = pa.ipc.read_schema(pa.py_buffer(schema_bytes))
    pending: list[pa.RecordBatch] = []
    current = -1
    for batch in batches:
        shards = batch.column("shard").to_numpy()
        bounds = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(shards)]
        for low, high in zip(bounds[:-1], bounds[1:], strict=True):
            if high == low:
                continue
            if pending and shards[low] != current:
                yield _entry_batch(json.dumps(asdict(_write_rows(pending, kind, schema, folder, current))))
                pending = []
            current = int(shards[low])
            pending.append(batch.slice(low, high - low))
    if pending:
        yield _entry_batch(json.dumps(asdict(_write_rows(pending, kind, schema, folder, current))))


def _entry_batch(entry: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"entry": [entry]})


def _write_rows(batches: list[pa.RecordBatch], kind: str, schema: pa.Schema, folder: str, shard: int) -> FileEntry:
    table = pa.Table.from_batches(batches)
    row = pa.array((table.column("doc_id").to_numpy() & ids.MAX_ROW).astype(np.int32))
    columns = {name: row if name == "row" else table.column(name) for name in schema.names}
    cast = pa.table({name: columns[name].cast(schema.field(name).type) for name in schema.names}).cast(schema)
    return write_table(Path(folder), f"{kind}-{shard:06d}", cast.combine_chunks(), kind=kind, shard=shard)


def materialise(frame: DataFrame, folder: Path) -> DataFrame:
    """Writes a narrow frame and reads it back: cuts the lineage, so that a retry repeats one step only."""
    frame.write.mode("overwrite").parquet(str(folder))
    return frame.sparkSession.read.schema(frame.schema).parquet(str(folder))
