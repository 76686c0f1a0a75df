"""From candidate edges to survivors: verification, components and election over many components in one call.

Candidate components share nothing, so a task takes some of them whole: each document's shingle set travels once, not
once an edge, and every comparison that verification or election asks for is made where the sets lie.

Of twins, documents of one token sequence, one lends its set to the others. A pair without sets has been decided by its
sketch, and its similarity is the sketch's estimate (method `BY_SKETCH`). An edge by meaning has been decided by its
embeddings: it holds whatever the shingles say, and a survivor takes those that it has such an edge with, too. Without
sets it takes no others then: the sketches of a component by meaning have decided nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from dedup.banding import agreement
from dedup.components import union_find
from dedup.verify import containment_sorted, jaccard_sorted

Int64 = npt.NDArray[np.int64]
BY_SKETCH, BY_SHINGLES, BY_MEANING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Members:
    """The documents of some candidate components, sorted by (component, doc_id).

    Attributes:
        component: int64[n].
        doc_id: int64[n], distinct.
        rep: int64[n], index of the member whose set stands for this one (itself, or its first twin).
        sketch: uint64[n, 2].
        quality: float32[n]; NaN counts as 0.5. Compared in hundredths, so that noise does not beat length.
        length: int64[n], bytes.
        final: bool[n], published by an earlier snapshot: it survives whatever is found.
        outlying: float32[n], distance to the centroid, or None: with it the furthest of a component comes first
            (SemDeDup's rule), before quality. NaN counts as 0.
    """

    component: Int64
    doc_id: Int64
    rep: Int64
    sketch: npt.NDArray[np.uint64]
    quality: npt.NDArray[np.float32]
    length: Int64
    final: npt.NDArray[np.bool_]
    outlying: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Shingle sets of members, as `text.shingle.shingle_sets` makes them, whole or by `narrow`.

    Attributes:
        of: int64[n_members], the set's number, or -1.
        ptr: int64[n_sets + 1].
        hashes: uint64 or uint32[ptr[-1]], ascending within a set.
        modulus: int64[n_sets].
    """

    of: Int64
    ptr: Int64
    hashes: npt.NDArray[np.uint64] | npt.NDArray[np.uint32]
    modulus: Int64


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of the members.

    Attributes:
        component: int64[n], the least id of the member's verified component; -1 where it has no verified edge.
        survivor: int64[n], index of the member's survivor (its own for a survivor).
        similarity: float32[n], to it.
        edge_similarity: float32[m], of each candidate edge.
        edge_method: int8[m], `BY_SKETCH`, `BY_SHINGLES` or `BY_MEANING`.
        edge_holds: bool[m], whether the edge is accepted.
        by_meaning: bool[n], whether it is an edge by meaning alone that took the member.
    """

    component: Int64
    survivor: Int64
    similarity: npt.NDArray[np.float32]
    edge_similarity: npt.NDArray[np.float32]
    edge_method: npt.NDArray[np.int8]
    edge_holds: npt.NDArray[np.bool_]
    by_meaning: npt.NDArray[np.bool_]


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
    """Verifies edges, unites what holds, elects survivors.

    The best of a component (earlier snapshots first, then quality, length, the earlier id) takes out those that are
    themselves like it; the rest elects again until none is left. By containment the larger set comes first, then the
    longer text, then quality: what is contained goes, not what contains it.

    Args:
        members: see `Members`.
        sets: see `ShingleSets`.
        left: int64[m], member indices, one end of each candidate edge.
        right: int64[m], the other.
        threshold: similarity from which two documents are the same.
        reject: members with fewer equal bits are not compared in the election (`banding.sketch_bounds`).
        min_size_ratio: 0: similarity is Jaccard's. Above: it is containment, of sets whose sizes differ no more than
            that; every component then needs its sets.
        meaning: float32[m], the cosine of an edge by meaning, between representatives; NaN where there is none.

    Cost: a merge of two sets an edge, and one for each pair of member and survivor that the sketch cannot rule out.
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
    rounded = np.round(np.nan_to_num(members.quality, nan=0.5) * 100).astype(np.int64)
    merits: tuple[npt.NDArray[Any], ...] = (-members.length, -rounded)
    if min_size_ratio:
        merits = (-rounded, -members.length, -_set_sizes(members, sets))
    if members.outlying is not None:
        merits = (*merits, -np.nan_to_num(members.outlying, nan=0.0))
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
    return Resolved(component, survivor, found, similarity, method.astype(np.int8), holds, taken)


def _neighbours(
    n: int, left: Int64, right: Int64, cosine: npt.NDArray[np.float32]
) -> tuple[Int64, Int64, npt.NDArray[np.float32]]:
    """Edges by meaning from both of their ends: int64[n + 1], the other ends of each member's, their cosines."""
    ends = np.concatenate([left, right])
    order = np.argsort(ends, kind="stable")
    ptr = np.concatenate(([0], np.cumsum(np.bincount(ends, minlength=n)))).astype(np.int64)
    return ptr, np.concatenate([right, left])[order], np.concatenate([cosine, cosine])[order]


def _set_sizes(members: Members, sets: ShingleSets) -> Int64:
    """About how many shingles each member has, int64[n]; 0 without a set."""
    of = sets.of[members.rep]
    known = np.append(np.diff(sets.ptr) * sets.modulus, 0)
    return known[of]


def _of(sets: ShingleSets) -> tuple[Int64, Int64, npt.NDArray[Any], Int64]:
    return sets.of, sets.ptr, sets.hashes, sets.modulus


@nb.njit(cache=True)
def _similarity(rep, sketch, of, ptr, hashes, modulus, ratio, x, y):  # type: ignore[no-untyped-def]
    """Similarity of two members, and whether shingles told it."""
    if rep[x] == rep[y]:
        return np.float32(1.0), True
    a, b = of[rep[x]], of[rep[y]]
    if a < 0 or b < 0:
        return np.float32(agreement(sketch, x, sketch, y) / 64.0 - 1.0), False
    left, right, common = hashes[ptr[a] : ptr[a + 1]], hashes[ptr[b] : ptr[b + 1]], max(modulus[a], modulus[b])
    if ratio > 0:
        return containment_sorted(left, right, common, ratio), True
    return jaccard_sorted(left, right, common), True


@nb.njit(cache=True)
def _similarities(rep, sketch, of, ptr, hashes, modulus, ratio, left, right):  # type: ignore[no-untyped-def]
    out = np.empty(len(left), np.float32)
    method = np.empty(len(left), np.int8)
    for e in range(len(left)):
        out[e], by_shingles = _similarity(rep, sketch, of, ptr, hashes, modulus, ratio, left[e], right[e])
        method[e] = BY_SHINGLES if by_shingles else BY_SKETCH
    return out, method


@nb.njit(cache=True)
def _elect_groups(  # type: ignore[no-untyped-def]
    rep, sketch, of, ptr, hashes, modulus, ratio, final, order, starts, threshold, reject, near_ptr, near, cosine
):
    survivor = np.full(len(rep), -1, np.int64)
    similarity = np.ones(len(rep), np.float32)
    by_meaning = np.zeros(len(rep), np.bool_)
    meant = np.full(len(rep), -2, np.float32)  # to the survivor at hand
    for g in range(len(starts) - 1):
        for i in range(starts[g], starts[g + 1]):
            best = order[i]
            if survivor[best] >= 0:
                continue
            survivor[best] = best
            own = rep[best]
            sketched = near_ptr[own] == near_ptr[own + 1]  # no edge by meaning: a pair without sets is the sketch's
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
