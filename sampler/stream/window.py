"""The array that sequences are written to, and the kernels that write each token once, from a bin's map to int64.

A row is a sequence and one token more: inputs are columns 0…L-1, labels columns 1…L of the same memory, so that
neither is a copy. The window also records the pieces: in which column a document's piece begins, and its document.

Cost: 0.4-0.7 ns a token, some 10 ns a piece.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sampler.stream.block import ShuffleBlock
from sampler.stream.packing import Int64s
from tamis.kernels import kernel

PADDING = -1
"""The document id of padding."""
ROW, COLUMN, PIECE = 0, 1, 2
"""What `places`, int64[3, n], has of each piece that was written: where it begins, and its index in the block."""


class Window:
    """Rows to be filled, as long as the longest sequence; padding consists of `eos_id`."""

    def __init__(self, rows: int, length: int, eos_id: int) -> None:
        self.length, self.eos_id = length, eos_id
        self.tokens = np.empty((rows, length + 1), np.int64)
        self.used = np.zeros(rows, np.int32)
        self._pieces: list[tuple[Int64s, Int64s, Int64s]] = []

    def copy_stretches(self, block: ShuffleBlock, starts: Int64s, rows: Int64s, begin: int, length: int) -> None:
        """For concat: write the part of some sequences that lies in a block; `starts` (each sequence's first token,
        ascending) and `begin` (the block's) count from the domain's beginning.
        """
        first = int(np.searchsorted(block.prefix, starts[0] - begin, "right")) - 1
        last = int(np.searchsorted(block.prefix, starts[-1] - begin + length))
        places = np.empty((3, max(last - first, 0) + len(starts) + 1), np.int64)
        count = _copy_stretches(
            block.source,
            block.base,
            block.pieces.begins,
            block.prefix,
            starts - begin,
            rows,
            length,
            self.tokens.reshape(-1),
            self.length + 1,
            places,
        )
        self._add(block, places[:, :count])
        self.used[rows] = length
        if length < self.length:
            self.tokens[rows, length + 1 :] = self.eos_id

    def copy_planned(self, block: ShuffleBlock, sequences: Int64s, rows: Int64s) -> None:
        """For best_fit and document: write whole sequences of a block, by their numbers in its plan, into `rows`."""
        plan = block.plan
        assert plan is not None
        count = int((plan.first[sequences + 1] - plan.first[sequences]).sum())
        places = np.empty((3, count), np.int64)
        ends = block.document_ends
        _copy_planned(
            block.source,
            block.base,
            plan.pieces.begins,
            plan.pieces.ends,
            ends,
            plan.first,
            sequences,
            rows,
            self.tokens.reshape(-1),
            self.length + 1,
            self.eos_id,
            self.used,
            places,
        )
        self._add(block, places, plan.pieces.rows)

    def pieces(self) -> tuple[Int64s, npt.NDArray[np.int32], Int64s]:
        """All pieces, row by row, padding included.

        Returns:
            int64[n_rows + 1], the first piece of each row; int32[n_pieces], the columns where pieces begin;
            int64[n_pieces], their documents, -1 for padding.
        """
        padded = np.flatnonzero(self.used < self.length)
        end = self.used[padded].astype(np.int64)
        parts = [*self._pieces, (padded, end, np.full(len(padded), PADDING, np.int64))]
        rows, columns, documents = (np.concatenate([part[k] for part in parts]) for k in range(3))
        in_order = np.argsort(rows * (self.length + 1) + columns, kind="stable")
        first = np.searchsorted(rows[in_order], np.arange(len(self.used) + 1)).astype(np.int64)
        return first, columns[in_order].astype(np.int32), documents[in_order]

    def _add(self, block: ShuffleBlock, places: Int64s, documents: Int64s | None = None) -> None:
        documents = block.pieces.rows if documents is None else documents
        self._pieces.append((places[ROW], places[COLUMN], block.shard.index.doc_ids[documents[places[PIECE]]]))


def positions_of(first: Int64s, columns: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.int32]:
    """Positions that restart with every piece: int32[n_rows, length]. Arguments as `Window.pieces` returns them."""
    out = np.empty((len(first) - 1, length), np.int32)
    _positions(first, columns, out)
    return out


def segments_of(first: Int64s, columns: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.int32]:
    """Which of its row's pieces each token belongs to: int32[n_rows, length]."""
    out = np.empty((len(first) - 1, length), np.int32)
    _segments(first, columns, out)
    return out


def labels_of(window: Int64s, used: npt.NDArray[np.int32], ignored: int) -> Int64s:
    """The token after each token, and `ignored` in padding: int64[n_rows, length], of a window one column wider; `used`
    tokens of a row, int32[n_rows], come before its padding.
    """
    out = np.empty((window.shape[0], window.shape[1] - 1), np.int64)
    _labels(window, used, ignored, out)
    return out


@kernel(nogil=True)
def _labels(window, used, ignored, out):  # type: ignore[no-untyped-def]
    for row in range(len(used)):
        for i in range(used[row]):
            out[row, i] = window[row, i + 1]
        for i in range(used[row], out.shape[1]):
            out[row, i] = ignored


@kernel(nogil=True)
def _copy_stretches(source, base, begins, prefix, starts, rows, length, out, width, places):  # type: ignore[no-untyped-def]
    """Arguments as `Window.copy_stretches`; returns how many places were filled."""
    count = 0
    piece = np.searchsorted(prefix, max(starts[0], prefix[0]), "right") - 1
    for k in range(len(starts)):
        low, high = max(starts[k], prefix[0]), min(starts[k] + length + 1, prefix[-1])
        while piece > 0 and prefix[piece] > low:  # a sequence begins with the label that ended the one before: go back
            piece -= 1
        while piece < len(begins) and prefix[piece + 1] <= low:
            piece += 1
        at = low
        here = piece
        while at < high:
            stop = min(prefix[here + 1], high)
            column = at - starts[k]
            if column < length:
                places[ROW, count], places[COLUMN, count], places[PIECE, count] = rows[k], column, here
                count += 1
            read = begins[here] - base + at - prefix[here]
            write = rows[k] * width + column
            for i in range(stop - at):
                out[write + i] = source[read + i]
            at = stop
            piece = here
            here += 1
    return count


@kernel(nogil=True)
def _copy_planned(  # type: ignore[no-untyped-def]
    source, base, begins, ends, document_ends, first, sequences, rows, out, width, eos_id, used, places
):
    """Arguments as `Window.copy_planned`; document_ends: int64[n_pieces], where each piece's whole document ends."""
    count = 0
    for k in range(len(sequences)):
        write = rows[k] * width
        filled = 0
        for piece in range(first[sequences[k]], first[sequences[k] + 1]):
            places[ROW, count], places[COLUMN, count], places[PIECE, count] = rows[k], filled, piece
            count += 1
            size = ends[piece] - begins[piece]
            read = begins[piece] - base
            for i in range(size):
                out[write + filled + i] = source[read + i]
            filled += size
        used[rows[k]] = filled
        last = first[sequences[k] + 1] - 1
        for i in range(filled, width):
            out[write + i] = eos_id
        if ends[last] < document_ends[last]:  # its document goes on in another sequence: that token is the last label
            out[write + filled] = source[ends[last] - base]


@kernel(nogil=True)
def _positions(first, columns, out):  # type: ignore[no-untyped-def]
    length = out.shape[1]
    for row in range(len(first) - 1):
        for piece in range(first[row], first[row + 1]):
            begin = columns[piece]
            end = columns[piece + 1] if piece + 1 < first[row + 1] else length
            for i in range(end - begin):
                out[row, begin + i] = i


@kernel(nogil=True)
def _segments(first, columns, out):  # type: ignore[no-untyped-def]
    length = out.shape[1]
    for row in range(len(first) - 1):
        for piece in range(first[row], first[row + 1]):
            end = columns[piece + 1] if piece + 1 < first[row + 1] else length
            for i in range(columns[piece], end):
                out[row, i] = piece - first[row]
