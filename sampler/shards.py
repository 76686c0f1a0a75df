"""What the sampler reads of a run: published shards, their weights, and nothing else.

Shards are the sorted `RUN/shards/<domain>/*.parquet`; the name order is doc_id order. Weights lie beside
them, in `RUN/weights/<curve-hash>/<domain>/`, one file a shard, row by row; a run without them means 1.0 for
every document. Identity is the content's sha256: a shard renamed or touched is the same shard, an edited one
never is. Cost: one sequential read of the shards for their digests (0.5-2 GB/s).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.errors import TamisError
from corpus.files import file_digest, load_manifest, read_json

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

    Args:
        run: the run folder.

    Raises:
        TamisError: the run has no published shards.
    """
    manifest = load_manifest(run / "shards")
    if manifest is None and (run / "run.json").exists():
        raise TamisError(f"{run}: has no finished shards; run the pipeline to its end first.")
    shards: dict[str, list[Shard]] = {}
    if manifest is not None:  # what it names counts, and its digests need not be computed again
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
                yield _rows(batch)
    except (pa.ArrowException, OSError) as error:
        raise TamisError(f"{shard.path}: cannot be read as Parquet ({error}).") from error


def _rows(batch: pa.RecordBatch) -> Rows:
    split = batch.column("split").to_pylist()
    return Rows(
        doc_ids=batch.column("doc_id").to_numpy(zero_copy_only=False).astype(np.int64),
        texts=[text or "" for text in batch.column("text").to_pylist()],
        heldout=np.array([name == "heldout" for name in split], np.bool_),
    )


def weights_hash(run: Path) -> str | None:
    """The curve hash that `RUN/state.json` names, or None where the run has no weights.

    Raises:
        TamisError: state.json is broken, or its `weights` is not a string.
    """
    if not (run / "state.json").exists():
        return None
    found = read_json(run / "state.json").get("weights")
    if found is not None and not isinstance(found, str):
        raise TamisError(f"{run / 'state.json'}: `weights` is {found!r} (allowed: a curve hash).")
    return found


def read_weights(run: Path, domain: str, doc_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The weight of every document of a domain, in doc_id order.

    Args:
        run: the run folder.
        domain: its domain.
        doc_ids: int64[n], the documents that the weights must be for.

    Returns:
        float32[n], expected copies an epoch.

    Raises:
        TamisError: the weights are of other documents, negative, or not finite.
    """
    curve = weights_hash(run)
    if curve is None:
        return np.ones(len(doc_ids), np.float32)
    folder = run / "weights" / curve / domain
    ids, weights = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for path in sorted(path for path in folder.glob("*.parquet") if path.name[0] not in "._"):
        try:
            table = pq.read_table(path, columns=["doc_id", "weight"])
        except (pa.ArrowException, OSError) as error:
            raise TamisError(f"{path}: cannot be read as weights ({error}).") from error
        ids.append(table["doc_id"].to_numpy())
        weights.append(table["weight"].to_numpy().astype(np.float32))
    if not np.array_equal(np.concatenate(ids), doc_ids):
        raise TamisError(f"{folder}: its documents are not those of shards/{domain}; score the run again.")
    found = np.concatenate(weights)
    if not np.isfinite(found).all() or (found < 0).any():
        raise TamisError(f"{folder}: holds a weight that is negative or not finite.")
    return found
