"""fastText's hierarchical softmax: a Huffman tree over labels, and the search for the likeliest one.

A text's mean is multiplied with the vector of an inner node, which gives the probability of its second child; a label's
probability is the product along its path. So one label costs as many nodes as its depth (2 to 15 in lid.176), and the
likeliest one a search that skips branches which cannot hold it. Source: `loss.cc` of fastText 0.9.2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel


def build_tree(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The tree that fastText builds from label counts (which never rise), int32[n_labels - 1, 2]."""
    n = len(counts)
    total = np.full(2 * n - 1, 10**15, np.int64)
    total[:n] = counts
    children = np.zeros((n - 1, 2), np.int32)
    leaf, node = n - 1, n
    for parent in range(n, 2 * n - 1):
        for side in range(2):
            if leaf >= 0 and total[leaf] < total[node]:
                children[parent - n, side] = leaf
                leaf -= 1
            else:
                children[parent - n, side] = node
                node += 1
        total[parent] = total[children[parent - n]].sum()
    return children


def find_paths(children: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The way from the root to each leaf, int32[n_labels, depth]: 2 · inner node + side, then -1."""
    n = len(children) + 1
    ways: dict[int, list[int]] = {2 * n - 2: []}
    for node in range(2 * n - 2, n - 1, -1):
        way = ways.pop(node)
        for side in range(2):
            ways[int(children[node - n, side])] = [*way, 2 * (node - n) + side]
    paths = np.full((n, max(map(len, ways.values()))), -1, np.int32)
    for leaf, way in ways.items():
        paths[leaf, : len(way)] = way
    return paths


@kernel(inline="always")
def _goes_right(hidden, nodes, node):  # type: ignore[no-untyped-def]
    """The probability of the second child of an inner node."""
    f = np.float32(0.0)
    for k in range(len(hidden)):
        f += nodes[node, k] * hidden[k]
    return 1.0 / (1.0 + np.exp(-f))


@kernel
def best_leaf(hidden, nodes, children, allowed, stack, scores):  # type: ignore[no-untyped-def]
    """The most likely of the allowed leaves (bool[n_labels]) and its log probability.

    The likelier child goes first, and a branch that cannot win is not entered. 1e-5 is added before
    each logarithm, as fastText does.
    """
    n = len(children) + 1
    best = 0
    best_score = -np.inf
    stack[0] = 2 * n - 2
    scores[0] = 0.0
    height = 1
    while height > 0:
        height -= 1
        node = stack[height]
        score = scores[height]
        if score <= best_score:
            continue
        if node < n:
            if allowed[node]:
                best = node
                best_score = score
            continue
        f = _goes_right(hidden, nodes, node - n)
        likely = 1 if f > 0.5 else 0
        stack[height] = children[node - n, 1 - likely]
        scores[height] = score + np.log(min(f, 1.0 - f) + 1e-5)
        stack[height + 1] = children[node - n, likely]
        scores[height + 1] = score + np.log(max(f, 1.0 - f) + 1e-5)
        height += 2
    return best, best_score


@kernel
def leaf_score(hidden, nodes, path, floor):  # type: ignore[no-untyped-def]
    """The log probability of one leaf, as `best_leaf` finds it, from its row of `paths`; -inf under `floor`."""
    score = 0.0
    for step in path:
        if step < 0:
            break
        f = _goes_right(hidden, nodes, step >> 1)
        score += np.log((f if step & 1 else 1.0 - f) + 1e-5)
        if score < floor:
            return -np.inf
    return score
