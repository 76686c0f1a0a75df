"""What each feature of a piece says for its being strange matter, in log odds: in pieces of letters, in those of Han.

Fitted by `benchmarks.filters.damage_weights` on pairs made of real texts: with and without page boilerplate, readers'
comments, banners and advertising, with and without a part of their own, damaged and whole. Features that damage raises
may not speak for a piece, so that no mark of it earns anything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class _Row(NamedTuple):
    """The weights of a feature: of itself, and of how far it is from the document's mean."""

    latin: float
    han: float
    latin_off: float = 0.0
    han_off: float = 0.0


FEATURES = {
    "bias": _Row(-1.32, -0.68),
    "line": _Row(-0.27, -0.37),
    "length": _Row(-0.24, -0.21, -0.26, -0.39),
    "unended": _Row(0.46, 0.06, -0.43, -0.01),
    "notices": _Row(0.43, 0.04, 0.2, 0.36),
    "remarks": _Row(0.54, 0.1, -0.12, 0.61),
    "persons": _Row(0.62, 0.46, 0.3, -0.01),
    "exclaims": _Row(0.24, 0.36, 0.11, 0.28),
    "numbers": _Row(0.59, 0.31, 0.15, 0.04),
    "low_start": _Row(0.18, 0.03, -0.18, 0.21),
    "capitals": _Row(0.15, -0.11, 0.53, -0.31),
    "grammar": _Row(0.22, 0.36, -0.24, -0.21),
    "clashes": _Row(1.02, 0.11, -0.21, 0.02),
    "known": _Row(-1.59, -1.37, -0.35, -0.82),
    "few_terms": _Row(-0.08, 0.15, -0.06, 0.03),
}
"""By name, in the order in which `filters.damage.grade.describe` writes them; the first two have no mean."""
OWN = len(FEATURES)
WEIGHTS = np.array(
    [[row[k] for row in FEATURES.values()] + [row[2 + k] for row in list(FEATURES.values())[2:]] for k in (0, 1)]
)
"""float64[2, 2 · OWN - 2]."""
