"""The digest of a stream: one sha256 a step, to compare runs, machines and world sizes.

It is the hash of the tokens of the global batch: all ranks' rows in rank order, as little-endian uint32, row-major.
Every rank's stream is really built, with caches of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from sampler.stream.mixture_stream import MixtureStream, RankStream


def step_digests(
    stream: MixtureStream, start: int, stop: int, global_batch: int, world_size: int = 1, position: int = 0
) -> Iterator[tuple[int, str]]:
    """Yield (step, hex sha256) for steps start…stop-1, of `global_batch` sequences; step 0 begins at the sample
    `position`. The digests are the same for every world size that divides the batch.

    Raises:
        ConfigError: the world size does not divide the batch.
    """
    ranks = [RankStream(stream.fork(), rank, world_size, global_batch, position) for rank in range(world_size)]
    for step in range(start, stop):
        hasher = hashlib.sha256()
        for rank in ranks:
            hasher.update(np.ascontiguousarray(rank.batch(step).tokens, "<u4").tobytes())
        yield step, hasher.hexdigest()
