"""The candidate graph: which documents share a set, which must be compared, which need no shingles at all.

Documents of one token sequence are *twins*: the least id represents them all, and alone was banded. What is left is a
graph of representatives. A component of one of them needs no verification, nor one of two whose edge the sketch
accepts; all others have their shingle sets read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.components import connected_components

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """What verification has to look at.

    Attributes:
        doc_id: int64[n], every document in a candidate edge, ascending.
        rep: int64[n], the id of its representative.
        component: int64[n], the least representative of its candidate component.
        wanted: bool[n], representatives whose shingle set is to be read.
        left: int64[m], ids of representatives, ``left < right``, distinct edges.
        right: int64[m].
        edge_component: int64[m].
    """

    doc_id: Int64
    rep: Int64
    component: Int64
    wanted: npt.NDArray[np.bool_]
    left: Int64
    right: Int64
    edge_component: Int64


def plan_verification(
    low: Int64, high: Int64, agree: npt.NDArray[np.int16], twin: Int64, twin_rep: Int64, accept: int
) -> Plan:
    """Plans the verification of candidate edges.

    Args:
        low: int64[m], ids of representatives; edges may repeat.
        high: int64[m].
        agree: int16[m], equal bits of the sketches.
        twin: int64[t], ids of documents that another one represents, distinct.
        twin_rep: int64[t], that one: never a twin itself.
        accept: equal bits from which a pair is accepted unseen.

    Cost: some sorts of the edges; 40 bytes an edge.
    """
    nodes = np.unique(np.concatenate([low, high, twin, twin_rep]))
    rep = nodes.copy()
    rep[np.searchsorted(nodes, twin)] = twin_rep
    left, right, bits = distinct_edges(low, high, agree)
    component = rep.copy()
    linked, root = connected_components(left, right)
    if len(linked):
        at = np.minimum(np.searchsorted(linked, rep), len(linked) - 1)
        component = np.where(linked[at] == rep, root[at], rep)
    edge_component = component[np.searchsorted(nodes, left)]
    own = rep == nodes
    names, inverse = np.unique(component, return_inverse=True)
    reps = np.bincount(inverse[own], minlength=len(names))
    sure = np.full(len(names), True)
    if len(left):
        sure[np.searchsorted(names, edge_component[bits < accept])] = False
    decided = (reps == 1) | ((reps == 2) & sure)
    return Plan(nodes, rep, component, own & ~decided[inverse], left, right, edge_component)


def distinct_edges(low: Int64, high: Int64, agree: npt.NDArray[np.int16]) -> tuple[Int64, Int64, npt.NDArray[np.int16]]:
    """Each edge once; the sketches of a pair agree alike wherever it was found."""
    order = np.lexsort((high, low))
    low, high, agree = low[order], high[order], agree[order]
    leads = np.ones(len(low), np.bool_)
    leads[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return low[leads], high[leads], agree[leads]
