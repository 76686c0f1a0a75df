"""Exact overlap of shingle sets: what makes a candidate a duplicate."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel


@kernel
def jaccard_sorted(a, b, modulus):  # type: ignore[no-untyped-def]
    """Jaccard similarity of two ascending uint64 sets, counting only hashes that `modulus` divides."""
    both, only_a, only_b = _counts(a, b, modulus)
    either = both + only_a + only_b
    return np.float32(both / either) if either else np.float32(0.0)


@kernel
def containment_sorted(a, b, modulus, min_size_ratio):  # type: ignore[no-untyped-def]
    """Share of the smaller set that is in the larger one; 0 where smaller / larger size is below the ratio."""
    both, only_a, only_b = _counts(a, b, modulus)
    smaller, larger = both + min(only_a, only_b), both + max(only_a, only_b)
    if smaller == 0 or np.float32(smaller / larger) < np.float32(min_size_ratio):
        return np.float32(0.0)
    return np.float32(both / smaller)


@kernel
def _counts(a, b, modulus):  # type: ignore[no-untyped-def]
    """How many hashes are in both sets, in the first alone, in the second alone."""
    m = np.uint64(modulus)
    i, j, both, only_a, only_b = 0, 0, 0, 0, 0
    while i < len(a) or j < len(b):
        if j == len(b) or (i < len(a) and a[i] < b[j]):
            only_a += 1 if m == 1 or a[i] % m == 0 else 0
            i += 1
        elif i == len(a) or b[j] < a[i]:
            only_b += 1 if m == 1 or b[j] % m == 0 else 0
            j += 1
        else:
            both += 1 if m == 1 or a[i] % m == 0 else 0
            i += 1
            j += 1
    return both, only_a, only_b


def sampled(
    ptr: npt.NDArray[np.int64], hashes: npt.NDArray[Any], modulus: npt.NDArray[np.int64], limit: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Sets sampled down to a limit each (int64[n]), as in `text.shingle.shingle_sets`: only hashes that a modulus
    divides stay. Moduli are powers of two; hashes (uint64 or uint32[ptr[-1]]) ascend within a set.

    Returns:
        ptr, hashes, modulus of the samples; the arguments themselves where no set is too large.
    """
    if (np.diff(ptr) <= limit).all():
        return ptr, hashes, modulus
    return _sampled(ptr, hashes, modulus, limit)  # type: ignore[no-any-return]


@kernel
def _sampled(ptr, hashes, modulus, limit):  # type: ignore[no-untyped-def]
    out = np.empty_like(hashes)
    new_ptr = np.zeros_like(ptr)
    new_modulus = modulus.copy()
    at = 0
    for i in range(len(modulus)):
        m = np.uint64(modulus[i])
        kept = ptr[i + 1] - ptr[i]
        while kept > limit[i]:
            m *= np.uint64(2)
            kept = 0
            for k in range(ptr[i], ptr[i + 1]):
                kept += 1 if hashes[k] % m == 0 else 0
        for k in range(ptr[i], ptr[i + 1]):
            if hashes[k] % m == 0:
                out[at] = hashes[k]
                at += 1
        new_ptr[i + 1] = at
        new_modulus[i] = np.int64(m)
    return new_ptr, out[:at].copy(), new_modulus
