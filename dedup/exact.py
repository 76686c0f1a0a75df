"""Which copy of a text stays: the earliest, in each domain that has one.

Digests are sorted once and only the texts that repeat are looked at again, a fraction of a corpus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Copies:
    """The documents whose text occurs more than once, sorted by text, then id.

    Attributes:
        doc_id: int64[n].
        survivor: int64[n], itself for a document that stays for now.
        contender: int64[n], the first copy in the document's own domain.
        first: int64[n], the first contender of the text.
        copies: int32[n], documents with the text.
        contenders: int32[n], domains in which the text contends.
    """

    doc_id: Int64
    survivor: Int64
    contender: Int64
    first: Int64
    copies: npt.NDArray[np.int32]
    contenders: npt.NDArray[np.int32]


def elect_copies(low: Int64, high: Int64, doc_id: Int64, domain: npt.NDArray[np.int32]) -> Copies:
    """Groups documents by digest and elects the earliest of each domain.

    Args:
        low: int64[n], half of each digest.
        high: int64[n], the other half.
        doc_id: int64[n], distinct.
        domain: int32[n], a code of each document's domain.

    Cost: one sort of n numbers, then a sort of the repeated texts' documents.
    """
    rows = _repeated(low, high)
    rows = rows[np.lexsort((doc_id[rows], high[rows], low[rows]))]
    low, high, doc_id, domain = low[rows], high[rows], doc_id[rows], domain[rows]
    text = np.zeros(len(rows), np.int64)
    if len(rows):
        text[1:] = np.cumsum((low[1:] != low[:-1]) | (high[1:] != high[:-1]))
    order = np.lexsort((doc_id, domain, text))
    leads = np.ones(len(rows), np.bool_)
    leads[1:] = (text[order][1:] != text[order][:-1]) | (domain[order][1:] != domain[order][:-1])
    contender = np.empty(len(rows), np.int64)
    contender[order] = doc_id[order][leads][np.cumsum(leads) - 1]
    starts = np.searchsorted(text, np.arange(text[-1] + 1 if len(text) else 0))
    sizes = np.diff([*starts.tolist(), len(text)])
    own = np.bincount(text, weights=contender == doc_id, minlength=len(starts)).astype(np.int32)
    return Copies(
        doc_id, contender, contender, np.repeat(doc_id[starts], sizes),
        np.repeat(sizes.astype(np.int32), sizes), np.repeat(own, sizes),
    )  # fmt: skip


def _repeated(low: Int64, high: Int64) -> Int64:
    """The rows whose digest occurs more than once, int64[m]."""
    order = np.argsort(low)
    same = low[order][1:] == low[order][:-1]
    near = np.zeros(len(order), np.bool_)
    near[1:] |= same
    near[:-1] |= same
    rows = np.sort(order[near])
    order = np.lexsort((high[rows], low[rows]))
    equal = (low[rows][order][1:] == low[rows][order][:-1]) & (high[rows][order][1:] == high[rows][order][:-1])
    near = np.zeros(len(order), np.bool_)
    near[1:] |= equal
    near[:-1] |= equal
    return rows[order[near]]
