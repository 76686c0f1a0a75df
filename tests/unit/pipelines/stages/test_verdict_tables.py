"""Drops and edits as tables: what a stage need not say is filled in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from corpus.schemas import DROPS, EDITS
from pipelines.stages.base import drops_table, edits_table


def test_one_reason_holds_for_all_drops() -> None:
    """As does one for each; ids count from the shard's first."""
    rows = np.array([2, 5], np.int32)
    table = drops_table(rows, 100, "bad")
    assert table.schema == DROPS
    assert table.to_pydict() == {
        "row": [2, 5],
        "doc_id": [102, 105],
        "reason": ["bad", "bad"],
        "survivor": [None, None],
        "similarity": [None, None],
    }
    assert drops_table(rows, 100, ["bad", "worse"])["reason"].to_pylist() == ["bad", "worse"]
    assert drops_table(rows, 100, pa.array(["bad", "worse"]))["reason"].to_pylist() == ["bad", "worse"]
    assert drops_table(rows[:0], 100, "bad").schema == DROPS


def test_edits_without_replacements_are_cuts() -> None:
    """One reason and one number of sentences hold for all spans; columns may be Arrow's."""
    rows, starts, ends = (np.array(values, np.int32) for values in ([1, 1], [0, 9], [4, 12]))
    cuts = edits_table(rows, pa.chunked_array([starts]), ends, "noise", 1)
    assert cuts.schema == EDITS
    assert cuts.to_pydict() == {
        "row": [1, 1],
        "start": [0, 9],
        "end": [4, 12],
        "reason": ["noise", "noise"],
        "replacement": [None, None],
        "sentences": [1, 1],
    }
    rewrites = edits_table(rows, starts, ends, ["email", "ip"], np.array([0, 2], np.int32), ["<EMAIL>", "<IP>"])
    assert rewrites["replacement"].to_pylist() == ["<EMAIL>", "<IP>"]
    assert rewrites["reason"].to_pylist() == ["email", "ip"] and rewrites["sentences"].to_pylist() == [0, 2]
