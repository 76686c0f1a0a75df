"""The schemas of every table that more than one room touches; `docs/schema.md` explains those that users read."""

from __future__ import annotations

import pyarrow as pa


def _schema(**columns: str) -> pa.Schema:
    """A schema in the notation of `docs/schema.md`: only a type with a `?` may be null."""
    return pa.schema(
        [pa.field(n, pa.type_for_alias(kind.removesuffix("?")), kind.endswith("?")) for n, kind in columns.items()]
    )


DOCUMENT = _schema(
    text="string",
    bytes="int32",
    sentences="int32",
    source_id="string",
    url="string?",
    source="string?",
    lang="string?",
    licence="string?",
    extra="string?",
    file="string",
    offset="int64",
    length="int64",
)
"""A document shard: the text as ingested, written once; the id is the position."""

METADATA = ("source_id", "url", "source", "lang", "licence", "extra", "file", "offset", "length")
"""Columns of a document shard that are carried into the published shards as they are."""

QUARANTINE = _schema(domain="string", file="string", offset="int64", length="int64", reason="string", detail="string")
"""A raw record that never became a document."""

URLS = _schema(url="string?", source_id="string")
"""One file a document shard, one line a row: the narrow index that lets `explain` open one document."""

DROPS = _schema(row="int32", doc_id="int64", reason="string", survivor="int64?", similarity="float?")
"""A decision's removed documents."""

EDITS = _schema(row="int32", start="int32", end="int32", reason="string", replacement="string?", sentences="int32")
"""A decision's cuts (no replacement) and rewrites, as byte offsets into the stored text."""

DROPPED = _schema(
    doc_id="int64",
    source_id="string",
    domain="string",
    stage="string",
    reason="string",
    survivor="int64?",
    similarity="float?",
    url="string?",
    file="string",
    offset="int64",
    length="int64",
    bytes="int32",
)
"""`RUN/dropped`: every removed document, sorted by `doc_id`."""

WEIGHTS = _schema(doc_id="int64", weight="float")
"""`RUN/weights/<curve-hash>`: row by row beside a published shard."""

SEMANTIC_COLUMNS = _schema(
    row="int32",
    doc_id="int64",
    cluster_id="int32?",
    cluster_size="int32?",
    centroid_distance="float?",
    density="float?",
    nearest_similarity="float?",
    semantic_component="int64?",
    semantic_size="int32?",
)
"""What `semantic_clusters` found about each document that has a vector."""

SEMANTIC_EDGES = _schema(row="int32", doc_id="int64", other="int64", similarity="float")
"""Pairs of one cell whose cosine reaches the threshold."""

SEMANTIC_CELLS = _schema(
    row="int32",
    doc_id="int64",
    cluster_id="int32",
    cluster_size="int32",
    new_documents="int32",
    mean_distance="float",
    divided="int32",
    capped="int32",
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
        *_schema(
            doc_id="int64",
            domain="string",
            split="string",
            text="string",
            bytes="int32",
            sentences="int32",
            stored_bytes="int32",
        ),
        *(DOCUMENT.field(name) for name in METADATA),
        *(pa.field(name, kind) for name, kind, _, _ in SCORES),
    ]
)
"""A published shard: one document a row, sorted by `doc_id`."""
