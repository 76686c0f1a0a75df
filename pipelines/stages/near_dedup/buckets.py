"""``near_dedup``, first half: signatures → twins → bands → buckets → candidate edges → what must be verified.

Twins, documents of one token sequence, are found first, and only one of them is banded: a million copies of a page
that differ in case or spacing are one document to the buckets.

Shuffled: 16 bytes a document for the twins, then 32 a document and band. Edges are written by the task that finds them;
the driver reads them back (24 bytes each) or, above a size, leaves them to Spark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry, write_table
from corpus.state import load_state, read_files
from dedup.graph import VerificationPlan, distinct_edges, plan_verification
from pipelines.run.weights import place
from pipelines.spark.components import star_contraction
from pipelines.spark.exchange import Block, Hop, Inbox, by_hash, by_shard, partitions_for, split, write_rows_by_shard
from pipelines.spark.session import Cluster
from pipelines.stages.shard_task import ShardTask

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from pipelines.stages.near_dedup.semantic_edges import Meant

BAND_BYTES, TWIN_BYTES = 32, 16
DOCUMENTS_AT_ONCE = 32_768
EDGE = "a BIGINT, b BIGINT, agree SMALLINT"
_NO_EDGES = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.int64()), "agree": pa.array([], pa.int16())})
MEMBERS = pa.schema(
    [
        pa.field("row", pa.int32()),
        pa.field("doc_id", pa.int64()),
        pa.field("rep", pa.int64()),
        pa.field("component", pa.int64()),
        pa.field("wanted", pa.bool_()),
    ]
)
"""Documents in candidate edges: whose set stands for them, their candidate component, whether their set is read."""
PAIRS = pa.schema(
    [
        pa.field("row", pa.int32()),
        pa.field("doc_id", pa.int64()),
        pa.field("other", pa.int64()),
        pa.field("component", pa.int64()),
        pa.field("meaning", pa.float32()),
    ]
)
"""Distinct candidate edges between representatives, ``doc_id < other``; NaN where no embedding speaks for them."""


TWINS = pa.schema([pa.field("row", pa.int32()), pa.field("doc_id", pa.int64()), pa.field("rep", pa.int64())])
"""Documents whose token sequence an earlier one has, and that one."""


@dataclass(frozen=True)
class Found:
    """The candidate edges.

    Attributes:
        paths: files of ``EDGE`` rows.
        edges: how many, repeats over tasks included.
        facts: what the manifest says about them.
    """

    paths: list[str]
    edges: int
    facts: dict[str, Any]


def find_twins(
    cluster: Cluster, payloads: Sequence[Mapping[str, Any]], documents: int, folder: Path
) -> tuple[list[dict[str, Any]], list[FileEntry]]:
    """Finds documents of one token sequence.

    Returns:
        The payloads with the shard's ``twins`` files, and all those files.
    """
    partitions = partitions_for(documents, TWIN_BYTES, cluster.least_partitions)
    hops = [
        Hop("pipelines.stages.near_dedup.buckets:pair_twins", partitions, {"writers": cluster.least_partitions}),
        Hop("pipelines.stages.near_dedup.buckets:write_twins", cluster.least_partitions, {"folder": str(folder)}),
    ]
    tasks = [{**p, "partitions": partitions} for p in payloads]
    answers = cluster.exchange("pipelines.stages.near_dedup.buckets:emit_keys", tasks, hops, label="near_dedup: twins")
    named: dict[tuple[int, int], list[str]] = {}
    files = []
    for answer in answers:
        entry = FileEntry(**answer["file"])
        place_of = folder / str(answer["snapshot"])
        entry = place(place_of, entry, f"twins-{entry.shard:06d}-{entry.digest[:16]}.parquet")
        named[answer["snapshot"], entry.shard] = [str(place_of / entry.path)]
        files.append(entry)
    found = [{**p, "twins": named.get((p["snapshot"], p["shard"]["number"]), [])} for p in payloads]
    return found, files


def emit_keys(payload: dict[str, Any]) -> Iterator[Block]:
    """Source: the token key of each document."""
    evidence = evidence_of_shard(payload, ["row", "doc_id", "shingles", "token_key"])
    if evidence is not None:
        keys = evidence.column("token_key").to_numpy()
        columns = {"key": keys, "doc_id": evidence.column("doc_id")}
        yield from split("keys", columns, by_hash(keys, payload["partitions"]))


def pair_twins(inbox: Inbox, settings: dict[str, Any]) -> Iterator[Block]:
    """Hop: the documents whose key another one has, with the least of them, by shard."""
    table = inbox.table("keys")
    if table is None:
        return
    keys, doc_ids = table.column("key").to_numpy(), table.column("doc_id").to_numpy()
    rows = in_buckets(keys, doc_ids)
    keys, doc_ids = keys[rows], doc_ids[rows]
    first = np.ones(len(rows), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    rep = doc_ids[first][np.cumsum(first) - 1] if len(rows) else doc_ids
    twin = rep != doc_ids
    columns = {"doc_id": doc_ids[twin], "rep": rep[twin]}
    yield from split("twins", columns, by_shard(doc_ids[twin], settings["writers"]))


def write_twins(inbox: Inbox, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Last hop: one file a snapshot and shard."""
    table = inbox.table("twins")
    if table is None:
        return
    snapshots = table.column("doc_id").to_numpy() >> (ids.SHARD_BITS + ids.ROW_BITS)
    for snapshot in np.unique(snapshots).tolist():
        part = table.filter(pa.array(snapshots == snapshot))
        for entry in write_rows_by_shard(part, "twins", TWINS, Path(settings["folder"]) / str(snapshot)):
            yield {"file": entry_json(entry), "snapshot": snapshot}


def evidence_of_shard(payload: dict[str, Any], names: list[str]) -> pa.Table | None:
    """The evidence about a shard's documents that have tokens; of an earlier snapshot's, those that were kept."""
    task = ShardTask.of(payload)
    evidence = read_files(task.evidence_files, names)
    if evidence is None:
        return None
    keep = evidence.column("shingles").to_numpy() > 0
    if payload.get("earlier"):
        keep &= load_state(task.chain, task.shard.rows).alive[evidence.column("row").to_numpy()]
    return evidence.filter(pa.array(keep)).combine_chunks()


def find_candidates(
    cluster: Cluster, payloads: Sequence[Mapping[str, Any]], documents: int, settings: Mapping[str, Any], folder: Path
) -> Found:
    """Runs the band exchange.

    Args:
        cluster: Spark.
        payloads: a task a document shard.
        documents: with a signature.
        settings: ``bands``, ``rows``, ``num_perm``, and ``accept``, ``clear``, ``max_anchors``, ``first_new`` of
            ``dedup.banding.bucket_edges``.
        folder: where the edges are written.
    """
    partitions = partitions_for(documents * settings["bands"], BAND_BYTES, cluster.least_partitions)
    tasks = [{**p, "banding": dict(settings), "partitions": partitions} for p in payloads]
    hop = Hop("pipelines.stages.near_dedup.buckets:find_edges", partitions, {**settings, "folder": str(folder)})
    answers = cluster.exchange(
        "pipelines.stages.near_dedup.buckets:emit_bands", tasks, [hop], label="near_dedup: bands and buckets"
    )
    files = [FileEntry(**a["file"]) for a in answers if a["file"]]
    examples = sorted(tuple(e) for a in answers for e in a["capped_examples"])[:5]
    facts = {
        "candidates": sum(f.rows for f in files),
        "capped": sum(a["capped"] for a in answers),
        "capped_pairs": sum(a["capped_pairs"] for a in answers),
        "capped_examples": [[str(x), str(y)] for x, y in examples],
    }
    return Found([str(folder / f.path) for f in files], sum(f.rows for f in files), facts)


def emit_bands(payload: dict[str, Any]) -> Iterator[Block]:
    """Source: one row a document and band, by band key."""
    from dedup.banding import band_keys

    banding = payload["banding"]
    evidence = evidence_of_shard(payload, ["row", "doc_id", "shingles", "sketch_low", "sketch_high", "signature"])
    if evidence is None:
        return
    twins = read_files(payload["twins"], ["doc_id"])
    if twins is not None:
        alone = ~np.isin(evidence.column("doc_id").to_numpy(), twins.column("doc_id").to_numpy())
        evidence = evidence.filter(pa.array(alone)).combine_chunks()
    bands = banding["bands"]
    for start in range(0, evidence.num_rows, DOCUMENTS_AT_ONCE):
        part = evidence.slice(start, DOCUMENTS_AT_ONCE)
        minima = (
            binary_values(whole(part.column("signature"))).view(np.uint32).reshape(part.num_rows, banding["num_perm"])
        )
        keys = band_keys(minima, bands, banding["rows"]).reshape(-1)
        columns = {n: np.repeat(part.column(n).to_numpy(), bands) for n in ("doc_id", "sketch_low", "sketch_high")}
        yield from split("bands", {"key": keys, **columns}, by_hash(keys, payload["partitions"]))


def find_edges(inbox: Inbox, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Last hop: the band rows of one partition → its candidate edges, in a file."""
    from dedup.banding import bucket_edges

    table = inbox.table("bands")
    if table is None:
        return
    keys, doc_ids = table.column("key").to_numpy(), table.column("doc_id").to_numpy()
    order = in_buckets(keys, doc_ids)
    sketch = np.stack([table.column(n).to_numpy()[order] for n in ("sketch_low", "sketch_high")], axis=1)
    found = bucket_edges(
        keys[order],
        doc_ids[order],
        sketch.view(np.uint64),
        settings["accept"],
        settings["clear"],
        settings["max_anchors"],
        settings["first_new"],
    )
    low, high, agree = distinct_edges(found.low, found.high, found.agree)
    entry = None
    if len(low):
        rows = pa.table({"a": low, "b": high, "agree": agree})
        entry = write_table(Path(settings["folder"]), f"candidates-{inbox.partition:05d}", rows, kind="candidates")
    yield {
        "file": None if entry is None else entry_json(entry),
        "capped": len(np.unique(found.capped)),
        "capped_pairs": found.capped_pairs(),
        "capped_examples": found.capped_examples(5),
    }


def entry_json(entry: FileEntry) -> dict[str, Any]:
    """A file entry as JSON."""
    from dataclasses import asdict

    return asdict(entry)


def in_buckets(keys: npt.NDArray[np.int64], doc_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rows whose key occurs more than once, sorted by (key, id); int64[m]."""
    order = np.argsort(keys)
    same = keys[order][1:] == keys[order][:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    rows = order[shared]
    return rows[np.lexsort((doc_ids[rows], keys[rows]))]


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one chunk."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    return array


def binary_values(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of all values of a binary array without nulls, back to back."""
    if not len(array):
        return np.zeros(0, np.uint8)
    offsets = value_offsets(array)
    return np.frombuffer(array.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]


def value_offsets(array: pa.Array) -> npt.NDArray[np.int64]:
    """Where each binary value starts in the data buffer; int64[n + 1]."""
    if not len(array):
        return np.zeros(1, np.int64)
    width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
    return np.frombuffer(array.buffers()[1], width)[array.offset : array.offset + len(array) + 1].astype(np.int64)


# ------------------------------------------------------------------------------------------------ what must be verified


def plan(
    cluster: Cluster,
    found: Found,
    payloads: Sequence[Mapping[str, Any]],
    accept: int,
    max_edges_in_memory: int,
    scratch: Path,
    meant: Meant,
) -> tuple[dict[int, list[FileEntry]], int]:
    """Writes, for each shard, its documents in candidate edges (``members``) and their edges (``pairs``).

    Returns:
        snapshot → files, in ``scratch/plan/<snapshot>``; rounds of contraction in Spark that the components took.
    """
    twins = [path for p in payloads for path in p["twins"]]
    if found.edges + meant.edges > max_edges_in_memory:
        members, pairs, rounds = _planned_in_spark(cluster, found, twins, accept, max_edges_in_memory, scratch, meant)
        return _scattered(members, pairs, scratch / "plan"), rounds
    edges, same = read_files(found.paths), read_files(twins)
    edges = _NO_EDGES if edges is None else edges
    same = TWINS.empty_table() if same is None else same
    low, high, agree = (edges.column(name).to_numpy() for name in ("a", "b", "agree"))
    twin, rep = same.column("doc_id").to_numpy(), same.column("rep").to_numpy()
    return _written(plan_verification(low, high, agree, twin, rep, accept, meant.read()), scratch / "plan"), 0


def _written(planned: VerificationPlan, folder: Path) -> dict[int, list[FileEntry]]:
    members = pa.table(
        {"doc_id": planned.doc_id, "rep": planned.rep, "component": planned.component, "wanted": planned.wanted}
    )
    pairs = pa.table(
        {
            "doc_id": planned.left,
            "other": planned.right,
            "component": planned.edge_component,
            "meaning": planned.meaning,
        }
    )
    files: dict[int, list[FileEntry]] = {}
    for kind, table, schema in (("members", members, MEMBERS), ("pairs", pairs, PAIRS)):
        snapshots = table.column("doc_id").to_numpy() >> (ids.SHARD_BITS + ids.ROW_BITS)
        for snapshot in np.unique(snapshots).tolist():
            part = table.filter(pa.array(snapshots == snapshot))
            written = write_rows_by_shard(part, kind, schema, folder / str(snapshot))
            files.setdefault(snapshot, []).extend(_named(folder / str(snapshot), written))
    return files


def _named(folder: Path, files: Iterable[FileEntry]) -> list[FileEntry]:
    """Gives files names by their content, so that a driver that comes back finds its tasks' receipts."""
    return [place(folder, f, f"{f.table}-{f.shard:06d}-{f.digest[:16]}.parquet") for f in files]


def _planned_in_spark(
    cluster: Cluster,
    found: Found,
    twins: Sequence[str],
    accept: int,
    max_edges_in_memory: int,
    scratch: Path,
    meant: Meant,
) -> tuple[DataFrame, DataFrame, int]:
    """``dedup.graph.plan_verification`` in DataFrames, for edges that do not fit in memory."""
    from pyspark.sql import functions as F

    from pipelines.stages.context import materialise

    spark = cluster.spark
    schema = "doc_id BIGINT, rep BIGINT"
    same = spark.read.schema(schema).parquet(*twins) if twins else spark.createDataFrame([], schema)
    pairs = spark.read.schema(EDGE).parquet(*found.paths) if found.paths else spark.createDataFrame([], EDGE)
    pairs = pairs.withColumn("meaning", F.lit(None).cast("float")).unionByName(meant.frame(spark, same))
    pairs = pairs.groupBy("a", "b").agg(F.max("agree").alias("agree"), F.max("meaning").alias("meaning"))
    pairs = materialise(pairs, scratch / "pairs")
    nodes = pairs.select(F.col("a").alias("doc_id")).union(pairs.select("b")).union(same.select("rep"))
    reps = nodes.distinct().select("doc_id", F.col("doc_id").alias("rep")).union(same)
    contracted = star_contraction(pairs.select("a", "b"), max_edges_in_memory, scratch / "linked")
    roots = contracted.frame.withColumnRenamed("doc_id", "rep")
    members = reps.join(roots, on="rep", how="left").withColumn("component", F.coalesce("component", "rep"))
    pairs = pairs.join(roots.withColumnRenamed("rep", "a"), on="a", how="inner")
    unsure = pairs.groupBy("component").agg(F.min("agree").alias("least"))
    sizes = members.filter("rep = doc_id").groupBy("component").agg(F.count("*").alias("reps"))
    undecided = sizes.join(unsure, on="component", how="inner").filter(
        f"least IS NOT NULL AND (reps > 2 OR least < {accept})"
    )
    undecided = undecided.select("component", F.lit(True).alias("undecided"))
    members = members.join(undecided, on="component", how="left")
    wanted = (F.col("rep") == F.col("doc_id")) & F.coalesce("undecided", F.lit(False))
    members = materialise(members.withColumn("wanted", wanted).drop("undecided"), scratch / "members")
    nan = F.lit(float("nan")).cast("float")
    by_sketch = F.col("undecided").isNull() & F.coalesce(F.col("agree") >= accept, F.lit(False))
    meaning = F.when(by_sketch, nan).otherwise(F.coalesce("meaning", nan)).alias("meaning")
    ends = pairs.join(undecided, on="component", how="left").select(
        F.col("a").alias("doc_id"), F.col("b").alias("other"), "component", meaning
    )
    return members, ends, contracted.rounds


def _scattered(members: DataFrame, pairs: DataFrame, folder: Path) -> dict[int, list[FileEntry]]:
    from pyspark.sql import functions as F

    from pipelines.stages.context import scatter

    snapshot = F.shiftright("doc_id", ids.SHARD_BITS + ids.ROW_BITS)
    files: dict[int, list[FileEntry]] = {}
    for number in sorted(row[0] for row in members.select(snapshot).distinct().collect()):
        for kind, frame, schema in (("members", members, MEMBERS), ("pairs", pairs, PAIRS)):
            part = frame.filter(snapshot == number)
            written = scatter(part, kind, schema, folder / str(number), ids.MAX_SHARD)
            files.setdefault(number, []).extend(_named(folder / str(number), written))
    return files
