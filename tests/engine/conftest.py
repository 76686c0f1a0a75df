"""The shared Spark session, and one finished run of the whole chain that several tests look into."""

from __future__ import annotations

from tests.engine.session import cluster, partitions
from tests.engine.small_run import finished, small_inputs

__all__ = ["cluster", "finished", "partitions", "small_inputs"]
