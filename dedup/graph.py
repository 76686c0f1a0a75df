"""The candidate graph: which documents share a set, which must be compared, which need no shingles at all.

Documents of one token sequence are twins: the least id represents them all, and alone was banded. What is left is a
graph of representatives. A component of one of them needs no verification, nor one of two whose edge the sketch
accepts; all others have their shingle sets read. Edges by meaning, which embeddings have found and decided, join
components; a component that has no others needs no shingles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.components import connected_components

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
NO_MEANING = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
"""No edges by meaning."""


@dataclass(frozen=True, slots=True)
class VerificationPlan:
    """What verification has to look at.

    Attributes:
        doc_id: int64[n], every document in a candidate edge, ascending.
        rep: int64[n], the id of its representative.
        component: int64[n], the least representative of its candidate component.
        wanted: bool[n], representatives whose shingle set is to be read.
        left: int64[m], ids of representatives, `left < right`, distinct edges.
        right: int64[m].
        edge_component: int64[m].
        meaning: float32[m], the cosine of an edge by meaning; NaN where there is none.
    """

    doc_id: Int64
    rep: Int64
    component: Int64
    wanted: npt.NDArray[np.bool_]
    left: Int64
    right: Int64
    edge_component: Int64
    meaning: Float32


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
        low: int64[m], ids of representatives; edges may repeat.
        high: int64[m].
        agree: int16[m], equal bits of the sketches.
        twin: int64[t], ids of documents that another one represents, distinct.
        twin_rep: int64[t], that one: never a twin itself.
        accept: equal bits from which a pair is accepted unseen.
        meaning: edges by meaning: ids of documents, twins among them, and their cosine.

    Cost: some sorts of the edges; 40 bytes an edge.
    """
    meant = _of_representatives(meaning, twin, twin_rep)
    nodes = np.unique(np.concatenate([low, high, twin, twin_rep, *meant[:2]]))
    rep = nodes.copy()
    rep[np.searchsorted(nodes, twin)] = twin_rep
    left, right, bits, cosine = _joined(distinct_edges(low, high, agree), meant)
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
    if len(left):  # a pair that its sketch has accepted is a near copy, whatever it means
        by_sketch = decided[np.searchsorted(names, edge_component)] & (bits >= accept)
        cosine = np.where(by_sketch, np.float32(np.nan), cosine)
    return VerificationPlan(nodes, rep, component, own & ~decided[inverse], left, right, edge_component, cosine)


def _of_representatives(meaning: tuple[Int64, Int64, Float32], twin: Int64, rep: Int64) -> tuple[Int64, Int64, Float32]:
    """Edges by meaning between representatives, `low < high`; those of twins with each other are gone."""
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
    """Each edge once: its equal bits, -1 where the bands did not find it, and the largest cosine, NaN without one."""
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
    """Each edge once; the sketches of a pair agree alike wherever it was found."""
    order = np.lexsort((high, low))
    low, high, agree = low[order], high[order], agree[order]
    leads = np.ones(len(low), np.bool_)
    leads[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return low[leads], high[leads], agree[leads]
