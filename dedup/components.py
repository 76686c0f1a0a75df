"""Connected components by union-find, for edges that fit in memory.

A component is named by its least id, so that the result depends neither on the order of the edges nor on their
direction. Larger edge sets go through star contraction in Spark (`pipelines.spark.components`), with the same result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel


def connected_components(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The components of a graph of edges, given by their two ends: int64[m] each.

    Returns:
        nodes: int64[n], ascending; component: int64[n], the least id in the node's component.

    Cost: one sort of the 2m ends, then near-linear; 16 bytes an edge and 16 a node.
    """
    nodes = np.unique(np.concatenate([left, right]))
    if not len(nodes):
        return nodes, nodes
    parent = union_find(len(nodes), np.searchsorted(nodes, left), np.searchsorted(nodes, right))
    return nodes, nodes[parent]


@kernel
def _find(parent, x):  # type: ignore[no-untyped-def]
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@kernel
def union_find(n, left, right):  # type: ignore[no-untyped-def]
    """The least node of each node's component: int64[n].

    Args:
        n: nodes, numbered from 0.
        left: int64[m], one end of each edge.
        right: int64[m], the other.
    """
    parent = np.arange(n)
    for e in range(len(left)):
        x, y = _find(parent, left[e]), _find(parent, right[e])
        if x < y:
            parent[y] = x
        elif y < x:
            parent[x] = y
    for x in range(n):
        parent[x] = _find(parent, x)
    return parent
