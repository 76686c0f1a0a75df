"""The loops of decontamination: n-grams looked up in documents, and what the hits of a document amount to.

Cost: tokenisation, a hash for each kind of gram, and one probe of a Bloom filter for it; the probes of a document run
    in a loop of their own, so that many memory reads are under way at once.
"""

from __future__ import annotations

import numpy as np

from filters.decontaminate.ngrams import (
    AT_END,
    AT_FIRST,
    FULL,
    IN_FORM,
    LONG,
    bits_of,
    grams_into,
    powers,
    prepare_tokens,
    run_hash,
)
from tamis.kernels import kernel
from text.tokens import tokenize

U64 = np.uint64
DOCUMENT, FORM, FORM_FIRST, FORM_END, FIRST, END = range(6)
"""Columns of a hit: its first token and the one behind its last, in the form and then in the document."""
RUN_DOCUMENT, RUN_ITEM, RUN_GRAMS, RUN_FIRST, RUN_END = range(5)
"""Columns of a run."""


@kernel
def _make_scratch(room):  # type: ignore[no-untyped-def]
    """Arrays for documents of up to `room` tokens: tokens, prefix sums, alone, hashes, stops, likely."""
    tokens, prefix, alone = np.empty(room, np.uint64), np.empty(room + 1, np.uint64), np.empty(room, np.bool_)
    return tokens, prefix, alone, np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.int32)


@kernel
def _likely(hashes, grams, bits, out):  # type: ignore[no-untyped-def]
    """Writes which of the grams may be in the index; returns how many."""
    shift = U64(64) - U64(np.int64(np.log2(len(bits)) + 0.5))
    n = np.int64(0)
    for i in range(grams):
        out[n] = i
        n += np.int64((~bits[hashes[i] >> shift] & bits_of(hashes[i])) == U64(0))
    return n


@kernel
def _write_hit(out, post, first, last, length, whole, prefix, count, power):  # type: ignore[no-untyped-def]
    """Writes the hit of a gram's place, all but its document; False where a form to be met whole is not."""
    out[FORM], out[FORM_FIRST], out[FORM_END] = post[IN_FORM], post[AT_FIRST], post[AT_END]
    out[FIRST], out[END] = first, last
    if length == 0:
        return True
    begin = np.int64(first) - np.int64(post[AT_FIRST])
    out[FORM_FIRST], out[FORM_END], out[FIRST], out[END] = 0, length, begin, begin + length
    return begin >= 0 and begin + length <= count and run_hash(prefix, power, begin, begin + length, U64(0)) == whole


@kernel
def find_hits(  # type: ignore[no-untyped-def]
    offsets,
    data,
    done,
    classes,
    fold_start,
    fold_data,
    weights,
    keys,
    starts,
    bits,
    anchor_bits,
    post_ptr,
    posts,
    form_length,
    form_hash,
    longest,
):
    """The grams of the index in some documents.

    Args:
        offsets: int64[n_docs + 1].
        data: uint8[...].
        done: bool[n_docs], already folded.
        classes: see `CharTables`.
        fold_start: see `CharTables`.
        fold_data: see `CharTables`.
        weights: see `grams_into`; `FULL` is 0 for a kind of which the index has no gram.
        keys: uint64[m], ascending.
        starts: int32[2^b + 1], where the keys with these b leading bits begin.
        bits: uint64[2^c], the Bloom filter of the n-grams; see `fill_bits`.
        anchor_bits: uint64[2^d], of the anchors.
        post_ptr: int64[m + 1].
        posts: int32[post_ptr[-1], 3], a key's places (`IN_FORM`, …).
        form_length: int32[n_forms], tokens of a form that must be met whole, else 0.
        form_hash: uint64[n_forms].
        longest: tokens of the longest gram or such form.

    Returns:
        int32[n_hits, 6], columns `DOCUMENT` to `END`.
    """
    power = powers(longest)
    starts_shift = U64(64) - U64(np.int64(np.log2(len(starts) - 1) + 0.5))
    tokens, prefix, alone, hashes, stops, likely = _make_scratch(4096)
    no_fnv = np.empty(0, np.uint32)
    hits = np.empty((256, END + 1), np.int32)
    n_hits = 0
    for d in range(len(offsets) - 1):
        args = (data, offsets[d], offsets[d + 1], done[d], classes, fold_start, fold_data)
        count = tokenize(*args, tokens, no_fnv)
        while count < 0:
            tokens, prefix, alone, hashes, stops, likely = _make_scratch(2 * len(tokens))
            count = tokenize(*args, tokens, no_fnv)
        prepare_tokens(tokens, count, classes, prefix, alone)
        for kind in range(2):
            if weights[kind, FULL] == 0:
                continue
            grams = grams_into(prefix, alone, count, weights, kind, power, hashes, stops)
            for probe in range(_likely(hashes, grams, bits if kind == LONG else anchor_bits, likely)):
                i = likely[probe]
                bucket = np.int64(hashes[i] >> starts_shift)
                k, end = starts[bucket], starts[bucket + 1]
                while k < end and keys[k] < hashes[i]:
                    k += 1
                if k == end or keys[k] != hashes[i]:
                    continue
                for p in range(post_ptr[k], post_ptr[k + 1]):
                    if n_hits == len(hits):
                        grown = np.empty((2 * n_hits, END + 1), np.int32)
                        grown[:n_hits] = hits
                        hits = grown
                    length = np.int64(form_length[posts[p, IN_FORM]])
                    whole = form_hash[posts[p, IN_FORM]]
                    if _write_hit(hits[n_hits], posts[p], i, stops[i], length, whole, prefix, count, power):
                        hits[n_hits, DOCUMENT] = d
                        n_hits += 1
    return hits[:n_hits].copy()


@kernel
def join_hits(hits, form_item, form_tokens):  # type: ignore[no-untyped-def]
    """What the hits amount to: for each document and item the runs of text in which its best form lies.

    The hits of a form that lie no farther apart than the form is long make one run; a run's share is its own, so that
    common phrases scattered over a long document do not add up. The best form is that of the run of largest share.

    Args:
        hits: int32[n, 6], sorted by document, form, place in the form, place in the document; an item's forms have
            neighbouring numbers.
        form_item: int32[n_forms].
        form_tokens: int32[n_forms], tokens of a form that can be found.

    Returns:
        runs: int32[r, 5]: document, item, grams of the item found in the run, its first token and the one behind its
            last; share: float32[r], of the item's tokens that lie in these grams.
    """
    n = len(hits)
    runs, covered = np.empty((n, RUN_END + 1), np.int32), np.empty(n, np.int64)
    own_runs, own_covered = np.empty((n, RUN_END + 1), np.int32), np.empty(n, np.int64)
    share = np.empty(n, np.float32)
    at = i = 0
    while i < n:
        document, item = hits[i, DOCUMENT], form_item[hits[i, FORM]]
        count, best, total = 0, np.int64(0), np.int64(1)
        while i < n and hits[i, DOCUMENT] == document and form_item[hits[i, FORM]] == item:
            begin, form = i, hits[i, FORM]
            while i < n and hits[i, DOCUMENT] == document and hits[i, FORM] == form:
                i += 1
            tokens = np.int64(form_tokens[form])
            own = _runs(hits, begin, i, tokens, own_runs, own_covered)
            most = own_covered[:own].max()
            if most * total > best * tokens:
                count, best, total = own, most, tokens
                runs[at : at + own] = own_runs[:own]
                covered[at : at + own] = own_covered[:own]
        for k in range(at, at + count):
            runs[k, RUN_DOCUMENT], runs[k, RUN_ITEM] = document, item
            share[k] = np.float32(covered[k] / total)
        at += count
    return runs[:at].copy(), share[:at].copy()


@kernel
def _runs(hits, begin, end, tokens, runs, covered):  # type: ignore[no-untyped-def]
    """Writes the runs of one document and form and the form's tokens that each covers; returns how many."""
    order = np.argsort(hits[begin:end, FIRST], kind="mergesort") + begin
    n, k = 0, 0
    while k < len(order):
        first, last = np.int64(hits[order[k], FIRST]), np.int64(hits[order[k], END])
        lead = k
        while k < len(order) and hits[order[k], FIRST] <= last + tokens:
            last = max(last, np.int64(hits[order[k], END]))
            k += 1
        runs[n, RUN_GRAMS], covered[n] = _measure(hits, np.sort(order[lead:k]))
        runs[n, RUN_FIRST], runs[n, RUN_END] = first, last
        n += 1
    return n


@kernel
def _measure(hits, which):  # type: ignore[no-untyped-def]
    """The different grams among some hits of a form, and its tokens that they cover; hits ascend by place in it."""
    grams, covered, reach = 0, np.int64(0), np.int64(0)
    previous = np.int64(-1)
    for h in which:
        first, last = np.int64(hits[h, FORM_FIRST]), np.int64(hits[h, FORM_END])
        if first != previous:
            grams += 1
            previous = first
            if last > reach:
                covered += min(last - first, last - reach)
                reach = last
    return grams, covered
