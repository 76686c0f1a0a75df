"""The schemas of every table that more than one room touches; `docs/schema.md` explains those that users read."""

from __future__ import annotations

import pyarrow as pa

DOCUMENT = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("bytes", pa.int32(), nullable=False),
        pa.field("sentences", pa.int32(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("source", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("extra", pa.string()),
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
    ]
)
"""A document shard: the text as ingested, written once; the id is the position."""

METADATA = ("source_id", "url", "source", "lang", "licence", "extra", "file", "offset", "length")
"""Columns of a document shard that are carried into the published shards as they are."""

QUARANTINE = pa.schema(
    [
        pa.field("domain", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""A raw record that never became a document."""

URLS = pa.schema([pa.field("url", pa.string()), pa.field("source_id", pa.string(), nullable=False)])
"""One file a document shard, one line a row: the narrow index that lets `explain` open one document."""

DROPS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("survivor", pa.int64()),
        pa.field("similarity", pa.float32()),
    ]
)
"""A decision's removed documents."""

EDITS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("replacement", pa.string()),
        pa.field("sentences", pa.int32(), nullable=False),
    ]
)
"""A decision's cuts (no replacement) and rewrites, as byte offsets into the stored text."""

DROPPED = pa.schema(
    [
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("survivor", pa.int64()),
        pa.field("similarity", pa.float32()),
        pa.field("url", pa.string()),
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("bytes", pa.int32(), nullable=False),
    ]
)
"""`RUN/dropped`: every removed document, sorted by `doc_id`."""

WEIGHTS = pa.schema([pa.field("doc_id", pa.int64(), nullable=False), pa.field("weight", pa.float32(), nullable=False)])
"""`RUN/weights/<curve-hash>`: row by row beside a published shard."""

SEMANTIC_COLUMNS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("cluster_id", pa.int32()),
        pa.field("cluster_size", pa.int32()),
        pa.field("centroid_distance", pa.float32()),
        pa.field("density", pa.float32()),
        pa.field("nearest_similarity", pa.float32()),
        pa.field("semantic_component", pa.int64()),
        pa.field("semantic_size", pa.int32()),
    ]
)
"""What `semantic_clusters` found about each document that has a vector."""

SEMANTIC_EDGES = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("other", pa.int64(), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),
    ]
)
"""Pairs of one cell whose cosine reaches the threshold."""

SEMANTIC_CELLS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("cluster_id", pa.int32(), nullable=False),
        pa.field("cluster_size", pa.int32(), nullable=False),
        pa.field("new_documents", pa.int32(), nullable=False),
        pa.field("mean_distance", pa.float32(), nullable=False),
        pa.field("divided", pa.int32(), nullable=False),
        pa.field("capped", pa.int32(), nullable=False),
    ]
)
"""A cell a row, named beside the new document that is nearest to its centroid."""

SCORES: tuple[tuple[str, pa.DataType, str, object], ...] = (
    ("language", pa.string(), "language", None),
    ("language_score", pa.float32(), "language", None),
    ("language_share", pa.float32(), "language", None),
    ("second_language", pa.string(), "language", None),
    ("quality", pa.float32(), "sentence_quality", None),
    ("safety", pa.float32(), "safety", None),
    ("unsafe_share", pa.float32(), "safety", 0.0),
    ("listed_terms", pa.int32(), "safety", 0),
    ("contaminated_by", pa.string(), "decontaminate", None),
    ("exact_copies", pa.int32(), "exact_dedup", 1),
    ("cluster_id", pa.int32(), "semantic_clusters", None),
    ("cluster_size", pa.int32(), "semantic_clusters", None),
    ("centroid_distance", pa.float32(), "semantic_clusters", None),
    ("density", pa.float32(), "semantic_clusters", None),
    ("nearest_similarity", pa.float32(), "semantic_clusters", None),
    ("semantic_component", pa.int64(), "semantic_clusters", None),
    ("semantic_size", pa.int32(), "semantic_clusters", 1),
    ("component_id", pa.int64(), "near_dedup", None),
    ("component_size", pa.int32(), "near_dedup", 1),
    ("near_copies", pa.int32(), "near_dedup", 0),
    ("pii_email", pa.int32(), "pii", None),
    ("pii_cn_id", pa.int32(), "pii", None),
    ("pii_iban", pa.int32(), "pii", None),
    ("pii_bank_card", pa.int32(), "pii", None),
    ("pii_phone", pa.int32(), "pii", None),
    ("pii_ip", pa.int32(), "pii", None),
    ("repeated_share", pa.float32(), "span_dedup", 0.0),
    ("max_span_copies", pa.int32(), "span_dedup", 1),
    ("frequency", pa.int32(), "score", 1),
)
"""Score columns of a published shard.

Name, type, the stage that fills it, and what stands where that stage said nothing.
"""

PUBLISHED = pa.schema(
    [
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("bytes", pa.int32(), nullable=False),
        pa.field("sentences", pa.int32(), nullable=False),
        pa.field("stored_bytes", pa.int32(), nullable=False),
        *(DOCUMENT.field(name) for name in METADATA),
        *(pa.field(name, kind) for name, kind, _, _ in SCORES),
    ]
)
"""A published shard: one document a row, sorted by `doc_id`."""
