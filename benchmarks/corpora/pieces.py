"""Text as indices into a vocabulary of pieces, and replicas of it that are not copies.

A *piece* is a run of ASCII letters, a run of digits, one Han character, a line feed, or a run of anything else. A
document is an int32 array of piece numbers, so that a replica of the whole text is only another vocabulary: words are
permuted among the words of their length (case kept letter by letter), Han characters among the Han characters, numbers
among those of their length. The most frequent words and characters stay, and so do punctuation and layout. Word
frequencies, document lengths and repetitions *inside* a replica are as in the real text, while a document and its
replica share next to no 5-gram.

Rejected: shuffled sentences (they still share most shingles) and sampled text (it has no natural near-duplicates).
Cost: 4 bytes a piece, some 1.2 bytes a byte of text; splitting 150 MB/s, a replica's vocabulary 0.1 s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel

Bytes = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

OTHER, WORD, DIGITS, HAN, BREAK = range(5)
FIXED = 200
"""How many of the most frequent words, and of the most frequent Han characters, every replica keeps."""
_LONGEST_OTHER = 32
_TABLE_BITS = 23
_U64 = np.uint64


@dataclass(frozen=True)
class Pieces:
    """Documents as piece numbers.

    Attributes:
        ids: int32[n_pieces], documents back to back.
        ptr: int64[n_docs + 1].
        kinds: uint8[n_vocabulary].
        starts: int64[n_vocabulary + 1]; piece v is `blob[starts[v]:starts[v + 1]]`, in every replica.
        blob: the vocabulary's bytes as in the real text.
        classes: rows to permute among each other; see `_permutable`.
    """

    ids: Int32
    ptr: Int64
    kinds: Bytes
    starts: Int64
    blob: Bytes
    classes: tuple[_Class, ...]

    @property
    def lengths(self) -> Int64:
        """Bytes of each piece, int64[n_vocabulary]."""
        return np.diff(self.starts)

    def surface(self, piece: int) -> bytes:
        """The bytes of a piece in the real text."""
        return self.blob[self.starts[piece] : self.starts[piece + 1]].tobytes()

    def numbers(self, wanted: list[bytes]) -> list[int]:
        """The numbers of some pieces, given as bytes; -1 for one that does not occur."""
        found = {self.surface(int(v)): int(v) for v in np.flatnonzero(self.lengths <= max(map(len, wanted)))}
        return [found.get(w, -1) for w in wanted]

    def replica(self, seed: int, number: int) -> Bytes:
        """The bytes of a replica's vocabulary: uint8[len(blob)]. Replica 0 is the real text."""
        made = self.blob.copy()
        if number:
            rng = np.random.default_rng([seed, number])
            for c in self.classes:
                c.permute(made, rng)
        return made


@dataclass(frozen=True)
class _Class:
    """Pieces of one kind and length, which a replica may exchange.

    Attributes:
        forms: uint8[n_forms, length], the lower-cased forms; the first `fixed` ones are not exchanged.
        fixed: how many.
        members: int64[n_members], where in the blob each member begins.
        form: int64[n_members], the form of each.
        upper: bool[n_members, length], which letters are capital.
    """

    forms: Bytes
    fixed: int
    members: Int64
    form: Int64
    upper: npt.NDArray[np.bool_]

    def permute(self, blob: Bytes, rng: np.random.Generator) -> None:
        """Writes the exchanged members into `blob`."""
        count, length = self.forms.shape
        target = np.concatenate([np.arange(self.fixed), self.fixed + rng.permutation(count - self.fixed)])
        image = self.forms[target[self.form]] - np.where(self.upper, np.uint8(32), np.uint8(0))
        blob[self.members[:, None] + np.arange(length)] = image


def split(texts: list[bytes]) -> Pieces:
    """Splits texts into pieces and finds which may be exchanged.

    Args:
        texts: valid UTF-8, a document each.
    """
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(t) for t in texts], out=offsets[1:])
    data = np.frombuffer(b"".join(texts), np.uint8)
    ids, ptr, first, ends, kinds = _split(data, offsets, _TABLE_BITS)
    starts = np.concatenate([[0], np.cumsum(ends - first)]).astype(np.int64)
    blob = _gather(data, first, ends, starts)
    return Pieces(
        ids, ptr, kinds, starts, blob, _permutable(blob, starts, kinds, np.bincount(ids, minlength=len(kinds)))
    )


def _permutable(blob: Bytes, starts: Int64, kinds: Bytes, counts: Int64) -> tuple[_Class, ...]:
    """Groups words, numbers and Han characters by length; the most frequent words and characters come first."""
    lengths = np.diff(starts)
    found = []
    forms: dict[tuple[int, bytes], int] = {}
    frequency: list[int] = []
    form_of = np.full(len(kinds), -1, np.int64)
    for v in np.flatnonzero((kinds == WORD) | (kinds == DIGITS) | (kinds == HAN)):
        key = (int(kinds[v]), blob[starts[v] : starts[v + 1]].tobytes().lower())
        number = forms.setdefault(key, len(forms))
        if number == len(frequency):
            frequency.append(0)
        frequency[number] += int(counts[v])
        form_of[v] = number
    fixed: set[int] = set()
    for kind in (WORD, HAN):
        mine = [(-frequency[n], text, n) for (k, text), n in forms.items() if k == kind]
        fixed.update(n for _, _, n in sorted(mine)[:FIXED])
    by_class: dict[tuple[int, int], list[tuple[bool, bytes, int]]] = {}
    for (kind, text), n in forms.items():
        by_class.setdefault((kind, len(text)), []).append((n not in fixed, text, n))
    for (kind, length), rows in sorted(by_class.items()):
        rows.sort()
        place = np.full(len(forms), -1, np.int64)
        place[[n for _, _, n in rows]] = np.arange(len(rows))
        members = np.flatnonzero((kinds == kind) & (lengths == length))
        surfaces = blob[starts[members][:, None] + np.arange(length)]
        upper = (surfaces >= 65) & (surfaces <= 90)
        table = np.frombuffer(b"".join(text for _, text, _ in rows), np.uint8).reshape(len(rows), length)
        kept = sum(not free for free, _, _ in rows)
        found.append(_Class(table, kept, starts[members], place[form_of[members]], upper))
    return tuple(found)


@kernel
def _gather(data, first, ends, starts):  # type: ignore[no-untyped-def]
    blob = np.empty(starts[-1], np.uint8)
    for v in range(len(first)):
        blob[starts[v] : starts[v + 1]] = data[first[v] : ends[v]]
    return blob


@kernel
def _piece_end(data, i, end):  # type: ignore[no-untyped-def]
    """Kind of the piece that begins at `i`, and where it ends."""
    c = data[i]
    if c == 10:
        return BREAK, i + 1
    if _is_letter(c):
        while i < end and _is_letter(data[i]):
            i += 1
        return WORD, i
    if 48 <= c <= 57:
        while i < end and 48 <= data[i] <= 57:
            i += 1
        return DIGITS, i
    if _is_han(data, i, end):
        return HAN, i + 3
    last = min(end, i + _LONGEST_OTHER)
    while i < end:
        c = data[i]
        if c == 10 or _is_letter(c) or 48 <= c <= 57 or _is_han(data, i, end) or (i >= last and (c & 0xC0) != 0x80):
            break
        i += 1
    return OTHER, i


@kernel(inline="always")
def _is_letter(c):  # type: ignore[no-untyped-def]
    return 97 <= c <= 122 or 65 <= c <= 90


@kernel(inline="always")
def _is_han(data, i, end):  # type: ignore[no-untyped-def]
    """Whether U+4E00 to U+9FFF stands at `i`."""
    if i + 3 > end or data[i] < 0xE4 or data[i] > 0xE9:
        return False
    return data[i] > 0xE4 or data[i + 1] >= 0xB8


@kernel
def _split(data, offsets, bits):  # type: ignore[no-untyped-def]
    mask = _U64((1 << bits) - 1)
    table = np.full(1 << bits, -1, np.int32)
    capacity = 1 << (bits - 1)
    first = np.empty(capacity, np.int64)
    ends = np.empty(capacity, np.int64)
    kinds = np.empty(capacity, np.uint8)
    ids = np.empty(len(data), np.int32)
    ptr = np.zeros(len(offsets), np.int64)
    size = 0
    at = 0
    for d in range(len(offsets) - 1):
        i, end = offsets[d], offsets[d + 1]
        while i < end:
            kind, stop = _piece_end(data, i, end)
            h = _U64(14695981039346656037)
            for k in range(i, stop):
                h = (h ^ _U64(data[k])) * _U64(1099511628211)
            slot = (h ^ (h >> _U64(32))) & mask
            while True:
                v = table[slot]
                if v < 0:
                    if size == capacity:
                        raise ValueError("more distinct pieces than the table holds")
                    table[slot] = v = size
                    first[v], ends[v], kinds[v] = i, stop, kind
                    size += 1
                    break
                if ends[v] - first[v] == stop - i:
                    same = True
                    for k in range(stop - i):
                        if data[first[v] + k] != data[i + k]:
                            same = False
                            break
                    if same:
                        break
                slot = (slot + _U64(1)) & mask
            ids[at] = v
            at += 1
            i = stop
        ptr[d + 1] = at
    return ids[:at].copy(), ptr, first[:size].copy(), ends[:size].copy(), kinds[:size].copy()
