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
    """An open block."""

    shard: AnyBin
    base: int  # where `source` starts in the bin, in tokens
    pieces: Pieces  # the documents that the pass takes of it, in the pass's order
    prefix: Int64s  # [n + 1], tokens before each piece, counted from the block's beginning
    plan: PackingPlan | None  # how the pieces fill sequences; None under concat
    document_ends: Int64s  # [n], where in the bin the document of each of the plan's pieces ends
    fetch: Callable[[], npt.NDArray[Any]]  # reads the block's tokens

    @cached_property
    def source(self) -> npt.NDArray[Any]:
        """uint16|uint32[k], the block's tokens in the bin's order; read at the first access."""
        return self.fetch()
