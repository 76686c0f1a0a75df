"""Near-duplicate short texts: sentences that say the same but for a word or two.

A sentence has too few 5-grams for `dedup.minhash`: one changed word changes five of them. Here the shingles are
3-grams over tokens, and the signature is short: 24 minima, as 6 bands of 4 rows. A pair of similarity J shares a bucket
with probability 1 - (1 - J^4)^6: 0.958 at 0.8, 0.998 at 0.9, and 0.048 at 0.3. A candidate is not yet a duplicate. But
sets are small, some twenty numbers, so they travel with the keys, and the task that holds a bucket computes the exact
similarity itself: no second scan is needed.

A shingle is 32 bits: in two sets of 50 the chance of any collision is below 10^-6. A "sentence" of more than
`MAX_TOKENS` is a text without full stops (a list, a page of Thai); it gets no set.

What a threshold means: a word changed inside a sentence of n distinct words changes 3 of its n - 2 shingles, so
J = (n - 5) / (n + 1): 0.71 at 20 tokens, 0.8 from 29 on, 0.85 at 40. The first or the last word changes only one:
(n - 3) / (n - 1), 0.89 at 20. With half of the words changed J is below 0.35.

Source: BaichuanSEED (arXiv 2408.15079) for the idea; Broder 1997 for the sets. Widths and bands are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.banding import band_keys
from dedup.minhash import fill_minima, permutations
from tamis.kernels import kernel
from text.shingle import shingle_into

U32, U64 = np.uint32, np.uint64
WIDTH = 3
"""Tokens in a shingle."""
BANDS, ROWS = 6, 4
SEED = 1
MAX_TOKENS = 512
MAX_ANCHORS = 512
"""New anchors of a bucket, at most; a later member that is similar to none of them is counted as capped."""
MAX_PUBLISHED = 16 * MAX_ANCHORS
"""Published sentences that serve as anchors of a bucket, at most."""

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ShortTexts:
    """Sets and band keys of n texts."""

    ptr: Int64  # [n + 1]
    shingles: npt.NDArray[np.uint32]  # [ptr[-1]], ascending and distinct within a text
    keys: Int64  # [n, BANDS]; the number of the band is hashed into the key


def short_texts(ptr: Int64, tokens: npt.NDArray[np.uint64], which: Int64) -> ShortTexts:
    """Shingle sets and band keys of the texts `which`, each of at least one token.

    Text i owns `tokens[ptr[i]:ptr[i + 1]]`, hashes of tokens as `text.tokens` gives them.
    """
    sizes = ptr[which + 1] - ptr[which]
    room = np.maximum(1, sizes - (WIDTH - 1))
    set_ptr, shingles, minima = _sets(ptr, tokens, which, int(room.sum()), *permutations(BANDS * ROWS, SEED))
    return ShortTexts(set_ptr, shingles, band_keys(minima, BANDS, ROWS))


@dataclass(frozen=True, slots=True)
class Links:
    """Members of buckets and the anchors that they are similar to."""

    member: Int64  # [m], rows; each at most once in a bucket
    anchor: Int64  # [m], rows, each before its member in (document, start)
    similarity: npt.NDArray[np.float32]  # [m], Jaccard
    capped: int  # how many rows were similar to no anchor, in buckets that may get no more of them


def link_buckets(
    keys: Int64,
    doc_id: Int64,
    start: Int32,
    ptr: Int64,
    shingles: npt.NDArray[np.uint32],
    threshold: float,
    first_new: int = 0,
    max_anchors: int = MAX_ANCHORS,
) -> Links:
    """Links each member of a bucket to the first anchor that it is similar to; without one it becomes an anchor.

    Args:
        keys: int64[n], the bucket of each row; rows come in any order.
        doc_id: int64[n].
        start: int32[n]; (document, start) is the order within a bucket.
        ptr: int64[n + 1].
        shingles: uint32[ptr[-1]], ascending within a row.
        threshold: least Jaccard similarity of a link.
        first_new: documents with a lower id were published earlier: their rows are anchors (up to `16 * max_anchors` a
            bucket), and never linked.
        max_anchors: new anchors of a bucket, at most.

    Cost: a sort, then a merge of two sets for each row and anchor of its bucket; sets whose sizes differ too much for
    the threshold are not compared.
    """
    order = np.lexsort((start, doc_id, keys))
    member, anchor, similarity, capped = _link(
        order,
        keys,
        doc_id,
        ptr,
        shingles,
        threshold,
        first_new,
        max_anchors,
        MAX_PUBLISHED // MAX_ANCHORS * max_anchors,
    )
    return Links(member, anchor, similarity, int(capped))


@kernel
def _sets(ptr, tokens, which, capacity, a, b):  # type: ignore[no-untyped-def]
    n = len(which)
    longest = 1
    for i in range(n):
        longest = max(longest, ptr[which[i] + 1] - ptr[which[i]])
    scratch, words = np.empty(longest, np.uint64), np.empty(longest, np.uint32)
    out, out_ptr = np.empty(capacity, np.uint32), np.zeros(n + 1, np.int64)
    minima = np.empty((n, len(a)), np.uint32)
    at = 0
    for i in range(n):
        low, high = ptr[which[i]], ptr[which[i] + 1]
        count = shingle_into(tokens[low:high], high - low, WIDTH, scratch)
        for k in range(count):
            words[k] = U32(scratch[k] >> U64(32))
        words[:count].sort()
        begin = at
        for k in range(count):
            if k == 0 or words[k] != words[k - 1]:
                out[at] = words[k]
                at += 1
        out_ptr[i + 1] = at
        fill_minima(out[begin:at], a, b, minima[i])
    return out_ptr, out[:at].copy(), minima


@kernel
def _link(order, keys, doc_id, ptr, shingles, threshold, first_new, max_new, max_old):  # type: ignore[no-untyped-def]
    n = len(order)
    member, anchor = np.empty(n, np.int64), np.empty(n, np.int64)
    similarity = np.empty(n, np.float32)
    anchors = np.empty(max_new + max_old, np.int64)
    found, capped = 0, 0
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and keys[order[end]] == keys[order[begin]]:
            end += 1
        n_anchors, n_old = 0, 0
        for k in range(begin, end):
            if end - begin == 1:
                break
            row = order[k]
            if doc_id[row] < first_new:
                if n_old < max_old:
                    anchors[n_anchors] = row
                    n_anchors += 1
                    n_old += 1
                else:
                    capped += 1
                continue
            mine = shingles[ptr[row] : ptr[row + 1]]
            best = -1.0
            for x in range(n_anchors):
                other = anchors[x]
                size = ptr[other + 1] - ptr[other]
                if min(size, len(mine)) < threshold * max(size, len(mine)) - 1e-9:
                    continue
                best = _jaccard(mine, shingles[ptr[other] : ptr[other + 1]])
                if best >= threshold:
                    member[found], anchor[found], similarity[found] = row, other, best
                    found += 1
                    break
                best = -1.0
            if best < 0.0:
                if n_anchors - n_old < max_new:
                    anchors[n_anchors] = row
                    n_anchors += 1
                else:
                    capped += 1
        begin = end
    return member[:found].copy(), anchor[:found].copy(), similarity[:found].copy(), capped


@kernel
def _jaccard(a, b):  # type: ignore[no-untyped-def]
    i, j, both = 0, 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            both += 1
            i += 1
            j += 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return both / (len(a) + len(b) - both)
