"""The task sides of ``span_dedup``: a shard's spans out, what is known of them back, decisions from both.

``home`` is the number of the document shard that asked; answers come back to it in one file a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import write_table
from corpus.schemas import EDITS
from corpus.state import ShardState, load_state, read_files
from dedup.spans import count_spans
from pipelines.exchange import Block, Inbox, by_hash, split
from pipelines.scan import write_verdicts
from pipelines.shard_task import ShardTask
from pipelines.stage import Int32, Int64, Verdict, drops_table

PARAGRAPH, SENTENCE, DOCUMENT = 0, 1, 2
ELSEWHERE = -1
"""Home of earlier snapshots' spans: nobody is told about them."""
_NOBODY = np.iinfo(np.int64).max
"""Owner of spans that are not there any more: behind every document."""
_EVIDENCE = ("row", "doc_id", "level", "start", "end", "parent", "bytes", "hash")
_SPAN_COLUMNS = ("row", "doc_id", "start", "end", "level", "bytes", "hash")
REASONS = np.array(["repeated_paragraph", "repeated_sentence", "near_repeated_sentence"], dtype=object)
NEAR = 2
"""The place of near-duplicate sentences among the reasons."""
OWNERS = pa.schema([
    pa.field("hash", pa.int64()), pa.field("copies", pa.int32()), pa.field("owner", pa.int64()),
    pa.field("owner_start", pa.int32()),
])  # fmt: skip
"""Repeated spans that a shard holds a copy of, by hash: occurrences over the corpus, and the owner's place."""
HEIRS = pa.schema([
    pa.field("hash", pa.int64()), pa.field("level", pa.int8()), pa.field("doc_id", pa.int64()),
    pa.field("start", pa.int32()),
])  # fmt: skip
"""Spans whose owner was dropped and that a document of the shard now owns."""
COLUMNS = pa.schema([
    pa.field("row", pa.int32()), pa.field("doc_id", pa.int64()), pa.field("repeated_share", pa.float32()),
    pa.field("max_span_copies", pa.int32()),
])  # fmt: skip


@dataclass(frozen=True)
class Occurrences:
    """The copies of repeated spans in one shard; arrays of one length.

    Attributes:
        rows: rows of the span in the evidence table.
        row, doc_id, start, end, level, bytes, hash: of the span.
        copies: over the corpus.
        owns: whether this copy is the first.
    """

    rows: Int64
    row: Int32
    doc_id: Int64
    start: Int32
    end: Int32
    level: npt.NDArray[np.int8]
    bytes: Int64
    hash: Int64
    copies: Int64
    owns: npt.NDArray[np.bool_]

    def filter(self, keep: npt.NDArray[np.bool_]) -> Occurrences:
        """Some of them."""
        return Occurrences(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


# ----------------------------------------------------------------------------------------------------- count and own


def emit_spans(payload: dict[str, Any]) -> Iterator[Block]:
    """Source: a shard's spans of one level, one row a distinct hash: how often, where first."""
    task, level = ShardTask.of(payload), payload["level"]
    table = spans_of(task, level)
    if table is None:
        return
    if payload.get("earlier"):
        state = load_state(task.chain, task.shard.rows)
        there, cut = published(table, level, state)
        yield from _counted(table.filter(pa.array(there)), ELSEWHERE, payload["partitions"])
        yield from _counted(table.filter(pa.array(cut)), ELSEWHERE, payload["partitions"], owns=False)
        return
    if level == SENTENCE:
        table = outside_cut_paragraphs(table, _occurrences(task, payload, PARAGRAPH))
    yield from _counted(table, task.shard.number, payload["partitions"])


def _counted(table: pa.Table, home: int, partitions: int, owns: bool = True) -> Iterator[Block]:
    """One row a distinct hash: how often, and the place that would own it; none where the copies are not there."""
    found, first, copies = np.unique(table.column("hash").to_numpy(), return_index=True, return_counts=True)
    rows = table.take(pa.array(first))  # evidence is sorted by (row, start): the first is the least
    columns = {
        "hash": found, "copies": copies.astype(np.int32),
        "doc_id": rows.column("doc_id") if owns else np.full(len(found), _NOBODY),
        "start": rows.column("start"), "home": np.full(len(found), home, np.int32),
    }  # fmt: skip
    yield from split("spans", columns, by_hash(found, partitions))


def name_owners(inbox: Inbox, settings: dict[str, Any]) -> Iterator[Block]:
    """Hop: all shards' counts of some hashes → what each of those shards is told about the repeated ones."""
    table = inbox.table("spans")
    if table is None:
        return
    hashes, home = table.column("hash").to_numpy(), table.column("home").to_numpy()
    owners = count_spans(
        hashes, table.column("copies").to_numpy().astype(np.int64), table.column("doc_id").to_numpy(),
        table.column("start").to_numpy(), settings["min_copies"],
    )  # fmt: skip
    if not len(owners.hash):
        return
    at = np.minimum(np.searchsorted(owners.hash, hashes), len(owners.hash) - 1)
    told = (owners.hash[at] == hashes) & (home >= 0)
    at, home = at[told], home[told]
    columns = {
        "hash": owners.hash[at], "copies": np.minimum(owners.copies[at], 2**31 - 1).astype(np.int32),
        "owner": owners.doc_id[at], "owner_start": owners.start[at], "home": home,
    }  # fmt: skip
    yield from split("owners", columns, (home % settings["writers"]).astype(np.uint16))


def write_by_home(inbox: Inbox, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Last hop: the rows of one kind for each shard, sorted by hash, in one file a shard."""
    ((kind, schema_hex),) = settings["schemas"].items()
    table = next(iter(inbox.tables.values()), None)
    if table is None:
        return
    schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema_hex)))
    home = table.column("home").to_numpy()
    order = np.lexsort((table.column("hash").to_numpy(), home))
    table, home = table.take(pa.array(order)), home[order]
    bounds = [0, *(np.flatnonzero(np.diff(home)) + 1).tolist(), len(home)]
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        part = table.slice(low, high - low).select(schema.names).cast(schema).combine_chunks()
        shard = int(home[low])
        yield asdict(write_table(Path(settings["folder"]), f"{kind}-{shard:06d}", part, kind=kind, shard=shard))


def spans_of(task: ShardTask, level: int, more: Sequence[str] = ()) -> pa.Table | None:
    """The shard's spans of a level, with some more columns of the evidence."""
    evidence = read_files(task.evidence_files, [*_EVIDENCE, *more])
    return None if evidence is None else evidence.filter(pa.array(evidence.column("level").to_numpy() == level))


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
    place = np.searchsorted(edited << 32 | edits.start, row.astype(np.int64) << 32 | start, "right") - 1
    at = np.maximum(place, 0)
    cut = (place >= 0) & (edited[at] == row) & (edits.end[at] >= end)
    longer = cut & (edits.end[at].astype(np.int64) - edits.start[at] > end - start)
    return alive & ~cut, ~(alive & ~cut) & ~(longer & (level == SENTENCE))


def outside_cut_paragraphs(table: pa.Table, paragraphs: Occurrences) -> pa.Table:
    """The sentences that lie in no cut paragraph."""
    cut = ~paragraphs.owns
    gone = paragraphs.row[cut].astype(np.int64) << 32 | paragraphs.start[cut]
    parent = table.column("row").to_numpy().astype(np.int64) << 32 | table.column("parent").to_numpy()
    return table.filter(pa.array(~np.isin(parent, gone)))


def _occurrences(task: ShardTask, payload: dict[str, Any], level: int) -> Occurrences:
    """The shard's copies of repeated spans of a level, as the exchange told."""
    table = spans_of(task, level)
    owners = read_files(payload[f"owners_{level}"])
    if table is None or owners is None:
        table = pa.table(
            {n: pa.array([], pa.int64()) for n in ("row", "doc_id", "start", "end", "level", "bytes", "hash", "parent")}
        )
        owners = OWNERS.empty_table()
    elif level == SENTENCE:
        table = outside_cut_paragraphs(table, _occurrences(task, payload, PARAGRAPH))
    known, hashes = owners.column("hash").to_numpy(), table.column("hash").to_numpy()
    at = np.minimum(np.searchsorted(known, hashes), max(0, len(known) - 1))
    rows = np.flatnonzero(known[at] == hashes) if len(known) else np.zeros(0, np.int64)
    at, table = at[rows], table.take(pa.array(rows))
    columns = {n: table.column(n).to_numpy() for n in _SPAN_COLUMNS}
    owns = (owners.column("owner").to_numpy()[at] == columns["doc_id"]) & (
        owners.column("owner_start").to_numpy()[at] == columns["start"]
    )
    copies = owners.column("copies").to_numpy()[at].astype(np.int64)
    return Occurrences(rows, **{**columns, "bytes": columns["bytes"].astype(np.int64)}, copies=copies, owns=owns)


# ---------------------------------------------------------------------------------------------------------- documents


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


def documents_in(task: ShardTask, payload: dict[str, Any], found: tuple[Occurrences, Occurrences]) -> Documents:
    """Judges the documents by their repeated spans and by what the links in ``payload["near"]`` would cut."""
    n = task.shard.rows
    sizes = spans_of(task, DOCUMENT)
    total, removed, repeated, most = (np.zeros(n, np.int64) for _ in range(4))
    if sizes is not None:
        total[sizes.column("row").to_numpy()] = sizes.column("bytes").to_numpy()
    for spans in found:
        removed += np.bincount(spans.row, weights=np.where(spans.owns, 0, spans.bytes), minlength=n).astype(np.int64)
        repeated = np.maximum(repeated, np.bincount(spans.row, weights=spans.bytes, minlength=n).astype(np.int64))
        np.maximum.at(most, spans.row, spans.copies)
    near = near_cuts(task, payload.get("near", ()))
    touched = most > 0
    if near is not None:
        removed += np.bincount(near.column("row").to_numpy(), near.column("bytes").to_numpy(), n).astype(np.int64)
        touched |= removed > 0
    limit = np.full(n, payload["default"]["max_removed_fraction"])
    for domain, config in payload["overrides"].items():
        limit[task.domains().astype(str) == domain] = config["max_removed_fraction"]
    gone = touched & ((removed > limit * total) | (removed >= total))
    return Documents(total, removed, repeated, most, gone)


def repeated_in(task: ShardTask, payload: dict[str, Any]) -> tuple[Occurrences, Occurrences]:
    """The copies of repeated paragraphs, and those of repeated sentences outside cut ones."""
    return _occurrences(task, payload, PARAGRAPH), _occurrences(task, payload, SENTENCE)


def places(table: pa.Table) -> Int64:
    """(row, start) of each span as one number."""
    return table.column("row").to_numpy().astype(np.int64) << 32 | table.column("start").to_numpy()


def near_cuts(task: ShardTask, files: Sequence[str]) -> pa.Table | None:
    """The sentences that the links in some files would cut."""
    links, table = read_files(files), spans_of(task, SENTENCE) if files else None
    return None if links is None or table is None else table.filter(pa.array(np.isin(places(table), places(links))))


def emit_orphans(payload: dict[str, Any]) -> Iterator[Block]:
    """Source: spans whose owner is dropped, and, for each repeated span, the shard's first copy that stays."""
    task = ShardTask.of(payload)
    found = repeated_in(task, payload)
    gone = documents_in(task, payload, found).gone
    for spans in found:
        orphaned = spans.filter(spans.owns & gone[spans.row])
        target = by_hash(orphaned.hash, payload["partitions"])
        yield from split("orphans", {"hash": orphaned.hash, "level": orphaned.level.astype(np.int8)}, target)
        left = spans.filter(~spans.owns & ~gone[spans.row])
        _, first = np.unique(left.hash, return_index=True)
        home = np.full(len(first), task.shard.number, np.int32)
        columns = {
            "hash": left.hash[first], "level": left.level[first].astype(np.int8), "doc_id": left.doc_id[first],
            "start": left.start[first], "home": home,
        }  # fmt: skip
        yield from split("candidates", columns, by_hash(left.hash[first], payload["partitions"]))


def name_heirs(inbox: Inbox, settings: dict[str, Any]) -> Iterator[Block]:
    """Hop: the next owner of each orphaned span, told to its shard."""
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
        target = (heirs.column("home").to_numpy() % settings["writers"]).astype(np.uint16)
        yield from split("heirs", {n: heirs.column(n) for n in heirs.column_names}, target)


def _of_level(table: pa.Table, level: int) -> pa.Table:
    return table.filter(pa.array(table.column("level").to_numpy() == level))


def decide_spans(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: a shard's drops, cuts and columns.

    Returns:
        ``{"files": [FileEntry], "dropped": documents, "cuts": spans, "inherited": spans}``.
    """
    task = ShardTask.of(payload)
    found = repeated_in(task, payload)
    documents = documents_in(task, payload, found)
    evidence = read_files(task.evidence_files, ["level", "sentences"])
    heirs = read_files(payload["heirs"])
    tables, inherited = [], 0
    for level, spans in enumerate(found):
        heir = _inherits(spans, None if heirs is None else _of_level(heirs, level))
        inherited += int(heir.sum())
        cut = spans.filter(~spans.owns & ~heir & ~documents.gone[spans.row])
        counts = _of_level(evidence, level).column("sentences").to_numpy() if evidence is not None else np.zeros(0)
        tables.append(_edits(cut, level, counts))
    near = near_cuts(task, payload.get("near_kept", ()))  # of documents that stay
    if near is not None:
        tables.append(_near_edits(near))
    seen = np.flatnonzero(documents.max_copies > 0).astype(np.int32)
    share = np.minimum(1.0, documents.repeated[seen] / np.maximum(documents.total[seen], 1)).astype(np.float32)
    columns = pa.table([
        pa.array(seen), pa.array(task.shard.first_id + seen.astype(np.int64)), pa.array(share),
        pa.array(documents.max_copies[seen].astype(np.int32)),
    ], schema=COLUMNS)  # fmt: skip
    gone = np.flatnonzero(documents.gone).astype(np.int32)
    drops = drops_table(gone, task.shard.first_id, ["mostly_repeated_spans"] * len(gone))
    edits = pa.concat_tables(tables)
    files = write_verdicts(task.folder, task.shard.number, [Verdict(drops, edits, columns if len(seen) else None)])
    links = read_files(payload.get("near_kept", ()))
    if links is not None:
        number = task.shard.number
        files.append(write_table(task.folder, f"links-{number:06d}", links, kind="links", shard=number))
    return {
        "files": [asdict(f) for f in files], "dropped": len(gone), "cuts": edits.num_rows, "inherited": inherited,
        "near_cuts": 0 if near is None else near.num_rows,
    }  # fmt: skip


def _inherits(spans: Occurrences, heirs: pa.Table | None) -> npt.NDArray[np.bool_]:
    """Which copies own their span now that its first owner is dropped."""
    if heirs is None:
        return np.zeros(len(spans.row), np.bool_)
    names = {(int(d), int(s)) for d, s in zip(heirs["doc_id"].to_pylist(), heirs["start"].to_pylist(), strict=True)}
    mine = zip(spans.doc_id.tolist(), spans.start.tolist(), strict=True)
    return np.fromiter((place in names for place in mine), np.bool_, len(spans.row))


def _edits(cut: Occurrences, level: int, sentences: npt.NDArray[Any]) -> pa.Table:
    n = len(cut.row)
    return pa.table([
        pa.array(cut.row.astype(np.int32)), pa.array(cut.start.astype(np.int32)), pa.array(cut.end.astype(np.int32)),
        pa.array(np.full(n, REASONS[level], dtype=object), pa.string()), pa.nulls(n, pa.string()),
        pa.array(sentences[cut.rows].astype(np.int32)),
    ], schema=EDITS)  # fmt: skip


def _near_edits(cut: pa.Table) -> pa.Table:
    n = cut.num_rows
    return pa.table([
        cut.column("row"), cut.column("start"), cut.column("end"),
        pa.array(np.full(n, REASONS[NEAR], dtype=object), pa.string()), pa.nulls(n, pa.string()),
        pa.array(np.ones(n, np.int32)),
    ], schema=EDITS)  # fmt: skip
