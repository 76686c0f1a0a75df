"""Settings of the two steps that are no stages: ingest and publishing."""

from __future__ import annotations

from pydantic import Field

from corpus.config import StrictModel


class IngestConfig(StrictModel):
    """How raw input becomes document shards."""

    target_shard_bytes: int = Field(128 << 20, ge=1 << 10, le=1 << 30, description="Text bytes of a document shard.")
    max_record_bytes: int = Field(32 << 20, ge=1 << 10, le=1 << 30, description="A larger record is quarantined.")
    extraction_timeout_seconds: float = Field(20.0, gt=0, description="An HTML extraction that takes longer is ended.")
    sample: float = Field(1.0, gt=0, le=1, description="Share of records to take, by a hash of file and offset.")
    sample_seed: int = 0


class WriteShardsConfig(StrictModel):
    """How decisions become published shards."""

    target_shard_bytes: int = Field(
        256 << 20, ge=1 << 10, le=1 << 31, description="Kept text bytes of a published shard."
    )
    heldout_fraction: float = Field(0.005, ge=0, lt=1, description="Share of components set apart for evaluation.")
    heldout_seed: int = 0
