"""The candidate graph: which documents share a shingle set, which must be compared, which need no sets at all.

Documents with the same token sequence are twins: the one with the least id represents them all, and only it was put
into bands. That leaves a graph of representatives. A component of one representative needs no verification, nor does
one of two whose edge the sketches accept; for all others the shingle sets are read. Semantic edges, which embeddings
have found and decided, join components too; a component that has only such edges needs no sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.components import connected_components

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
NO_MEANING = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
"""No semantic edges."""


@dataclass(frozen=True, slots=True)
class VerificationPlan:
    """What has to be verified."""

    doc_id: Int64  # [n], every document in a candidate edge, ascending
    rep: Int64  # [n], the id of its representative
    component: Int64  # [n], the least representative of its candidate component
    wanted: npt.NDArray[np.bool_]  # [n], representatives whose shingle set has to be read
    meant: npt.NDArray[np.bool_]  # [n], representatives that have a semantic edge
    left: Int64  # [m], one end of each distinct edge, the id of a representative; `left < right`
    right: Int64  # [m], the other
    edge_component: Int64  # [m], the component of each edge
    meaning: Float32  # [m], the cosine of a semantic edge; NaN for other edges


def plan_verification(
    low: Int64,
    high: Int64,
    agree: npt.NDArray[np.int16],
    twin: Int64,
    twin_rep: Int64,
    accept: int,
    meaning: tuple[Int64, Int64, Float32] = NO_MEANING,
) -> VerificationPlan:
    """Plans the verification of candidate edges.

    Args:
        low: int64[m], one end of each edge, the id of a representative; edges may repeat.
        high: int64[m], the other.
        agree: int16[m], equal bits of the sketches.
        twin: int64[t], distinct ids of documents that are represented by another.
        twin_rep: int64[t], the representative of each, never a twin itself.
        accept: equal bits from which a pair is accepted without reading its sets.
        meaning: semantic edges: two arrays of document ids, twins included, and their cosines.

    Cost: a few sorts of the edges; 40 bytes an edge.
    """
    named = _of_representatives(meaning, twin, twin_rep)
    nodes = np.unique(np.concatenate([low, high, twin, twin_rep, *named[:2]]))
    rep = nodes.copy()
    rep[np.searchsorted(nodes, twin)] = twin_rep
    left, right, bits, cosine = _joined(distinct_edges(low, high, agree), named)
    component = rep.copy()
    linked, root = connected_components(left, right)
    if len(linked):
        at = np.minimum(np.searchsorted(linked, rep), len(linked) - 1)
        component = np.where(linked[at] == rep, root[at], rep)
    edge_component = component[np.searchsorted(nodes, left)]
    own = rep == nodes
    names, inverse = np.unique(component, return_inverse=True)
    reps = np.bincount(inverse[own], minlength=len(names))
    sure, alike = np.full(len(names), True), np.zeros(len(names), np.bool_)
    if len(left):
        by_bands = bits >= 0
        sure[np.searchsorted(names, edge_component[by_bands & (bits < accept)])] = False
        alike[np.searchsorted(names, edge_component[by_bands])] = True
    decided = (reps == 1) | ((reps == 2) & sure) | ~alike
    if len(left):  # a pair that its sketches accept is a near-duplicate; its cosine no longer matters
        by_sketch = decided[np.searchsorted(names, edge_component)] & (bits >= accept)
        cosine = np.where(by_sketch, np.float32(np.nan), cosine)
    by_meaning = ~np.isnan(cosine)
    meant = np.isin(nodes, np.concatenate([left[by_meaning], right[by_meaning]]))
    return VerificationPlan(nodes, rep, component, own & ~decided[inverse], meant, left, right, edge_component, cosine)


def _of_representatives(meaning: tuple[Int64, Int64, Float32], twin: Int64, rep: Int64) -> tuple[Int64, Int64, Float32]:
    """Semantic edges between representatives, `low < high`; those among twins of one representative are dropped."""
    order = np.argsort(twin)
    twin, rep = twin[order], rep[order]

    def named(ids: Int64) -> Int64:
        if not len(twin):
            return ids
        at = np.minimum(np.searchsorted(twin, ids), len(twin) - 1)
        return np.where(twin[at] == ids, rep[at], ids)

    a, b = named(meaning[0]), named(meaning[1])
    own = a != b
    return np.minimum(a, b)[own], np.maximum(a, b)[own], meaning[2][own]


def _joined(
    edges: tuple[Int64, Int64, npt.NDArray[np.int16]], meant: tuple[Int64, Int64, Float32]
) -> tuple[Int64, Int64, npt.NDArray[np.int16], Float32]:
    """Each edge once, with its equal bits (-1 if no band found it) and its largest cosine (NaN if it has none)."""
    low, high = np.concatenate([edges[0], meant[0]]), np.concatenate([edges[1], meant[1]])
    bits = np.concatenate([edges[2], np.full(len(meant[0]), -1, np.int16)])
    cosine = np.concatenate([np.full(len(edges[0]), -2, np.float32), meant[2].astype(np.float32)])
    order = np.lexsort((high, low))
    low, high, bits, cosine = low[order], high[order], bits[order], cosine[order]
    if not len(low):
        return low, high, bits, cosine
    leads = np.flatnonzero(np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1])))
    bits, cosine = np.maximum.reduceat(bits, leads), np.maximum.reduceat(cosine, leads)
    return low[leads], high[leads], bits, np.where(cosine < -1, np.float32(np.nan), cosine)


def distinct_edges(low: Int64, high: Int64, agree: npt.NDArray[np.int16]) -> tuple[Int64, Int64, npt.NDArray[np.int16]]:
    """Each edge once; a pair has the same number of equal bits in every bucket that it was found in."""
    order = np.lexsort((high, low))
    low, high, agree = low[order], high[order], agree[order]
    leads = np.ones(len(low), np.bool_)
    leads[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return low[leads], high[leads], agree[leads]
