"""A shuffle block that is open: the documents that a pass takes of it, and their tokens.

The reader of a domain (`sampler.stream.domain_reader`) opens it, the window (`sampler.stream.window`) copies from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy.typing as npt

from sampler.bins.format import AnyBin
from sampler.stream.packing import Int64s, PackingPlan, Pieces


@dataclass(frozen=True, kw_only=True)
class ShuffleBlock:
    """An open block.

    Attributes:
        shard: its bin.
        base: where `source` starts in the bin, in tokens.
        pieces: the documents that the pass takes of it, in the pass's order.
        prefix: int64[n + 1], tokens before each piece, counted from the block's beginning.
        plan: how the pieces fill sequences; None under concat.
        document_ends: int64[n], where in the bin the document of each of the plan's pieces ends.
        fetch: reads the block's tokens.
    """

    shard: AnyBin
    base: int
    pieces: Pieces
    prefix: Int64s
    plan: PackingPlan | None
    document_ends: Int64s
    fetch: Callable[[], npt.NDArray[Any]]

    @cached_property
    def source(self) -> npt.NDArray[Any]:
        """uint16|uint32[k], the block's tokens in the bin's order; read at the first access."""
        return self.fetch()
