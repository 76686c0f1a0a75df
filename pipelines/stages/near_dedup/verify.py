"""Verification and election: a task is given whole candidate components and says what stays of them.

    emit_members  ──▶ resolve_components ──▶ files by shard

Shuffled: each document in a candidate edge once (70 bytes), each edge once (36), each wanted set once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import ManifestRef
from pipelines.spark.blocks import Block, Inbox, by_id, by_shard, split
from pipelines.stages.near_dedup.tables import STAGE
from pipelines.stages.shard_task import ShardTask, read_own
from text.binary import as_numbers

EDGES = pa.schema(
    [
        pa.field("row", pa.int32()),
        pa.field("doc_id", pa.int64()),
        pa.field("other", pa.int64()),
        pa.field("similarity", pa.float32()),
        pa.field("method", pa.int8()),
    ]
)
"""Accepted edges.

`method` 1: the shingles told the similarity; 0: the sketch did (standard error 0.09·√(1 − J²)); 2: it is a cosine.
"""
COLUMNS = pa.schema(
    [
        pa.field("row", pa.int32()),
        pa.field("doc_id", pa.int64()),
        pa.field("component_id", pa.int64()),
        pa.field("component_size", pa.int32()),
        pa.field("near_copies", pa.int32()),
    ]
)
SET_BUDGET = 1 << 26
"""Hashes that the sets of one component may hold in a task (256 MiB); a larger one is sampled down."""
OUTLYING = "furthest_from_centroid"
"""The election's first criterion, where it is not quality."""
LEAST_SET = 256
"""Hashes below which no set is sampled: a standard error of 0.03 at J = 0.75."""


@dataclass(frozen=True)
class MemberTask:
    """A document shard with documents in candidate edges.

    Attributes:
        task: the shard.
        planned: tables `members` and `pairs`.
        sets: table `sets`.
        partitions: of the hop that resolves.
    """

    task: ShardTask
    planned: ManifestRef
    sets: ManifestRef | None
    partitions: int


@dataclass(frozen=True)
class Rules:
    """When two documents are the same, and which of them stays.

    Attributes:
        threshold: similarity from which two documents are the same.
        reject: equal bits of two sketches below which they are not.
        min_size_ratio: for containment: sets further apart in size are not the same; 0 for Jaccard.
        keep: the election's first criterion.
        writers: partitions of the hop that writes.
    """

    threshold: float
    reject: int
    min_size_ratio: float
    keep: str
    writers: int


def emit_members(job: MemberTask) -> Iterator[Block]:
    """Source: a shard's documents in candidate edges, their edges and their sets, by candidate component."""
    task = job.task
    members = read_own(job.planned, "members", task)
    if members is not None:
        component = members.column("component").to_numpy()
        yield from split("members", _described(task, members), by_id(component, job.partitions))
        sets = read_own(job.sets, "sets", task)
        if sets is not None:
            own = members.filter(members.column("wanted"))
            ids = own.column("doc_id").to_numpy()
            sets = sets.filter(pa.array(np.isin(sets.column("doc_id").to_numpy(), ids)))
            at = np.searchsorted(ids, sets.column("doc_id").to_numpy())
            of = own.column("component").to_numpy()[at]
            columns = {"doc_id": sets.column("doc_id"), "modulus": sets.column("modulus"), "component": of}
            yield from split("sets", {**columns, "hashes": _narrowed(sets.column("hashes"))}, by_id(of, job.partitions))
    pairs = read_own(job.planned, "pairs", task, ["doc_id", "other", "component", "meaning"])
    if pairs is not None:
        target = by_id(pairs.column("component").to_numpy(), job.partitions)
        yield from split("pairs", {n: pairs.column(n) for n in pairs.column_names}, target)


def _narrowed(sets: pa.ChunkedArray) -> pa.Array:
    """The sets as they are sent: 4 bytes a shingle."""
    from text.shingle import narrow

    ptr, wide = as_numbers(sets.cast(pa.large_binary()), np.uint64)
    hashes = pa.py_buffer(narrow(ptr, wide))
    return pa.Array.from_buffers(pa.large_binary(), len(sets), [None, pa.py_buffer(ptr * 4), hashes])


def _described(task: ShardTask, members: pa.Table) -> dict[str, Any]:
    """What the election wants to know of documents."""
    evidence = task.read_evidence(["row", "bytes", "sketch_low", "sketch_high"])
    assert evidence is not None
    rows = members.column("row").to_numpy()
    place = np.full(task.shard.rows, -1, np.int64)
    place[evidence.column("row").to_numpy()] = np.arange(evidence.num_rows)
    seen = evidence.take(pa.array(place[rows]))
    quality = task.column(rows, "sentence_quality", "quality", np.nan).astype(np.float32)
    copies = task.column(rows, "exact_dedup", "exact_copies", 1).astype(np.int32)
    distance = task.column(rows, "semantic_clusters", "centroid_distance", np.nan).astype(np.float32)
    names = members.column("doc_id").to_numpy()
    if task.earlier:  # its split was drawn by that name
        known = task.column(rows, STAGE, "component_id", -1)
        names = np.where(known < 0, names, known)
    return {
        **{name: members.column(name) for name in ("component", "doc_id", "rep")},
        "names": names,
        "quality": quality,
        "distance": distance,
        "copies": copies,
        "bytes": seen.column("bytes"),
        "sketch_low": seen.column("sketch_low"),
        "sketch_high": seen.column("sketch_high"),
        "final": np.full(len(rows), task.earlier),
    }


def resolve_components(inbox: Inbox, rules: Rules) -> Iterator[Block]:
    """Hop: whole candidate components → drops, columns and accepted edges, by shard."""
    from dedup.resolve import Members, resolve

    table = inbox.table("members")
    if table is None:
        return
    table = table.sort_by([("component", "ascending"), ("doc_id", "ascending")]).combine_chunks()
    component, doc_id = table.column("component").to_numpy(), table.column("doc_id").to_numpy()
    by_number = np.argsort(doc_id)

    def index_of(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = by_number[np.searchsorted(doc_id[by_number], ids)]
        return found

    sketch = np.stack([table.column(n).to_numpy() for n in ("sketch_low", "sketch_high")], axis=1).view(np.uint64)
    members = Members(
        component,
        doc_id,
        index_of(table.column("rep").to_numpy()),
        sketch,
        table.column("quality").to_numpy(),
        table.column("bytes").to_numpy().astype(np.int64),
        table.column("final").to_numpy(),
        table.column("distance").to_numpy() if rules.keep == OUTLYING else None,
    )
    sets = _opened(inbox.table("sets"), index_of, component)
    left, right, meaning = _ends(inbox.table("pairs"), index_of)
    collapsed = np.flatnonzero(members.rep != np.arange(len(doc_id)))
    left, right = np.concatenate([left, members.rep[collapsed]]), np.concatenate([right, collapsed])
    meaning = np.concatenate([meaning, np.full(len(collapsed), np.nan, np.float32)])
    found = resolve(members, sets, left, right, rules.threshold, rules.reject, rules.min_size_ratio, meaning)
    yield from _decisions(table, members, found, rules.writers)
    yield from _edges(members, found, left, right, rules.writers)


def _ends(
    pairs: pa.Table | None, index_of: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    if pairs is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    pairs = pairs.sort_by([("doc_id", "ascending"), ("other", "ascending")])
    left, right = (index_of(pairs.column(name).to_numpy()) for name in ("doc_id", "other"))
    return left, right, pairs.column("meaning").to_numpy()


def _opened(table: pa.Table | None, index_of: Any, component: npt.NDArray[np.int64]) -> Any:
    """The sets of the members; those of a giant component sampled down to `SET_BUDGET`."""
    from dedup.resolve import ShingleSets
    from dedup.verify import sampled

    of = np.full(len(component), -1, np.int64)
    if table is None:
        return ShingleSets(of, np.zeros(1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.int64))
    table = _by_document(table)
    place = index_of(table.column("doc_id").to_numpy())
    of[place] = np.arange(len(place))
    ptr, hashes = as_numbers(table.column("hashes"), np.uint32)
    names, inverse, members = np.unique(component[place], return_inverse=True, return_counts=True)
    total = np.bincount(inverse, weights=np.diff(ptr), minlength=len(names))
    limit = np.where(total > SET_BUDGET, np.maximum(LEAST_SET, SET_BUDGET // members), 1 << 62)
    return ShingleSets(of, *sampled(ptr, hashes, table.column("modulus").to_numpy(), limit[inverse]))


def _by_document(sets: pa.Table) -> pa.Table:
    """The sets in order, in one chunk under 64-bit offsets: together they may pass 2 GiB."""
    wide = sets.column("hashes").cast(pa.large_binary())
    return sets.set_column(sets.column_names.index("hashes"), "hashes", wide).sort_by("doc_id").combine_chunks()


def _decisions(table: pa.Table, members: Any, found: Any, writers: int) -> Iterator[Block]:
    """Drops of losers and columns of everybody in a verified component, but for earlier snapshots' documents.

    A component is named by its least document, or, where that is published, as it was named then: so near copies of
    later snapshots fall on the same side of the held-out split.
    """
    doc_id = members.doc_id
    own = np.arange(len(doc_id))
    lost = found.survivor != own
    drops = {
        "doc_id": doc_id[lost],
        "reason": np.where(found.by_meaning[lost], "semantic_duplicate", "near_duplicate"),
        "survivor": doc_id[found.survivor[lost]],
        "similarity": found.similarity[lost],
    }
    yield from split("drops", drops, by_shard(doc_id[lost], writers))
    copies = table.column("copies").to_numpy().astype(np.int64)
    near = np.bincount(found.survivor[lost], weights=copies[lost], minlength=len(doc_id)).astype(np.int32)
    united = found.component >= 0
    names, inverse = np.unique(found.component[united], return_inverse=True)
    sizes = np.bincount(inverse, minlength=len(names)).astype(np.int32)
    new = ~members.final[united]
    by_number = np.argsort(doc_id)
    leads = by_number[np.searchsorted(doc_id[by_number], found.component[united])]
    columns = {
        "doc_id": doc_id[united][new],
        "component_id": table.column("names").to_numpy()[leads][new],
        "component_size": sizes[inverse][new],
        "near_copies": near[united][new],
    }
    yield from split("columns", columns, by_shard(columns["doc_id"], writers))


def _edges(
    members: Any, found: Any, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], writers: int
) -> Iterator[Block]:
    """Accepted edges; each is written beside its lesser document, or the new one where the other is published.

    Where both are, as twins of different earlier snapshots may be, the edge is not this run's to tell.
    """
    holds = found.edge_holds & ~(members.final[left] & members.final[right])
    a, b = left[holds], right[holds]
    swap = members.final[a]
    doc_id, other = members.doc_id[np.where(swap, b, a)], members.doc_id[np.where(swap, a, b)]
    columns = {
        "doc_id": doc_id,
        "other": other,
        "similarity": found.edge_similarity[holds],
        "method": found.edge_method[holds],
    }
    yield from split("edges", columns, by_shard(doc_id, writers))
