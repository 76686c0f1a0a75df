"""Settings of the two steps that are no stages: ingest and publishing."""

from __future__ import annotations

from corpus.config import StrictModel, setting


class IngestConfig(StrictModel):
    """How raw input becomes document shards."""

    target_shard_bytes: int = setting(
        128 << 20,
        "Text of a document shard; larger ones make fewer tasks of more memory.",
        unit="bytes",
        ge=1 << 10,
        le=1 << 30,
    )
    max_record_bytes: int = setting(32 << 20, "A larger record is quarantined.", unit="bytes", ge=1 << 10, le=1 << 30)
    extraction_timeout_seconds: float = setting(20.0, "A longer HTML extraction is ended.", unit="seconds", gt=0)
    sample: float = setting(1.0, "Share of the records taken, by a hash of file and offset.", unit="share", gt=0, le=1)
    sample_seed: int = setting(0, "Another seed takes another sample.")


class WriteShardsConfig(StrictModel):
    """How decisions become published shards."""

    target_shard_bytes: int = setting(256 << 20, "Kept text of a shard.", unit="bytes", ge=1 << 10, le=1 << 31)
    heldout_fraction: float = setting(
        0.005, "Share of the near-duplicate components that is set apart for evaluation.", unit="share", ge=0, lt=1
    )
    heldout_seed: int = setting(0, "Another seed sets other components apart.")
