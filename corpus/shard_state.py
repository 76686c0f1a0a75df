"""The state of a document shard at a point of the chain of stages: the fold of all decisions before it.

The first decision that drops a document wins; edits accumulate. Cost: a few narrow Parquet reads a shard, some 2 ms
each; nothing is kept twice on disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import Manifest
from corpus.view import Edits
from tamis.kernels import kernel
from text.arrow import Int64
from text.hash import mix

U64 = np.uint64


@dataclass(frozen=True, slots=True)
class ShardState:
    """Which documents are alive, and what was cut from each; edits are of all rows, dead ones included."""

    alive: npt.NDArray[np.bool_]
    edits: Edits
    cut_sentences: Int64

    @classmethod
    def fresh(cls, rows: int) -> ShardState:
        """As ingested."""
        return cls(np.ones(rows, np.bool_), Edits.none(rows), np.zeros(rows, np.int64))

    def after(self, drops: pa.Table | None, edits: pa.Table | None) -> ShardState:
        """The state after one more decision."""
        alive, merged, cut_sentences = self.alive, self.edits, self.cut_sentences
        if drops is not None and drops.num_rows:
            alive = alive.copy()
            alive[drops.column("row").to_numpy()] = False
        if edits is not None and edits.num_rows:
            rows = edits.column("row").to_numpy()
            merged = merged.merged(
                rows, edits.column("start").to_numpy(), edits.column("end").to_numpy(), edits.column("replacement")
            )
            cut = np.where(edits.column("replacement").is_null().to_numpy(), edits.column("sentences").to_numpy(), 0)
            cut_sentences = cut_sentences + np.bincount(rows, cut, minlength=len(alive)).astype(np.int64)
        return ShardState(alive, merged, cut_sentences)

    def view_keys(self) -> Int64:
        """A number for each row that changes when its view does: int64[n_rows], 0 where nothing is edited."""
        edits = self.edits
        if not len(edits):
            return np.zeros(len(self.alive), np.int64)
        new = edits.replacement
        return _view_keys(edits.ptr, edits.start, edits.end, new.offsets, new.data)


def load_state(decisions: Iterable[Manifest], shard: int, rows: int) -> ShardState:
    """Folds decisions, in pipeline order, for one document shard of `rows` documents."""
    state = ShardState.fresh(rows)
    for decision in decisions:
        state = state.after(decision.read("drops", shard), decision.read("edits", shard))
    return state


@kernel
def _view_keys(ptr, start, end, new_offsets, new_data):  # type: ignore[no-untyped-def]
    """A hash of each row's edits, replacement texts included: a stage sees another text when one of them changes."""
    keys = np.zeros(len(ptr) - 1, np.int64)
    for row in range(len(ptr) - 1):
        h = U64(0)
        for e in range(ptr[row], ptr[row + 1]):
            h = mix(h ^ mix((U64(start[e]) << U64(32)) | U64(end[e])))
            for i in range(new_offsets[e], new_offsets[e + 1]):
                h = mix(h + U64(new_data[i]) + U64(1))
        keys[row] = np.int64(h)
    return keys
