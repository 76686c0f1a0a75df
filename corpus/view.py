"""Views: a document at a stage is its stored text minus the spans cut so far, with rewrites put in.

    stored   [ menu ][ a paragraph, with bob@example.org in it ][ cookie notice ]
    edits     cut 0:6            rewrite 33:48 → "<EMAIL>"        cut 59:74
    view             [ a paragraph, with <EMAIL> in it ]

Edits are offsets into the *stored* text, so that they never have to be rebased. Within a stage they are disjoint; over
stages a later edit either lies beside the earlier ones or swallows them whole. This one helper builds views and
carries spans back; kernels never see anything else. A shard without edits is viewed without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.kernels import kernel
from text.arrow import Int64, TextColumn

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits of a shard, sorted by (row, start), none inside another.

    Attributes:
        ptr: int64[n_rows + 1]; row i owns `start[ptr[i]:ptr[i + 1]]`.
        start: int32[m], first byte in the stored text.
        end: int32[m], byte behind the last.
        cut: int32[m], stored bytes cut in it: all of a cut, of a rewrite those of the cuts that it has swallowed.
        replacement: what stands there now, one text an edit (empty for a cut).
    """

    ptr: Int64
    start: Int32
    end: Int32
    cut: Int32
    replacement: TextColumn

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def none(cls, rows: int) -> Edits:
        """No edits."""
        empty = np.zeros(0, np.int32)
        return cls(
            np.zeros(rows + 1, np.int64), empty, empty, empty, TextColumn(np.zeros(1, np.int64), np.zeros(0, np.uint8))
        )

    def rows(self) -> Int32:
        """The row of each edit, int32[m]."""
        return np.repeat(np.arange(len(self.ptr) - 1, dtype=np.int32), np.diff(self.ptr))

    def cut_bytes(self) -> Int64:
        """Stored bytes cut from each row, int64[n_rows]; a rewrite by itself cuts nothing."""
        total = np.concatenate(([0], np.cumsum(self.cut, dtype=np.int64)))
        return total[self.ptr[1:]] - total[self.ptr[:-1]]

    def rewritten_bytes(self) -> Int64:
        """Signed growth of each row by rewrites, int64[n_rows]."""
        growth = self.replacement.lengths - (self.end.astype(np.int64) - self.start - self.cut)
        total = np.concatenate(([0], np.cumsum(growth)))
        return total[self.ptr[1:]] - total[self.ptr[:-1]]

    def cut_inside(self, rows: Int32, start: Int64, end: Int64) -> Int64:
        """Bytes that these edits have cut inside each given span of the stored text, int64[k]."""
        return _cut_inside(self.ptr, self.start, self.end, self.cut, rows, start, end)

    def merged(self, rows: Int32, start: Int32, end: Int32, replacement: pa.ChunkedArray | list[str | None]) -> Edits:
        """These edits with a later stage's added (null: a cut); an edit inside a later one disappears in it.

        Raises:
            ValueError: two edits overlap, and neither lies in the other.
        """
        if not len(rows):
            return self
        new = replacement if isinstance(replacement, pa.ChunkedArray) else pa.chunked_array([replacement], pa.string())
        is_cut = new.is_null().to_numpy()
        swallowed = self.cut_inside(rows, start.astype(np.int64), end.astype(np.int64))
        cut = np.concatenate([np.where(is_cut, end.astype(np.int64) - start, swallowed).astype(np.int32), self.cut])
        all_rows = np.concatenate([rows, self.rows()])  # the new first: of equal spans the later stage's stays
        all_start = np.concatenate([start, self.start])
        all_end = np.concatenate([end, self.end])
        order = _by_place(all_rows, all_start, all_end)
        keep = order[_outermost(all_rows[order], all_start[order], all_end[order])]
        clash = (all_rows[keep][1:] == all_rows[keep][:-1]) & (all_start[keep][1:] < all_end[keep][:-1])
        if clash.any():
            raise ValueError(f"edits of row {all_rows[keep][1:][clash][0]} overlap, and neither lies in the other")
        counts = np.bincount(all_rows[keep], minlength=len(self.ptr) - 1)
        ptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        texts = self._texts_with(new if not is_cut.all() else None, len(rows), keep)
        return Edits(ptr, all_start[keep].astype(np.int32), all_end[keep].astype(np.int32), cut[keep], texts)

    def _texts_with(self, new: pa.ChunkedArray | None, n: int, keep: Int64) -> TextColumn:
        """What stands in the place of each kept edit, of `n` new ones (None: all are cuts) and then these."""
        if new is None and not self.replacement.nbytes:
            return TextColumn(np.zeros(len(keep) + 1, np.int64), np.zeros(0, np.uint8))
        texts = pa.nulls(n, pa.large_string()) if new is None else new.cast(pa.large_string()).combine_chunks()
        chunks = [*(texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]), self.replacement.to_arrow()]
        return TextColumn.from_arrow(pa.chunked_array(chunks).combine_chunks().take(pa.array(keep)))


@dataclass(frozen=True, slots=True)
class View:
    """Rows of a shard, int32[k], ascending, as a stage sees them; the edits behind the view are over all its rows."""

    rows: Int32
    column: TextColumn
    edits: Edits

    def to_stored(self, which: Int64, start: Int64, end: Int64) -> tuple[Int32, Int32, Int32]:
        """Carries spans of the view back to the stored text: rows, starts and ends, int32[s] each.

        `which` is an index into `rows`; start and end are bytes of the view's text. The result is as tight as can be: a
        boundary that touches a cut lies on the span's side of it.
        """
        rows = self.rows[which]
        if not len(self.edits):
            return rows, start.astype(np.int32), end.astype(np.int32)
        low, high = _to_stored(
            self.edits.ptr, self.edits.start, self.edits.end, self.edits.replacement.lengths, rows, start, end
        )
        return rows, low, high


def build_view(stored: TextColumn, edits: Edits, rows: Int32, base: int = 0) -> View:
    """The view of some rows, ascending; no copy where they lie side by side and none of them is edited.

    The stored text of the shard begins with row `base`.
    """
    if not len(rows):
        return View(rows, TextColumn(np.zeros(1, np.int64), np.zeros(0, np.uint8)), edits)
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and edits.ptr[first] == edits.ptr[last + 1]:
        if len(rows) == len(stored):
            return View(rows, stored, edits)
        return View(rows, TextColumn(stored.offsets[first - base : last - base + 2], stored.data), edits)
    sizes = stored.lengths[rows - base] - edits.cut_bytes()[rows] + edits.rewritten_bytes()[rows]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    data = np.empty(int(offsets[-1]), np.uint8)
    new = edits.replacement
    _copy_view(
        stored.offsets, stored.data, edits.ptr, edits.start, edits.end, new.offsets, new.data, rows, base, offsets, data
    )
    return View(rows, TextColumn(offsets, data), edits)


@kernel
def _copy_view(offsets, data, ptr, start, end, new_offsets, new_data, rows, base_row, out_offsets, out):  # type: ignore[no-untyped-def]
    for k in range(len(rows)):
        row = rows[k]
        base = offsets[row - base_row]
        at = out_offsets[k]
        read = np.int64(0)
        for e in range(ptr[row], ptr[row + 1]):
            for i in range(read, start[e]):
                out[at] = data[base + i]
                at += 1
            for i in range(new_offsets[e], new_offsets[e + 1]):
                out[at] = new_data[i]
                at += 1
            read = np.int64(end[e])
        for i in range(read, offsets[row - base_row + 1] - base):
            out[at] = data[base + i]
            at += 1


def _by_place(rows: Int32, start: Int32, end: Int32) -> Int64:
    """The order by (row, start, the longest first); of equal spans the first given stays first.

    What is given is one or two sorted runs, which a stable sort of one key merges in a pass.
    """
    key = rows.astype(np.int64) << 32 | start
    order = np.argsort(key, kind="stable")
    placed = key[order]
    if (placed[1:] == placed[:-1]).any():
        order = np.lexsort((-end, key))
    return order


@kernel
def _outermost(rows, start, end):  # type: ignore[no-untyped-def]
    """Which of the edits, sorted by (row, start, -end), lie in no other; the first of equal ones stays."""
    keep = np.ones(len(rows), np.bool_)
    reach = np.int64(-1)
    for i in range(len(rows)):
        if i == 0 or rows[i] != rows[i - 1]:
            reach = np.int64(-1)
        if end[i] <= reach:
            keep[i] = False
        else:
            reach = np.int64(end[i])
    return keep


@kernel
def _cut_inside(ptr, start, end, cut, rows, low, high):  # type: ignore[no-untyped-def]
    out = np.zeros(len(rows), np.int64)
    for i in range(len(rows)):
        first, last = ptr[rows[i]], ptr[rows[i] + 1]
        e = first + np.searchsorted(start[first:last], low[i])
        while e < last and start[e] < high[i]:
            if end[e] <= high[i]:
                out[i] += cut[e]
            e += 1
    return out


@kernel
def _to_stored(ptr, start, end, new_length, rows, low, high):  # type: ignore[no-untyped-def]
    out_low = np.empty(len(rows), np.int32)
    out_high = np.empty(len(rows), np.int32)
    for s in range(len(rows)):
        row = rows[s]
        out_low[s] = _stored_offset(ptr, start, end, new_length, row, low[s], True)
        out_high[s] = _stored_offset(ptr, start, end, new_length, row, high[s], False)
        if out_high[s] < out_low[s]:
            out_high[s] = out_low[s]
    return out_low, out_high


@kernel
def _stored_offset(ptr, start, end, new_length, row, position, is_start):  # type: ignore[no-untyped-def]
    """The stored offset of a view offset; a start lands behind the edits at its place, an end before them."""
    shift = np.int64(0)  # stored - view, behind the edits passed so far
    for e in range(ptr[row], ptr[row + 1]):
        first = start[e] - shift  # where the edit begins in the view
        last = first + new_length[e]
        if position < first or (position == first and not is_start):
            break
        if position < last or (position == last and not is_start and new_length[e] > 0):
            if position == first:
                return start[e]
            return start[e] if is_start else end[e]
        shift = end[e] - last
    return position + shift
