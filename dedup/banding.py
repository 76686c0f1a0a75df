"""Bands and buckets: which pairs are worth verifying.

A signature is cut into ``bands`` of ``rows`` minima. Documents that agree in a whole band share a *bucket*; a pair of
similarity J shares at least one with probability 1 - (1 - J^rows)^bands.

Within a bucket not all pairs are candidates (n² of them), nor only those with its first member (a star, n - 1): in a
template's bucket the first member may be like none of the others, and a star would lose the true pairs among these.
Here a bucket grows several stars: each member is linked to the anchors that its sketch says it may be like, and
becomes an anchor itself unless one of them is clearly its like. So a bucket of copies gives n - 1 edges, and a bucket
of
unrelated texts gives few, since the sketch has sorted them out before anything is verified.

Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from dedup.minhash import _row_hashes

U64 = np.uint64
MAX_ANCHORS = 512
"""Anchors a bucket may grow; members beyond are linked to these alone, and counted as capped."""
MAX_LINKS = 8
"""Anchors a member is linked to, the likest first."""


def detection_probability(similarity: float, bands: int, rows: int) -> float:
    """The probability that a pair of this Jaccard similarity shares a bucket."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def band_keys(minima: npt.NDArray[np.uint32], bands: int, rows: int) -> npt.NDArray[np.int64]:
    """The bucket key of each document in each band.

    Args:
        minima: uint32[n_docs, k], k >= bands * rows.
        bands: bands.
        rows: minima in a band.

    Returns:
        int64[n_docs, bands]; a key tells its band as well.

    Raises:
        ValueError: the signature is too short.
    """
    if bands * rows > minima.shape[1]:
        raise ValueError(f"{bands} bands of {rows} rows need {bands * rows} permutations, found {minima.shape[1]}")
    return np.stack([_row_hashes(minima, b * rows, (b + 1) * rows) for b in range(bands)], axis=1)


def bucket_edges(
    keys: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], sketch: npt.NDArray[np.uint64],
    accept: float, clear: float, max_anchors: int = MAX_ANCHORS,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:  # fmt: skip
    """Candidate edges of whole buckets.

    Args:
        keys: int64[n], sorted.
        ids: int64[n], ascending within a key.
        sketch: uint64[n, 2].
        accept: sketch similarity from which a member is linked to an anchor.
        clear: sketch similarity from which a member needs no star of its own.
        max_anchors: anchors a bucket may grow.

    Returns:
        low, high: int64[m], the edges, ``low < high``, repeats possible over buckets; capped: int64[c], ids of members
        that found no like anchor when no more were allowed.

    Cost: n times the anchors of a bucket, two popcounts each.
    """
    low, high, capped = _bucket_edges(keys, ids, sketch, accept, clear, max_anchors, MAX_LINKS)
    return low, high, capped


@nb.njit(cache=True)
def _popcount(x):  # type: ignore[no-untyped-def]
    x = x - ((x >> U64(1)) & U64(0x5555555555555555))
    x = (x & U64(0x3333333333333333)) + ((x >> U64(2)) & U64(0x3333333333333333))
    x = (x + (x >> U64(4))) & U64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * U64(0x0101010101010101)) >> U64(56))


@nb.njit(cache=True)
def _bucket_edges(keys, ids, sketch, accept, clear, max_anchors, max_links):  # type: ignore[no-untyped-def]
    low = nb.typed.List.empty_list(nb.int64)
    high = nb.typed.List.empty_list(nb.int64)
    capped = nb.typed.List.empty_list(nb.int64)
    anchors = np.empty(max_anchors, np.int64)
    likeness = np.empty(max_anchors, np.float64)
    begin = 0
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        n_anchors = 0
        for i in range(begin, end):
            if end - begin == 1:
                break
            best = 0.0
            for a in range(n_anchors):
                j = anchors[a]
                differ = _popcount(sketch[i, 0] ^ sketch[j, 0]) + _popcount(sketch[i, 1] ^ sketch[j, 1])
                likeness[a] = 1.0 - 2.0 * differ / 128.0
                best = max(best, likeness[a])
            linked = 0
            floor = accept
            if best >= clear:
                floor = best  # one link is enough: to the likest
            while linked < max_links:
                chosen = -1
                for a in range(n_anchors):
                    if likeness[a] >= floor and (chosen < 0 or likeness[a] > likeness[chosen]):
                        chosen = a
                if chosen < 0:
                    break
                low.append(ids[anchors[chosen]])
                high.append(ids[i])
                likeness[chosen] = -2.0
                linked += 1
                if best >= clear:
                    break
            if best < clear:
                if n_anchors < max_anchors:
                    anchors[n_anchors] = i
                    n_anchors += 1
                elif linked == 0:
                    capped.append(ids[i])
        begin = end
    return _to_array(low), _to_array(high), _to_array(capped)


@nb.njit(cache=True)
def _to_array(values):  # type: ignore[no-untyped-def]
    out = np.empty(len(values), np.int64)
    for i in range(len(values)):
        out[i] = values[i]
    return out
