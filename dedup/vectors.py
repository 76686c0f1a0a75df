"""Document vectors as arrays and as Arrow columns: normalising, finding unusable ones, storing, shuffling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.kernels import kernel

Float16 = npt.NDArray[np.float16]
Float32 = npt.NDArray[np.float32]


def unit(vectors: npt.NDArray[Any]) -> Float32:
    """Rows scaled to length one, float32[n, dim]; rows of zeros stay zero."""
    return _unit(np.ascontiguousarray(vectors, np.float32))


def usable(vectors: Float32) -> npt.NDArray[np.bool_]:
    """Rows that are finite and not all zero, bool[n]."""
    return np.asarray(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))


@kernel
def _unit(vectors):  # type: ignore[no-untyped-def]
    out = np.empty_like(vectors)
    for i in range(vectors.shape[0]):
        total = 0.0
        for j in range(vectors.shape[1]):
            total += np.float64(vectors[i, j]) * np.float64(vectors[i, j])
        norm = np.float32(np.sqrt(total)) if total > 0 else np.float32(1)
        for j in range(vectors.shape[1]):
            out[i, j] = vectors[i, j] / norm
    return out


def pack_vectors(vectors: Float32) -> pa.Array:
    """Vectors for disk: fixed_size_list<float16>, which any reader of Parquet shows as numbers."""
    kind = pa.list_(pa.field("element", pa.float16()), vectors.shape[1])  # the name that Parquet gives back
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).reshape(-1)), type=kind)


def unpack_vectors(column: pa.ChunkedArray | pa.Array) -> Float16:
    """The vectors of such a column, float16[n, dim]."""
    width = column.type.list_size
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    values = [c.flatten().to_numpy(zero_copy_only=False) for c in chunks]
    return (np.concatenate(values) if values else np.zeros(0, np.float16)).reshape(-1, width)


def vectors_as_bytes(vectors: Float16) -> pa.Array:
    """Vectors for a shuffle, as fixed-size binary: Arrow copies each value in one piece."""
    kind = pa.binary(2 * vectors.shape[1])
    return pa.Array.from_buffers(kind, len(vectors), [None, pa.py_buffer(np.ascontiguousarray(vectors))])


def vectors_from_bytes(column: pa.ChunkedArray) -> Float16:
    """The vectors of such a column, float16[n, dim]."""
    width = column.type.byte_width // 2
    chunks = [
        np.frombuffer(c.buffers()[1], np.float16, len(c) * width, c.offset * width * 2) for c in column.chunks if len(c)
    ]
    return (np.concatenate(chunks) if chunks else np.zeros(0, np.float16)).reshape(-1, width)
