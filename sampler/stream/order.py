"""How often and in which order documents come: pure functions of (seed, domain, epoch, pass, block).

**Copies.** A document of weight w has floor(w·e + u) copies after e epochs, where u = u(seed, doc_id) is uniform in
[0, 1): a document of weight 0.3 comes in 30 % of the epochs, one of 2.5 two or three times in each, and rounding errors
do not add up. An epoch consists of P = ceil(w_max) passes, and after g passes there are floor(w·g/P + u) copies. So a
document comes at most once in a pass, its copies are spread over the passes, and P passes give exactly the epoch's
count. Drawing each epoch's copies anew would be simpler, but give every document binomial noise.

Weights and u are fixed-point numbers with 24 fractional bits: integers, thus the same on every machine.

**Order.** Each pass visits the blocks in a permuted order and the documents of a block in a permuted order.
Blocks bound the memory and the reading range of a shuffle; a full permutation would cost 8 bytes a document
and a random read each. Fisher-Yates over a counter hash: O(n), no generator state.

Cost: 2-3 ns a document to count a pass, 5-10 ns a document to permute a block.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.hash import mix, uniform

UNIT = 1 << 24
MAX_WEIGHT = 64.0
MAX_PASSES = 1 << 32  # keeps weight x passes below 2^63
MAX_SEARCH = 1 << 20  # passes without a single token before a domain counts as empty
U64 = np.uint64
_MASK = (1 << 64) - 1
_GOLDEN = U64(0x9E3779B97F4A7C15)
_DRAW_SALT = 0x7068617365000000


def key_of(seed: int, *parts: int | str) -> int:
    """A 64-bit key for one draw, e.g. `key_of(seed, "web", epoch, pass, block)`."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def fixed_weights(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Weights in units of 2^-24, rounded to nearest: uint32[n].

    Raises:
        ValueError: a weight is negative or above 64.
    """
    if len(weights) and not (float(weights.min()) >= 0 and float(weights.max()) <= MAX_WEIGHT):
        raise ValueError(f"found weights in {weights.min()}…{weights.max()}; expected 0…{MAX_WEIGHT:g}")
    return np.rint(weights.astype(np.float64) * UNIT).astype(np.uint32)


def draws(seed: int, doc_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """u(seed, d) in units of 2^-24: uint32[n] in [0, 2^24)."""
    return (uniform(seed ^ _DRAW_SALT, doc_ids) * UNIT).astype(np.uint32)


def passes_per_epoch(weights: npt.NDArray[np.uint32]) -> int:
    """ceil(w_max) of fixed-point weights, at least one."""
    return max(1, -(-int(weights.max(initial=0)) // UNIT))


@kernel(inline="always")
def _copies(weight, draw, done, passes):  # type: ignore[no-untyped-def]
    # floor(w·g/P + u), computed without exceeding 2^63: g is split into multiples of P and a remainder.
    weight, draw = np.int64(weight), np.int64(draw)
    whole = weight * (done // passes) + draw
    part = weight * (done % passes) + (whole % UNIT) * passes
    return whole // UNIT + part // (passes * UNIT)


@kernel(nogil=True)
def copies_after(weights, draws, done, passes):  # type: ignore[no-untyped-def]
    """Copies of each document in the first `done` passes.

    Args:
        weights: uint32[n], fixed-point.
        draws: uint32[n], fixed-point.
        done: passes.
        passes: passes an epoch.

    Returns:
        int64[n].
    """
    out = np.empty(len(weights), np.int64)
    for i in range(len(weights)):
        out[i] = _copies(weights[i], draws[i], done, passes)
    return out


@kernel(nogil=True)
def expected_tokens(weights, offsets):  # type: ignore[no-untyped-def]
    """Σ weight · length, an epoch's expected tokens: float64. Arguments as `tokens_after`."""
    total = 0.0
    for i in range(len(weights)):
        total += np.float64(weights[i]) * np.float64(offsets[i + 1] - offsets[i])
    return total / UNIT


@kernel(nogil=True)
def tokens_after(weights, draws, offsets, done, passes):  # type: ignore[no-untyped-def]
    """Tokens that some documents give in the first `done` passes.

    Args:
        weights: uint32[n], fixed-point.
        draws: uint32[n], fixed-point.
        offsets: int64[n + 1], where each document starts.
        done: passes.
        passes: passes an epoch.
    """
    total = np.int64(0)
    for i in range(len(weights)):
        total += (offsets[i + 1] - offsets[i]) * _copies(weights[i], draws[i], done, passes)
    return total


@kernel(nogil=True)
def tokens_by_block(weights, draws, offsets, starts, number, passes):  # type: ignore[no-untyped-def]
    """Tokens of each block in pass `number`.

    Args:
        starts: int64[n_blocks + 1], first document of each block.
        number: the pass, counted over all epochs. Others as `tokens_after`.

    Returns:
        int64[n_blocks].
    """
    out = np.zeros(len(starts) - 1, np.int64)
    for b in range(len(starts) - 1):
        for i in range(starts[b], starts[b + 1]):
            before = _copies(weights[i], draws[i], number, passes)
            out[b] += (offsets[i + 1] - offsets[i]) * (_copies(weights[i], draws[i], number + 1, passes) - before)
    return out


@kernel(nogil=True)
def documents_in_pass(weights, draws, number, passes):  # type: ignore[no-untyped-def]
    """Which documents (positions in the arrays) pass `number` holds, each once: int64[m], ascending."""
    out = np.empty(len(weights), np.int64)
    found = 0
    for i in range(len(weights)):
        before = _copies(weights[i], draws[i], number, passes)
        if _copies(weights[i], draws[i], number + 1, passes) > before:
            out[found] = i
            found += 1
    return out[:found]


def block_starts(offsets: npt.NDArray[np.int64], block_tokens: int, block_documents: int) -> npt.NDArray[np.int64]:
    """Fixed blocks of consecutive documents, of about `block_tokens`; a document that is longer ends its block.

    `offsets`, int64[n + 1], is where documents start, in tokens. Returns the first document of each block,
    int64[n_blocks + 1], ending with n. At most `block_documents` in one bound the memory of its permutation.
    """
    count = len(offsets) - 1
    by_tokens = np.searchsorted(offsets[:-1], np.arange(offsets[0], offsets[-1], block_tokens))
    return np.unique(np.concatenate([by_tokens, np.arange(0, count, block_documents), [count]])).astype(np.int64)


def permutation(count: int, key: int) -> npt.NDArray[np.int64]:
    """A permutation of 0…count-1 (count < 2^31): int64[count], a pure function of its arguments."""
    return np.asarray(_fisher_yates(count, U64(key & _MASK)), np.int64)


@kernel(nogil=True)
def _fisher_yates(count, key):  # type: ignore[no-untyped-def]
    order = np.arange(count)
    for i in range(count - 1, 0, -1):
        drawn = mix(key + U64(i) * _GOLDEN) >> U64(32)
        j = np.int64((drawn * U64(i + 1)) >> U64(32))  # in 0…i, bias below i / 2^32
        order[i], order[j] = order[j], order[i]
    return order
