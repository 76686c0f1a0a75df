"""The exchange over Spark: the same answers for any number of partitions, one sentence for a failing task."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus import ids
from pipelines.spark.blocks import Block, Inbox, NextHop, by_id, split
from pipelines.spark.exchange import Hop
from pipelines.spark.frames import scatter
from pipelines.spark.session import Cluster
from pipelines.spark.shard_files import write_rows_by_shard
from pipelines.stages.near_dedup import plan
from pipelines.stages.near_dedup.tables import PAIRS
from tamis.errors import TamisError
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute

pytestmark = pytest.mark.spark


@dataclass(frozen=True)
class Numbers:
    """A range of numbers, for so many partitions."""

    start: int
    end: int
    partitions: int


@dataclass(frozen=True)
class Halving:
    """The partitions of this hop and of the next."""

    partitions: int
    next: int


@dataclass(frozen=True)
class Greeting:
    """A setting that no ASCII can say."""

    é: str


@dataclass(frozen=True)
class Arrived:
    """What came to a partition."""

    partition: int
    é: str
    numbers: list[int]
    squares: list[int]


def emit_numbers(task: Numbers) -> Iterator[Block]:
    """The numbers of a range in blocks of three, to wherever their hash says."""
    for start in range(task.start, task.end, 3):
        numbers = np.arange(start, min(start + 3, task.end), dtype=np.int64)
        yield from split("numbers", {"n": numbers}, by_id(numbers, task.partitions))
        yield from split("squares", {"n": numbers**2}, by_id(numbers, task.partitions))


def halve(inbox: Inbox, settings: Halving) -> Iterator[Block]:
    """Numbers go on by their half."""
    for kind, table in inbox.tables.items():
        half = np.sort(table.column("n").to_numpy()) // 2
        assert (by_id(table.column("n").to_numpy(), settings.partitions) == inbox.partition).all() or kind == "squares"
        yield from split(kind, {"n": half}, by_id(half, settings.next))


def answer(inbox: Inbox, settings: Greeting) -> Iterator[Arrived]:
    """What arrived at a partition; nothing from one at which nothing did."""
    if inbox.tables:
        found = (inbox.table(kind) for kind in ("numbers", "squares"))
        numbers, squares = ([] if t is None else sorted(t.column("n").to_pylist()) for t in found)
        yield Arrived(inbox.partition, settings.é, numbers, squares)


def stumble(inbox: Inbox, settings: NextHop) -> Iterator[Block]:
    """Fails with a message of two lines."""
    raise ZeroDivisionError("by nothing\nat all")
    yield


def lose_a_name(inbox: Inbox, settings: NextHop) -> Iterator[Block]:
    """Asks for what is not there."""
    yield inbox.nobody  # type: ignore[attr-defined]


def refuse(task: Numbers) -> Iterator[Block]:
    """Fails in the source, after some blocks."""
    yield from emit_numbers(task)
    raise TamisError("the file is damaged")


def tasks(partitions: int) -> list[Numbers]:
    return [Numbers(10 * i, 10 * i + 10, partitions) for i in range(7)]


@pytest.mark.parametrize("partitions", [1, 3, 8])
@pytest.mark.parametrize("last", [1, 5])
def test_every_row_arrives_once_whatever_the_partitions(cluster: Cluster, partitions: int, last: int) -> None:
    halving = Hop(halve, partitions, Halving(partitions, last))
    greeted = Hop(answer, last, Greeting("中"))
    found = cluster.exchange(emit_numbers, tasks(partitions), [halving], greeted, label="counting")
    assert [a.partition for a in found] == sorted({a.partition for a in found}), "in the order of partitions"
    assert {a.é for a in found} == {"中"}
    for kind, power in (("numbers", 1), ("squares", 2)):
        arrived = sorted(n for a in found for n in getattr(a, kind))
        assert arrived == sorted(n**power // 2 for n in range(70))
        for a in found:
            assert (by_id(np.array(getattr(a, kind), np.int64), last) == a.partition).all()


def test_an_exchange_without_tasks_has_no_answers(cluster: Cluster) -> None:
    assert cluster.exchange(emit_numbers, [], [], Hop(answer, 3, Greeting("")), label="nothing") == []


@pytest.mark.parametrize(
    ("source", "hops", "said"),
    [
        (emit_numbers, [stumble], "ZeroDivisionError: by nothing"),
        (emit_numbers, [lose_a_name], "AttributeError: "),
        (refuse, [], "TamisError: the file is damaged"),
    ],
)
def test_a_failing_task_is_one_sentence_that_names_the_step(
    cluster: Cluster, source: Any, hops: list[Any], said: str
) -> None:
    between, last = [Hop(hop, 3, NextHop(3)) for hop in hops], Hop(answer, 3, Greeting(""))
    with pytest.raises(TamisError) as error:
        cluster.exchange(source, tasks(3), between, last, label="near: bands")
    text = str(error.value)
    assert text.startswith("near: bands failed: near: bands: ") and said in text
    assert "\n" not in text and len(text) < 300
    assert not any(word in text for word in ("org.apache", "java.", "Caused by", "Traceback", "py4j", "at all"))


# ------------------------------------------------------------------------------------------- the plan, in Spark instead


def decided(run: RunReader, stage: str) -> dict[tuple[str, int], str]:
    """The digest of each file of a decision, by table and document shard."""
    return {(f.table, f.shard): f.digest for f in run.chain[stage].files}


@pytest.mark.slow
def test_more_edges_than_fit_in_memory_give_the_same_decision(
    finished: RunReader, small_inputs: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = []
    in_spark = plan._plan_in_spark
    monkeypatch.setattr(plan, "_plan_in_spark", lambda *a: planned.append(1) or in_spark(*a))
    out = tmp_path / "run"
    shutil.copytree(finished.root, out)
    again = execute(small_inputs, out, cluster, ["near_dedup.max_edges_in_memory=0"], until="near_dedup")
    assert planned, "the plan was made in memory: the test says nothing"
    assert again.chain["near_dedup"].folder.name != finished.chain["near_dedup"].folder.name
    assert decided(again, "near_dedup") == decided(finished, "near_dedup")
    assert {"drops", "columns", "edges", "elections"} == {table for table, _ in decided(again, "near_dedup")}
    facts = [run.chain["near_dedup"].body["facts"] for run in (again, finished)]
    assert {**facts[0], "sets_scanned": 0, "contraction_rounds": 0} == {**facts[1], "sets_scanned": 0}
    assert facts[0]["contraction_rounds"] > facts[1]["contraction_rounds"] == 0
    assert facts[0]["sets_scanned"] == 0 < facts[1]["sets_scanned"], "the sets are known, and the same ones are wanted"


def test_pairs_written_by_spark_are_in_the_order_of_those_written_by_an_exchange(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The plan's files are named by their bytes, by which a driver that comes back finds its tasks' receipts."""
    first = ids.first_id(2, 4)
    drawn = np.random.default_rng(1).permutation(300).tolist()
    rows = [(first + row, other, 1, other / 512) for row in (1, 0) for other in drawn]
    frame = cluster.spark.createDataFrame(rows, "doc_id BIGINT, other BIGINT, component BIGINT, meaning FLOAT")
    (by_spark,) = scatter(frame, "pairs", PAIRS, tmp_path / "spark")
    names = ("doc_id", "other", "component", "meaning")
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    (by_exchange,) = write_rows_by_shard(table, "pairs", PAIRS, tmp_path / "exchange")
    assert replace(by_spark, path="") == replace(by_exchange, path="")
