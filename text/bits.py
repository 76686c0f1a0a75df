"""Bit arithmetic on 64-bit words: eight bytes of text handled at once, and the number of bits that are set."""

from __future__ import annotations

import numpy as np

from tamis.kernels import kernel

U64 = np.uint64
LOW_BITS, HIGH_BITS = U64(0x0101010101010101), U64(0x8080808080808080)
"""The lowest and the highest bit of each of eight bytes."""


@kernel(inline="always")
def load8(data, i):  # type: ignore[no-untyped-def]
    """Eight bytes from `i` on as one little-endian number; the compiler turns it into a single load."""
    j = U64(i)
    low = U64(data[j]) | U64(data[j + U64(1)]) << U64(8) | U64(data[j + U64(2)]) << U64(16)
    middle = U64(data[j + U64(3)]) << U64(24) | U64(data[j + U64(4)]) << U64(32) | U64(data[j + U64(5)]) << U64(40)
    return low | middle | U64(data[j + U64(6)]) << U64(48) | U64(data[j + U64(7)]) << U64(56)


@kernel(inline="always")
def equal_bytes(eight, byte):  # type: ignore[no-untyped-def]
    """Sets the highest bit of each of the eight bytes that equals `byte`; beyond the first match bits may be wrong."""
    found = eight ^ (LOW_BITS * U64(byte))
    return (found - LOW_BITS) & ~found & HIGH_BITS


@kernel(inline="always")
def bytes_before(marks):  # type: ignore[no-untyped-def]
    """How many bytes come before the first one whose highest bit is set in `marks`; 8 if none is."""
    if marks == U64(0):
        return 8
    lowest = (marks & (~marks + U64(1))) >> U64(7)
    return np.int64((lowest * U64(0x0001020304050607)) >> U64(56))


@kernel(inline="always")
def count_bits(x):  # type: ignore[no-untyped-def]
    """How many bits of a uint64 are set."""
    x = x - ((x >> U64(1)) & U64(0x5555555555555555))
    x = (x & U64(0x3333333333333333)) + ((x >> U64(2)) & U64(0x3333333333333333))
    x = (x + (x >> U64(4))) & U64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * U64(0x0101010101010101)) >> U64(56))
