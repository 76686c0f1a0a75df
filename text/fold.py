"""NFKC and lower case for a whole column: by table where that is exact, by `unicodedata` where it is not.

A document with a combining mark, a joining jamo or a capital sigma is folded here, once, as a Python string. All other
documents stay as they are: the token kernel folds them character by character (it is told by the flag `done`). On
English and Chinese web text under 2 % of the documents take the slow path; Thai, Hindi or vocalised Arabic always take
it, at some 60 MB/s.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.bits import HIGH_BITS, load8
from text.chars import IGNORABLE, NFC_SLOW, SLOW, char_tables, class_of, decode, ignorables, is_tag


@dataclass(frozen=True, slots=True)
class FoldedColumn:
    """A column ready for the token kernels."""

    column: TextColumn
    done: npt.NDArray[np.bool_]  # [n_docs]; True where the text is already folded


def fold(column: TextColumn) -> FoldedColumn:
    """Folds the documents that cannot be folded character by character; the others are left to the kernel's table.

    Returns the column itself (no copy) when there is no such document.
    """
    every = np.ones(len(column), np.bool_)
    slow = _holds(column.offsets, column.data, char_tables().classes, SLOW, every)
    if not slow.any():
        return FoldedColumn(column, slow)
    hidden = _holds(column.offsets, column.data, char_tables().classes, IGNORABLE, slow)
    return FoldedColumn(_rewrite(column, slow, lambda i, text: fold_text(text) if hidden[i] else _fold(text)), slow)


def fold_text(text: str) -> str:
    """NFKC and lower case of a text without the characters that show nothing: "in\u200bvisible" is "invisible"."""
    return _fold(text.translate(ignorables()))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def nfc(column: TextColumn) -> TextColumn:
    """The column in NFC; documents that surely are in NFC already are found by a kernel and not copied."""
    slow = _holds(column.offsets, column.data, char_tables().classes, NFC_SLOW, np.ones(len(column), np.bool_))
    if not slow.any():
        return column
    return _rewrite(column, slow, lambda _, text: unicodedata.normalize("NFC", text))


def _rewrite(column: TextColumn, which: npt.NDArray[np.bool_], change) -> TextColumn:  # type: ignore[no-untyped-def]
    pieces: list[bytes] = []
    lengths = column.lengths.copy()
    last = 0
    for i in np.flatnonzero(which):
        pieces.append(column.data[column.offsets[last] : column.offsets[i]].tobytes())
        changed = change(i, column.text_at(int(i))).encode("utf-8")
        lengths[i] = len(changed)
        pieces.append(changed)
        last = int(i) + 1
    pieces.append(column.data[column.offsets[last] : column.offsets[-1]].tobytes())
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return TextColumn(offsets, np.frombuffer(b"".join(pieces), np.uint8))


@kernel
def _holds(offsets, data, classes, bit, among):  # type: ignore[no-untyped-def]
    """Which texts, of those `among` all, hold a character of a class."""
    n = len(offsets) - 1
    out = np.zeros(n, np.bool_)
    for d in range(n):
        if not among[d]:
            continue
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            if data[i] < 128:
                i += 8 if i + 8 <= end and load8(data, i) & HIGH_BITS == 0 else 1
                continue
            point, size = decode(data, i)
            if class_of(classes, point) & bit or (bit == IGNORABLE and is_tag(point)):
                out[d] = True
                break
            i += size
    return out
