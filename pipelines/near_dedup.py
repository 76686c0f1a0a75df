"""Stage ``near_dedup``: documents that are nearly the same, found by MinHash-LSH and believed only when verified.

    signatures ─ bands → buckets → candidate edges ─ exact shingle overlap → verified edges → components → survivors

Only narrow rows are shuffled: 32 bytes a document and band, then edges, then the shingle sets of documents that are in
a candidate edge. The text is read twice, shard by shard: once for the signatures, once for those sets.

Source: Broder 1997; Lee et al. 2022 (arXiv 2107.06499), section 4.2, with verification and election per survivor added.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from corpus.config import StrictModel
from corpus.errors import ConfigError
from corpus.files import FileEntry, commit, load_manifest, stable_hash
from corpus.schemas import DROPS
from dedup.banding import detection_probability
from dedup.minhash import signature_keys, signatures
from pipelines import near_steps
from pipelines.components import components
from pipelines.context import DecisionContext, materialise, scatter
from pipelines.stage import Batch, GlobalStage
from pipelines.weights import place

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EVIDENCE = (
    "doc_id BIGINT, bytes INT, shingles INT, signature_key BIGINT, sketch_low BIGINT, sketch_high BIGINT, "
    "signature BINARY"
)
EDGES = pa.schema(
    [
        pa.field("row", pa.int32()),
        pa.field("doc_id", pa.int64()),
        pa.field("other", pa.int64()),
        pa.field("similarity", pa.float32()),
    ]
)
COLUMNS = pa.schema([
    pa.field("row", pa.int32()), pa.field("doc_id", pa.int64()), pa.field("component_id", pa.int64()),
    pa.field("component_size", pa.int32()), pa.field("near_copies", pa.int32()),
])  # fmt: skip
WANTED = pa.schema([pa.field("row", pa.int32()), pa.field("doc_id", pa.int64())])


class NearDedupEvidence(StrictModel):
    """The scan: signatures."""

    num_perm: int = Field(128, ge=128, le=1024, multiple_of=4, description="Permutations of a signature.")
    seed: int = Field(1, ge=0, description="Of the permutations.")
    shingle_tokens: int = Field(5, ge=1, le=32, description="Tokens in a shingle.")


class NearDedupDecision(StrictModel):
    """Bands, verification, election.

    With 21 × 6 a pair of similarity 0.8 is found with probability 0.998, of 0.75 with 0.984.
    """

    bands: int = Field(21, ge=1, description="Bands of a signature.")
    rows: int = Field(6, ge=1, description="Minima in a band.")
    threshold: float = Field(0.75, gt=0, le=1, description="Jaccard similarity from which two documents are the same.")
    recall: float = Field(0.95, gt=0, lt=1, description="Least detection probability wanted at the threshold.")
    max_set_size: int = Field(4096, ge=256, description="Larger shingle sets are compared by a sample of this size.")
    max_edges_in_memory: int = Field(50_000_000, ge=0, description="More edges than this are contracted in Spark.")

    @model_validator(mode="after")
    def _reaches_recall(self) -> NearDedupDecision:
        reached = detection_probability(self.threshold, self.bands, self.rows)
        if reached < self.recall:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows find a pair of similarity {self.threshold} with probability "
                f"{reached:.3f}, below the recall of {self.recall} asked for; use more bands or fewer rows"
            )
        return self


class NearDedup(GlobalStage):
    """Candidates, verification, components, survivors."""

    name: ClassVar[str] = "near_dedup"
    paper: ClassVar[str] = "Broder 1997; Lee et al. 2022 (arXiv 2107.06499)"
    Evidence = NearDedupEvidence
    Decision = NearDedupDecision
    uncut: ClassVar[bool] = True
    by_domain: ClassVar[tuple[str, ...]] = ()
    settles_copies: ClassVar[bool] = True
    provides: ClassVar[Mapping[str, pa.DataType]] = {
        "component_id": pa.int64(),
        "component_size": pa.int32(),
        "near_copies": pa.int32(),
    }
    evidence: NearDedupEvidence

    @classmethod
    def check(cls, evidence: StrictModel, decision: StrictModel) -> None:
        """The signature must be long enough for the bands."""
        assert isinstance(evidence, NearDedupEvidence) and isinstance(decision, NearDedupDecision)
        needed = decision.bands * decision.rows
        if needed > evidence.num_perm:
            raise ConfigError(
                f"stages.near_dedup: {decision.bands} bands of {decision.rows} rows need {needed} permutations, "
                f"found num_perm {evidence.num_perm}"
            )

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: its signature, sketch and size."""
        column = batch.texts.column
        found = signatures(column, self.evidence.num_perm, self.evidence.seed, self.evidence.shingle_tokens)
        size = 4 * self.evidence.num_perm
        packed = pa.Array.from_buffers(
            pa.binary(size), len(column), [None, pa.py_buffer(np.ascontiguousarray(found.minima).view(np.uint8))]
        )
        return pa.table({
            "row": pa.array(batch.rows), "doc_id": pa.array(batch.doc_ids),
            "bytes": column.lengths.astype(np.int32), "shingles": found.shingles,
            "signature_key": signature_keys(found.minima),
            "sketch_low": found.sketch[:, 0].view(np.int64), "sketch_high": found.sketch[:, 1].view(np.int64),
            "signature": packed.cast(pa.binary()),
        })  # fmt: skip

    def decide_globally(self, context: DecisionContext) -> None:
        """Elects survivors. See the module for the steps."""
        from pyspark.sql import functions as F

        config: NearDedupDecision = context.config()
        scratch = context.folder / "scratch"
        with context.cluster.step("near_dedup: bands and buckets"):
            documents = context.read(context.evidence.paths("evidence"), EVIDENCE).filter("shingles > 0")
            candidates = materialise(_candidates(documents, config, self.evidence.num_perm), scratch / "candidates")
            edges = candidates.filter("b >= 0")
            context.facts["candidates"] = edges.count()
            context.facts["capped"] = candidates.filter("b < 0").count()
            context.facts["capped_examples"] = [
                str(r.a) for r in candidates.filter("b < 0").orderBy("a").limit(5).collect()
            ]
        sets = self._sets(context, edges, config)
        with context.cluster.step("near_dedup: verify"):
            verified = materialise(_verified(edges, sets, config), scratch / "verified")
            context.facts["edges"] = verified.count()
            pairs = verified.select(F.col("a").alias("doc_id"), F.col("b").alias("other"), "similarity")
            context.scatter(pairs, "edges", EDGES)
        with context.cluster.step("near_dedup: components and survivors"):
            members = components(verified.select("a", "b"), config.max_edges_in_memory, scratch)
            elected = materialise(self._elected(context, documents, members, sets, config), scratch / "elected")
            _write(context, elected)
        import shutil

        shutil.rmtree(scratch, ignore_errors=True)

    def _sets(self, context: DecisionContext, edges: DataFrame, config: NearDedupDecision) -> DataFrame:
        """Second scan: the shingle sets of the documents in candidate edges.

        They lie beside the evidence, under what they depend on: documents whose set is there already, from another
        threshold or from a driver that died, are not read again.
        """
        identity = context.run.ingest.body["identity"]
        key = stable_hash([identity, self.evidence.shingle_tokens, config.max_set_size])
        folder = context.evidence.folder.parents[1] / "sets" / key
        with context.cluster.step("near_dedup: whom to verify"):
            ends = edges.select("a").union(edges.select("b")).distinct().withColumnRenamed("a", "doc_id")
            wanted = scatter(ends, "wanted", WANTED, folder / "wanted", len(context.run.shards))
            named = [place(folder / "wanted", f, f"{f.shard:06d}-{f.digest[:16]}.parquet") for f in wanted]
            named.sort(key=lambda f: f.shard)
        known = load_manifest(folder)
        shards = {s.number: s for s in context.run.shards}
        payloads = [
            {
                "shard": near_steps.shard_payload(shards[f.shard]), "wanted": str(folder / "wanted" / f.path),
                "known": known.paths_of_shard("sets", f.shard) if known else [], "folder": str(folder),
                "max_size": config.max_set_size, "width": self.evidence.shingle_tokens,
            }
            for f in named
        ]  # fmt: skip
        answers = context.cluster.map(
            "pipelines.near_steps:shingle_sets_of_shard", payloads, label="near_dedup: scan shingle sets",
            receipts=folder / "receipts", weights=[f.rows for f in named],
        )  # fmt: skip
        fresh = [FileEntry(**a["file"]) for a in answers]
        others = [f for f in known.files if f.shard not in {e.shard for e in fresh}] if known else []
        manifest = commit(folder, {"key": key}, [*fresh, *others])
        context.facts["sets_scanned"] = sum(a["scanned"] for a in answers)
        return context.read(manifest.paths("sets"), near_steps.SETS)

    def _elected(
        self,
        context: DecisionContext,
        documents: DataFrame,
        members: DataFrame,
        sets: DataFrame,
        config: NearDedupDecision,
    ) -> DataFrame:
        quality = context.columns_of("sentence_quality", "quality FLOAT")
        rows = (
            members.join(documents.select("doc_id", "bytes"), on="doc_id", how="inner")
            .join(quality, on="doc_id", how="left")
            .join(sets, on="doc_id", how="inner")
        )
        step = partial(near_steps.run, "elect", {"threshold": config.threshold})
        parts = _parts(rows)
        return (
            rows.repartition(parts, "component")
            .sortWithinPartitions("component", "doc_id")
            .mapInArrow(step, near_steps.ELECTED)
        )


def _parts(frame: DataFrame) -> int:
    return int(frame.sparkSession.conf.get("spark.sql.shuffle.partitions") or "8")


def _candidates(documents: DataFrame, config: NearDedupDecision, num_perm: int) -> DataFrame:
    """Distinct edges a < b; a capped document comes as (a, -1).

    Equal signatures are collapsed first: their documents are linked to the first of them, and it alone is banded.
    """
    from pyspark.sql import functions as F

    groups = documents.groupBy("signature_key").agg(F.min("doc_id").alias("first"), F.count("*").alias("n"))
    repeated = groups.filter("n > 1").select("signature_key", "first")
    linked = documents.select("doc_id", "signature_key").join(repeated, on="signature_key", how="inner")
    copies = linked.filter("doc_id != first").select(F.col("first").alias("a"), F.col("doc_id").alias("b"))
    alone = documents.join(copies.select(F.col("b").alias("doc_id")), on="doc_id", how="left_anti")
    bands = partial(near_steps.run, "bands", {"bands": config.bands, "rows": config.rows, "num_perm": num_perm})
    margin = 4 * 0.06  # four standard errors of a 128-bit sketch
    buckets = partial(
        near_steps.run,
        "buckets",
        {"accept": config.threshold - margin, "clear": min(0.97, config.threshold + 2 * 0.06)},
    )
    rows = alone.select("doc_id", "sketch_low", "sketch_high", "signature").mapInArrow(bands, near_steps.BANDS)
    edges = (
        rows.repartition(_parts(documents), "key")
        .sortWithinPartitions("key", "doc_id")
        .mapInArrow(buckets, near_steps.CANDIDATES)
    )
    return edges.union(copies).distinct()


def _verified(edges: DataFrame, sets: DataFrame, config: NearDedupDecision) -> DataFrame:
    from pyspark.sql import functions as F

    left = sets.select(
        F.col("doc_id").alias("a"), F.col("modulus").alias("modulus_a"), F.col("hashes").alias("hashes_a")
    )
    right = sets.select(
        F.col("doc_id").alias("b"), F.col("modulus").alias("modulus_b"), F.col("hashes").alias("hashes_b")
    )
    step = partial(near_steps.run, "verify", {"threshold": config.threshold})
    joined = edges.join(left, on="a", how="inner").join(right, on="b", how="inner")
    return joined.select("a", "b", "modulus_a", "hashes_a", "modulus_b", "hashes_b").mapInArrow(
        step, near_steps.VERIFIED
    )


def _write(context: DecisionContext, elected: DataFrame) -> None:
    from pyspark.sql import functions as F

    losers = elected.filter("doc_id != survivor")
    drops = losers.select("doc_id", F.lit("near_duplicate").alias("reason"), "survivor", "similarity")
    context.scatter(drops, "drops", DROPS)
    copies = context.columns_of("exact_dedup", "exact_copies INT")
    counted = losers.join(copies, on="doc_id", how="left").withColumn("n", F.coalesce("exact_copies", F.lit(1)))
    families = counted.groupBy(F.col("survivor").alias("doc_id")).agg(F.sum("n").cast("int").alias("near_copies"))
    sizes = elected.groupBy("component").agg(F.count("*").cast("int").alias("component_size"))
    columns = (
        elected.join(families, on="doc_id", how="left")
        .join(sizes, on="component", how="inner")
        .select(
            "doc_id", F.col("component").alias("component_id"), "component_size",
            F.coalesce("near_copies", F.lit(0)).alias("near_copies"),
        )
    )  # fmt: skip
    context.scatter(columns, "columns", COLUMNS)
    context.facts["components"] = sizes.count()
    largest = sizes.agg(F.max("component_size").alias("n")).first()
    context.facts["largest_component"] = (largest["n"] or 0) if largest else 0
    context.facts["dropped"] = losers.count()
