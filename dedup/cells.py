"""Inside a k-means cell: nearest neighbours, density, and semantic duplicates.

All pairs within a cell are compared, one block of rows at a time; cells exist to make that affordable. Equal vectors
(copies that exact dedup does not find, such as those with another spacing) are collapsed first, so that a template
seen a million times costs one row. The matrix product only proposes pairs, as the last bits of its cosines depend on
how a BLAS library splits the work; whether a pair reaches the threshold is decided by a sum in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.clusters import Backend, assign
from dedup.components import union_find
from dedup.vectors import Float32
from tamis.kernels import kernel

Int64 = npt.NDArray[np.int64]
NEIGHBOURS = 8
"""A document's density is its mean cosine to so many nearest neighbours."""
BLOCK_ROWS = 512
GROUP = 16
"""So many cosines of a row form a group; a group whose maximum is too small is skipped."""
SLACK = np.float32(1e-4)
"""Error that a cosine from the matrix product may have."""
MAX_LINKS = 64
"""Edges of a document to earlier ones, at most: the nearest are kept, and the document is reported as capped."""


@dataclass(frozen=True, slots=True)
class CellFacts:
    """What was found about the members of cells, in their order."""

    nearest: Float32  # [n], cosine to the nearest other member; NaN where a member is alone
    density: Float32  # [n], mean cosine to the `NEIGHBOURS` nearest; NaN where a member is alone
    component: Int64  # [n], index of the first member of the semantic component
    left: Int64  # [m], edges as indices of members, `left < right`
    right: Int64  # [m]
    cosine: Float32  # [m]
    capped: npt.NDArray[np.bool_]  # [n], members with more than `MAX_LINKS` edges to earlier ones


def compare(vectors: Float32, ptr: Int64, threshold: float) -> CellFacts:
    """Compares the members of each cell with one another. Two from a cosine of `threshold` on are semantic duplicates.

    `vectors` is float32[n, dim], unit rows in a deterministic order; cell c owns the rows `ptr[c]:ptr[c + 1]`.

    Cost: for a cell of m distinct vectors m² · dim multiplications, in BLAS.
    """
    nearest = np.full(len(vectors), np.nan, np.float32)
    density = np.full(len(vectors), np.nan, np.float32)
    left: list[Int64] = []
    right: list[Int64] = []
    cosine: list[Float32] = []
    capped = np.zeros(len(vectors), np.bool_)
    for low, high in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        if high - low < 2:
            continue
        own, first, of = _distinct(vectors[low:high])
        copies = np.flatnonzero(first[of] != np.arange(high - low))
        near, dense, a, b, c, full = _compared(own, np.bincount(of), threshold)
        nearest[low:high], density[low:high] = near[of], dense[of]
        left += [low + first[of][copies], low + first[a]]
        right += [low + copies, low + first[b]]
        cosine += [np.ones(len(copies), np.float32), c]
        capped[low + first[full]] = True
    ends = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in (left, right)]
    found = np.concatenate(cosine) if cosine else np.zeros(0, np.float32)
    low_end, high_end = np.minimum(*ends), np.maximum(*ends)
    order = np.lexsort((high_end, low_end))
    component = union_find(len(vectors), low_end, high_end)
    return CellFacts(nearest, density, component, low_end[order], high_end[order], found[order], capped)


def _distinct(vectors: Float32) -> tuple[Float32, Int64, Int64]:
    """The distinct rows in order of first occurrence, where that is, and which distinct row each row equals."""
    vectors = np.ascontiguousarray(vectors)
    keys = vectors.view(np.dtype((np.void, vectors.dtype.itemsize * vectors.shape[1])))[:, 0]
    _, first, of = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return vectors[first[order]], first[order].astype(np.int64), rank[of.reshape(-1)]


def _compared(
    vectors: Float32, copies: Int64, threshold: float
) -> tuple[Float32, Float32, Int64, Int64, Float32, npt.NDArray[np.bool_]]:
    n = len(vectors)
    best = np.full((n, NEIGHBOURS), -2, np.float32)
    lefts, rights, cosines = [], [], []
    capped = np.zeros(n, np.bool_)
    for start in range(0, n, BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS] @ vectors.T
        _nearest(block, vectors, start, copies, best)
        a, b, c = _edges(block, vectors, start, np.float32(threshold), SLACK, best, MAX_LINKS, capped)
        lefts.append(a)
        rights.append(b)
        cosines.append(c)
    found = best > -2
    counts = found.sum(axis=1)
    total = np.where(found, best, 0).sum(axis=1, dtype=np.float64)
    dense = np.where(counts > 0, total / np.maximum(counts, 1), np.nan).astype(np.float32)
    near = np.where(counts > 0, best[:, 0], np.nan).astype(np.float32)
    return (
        np.round(near, 4),
        np.round(dense, 4),
        np.concatenate(lefts),
        np.concatenate(rights),
        np.concatenate(cosines),
        capped,
    )


@kernel
def _nearest(block, vectors, start, copies, best):  # type: ignore[no-untyped-def]
    """Fills the k greatest cosines of each of the block's rows, in descending order.

    The columns form interleaved groups, whose maxima SIMD instructions find side by side. The (k + 1)-th greatest
    maximum is a lower bound of the k-th nearest neighbour, even if one maximum is the row's cosine to itself; groups
    below the bound are skipped. The cosines that are found are computed again by a sum in a fixed order.
    """
    n, k = block.shape[1], best.shape[1]
    groups = max(1, n // GROUP)
    greatest, top, bound = np.empty(groups, np.float32), np.empty(k, np.float32), np.empty(k + 1, np.float32)
    which = np.empty(k, np.int64)
    for r in range(block.shape[0]):
        i, row = start + r, block[r]
        _maxima(row, greatest)
        bound[:] = -2
        for g in range(groups):
            if greatest[g] > bound[k]:
                _insert(bound, greatest[g])
        floor = bound[k]
        top[:] = -2
        which[:] = -1
        own = min(copies[i] - 1, k)  # copies of the same vector are its nearest neighbours
        top[:own] = 3
        for g in range(groups):
            if greatest[g] >= floor:
                for j in range(g, n, groups):
                    c = row[j]
                    if c >= floor and c > top[k - 1] and j != i:
                        for _ in range(min(copies[j], k)):
                            _insert_with(top, which, c, j)
        top[:own] = 1
        for m in range(own, k):
            if which[m] >= 0:
                top[m] = _cosine(vectors, i, which[m]) if m == own or which[m] != which[m - 1] else top[m - 1]
        top.sort()
        best[i] = top[::-1]


@kernel
def _edges(block, vectors, start, threshold, slack, best, most, capped):  # type: ignore[no-untyped-def]
    """Edges from each row to earlier ones whose cosine reaches the threshold; if more than `most`, the nearest."""
    total = 64
    left, right, cosine = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.float32)
    at, floor = 0, threshold - slack
    for r in range(block.shape[0]):
        i = start + r
        if best[i, 0] < floor:
            continue
        begun = at
        for j in range(i):
            if block[r, j] < floor:
                continue
            found = _cosine(vectors, i, j)
            if found >= threshold:
                if at == total:
                    total *= 2
                    left, right, cosine = _grown(left, total), _grown(right, total), _grown32(cosine, total)
                left[at], right[at], cosine[at] = j, i, found
                at += 1
        if at - begun > most:
            capped[i] = True
            nearest = np.argsort(-cosine[begun:at], kind="mergesort")[:most]
            a, b, c = left[begun:at][nearest], right[begun:at][nearest], cosine[begun:at][nearest]
            at = begun + most
            left[begun:at], right[begun:at], cosine[begun:at] = a, b, c
    return left[:at], right[:at], cosine[:at]


@kernel
def _maxima(row, greatest):  # type: ignore[no-untyped-def]
    """The maximum of each group g, which holds the columns g, g + groups, g + 2·groups …"""
    groups = len(greatest)
    greatest[:] = row[:groups]
    for first in range(groups, len(row), groups):
        part = row[first : first + groups]
        for g in range(len(part)):
            greatest[g] = part[g] if part[g] > greatest[g] else greatest[g]


@kernel(inline="always")
def _insert(best, value):  # type: ignore[no-untyped-def]
    """Puts a value into a descending list of fixed length."""
    at = len(best) - 1
    if value <= best[at]:
        return
    while at > 0 and best[at - 1] < value:
        best[at] = best[at - 1]
        at -= 1
    best[at] = value


@kernel(inline="always")
def _insert_with(best, which, value, name):  # type: ignore[no-untyped-def]
    """As `_insert`, with the name that the value belongs to."""
    at = len(best) - 1
    if value <= best[at]:
        return
    while at > 0 and best[at - 1] < value:
        best[at], which[at] = best[at - 1], which[at - 1]
        at -= 1
    best[at], which[at] = value, name


@kernel(inline="always")
def _cosine(vectors, i, j):  # type: ignore[no-untyped-def]
    """The cosine of two unit rows, by a sum in a fixed order; at most 1."""
    total = 0.0
    for d in range(vectors.shape[1]):
        total += np.float64(vectors[i, d]) * np.float64(vectors[j, d])
    return min(np.float32(total), np.float32(1.0))


@kernel
def _grown(values, size):  # type: ignore[no-untyped-def]
    out = np.empty(size, np.int64)
    out[: len(values)] = values
    return out


@kernel
def _grown32(values, size):  # type: ignore[no-untyped-def]
    out = np.empty(size, np.float32)
    out[: len(values)] = values
    return out


def divide_giants(
    vectors: Float32, ptr: Int64, most: int, seed: int, backend: Backend
) -> tuple[Int64, Int64, npt.NDArray[np.bool_]]:
    """Divides cells, as for `compare`, of more than `most` distinct vectors: no comparison is quadratic in the corpus.

    Returns:
        int64[n], an order of the rows in which each part is contiguous; int64[n_parts + 1], the bounds of the parts in
        that order; bool[n_cells], which cells were divided.
    """
    part = np.zeros(len(vectors), np.int64)
    divided = np.zeros(len(ptr) - 1, np.bool_)
    for number, (low, high) in enumerate(zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True)):
        if high - low > most:
            own, _, of = _distinct(vectors[low:high])
            if len(own) > most:
                divided[number] = True
                part[low:high] = _parts(own, most, seed, backend)[of]
    cell = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    order = np.lexsort((part, cell))
    moved = (np.diff(cell[order]) != 0) | (np.diff(part[order]) != 0)
    bounds = np.concatenate(([0], np.flatnonzero(moved) + 1, [len(vectors)])) if len(vectors) else np.zeros(1, np.int64)
    return order, bounds.astype(np.int64), divided


def _parts(vectors: Float32, most: int, seed: int, backend: Backend, depth: int = 0) -> Int64:
    """The part of each distinct vector; what is still too large after three rounds of k-means is cut by position."""
    n = len(vectors)
    if n <= most:
        return np.zeros(n, np.int64)
    if depth == 3:
        return np.arange(n, dtype=np.int64) // most
    centroids = backend.kmeans(vectors, min(n, -(-2 * n // most)), seed + depth, 10)
    cell = assign(vectors, centroids, backend).cell.astype(np.int64)
    out, offset = np.zeros(n, np.int64), 0
    for c in np.unique(cell).tolist():
        members = np.flatnonzero(cell == c)
        inner = _parts(vectors[members], most, seed, backend, depth + 1)
        out[members] = offset + inner
        offset += int(inner.max()) + 1
    return out
