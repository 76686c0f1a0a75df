"""Verification and election: a task receives whole candidate components, verifies their edges, elects survivors.

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
from filters.damage.grade import PARTS
from pipelines.spark.blocks import Block, Inbox, by_id, by_shard, split
from pipelines.stages.near_dedup.elections import Reasons
from pipelines.stages.near_dedup.tables import STAGE
from pipelines.stages.shard_task import ShardTask, read_own
from text.binary import as_numbers

EDGES = pa.schema(
    {"row": pa.int32(), "doc_id": pa.int64(), "other": pa.int64(), "similarity": pa.float32(), "method": pa.int8()}
)
"""Accepted edges.

`method` says where `similarity` comes from: 1, counted from shingles; 0, estimated from sketches (standard error
0.09·√(1 − J²)); 2, the cosine of two embeddings.
"""
DISAGREEMENTS = pa.schema({"row": pa.int32(), "doc_id": pa.int64(), "other": pa.int64(), "similarity": pa.float32()})
"""Edges by meaning that are none, as their texts state other facts; `similarity` is the cosine."""
COLUMNS = pa.schema(
    {
        "row": pa.int32(),
        "doc_id": pa.int64(),
        "component_id": pa.int64(),
        "component_size": pa.int32(),
        "near_copies": pa.int32(),
    }
)
"""About each document of a verified component; `near_copies` are the raw documents dropped for it."""
SET_BUDGET = 1 << 26
"""Most hashes in the sets of one component (256 MiB); the sets of a larger one are sampled."""
BEST, LONGEST, OUTLYING = "best_quality", "longest", "furthest_from_centroid"
"""The values of the setting `keep`: what comes first in the election, before all else with the last two."""
_FOREMOST = {LONGEST: "bytes", OUTLYING: "distance"}
"""The column by which these go."""
LEAST_SET = 256
"""No set is sampled to fewer hashes: a standard error of 0.03 at J = 0.75."""


@dataclass(frozen=True)
class MemberTask:
    """A document shard with members in candidate edges: its tables `members`, `pairs`, `sets`, `merits`, `facts`."""

    task: ShardTask
    planned: ManifestRef
    sets: ManifestRef | None
    partitions: int
    merits: bool
    facts: bool
    priority: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """When two documents are near-duplicates, which of them survives, and the partitions of the hop that writes.

    `reject` is the least number of equal bits of their sketches; `min_size_ratio`, for containment, the least ratio of
    the sizes of their sets (0 for Jaccard); `keep` the first criterion of the election.
    """

    threshold: float
    reject: int
    min_size_ratio: float
    keep: str
    writers: int


def emit_members(job: MemberTask) -> Iterator[Block]:
    """Source: a shard's documents in candidate edges, these edges and the shingle sets, by candidate component."""
    task = job.task
    members = read_own(job.planned, "members", task)
    if members is not None:
        component = members.column("component").to_numpy()
        columns = {**_member_columns(task, members, job.priority), **_merit_columns(job, members)}
        yield from split("members", columns, by_id(component, job.partitions))
        facts = read_own(job.sets, "facts", task) if job.facts else None
        if facts is not None:
            own = members.filter(members.column("meant"))
            facts = facts.filter(pa.array(np.isin(facts.column("doc_id").to_numpy(), own.column("doc_id").to_numpy())))
            of = own.column("component").to_numpy()
            columns = {"doc_id": facts.column("doc_id"), "facts": facts.column("facts"), "component": of}
            yield from split("facts", columns, by_id(of, job.partitions))
        sets = read_own(job.sets, "sets", task)
        if sets is not None:
            own = members.filter(members.column("wanted"))
            ids = own.column("doc_id").to_numpy()
            sets = sets.filter(pa.array(np.isin(sets.column("doc_id").to_numpy(), ids)))
            at = np.searchsorted(ids, sets.column("doc_id").to_numpy())
            of = own.column("component").to_numpy()[at]
            columns = {name: sets.column(name) for name in ("doc_id", "modulus")}
            columns |= {"component": of, "hashes": _as_32_bits(sets.column("hashes"))}
            yield from split("sets", columns, by_id(of, job.partitions))
    pairs = read_own(job.planned, "pairs", task, ["doc_id", "other", "component", "meaning"])
    if pairs is not None:
        target = by_id(pairs.column("component").to_numpy(), job.partitions)
        yield from split("pairs", {n: pairs.column(n) for n in pairs.column_names}, target)


def _as_32_bits(sets: pa.ChunkedArray) -> pa.Array:
    """The sets with 4 bytes a shingle instead of 8, as they are sent."""
    from text.shingle import narrow

    ptr, wide = as_numbers(sets.cast(pa.large_binary()), np.uint64)
    hashes = pa.py_buffer(narrow(ptr, wide))
    return pa.Array.from_buffers(pa.large_binary(), len(sets), [None, pa.py_buffer(ptr * 4), hashes])


def _member_columns(task: ShardTask, members: pa.Table, priority: tuple[str, ...]) -> dict[str, Any]:
    """What verification and election need to know about documents."""
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
    if task.earlier:  # the name by which its split was drawn
        known = task.column(rows, STAGE, "component_id", -1)
        names = np.where(known < 0, names, known)
    return {
        **{name: members.column(name) for name in ("component", "doc_id", "rep")},
        "names": names,
        "priority": task.ranks(rows, priority),
        "quality": quality,
        "distance": distance,
        "copies": copies,
        "bytes": seen.column("bytes"),
        "sketch_low": seen.column("sketch_low"),
        "sketch_high": seen.column("sketch_high"),
        "final": np.full(len(rows), task.earlier),
    }


def _merit_columns(job: MemberTask, members: pa.Table) -> dict[str, Any]:
    """Tokens of documents, and what their merits are the sum of; zeros where `keep` does not ask for them."""
    found = read_own(job.sets, "merits", job.task) if job.merits else None
    if found is None:
        nothing = np.zeros(len(PARTS), np.int32).tobytes()
        return {"tokens": np.zeros(members.num_rows, np.int32), "parts": pa.array([nothing] * members.num_rows)}
    found = found.take(
        pa.array(np.searchsorted(found.column("doc_id").to_numpy(), members.column("doc_id").to_numpy()))
    )
    return {name: found.column(name) for name in ("tokens", "parts")}


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
        return by_number[np.searchsorted(doc_id[by_number], ids)]

    sketch = np.stack([table.column(n).to_numpy() for n in ("sketch_low", "sketch_high")], axis=1).view(np.uint64)
    parts = as_numbers(table.column("parts"), np.int32)[1].reshape(len(doc_id), len(PARTS))
    members = Members(
        component,
        doc_id,
        index_of(table.column("rep").to_numpy()),
        sketch,
        parts.sum(axis=1, dtype=np.int64),
        table.column("tokens").to_numpy().astype(np.int64),
        table.column("quality").to_numpy(),
        table.column("bytes").to_numpy().astype(np.int64),
        table.column("final").to_numpy(),
        priority=table.column("priority").to_numpy().astype(np.int64),
        foremost=table.column(_FOREMOST[rules.keep]).to_numpy() if rules.keep in _FOREMOST else None,
    )
    sets = _shingle_sets(inbox.table("sets"), index_of, component)
    left, right, meaning = _ends(inbox.table("pairs"), index_of)
    collapsed = np.flatnonzero(members.rep != np.arange(len(doc_id)))
    left, right = np.concatenate([left, members.rep[collapsed]]), np.concatenate([right, collapsed])
    meaning = np.concatenate([meaning, np.full(len(collapsed), np.nan, np.float32)])
    stated = inbox.table("facts")
    if stated is not None:
        unlike = _disagree(stated, index_of, left, right, meaning)
        yield from _disagreements(members, left[unlike], right[unlike], meaning[unlike], rules.writers)
        meaning = np.where(unlike, np.float32(np.nan), meaning)
        stay = ~unlike | ((sets.of[left] >= 0) & (sets.of[right] >= 0))  # shingles may yet say that they are the same
        left, right, meaning = left[stay], right[stay], meaning[stay]
    found = resolve(members, sets, left, right, rules.threshold, rules.reject, rules.min_size_ratio, meaning)
    yield from _drops_and_columns(table, members, found, rules.writers)
    yield from _edges(members, found, left, right, rules.writers)
    elections = Reasons(members, parts, rules.keep).elections(found)
    yield from split("elections", elections, by_shard(elections["doc_id"], rules.writers))


def _ends(
    pairs: pa.Table | None, index_of: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The edges between members: both ends as indices of members, and the cosine of semantic edges."""
    if pairs is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    pairs = pairs.sort_by([("doc_id", "ascending"), ("other", "ascending")])
    left, right = (index_of(pairs.column(name).to_numpy()) for name in ("doc_id", "other"))
    return left, right, pairs.column("meaning").to_numpy()


def _disagree(
    table: pa.Table,
    index_of: Any,
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    meaning: npt.NDArray[np.float32],
) -> npt.NDArray[np.bool_]:
    """Which edges are by meaning between texts that state other facts, bool[m]."""
    from dedup.facts import Facts, agree

    place = index_of(table.column("doc_id").to_numpy())
    order = np.argsort(place)
    ptr, hashes = as_numbers(table.column("facts").cast(pa.large_binary()), np.uint64)
    meant = np.flatnonzero(~np.isnan(meaning))
    ends = (order[np.searchsorted(place[order], side[meant])] for side in (left, right))
    unlike = np.zeros(len(left), np.bool_)
    unlike[meant] = ~agree(Facts(ptr, hashes), *ends)
    return unlike


def _disagreements(
    members: Any,
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    cosine: npt.NDArray[np.float32],
    writers: int,
) -> Iterator[Block]:
    """Edges by meaning that are none, each with the shard of its first document, or of the new one."""
    swap = members.final[left]
    doc_id, other = members.doc_id[np.where(swap, right, left)], members.doc_id[np.where(swap, left, right)]
    yield from split(
        "disagreements", {"doc_id": doc_id, "other": other, "similarity": cosine}, by_shard(doc_id, writers)
    )


def _shingle_sets(table: pa.Table | None, index_of: Any, component: npt.NDArray[np.int64]) -> Any:
    """The shingle sets of the members, sampled in components whose sets exceed `SET_BUDGET`."""
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
    """The sets sorted by document, in one chunk with 64-bit offsets, as together they may exceed 2 GiB."""
    wide = sets.column("hashes").cast(pa.large_binary())
    return sets.set_column(sets.column_names.index("hashes"), "hashes", wide).sort_by("doc_id").combine_chunks()


def _drops_and_columns(table: pa.Table, members: Any, found: Any, writers: int) -> Iterator[Block]:
    """Drops of the documents that lost, columns of all new documents in verified components.

    A component is named by its first document; if that is published, the component keeps the name it had then, so that
    near copies in later snapshots fall on the same side of the held-out split.
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
    """Accepted edges, each with the shard of its first document, or of the new one if the other is published.

    Edges between two published documents, such as twins in two earlier snapshots, are left out.
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
