"""Arrow binary columns as numpy arrays: the values' bytes and where each value starts, without a copy of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one chunk."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    return array


def binary_values(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of all values of a binary array without nulls, back to back."""
    if not len(array):
        return np.zeros(0, np.uint8)
    offsets = value_offsets(array)
    return np.frombuffer(array.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]


def as_numbers(column: pa.ChunkedArray, kind: type[np.generic]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """A binary column without nulls, each value some numbers of one kind.

    Returns:
        ptr: int64[n + 1], value i has the numbers `ptr[i]` to `ptr[i + 1]`; and all numbers, without a copy.
    """
    array = whole(column)
    offsets = value_offsets(array)
    return (offsets - offsets[0]) // np.dtype(kind).itemsize, binary_values(array).view(kind)


def value_offsets(array: pa.Array) -> npt.NDArray[np.int64]:
    """Where each value of a string or binary array starts in the data buffer: int64[n + 1]."""
    if not len(array):
        return np.zeros(1, np.int64)
    is_large = pa.types.is_large_binary(array.type) or pa.types.is_large_string(array.type)
    width = np.int64 if is_large else np.int32
    return np.frombuffer(array.buffers()[1], width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
