"""The shared Spark session; see `tests.engine.session`."""

from __future__ import annotations

from tests.e2e.story import story
from tests.engine.session import cluster, partitions

__all__ = ["cluster", "partitions", "story"]
