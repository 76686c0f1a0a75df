"""Rows of a global batch: token ids, and where the documents in them begin.

`tokens` and `labels` are views of one array, a column apart. Everything else is computed from the pieces on demand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sampler.stream.window import PADDING, labels_of, positions_of, segments_of

IGNORED = -100
"""The label of a token that must not be predicted; torch's losses use the same number."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One sequence."""

    domain: str  # where it comes from
    tokens: npt.NDArray[np.int64]  # [n], without padding
    following: int  # the token after the last, which is the last label
    cu_seqlens: npt.NDArray[np.int32]  # [n_pieces + 1], from 0 to n: where the documents' pieces start
    doc_ids: npt.NDArray[np.int64]  # [n_pieces]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some rows."""

    window: npt.NDArray[np.int64]  # [rows, sequence_length + 1], each row's tokens and the one after them
    used: npt.NDArray[np.int32]  # [rows], tokens of each row before its padding
    domains: npt.NDArray[np.int16]  # [rows], the domain of each row, as an index into `names`
    names: list[str]  # of the domains
    first: npt.NDArray[np.int64]  # [rows + 1], each row's first piece
    columns: npt.NDArray[np.int32]  # [n_pieces], where in its row a piece begins; padding is a piece too
    doc_ids: npt.NDArray[np.int64]  # [n_pieces], -1 for padding
    samples: npt.NDArray[np.int64]  # [rows], the number of each row's sample

    @property
    def sequence_length(self) -> int:
        """Tokens of a row."""
        return self.window.shape[1] - 1

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """int64[rows, sequence_length], a view."""
        return self.window[:, :-1]

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """int64[rows, sequence_length], the token after each, -100 in padding; a view if there is no padding."""
        following = self.window[:, 1:]
        if (self.used == self.sequence_length).all():
            return following
        return labels_of(self.window, self.used, IGNORED)

    @cached_property
    def cu_seqlens(self) -> npt.NDArray[np.int32]:
        """int32[n_pieces + 1], where pieces begin if the rows are concatenated, as varlen attention needs it."""
        rows = np.repeat(np.arange(len(self.used), dtype=np.int64), np.diff(self.first))
        begins = rows * self.sequence_length + self.columns
        return np.append(begins, len(self.used) * self.sequence_length).astype(np.int32)

    @cached_property
    def positions(self) -> npt.NDArray[np.int32]:
        """int32[rows, sequence_length], within a document's piece."""
        return positions_of(self.first, self.columns, self.sequence_length)

    @cached_property
    def segments(self) -> npt.NDArray[np.int32]:
        """int32[rows, sequence_length], index of the piece within its row."""
        return segments_of(self.first, self.columns, self.sequence_length)

    def rows(self, low: int, high: int) -> Batch:
        """Some of the rows, without a copy of their tokens."""
        begin, end = int(self.first[low]), int(self.first[high])
        return Batch(
            window=self.window[low:high],
            used=self.used[low:high],
            domains=self.domains[low:high],
            names=self.names,
            first=self.first[low : high + 1] - begin,
            columns=self.columns[begin:end],
            doc_ids=self.doc_ids[begin:end],
            samples=self.samples[low:high],
        )

    @property
    def sequences(self) -> list[Packed]:
        """The rows one by one."""
        return [self._row(row) for row in range(len(self.used))]

    def counts(self) -> Counter[str]:
        """How many rows each domain gave."""
        return Counter(self.names[domain] for domain in self.domains.tolist())

    def _row(self, row: int) -> Packed:
        begin, end, used = int(self.first[row]), int(self.first[row + 1]), int(self.used[row])
        if end > begin and self.doc_ids[end - 1] == PADDING:
            end -= 1
        return Packed(
            domain=self.names[self.domains[row]],
            tokens=self.window[row, :used],
            following=int(self.window[row, used]),
            cu_seqlens=np.append(self.columns[begin:end], used).astype(np.int32),
            doc_ids=self.doc_ids[begin:end],
        )
