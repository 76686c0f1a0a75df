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
    "bias": _Row(-1.0, -0.87),
    "line": _Row(-0.14, -0.09),
    "length": _Row(-0.19, -0.12, -0.36, -0.44),
    "unended": _Row(0.55, 0.09, -0.55, -0.09),
    "notices": _Row(0.37, 0.09, 0.14, 0.26),
    "remarks": _Row(0.48, 0.01, -0.2, 0.52),
    "persons": _Row(0.59, 0.58, 0.29, -0.28),
    "exclaims": _Row(0.17, 0.31, 0.07, 0.18),
    "numbers": _Row(0.81, -0.1, 0.02, 0.07),
    "low_start": _Row(0.0, 0.01, 0.0, 0.0),
    "capitals": _Row(0.57, 0.0, 0.43, -0.32),
    "grammar": _Row(0.09, 0.39, -0.18, -0.58),
    "clashes": _Row(0.83, 0.06, -0.29, 0.26),
    "known": _Row(-1.65, -1.07, -0.1, -1.14),
    "few_terms": _Row(-0.07, 0.14, -0.07, 0.04),
}
"""By name, in the order in which `filters.damage.grade.describe` writes them; the first two have no mean."""
OWN = len(FEATURES)
WEIGHTS = np.array(
    [[row[k] for row in FEATURES.values()] + [row[2 + k] for row in list(FEATURES.values())[2:]] for k in (0, 1)]
)
"""float64[2, 2 · OWN - 2]."""
