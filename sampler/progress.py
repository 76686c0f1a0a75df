"""What long work in the sampler and the trainer reports to."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as (what, done, total) by whatever takes more than a moment."""


def silent(what: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""
