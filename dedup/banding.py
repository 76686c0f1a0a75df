"""Bands and buckets: which pairs are worth verifying.

A signature is cut into `bands` bands of `rows` minima. Documents that agree in a whole band share a bucket; a pair of
similarity J shares at least one with probability 1 - (1 - J^rows)^bands.

Within a bucket not all pairs are candidates (n² of them), nor only the pairs with the first member (a star, n - 1
edges): in a template's bucket the first member may be similar to none of the others, and a star would lose the true
pairs among them. Here a bucket has several stars. Each member is linked to the anchors that it may be similar to by
its sketch, and becomes an anchor itself unless it is clearly similar to one. So a bucket of copies gives n - 1 edges,
and a bucket of unrelated texts gives few, since their sketches rule most pairs out before anything is verified.

Sketches decide the clear cases. `sketch_bounds` turns two error probabilities into two counts of equal bits. A pair
with fewer bits than the first is rejected: at threshold similarity that happens only with the first probability. A
pair with at least the second is accepted: below the threshold that happens only with the second. Pairs between the two
are verified on their shingle sets.

Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numba as nb
import numpy as np
import numpy.typing as npt

from dedup.minhash import SKETCH_BITS, row_hashes
from tamis.kernels import kernel
from text.bits import count_bits

MAX_ANCHORS = 512
"""New anchors of a bucket, at most; later members are linked to these only, and counted as capped if to none."""
MAX_LINKS = 8
"""Anchors that a member is linked to, at most; the most similar come first."""
PUBLISHED_ANCHORS = 16
"""A bucket has up to this multiple of `MAX_ANCHORS` published documents as anchors."""
PUBLISHED_LINKS = 64
"""Published anchors that a new document is linked to, at most: it is kept only if it duplicates none of them."""


def detection_probability(similarity: float, bands: int, rows: int) -> float:
    """The probability that a pair of this Jaccard similarity shares a bucket."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def jaccard_of_containment(containment: float, size_ratio: float) -> float:
    """The least Jaccard similarity of sets with this containment (of the smaller) and size ratio (smaller / larger)."""
    shared = containment * size_ratio
    return shared / (1 + size_ratio - shared)


def sketch_bounds(threshold: float, false_reject: float, false_accept: float) -> tuple[int, int]:
    """How many of 128 bits decide about a pair. At the threshold (a Jaccard similarity) a pair has fewer equal bits
    than the first bound with probability `false_reject` at most; below it, as many as the second with `false_accept` at
    most.

    Returns:
        reject, accept: a pair with fewer than `reject` equal bits is rejected, one with `accept` or more accepted;
        `accept` is 129 where not even equal sketches are that sure.

    A bit of two documents is equal with probability (1 + J) / 2, independently of the others. The tails of the binomial
    distribution are summed as fractions: near a threshold of 1 they would vanish in floating point.
    """
    p = (1 + Fraction(threshold)) / 2
    mass = [math.comb(SKETCH_BITS, i) * p**i * (1 - p) ** (SKETCH_BITS - i) for i in range(SKETCH_BITS + 1)]
    below, reject = Fraction(0), 0
    while reject < SKETCH_BITS and below + mass[reject] <= Fraction(false_reject):
        below += mass[reject]
        reject += 1
    above, accept = Fraction(0), SKETCH_BITS + 1
    while accept > 0 and above + mass[accept - 1] <= Fraction(false_accept):
        above += mass[accept - 1]
        accept -= 1
    return reject, accept


def band_keys(minima: npt.NDArray[np.uint32], bands: int, rows: int) -> npt.NDArray[np.int64]:
    """The bucket key of each document in each band, int64[n_docs, bands], with the band's number hashed in; `minima` is
    uint32[n_docs, k >= bands * rows].

    Raises:
        ValueError: the signature is too short.
    """
    if bands * rows > minima.shape[1]:
        raise ValueError(f"{bands} bands of {rows} rows need {bands * rows} permutations, found {minima.shape[1]}")
    return np.stack([row_hashes(minima, b * rows, (b + 1) * rows) for b in range(bands)], axis=1)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate edges of some buckets."""

    low: npt.NDArray[np.int64]  # [m], the lesser id of each edge; edges may repeat over buckets
    high: npt.NDArray[np.int64]  # [m], the greater id
    agree: npt.NDArray[np.int16]  # [m], equal bits of their sketches, 0 to 128
    capped: npt.NDArray[np.int64]  # [c], members that are similar to no anchor, in buckets that may get no more anchors
    capped_bucket: npt.NDArray[np.int64]  # [c], a number for the bucket of each
    unseen: int = 0  # pairs of a new and a published document not compared, as the bucket holds too many published

    def capped_pairs(self) -> int:
        """Pairs in one bucket that were not compared: those of its capped members, and `unseen`."""
        sizes = np.unique(self.capped_bucket, return_counts=True)[1].astype(object)
        return int((sizes * (sizes - 1) // 2).sum()) + self.unseen if len(sizes) else self.unseen

    def capped_examples(self, n: int) -> list[tuple[int, int]]:
        """Some of those pairs."""
        same = np.flatnonzero(self.capped_bucket[1:] == self.capped_bucket[:-1])[:n]
        return [(int(self.capped[i]), int(self.capped[i + 1])) for i in same]


def bucket_edges(
    keys: npt.NDArray[np.int64],
    ids: npt.NDArray[np.int64],
    sketch: npt.NDArray[np.uint64],
    accept: float,
    clear: float,
    max_anchors: int = MAX_ANCHORS,
    first_new: int = 0,
) -> Candidates:
    """Candidate edges of whole buckets.

    Args:
        keys: int64[n], sorted.
        ids: int64[n], ascending within a key.
        sketch: uint64[n, 2].
        accept: sketch similarity from which a member is linked to an anchor.
        clear: sketch similarity to an anchor from which a member does not become an anchor itself.
        max_anchors: new anchors of a bucket, at most.
        first_new: documents with a lower id were published by an earlier snapshot: they are anchors in addition to the
            bucket's own, and never linked to one another.

    Cost: two popcounts for each member and anchor of its bucket; the search ends at an anchor with an equal sketch.
    """
    return Candidates(*_bucket_edges(keys, ids, sketch, accept, clear, max_anchors, MAX_LINKS, first_new))


@kernel
def agreement(sketch, i, other, j):  # type: ignore[no-untyped-def]
    """Equal bits of two sketches, 0 to 128."""
    return 128 - count_bits(sketch[i, 0] ^ other[j, 0]) - count_bits(sketch[i, 1] ^ other[j, 1])


@kernel
def _bucket_edges(keys, ids, sketch, accept, clear, max_anchors, max_links, first_new):  # type: ignore[no-untyped-def]
    low = nb.typed.List.empty_list(nb.int64)
    high = nb.typed.List.empty_list(nb.int64)
    agree = nb.typed.List.empty_list(nb.int64)
    capped = nb.typed.List.empty_list(nb.int64)
    bucket = nb.typed.List.empty_list(nb.int64)
    max_old = PUBLISHED_ANCHORS * max_anchors
    anchors = np.empty(max_anchors + max_old, np.int64)
    likeness = np.empty(max_anchors + max_old, np.float64)
    unseen = 0
    begin = 0
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        n_old, beyond = 0, 0
        new = begin  # ids ascend: the published come first
        while end - begin > 1 and new < end and ids[new] < first_new:
            if n_old < max_old:
                anchors[n_old] = new
                n_old += 1
            else:
                beyond += 1
            new += 1
        n_anchors = n_old
        for i in range(new, end):
            if end - begin == 1:
                break
            unseen += beyond
            best, seen = 0.0, n_anchors
            for a in range(n_anchors):
                likeness[a] = agreement(sketch, i, sketch, anchors[a]) / 64.0 - 1.0
                best = max(best, likeness[a])
                if best == 1.0 and n_old == 0:
                    seen = a + 1
                    break
            # Link to all published anchors that may be similar; of the new ones, a clearly similar one is enough.
            linked = _link(low, high, agree, ids, anchors, likeness, 0, n_old, i, accept, PUBLISHED_LINKS)
            floor, links = accept, max_links
            if best >= clear:
                floor, links = best, 1
            linked += _link(low, high, agree, ids, anchors, likeness, n_old, seen, i, floor, links)
            if best < clear:
                if n_anchors - n_old < max_anchors:
                    anchors[n_anchors] = i
                    n_anchors += 1
                elif linked == 0:
                    capped.append(ids[i])
                    bucket.append(begin)
        begin = end
    edges = _to_array(low), _to_array(high), _to_array(agree).astype(np.int16)
    return *edges, _to_array(capped), _to_array(bucket), unseen


@kernel
def _link(low, high, agree, ids, anchors, likeness, first, last, i, floor, links):  # type: ignore[no-untyped-def]
    """Links member `i` to its most similar anchors among `first:last`, at most `links`; returns how many."""
    linked = 0
    while linked < links:
        chosen = -1
        for a in range(first, last):
            if likeness[a] >= floor and (chosen < 0 or likeness[a] > likeness[chosen]):
                chosen = a
        if chosen < 0:
            break
        low.append(ids[anchors[chosen]])
        high.append(ids[i])
        agree.append(np.int64((likeness[chosen] + 1.0) * 64.0))
        likeness[chosen] = -2.0
        linked += 1
    return linked


@kernel
def _to_array(values):  # type: ignore[no-untyped-def]
    out = np.empty(len(values), np.int64)
    for i in range(len(values)):
        out[i] = values[i]
    return out
