"""The progress callback of long-running functions in the sampler and the trainer."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as (what, done, total)."""


def silent(what: str, done: int, total: int) -> None:
    """A callback that does nothing."""
