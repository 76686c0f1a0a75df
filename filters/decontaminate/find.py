"""Decontamination: benchmark items in documents, by overlap of n-grams of tokens, and which sentences to cut for them.

An n-gram and not a similarity of documents: an item is a small part of the page that quotes it. The tokens are Tamis'
own, so that case, width, punctuation and line breaks do not hide an item, and Chinese needs no segmenter. A run of
text's share of an item is the share of the item's tokens that lie in n-grams found in it, so that one changed word
costs one word and not all the n-grams around it.

Missed are items put into other words, into another language, or from simplified into traditional characters; and an
item hardly longer than an n-gram with a word changed in its middle.

Cost: see `filters.decontaminate.kernels`; documents with hits are tokenised and segmented once more.
Source: Brown et al. 2020 (arXiv 2005.14165), appendix C; Touvron et al. 2023 (arXiv 2307.09288), A.6, for the share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.decontaminate.index import Int32, Int64, NgramIndex
from filters.decontaminate.kernels import (
    DOCUMENT,
    FIRST,
    FORM,
    FORM_FIRST,
    RUN_DOCUMENT,
    RUN_END,
    RUN_FIRST,
    RUN_GRAMS,
    RUN_ITEM,
    find_hits,
    join_hits,
)
from text.arrow import TextColumn
from text.chars import char_tables
from text.fold import fold
from text.segment import sentences
from text.token_bounds import token_bounds


@dataclass(frozen=True, slots=True)
class Hits:
    """Where items were found: a row for each run of text, by document, then item, then place. Offsets are bytes."""

    document: Int64  # [n], index into the column
    item: Int32  # [n], row of the index' items
    grams: Int32  # [n], n-grams of the item found in the run; 1 for one that is searched for whole
    share: npt.NDArray[np.float32]  # [n], of the item's tokens that lie in them
    start: Int64  # [n], first byte of the run
    end: Int64  # [n], byte behind its last
    first_sentence: Int32  # [n], the sentence that it begins in
    last_sentence: Int32  # [n], the one behind the last that it touches
    sentences_start: Int64  # [n], where these sentences begin
    sentences_end: Int64  # [n], byte behind their last

    def __len__(self) -> int:
        return len(self.document)


def find_items(index: NgramIndex, column: TextColumn, min_share: float = 0.0) -> Hits:
    """Finds the index' items in some documents; runs below `min_share` are left out."""
    folded = fold(column)
    found = find_hits(
        folded.column.offsets,
        folded.column.data,
        folded.done,
        *char_tables(),
        index.weights,
        index.keys,
        index.starts,
        index.bits,
        index.anchor_bits,
        index.post_ptr,
        index.posts,
        index.form_length,
        index.form_hash,
        index.longest,
    )
    found = found[np.lexsort([found[:, k] for k in (FIRST, FORM_FIRST, FORM, DOCUMENT)])]
    runs, share = join_hits(found, index.form_item, index.form_tokens)
    enough = share >= np.float32(min_share)
    runs, share = runs[enough], share[enough]
    documents, which = np.unique(runs[:, RUN_DOCUMENT], return_inverse=True)
    few = TextColumn.from_arrow(column.to_arrow().take(pa.array(documents)))
    ptr, low, high = token_bounds(few)
    start, end = low[ptr[which] + runs[:, RUN_FIRST]], high[ptr[which] + runs[:, RUN_END] - 1]
    return Hits(
        documents[which].astype(np.int64),
        runs[:, RUN_ITEM],
        runs[:, RUN_GRAMS],
        share,
        start,
        end,
        *_in_sentences(few, which, start, end),
    )


def _in_sentences(column: TextColumn, which: Int64, start: Int64, end: Int64) -> tuple[Int32, Int32, Int64, Int64]:
    """The sentences that spans touch: the first, the one behind the last, and the bytes of all of them."""
    spans = sentences(column)
    place = np.repeat(np.arange(len(column), dtype=np.int64), np.diff(spans.ptr)) << 32 | spans.starts
    first = np.searchsorted(place, which << 32 | start, "right") - 1
    last = np.searchsorted(place, which << 32 | (end - 1), "right") - 1
    begin, behind = spans.starts[first].astype(np.int64), spans.ends(column)[last].astype(np.int64)
    base = spans.ptr[which]
    return (first - base).astype(np.int32), (last + 1 - base).astype(np.int32), begin, behind


@dataclass(frozen=True, slots=True)
class Cuts:
    """Disjoint runs of sentences to cut, by document and place."""

    lead: Int64  # [m], for each the first of the rows that it was made from
    last: Int64  # [m], the row that reaches farthest
    sentences: Int32  # [m], how many there are in it


def merge_cuts(document: Int64, first_sentence: Int32, last_sentence: Int32) -> Cuts:
    """Merges runs of sentences that overlap or touch; `last_sentence` is the one behind a run's last."""
    order = np.lexsort((last_sentence, first_sentence, document))
    lead: list[int] = []
    last: list[int] = []
    for row in order.tolist():
        if lead and document[lead[-1]] == document[row] and first_sentence[row] <= last_sentence[last[-1]]:
            if last_sentence[row] > last_sentence[last[-1]]:
                last[-1] = row
        else:
            lead.append(row)
            last.append(row)
    low, high = np.array(lead, np.int64), np.array(last, np.int64)
    return Cuts(low, high, (last_sentence[high] - first_sentence[low]).astype(np.int32))
