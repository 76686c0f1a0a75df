"""What repeats inside one document: lines, paragraphs and n-grams, by hash, without a string for any of them.

A repeated n-gram begins with a repeated (n-1)-gram. So only 2-grams are hashed everywhere, and of these only the ones
that share a slot of a small table are counted (`_begin`). Each longer gram is counted only at positions whose shorter
gram occurred twice or more: on clean text few are left by n = 5, where a pass for each of the nine lengths would count
all grams nine times.

Grams are compared by 64-bit hash alone: a false match in a document of a million units has a chance below
10^-7, and it would move a ratio by a few parts in a million.

Source: Rae et al. 2021 (Gopher), appendix A1.1 and table A1; the counting is datatrove's: of equally common
top grams the first (but of grams that occur once, none); a repeated gram of n >= 5 is counted and jumped
over, so that no character counts twice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.hash import mix

_PRIME = np.uint64(0x9DDFEA08EB382D69)
_ONE = np.uint64(1)
_SHIFT = np.uint64(32)


class Scratch(NamedTuple):
    """Arrays that the documents of a batch share; of each only the pages that a document needs are touched."""

    grams: npt.NDArray[np.uint64]  # [capacity], the hash of the gram that begins at each unit
    at: npt.NDArray[np.int32]  # [capacity], the units whose grams are counted, ascending
    slot_of: npt.NDArray[np.int32]  # [capacity], the slot of the gram at each of these
    keys: npt.NDArray[np.uint64]  # [slots], an open-addressing table of hashes; 0 is free
    counts: npt.NDArray[np.int32]  # [slots], how often each occurs
    firsts: npt.NDArray[np.int32]  # [slots], the first unit of each
    met: npt.NDArray[np.uint8]  # [4 * slots], whether a 2-gram's low bits were met never, once or more often


@kernel
def make_scratch(capacity):  # type: ignore[no-untyped-def]
    """Scratch for documents of up to `capacity` units."""
    slots = 64
    while slots < 2 * capacity:
        slots *= 2
    grams = np.empty(capacity, np.uint64)
    at, slot_of = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    keys = np.empty(slots, np.uint64)
    counts, firsts = np.empty(slots, np.int32), np.empty(slots, np.int32)
    met = np.zeros(4 * slots, np.uint8)
    return Scratch(grams, at, slot_of, keys, counts, firsts, met)


@kernel(inline="always")
def _clear(keys, n):  # type: ignore[no-untyped-def]
    """Empties as much of the table as `n` keys need; returns the mask."""
    slots = 64
    while slots < 2 * n:
        slots *= 2
    keys[:slots] = 0
    return np.uint64(slots - 1)


@kernel(inline="always")
def _slot(keys, mask, key):  # type: ignore[no-untyped-def]
    """Where `key` (not 0) stands in the table, or should."""
    slot = key & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + _ONE) & mask
    return slot


@kernel
def duplicates(hashes, sizes, n, scratch):  # type: ignore[no-untyped-def]
    """How many items are equal to an earlier one, and how many characters they have.

    Args:
        hashes: uint64[>= n], one an item.
        sizes: int32[>= n], characters.
        n: how many items.
        scratch: see `Scratch`.
    """
    repeated = repeated_chars = 0
    if n < 2:
        return repeated, repeated_chars
    keys = scratch.keys
    mask = _clear(keys, n)
    for k in range(n):
        key = hashes[k] | _ONE
        slot = _slot(keys, mask, key)
        if keys[slot] == key:
            repeated += 1
            repeated_chars += sizes[k]
        keys[slot] = key
    return repeated, repeated_chars


@kernel
def gram_repetition(units, ends, n_units, step, chars, scratch, out):  # type: ignore[no-untyped-def]
    """Writes the character shares of the top 2- to 4-grams and of the repeated 5- to 10-grams.

    Args:
        units: uint64[>= n_units], hashes.
        ends: int32[>= n_units], cumulated characters, each unit's own included.
        n_units: how many.
        step: tokens to a unit: 1 for words, 2 for single characters.
        chars: characters of the document.
        scratch: see `Scratch`.
        out: float32[9].
    """
    grams, at = scratch.grams, scratch.at
    n_at = _begin(units, n_units, step, scratch)
    for n in range(2, 11):
        size = n * step
        while n_at and at[n_at - 1] + size > n_units:
            n_at -= 1
        if n > 2:
            for j in range(n_at):
                i = at[j]
                g = grams[i]
                for k in range(i + size - step, i + size):
                    g = mix((g * _PRIME) ^ units[k])  # not symmetric: "a b" is not "b a"
                grams[i] = g
        top_count, top_first = _count(n_at, scratch)
        if n <= 4:
            if top_count > 1:
                top = _chars_of(ends, top_first, size) + (n - 1 if step == 1 else 0)
                out[n - 2] = top_count * top / max(chars, 1)
        else:
            out[n - 2] = _jumping(ends, n_at, size, scratch) / max(chars, 1)
        n_at = _keep_repeated(n_at, scratch)


@kernel
def _begin(units, n_units, step, scratch):  # type: ignore[no-untyped-def]
    """Hashes every 2-gram, and writes into `at` the units whose 2-gram may occur more than once.

    A byte for each slot says whether one 2-gram has fallen into it, or more: two passes over a small table instead of a
    look-up of every gram in a large one. Most 2-grams occur once; those that share a slot with another one are counted
    in vain.
    """
    grams, at, met = scratch.grams, scratch.at, scratch.met
    n = n_units - 2 * step + 1
    if n < 1:
        return 0
    slots = 64
    while slots < 4 * n:
        slots *= 2
    met[:slots] = 0
    mask = np.uint64(slots - 1)
    for i in range(n):
        if step == 1:
            g = (units[i] * _PRIME) ^ units[i + 1]
        else:
            g = (units[i] * _PRIME) ^ units[i + 1]
            g = (((g ^ (g >> _SHIFT)) * _PRIME) ^ units[i + 2]) * _PRIME ^ units[i + 3]
        g = (g ^ (g >> _SHIFT)) * _PRIME
        g ^= g >> _SHIFT
        grams[i] = g
        slot = g & mask
        met[slot] = min(met[slot] + 1, 2)
    n_at = 0
    for i in range(n):
        at[n_at] = i
        n_at += met[grams[i] & mask] > 1
    return n_at


@kernel(inline="always")
def _chars_of(ends, i, size):  # type: ignore[no-untyped-def]
    return ends[i + size - 1] - (ends[i - 1] if i else 0)


@kernel
def _count(n_at, scratch):  # type: ignore[no-untyped-def]
    """Counts the grams at `at[:n_at]`; returns count and position of the commonest, the first among equals."""
    grams, at, slot_of, keys, counts, firsts, _ = scratch
    mask = _clear(keys, n_at)
    best = 1
    best_first = 0
    for j in range(n_at):
        key = grams[at[j]] | _ONE
        slot = _slot(keys, mask, key)
        slot_of[j] = slot
        if keys[slot] == 0:
            keys[slot] = key
            counts[slot] = 1
            firsts[slot] = at[j]
            continue
        counts[slot] += 1
        if counts[slot] > best or (counts[slot] == best and firsts[slot] < best_first):
            best = counts[slot]
            best_first = firsts[slot]
    return best, best_first


@kernel
def _jumping(ends, n_at, size, scratch):  # type: ignore[no-untyped-def]
    """Characters of repeated grams, from left to right; each repetition is jumped over, what begins inside it too."""
    _, at, slot_of, _, counts, firsts, _ = scratch
    for j in range(n_at):
        firsts[slot_of[j]] = 0  # from here on: whether the gram has been met
    repeated = free = 0
    for j in range(n_at):
        slot = slot_of[j]
        if at[j] < free or counts[slot] < 2:
            continue
        if firsts[slot]:
            repeated += _chars_of(ends, at[j], size)
            free = at[j] + size
        else:
            firsts[slot] = 1
    return repeated


@kernel
def _keep_repeated(n_at, scratch):  # type: ignore[no-untyped-def]
    """Keeps the positions whose gram occurs more than once; returns how many."""
    at, slot_of, counts = scratch.at, scratch.slot_of, scratch.counts
    kept = 0
    for j in range(n_at):
        if counts[slot_of[j]] > 1:
            at[kept] = at[j]
            kept += 1
    return kept
