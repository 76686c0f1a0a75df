"""How many examples a property is tried on.

`make check` and `make test-room` take a part of them (`TAMIS_EXAMPLES=0.1`), `make test` and CI take all.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

SHARE = float(os.environ.get("TAMIS_EXAMPLES", "1"))
LEAST = 5
"""A tenth of a few examples would be none."""


def examples(most: int = 100, **options: Any) -> settings:
    """Hypothesis's settings of a test: up to so many examples, none of them timed.

    Args:
        most: examples where all are wanted.
        options: further settings.
    """
    return settings(max_examples=min(most, max(LEAST, round(most * SHARE))), deadline=None, **options)
