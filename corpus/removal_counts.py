"""Counts what each stage took from each domain and source.

Counted like the ledger, from the states before and after a decision, but by (domain, source): a row each, with four
numbers for each stage. Document shards are counted apart and merged; all rows are committed, and `shown` chooses what
fits on a page.

Cost: one narrow column (`source`) of each document shard; when merging, some 32 bytes a stage and distinct source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.removal_line import COUNTS, OTHER, RemovalLine
from corpus.shard_state import ShardState
from text.arrow import Int64

KEYS = ["domain", "source"]
MERGED_ROWS = 1 << 20
SOURCES_NAMED = 1_000


class ShardCounts:
    """Counts of one document shard, filled stage by stage.

    Of each document its final domain, its `source` (null allowed), and its stored bytes, int64[n_rows].
    """

    def __init__(self, domains: npt.NDArray[Any], sources: pa.ChunkedArray, size: Int64) -> None:
        rows = pa.table(
            [pa.array(domains.tolist(), pa.string()), sources, pa.array(np.arange(len(size)))], names=[*KEYS, "row"]
        )
        groups = rows.group_by(KEYS).aggregate([("row", "list")]).combine_chunks()
        members = groups.column("row_list").combine_chunks()
        self._group = np.empty(len(size), np.int64)
        self._group[members.flatten().to_numpy()] = members.value_parent_indices().to_numpy()
        self._size = size
        self._table = groups.select(KEYS)

    def add(self, stage: str, before: ShardState, after: ShardState) -> None:
        """Counts one decision by the states before and after it."""
        one = np.ones_like(self._size)
        for name, first, second in (
            ("documents", one, one),
            ("bytes", self._size - before.edits.cut_bytes(), self._size - after.edits.cut_bytes()),
        ):
            received, kept = self._sums(before, first), self._sums(after, second)
            self._table = self._table.append_column(f"{stage}.{name}_in", pa.array(received))
            self._table = self._table.append_column(f"{stage}.{name}_dropped", pa.array(received - kept))

    def _sums(self, state: ShardState, amount: Int64) -> Int64:
        sums = np.zeros(self._table.num_rows, np.int64)
        np.add.at(sums, self._group[state.alive], amount[state.alive])
        return sums

    def table(self) -> pa.Table:
        """`domain`, `source`, `sources` (1), and `<stage>.<count>` for each stage and each of `COUNTS`."""
        return self._table.add_column(2, "sources", pa.array(np.ones(self._table.num_rows, np.int64)))


def merge(tables: Iterable[pa.Table], stages: Iterable[str]) -> pa.Table:
    """The sum of shards' tables, by domain and source; holds the sum so far and about as many rows of others."""
    numbers = ["sources", *(f"{stage}.{count}" for stage in stages for count in COUNTS)]
    fields = [*((name, pa.string()) for name in KEYS), *((name, pa.int64()) for name in numbers)]
    batch = [pa.schema(fields).empty_table()]
    for table in tables:
        batch.append(table.select(batch[0].column_names))
        if sum(t.num_rows for t in batch[1:]) > max(MERGED_ROWS, batch[0].num_rows):
            batch = [_summed(batch)]
    merged = _summed(batch)
    return merged.set_column(2, "sources", pa.array(np.ones(merged.num_rows, np.int64)))


def folded(table: pa.Table) -> pa.Table:
    """One row a domain: the sum of its sources, whose number is in `sources`."""
    return _summed([table.set_column(1, "source", pa.nulls(table.num_rows, pa.string()))])


def _summed(tables: Sequence[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables)
    counts = table.column_names[2:]
    summed = table.group_by(KEYS).aggregate([(name, "sum") for name in counts])
    summed = summed.select([*KEYS, *(f"{name}_sum" for name in counts)]).rename_columns(table.column_names)
    return summed.sort_by([(name, "ascending") for name in KEYS])


def column(table: pa.Table, stage: str, count: str) -> Int64:
    """One of `COUNTS` of one stage, int64[n_rows]."""
    return table.column(f"{stage}.{count}").to_numpy()


def lines(table: pa.Table, stages: Iterable[str]) -> Iterator[RemovalLine]:
    """The rows as lines, stage by stage; none where a stage received nothing of a row."""
    keys = [table.column(name).to_pylist() for name in (*KEYS, "sources")]
    for stage in stages:
        counts = [table.column(f"{stage}.{name}").to_pylist() for name in COUNTS]
        for domain, source, sources, *numbers in zip(*keys, *counts, strict=True):
            if numbers[0]:
                yield RemovalLine(stage, domain, source, sources, *numbers)


def removed_fractions(table: pa.Table, stage: str) -> npt.NDArray[np.float64]:
    """`RemovalLine.removed_fraction` of each row, float64[n_rows]."""
    shares = [
        column(table, stage, f"{what}_dropped") / np.maximum(1, column(table, stage, f"{what}_in"))
        for what in ("documents", "bytes")
    ]
    return np.maximum(*shares)


def shown(table: pa.Table, stages: Sequence[str], min_documents: int, limit: int = SOURCES_NAMED) -> list[RemovalLine]:
    """The lines of the sources worth naming, and one line a stage and domain for all others.

    All are named where there are at most `limit`. Else half of the places go to those that lost most documents in all
    stages, half to those of which one stage took the largest share, of at least `min_documents`.
    """
    if table.num_rows <= limit or not stages:
        return list(lines(table, stages))
    lost = np.sum([column(table, stage, "documents_dropped") for stage in stages], axis=0)
    worst = np.zeros(table.num_rows)
    for stage in stages:
        enough = column(table, stage, "documents_in") >= min_documents
        worst = np.maximum(worst, np.where(enough, removed_fractions(table, stage), 0))
    named = np.zeros(table.num_rows, np.bool_)
    for rank in (lost, worst):
        first = np.argsort(-rank, kind="stable")[: limit // 2]
        named[first[rank[first] > 0]] = True
    rest = folded(table.filter(pa.array(~named)))
    rest = rest.set_column(1, "source", pa.array([OTHER] * rest.num_rows, pa.string()))
    return list(lines(pa.concat_tables([table.filter(pa.array(named)), rest]), stages))
