"""The hashes of Tamis: 64-bit mixing, text digests, seeded uniform numbers. No global state, no clock.

`mix` is the finaliser of splitmix64 (Steele, Lea, Flood 2014); as a bijection it adds no collisions of its own.
Digests have 128 bits because an exact duplicate is dropped on its digest alone: over 10^11 documents the chance of any
false match is below 10^-16. Span hashes have 64 bits: see `text.sequences`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import SPACE, char_tables, class_of, decode
from text.fold import nfc

U64 = np.uint64
TOKEN_SEED = U64(0x51ED270B27B4F3CF)
"""Where the hash of a token begins: see `text.tokens`."""
WIDE = U64(0x80000000)
"""Set in the four bytes of a character that is not ASCII, so that different character sequences pack differently."""
_GOLDEN = U64(0x9E3779B97F4A7C15)
_LANE_1 = U64(0x9FB21C651E98DF25)
_LANE_2 = U64(0xD6E8FEB86659FD93)


@kernel(inline="always")
def mix(x):  # type: ignore[no-untyped-def]
    """splitmix64's finaliser, uint64 → uint64."""
    x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))


@kernel(inline="always")
def unmix(x):  # type: ignore[no-untyped-def]
    """The inverse of `mix`, uint64 → uint64."""
    x = (x ^ (x >> U64(31)) ^ (x >> U64(62))) * U64(0x319642B2D24D8EC3)
    x = (x ^ (x >> U64(27)) ^ (x >> U64(54))) * U64(0x96DE1B173F119089)
    return x ^ (x >> U64(30)) ^ (x >> U64(60))


@kernel(inline="always")
def packed(char):  # type: ignore[no-untyped-def]
    """A character as part of a token: one byte of ASCII, four otherwise."""
    return U64(char) if char < 128 else U64(char) | WIDE


def uniform(seed: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """A uniform number in [0, 1) for each id, a pure function of (seed, id): float64[n], 53 random bits each."""
    return _uniform(U64(seed & 0xFFFFFFFFFFFFFFFF), np.ascontiguousarray(ids).view(np.uint64))


def digest128(column: TextColumn, keeps_space: bool = False) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The 128-bit digest of each text after NFC and collapsed white space ("exact" in Tamis).

    White space at both ends is ignored; every run inside counts as one space. Case, punctuation and width count. With
    `keeps_space` white space inside counts too, indentation of the first line included, but for spaces at a line's end
    and how a line ends (LF, CR LF or CR).

    Returns:
        Two int64[n_docs] halves. An empty text has a digest too.
    """
    column = nfc(column)
    return _digest128(column.offsets, column.data, char_tables().classes, keeps_space)


@kernel
def _uniform(seed, ids):  # type: ignore[no-untyped-def]
    out = np.empty(len(ids), np.float64)
    base = mix(seed + _GOLDEN)
    for i in range(len(ids)):
        out[i] = np.float64(mix(base ^ mix(ids[i] + _GOLDEN)) >> U64(11)) * (1.0 / 9007199254740992.0)
    return out


@kernel
def _digest128(offsets, data, classes, keeps_space):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    low = np.empty(n, np.int64)
    high = np.empty(n, np.int64)
    for d in range(n):
        h1 = U64(0x243F6A8885A308D3)
        h2 = U64(0x13198A2E03707344)
        word = U64(0)
        total = 0
        space = False
        i = offsets[d]
        run = i  # where the white space before `i` begins
        end = offsets[d + 1]
        while i < end:
            first = data[i]
            if first < 128:
                is_space = first == 32 or 9 <= first <= 13 or 28 <= first <= 31
                size = 1
            else:
                point, size = decode(data, i)
                is_space = (class_of(classes, point) & SPACE) != 0
            if is_space:
                space = total > 0
                i += size
                continue
            if keeps_space:
                breaks, indent = _line_breaks(data, run, i)
                breaks = breaks if total > 0 else 0
                for k in range(indent - breaks, i):
                    word = (word << U64(8)) | (U64(10) if k < indent else U64(data[k]))
                    total += 1
                    if total & 7 == 0:
                        h1, h2 = mix((h1 ^ word) * _LANE_1), mix((h2 + word) * _LANE_2)
                run = i + size
            elif space:
                space = False
                word = (word << U64(8)) | U64(32)
                total += 1
                if total & 7 == 0:
                    h1, h2 = mix((h1 ^ word) * _LANE_1), mix((h2 + word) * _LANE_2)
            stop = i + size
            while i < stop:
                word = (word << U64(8)) | U64(data[i])
                i += 1
                total += 1
                if total & 7 == 0:
                    h1, h2 = mix((h1 ^ word) * _LANE_1), mix((h2 + word) * _LANE_2)
        word &= (U64(1) << U64(8 * (total & 7))) - U64(1)
        h1 = mix((h1 ^ word) * _LANE_1)
        h2 = mix((h2 + word) * _LANE_2)
        h1 = mix(h1 ^ (U64(total) * _GOLDEN))
        h2 = mix(h2 + U64(total) * _GOLDEN)
        low[d] = np.int64(h1)
        high[d] = np.int64(h2)
    return low, high


@kernel
def _line_breaks(data, low, high):  # type: ignore[no-untyped-def]
    """How many lines end within white space, and where the last line begins: `low` where none ends."""
    breaks, indent = 0, low
    for i in range(low, high):
        if data[i] == 10 or (data[i] == 13 and not (i + 1 < high and data[i + 1] == 10)):
            breaks += 1
            indent = i + 1
    return breaks, indent
