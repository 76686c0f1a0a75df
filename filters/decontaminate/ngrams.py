"""N-grams over token hashes, and the loops that build an index of them.

A gram is the shortest run of tokens that is *full*: each token adds its weight, a word more than a character that
stands alone, and the weights are chosen so that `words` words or `characters` characters fill it, and mixed runs in
between. So a gram is a function of its tokens alone, wherever they stand, and each script has its own length.

The hash of a run comes from prefix sums: `H(i, j) = P(j) - P(i) · B^(j-i)` modulo 2^64 over token hashes, mixed with
the length. Of m grams in the index and n in the corpus `m n / 2^64` look equal by chance: 1.5 at m = 28 million and
n = 10^12, each of them one gram among the many that an item must have.

Cost: one multiplication and one hash mix for each token and kind of gram.
"""

from __future__ import annotations

import numpy as np

from tamis.kernels import kernel
from text.hash import mix
from text.tokens import stands_alone

U64 = np.uint64
_BASE = U64(0x9E6C63D0876A9A47)
_KIND = U64(0xC2B2AE3D27D4EB4F)
LONG, SHORT = 0, 1
"""Kinds of gram: those that make evidence by themselves, and the anchors of items that are searched for whole."""
WORD, CHARACTER, FULL = range(3)
"""Columns of the weights of a kind: of a word, of a character that stands alone, and what fills a gram."""
IN_FORM, AT_FIRST, AT_END = range(3)
"""Columns of a gram's place: the form that holds it, its first token there, and the one behind its last."""


@kernel(inline="always")
def run_hash(prefix, power, first, last, salt):  # type: ignore[no-untyped-def]
    """The hash of tokens first … last - 1, another one for each salt."""
    return mix((prefix[last] - prefix[first] * power[last - first]) ^ (salt + U64(last - first)))


@kernel
def powers(longest):  # type: ignore[no-untyped-def]
    """`B^0 … B^longest`."""
    out = np.ones(longest + 1, np.uint64)
    for i in range(longest):
        out[i + 1] = out[i] * _BASE
    return out


@kernel
def prepare_tokens(tokens, count, classes, prefix, alone):  # type: ignore[no-untyped-def]
    """Writes prefix sums (count + 1) and whether each token stands alone."""
    total = U64(0)
    prefix[0] = total
    for t in range(count):
        total = total * _BASE + tokens[t]
        prefix[t + 1] = total
        alone[t] = stands_alone(tokens[t], classes)


@kernel
def grams_into(prefix, alone, count, weights, kind, power, hashes, stops):  # type: ignore[no-untyped-def]
    """Writes the hash of the gram that begins at each token, and where it ends; returns how many there are.

    Args:
        prefix: uint64[count + 1].
        alone: bool[count].
        count: tokens.
        weights: int64[2, 3], a row of `WORD`, `CHARACTER`, `FULL` for each kind.
        kind: `LONG` or `SHORT`.
        power: uint64[...], up to the tokens of the longest gram.
        hashes: uint64[>= count].
        stops: int32[>= count].
    """
    word, single, full = weights[kind, WORD], weights[kind, CHARACTER], weights[kind, FULL]
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


@kernel
def grams_of_forms(ptr, tokens, classes, weights, kind, wanted, power):  # type: ignore[no-untyped-def]
    """The grams of some forms, their hashes and places; and for all forms the hash of the whole.

    Args:
        ptr: int64[n + 1].
        tokens: uint64[ptr[-1]].
        classes: see `CharTables`.
        weights: see `grams_into`.
        kind: `LONG` or `SHORT`.
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
                place[at, IN_FORM], place[at, AT_FIRST], place[at, AT_END] = f, i, stops[i]
                at += 1
    return out[:at].copy(), place[:at].copy(), whole


@kernel
def weigh_forms(ptr, tokens, classes, weights):  # type: ignore[no-untyped-def]
    """The weight of each form under each kind's weights, int64[n, 2]."""
    out = np.zeros((len(ptr) - 1, 2), np.int64)
    for f in range(len(ptr) - 1):
        for t in range(ptr[f], ptr[f + 1]):
            which = CHARACTER if stands_alone(tokens[t], classes) else WORD
            out[f, LONG] += weights[LONG, which]
            out[f, SHORT] += weights[SHORT, which]
    return out


@kernel
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


@kernel
def covered_tokens(place, n_forms):  # type: ignore[no-untyped-def]
    """How many tokens of each form lie in some gram; places ascend."""
    out = np.zeros(n_forms, np.int32)
    form, reach = -1, 0
    for i in range(len(place)):
        if place[i, IN_FORM] != form:
            form, reach = place[i, IN_FORM], 0
        low = max(place[i, AT_FIRST], reach)
        if place[i, AT_END] > low:
            out[form] += place[i, AT_END] - low
            reach = place[i, AT_END]
    return out


@kernel(inline="always")
def bits_of(key):  # type: ignore[no-untyped-def]
    """The bits that a key sets in its word of the Bloom filter, three at most."""
    return U64(1) << (key & U64(63)) | U64(1) << (key >> U64(6) & U64(63)) | U64(1) << (key >> U64(12) & U64(63))


@kernel
def fill_bits(keys, bits):  # type: ignore[no-untyped-def]
    """Sets each key's bits in the word that its leading bits name: a Bloom filter whose probe reads memory once."""
    shift = U64(64) - U64(np.int64(np.log2(len(bits)) + 0.5))
    for i in range(len(keys)):
        bits[keys[i] >> shift] |= bits_of(keys[i])
