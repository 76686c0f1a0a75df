"""Which member of a component stays, and for whom it stands.

A component is a set of documents joined by verified edges, but its ends need not be alike: A ≈ B ≈ C does not make A
≈ C. So the best member (quality, then length, then the earlier id) becomes a survivor, and takes out only those
members that
are themselves like it; the rest is elected from again, until none is left. No document is dropped for a
survivor that it does not resemble, and no two survivors of a component resemble each other.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from dedup.verify import jaccard_sorted


def elect(
    ptr: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], modulus: npt.NDArray[np.int64],
    quality: npt.NDArray[np.float32], length: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], threshold: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:  # fmt: skip
    """Elects the survivors of one component.

    Args:
        ptr: int64[n + 1], the members' shingle sets.
        hashes: uint64[ptr[-1]], ascending within a set.
        modulus: int64[n].
        quality: float32[n]; NaN counts as 0.5. Compared in hundredths, so that noise does not beat length.
        length: int64[n].
        ids: int64[n], distinct.
        threshold: Jaccard similarity from which a member is taken out.

    Returns:
        survivor: int64[n], the member number of each member's survivor (its own for a survivor);
        similarity: float32[n], to it (1 for a survivor).

    Cost: members times survivors merges of two sets.
    """
    rounded = np.round(np.nan_to_num(quality, nan=0.5) * 100).astype(np.int64)
    order = np.lexsort((ids, -length, -rounded))
    survivor, similarity = _elect(ptr, hashes, modulus, order, np.float32(threshold))
    return survivor, similarity


@nb.njit(cache=True)
def _elect(ptr, hashes, modulus, order, threshold):  # type: ignore[no-untyped-def]
    n = len(order)
    survivor = np.full(n, -1, np.int64)
    similarity = np.ones(n, np.float32)
    for i in range(n):
        best = order[i]
        if survivor[best] >= 0:
            continue
        survivor[best] = best
        for j in range(i + 1, n):
            other = order[j]
            if survivor[other] >= 0:
                continue
            found = jaccard_sorted(
                hashes[ptr[best] : ptr[best + 1]],
                hashes[ptr[other] : ptr[other + 1]],
                max(modulus[best], modulus[other]),
            )
            if found >= threshold:
                survivor[other] = best
                similarity[other] = found
    return survivor, similarity
