"""The spans of a document shard in a task of `span_dedup`: its evidence, joined with the answers of the exchanges."""

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
OWNERS = pa.schema({"hash": pa.int64(), "copies": pa.int32(), "owner": pa.int64(), "owner_start": pa.int32()})
"""Repeated spans of which a shard holds a copy, by hash: their copies in the whole corpus, the place of their owner."""
_EVIDENCE = ("row", "level", "start", "end", "parent", "bytes", "sentences", "hash")


@dataclass(frozen=True)
class Occurrences:
    """The copies of repeated spans in one shard, as arrays of equal length.

    `copies` are those in the corpus; `owns` says whether this copy owns the span, being the first.
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
        """The copies for which `keep` is true."""
        return Occurrences(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    @property
    def place(self) -> Int64:
        """(row, start) of each copy as one number."""
        return place_of(self.row, self.start)


@dataclass(frozen=True)
class Documents:
    """The documents of a shard, by their repeated spans; arrays over the rows of the shard.

    `total` and `removed` are bytes of text, 0 for documents that were not scanned, and those that cuts would remove;
    `repeated` bytes include owned spans; `max_copies` are of the most repeated span, 0 where none repeats; `gone` are
    documents that are dropped, as cuts would leave too little of them.
    """

    total: Int64
    removed: Int64
    repeated: Int64
    max_copies: Int64
    gone: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """The share of its bytes that a document may lose before it is dropped: by default, and by domain."""

    default: float
    by_domain: dict[str, float]


@dataclass(frozen=True)
class SpanTask:
    """A document shard, with the answers of the exchanges that have run so far.

    `owners` are of paragraphs, then of sentences; `links` near-duplicate sentences and their anchors, `kept_links`
    those whose anchor's document stays; `heirs` spans that have a new owner; `partitions` those of the hop that
    receives its rows.
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
    """The spans of a task's shard; its evidence is read once, with `more` columns beside the usual ones."""

    job: SpanTask
    more: Sequence[str] = field(default=())

    @property
    def task(self) -> ShardTask:
        """The shard."""
        return self.job.task

    def answers(self, manifest: ManifestRef | None, table: str) -> pa.Table | None:
        """The rows that an exchange sent back to this shard; none to a shard of an earlier snapshot."""
        return None if self.task.earlier else read_own(manifest, table, self.task)

    @cached_property
    def _evidence(self) -> pa.Table | None:
        return self.task.read_evidence([*_EVIDENCE, *self.more])

    def level(self, level: int) -> pa.Table | None:
        """The spans of a level, sorted by (row, start); None where the shard has no evidence."""
        if self._evidence is None:
            return None
        return self._evidence.filter(pa.array(self._evidence.column("level").to_numpy() == level))

    @cached_property
    def paragraphs(self) -> Occurrences:
        """The copies of repeated paragraphs."""
        return self._find_copies(self.level(PARAGRAPH), PARAGRAPH)

    @cached_property
    def outside(self) -> pa.Table | None:
        """The sentences outside paragraphs that are cut."""
        table = self.level(SENTENCE)
        return None if table is None else outside_of(table, self.paragraphs.filter(~self.paragraphs.owns))

    @cached_property
    def sentences(self) -> Occurrences:
        """The copies of repeated sentences outside paragraphs that are cut."""
        return self._find_copies(self.outside, SENTENCE)

    def _find_copies(self, table: pa.Table | None, level: int) -> Occurrences:
        """The spans of a level that repeat: those whose hash the exchange named an owner for."""
        owners = self.answers(self.job.owners[level], "owners")
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
        """Adds up, by document, what repeats and what would be cut, linked sentences too; says which are dropped."""
        n = self.task.shard.rows
        sizes = self.level(DOCUMENT)
        total, removed, repeated, most = (np.zeros(n, np.int64) for _ in range(4))
        if sizes is not None:
            total[sizes.column("row").to_numpy()] = sizes.column("bytes").to_numpy()
        for spans in (self.paragraphs, self.sentences):
            removed += np.bincount(spans.row, np.where(spans.owns, 0, spans.bytes), n).astype(np.int64)
            repeated = np.maximum(repeated, np.bincount(spans.row, spans.bytes, n).astype(np.int64))
            np.maximum.at(most, spans.row, spans.copies)
        cuts = self.linked_sentences(links)
        touched = most > 0
        if cuts is not None:
            removed += np.bincount(cuts.column("row").to_numpy(), cuts.column("bytes").to_numpy(), n).astype(np.int64)
            touched |= removed > 0
        limit = np.full(n, self.job.limits.default)
        for domain, share in self.job.limits.by_domain.items():
            limit[self.task.domains().astype(str) == domain] = share
        gone = touched & ((removed > limit * total) | (removed >= total))
        return Documents(total, removed, repeated, most, gone)

    def linked_sentences(self, links: pa.Table | None) -> pa.Table | None:
        """The sentences that have a link, with all columns of their evidence; None where there are none."""
        table = None if links is None else self.level(SENTENCE)
        if links is None or table is None:
            return None
        return table.filter(pa.array(np.isin(places(table), places(links))))


def place_of(row: npt.NDArray[Any], start: npt.NDArray[Any]) -> Int64:
    """(row, start) as one number that sorts like the pair."""
    return row.astype(np.int64) << 32 | start


def places(table: pa.Table) -> Int64:
    """(row, start) of each span as one number."""
    return place_of(table.column("row").to_numpy(), table.column("start").to_numpy())


def outside_of(table: pa.Table, cut: Occurrences) -> pa.Table:
    """The sentences, sorted by (row, start), that lie in none of the cut paragraphs."""
    if not len(cut.row):
        return table
    parent = place_of(table.column("row").to_numpy(), table.column("parent").to_numpy())
    inside = np.zeros(len(parent) + 1, np.int32)
    np.add.at(inside, np.searchsorted(parent, cut.place, "left"), 1)
    np.add.at(inside, np.searchsorted(parent, cut.place, "right"), -1)
    return table.filter(pa.array(np.cumsum(inside[:-1]) == 0))


def published(table: pa.Table, level: int, state: ShardState) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Spans of an earlier snapshot: which were published, and which were not but still count as copies.

    A span still counts if it was cut, or its document was dropped. A sentence inside a longer cut span is neither: it
    did not count in its own snapshot.
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
