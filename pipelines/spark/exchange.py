"""The shuffle of Tamis: tasks emit *blocks* of narrow rows for numbered partitions, Spark carries them, tasks sort.

    source(task) ──blocks──▶ hop(inbox, settings) ──blocks──▶ … ──▶ last hop(inbox, settings) → answers

Spark sees a block as one opaque record, which it moves, spills, fetches and retries. Rows never become JVM objects:
they are sorted and grouped in numpy, at a tenth of the cost of a shuffle join in Spark SQL (`docs/design/exchange.md`).
A task holds the rows of one partition; the number of partitions grows with the data, so a task's memory does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from pipelines.spark.blocks import Block, Inbox
from pipelines.spark.gpu import with_gpu
from pipelines.spark.wire import encode, name_of
from pipelines.spark.worker import Called, emit_blocks, receive_blocks

TARGET_BYTES = 64 << 20
"""Bytes of rows in one partition of a hop: what a task holds, twice while it sorts."""
MAX_PARTITIONS = 32_000

Task = TypeVar("Task")
Settings = TypeVar("Settings")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Hop(Generic[Settings, Out]):
    """One receiving side of an exchange; its settings are a dataclass, the same for all partitions.

    The function is called with the inbox of a partition; it yields blocks, or, in the last hop, answers (dataclasses).
    """

    function: Callable[[Inbox, Settings], Iterable[Out]]
    partitions: int
    settings: Settings


def partitions_for(rows: int, row_bytes: int, least: int) -> int:
    """How many partitions keep each below `TARGET_BYTES`; at least `least`."""
    return int(min(MAX_PARTITIONS, max(least, -(-rows * row_bytes // TARGET_BYTES), 1)))


def build(
    context: Any,
    source: Callable[[Task], Iterable[Block]],
    tasks: Sequence[Task],
    hops: Sequence[Hop[Any, Block]],
    last: Hop[Any, Any],
    called: Called,
    gpu: bool,
) -> Any:  # an RDD[str]: the answers as JSON
    """The exchange as a lazy RDD of the last hop's answers; `gpu` says whether each task of the source wants one."""
    texts = [encode(task) for task in tasks]
    emit = partial(emit_blocks, name_of(source), called)
    rdd = with_gpu(context.parallelize(texts, max(1, len(texts))).mapPartitions(emit), gpu)
    for number, hop in enumerate([*hops, last]):
        receive = partial(receive_blocks, name_of(hop.function), called, encode(hop.settings), number == len(hops))
        rdd = rdd.partitionBy(hop.partitions, int).mapPartitionsWithIndex(receive)
    return rdd
