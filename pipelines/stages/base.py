"""What a stage is: a name, the columns it reads, two configs, a scan and a decision. The runner does everything else.

    LocalStage    scan(batch) → evidence rows; decide(evidence, config) → verdict      one shard at a time, in a task
    GlobalStage   scan(batch) → evidence rows; decide(context)          → verdict      over all shards, in Spark

Evidence does not know thresholds; decisions do not see text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.config import StrictModel
from corpus.files import FileEntry, Manifest, write_table
from corpus.schemas import DROPS, EDITS
from corpus.view import View
from pipelines.spark.session import Cluster
from pipelines.stages.context import DecisionContext, GlobalVerdict, PrepareContext
from pipelines.stages.shard_task import Int32, Int64, ShardTask
from tamis.errors import TamisError


def complaint(look: Callable[[], object]) -> Iterator[str]:
    """What a look for something says where it is not found; for `Stage.missing`."""
    try:
        look()
    except TamisError as error:
        yield str(error)


class NoConfig(StrictModel):
    """Nothing to set."""


@dataclass(frozen=True)
class Batch:
    """Some documents of one shard that nothing has dropped so far, rows ascending, as a scan receives them.

    `domain` is that of the shard's input; `view` the text less the spans cut so far, None for a stage that reads no
    text; `metadata` the other columns that the stage reads; `settings` what the stage's `scan_by_domain` names, the
    same for all documents of a batch.
    """

    rows: Int32
    doc_ids: Int64
    domain: str
    view: View | None
    metadata: pa.Table
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> View:
        """The view of a stage that reads text."""
        assert self.view is not None
        return self.view

    def column(self, name: str) -> pa.Array:
        """The text as seen, large_string[n], if `name` is "text"; else another column that the stage reads."""
        if name == "text":
            return self.texts.column.to_arrow()
        return self.metadata.column(name).combine_chunks()

    def table(self, **columns: Any) -> pa.Table:
        """A row a document: `row`, `doc_id` and some columns, numpy or Arrow."""
        return pa.table({"row": self.rows, "doc_id": self.doc_ids, **columns})

    def with_spans(
        self, documents: Mapping[str, Any], which: Int64, start: Int64, end: Int64, spans: Mapping[str, Any]
    ) -> pa.Table:
        """A row for each document, `start` and `end` being -1, and one for each of its spans, in the stored text.

        Span i is of document `which[i]` of the batch, from byte `start[i]` of its view on. Both have the same columns.
        """
        nowhere = np.full(len(self.rows), -1, np.int32)
        heads = self.table(start=nowhere, end=nowhere, **documents)
        rows, first, last = self.texts.to_stored(which, start, end)
        found = pa.table({"row": rows, "doc_id": self.doc_ids[which], "start": first, "end": last, **spans})
        return pa.concat_tables([heads, found]).sort_by([("row", "ascending"), ("start", "ascending")])


@dataclass(frozen=True)
class Verdict:
    """A decision about some documents of a shard: drops, edits, and columns that it leaves; each sorted by row."""

    drops: pa.Table = field(default_factory=DROPS.empty_table)
    edits: pa.Table = field(default_factory=EDITS.empty_table)
    columns: pa.Table | None = None

    @classmethod
    def drop(cls, documents: pa.Table, reason: str | list[str] | pa.ChunkedArray) -> Verdict:
        """Drops the documents that some rows of evidence name; a reason for each of them, or one for all."""
        n = documents.num_rows
        reasons = [reason] * n if isinstance(reason, str) else reason
        ids = [documents.column("row"), documents.column("doc_id")]
        return cls(pa.table([*ids, reasons, pa.nulls(n, pa.int64()), pa.nulls(n, pa.float32())], schema=DROPS))


class Column(NamedTuple):
    """A column that a stage of one's own leaves for the published shards: its type, and what it says, as the shards
    and the dataset card tell it.
    """

    type: pa.DataType
    what: str


class Stage(ABC):
    """A step of a pipeline, local or global; `artefacts` are the models and lists that `prepare` made: name → path."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the same config gives other evidence or other decisions; part of both hashes."""
    paper: ClassVar[str] = ""
    Evidence: ClassVar[type[StrictModel]] = NoConfig
    Decision: ClassVar[type[StrictModel]] = NoConfig
    reads: ClassVar[tuple[str, ...]] = ("text",)
    """Columns of the document shard that the scan reads."""
    evidence_of: ClassVar[str | None] = None
    """The earlier stage whose evidence a decision reads, for a stage that scans nothing itself."""
    comes_first: ClassVar[bool] = False
    """True: it must be the first stage, as what it drops must not be the survivor of another document."""
    assigns_domains: ClassVar[bool] = False
    """True: its columns say which domain a document belongs to."""
    provisional: ClassVar[bool] = False
    """True: `settle` revises its decision once the rules of all domains have been applied."""
    needs_settled: ClassVar[bool] = False
    """True: provisional decisions are made final before this stage runs."""
    watched: ClassVar[bool] = False
    """True: the alarm watches what it drops of a domain or a source, unless the alarm's config names other stages."""
    shown_by: ClassVar[str | None] = None
    """A command that shows what the stage found, beside `tamis sample`."""
    by_domain: ClassVar[tuple[str, ...] | None] = None
    """Decision settings that a domain may override; None is all of them."""
    scan_by_domain: ClassVar[tuple[str, ...]] = ()
    """Evidence settings that a domain may override; beside each stands a field `<setting>_of`, domain → value, which
    `PipelineConfig.evidence` fills."""
    provides: ClassVar[Mapping[str, pa.DataType | Column]] = {}
    """Columns that its decisions leave for the published shards: name → type."""

    def __init__(self, evidence: StrictModel, artefacts: Mapping[str, str]) -> None:
        self.evidence = evidence
        self.artefacts = artefacts

    @classmethod  # noqa: B027
    def check(cls, evidence: StrictModel, decision: StrictModel) -> None:
        """Refuses a decision that the evidence cannot serve.

        Raises:
            ConfigError: one sentence.
        """

    @classmethod  # noqa: B027
    def check_source(cls, source: StrictModel, decision: StrictModel) -> None:
        """Refuses a decision that the evidence config of `evidence_of` cannot serve.

        Raises:
            ConfigError: one sentence.
        """

    @classmethod
    def needs(cls, decision: StrictModel) -> tuple[str, ...]:
        """The stages that must stand before this one."""
        return (cls.evidence_of,) if cls.evidence_of else ()

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Makes or finds what the scan needs, such as models: name → file or folder; their digests enter the hash."""
        return {}

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """What `prepare` and the scan would not find here, a sentence each: packages, models, files that `evidence`
        names from `base` on. It is asked before the first byte of the input is read, and makes nothing.
        """
        return iter(())

    def scan_settings(self, domain: str) -> dict[str, Any]:
        """What `scan_by_domain` names, as it is for a domain."""
        of = {name: getattr(self.evidence, f"{name}_of") for name in self.scan_by_domain}
        return {name: of[name].get(domain, getattr(self.evidence, name)) for name in self.scan_by_domain}

    def wants_gpu(self) -> bool:
        """Whether its tasks use a GPU, where the cluster has some."""
        return False

    def sees_cuts(self) -> bool:
        """Whether the scan sees the text less the spans cut so far; else it sees the text as stored."""
        return True

    def scan(self, batch: Batch) -> pa.Table:
        """Evidence about a batch: a table with `row` first, rows ascending. Never called if the stage reads nothing.

        Unless a stage says otherwise, the evidence is what it reads.
        """
        return batch.table(**{name: batch.column(name) for name in self.reads})


Earlier = Callable[[str, str, Any], npt.NDArray[Any]]
"""`earlier(stage, column, default)` → what that stage's column says of the same rows; `default` where it is silent."""


class LocalStage(Stage):
    """A stage that decides about each document by itself."""

    def decide(self, evidence: pa.Table, rows: Int32, first_id: int, decision: Any, earlier: Earlier) -> Verdict:
        """The verdict on some documents of one shard that share a config; evidence about them has its rows ascending.

        `first_id` is the id of the shard's row 0; `earlier` reads columns that earlier stages left about these
        documents. Unless a stage says otherwise, it drops nothing, and leaves what it provides as the evidence has it.
        """
        return Verdict(columns=evidence.select(["row", "doc_id", *self.provides]))

    def facts(self, columns: Sequence[Path]) -> dict[str, Any]:
        """Small figures for the manifest and the report, from the files of columns, once all shards are decided."""
        return {}


class GlobalStage(Stage):
    """A stage whose decision needs the whole corpus."""

    @abstractmethod
    def decide_globally(self, context: DecisionContext) -> GlobalVerdict:
        """Decides about all documents; writes drops, edits and columns into the folder of the context."""

    @classmethod
    def settle(
        cls, provisional: Manifest, tasks: Sequence[ShardTask], folder: Path, cluster: Cluster
    ) -> list[FileEntry] | None:
        """Revises a provisional decision: all files of the final one, in `folder`; None where nothing changes.

        Each of the tasks has the decisions taken after the provisional one.
        """
        return None


def drops_table(rows: Int32, first_id: int, reasons: str | list[str] | pa.Array) -> pa.Table:
    """Drops without a survivor, for a local decision; a reason for each document, or one for all."""
    n = len(rows)
    reasons = [reasons] * n if isinstance(reasons, str) else reasons
    ids = first_id + rows.astype(np.int64)
    return pa.table([rows, ids, reasons, pa.nulls(n, pa.int64()), pa.nulls(n, pa.float32())], schema=DROPS)


def edits_table(
    row: Any, start: Any, end: Any, reasons: str | list[str], sentences: Any, replacements: list[str] | None = None
) -> pa.Table:
    """Spans of the stored text that are cut, or replaced where replacements are given; int32[n] of numpy or Arrow.

    `sentences` says how many each cut takes away; it and `reasons` may be one for all.
    """
    n = len(row)
    reasons = [reasons] * n if isinstance(reasons, str) else reasons
    sentences = np.full(n, sentences, np.int32) if isinstance(sentences, int) else sentences
    return pa.table(
        [row, start, end, reasons, pa.nulls(n, pa.string()) if replacements is None else replacements, sentences],
        schema=EDITS,
    )


def write_verdicts(folder: Path, shard: int, verdicts: list[Verdict]) -> list[FileEntry]:
    """Writes a shard's drops, edits and columns, merged and sorted by row; an empty table has no file."""
    tables = {
        "drops": pa.concat_tables([v.drops.cast(DROPS) for v in verdicts]),
        "edits": pa.concat_tables([v.edits.cast(EDITS) for v in verdicts]),
    }
    columns = [v.columns for v in verdicts if v.columns is not None]
    if columns:
        tables["columns"] = pa.concat_tables(columns)
    files = []
    for kind, table in tables.items():
        if table.num_rows:
            keys = [("row", "ascending"), *([("start", "ascending")] if kind == "edits" else [])]
            files.append(
                write_table(folder, f"{kind}-{shard:06d}", table.sort_by(keys).combine_chunks(), kind=kind, shard=shard)
            )
    return files
