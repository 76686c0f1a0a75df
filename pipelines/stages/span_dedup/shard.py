"""One document shard's spans in a task of `span_dedup`: read once, joined with what the exchanges told about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import ManifestRef
from corpus.shard_state import ShardState
from pipelines.stages.shard_task import Int32, Int64, ShardTask, read_own
from text.sequences import positions_of

PARAGRAPH, SENTENCE, DOCUMENT = 0, 1, 2
OWNERS = pa.schema(
    [
        pa.field("hash", pa.int64()),
        pa.field("copies", pa.int32()),
        pa.field("owner", pa.int64()),
        pa.field("owner_start", pa.int32()),
    ]
)
"""Repeated spans that a shard holds a copy of, by hash: occurrences over the corpus, and the owner's place."""
_EVIDENCE = ("row", "level", "start", "end", "parent", "bytes", "sentences", "hash")


@dataclass(frozen=True)
class Occurrences:
    """The copies of repeated spans in one shard; arrays of one length.

    Attributes:
        row, start, end, bytes, sentences, hash: of the span.
        copies: over the corpus.
        owns: whether this copy is the first.
    """

    row: Int32
    start: Int32
    end: Int32
    bytes: Int32
    sentences: Int32
    hash: Int64
    copies: Int64
    owns: npt.NDArray[np.bool_]

    def filter(self, keep: npt.NDArray[np.bool_]) -> Occurrences:
        """Some of them."""
        return Occurrences(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    @property
    def place(self) -> Int64:
        """(row, start) of each as one number."""
        return place_of(self.row, self.start)


@dataclass(frozen=True)
class Documents:
    """What spans mean for the documents of a shard; arrays over its rows.

    Attributes:
        total: bytes of the view; 0 where the stage did not look.
        removed: bytes that cuts would remove.
        repeated: bytes in repeated spans.
        max_copies: of any of its spans; 0 where none repeats.
        gone: whether the document is dropped.
    """

    total: Int64
    removed: Int64
    repeated: Int64
    max_copies: Int64
    gone: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """How much of a document may be cut, as a share of its bytes, before it is dropped: by default, and by domain."""

    default: float
    by_domain: dict[str, float]


@dataclass(frozen=True)
class SpanTask:
    """A document shard, with what the exchanges before have told about its spans.

    Attributes:
        task: the shard.
        folder: where the decision is written.
        limits: when a document is dropped.
        owners: tables `owners`, of paragraphs, then of sentences, as far as they have been counted.
        links: table `links`: sentences and those that they are nearly the same as.
        heirs: table `heirs`.
        kept_links: table `links` of those whose other end stays.
        partitions: of the hop that its rows go to.
    """

    task: ShardTask
    folder: Path
    limits: Limits
    owners: tuple[ManifestRef, ...] = ()
    links: ManifestRef | None = None
    heirs: ManifestRef | None = None
    kept_links: ManifestRef | None = None
    partitions: int = 1


@dataclass(frozen=True)
class ShardSpans:
    """The spans of a task's shard.

    Attributes:
        job: the task.
        more: further columns of the evidence.
    """

    job: SpanTask
    more: Sequence[str] = field(default=())

    @property
    def task(self) -> ShardTask:
        """The shard."""
        return self.job.task

    def told(self, manifest: ManifestRef | None, table: str) -> pa.Table | None:
        """What an exchange told this shard; an earlier snapshot's is told nothing."""
        return None if self.task.earlier else read_own(manifest, table, self.task)

    @cached_property
    def _evidence(self) -> pa.Table | None:
        return self.task.read_evidence([*_EVIDENCE, *self.more])

    def level(self, level: int) -> pa.Table | None:
        """The spans of a level, by (row, start); None where nothing was seen."""
        if self._evidence is None:
            return None
        return self._evidence.filter(pa.array(self._evidence.column("level").to_numpy() == level))

    @cached_property
    def paragraphs(self) -> Occurrences:
        """The copies of repeated paragraphs."""
        return self._occurrences(self.level(PARAGRAPH), PARAGRAPH)

    @cached_property
    def outside(self) -> pa.Table | None:
        """The sentences that lie in no cut paragraph."""
        table = self.level(SENTENCE)
        return None if table is None else outside_of(table, self.paragraphs.filter(~self.paragraphs.owns))

    @cached_property
    def sentences(self) -> Occurrences:
        """The copies of repeated sentences outside cut paragraphs."""
        return self._occurrences(self.outside, SENTENCE)

    def _occurrences(self, table: pa.Table | None, level: int) -> Occurrences:
        owners = self.told(self.job.owners[level], "owners")
        if table is None or owners is None:
            none, no64 = np.zeros(0, np.int32), np.zeros(0, np.int64)
            return Occurrences(none, none, none, none, none, no64, no64, np.zeros(0, np.bool_))
        at = positions_of(owners.column("hash").to_numpy(), table.column("hash").to_numpy())
        rows = np.flatnonzero(at >= 0)
        at = at[rows]
        row, start, end, size, inside, hashes = (
            table.column(n).to_numpy()[rows] for n in ("row", "start", "end", "bytes", "sentences", "hash")
        )
        owns = (owners.column("owner").to_numpy()[at] == self.task.doc_ids(row)) & (
            owners.column("owner_start").to_numpy()[at] == start
        )
        copies = owners.column("copies").to_numpy()[at].astype(np.int64)
        return Occurrences(row, start, end, size, inside, hashes, copies, owns)

    def documents(self, links: pa.Table | None = None) -> Documents:
        """Judges the documents by their repeated spans and by what some links would cut."""
        n = self.task.shard.rows
        sizes = self.level(DOCUMENT)
        total, removed, repeated, most = (np.zeros(n, np.int64) for _ in range(4))
        if sizes is not None:
            total[sizes.column("row").to_numpy()] = sizes.column("bytes").to_numpy()
        for spans in (self.paragraphs, self.sentences):
            removed += np.bincount(spans.row, np.where(spans.owns, 0, spans.bytes), n).astype(np.int64)
            repeated = np.maximum(repeated, np.bincount(spans.row, spans.bytes, n).astype(np.int64))
            np.maximum.at(most, spans.row, spans.copies)
        cuts = self.linked(links)
        touched = most > 0
        if cuts is not None:
            removed += np.bincount(cuts.column("row").to_numpy(), cuts.column("bytes").to_numpy(), n).astype(np.int64)
            touched |= removed > 0
        limit = np.full(n, self.job.limits.default)
        for domain, share in self.job.limits.by_domain.items():
            limit[self.task.domains().astype(str) == domain] = share
        gone = touched & ((removed > limit * total) | (removed >= total))
        return Documents(total, removed, repeated, most, gone)

    def linked(self, links: pa.Table | None) -> pa.Table | None:
        """The sentences that some links would cut."""
        table = None if links is None else self.level(SENTENCE)
        if links is None or table is None:
            return None
        return table.filter(pa.array(np.isin(places(table), places(links))))


def place_of(row: npt.NDArray[Any], start: npt.NDArray[Any]) -> Int64:
    """(row, start) as one number, in their order."""
    return row.astype(np.int64) << 32 | start


def places(table: pa.Table) -> Int64:
    """(row, start) of each span as one number."""
    return place_of(table.column("row").to_numpy(), table.column("start").to_numpy())


def outside_of(table: pa.Table, cut: Occurrences) -> pa.Table:
    """The sentences of a table in order that lie in none of some paragraphs."""
    if not len(cut.row):
        return table
    parent = place_of(table.column("row").to_numpy(), table.column("parent").to_numpy())
    inside = np.zeros(len(parent) + 1, np.int32)
    np.add.at(inside, np.searchsorted(parent, cut.place, "left"), 1)
    np.add.at(inside, np.searchsorted(parent, cut.place, "right"), -1)
    return table.filter(pa.array(np.cumsum(inside[:-1]) == 0))


def published(table: pa.Table, level: int, state: ShardState) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """An earlier snapshot's spans: which were published, and which only count, as they were cut or their document was.

    A sentence in a longer piece that was cut is neither: it does not count in its own snapshot.
    """
    row = table.column("row").to_numpy()
    start, end = table.column("start").to_numpy(), table.column("end").to_numpy()
    edits, alive = state.edits, state.alive[row]
    if not len(edits):
        return alive, ~alive
    edited = edits.rows().astype(np.int64)
    place = np.searchsorted(place_of(edited, edits.start), place_of(row, start), "right") - 1
    at = np.maximum(place, 0)
    cut = (place >= 0) & (edited[at] == row) & (edits.end[at] >= end)
    longer = cut & (edits.end[at].astype(np.int64) - edits.start[at] > end - start)
    return alive & ~cut, ~(alive & ~cut) & ~(longer & (level == SENTENCE))
