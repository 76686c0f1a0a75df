"""The tasks of `span_dedup`: a shard sends the hashes of its spans, receives their owners, and decides.

`home` is the number of the document shard that sent a hash; the answers to it are written to one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import FileEntry, write_table
from dedup.spans import count_spans, distinct
from pipelines.spark.blocks import Block, Inbox, NextHop, by_hash, runs_of, split
from pipelines.spark.wire import WireSchema
from pipelines.stages.base import Verdict, drops_table, edits_table, write_verdicts
from pipelines.stages.span_dedup.shard import PARAGRAPH, SENTENCE, Occurrences, ShardSpans, SpanTask, published

ELSEWHERE = -1
"""Home of spans of earlier snapshots, to which no answer is sent."""
_NOBODY = np.iinfo(np.int64).max
"""Place of copies that count but were not published: behind every document, so that they never own a span."""
REASONS = ("repeated_paragraph", "repeated_sentence")
"""Why a span of a level is cut: `PARAGRAPH`, `SENTENCE`."""
NEAR_REASON = "near_repeated_sentence"
HEIRS = pa.schema({"hash": pa.int64(), "level": pa.int8(), "doc_id": pa.int64(), "start": pa.int32()})
"""Spans whose owner was dropped, and the copy in this shard that owns them now."""
COLUMNS = pa.schema(
    {"row": pa.int32(), "doc_id": pa.int64(), "repeated_share": pa.float32(), "max_span_copies": pa.int32()}
)


# ----------------------------------------------------------------------------------------------------- count and own


@dataclass(frozen=True)
class CountTask:
    """A document shard whose spans of one level are counted; sentences only outside paragraphs that are cut."""

    spans: SpanTask
    level: int


@dataclass(frozen=True)
class CountRules:
    """The least copies of a repeated span, and the partitions of the hop that writes."""

    min_copies: int
    writers: int


@dataclass(frozen=True)
class HomeFiles:
    """The settings of the hop that writes by home: the folder, the table, and its schema."""

    folder: Path
    kind: str
    schema: WireSchema


@dataclass(frozen=True)
class SpanVerdict:
    """The decision about a shard: files and counts. `cuts` include `near_cuts`; `inherited` spans got a new owner."""

    files: list[FileEntry]
    dropped: int
    cuts: int
    inherited: int
    near_cuts: int


def emit_spans(job: CountTask) -> Iterator[Block]:
    """Source: the distinct hashes of a shard's spans of one level, each with its count and first place."""
    shard, level, partitions = ShardSpans(job.spans), job.level, job.spans.partitions
    if not shard.task.earlier:
        yield from _count_hashes(shard, shard.outside if level == SENTENCE else shard.level(level), partitions)
        return
    table = shard.level(level)
    if table is not None:
        there, only_counts = published(table, level, shard.task.state())
        yield from _count_hashes(shard, table.filter(pa.array(there)), partitions)
        yield from _count_hashes(shard, table.filter(pa.array(only_counts)), partitions, owns=False)


def _count_hashes(shard: ShardSpans, table: pa.Table | None, partitions: int, owns: bool = True) -> Iterator[Block]:
    """The distinct hashes of spans sorted by (row, start), with counts, first places; unless `owns` they only count."""
    if table is None:
        return
    hashes, first, copies = distinct(table.column("hash").to_numpy())  # by (row, start): the first is the least
    home = ELSEWHERE if shard.task.earlier else shard.task.shard.number
    columns = {
        "hash": hashes,
        "copies": copies.astype(np.int32),
        "doc_id": shard.task.doc_ids(table.column("row").to_numpy()[first]) if owns else np.full(len(hashes), _NOBODY),
        "start": table.column("start").to_numpy()[first],
        "home": np.full(len(hashes), home, np.int32),
    }
    yield from split("spans", columns, by_hash(hashes, partitions))


def name_owners(inbox: Inbox, rules: CountRules) -> Iterator[Block]:
    """Hop: the counts of some hashes in all shards → the repeated ones and their owners, for each shard that holds one.

    Here the owner of a span is chosen.
    """
    table = inbox.table("spans")
    if table is None:
        return
    hashes, copies, doc_id, start, home = (
        table.column(name).to_numpy() for name in ("hash", "copies", "doc_id", "start", "home")
    )
    owners = count_spans(hashes, copies.astype(np.int64), doc_id, start, rules.min_copies)
    home = home[owners.rows]
    answered = home != ELSEWHERE
    at, home = owners.of[answered], home[answered]
    columns = {
        "hash": owners.hash[at],
        "copies": np.minimum(owners.copies[at], 2**31 - 1).astype(np.int32),
        "owner": owners.doc_id[at],
        "owner_start": owners.start[at],
        "home": home,
    }
    yield from split("owners", columns, (home % rules.writers).astype(np.uint16))


def write_by_home(inbox: Inbox, files: HomeFiles) -> Iterator[FileEntry]:
    """Last hop: writes the rows of each home, sorted by hash, to one file."""
    table = next(iter(inbox.tables.values()), None)
    if table is None:
        return
    home = table.column("home").to_numpy()
    order = np.lexsort((table.column("hash").to_numpy(), home))
    table = table.take(pa.array(order))
    for shard, low, high in runs_of(home[order]):
        part = table.slice(low, high - low).select(files.schema.names).cast(files.schema)
        yield write_table(files.folder, f"{files.kind}-{shard:06d}", part, kind=files.kind, shard=shard)


# ---------------------------------------------------------------------------------------------------------- documents


def emit_orphans(job: SpanTask) -> Iterator[Block]:
    """Source: spans whose owner is dropped, and for each repeated span the shard's first copy that could inherit it."""
    shard, partitions = ShardSpans(job), job.partitions
    gone = shard.documents(shard.answers(job.links, "links")).gone
    for level, spans in ((PARAGRAPH, shard.paragraphs), (SENTENCE, shard.sentences)):
        orphaned = spans.filter(spans.owns & gone[spans.row]).hash
        columns = {"hash": orphaned, "level": np.full(len(orphaned), level, np.int8)}
        yield from split("orphans", columns, by_hash(orphaned, partitions))
        left = spans.filter(~spans.owns & ~gone[spans.row])
        hashes, first, _ = distinct(left.hash)
        columns = {
            "hash": hashes,
            "level": np.full(len(hashes), level, np.int8),
            "doc_id": shard.task.doc_ids(left.row[first]),
            "start": left.start[first],
            "home": np.full(len(hashes), shard.task.shard.number, np.int32),
        }
        yield from split("candidates", columns, by_hash(hashes, partitions))


def name_heirs(inbox: Inbox, writers: NextHop) -> Iterator[Block]:
    """Hop: the new owner of each span whose owner was dropped, to the shard of the new owner."""
    orphans, candidates = inbox.table("orphans"), inbox.table("candidates")
    if orphans is None or candidates is None:
        return
    wanted = {level: np.sort(_of_level(orphans, level).column("hash").to_numpy()) for level in (PARAGRAPH, SENTENCE)}
    for level, hashes in wanted.items():
        table = _of_level(candidates, level)
        table = table.filter(pa.array(np.isin(table.column("hash").to_numpy(), hashes)))
        names = ("start", "doc_id", "hash")
        table = table.take(pa.array(np.lexsort([table.column(n).to_numpy() for n in names])))
        _, first = np.unique(table.column("hash").to_numpy(), return_index=True)
        heirs = table.take(pa.array(first))
        target = (heirs.column("home").to_numpy() % writers.partitions).astype(np.uint16)
        yield from split("heirs", {n: heirs.column(n) for n in heirs.column_names}, target)


def _of_level(table: pa.Table, level: int) -> pa.Table:
    return table.filter(pa.array(table.column("level").to_numpy() == level))


def decide_spans(job: SpanTask) -> SpanVerdict:
    """Task: a shard's drops, cuts and columns."""
    shard = ShardSpans(job)
    task, documents = shard.task, shard.documents(shard.answers(job.links, "links"))
    heirs, links = shard.answers(job.heirs, "heirs"), shard.answers(job.kept_links, "links")
    tables, inherited = [], 0
    for level, spans in enumerate((shard.paragraphs, shard.sentences)):
        heir = _inherits(shard, spans, None if heirs is None else _of_level(heirs, level))
        inherited += int(heir.sum())
        cut = spans.filter(~spans.owns & ~heir & ~documents.gone[spans.row])
        tables.append(edits_table(cut.row, cut.start, cut.end, REASONS[level], cut.sentences))
    near = shard.linked_sentences(links)  # all in documents that stay
    if near is not None:
        tables.append(edits_table(near["row"], near["start"], near["end"], NEAR_REASON, sentences=1))
    seen = np.flatnonzero(documents.max_copies > 0).astype(np.int32)
    share = np.minimum(1.0, documents.repeated[seen] / np.maximum(documents.total[seen], 1)).astype(np.float32)
    copies = documents.max_copies[seen].astype(np.int32)
    columns = pa.table([seen, task.doc_ids(seen), share, copies], schema=COLUMNS)
    gone = np.flatnonzero(documents.gone).astype(np.int32)
    drops = drops_table(gone, task.shard.first_id, "mostly_repeated_spans")
    edits = pa.concat_tables(tables)
    number = task.shard.number
    files = write_verdicts(job.folder, number, [Verdict(drops, edits, columns if len(seen) else None)])
    if links is not None:
        files.append(write_table(job.folder, f"links-{number:06d}", links, kind="links", shard=number))
    return SpanVerdict(files, len(gone), edits.num_rows, inherited, 0 if near is None else near.num_rows)


def _inherits(shard: ShardSpans, spans: Occurrences, heirs: pa.Table | None) -> npt.NDArray[np.bool_]:
    """Which copies own their span now that its first owner is dropped, bool[n]."""
    if heirs is None:
        return np.zeros(len(spans.row), np.bool_)
    names = {(int(d), int(s)) for d, s in zip(heirs["doc_id"].to_pylist(), heirs["start"].to_pylist(), strict=True)}
    mine = zip(shard.task.doc_ids(spans.row).tolist(), spans.start.tolist(), strict=True)
    return np.fromiter((place in names for place in mine), np.bool_, len(spans.row))
