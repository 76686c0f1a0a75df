"""The exhaustive oracle as a matrix: the similarity of every pair of some thousands of documents, none left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tests.oracles.text import shingles

HOT = 40
"""Shingles with more holders are columns of a dense matrix; the rest are counted holder by holder."""


def similarity_matrix(documents: Sequence[str]) -> npt.NDArray[np.float32]:
    """float32[n, n]: the oracle's similarity of all pairs of texts; 8 n² bytes."""
    n = len(documents)
    sizes = np.zeros(n, np.float32)
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, text in enumerate(documents):
        mine = shingles(text)
        sizes[i] = len(mine)
        for shingle in mine:
            holders[shingle].append(i)
    hot = [np.array(h) for h in holders.values() if len(h) > HOT]
    dense = np.zeros((n, len(hot)), np.float32)
    for column, held in enumerate(hot):
        dense[held, column] = 1
    both = dense @ dense.T
    for held in holders.values():
        if 1 < len(held) <= HOT:
            both[np.ix_(held, held)] += 1
    np.fill_diagonal(both, sizes)
    return both / np.maximum(sizes[:, None] + sizes[None, :] - both, 1)
