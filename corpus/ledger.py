"""The ledger: in = kept + Σ dropped(reason), in documents and in bytes of ingested text, at each stage.

Counted from committed tables, never from accumulators: "in" from the state before a decision, "kept" from the state
after it, "dropped" from the decision's own rows. Three independent readings, so that the equation can fail. Bytes are
bytes of the *ingested* text: a rewrite counts as its original length, and how much it grew or shrank is counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.shard_state import ShardState
from tamis.errors import TamisError
from text.arrow import Int64


@dataclass
class StageLedger:
    """One stage's line of the funnel: documents, bytes of ingested text and sentences; what was dropped by reason.

    What was cut from documents that stay has the reason `cut:<reason>`. `bytes_rewritten` is growth by rewrites
    (negative where text shrank), outside the sum; `seconds` is the wall time of the stage when it last ran.
    """

    name: str
    documents_in: int = 0
    documents_kept: int = 0
    documents_dropped: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_kept: int = 0
    bytes_dropped: dict[str, int] = field(default_factory=dict)
    bytes_rewritten: int = 0
    sentences_in: int = 0
    sentences_kept: int = 0
    sentences_dropped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, other: StageLedger) -> None:
        """Adds another shard's counts."""
        for name, mine in vars(self).items():
            if isinstance(mine, dict):
                for reason, count in getattr(other, name).items():
                    mine[reason] = mine.get(reason, 0) + count
            elif isinstance(mine, int):
                setattr(self, name, mine + getattr(other, name))

    def check(self) -> None:
        """Asserts the three sums.

        Raises:
            TamisError: a sum is off, by however little.
        """
        documents = self.documents_in - self.documents_kept - sum(self.documents_dropped.values())
        size = self.bytes_in - self.bytes_kept - sum(self.bytes_dropped.values())
        rest = self.sentences_in - self.sentences_kept - sum(self.sentences_dropped.values())
        if documents or size or rest:
            raise TamisError(
                f"the ledger of stage {self.name} is off by {documents} documents, {size} bytes and {rest} sentences: "
                "in must equal kept plus dropped; please report this"
            )


def account(
    name: str, before: ShardState, drops: pa.Table | None, edits: pa.Table | None, size: Int64, sentences: Int64
) -> tuple[StageLedger, ShardState]:
    """One stage's counts in one document shard, and the state after it.

    `size` and `sentences`, int64[n_rows], are of each document as stored.
    """
    after = before.after(drops, edits)
    size_before = size - before.edits.cut_bytes()
    size_after = size - after.edits.cut_bytes()
    ledger = StageLedger(
        name,
        documents_in=int(before.alive.sum()),
        documents_kept=int(after.alive.sum()),
        bytes_in=int(size_before[before.alive].sum()),
        bytes_kept=int(size_after[after.alive].sum()),
        sentences_in=int((sentences - before.cut_sentences)[before.alive].sum()),
        sentences_kept=int((sentences - after.cut_sentences)[after.alive].sum()),
        bytes_rewritten=int((after.edits.rewritten_bytes() - before.edits.rewritten_bytes())[after.alive].sum()),
    )
    left_before = sentences - before.cut_sentences
    if drops is not None:
        drops = drops.filter(pa.array(before.alive[drops.column("row").to_numpy()]))
        rows = drops.column("row").to_numpy()
        reasons = drops.column("reason")
        _tally(reasons, np.ones(len(rows), np.int64), ledger.documents_dropped)
        _tally(reasons, size_before[rows], ledger.bytes_dropped)
        _tally(reasons, left_before[rows], ledger.sentences_dropped)
    if edits is not None:
        edits = edits.filter(pc.is_null(edits.column("replacement")))
        edits = edits.filter(pa.array(after.alive[edits.column("row").to_numpy()]))
        reasons = pc.binary_join_element_wise("cut:", edits.column("reason").cast(pa.string()), "")
        _tally(reasons, _fresh_bytes(before, edits), ledger.bytes_dropped)
        _tally(reasons, edits.column("sentences").to_numpy().astype(np.int64), ledger.sentences_dropped)
    return ledger, after


def _tally(reasons: pa.ChunkedArray, amounts: Int64, totals: dict[str, int]) -> None:
    """Adds the amounts up by reason."""
    table = pa.table({"reason": reasons, "n": amounts}).group_by("reason").aggregate([("n", "sum")])
    for row in table.to_pylist():
        totals[row["reason"]] = totals.get(row["reason"], 0) + (row["n_sum"] or 0)


def _fresh_bytes(before: ShardState, edits: pa.Table) -> Int64:
    """Bytes of each new cut that no earlier cut had taken, int64[n]."""
    start = edits.column("start").to_numpy().astype(np.int64)
    end = edits.column("end").to_numpy().astype(np.int64)
    return end - start - before.edits.cut_inside(edits.column("row").to_numpy(), start, end)


def total_ledgers(name: str, parts: Iterable[StageLedger]) -> StageLedger:
    """The sum of shards, checked."""
    total = StageLedger(name)
    for part in parts:
        total.add(part)
    total.check()
    return total
