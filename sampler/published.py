"""The published shards of a run, which the tokenizer and the token bins are made from.

They are the files `RUN/shards/<domain>/*.parquet`; sorted by name they are in doc_id order. A shard is identified by
the sha256 of its content: renamed or touched it is the same shard, edited it is another. Cost: where no manifest has
the digests, one sequential read of the shards (0.5-2 GB/s).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.files import file_digest, load_manifest
from tamis.errors import TamisError

COLUMNS = ("doc_id", "text", "split")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One published shard."""

    domain: str
    path: Path
    digest: str


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A few consecutive documents of a shard."""

    doc_ids: npt.NDArray[np.int64]
    texts: list[str]
    heldout: npt.NDArray[np.bool_]


def list_shards(run: Path) -> dict[str, list[Shard]]:
    """All published shards of a run, by domain, both in sorted order.

    Raises:
        TamisError: the run has no published shards.
    """
    manifest = load_manifest(run / "shards")
    if manifest is None and (run / "run.json").exists():
        raise TamisError(f"{run}: has no finished shards; run the pipeline to its end first.")
    shards: dict[str, list[Shard]] = {}
    if manifest is not None:  # it decides which shards there are, and has their digests
        for entry in sorted(manifest.files, key=lambda f: f.path):
            shard = Shard(domain=entry.info["domain"], path=manifest.folder / entry.path, digest=entry.digest)
            shards.setdefault(shard.domain, []).append(shard)
        return shards
    folders = sorted(folder for folder in (run / "shards").glob("*") if folder.is_dir())
    for folder in folders:
        paths = sorted(path for path in folder.glob("*.parquet") if path.name[0] not in "._")
        if paths:
            shards[folder.name] = [Shard(domain=folder.name, path=path, digest=file_digest(path)) for path in paths]
    if not shards:
        raise TamisError(f"{run / 'shards'}: holds no published shards (<domain>/*.parquet); run the pipeline first.")
    return shards


def read_rows(shard: Shard, rows_per_batch: int = 256) -> Iterator[Rows]:
    """Stream a shard's documents in order.

    Raises:
        TamisError: the file is not Parquet, is damaged, or lacks a column.
    """
    try:
        with pq.ParquetFile(shard.path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise TamisError(f"{shard.path}: lacks the column {', '.join(missing)}.")
            for batch in file.iter_batches(batch_size=rows_per_batch, columns=list(COLUMNS)):
                yield Rows(
                    doc_ids=batch.column("doc_id").to_numpy(zero_copy_only=False).astype(np.int64),
                    texts=[text or "" for text in batch.column("text").to_pylist()],
                    heldout=np.array([name == "heldout" for name in batch.column("split").to_pylist()], np.bool_),
                )
    except (pa.ArrowException, OSError) as error:
        raise TamisError(f"{shard.path}: cannot be read as Parquet ({error}).") from error
