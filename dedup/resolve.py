"""From candidate edges to survivors: verification, components and election over many components in one call.

Candidate components share no documents, so a task takes whole components: each document's shingle set travels once,
not once an edge, and all comparisons of verification and election run where the sets are.

Twins (documents with the same token sequence) share one set, that of their representative. There are two kinds of
edges:

- An edge found by MinHash is verified on the shingle sets (`BY_SHINGLES`). Where the sketches had already decided it,
  no sets were read, and the similarity is the sketches' estimate (`BY_SKETCH`).
- A semantic edge was decided by the cosine of two embeddings (`BY_MEANING`). It holds even if the shingle sets differ
  (edges whose texts state other facts were taken out before), and in the election the survivor also removes the
  documents that it has a semantic edge with. Where a component has semantic edges, sketches decide nothing in it: a
  document whose shingle set was not read is removed only by a semantic edge to the survivor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.banding import agreement
from dedup.components import union_find
from dedup.verify import containment_sorted, jaccard_sorted
from tamis.kernels import kernel

Int64 = npt.NDArray[np.int64]
BY_SKETCH, BY_SHINGLES, BY_MEANING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Members:
    """The documents of some candidate components, sorted by (component, doc_id)."""

    component: Int64  # [n]
    doc_id: Int64  # [n], distinct
    rep: Int64  # [n], index of the representative, whose set is used (the member itself, or its first twin)
    sketch: npt.NDArray[np.uint64]  # [n, 2]
    merit: Int64  # [n], what the text says for itself, in hundredths of a token; see `worths`
    tokens: Int64  # [n]
    quality: npt.NDArray[np.float32]  # [n], 0 to 1, or NaN
    length: Int64  # [n], bytes
    final: npt.NDArray[np.bool_]  # [n], published by an earlier snapshot: it always survives
    priority: Int64 | None = None  # [n], the least is preferred among equals; None for none
    # [n], a criterion that comes before all others, the greatest being preferred: the distance to the centroid
    # (SemDeDup's rule), or the length. None for none.
    foremost: npt.NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Shingle sets of members, as `text.shingle.shingle_sets` makes them, in 64 bits or shortened by `narrow`."""

    of: Int64  # [n_members], the number of each member's set, or -1
    ptr: Int64  # [n_sets + 1]
    hashes: npt.NDArray[np.uint64] | npt.NDArray[np.uint32]  # [ptr[-1]], ascending within a set
    modulus: Int64  # [n_sets]


@dataclass(frozen=True, slots=True)
class Resolved:
    """The outcome for members and edges."""

    component: Int64  # [n], the least id of the member's verified component; -1 where it has no verified edge
    survivor: Int64  # [n], index of the member's survivor (its own for a survivor)
    similarity: npt.NDArray[np.float32]  # [n], to the survivor
    edge_similarity: npt.NDArray[np.float32]  # [m], of each candidate edge
    edge_method: npt.NDArray[np.int8]  # [m], `BY_SKETCH`, `BY_SHINGLES` or `BY_MEANING`
    edge_holds: npt.NDArray[np.bool_]  # [m], whether the edge is accepted
    by_meaning: npt.NDArray[np.bool_]  # [n], whether the member was removed because of a semantic edge alone
    by_quality: Int64  # [n], what the quality of each member adds to its merit, in hundredths of a token


def resolve(
    members: Members,
    sets: ShingleSets,
    left: Int64,
    right: Int64,
    threshold: float,
    reject: int,
    min_size_ratio: float = 0.0,
    meaning: npt.NDArray[np.float32] | None = None,
) -> Resolved:
    """Verifies edges, builds components from those that hold, elects survivors.

    The best member of a component survives and removes the members that are similar to it directly; the rest elects
    again until none is left. Best is what an earlier snapshot has published; then what has the greatest merit, its
    quality counted in; then what says it in the fewest bytes; then priority, then the lower id.

    Args:
        members: see `Members`.
        sets: see `ShingleSets`.
        left: int64[m], member indices, one end of each candidate edge.
        right: int64[m], the other.
        threshold: similarity from which two documents are the same.
        reject: pairs with fewer equal sketch bits are not compared in the election (`banding.sketch_bounds`).
        min_size_ratio: 0: similarity is Jaccard. Above 0: similarity is containment, and counts as 0 where the smaller
            set has less than this share of the larger set's size; every component then needs its sets.
        meaning: float32[m], the cosine of a semantic edge, between representatives; NaN for other edges.

    Cost: one merge of two sets for each edge, and for each pair of member and survivor that sketches cannot rule out.
    """
    low, ratio = np.float32(threshold), np.float32(min_size_ratio)
    similarity, method = _similarities(members.rep, members.sketch, *_of(sets), ratio, left, right)
    meaning = np.full(len(left), np.nan, np.float32) if meaning is None else meaning
    meant = ~np.isnan(meaning)
    holds = meant | (similarity >= low)
    by_meaning = meant & ((similarity < low) | (method == BY_SKETCH))
    similarity, method = np.where(by_meaning, meaning, similarity), np.where(by_meaning, BY_MEANING, method)
    parent = union_find(
        len(members.doc_id),
        np.concatenate([left[holds], np.arange(len(members.rep))]),
        np.concatenate([right[holds], members.rep]),
    )
    by_quality = _by_quality(members, parent)
    merits: list[npt.NDArray[Any]] = [members.length, -(members.merit + by_quality)]
    if members.priority is not None:
        merits.insert(0, members.priority)
    if members.foremost is not None:
        merits.append(-np.nan_to_num(members.foremost, nan=0.0))
    order = np.lexsort((members.doc_id, *merits, ~members.final, parent))
    starts = np.flatnonzero(np.diff(parent[order], prepend=-1)) if len(order) else np.zeros(0, np.int64)
    survivor, found, taken = _elect_groups(
        members.rep,
        members.sketch,
        *_of(sets),
        ratio,
        members.final,
        order,
        np.append(starts, len(order)),
        low,
        reject,
        *_neighbours(len(members.rep), left[meant], right[meant], meaning[meant]),
    )
    sizes = np.bincount(parent, minlength=len(parent))[parent] if len(parent) else parent
    component = np.where(sizes > 1, members.doc_id[parent], -1) if len(parent) else parent
    return Resolved(component, survivor, found, similarity, method.astype(np.int8), holds, taken, by_quality)


def _neighbours(
    n: int, left: Int64, right: Int64, cosine: npt.NDArray[np.float32]
) -> tuple[Int64, Int64, npt.NDArray[np.float32]]:
    """Semantic edges as adjacency lists: ptr int64[n + 1], the neighbours of each member, the cosines."""
    ends = np.concatenate([left, right])
    order = np.argsort(ends, kind="stable")
    ptr = np.concatenate(([0], np.cumsum(np.bincount(ends, minlength=n)))).astype(np.int64)
    return ptr, np.concatenate([right, left])[order], np.concatenate([cosine, cosine])[order]


def _by_quality(members: Members, component: Int64) -> Int64:
    """What quality adds to merit, int64[n]: half a token for each token, times the quality in hundredths.

    The mean quality of two copies differs by a few hundredths of noise, which so weighs less than a sentence more or
    less. Where one member of a component has none, it says nothing about the others either.
    """
    unknown = np.bincount(component, np.isnan(members.quality), len(component)) > 0
    hundredths = np.round(np.nan_to_num(members.quality) * 100).astype(np.int64)
    return np.where(unknown[component], 0, members.tokens * hundredths // 2)


def _of(sets: ShingleSets) -> tuple[Int64, Int64, npt.NDArray[Any], Int64]:
    return sets.of, sets.ptr, sets.hashes, sets.modulus


@kernel
def _similarity(rep, sketch, of, ptr, hashes, modulus, ratio, x, y):  # type: ignore[no-untyped-def]
    """Similarity of two members, and whether it comes from shingle sets, not from sketches."""
    if rep[x] == rep[y]:
        return np.float32(1.0), True
    a, b = of[rep[x]], of[rep[y]]
    if a < 0 or b < 0:
        return np.float32(agreement(sketch, x, sketch, y) / 64.0 - 1.0), False
    left, right, common = hashes[ptr[a] : ptr[a + 1]], hashes[ptr[b] : ptr[b + 1]], max(modulus[a], modulus[b])
    if ratio > 0:
        return containment_sorted(left, right, common, ratio), True
    return jaccard_sorted(left, right, common), True


@kernel
def _similarities(rep, sketch, of, ptr, hashes, modulus, ratio, left, right):  # type: ignore[no-untyped-def]
    out = np.empty(len(left), np.float32)
    method = np.empty(len(left), np.int8)
    for e in range(len(left)):
        out[e], by_shingles = _similarity(rep, sketch, of, ptr, hashes, modulus, ratio, left[e], right[e])
        method[e] = BY_SHINGLES if by_shingles else BY_SKETCH
    return out, method


@kernel
def _elect_groups(  # type: ignore[no-untyped-def]
    rep, sketch, of, ptr, hashes, modulus, ratio, final, order, starts, threshold, reject, near_ptr, near, cosine
):
    survivor = np.full(len(rep), -1, np.int64)
    similarity = np.ones(len(rep), np.float32)
    by_meaning = np.zeros(len(rep), np.bool_)
    meant = np.full(len(rep), -2, np.float32)  # cosine of a semantic edge to the current survivor
    for g in range(len(starts) - 1):
        for i in range(starts[g], starts[g + 1]):
            best = order[i]
            if survivor[best] >= 0:
                continue
            survivor[best] = best
            own = rep[best]
            sketched = near_ptr[own] == near_ptr[own + 1]  # no semantic edges: without sets the sketches decide
            for e in range(near_ptr[own], near_ptr[own + 1]):
                meant[near[e]] = cosine[e]
            for j in range(i + 1, starts[g + 1]):
                other = order[j]
                if survivor[other] >= 0 or final[other]:
                    continue
                says = meant[rep[other]]
                found, by_shingles = np.float32(-1), False
                if agreement(sketch, best, sketch, other) >= reject:
                    found, by_shingles = _similarity(rep, sketch, of, ptr, hashes, modulus, ratio, best, other)
                if found >= threshold and (by_shingles or sketched):
                    survivor[other] = best
                    similarity[other] = found
                elif says >= -1:
                    survivor[other] = best
                    similarity[other] = says
                    by_meaning[other] = True
            for e in range(near_ptr[own], near_ptr[own + 1]):
                meant[near[e]] = -2
    return survivor, similarity, by_meaning
