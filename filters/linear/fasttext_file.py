"""fastText's own files, `.bin` and `.ftz`, read into numpy tables.

fastText's library can load these files but hands its quantised matrices to nobody, and its inference is
called with one Python string a document. The file itself is simple: arguments, dictionary, input matrix,
output matrix. We read it once a process and let kernels do the look-ups (`filters.linear.model` for words and
bigrams, `filters.language.lid` for character n-grams). A quantised matrix is unpacked to float32: 64 bytes a
row, 3 MB for lid.176.

Cost: 30 ms for lid.176.ftz (0.9 MB). Source: fastText 0.9.2, `fasttext.cc`, `dictionary.cc`,
`quantmatrix.cc`, `productquantizer.cc` (file version 12); Joulin et al. 2016, "FastText.zip",
arXiv:1612.03651.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.errors import ConfigError

_MAGIC = 793712314
_VERSION = 12
_CENTROIDS = 256

HIERARCHICAL_SOFTMAX = 1
SOFTMAX = 3
SUPERVISED = 3


class Arguments(NamedTuple):
    """What fastText stores of its training arguments, in file order."""

    dim: int
    ws: int
    epoch: int
    min_count: int
    neg: int
    word_ngrams: int
    loss: int
    model: int
    bucket: int
    minn: int
    maxn: int
    lr_update_rate: int
    t: float


@dataclass(frozen=True, slots=True)
class FastTextFile:
    """A supervised fastText model as tables."""

    arguments: Arguments  # how it was trained
    words: list[bytes]  # UTF-8 words by row
    labels: list[str]  # label names without their prefix, by output row
    label_counts: npt.NDArray[np.int64]  # [n_labels], training examples, never rising: the Huffman tree follows
    pruned: npt.NDArray[np.int32] | None  # [n_kept, 2] of (bucket, row behind the words); None where all are there
    inputs: npt.NDArray[np.float32]  # [n_words + buckets, dim]
    outputs: npt.NDArray[np.float32]  # [n_labels, dim] (for hierarchical softmax row i belongs to the i-th inner node)


def read_fasttext(path: Path) -> FastTextFile:
    """Reads a supervised model.

    Raises:
        ConfigError: the file is no supervised fastText model of version 12, or ends too early.
        FileNotFoundError: there is no such file.
    """
    cursor = _Cursor(path.read_bytes())
    try:
        magic, version = cursor.take("<ii")
        if magic != _MAGIC or version != _VERSION:
            raise ConfigError(f"{path} is not a fastText model of file version {_VERSION}")
        arguments = Arguments(*cursor.take("<12id"))
        if arguments.model != SUPERVISED:
            raise ConfigError(f"{path} holds word vectors, not a supervised model")
        words, labels, counts, pruned = _dictionary(cursor)
        quantised = bool(cursor.take("<?")[0])
        inputs = _quantised(cursor) if quantised else _dense(cursor)
        output_quantised = bool(cursor.take("<?")[0])
        outputs = _quantised(cursor) if quantised and output_quantised else _dense(cursor)
    except (struct.error, ValueError) as error:
        raise ConfigError(f"{path} is cut short or damaged: {error}") from error
    return FastTextFile(arguments, words, labels, counts, pruned, inputs, outputs)


class _Cursor:
    """A position in the file's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return values

    def array(self, dtype: str, count: int) -> npt.NDArray[np.generic]:
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def text(self) -> bytes:
        end = self.data.index(b"\0", self.at)
        value = self.data[self.at : end]
        self.at = end + 1
        return value


def _dictionary(cursor: _Cursor) -> tuple[list[bytes], list[str], npt.NDArray[np.int64], npt.NDArray[np.int32] | None]:
    size, _, _, _, n_pruned = cursor.take("<iiiqq")
    words: list[bytes] = []
    labels: list[str] = []
    counts: list[int] = []
    for _ in range(size):
        entry = cursor.text()
        count, kind = cursor.take("<qb")
        if kind == 0:
            words.append(entry)
        else:
            labels.append(entry.decode("utf-8").removeprefix("__label__"))
            counts.append(count)
    pruned = None
    if n_pruned >= 0:
        pruned = cursor.array("<i4", 2 * n_pruned).reshape(-1, 2).astype(np.int32)
    return words, labels, np.array(counts, np.int64), pruned


def _dense(cursor: _Cursor) -> npt.NDArray[np.float32]:
    rows, columns = cursor.take("<qq")
    return cursor.array("<f4", rows * columns).reshape(rows, columns).astype(np.float32)


def _quantised(cursor: _Cursor) -> npt.NDArray[np.float32]:
    """A product-quantised matrix, each row `norm · (centroid, centroid, …)`."""
    has_norms, rows, columns, n_codes = cursor.take("<?qqi")
    codes = cursor.array("u1", n_codes).reshape(rows, -1)
    matrix = _decode(cursor, codes)
    if has_norms:
        norm_codes = cursor.array("u1", rows).reshape(rows, 1)
        matrix *= _decode(cursor, norm_codes)
    return matrix.reshape(rows, columns)


def _decode(cursor: _Cursor, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    dim, parts, width, last_width = cursor.take("<iiii")
    centroids = cursor.array("<f4", dim * _CENTROIDS)
    matrix = np.empty((len(codes), dim), np.float32)
    for part in range(parts):
        wide = last_width if part == parts - 1 else width
        start = part * _CENTROIDS * width
        table = centroids[start : start + _CENTROIDS * wide].reshape(_CENTROIDS, wide)
        matrix[:, part * width : part * width + wide] = table[codes[:, part]]
    return matrix
