"""Which copy of a text survives: the earliest one in each domain that has the text.

Digests are sorted once; only the texts that repeat, a fraction of a corpus, are processed further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Copies:
    """The documents whose text occurs more than once, sorted by text, then id."""

    doc_id: Int64  # [n]
    survivor: Int64  # [n]; the document itself if it is kept so far
    contender: Int64  # [n], the first copy in the document's own domain: the domain's candidate for survivor
    first: Int64  # [n], the first of the text's candidates
    copies: npt.NDArray[np.int32]  # [n], documents with the text
    contenders: npt.NDArray[np.int32]  # [n], domains that have a candidate


NEW, STANDS, GONE = 0, 1, 2
"""State of a copy: of this snapshot; kept by an earlier snapshot; or removed by an earlier snapshot."""


def elect_copies(
    low: Int64, high: Int64, doc_id: Int64, domain: npt.NDArray[np.int32], state: npt.NDArray[np.int8] | None = None
) -> Copies:
    """Groups documents by digest and elects the earliest of each domain; returns the new ones whose text repeats.

    A copy that an earlier snapshot kept is the survivor of all new ones. If all earlier copies were removed, their
    domain has no candidate, as in one run over both snapshots, but a new copy in another domain is one. Arrays are [n]:
    the halves of each digest, distinct ids (earlier snapshots' are lower), a code of each domain, and `NEW`, `STANDS`
    or `GONE` (None for all new).

    Cost: one sort of n numbers, then one of the documents whose text repeats.
    """
    state = np.zeros(len(low), np.int8) if state is None else state
    rows = _repeated(low, high)
    rows = rows[np.lexsort((doc_id[rows], high[rows], low[rows]))]
    low, high, doc_id, domain, state = low[rows], high[rows], doc_id[rows], domain[rows], state[rows]
    if not len(rows):
        return Copies(doc_id, doc_id, doc_id, doc_id, domain, domain)
    text = np.zeros(len(rows), np.int64)
    text[1:] = np.cumsum((low[1:] != low[:-1]) | (high[1:] != high[:-1]))
    contender = _first_of_domain(text, domain, doc_id)
    n = int(text[-1]) + 1
    sizes = np.bincount(text, minlength=n)
    stands = _least(text, doc_id, state == STANDS, n)
    contends = (contender == doc_id) & (state == NEW) & (stands[text] == _NONE)
    first = _least(text, doc_id, contends, n)
    contenders = np.bincount(text, weights=contends, minlength=n).astype(np.int32)
    led_by_new = np.isin(contender, doc_id[contends])
    survivor = np.where(led_by_new | (first[text] == _NONE), contender, first[text])
    survivor = np.where(stands[text] != _NONE, stands[text], survivor)
    first = np.where(first == _NONE, _least(text, doc_id, np.ones(len(text), np.bool_), n), first)
    new = state == NEW
    text = text[new]
    return Copies(
        doc_id[new], survivor[new], contender[new], first[text], sizes.astype(np.int32)[text], contenders[text]
    )


_NONE = np.iinfo(np.int64).max


def _first_of_domain(text: Int64, domain: npt.NDArray[np.int32], doc_id: Int64) -> Int64:
    """The least document of each row's text and domain, int64[n]."""
    order = np.lexsort((doc_id, domain, text))
    leads = np.ones(len(order), np.bool_)
    leads[1:] = (text[order][1:] != text[order][:-1]) | (domain[order][1:] != domain[order][:-1])
    first = np.empty(len(order), np.int64)
    first[order] = doc_id[order][leads][np.cumsum(leads) - 1]
    return first


def _least(text: Int64, doc_id: Int64, chosen: npt.NDArray[np.bool_], n: int) -> Int64:
    """The least chosen document of each text, int64[n]; `_NONE` where there is none."""
    found = np.full(n, _NONE, np.int64)
    np.minimum.at(found, text[chosen], doc_id[chosen])
    return found


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
