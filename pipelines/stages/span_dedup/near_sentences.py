"""`span_dedup` with `near_sentences`: cuts sentences that are nearly the same as one that stays.

Sentences take part if the exact pass leaves them and their documents: no copies of repeated sentences but their owners,
none in a copy of a repeated paragraph. Sentences that earlier snapshots published can be anchors only.

    band keys ──▶ buckets: each sentence → its anchor ──▶ anchors without an anchor ──▶ links, by shard
    links ──▶ documents of which little is left ──▶ anchors whose document stays ──▶ cuts

The rule: in a bucket, by (document, offset), a sentence is linked to the first anchor that it is similar to (Jaccard
similarity of token 3-grams, counted in full), and becomes an anchor if there is none. It is cut if its anchor is not
linked to another anchor, in any bucket, and the anchor's document stays. So for each cut sentence a similar one is
published. Chains are not followed: where c is linked to b, and b to a, b is cut and c stays, unless c is linked to a.

A document is judged with near links counted as cuts; spans that it owned go to their next exact copy. If the document
of an anchor is dropped, nothing is cut for that anchor, and no other takes its place; a document that was dropped for
links to it stays dropped. All this happens once.

Shuffled: for each sentence six bands of 28 bytes and 4 a shingle: 6 · 100 = 600 bytes for a sentence of 20 tokens,
against 32 for its exact hash. Then 40 bytes a link, and 12 a linked sentence. Sentences that share a band key meet in
one task. Source: BaichuanSEED (arXiv 2408.15079); see `dedup.short_texts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import FileEntry, Manifest, commit_by_content
from dedup.short_texts import BANDS, ShortTexts, link_buckets
from pipelines.spark.blocks import Block, Inbox, NextHop, OutputFolder, by_hash, by_id, by_shard, split
from pipelines.spark.exchange import Hop
from pipelines.spark.shard_files import write_sorted_rows
from pipelines.stages.shard_task import Int32, Int64
from pipelines.stages.span_dedup.exchanges import SpanExchanges
from pipelines.stages.span_dedup.shard import SENTENCE, ShardSpans, SpanTask, places, published
from text.binary import as_numbers, whole

BAND_BYTES = 112
"""What a band of a sentence of some twenty tokens takes in the exchange."""
KEYS, SET = pa.binary(8 * BANDS), pa.large_binary()
LINKS = pa.schema(
    {
        "row": pa.int32(),
        "doc_id": pa.int64(),
        "start": pa.int32(),
        "anchor_doc": pa.int64(),
        "anchor_start": pa.int32(),
        "similarity": pa.float32(),
    }
)
"""Sentences and their anchors; those for which something was cut are committed with the decision, as table `links`."""
_LINK = ("doc_id", "start", "anchor_doc", "anchor_start", "similarity")


# ------------------------------------------------------------------------------------------------- evidence columns


def near_columns(found: ShortTexts, which: Int64, n: int) -> dict[str, pa.Array]:
    """Band keys and shingle sets as columns of n rows: those of `found` in the rows `which`, null elsewhere."""
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


def _band_keys(column: pa.ChunkedArray) -> Int64:
    """The band keys of n sentences, int64[n, BANDS]."""
    array = whole(column)
    keys = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, BANDS)
    return keys[array.offset : array.offset + len(array)]


# ------------------------------------------------------------------------------------------------------ in the driver


@dataclass(frozen=True)
class LinkRules:
    """The least similarity of a sentence and its anchor, this snapshot's first id, the partitions of the next hop."""

    threshold: float
    first_new: int
    partitions: int


@dataclass(frozen=True)
class Links:
    """A file of `LINKS`; or how many sentences were similar to no anchor of their bucket, which could have no more."""

    file: FileEntry | None = None
    capped: int = 0


def find_links(
    exchanges: SpanExchanges, jobs: Sequence[SpanTask], threshold: float, first_new: int
) -> tuple[Manifest, int]:
    """Links sentences to anchors that are not linked themselves: the first exchange.

    Returns table `links`, and `Links.capped` of all buckets.
    """
    partitions = exchanges.partitions(BANDS * BAND_BYTES)
    hops: list[Hop[Any, Block]] = [
        Hop(link_sentences, partitions, LinkRules(threshold, first_new, partitions)),
        Hop(keep_unlinked_anchors, partitions, NextHop(exchanges.writers)),
    ]
    return _run(exchanges, "near sentences", emit_near, jobs, hops)


def confirm_links(exchanges: SpanExchanges, jobs: Sequence[SpanTask]) -> Manifest:
    """Keeps the links whose anchor's document stays: the second exchange."""
    partitions = exchanges.partitions(40)
    hops = [Hop(keep_anchors_that_stay, partitions, NextHop(exchanges.writers))]
    return _run(exchanges, "near anchors", emit_questions, jobs, hops)[0]


def _run(
    exchanges: SpanExchanges,
    name: str,
    source: Callable[[SpanTask], Iterable[Block]],
    jobs: Sequence[SpanTask],
    hops: Sequence[Hop[Any, Block]],
) -> tuple[Manifest, int]:
    """Runs an exchange that ends in files of links: table `links`, and `Links.capped` of all buckets."""
    folder = exchanges.scratch / name.replace(" ", "_")
    last = Hop(write_links, exchanges.writers, OutputFolder(folder))
    tasks = [replace(job, partitions=hops[0].partitions) for job in jobs]
    answers = exchanges.cluster.exchange(source, tasks, hops, last, label=f"span_dedup: {name}")
    manifest = commit_by_content(folder, [a.file for a in answers if a.file is not None])
    return manifest, sum(a.capped for a in answers)


# ------------------------------------------------------------------------------------------------------ buckets, links


def emit_near(job: SpanTask) -> Iterator[Block]:
    """Source: one row for each band of a shard's sentences that take part."""
    shard = ShardSpans(job, ["near_keys", "near_set"])
    if shard.task.earlier:
        table = shard.level(SENTENCE)
        if table is not None:
            there, _ = published(table, SENTENCE, shard.task.state())
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
    keys = _band_keys(table.column("near_keys"))
    for band in range(BANDS):
        mine = np.ascontiguousarray(keys[:, band])
        columns = {
            "key": mine,
            "doc_id": shard.task.doc_ids(table.column("row").to_numpy()),
            "start": table.column("start"),
            "set": table.column("near_set"),
        }
        yield from split("near", columns, by_hash(mine, job.partitions))


def link_sentences(inbox: Inbox, rules: LinkRules) -> Iterator[Block]:
    """Hop: the buckets of some keys → links, and the places of linked sentences.

    Links are sent by the place of their anchor, so that they meet it where the anchor is linked itself. A place is
    (document, start).
    """
    table = inbox.table("near")
    if table is None:
        return
    doc_id, start = table.column("doc_id").to_numpy(), table.column("start").to_numpy()
    ptr, shingles = as_numbers(table.column("set"), np.uint32)
    found = link_buckets(
        table.column("key").to_numpy(), doc_id, start, ptr, shingles.copy(), rules.threshold, rules.first_new
    )
    partitions = rules.partitions
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


def keep_unlinked_anchors(inbox: Inbox, writers: NextHop) -> Iterator[Block]:
    """Hop: keeps links whose anchor is not linked itself; sends them to the shard of the linked sentence."""
    capped = inbox.table("capped")
    if capped is not None:
        yield from split("capped", {"n": capped.column("n")}, np.zeros(capped.num_rows, np.int64))
    asked, linked = inbox.table("asked"), inbox.table("linked")
    if asked is None:
        return
    if linked is not None:
        doc_id = np.concatenate([asked.column("anchor_doc").to_numpy(), linked.column("doc_id").to_numpy()])
        start = np.concatenate([asked.column("anchor_start").to_numpy(), linked.column("start").to_numpy()])
        group = _number_places(doc_id, start)
        is_linked = np.zeros(int(group.max()) + 1, np.bool_)
        is_linked[group[asked.num_rows :]] = True
        asked = asked.filter(pa.array(~is_linked[group[: asked.num_rows]]))
    yield from _send_to_shards(asked, writers.partitions)


def _by_place(doc_id: Int64, start: Int32, partitions: int) -> npt.NDArray[np.uint16]:
    """The partition of each place."""
    return by_id(doc_id * 1_000_003 + start, partitions)


def _number_places(doc_id: Int64, start: Int32) -> Int64:
    """A number for the place of each row; equal places have equal numbers."""
    order = np.lexsort((start, doc_id))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (np.diff(doc_id[order]) != 0) | (np.diff(start[order]) != 0)
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(begins) - 1
    return group


def _send_to_shards(links: pa.Table, writers: int) -> Iterator[Block]:
    """The links, by the shard of the linked sentence."""
    columns = {name: links.column(name) for name in _LINK}
    yield from split("links", columns, by_shard(links.column("doc_id").to_numpy(), writers))


# ------------------------------------------------------------------------------------------------- anchors that stay


def emit_questions(job: SpanTask) -> Iterator[Block]:
    """Source: the links of documents that stay, and the documents that are dropped because of near links."""
    shard = ShardSpans(job)
    links = shard.answers(job.links, "links")
    gone = shard.documents(links).gone
    fallen = shard.task.doc_ids(np.flatnonzero(gone & ~shard.documents().gone).astype(np.int32))
    yield from split("fallen", {"doc_id": fallen}, by_id(fallen, job.partitions))
    if links is not None:
        links = links.filter(pa.array(~gone[links.column("row").to_numpy()]))
        columns = {name: links.column(name) for name in _LINK}
        yield from split("asked", columns, by_id(links.column("anchor_doc").to_numpy(), job.partitions))


def keep_anchors_that_stay(inbox: Inbox, writers: NextHop) -> Iterator[Block]:
    """Hop: keeps links whose anchor's document is not among the dropped."""
    asked, fallen = inbox.table("asked"), inbox.table("fallen")
    if asked is None:
        return
    if fallen is not None:
        lost = np.isin(asked.column("anchor_doc").to_numpy(), fallen.column("doc_id").to_numpy())
        asked = asked.filter(pa.array(~lost))
    yield from _send_to_shards(asked, writers.partitions)


def write_links(inbox: Inbox, to: OutputFolder) -> Iterator[Links]:
    """Last hop: writes the distinct links, one file a shard; and adds up how many sentences were capped."""
    capped = inbox.table("capped")
    if capped is not None:
        yield Links(capped=int(capped.column("n").to_numpy().sum()))
    table = inbox.table("links")
    if table is None:
        return
    names = ("anchor_start", "anchor_doc", "start", "doc_id")
    table = table.take(pa.array(np.lexsort([table.column(n).to_numpy() for n in names])))
    new = np.ones(table.num_rows, np.bool_)
    new[1:] = np.any([np.diff(table.column(n).to_numpy()) != 0 for n in names], axis=0)
    for file in write_sorted_rows(table.filter(pa.array(new)), "links", LINKS, to.folder):
        yield Links(file)
