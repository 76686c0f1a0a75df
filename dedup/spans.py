"""Counting spans by their hash: how often each occurs, and which occurrence owns it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def distinct(
    hashes: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct hashes, ascending, with the first row and the number of rows of each; int64[m] each.

    Cost: one sort; it need not be stable, so numpy's vectorised one serves.
    """
    if not len(hashes):
        return (np.zeros(0, np.int64),) * 3
    order = np.argsort(hashes)
    starts = _starts(hashes[order])
    return hashes[order[starts]], np.minimum.reduceat(order, starts), np.diff(np.append(starts, len(hashes)))


def _starts(ordered: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each group of equal numbers starts."""
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.flatnonzero(first)


@dataclass(frozen=True, slots=True)
class Owners:
    """Spans that occur often enough, ascending by hash."""

    hash: npt.NDArray[np.int64]  # [n], distinct
    copies: npt.NDArray[np.int64]  # [n], occurrences
    doc_id: npt.NDArray[np.int64]  # [n], the owner: the least (document, start)
    start: npt.NDArray[np.int32]  # [n]
    rows: npt.NDArray[np.int64]  # [m], the input rows that belong to these spans
    of: npt.NDArray[np.int64]  # [m], which span each of them belongs to


def count_spans(
    hashes: npt.NDArray[np.int64],
    copies: npt.NDArray[np.int64],
    doc_id: npt.NDArray[np.int64],
    start: npt.NDArray[np.int32],
    min_copies: int,
) -> Owners:
    """Counts spans by hash and finds their owners; those with fewer than `min_copies` are left out.

    A row stands for `copies` occurrences, of which the first is in document `doc_id` at `start`; all arrays are [n].

    Cost: one sort of n numbers, and one of the rows whose span occurs often enough.
    """
    order = np.argsort(hashes)
    starts = _starts(hashes[order])
    total = np.add.reduceat(copies[order], starts) if len(starts) else copies
    often = total >= min_copies
    rows = order[np.repeat(often, np.diff(np.append(starts, len(order))))]
    rows = rows[np.lexsort((start[rows], doc_id[rows], hashes[rows]))]
    leads = _starts(hashes[rows])
    of = np.repeat(np.arange(len(leads)), np.diff(np.append(leads, len(rows))))
    owner = rows[leads]
    return Owners(hashes[owner], total[often], doc_id[owner], start[owner], rows, of)
