"""``span_dedup`` with ``near_sentences``: cuts sentences that are nearly the same as one that stays.

Who takes part: sentences that the exact count looked at and left (no exact repeat is there twice; none lies in a
repeated paragraph's copy), of documents that it left. Sentences that earlier snapshots published are anchors only.

    band key ──▶ buckets: member → first like anchor ──▶ at the anchor: is it linked itself? ──▶ links, by shard
    links ──▶ documents of which little is left ──▶ at the anchor's document: is it dropped now? ──▶ cuts

The rule: a sentence is cut if it is like an anchor (Jaccard of token 3-grams, counted in full) that is linked to
nothing and whose document stays. An anchor comes before its members in (document, offset), so that something like each
cut sentence is published: chains are not followed, and the end of one stays unless it is like its head too.

A document is judged as before, with what near links would cut counted as removed; spans that it owned go to their next
exact copy, as always. Where an anchor falls with its document nothing is cut for it, and nobody inherits it; a document
that was dropped for links to it stays dropped. All this happens once.

Shuffled: a row a band, six a sentence, of 28 bytes and 4 a shingle: 6 · 100 = 600 bytes for a sentence of 20 tokens,
against 32 for its exact hash. Then 40 bytes a link, and 12 for a linked sentence. What shares a band key meets in one
task. Source: BaichuanSEED (arXiv 2408.15079); see ``dedup.short_texts``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry, write_table
from corpus.shard_state import load_state, read_files
from dedup.short_texts import BANDS, ShortTexts, link_buckets
from pipelines.run.weights import place
from pipelines.spark.exchange import Block, Hop, Inbox, by_hash, by_id, by_shard, partitions_for, split
from pipelines.stages.base import Int32, Int64
from pipelines.stages.context import DecisionContext
from pipelines.stages.span_dedup.shard import SENTENCE, ShardSpans, places, published

HERE = "pipelines.stages.span_dedup.near_sentences"
BAND_BYTES = 112
"""Of a sentence and band in the exchange, for one of some twenty tokens."""
KEYS, SET = pa.binary(8 * BANDS), pa.large_binary()
LINKS = pa.schema(
    [
        pa.field("row", pa.int32()),
        pa.field("doc_id", pa.int64()),
        pa.field("start", pa.int32()),
        pa.field("anchor_doc", pa.int64()),
        pa.field("anchor_start", pa.int32()),
        pa.field("similarity", pa.float32()),
    ]
)
"""Sentences and the anchors that they are like; also committed beside the cuts, as table ``links``."""
_LINK = ("doc_id", "start", "anchor_doc", "anchor_start", "similarity")


# ------------------------------------------------------------------------------------------------- evidence columns


def near_columns(found: ShortTexts, which: Int64, n: int) -> dict[str, pa.Array]:
    """Band keys and sets as columns of n rows, null but for the rows ``which``."""
    there = np.zeros(n, np.bool_)
    there[which] = True
    validity = pa.py_buffer(np.packbits(there, bitorder="little"))
    keys = np.zeros((n, BANDS), np.int64)
    keys[which] = found.keys
    sizes = np.zeros(n, np.int64)
    sizes[which] = 4 * np.diff(found.ptr)
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    return {
        "near_keys": pa.Array.from_buffers(KEYS, n, [validity, pa.py_buffer(keys)]),
        "near_set": pa.Array.from_buffers(SET, n, [validity, pa.py_buffer(offsets), pa.py_buffer(found.shingles)]),
    }


def _keys_in(column: pa.ChunkedArray) -> Int64:
    array = column.combine_chunks()
    array = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
    keys = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, BANDS)
    return keys[array.offset : array.offset + len(array)]


def _sets_in(column: pa.ChunkedArray) -> tuple[Int64, npt.NDArray[np.uint32]]:
    """ptr and shingles of a column of sets."""
    array = column.combine_chunks()
    array = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    shingles = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]].copy().view(np.uint32)
    return (bounds - bounds[0]) // 4, shingles


# ------------------------------------------------------------------------------------------------------ in the driver


def find_links(
    context: DecisionContext, payloads: Sequence[Mapping[str, Any]], rows: int, threshold: float
) -> tuple[list[FileEntry], int]:
    """Runs the first exchange.

    Args:
        context: of the decision.
        payloads: as for the exact counts, with their answers and the settings of the decision.
        rows: of evidence.
        threshold: similarity of a link.

    Returns:
        Files of ``LINKS`` to anchors that are linked to nothing, and how often a bucket held a sentence that was like
        none of its anchors and could not become one.
    """
    partitions = partitions_for(rows, BANDS * BAND_BYTES, context.cluster.least_partitions)
    settings = {"threshold": threshold, "first_new": context.first_new, "partitions": partitions}
    hops = [
        Hop(f"{HERE}:link_sentences", partitions, settings),
        Hop(f"{HERE}:keep_unlinked_anchors", partitions, {"writers": context.writers}),
    ]
    return _links(context, "near sentences", "emit_near", payloads, hops, partitions)


def confirm_links(context: DecisionContext, payloads: Sequence[Mapping[str, Any]], rows: int) -> list[FileEntry]:
    """Runs the second exchange, with the first one's files under ``near``: the links whose anchor's document stays."""
    partitions = partitions_for(rows, 40, context.cluster.least_partitions)
    hops = [Hop(f"{HERE}:keep_anchors_that_stay", partitions, {"writers": context.writers})]
    return _links(context, "near anchors", "emit_questions", payloads, hops, partitions)[0]


def _links(
    context: DecisionContext,
    label: str,
    source: str,
    payloads: Sequence[Mapping[str, Any]],
    hops: Sequence[Hop],
    partitions: int,
) -> tuple[list[FileEntry], int]:
    scratch = context.folder / "scratch"
    last = Hop(f"{HERE}:write_links", context.writers, {"folder": str(scratch)})
    tasks = [{**p, "partitions": partitions} for p in payloads]
    answers = context.cluster.exchange(f"{HERE}:{source}", tasks, [*hops, last], label=f"span_dedup: {label}")
    files = [FileEntry(**a) for a in answers if "capped" not in a]
    capped = sum(a["capped"] for a in answers if "capped" in a)
    return [place(scratch, f, f"{f.table}-{f.shard:06d}-{f.digest[:16]}.parquet") for f in files], capped


# ------------------------------------------------------------------------------------------------------ buckets, links


def emit_near(payload: dict[str, Any]) -> Iterator[Block]:
    """Source: a shard's sentences that take part, one row a band."""
    shard = ShardSpans.of(payload, ["near_keys", "near_set"])
    if payload.get("earlier"):
        table = shard.level(SENTENCE)
        if table is not None:
            there, _ = published(table, SENTENCE, load_state(shard.task.chain, shard.task.shard.rows))
            table = table.filter(pa.array(there))
    else:
        table, repeated = shard.outside, shard.sentences
        if table is not None:
            cut = np.isin(places(table), repeated.place[~repeated.owns])
            table = table.filter(pa.array(~cut & ~shard.documents().gone[table.column("row").to_numpy()]))
    if table is None:
        return
    table = table.filter(table.column("near_set").is_valid())
    if not table.num_rows:
        return
    keys = _keys_in(table.column("near_keys"))
    for band in range(BANDS):
        mine = np.ascontiguousarray(keys[:, band])
        columns = {
            "key": mine,
            "doc_id": shard.doc_ids(table.column("row").to_numpy()),
            "start": table.column("start"),
            "set": table.column("near_set"),
        }
        yield from split("near", columns, by_hash(mine, payload["partitions"]))


def link_sentences(inbox: Inbox, settings: dict[str, Any]) -> Iterator[Block]:
    """Hop: the buckets of some keys → links to where their anchors are asked about, linked sentences to where they are.

    Both go by (document, start), so that they meet.
    """
    table = inbox.table("near")
    if table is None:
        return
    doc_id, start = table.column("doc_id").to_numpy(), table.column("start").to_numpy()
    found = link_buckets(
        table.column("key").to_numpy(),
        doc_id,
        start,
        *_sets_in(table.column("set")),
        settings["threshold"],
        settings["first_new"],
    )
    partitions = settings["partitions"]
    linked = np.unique(found.member)
    columns = {"doc_id": doc_id[linked], "start": start[linked]}
    yield from split("linked", columns, _by_place(doc_id[linked], start[linked], partitions))
    asked = {
        "doc_id": doc_id[found.member],
        "start": start[found.member],
        "anchor_doc": doc_id[found.anchor],
        "anchor_start": start[found.anchor],
        "similarity": found.similarity,
    }
    yield from split("asked", asked, _by_place(asked["anchor_doc"], asked["anchor_start"], partitions))
    if found.capped:
        yield from split("capped", {"n": np.array([found.capped])}, np.zeros(1, np.int64))


def keep_unlinked_anchors(inbox: Inbox, settings: dict[str, Any]) -> Iterator[Block]:
    """Hop: the links whose anchor is linked to nothing, to their member's shard."""
    capped = inbox.table("capped")
    if capped is not None:
        yield from split("capped", {"n": capped.column("n")}, np.zeros(capped.num_rows, np.int64))
    asked, linked = inbox.table("asked"), inbox.table("linked")
    if asked is None:
        return
    if linked is not None:
        doc_id = np.concatenate([asked.column("anchor_doc").to_numpy(), linked.column("doc_id").to_numpy()])
        start = np.concatenate([asked.column("anchor_start").to_numpy(), linked.column("start").to_numpy()])
        group = _groups(doc_id, start)
        is_linked = np.zeros(int(group.max()) + 1, np.bool_)
        is_linked[group[asked.num_rows :]] = True
        asked = asked.filter(pa.array(~is_linked[group[: asked.num_rows]]))
    yield from _to_shards(asked, settings["writers"])


def _by_place(doc_id: Int64, start: Int32, partitions: int) -> npt.NDArray[np.uint16]:
    return by_id(doc_id * 1_000_003 + start, partitions)


def _groups(doc_id: Int64, start: Int32) -> Int64:
    """A number for the place of each row: equal places, equal numbers."""
    order = np.lexsort((start, doc_id))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (np.diff(doc_id[order]) != 0) | (np.diff(start[order]) != 0)
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(begins) - 1
    return group


def _to_shards(links: pa.Table, writers: int) -> Iterator[Block]:
    columns = {name: links.column(name) for name in _LINK}
    yield from split("links", columns, by_shard(links.column("doc_id").to_numpy(), writers))


# ------------------------------------------------------------------------------------------------- anchors that stay


def emit_questions(payload: dict[str, Any]) -> Iterator[Block]:
    """Source: the links of documents that stay, and the documents that near links have made fall."""
    shard = ShardSpans.of(payload)
    gone = shard.documents(payload["near"]).gone
    fallen = shard.doc_ids(np.flatnonzero(gone & ~shard.documents().gone).astype(np.int32))
    yield from split("fallen", {"doc_id": fallen}, by_id(fallen, payload["partitions"]))
    links = read_files(payload["near"])
    if links is not None:
        links = links.filter(pa.array(~gone[links.column("row").to_numpy()]))
        columns = {name: links.column(name) for name in _LINK}
        yield from split("asked", columns, by_id(links.column("anchor_doc").to_numpy(), payload["partitions"]))


def keep_anchors_that_stay(inbox: Inbox, settings: dict[str, Any]) -> Iterator[Block]:
    """Hop: the links whose anchor's document has not fallen."""
    asked, fallen = inbox.table("asked"), inbox.table("fallen")
    if asked is None:
        return
    if fallen is not None:
        lost = np.isin(asked.column("anchor_doc").to_numpy(), fallen.column("doc_id").to_numpy())
        asked = asked.filter(pa.array(~lost))
    yield from _to_shards(asked, settings["writers"])


def write_links(inbox: Inbox, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Last hop: the distinct links of each shard, in one file a shard; and ``{"capped": n}``."""
    capped = inbox.table("capped")
    if capped is not None:
        yield {"capped": int(capped.column("n").to_numpy().sum())}
    table = inbox.table("links")
    if table is None:
        return
    names = ("anchor_start", "anchor_doc", "start", "doc_id")
    table = table.take(pa.array(np.lexsort([table.column(n).to_numpy() for n in names])))
    new = np.ones(table.num_rows, np.bool_)
    new[1:] = np.any([np.diff(table.column(n).to_numpy()) != 0 for n in names], axis=0)
    table = table.filter(pa.array(new))
    doc_id = table.column("doc_id").to_numpy()
    table = table.add_column(0, "row", pa.array((doc_id & ids.MAX_ROW).astype(np.int32)))
    shards = (doc_id >> ids.ROW_BITS) & ids.MAX_SHARD
    bounds = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(shards)]
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        part, shard = table.slice(low, high - low).select(LINKS.names).cast(LINKS), int(shards[low])
        yield asdict(write_table(Path(settings["folder"]), f"links-{shard:06d}", part, kind="links", shard=shard))
