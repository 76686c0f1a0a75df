"""The task sides of ``near_dedup``: Arrow batches in, Arrow batches out, kernels of ``dedup`` between.

``run`` is what Spark pickles: a step's name and plain numbers. The code is imported inside the task, after it has
been unpacked where it came in a zip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BANDS = "key BIGINT, doc_id BIGINT, sketch_low BIGINT, sketch_high BIGINT"
CANDIDATES = "a BIGINT, b BIGINT"
SETS = "doc_id BIGINT, modulus BIGINT, hashes BINARY"
VERIFIED = "a BIGINT, b BIGINT, similarity FLOAT"
ELECTED = "component BIGINT, doc_id BIGINT, survivor BIGINT, similarity FLOAT"

Batches = Iterator[pa.RecordBatch]


def run(step: str, settings: dict[str, Any], batches: Batches) -> Batches:
    """Runs a named step over the batches of a partition."""
    from pipelines.worker import unpack_code

    unpack_code()
    import pipelines.near_steps as steps

    known: dict[str, Callable[..., Batches]] = {
        "bands": steps.bands, "buckets": steps.buckets, "verify": steps.verify, "elect": steps.elect,
    }  # fmt: skip
    return known[step](batches, **settings)


def bands(batches: Batches, bands: int, rows: int, num_perm: int) -> Batches:
    """(doc_id, sketch, signature) → one row a band."""
    from dedup.banding import band_keys

    for batch in batches:
        minima = _binary(batch.column("signature")).view(np.uint32).reshape(-1, num_perm)
        keys = band_keys(minima, bands, rows)
        yield _batch(
            key=keys.reshape(-1), doc_id=np.repeat(batch.column("doc_id").to_numpy(), bands),
            sketch_low=np.repeat(batch.column("sketch_low").to_numpy(), bands),
            sketch_high=np.repeat(batch.column("sketch_high").to_numpy(), bands),
        )  # fmt: skip


def buckets(batches: Batches, accept: float, clear: float) -> Batches:
    """Band rows sorted by (key, doc_id) → candidate edges (a, b); a capped document as (a, -1)."""
    from dedup.banding import bucket_edges

    for table in _whole_groups(batches, "key"):
        keys = table.column("key").to_numpy()
        sketch = np.stack([table.column("sketch_low").to_numpy(), table.column("sketch_high").to_numpy()], axis=1)
        low, high, capped = bucket_edges(keys, table.column("doc_id").to_numpy(), sketch.view(np.uint64), accept, clear)
        edges = np.unique(np.stack([low, high], axis=1), axis=0) if len(low) else np.zeros((0, 2), np.int64)
        yield _batch(a=np.concatenate([edges[:, 0], capped]), b=np.concatenate([edges[:, 1], np.full(len(capped), -1)]))


def verify(batches: Batches, threshold: float) -> Batches:
    """Edges with both shingle sets → those whose similarity reaches the threshold."""
    from dedup.verify import pair_similarities

    for batch in batches:
        n = batch.num_rows
        left, right = batch.column("hashes_a"), batch.column("hashes_b")
        ptr = np.concatenate([_offsets(left), _offsets(right)[1:] + _offsets(left)[-1]])
        hashes = np.concatenate([_binary(left), _binary(right)]).view(np.uint64)
        modulus = np.concatenate([batch.column("modulus_a").to_numpy(), batch.column("modulus_b").to_numpy()])
        numbers = np.arange(n, dtype=np.int64)
        found = pair_similarities(ptr, hashes, modulus, numbers, numbers + n)
        keep = found >= np.float32(threshold)
        yield _batch(a=batch.column("a").to_numpy()[keep], b=batch.column("b").to_numpy()[keep], similarity=found[keep])


def elect(batches: Batches, threshold: float) -> Batches:
    """Members of components with their sets, sorted by (component, doc_id) → each one's survivor."""
    from dedup.survivors import elect as elect_component

    for table in _whole_groups(batches, "component"):
        component = table.column("component").to_numpy()
        ids = table.column("doc_id").to_numpy()
        quality = table.column("quality").to_numpy(zero_copy_only=False).astype(np.float32)
        length = table.column("bytes").to_numpy().astype(np.int64)
        modulus = table.column("modulus").to_numpy()
        sets = table.column("hashes").cast(pa.large_binary()).combine_chunks()
        ptr, hashes = _offsets(sets), _binary(sets).view(np.uint64)
        bounds = [0, *(np.flatnonzero(np.diff(component)) + 1).tolist(), len(component)]
        survivor, similarity = np.empty(len(ids), np.int64), np.empty(len(ids), np.float32)
        for a, b in zip(bounds[:-1], bounds[1:], strict=True):
            if a < b:
                chosen, found = elect_component(
                    ptr[a : b + 1], hashes, modulus[a:b], quality[a:b], length[a:b], ids[a:b], threshold
                )
                survivor[a:b], similarity[a:b] = ids[a:b][chosen], found
        yield _batch(component=component, doc_id=ids, survivor=survivor, similarity=similarity)


def shard_payload(shard: Any) -> dict[str, Any]:
    """A document shard as JSON."""
    return {**asdict(shard), "path": str(shard.path)}


def shingle_sets_of_shard(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: the shingle sets of some documents of a shard, from their stored text; those known already are kept.

    Returns:
        ``{"file": FileEntry, "scanned": documents read}``.
    """
    import pyarrow.parquet as pq

    from corpus.files import write_table
    from corpus.run_folder import DocumentShard
    from corpus.state import read_files

    shard = DocumentShard(**{**payload["shard"], "path": Path(payload["shard"]["path"])})
    rows = pq.read_table(payload["wanted"], partitioning=None).column("row").to_numpy()
    known = read_files(payload["known"])
    if known is not None:
        rows = rows[~np.isin(shard.first_id + rows.astype(np.int64), known.column("doc_id").to_numpy())]
    pieces = [] if known is None else [known]
    pieces += _read_sets(shard, rows, payload["width"], payload["max_size"]) if len(rows) else []
    table = pa.concat_tables(pieces).sort_by("doc_id")
    entry = write_table(
        Path(payload["folder"]),
        f"sets-{shard.number:06d}",
        table,
        kind="sets",
        shard=shard.number,
        row_group_rows=20_000,
    )
    return {"file": asdict(entry), "scanned": len(rows)}


def _read_sets(shard: Any, rows: npt.NDArray[np.int32], width: int, max_size: int) -> list[pa.Table]:
    from corpus.view import Edits, build_view
    from text.shingle import shingle_sets

    stored = shard.text()
    pieces = []
    cuts = np.flatnonzero(np.diff(np.cumsum(stored.lengths[rows]) // (8 << 20))) + 1
    for part in np.split(rows, cuts):
        column = build_view(stored, Edits.none(shard.rows), part).column
        ptr, hashes, modulus = shingle_sets(column, width, max_size)
        offsets = pa.py_buffer((ptr * 8).astype(np.int32))
        binary = pa.Array.from_buffers(pa.binary(), len(part), [None, offsets, pa.py_buffer(hashes.copy())])
        ids = shard.first_id + part.astype(np.int64)
        pieces.append(pa.table({"doc_id": ids, "modulus": modulus, "hashes": binary}))
    return pieces


def _whole_groups(batches: Batches, key: str) -> Iterator[pa.Table]:
    """Joins sorted batches so that no group of equal keys is split over two tables."""
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        keys = batch.column(key).to_numpy()
        if not len(keys):
            continue
        if pending and keys[-1] == pending[0].column(key)[0].as_py():
            pending.append(batch)
            continue
        cut = int(np.searchsorted(keys, keys[-1]))
        if pending and cut == 0:
            yield pa.Table.from_batches(pending)
            pending = [batch]
            continue
        if pending or cut:
            yield pa.Table.from_batches([*pending, batch.slice(0, cut)])
        pending = [batch.slice(cut)]
    if pending:
        yield pa.Table.from_batches(pending)


def _offsets(array: pa.Array) -> npt.NDArray[np.int64]:
    """Where each binary value starts, in 64-bit words from the first one's start; int64[n + 1]."""
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(1, np.int64)
    width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
    found = np.frombuffer(buffer, width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    return (found - found[0]) // 8


def _binary(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of all values, back to back."""
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(0, np.uint8)
    width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
    offsets = np.frombuffer(buffer, width)[array.offset : array.offset + len(array) + 1]
    data = array.buffers()[2]
    if data is None:
        return np.zeros(0, np.uint8)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].copy()


def _batch(**columns: npt.NDArray[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})
