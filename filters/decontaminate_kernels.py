"""The loops of decontamination: n-grams of token hashes, their look-up, and what the hits of a document amount to.

A gram is the shortest run of tokens that is *full*: each token adds its weight, a word more than a character that
stands alone, and the weights are chosen so that ``words`` words or ``characters`` characters fill it, and mixed runs in
between. So a gram is a function of its tokens alone, wherever they stand, and each script has its own length.

The hash of a run comes from prefix sums: ``H(i, j) = P(j) - P(i) · B^(j-i)`` modulo 2^64 over token hashes, mixed with
the length. Of m grams in the index and n in the corpus ``m n / 2^64`` look equal by chance: 1.5 at m = 28 million and
n = 10^12, each of them one gram among the many that an item must have.

Cost: tokenisation, a hash for each kind of gram, and one look into a table of bits for it; the looks of a document
run in a loop of their own, so that the memory is asked for many at once.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from text.hash import mix
from text.tokens import stands_alone, tokenize

U64 = np.uint64
_BASE = U64(0x9E6C63D0876A9A47)
_KIND = U64(0xC2B2AE3D27D4EB4F)
LONG, SHORT = 0, 1
"""Kinds of gram: those that make evidence by themselves, and the anchors of items that are searched for whole."""
HIT = 6
"""Columns of a hit: document, form, first and last token in the form, first and last token in the document."""


@nb.njit(inline="always", cache=True)
def run_hash(prefix, power, first, last, salt):  # type: ignore[no-untyped-def]
    """The hash of tokens first … last - 1, another one for each salt."""
    return mix((prefix[last] - prefix[first] * power[last - first]) ^ (salt + U64(last - first)))


@nb.njit(cache=True)
def powers(longest):  # type: ignore[no-untyped-def]
    """``B^0 … B^longest``."""
    out = np.ones(longest + 1, np.uint64)
    for i in range(longest):
        out[i + 1] = out[i] * _BASE
    return out


@nb.njit(cache=True)
def prepare_tokens(tokens, count, classes, prefix, alone):  # type: ignore[no-untyped-def]
    """Writes prefix sums (count + 1) and whether each token stands alone."""
    total = U64(0)
    prefix[0] = total
    for t in range(count):
        total = total * _BASE + tokens[t]
        prefix[t + 1] = total
        alone[t] = stands_alone(tokens[t], classes)


@nb.njit(cache=True)
def grams_into(prefix, alone, count, weights, kind, power, hashes, stops):  # type: ignore[no-untyped-def]
    """Writes the hash of the gram that begins at each token, and where it ends; returns how many there are.

    Args:
        prefix: uint64[count + 1].
        alone: bool[count].
        count: tokens.
        weights: int64[2, 3], for each kind: of a word, of a character that stands alone, and what fills a gram.
        kind: ``LONG`` or ``SHORT``.
        power: uint64[...], up to the tokens of the longest gram.
        hashes: uint64[>= count].
        stops: int32[>= count].
    """
    word, single, full = weights[kind, 0], weights[kind, 1], weights[kind, 2]
    salt = _KIND * U64(kind + 1)
    last, weight = 0, np.int64(0)
    for first in range(count):
        while weight < full:
            if last == count:
                return first
            weight += single if alone[last] else word
            last += 1
        hashes[first] = run_hash(prefix, power, first, last, salt)
        stops[first] = last
        weight -= single if alone[first] else word
    return count


@nb.njit(cache=True)
def grams_of_forms(ptr, tokens, classes, weights, kind, wanted, power):  # type: ignore[no-untyped-def]
    """The grams of some forms: hash, form, first token, last token; and for all forms the hash of the whole.

    Args:
        ptr: int64[n + 1].
        tokens: uint64[ptr[-1]].
        classes: see ``CharTables``.
        weights: see ``grams_into``.
        kind: ``LONG`` or ``SHORT``.
        wanted: bool[n], the forms whose grams are written.
        power: uint64[...], up to the tokens of the longest form.
    """
    n = len(ptr) - 1
    most = 1
    room = 0
    for f in range(n):
        most = max(most, ptr[f + 1] - ptr[f])
        if wanted[f]:
            room += ptr[f + 1] - ptr[f]
    prefix, alone = np.empty(most + 1, np.uint64), np.empty(most, np.bool_)
    hashes, stops = np.empty(most, np.uint64), np.empty(most, np.int32)
    out = np.empty(room, np.uint64)
    place = np.empty((room, 3), np.int32)
    whole = np.empty(n, np.uint64)
    at = 0
    for f in range(n):
        count = ptr[f + 1] - ptr[f]
        prepare_tokens(tokens[ptr[f] : ptr[f + 1]], count, classes, prefix, alone)
        whole[f] = run_hash(prefix, power, 0, count, U64(0))
        if wanted[f]:
            grams = grams_into(prefix, alone, count, weights, kind, power, hashes, stops)
            for i in range(grams):
                out[at] = hashes[i]
                place[at, 0], place[at, 1], place[at, 2] = f, i, stops[i]
                at += 1
    return out[:at].copy(), place[:at].copy(), whole


@nb.njit(cache=True)
def weigh_forms(ptr, tokens, classes, weights):  # type: ignore[no-untyped-def]
    """The weight of each form under each kind's weights, int64[n, 2]."""
    out = np.zeros((len(ptr) - 1, 2), np.int64)
    for f in range(len(ptr) - 1):
        for t in range(ptr[f], ptr[f + 1]):
            which = 1 if stands_alone(tokens[t], classes) else 0
            out[f, 0] += weights[0, which]
            out[f, 1] += weights[1, which]
    return out


@nb.njit(cache=True)
def count_items(hashes, items):  # type: ignore[no-untyped-def]
    """How many items hold each gram, for each row; rows are sorted by hash, then item."""
    out = np.empty(len(hashes), np.int32)
    first = 0
    while first < len(hashes):
        last, count = first + 1, 1
        while last < len(hashes) and hashes[last] == hashes[first]:
            if items[last] != items[last - 1]:
                count += 1
            last += 1
        out[first:last] = count
        first = last
    return out


@nb.njit(cache=True)
def covered_tokens(place, n_forms):  # type: ignore[no-untyped-def]
    """How many tokens of each form lie in some gram; rows (form, first, last) ascend."""
    out = np.zeros(n_forms, np.int32)
    form, reach = -1, 0
    for i in range(len(place)):
        if place[i, 0] != form:
            form, reach = place[i, 0], 0
        low = max(place[i, 1], reach)
        if place[i, 2] > low:
            out[form] += place[i, 2] - low
            reach = place[i, 2]
    return out


@nb.njit(inline="always", cache=True)
def bits_of(key):  # type: ignore[no-untyped-def]
    """The bits of a key in its word, three at most."""
    return U64(1) << (key & U64(63)) | U64(1) << (key >> U64(6) & U64(63)) | U64(1) << (key >> U64(12) & U64(63))


@nb.njit(cache=True)
def fill_bits(keys, bits):  # type: ignore[no-untyped-def]
    """Sets each key's bits, in the word that its leading bits name: a Bloom filter that costs one look into memory."""
    shift = U64(64) - U64(np.int64(np.log2(len(bits)) + 0.5))
    for i in range(len(keys)):
        bits[keys[i] >> shift] |= bits_of(keys[i])


@nb.njit(cache=True)
def _likely(hashes, grams, bits, out):  # type: ignore[no-untyped-def]
    """Writes which of the grams may be in the index; returns how many."""
    shift = U64(64) - U64(np.int64(np.log2(len(bits)) + 0.5))
    n = np.int64(0)
    for i in range(grams):
        out[n] = i
        n += np.int64((~bits[hashes[i] >> shift] & bits_of(hashes[i])) == U64(0))
    return n


@nb.njit(cache=True)
def find_hits(  # type: ignore[no-untyped-def]
    offsets, data, done, classes, fold_start, fold_data, weights, keys, starts, bits, post_ptr, posts, form_length,
    form_hash, longest,
):  # fmt: skip
    """The grams of the index in some documents.

    Args:
        offsets: int64[n_docs + 1].
        data: uint8[...].
        done: bool[n_docs], already folded.
        classes: see ``CharTables``.
        fold_start: see ``CharTables``.
        fold_data: see ``CharTables``.
        weights: see ``grams_into``; a kind of which the index has no gram is filled by 0.
        keys: uint64[m], ascending.
        starts: int32[2^b + 1], where the keys with these b leading bits begin.
        bits: uint64[2^c], see ``fill_bits``.
        post_ptr: int64[m + 1].
        posts: int32[post_ptr[-1], 3], a key's places: form, first and last token there.
        form_length: int32[n_forms], tokens of a form that must be met whole, else 0.
        form_hash: uint64[n_forms].
        longest: tokens of the longest gram or such form.

    Returns:
        int32[n_hits, HIT].
    """
    power = powers(longest)
    starts_shift = U64(64) - U64(np.int64(np.log2(len(starts) - 1) + 0.5))
    room = 4096
    tokens, prefix = np.empty(room, np.uint64), np.empty(room + 1, np.uint64)
    alone, hashes, stops = np.empty(room, np.bool_), np.empty(room, np.uint64), np.empty(room, np.int32)
    likely, no_fnv = np.empty(room, np.int32), np.empty(0, np.uint32)
    hits = np.empty((256, HIT), np.int32)
    n_hits = 0
    for d in range(len(offsets) - 1):
        while True:
            args = (data, offsets[d], offsets[d + 1], done[d], classes, fold_start, fold_data)
            count = tokenize(*args, tokens, no_fnv)
            if count >= 0:
                break
            room *= 2
            tokens, prefix = np.empty(room, np.uint64), np.empty(room + 1, np.uint64)
            alone, hashes, stops = np.empty(room, np.bool_), np.empty(room, np.uint64), np.empty(room, np.int32)
            likely = np.empty(room, np.int32)
        prepare_tokens(tokens, count, classes, prefix, alone)
        for kind in range(2):
            if weights[kind, 2] == 0:
                continue
            grams = grams_into(prefix, alone, count, weights, kind, power, hashes, stops)
            for probe in range(_likely(hashes, grams, bits, likely)):
                i = likely[probe]
                h = hashes[i]
                bucket = np.int64(h >> starts_shift)
                k, end = starts[bucket], starts[bucket + 1]
                while k < end and keys[k] < h:
                    k += 1
                if k == end or keys[k] != h:
                    continue
                for p in range(post_ptr[k], post_ptr[k + 1]):
                    form, low, high = posts[p, 0], posts[p, 1], posts[p, 2]
                    first, last = np.int64(i), np.int64(stops[i])
                    length = np.int64(form_length[form])
                    if length > 0:
                        first = i - np.int64(low)
                        last = first + length
                        if first < 0 or last > count or run_hash(prefix, power, first, last, U64(0)) != form_hash[form]:
                            continue
                        low, high = np.int32(0), np.int32(length)
                    if n_hits == len(hits):
                        grown = np.empty((2 * n_hits, HIT), np.int32)
                        grown[:n_hits] = hits
                        hits = grown
                    hits[n_hits, 0], hits[n_hits, 1], hits[n_hits, 2], hits[n_hits, 3] = d, form, low, high
                    hits[n_hits, 4], hits[n_hits, 5] = first, last
                    n_hits += 1
    return hits[:n_hits].copy()


@nb.njit(cache=True)
def join_hits(hits, form_item, form_tokens):  # type: ignore[no-untyped-def]
    """What the hits amount to: for each document and item the runs of text in which its best form lies.

    The hits of a form that lie no farther apart than the form is long make one run; a run's share is its own, so that
    common phrases scattered over a long document do not add up. The best form is that of the run of largest share.

    Args:
        hits: int32[n, HIT], sorted by document, form, place in the form, place in the document; an item's forms have
            neighbouring numbers.
        form_item: int32[n_forms].
        form_tokens: int32[n_forms], tokens of a form that can be found.

    Returns:
        rows: int32[r, 5]: document, item, grams of the item found in the run, first and last token of the run;
        share: float32[r], of the item's tokens that lie in these grams.
    """
    n = len(hits)
    rows, covered = np.empty((n, 5), np.int32), np.empty(n, np.int64)
    own_rows, own_covered = np.empty((n, 5), np.int32), np.empty(n, np.int64)
    share = np.empty(n, np.float32)
    at = i = 0
    while i < n:
        document, item = hits[i, 0], form_item[hits[i, 1]]
        count, best, total = 0, np.int64(0), np.int64(1)
        while i < n and hits[i, 0] == document and form_item[hits[i, 1]] == item:
            begin, form = i, hits[i, 1]
            while i < n and hits[i, 0] == document and hits[i, 1] == form:
                i += 1
            tokens = np.int64(form_tokens[form])
            own = _runs(hits, begin, i, tokens, own_rows, own_covered)
            most = own_covered[:own].max()
            if most * total > best * tokens:
                count, best, total = own, most, tokens
                rows[at : at + own] = own_rows[:own]
                covered[at : at + own] = own_covered[:own]
        for row in range(at, at + count):
            rows[row, 0], rows[row, 1] = document, item
            share[row] = np.float32(covered[row] / total)
        at += count
    return rows[:at].copy(), share[:at].copy()


@nb.njit(cache=True)
def _runs(hits, begin, end, tokens, rows, covered):  # type: ignore[no-untyped-def]
    """Writes the runs of one document and form and the form's tokens that each covers; returns how many."""
    order = np.argsort(hits[begin:end, 4], kind="mergesort") + begin
    n, k = 0, 0
    while k < len(order):
        first, last = np.int64(hits[order[k], 4]), np.int64(hits[order[k], 5])
        lead = k
        while k < len(order) and hits[order[k], 4] <= last + tokens:
            last = max(last, np.int64(hits[order[k], 5]))
            k += 1
        rows[n, 2], covered[n] = _measure(hits, np.sort(order[lead:k]))
        rows[n, 3], rows[n, 4] = first, last
        n += 1
    return n


@nb.njit(cache=True)
def _measure(hits, which):  # type: ignore[no-untyped-def]
    """The different grams among some hits of a form, and its tokens that they cover; hits ascend by place in it."""
    grams, covered, reach = 0, np.int64(0), np.int64(0)
    previous = np.int64(-1)
    for h in which:
        first, last = np.int64(hits[h, 2]), np.int64(hits[h, 3])
        if first != previous:
            grams += 1
            previous = first
            if last > reach:
                covered += min(last - first, last - reach)
                reach = last
    return grams, covered
