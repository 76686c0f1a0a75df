"""Blocks: every row arrives once, where its key says, and neither order nor cut of the blocks can be seen."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from corpus import ids
from corpus.files import FileEntry
from corpus.schemas import DROPS, EDITS
from pipelines.spark import exchange
from pipelines.spark.blocks import Block, Inbox, by_hash, by_id, by_shard, pack, split, unpack
from pipelines.spark.exchange import partitions_for
from pipelines.spark.shard_files import ShardFiles, write_by_shard, write_rows_by_shard
from pipelines.spark.wire import decode, encode
from pipelines.stages.near_dedup.tables import PAIRS
from tests.support.examples import examples
from tests.support.exchanges import cut_anyhow, inbox_of

WORDS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = WORDS | st.integers(2**62 - 5, 2**62 + 5) | st.integers(0, 5)
PARTITIONS = st.sampled_from([1, 2, 3, 7, 300, exchange.MAX_PARTITIONS])


def int64(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


# --------------------------------------------------------------------------------------------------- where rows go


@examples()
@given(st.lists(NUMBERS, max_size=20), PARTITIONS)
def test_the_partition_of_a_key_is_a_function_of_the_key(keys: list[int], partitions: int) -> None:
    hashed = [(k % 2**64 >> 32) % partitions for k in keys]
    assert by_hash(int64(keys), partitions).tolist() == hashed
    mixed = [((k * 0x9E3779B97F4A7C15) % 2**64 >> 32) % partitions for k in keys]
    assert by_id(int64(keys), partitions).tolist() == mixed
    assert by_id(int64(keys[::-1]), partitions).tolist() == mixed[::-1]


@examples()
@given(
    st.lists(
        st.tuples(st.integers(0, ids.MAX_SNAPSHOT), st.integers(0, ids.MAX_SHARD), st.integers(0, ids.MAX_ROW)),
        max_size=9,
    ),
    PARTITIONS,
)
def test_a_shards_rows_go_to_one_partition(places: list[tuple[int, int, int]], partitions: int) -> None:
    found = by_shard(int64([ids.first_id(snapshot, shard) + row for snapshot, shard, row in places]), partitions)
    assert found.tolist() == [shard % partitions for _, shard, _ in places]


@pytest.mark.parametrize("start", [0, 2**27, 2**62, ids.first_id(9, 0)])
@pytest.mark.parametrize("step", [1, 1 << ids.ROW_BITS])
def test_ids_in_a_row_are_spread_evenly(start: int, step: int) -> None:
    counts = np.bincount(by_id(start + step * np.arange(64_000, dtype=np.int64), 64), minlength=64)
    assert counts.min() > 500 and counts.max() < 2000


@given(st.integers(0, 10**13), st.integers(1, 500), st.integers(0, 50))
def test_a_partition_holds_what_a_task_can(rows: int, row_bytes: int, least: int) -> None:
    wanted = math.ceil(rows * row_bytes / exchange.TARGET_BYTES)
    assert partitions_for(rows, row_bytes, least) == min(exchange.MAX_PARTITIONS, max(1, least, wanted))


# ----------------------------------------------------------------------------------------------------------- blocks


@examples()
@given(st.lists(st.tuples(st.integers(0, 6), NUMBERS, st.none() | NUMBERS), max_size=25), st.booleans())
def test_split_sends_each_row_to_its_partition_in_the_order_it_had(
    rows: list[tuple[int, int, int | None]], chunked: bool
) -> None:
    target = np.array([t for t, _, _ in rows], np.uint16)
    maybe: pa.Array | pa.ChunkedArray = pa.array([m for _, _, m in rows], pa.int64())
    if chunked:
        maybe = pa.chunked_array([maybe.slice(0, len(rows) // 2), maybe.slice(len(rows) // 2)])
    columns = {"number": int64([n for _, n, _ in rows]), "maybe": maybe}
    blocks = list(split("some", columns, target))
    expected = defaultdict(list)
    for t, number, value in rows:
        expected[t].append({"number": number, "maybe": value})
    assert [b.partition for b in blocks] == sorted(expected)
    assert {b.partition: b.rows.to_pylist() for b in blocks} == expected
    assert all(b.kind == "some" and type(b.partition) is int for b in blocks)


def test_split_knows_every_partition_there_may_be() -> None:
    """Partitions are sorted as 16-bit numbers."""
    target = np.array([exchange.MAX_PARTITIONS - 1, 0, 1, exchange.MAX_PARTITIONS - 1])
    blocks = list(split("x", {"n": np.arange(4)}, target))
    assert [(b.partition, b.rows.column("n").to_pylist()) for b in blocks] == [
        (0, [1]),
        (1, [2]),
        (exchange.MAX_PARTITIONS - 1, [0, 3]),
    ]


ROWS = st.lists(
    st.tuples(NUMBERS, st.none() | NUMBERS, st.binary(max_size=12), st.sampled_from(["near_duplicate", "", "é中"])),
    max_size=20,
)
NARROW = pa.schema([("doc_id", pa.int64()), ("survivor", pa.int64()), ("hashes", pa.binary()), ("reason", pa.string())])


def narrow(rows: list[tuple[int, int | None, bytes, str]]) -> pa.Table:
    return pa.table(dict(zip(NARROW.names, zip(*rows, strict=True) if rows else [[]] * 4, strict=True)), NARROW)


@examples()
@given(ROWS, ROWS, st.randoms(use_true_random=False))
def test_what_is_packed_is_unpacked(first: list, second: list, random: Random) -> None:  # type: ignore[type-arg]
    blocks = cut_anyhow("a", narrow(first), random) + cut_anyhow("b", narrow(second), random)
    records = list(pack(blocks))
    assert len(records) == sum(block.rows.num_rows > 0 for block in blocks), "empty blocks do not travel"
    inbox = unpack(5, records)
    assert inbox.partition == 5
    assert list(inbox.tables) == [kind for kind, rows in (("a", first), ("b", second)) if rows]
    for kind, rows in (("a", first), ("b", second)):
        table = inbox.table(kind)
        assert (table is None) == (not rows)
        if table is not None:
            assert table.schema.equals(NARROW)
            assert sorted(map(repr, table.to_pylist())) == sorted(map(repr, narrow(rows).to_pylist()))
    random.shuffle(records)
    assert unpack(5, records) == inbox, "blocks arrive in any order"


def test_a_packed_slice_carries_its_own_rows_only() -> None:
    table = narrow([(i, None, bytes(1000), "x") for i in range(1000)])
    ((partition, (kind, data)),) = pack([Block(3, "few", table.slice(500, 2))])
    assert (partition, kind) == (3, "few") and len(data) < 5000


def test_nothing_arrives_as_nothing() -> None:
    assert unpack(7, []) == Inbox(7, {}) and unpack(7, []).table("x") is None
    assert list(pack([Block(0, "x", narrow([]))])) == []


# ---------------------------------------------------------------------------------------------------- files by shard

PLACES = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, ids.MAX_SHARD]), st.sampled_from([0, 1, 2, 3, ids.MAX_ROW])),
    max_size=12,
    unique=True,
)


def drops_of(places: list[tuple[int, int]], snapshot: int) -> pa.Table:
    doc_ids = [ids.first_id(snapshot, shard) + row for shard, row in places]
    return pa.table(
        {
            "doc_id": pa.array(doc_ids, pa.int64()),
            "reason": pa.array(["near_duplicate"] * len(doc_ids), pa.string()),
            "survivor": pa.array([None if d % 3 == 0 else d - 1 for d in doc_ids], pa.int64()),
            "similarity": pa.array([None if d % 3 == 0 else 0.75 for d in doc_ids], pa.float64()),
        }
    )


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES, st.sampled_from([0, 6, ids.MAX_SNAPSHOT]), st.randoms(use_true_random=False))
def test_a_file_a_shard_sorted_by_row(
    tmp_path: Path, places: list[tuple[int, int]], snapshot: int, random: Random
) -> None:
    table = drops_of(places, snapshot)
    digests = set()
    for _ in range(3):
        arrived = inbox_of({"drops": table}, random).table("drops")
        entries = [] if arrived is None else list(write_rows_by_shard(arrived, "drops", DROPS, tmp_path))
        digests.add(tuple((e.table, e.shard, e.rows, e.digest) for e in entries))
    assert len(digests) == 1
    assert [e.shard for e in entries] == sorted({shard for shard, _ in places})
    written = [(e.shard, pq.read_table(tmp_path / e.path)) for e in entries]
    assert all(t.schema.equals(DROPS) for _, t in written)
    found = [(shard, row) for shard, t in written for row in t.column("row").to_pylist()]
    assert found == sorted(places)
    for shard, t in written:
        for row in t.to_pylist():
            doc_id = ids.first_id(snapshot, shard) + row["row"]
            told = (None, None) if doc_id % 3 == 0 else (doc_id - 1, 0.75)
            assert (row["doc_id"], row["survivor"], row["similarity"]) == (doc_id, *told)


@pytest.mark.parametrize(("schema", "second"), [(PAIRS, "other"), (EDITS, "start")])
def test_rows_of_one_document_are_sorted_too(tmp_path: Path, schema: pa.Schema, second: str) -> None:
    first = ids.first_id(2, 4)
    values = {
        "doc_id": [first + 1, first, first + 1, first + 1],
        second: [9, 5, 2**30, 3],
        "component": [1] * 4,
        "end": [2**30] * 4,
        "reason": ["repeated_sentence"] * 4,
        "sentences": [1] * 4,
        "replacement": pa.nulls(4, pa.string()),
        "meaning": [0.5] * 4,
    }
    rows = pa.table({n: values[n] for n in {"doc_id", *schema.names} - {"row"}})
    digests = set()
    for seed in range(20):
        arrived = inbox_of({"x": rows}, Random(seed)).table("x")
        assert arrived is not None
        (entry,) = write_rows_by_shard(arrived, "x", schema, tmp_path)
        digests.add(entry.digest)
    table = pq.read_table(tmp_path / entry.path)
    assert len(digests) == 1 and entry.shard == 4
    assert table.column("row").to_pylist() == [0, 1, 1, 1] and table.column(second).to_pylist() == [5, 3, 9, 2**30]


def test_the_last_hop_writes_the_kinds_that_came(tmp_path: Path) -> None:
    """The settings travel as JSON, schemas included; what comes back is a `FileEntry`."""
    files = decode(ShardFiles, encode(ShardFiles(tmp_path, {"drops": DROPS, "edits": EDITS})))
    table = drops_of([(3, 0), (1, 7), (3, 2)], 0)
    answers = list(write_by_shard(inbox_of({"drops": table, "unknown": table}, Random(1)), files))
    direct = list(write_rows_by_shard(table, "drops", DROPS, tmp_path))
    assert [replace(a, path="") for a in answers] == [replace(d, path="") for d in direct]
    assert [(a.table, a.shard, a.rows) for a in answers] == [("drops", 1, 1), ("drops", 3, 2)]
    assert [decode(FileEntry, encode(a)) for a in answers] == answers
    assert list(write_by_shard(unpack(0, []), files)) == []


def test_a_missing_value_that_the_schema_requires_is_refused(tmp_path: Path) -> None:
    table = drops_of([(0, 1)], 0).set_column(1, "reason", pa.nulls(1, pa.string()))
    with pytest.raises((ValueError, pa.ArrowInvalid)):
        list(write_rows_by_shard(table, "drops", DROPS, tmp_path))
