"""Bands → buckets → candidate edges: pairs of documents that share a band of their signatures.

Shuffled: 32 bytes for each band of each document. The task that finds edges writes them to a file; the driver reads
them back (24 bytes each) or, above a size, leaves them to Spark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.files import FileEntry, Manifest, ManifestRef, write_table
from dedup.banding import band_keys, bucket_edges
from dedup.graph import distinct_edges
from pipelines.spark.blocks import Block, Inbox, by_hash, split
from pipelines.spark.exchange import Hop, partitions_for
from pipelines.spark.session import Cluster
from pipelines.stages.near_dedup.tables import evidence_of, ref_of, rows_in_buckets
from pipelines.stages.shard_task import ShardTask, read_own
from text.binary import as_numbers

BAND_BYTES = 32
"""What one band of a document takes in the exchange."""
DOCUMENTS_AT_ONCE = 32_768


@dataclass(frozen=True)
class Bands:
    """How a signature of `num_perm` minima is cut into bands of some rows."""

    bands: int
    rows: int
    num_perm: int


@dataclass(frozen=True)
class BucketRules:
    """Which documents of a bucket become candidate edges: the last arguments of `dedup.banding.bucket_edges`."""

    accept: float
    clear: float
    max_anchors: int
    first_new: int


@dataclass(frozen=True)
class BandTask:
    """A document shard whose bands are sent to their buckets, less its `twins`, which an earlier one represents."""

    task: ShardTask
    twins: ManifestRef | None
    bands: Bands
    partitions: int


@dataclass(frozen=True)
class BucketSettings:
    """The settings of the hop that holds buckets: its rules, and where it writes edges."""

    rules: BucketRules
    folder: Path


@dataclass(frozen=True)
class BucketEdges:
    """The candidate edges of one partition of buckets, if there are any, and what was not compared.

    `capped` documents found no similar anchor in a bucket that had its most anchors already, so that `capped_pairs`, of
    which some ids are given, were never compared.
    """

    file: FileEntry | None
    capped: int
    capped_pairs: int
    capped_examples: list[tuple[int, int]]


@dataclass(frozen=True)
class Candidates:
    """Files of `EDGE` rows, how many they hold (an edge that several tasks found counts several times), and counts."""

    paths: list[str]
    edges: int
    facts: dict[str, Any]


def find_candidates(
    cluster: Cluster,
    tasks: Sequence[ShardTask],
    twins: Mapping[int, Manifest],
    documents: int,
    bands: Bands,
    rules: BucketRules,
    folder: Path,
) -> Candidates:
    """Sends each band to its bucket, and finds the candidate edges of all buckets; `twins` is by snapshot."""
    partitions = partitions_for(documents * bands.bands, BAND_BYTES, cluster.least_partitions)
    found = cluster.exchange(
        emit_bands,
        [BandTask(task, ref_of(twins, task), bands, partitions) for task in tasks],
        [],
        Hop(find_edges, partitions, BucketSettings(rules, folder)),
        label="near_dedup: bands and buckets",
    )
    files = [part.file for part in found if part.file is not None]
    examples = sorted(pair for part in found for pair in part.capped_examples)[:5]
    edges = sum(f.rows for f in files)
    facts = {
        "candidates": edges,
        "capped": sum(part.capped for part in found),
        "capped_pairs": sum(part.capped_pairs for part in found),
        "capped_examples": [[str(a), str(b)] for a, b in examples],
    }
    return Candidates([str(folder / f.path) for f in files], edges, facts)


def emit_bands(job: BandTask) -> Iterator[Block]:
    """Source: one row for each band of each document, by band key."""
    names = ["row", "doc_id", "shingles", "sketch_low", "sketch_high", "signature"]
    evidence = evidence_of(job.task, names)
    if evidence is None:
        return
    twins = read_own(job.twins, "twins", job.task, ["doc_id"])
    if twins is not None:
        alone = ~np.isin(evidence.column("doc_id").to_numpy(), twins.column("doc_id").to_numpy())
        evidence = evidence.filter(pa.array(alone)).combine_chunks()
    bands, rows, num_perm = job.bands.bands, job.bands.rows, job.bands.num_perm
    for start in range(0, evidence.num_rows, DOCUMENTS_AT_ONCE):
        part = evidence.slice(start, DOCUMENTS_AT_ONCE)
        minima = as_numbers(part.column("signature"), np.uint32)[1].reshape(part.num_rows, num_perm)
        keys = band_keys(minima, bands, rows).reshape(-1)
        columns = {n: np.repeat(part.column(n).to_numpy(), bands) for n in ("doc_id", "sketch_low", "sketch_high")}
        yield from split("bands", {"key": keys, **columns}, by_hash(keys, job.partitions))


def find_edges(inbox: Inbox, settings: BucketSettings) -> Iterator[BucketEdges]:
    """Last hop: the bands of one partition → its candidate edges, in a file."""
    table = inbox.table("bands")
    if table is None:
        return
    keys, doc_ids = table.column("key").to_numpy(), table.column("doc_id").to_numpy()
    order = rows_in_buckets(keys, doc_ids)
    sketch = np.stack([table.column(n).to_numpy()[order] for n in ("sketch_low", "sketch_high")], axis=1)
    found = bucket_edges(keys[order], doc_ids[order], sketch.view(np.uint64), *astuple(settings.rules))
    low, high, agree = distinct_edges(found.low, found.high, found.agree)
    file = None
    if len(low):
        rows = pa.table({"a": low, "b": high, "agree": agree})
        file = write_table(settings.folder, f"candidates-{inbox.partition:05d}", rows, kind="candidates")
    yield BucketEdges(file, len(np.unique(found.capped)), found.capped_pairs(), found.capped_examples(5))
