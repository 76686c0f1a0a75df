"""The shared Spark session; see ``tests.engine.session``."""

from __future__ import annotations

from tests.engine.session import cluster, partitions

__all__ = ["cluster", "partitions"]
