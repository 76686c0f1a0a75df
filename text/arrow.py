"""Arrow text as flat numpy buffers, zero-copy.

Every kernel of Tamis takes the same two arrays: `offsets` and `data`. No Python object is made for a document, word or
sentence, so that a scan costs only milliseconds for a megabyte.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from text.binary import value_offsets, whole

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column of texts."""

    offsets: Int64  # [n_docs + 1]; document i is `data[offsets[i]:offsets[i + 1]]`. The first offset need not be 0.
    data: Bytes  # [...]; valid UTF-8, documents back to back

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64:
        """UTF-8 bytes of each document, int64[n_docs]."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """UTF-8 bytes of all the documents."""
        return int(self.offsets[-1] - self.offsets[0])

    def bytes_at(self, i: int) -> bytes:
        """The UTF-8 bytes of document `i`."""
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def text_at(self, i: int) -> str:
        """Document `i` as a string."""
        return self.bytes_at(i).decode("utf-8")

    @classmethod
    def from_arrow(cls, array: pa.Array | pa.ChunkedArray) -> TextColumn:
        """Views a string, large_string or binary array; a null is an empty text.

        Slices, non-zero offsets and several chunks are allowed; several chunks cost one copy.

        Raises:
            TypeError: the array holds no strings.
        """
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks == 1 else _combine(array)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        kind = array.type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not (is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise TypeError(f"text must be a string or binary column, found {kind}")
        if array.null_count:
            array = array.fill_null("" if is_text else b"")
        return cls(value_offsets(array), np.frombuffer(array.buffers()[2] or b"", np.uint8))

    @classmethod
    def from_texts(cls, texts: list[str]) -> TextColumn:
        """A column from Python strings (tests and small inputs)."""
        return cls.from_arrow(pa.array(texts, pa.string()))

    def to_arrow(self) -> pa.Array:
        """The column as a large_string array without a copy of the text."""
        buffers = [None, pa.py_buffer(np.ascontiguousarray(self.offsets)), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.large_string(), len(self), buffers)


def _combine(array: pa.ChunkedArray) -> pa.Array:
    if array.nbytes > 2**31 - 1 and (pa.types.is_string(array.type) or pa.types.is_binary(array.type)):
        array = array.cast(pa.large_string() if pa.types.is_string(array.type) else pa.large_binary())
    return whole(array)
