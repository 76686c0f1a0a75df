"""Made-up embeddings that lie in clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def clustered_vectors(n: int, dim: int, cell: int) -> Float32:
    """Unit vectors around `n / cell` centres; every fiftieth is a near copy of the one before."""
    rng = np.random.default_rng(n)
    centres = rng.standard_normal((max(1, n // cell), dim)).astype(np.float32)
    found = centres[rng.integers(0, len(centres), n)] + rng.standard_normal((n, dim), np.float32) * np.float32(0.7)
    copies = np.arange(49, n, 50)
    found[copies] = found[copies - 1] + rng.standard_normal((len(copies), dim), np.float32) * np.float32(0.05)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
