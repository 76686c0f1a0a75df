"""The loops behind `filters.language.lid`: words and n-grams to rows, and their mean down the tree of labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.language.label_tree import best_leaf
from tamis.kernels import kernel
from text.bits import U64, count_bits
from text.chars import LETTER, class_of, decode
from text.tokens import FNV_OFFSET, FNV_PRIME

U32 = np.uint32


class LidTables(NamedTuple):
    """A hierarchical-softmax model over words and character n-grams."""

    minn: int  # shortest character n-gram
    maxn: int  # longest character n-gram
    bucket: int  # n-gram buckets before pruning
    end_row: int  # row of `</s>`, -1 if the model has none
    vectors: npt.NDArray[np.float32]  # [n_words + n_kept_buckets, dim]; bucket rows in the order of their bucket
    nodes: npt.NDArray[np.float32]  # [n_labels - 1, dim], the inner nodes of the Huffman tree
    children: npt.NDArray[np.int32]  # [n_labels - 1, 2], left and right of each inner node; below n_labels a leaf
    paths: npt.NDArray[np.int32]  # [n_labels, depth], from the root to each leaf: 2 · inner node + side, then -1
    word_slots: npt.NDArray[np.int32]  # [capacity], rows by FNV hash, -1 where free
    word_offsets: npt.NDArray[np.int64]  # [n_words + 1] into `word_bytes`
    word_bytes: npt.NDArray[np.uint8]  # [...]
    kept_bits: npt.NDArray[np.uint64]  # [bucket / 64], which buckets have a row
    kept_before: npt.NDArray[np.int32]  # [bucket / 64], rows before each 64 buckets


@kernel(inline="always")
def _fnv(h, byte):  # type: ignore[no-untyped-def]
    """One step of FNV-1a as fastText takes it, the byte sign-extended from int8."""
    extended = U32(byte) if byte < 128 else U32(U32(byte) | U32(0xFFFFFF00))
    return U32((h ^ extended) * FNV_PRIME)


@kernel
def build_word_slots(offsets, data, capacity):  # type: ignore[no-untyped-def]
    """Rows of the dictionary's words by FNV hash, int32[capacity], -1 where free."""
    slots = np.full(capacity, -1, np.int32)
    for row in range(len(offsets) - 1):
        h = FNV_OFFSET
        for i in range(offsets[row], offsets[row + 1]):
            h = _fnv(h, data[i])
        slot = np.int64(h) & (capacity - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (capacity - 1)
        slots[slot] = row
    return slots


@kernel
def _find_word(word, h, slots, word_offsets, word_bytes):  # type: ignore[no-untyped-def]
    """The row of a word with FNV hash `h`, -1 if the model does not know it."""
    slot = np.int64(h) & (len(slots) - 1)
    while slots[slot] >= 0:
        row = slots[slot]
        start = word_offsets[row]
        if word_offsets[row + 1] - start == len(word):
            same = True
            for i in range(len(word)):
                if word_bytes[start + i] != word[i]:
                    same = False
                    break
            if same:
                return row
        slot = (slot + 1) & (len(slots) - 1)
    return np.int32(-1)


@kernel
def _add_subwords(word, minn, maxn, bucket, n_words, bits, before, vectors, hidden):  # type: ignore[no-untyped-def]
    """Adds the rows of the character n-grams of `<word>` to `hidden`; returns how many there were."""
    bucket = U32(bucket)
    used = 0
    end = len(word)
    for i in range(end):
        if (word[i] & 0xC0) == 0x80:
            continue
        h = FNV_OFFSET
        j = i
        n = 1
        while j < end and n <= maxn:
            h = _fnv(h, word[j])
            j += 1
            while j < end and (word[j] & 0xC0) == 0x80:
                h = _fnv(h, word[j])
                j += 1
            if n >= minn and not (n == 1 and (i == 0 or j == end)):
                place = np.int64(h % bucket)
                chunk = bits[place >> 6]
                bit = U64(1) << U64(place & 63)
                if chunk & bit:
                    row = n_words + before[place >> 6] + count_bits(chunk & (bit - U64(1)))
                    for k in range(len(hidden)):
                        hidden[k] += vectors[row, k]
                    used += 1
            n += 1
    return used


@kernel
def add_words(text, tables, word, hidden):  # type: ignore[no-untyped-def]
    """Adds the rows of the words of `text`, and of their n-grams; returns how many there were.

    `word` is scratch of `len(text) + 2` bytes.
    """
    n_words = len(tables.word_offsets) - 1
    used = 0
    word[0] = 60
    filled = 1
    h = FNV_OFFSET
    for i in range(len(text) + 1):
        byte = text[i] if i < len(text) else np.uint8(32)
        if byte != 32 and byte != 0 and not 9 <= byte <= 13:
            word[filled] = byte
            filled += 1
            h = _fnv(h, byte)
        elif filled > 1:
            row = _find_word(word[1:filled], h, tables.word_slots, tables.word_offsets, tables.word_bytes)
            if row >= 0:
                for k in range(len(hidden)):
                    hidden[k] += tables.vectors[row, k]
                used += 1
            word[filled] = 62
            used += _add_subwords(
                word[: filled + 1],
                tables.minn,
                tables.maxn,
                tables.bucket,
                n_words,
                tables.kept_bits,
                tables.kept_before,
                tables.vectors,
                hidden,
            )
            filled = 1
            h = FNV_OFFSET
    return used


@kernel
def _has_letter(text, classes):  # type: ignore[no-untyped-def]
    i = 0
    while i < len(text):
        point, width = decode(text, i)
        if class_of(classes, point) & LETTER:
            return True
        i += width
    return False


@kernel(inline="always")
def is_inside(data, i):  # type: ignore[no-untyped-def]
    """Whether byte `i` goes on with a character."""
    return (data[i] & 0xC0) == 0x80


@kernel(inline="always")
def stretch(text, part, parts, size):  # type: ignore[no-untyped-def]
    """Where a part of a text's sample begins and ends: spread evenly, no character cut."""
    start = 0 if parts == 1 else (len(text) - size) * part // (parts - 1)
    end = start + size
    while start < end and is_inside(text, start):
        start += 1
    while start < end < len(text) and is_inside(text, end):
        end -= 1
    return start, end


@kernel
def identify_texts(offsets, data, classes, sample, pieces, tables):  # type: ignore[no-untyped-def]
    """The best label of each text's sample.

    Args:
        offsets: int64[n_texts + 1].
        data: uint8[...].
        classes: see `CharTables`.
        sample: bytes of a text that are read, at least 1.
        pieces: stretches that a longer text's sample consists of, at least 1.
        tables: the model.

    Returns:
        codes: int16[n_texts], a label, or the number of labels where the sample has no letter; scores:
            float32[n_texts].
    """
    n = len(offsets) - 1
    codes = np.full(n, len(tables.nodes) + 1, np.int16)
    scores = np.zeros(n, np.float32)
    hidden = np.zeros(tables.vectors.shape[1], np.float32)
    stack = np.empty(len(tables.nodes) + 2, np.int32)
    stack_scores = np.empty(len(tables.nodes) + 2, np.float64)
    allowed = np.ones(len(tables.nodes) + 1, np.bool_)
    word = np.empty(sample + 2, np.uint8)
    for d in range(n):
        text = data[offsets[d] : offsets[d + 1]]
        parts = 1 if len(text) <= sample else pieces
        size = min(len(text), sample // parts)
        hidden[:] = 0.0
        used = 0
        letters = False
        for part in range(parts):
            start, end = stretch(text, part, parts, size)
            letters = letters or _has_letter(text[start:end], classes)
            used += add_words(text[start:end], tables, word, hidden)
        if not letters:
            continue
        if tables.end_row >= 0:
            for k in range(len(hidden)):
                hidden[k] += tables.vectors[tables.end_row, k]
            used += 1
        for k in range(len(hidden)):
            hidden[k] /= max(used, 1)
        codes[d], log_probability = best_leaf(hidden, tables.nodes, tables.children, allowed, stack, stack_scores)
        scores[d] = min(1.0, np.exp(log_probability))
    return codes, scores
