"""A static embedding: each token has a vector, and a text's vector is their weighted sum. No network, one pass.

The vectors come from the package `tokenlearn-static-model` (a multilingual static table of 276,326 SentencePiece
pieces that share 10,000 rows of 64 numbers), read as data: its code is never imported. What Tamis does with them:

    tokens, not pieces  the text is tokenised as everywhere in Tamis; a word is the piece that spells it, a run of
                        Han (Kana, Thai, …) is cut into the longest pieces that are known
    weights             a / (a + p), p the piece's probability by the tokenizer's own scores (Arora, Liang and Ma
                        2017): words that everybody uses say little
    common direction    the mean and the first principal component of the vectors, weighted by the pieces'
                        probabilities, are removed (ibid.; Mu and Viswanath 2018): with them all texts look alike,
                        two articles have a cosine of 0.84
    unknown words       a pseudo-random vector from their hash: names are rare, and tell two texts apart

`docs/design/dense-embeddings.md` has what each of these is worth.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.package_data import package_file
from tamis.extras import lacking
from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import char_tables
from text.fold import fold
from text.hash import mix
from text.tokens import NO_FNV, stands_alone, token_hashes, tokenize

U64 = np.uint64
Float32 = npt.NDArray[np.float32]
PACKAGE = "tokenlearn-static-model"
BUILD = 3
"""Raised when the same package gives another table."""
COMMON = 1e-4
"""The constant a: a word of this probability has half the weight of the rarest."""
LONGEST_RUN = 6
"""Characters of a script without spaces that are looked up together."""
_ARRAYS = ("keys", "rows", "own", "shared", "vectors", "mean")


@dataclass(frozen=True, slots=True)
class StaticTable:
    """A hash table from words to vectors."""

    keys: npt.NDArray[np.uint64]  # [capacity], hash of a word or of a run of characters, 0 where free; open addressing
    rows: npt.NDArray[np.int32]  # [capacity], its row of `vectors`; `PREFIX` where it only begins longer runs; `FREE`
    own: Float32  # [capacity], the weight of the row
    shared: Float32  # [capacity], how much of `mean` is subtracted
    vectors: Float32  # [n_rows, dim]
    mean: Float32  # [dim]

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.vectors.shape[1]

    def encode(self, column: TextColumn) -> Float32:
        """The sum of the weighted vectors of each text's tokens, float32[n_texts, dim]; zeros where it has none."""
        folded = fold(column)
        texts = folded.column
        longest = int(texts.lengths.max()) if len(texts) else 0
        return _encode(
            texts.offsets,
            texts.data,
            folded.done,
            *char_tables(),
            self.keys,
            self.rows,
            self.own,
            self.shared,
            self.vectors,
            self.mean,
            np.empty(longest + 1, np.uint64),
            NO_FNV,
        )

    def save(self, folder: Path) -> None:
        """Writes one `.npy` an array: equal tables, equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> StaticTable:
        """Maps the arrays of `save`; processes of one machine share their memory."""
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS})


FREE, PREFIX = -2, -1


def packaged_folder() -> Path:
    """Where the installed package has its data, for `build`.

    Raises:
        ConfigError: the package is not there.
    """
    found = package_file("static_model", "model/model.safetensors")
    if found is None:
        raise lacking(PACKAGE, extra="default", for_="stages.embed.model: 'static'")
    return found.parent


def table_version() -> str:
    """The package that the table is built from, its version, and the version of this code."""
    try:
        return f"{PACKAGE} {version(PACKAGE)}, build {BUILD}"
    except PackageNotFoundError:
        return f"no {PACKAGE}, build {BUILD}"


def build(folder: Path) -> StaticTable:
    """Makes the table from a folder with `model.safetensors` and `tokenizer.json` (SentencePiece unigram)."""
    from safetensors.numpy import load_file

    arrays = load_file(folder / "model.safetensors")
    vocabulary = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    vectors = arrays["embeddings"].astype(np.float64)
    names = [name for name, _ in vocabulary]
    likely = np.exp(np.array([score for _, score in vocabulary], np.float64))
    likely[np.array([score == 0 for _, score in vocabulary])] = 0  # of control pieces the score says nothing
    keys, prefixes, piece, likely = _keys(names, likely / likely.sum())
    row, weight = arrays["mapping"][piece], arrays["weights"][piece].astype(np.float64)
    shared = COMMON / (COMMON + likely)
    own = shared * weight
    mean = (likely * own) @ vectors[row] / (likely * shared).sum()
    centred = own[:, None] * vectors[row] - shared[:, None] * mean
    first = np.linalg.eigh((centred * likely[:, None]).T @ centred)[1][:, -1]
    vectors, mean = vectors - np.outer(vectors @ first, first), mean - (mean @ first) * first
    scale = np.median(np.linalg.norm(own[:, None] * vectors[row] - shared[:, None] * mean, axis=1))
    capacity = 1 << (2 * (len(keys) + len(prefixes))).bit_length()
    slots = _fill(keys, prefixes, row.astype(np.int32), own.astype(np.float32), shared.astype(np.float32), capacity)
    keys, rows, mine, theirs = slots
    rounded = [np.round(found / scale, 5).astype(np.float32) for found in (vectors, mean)]  # the same on any machine
    return StaticTable(keys, rows, mine, theirs, *rounded)


def _keys(
    names: list[str], likely: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """What can be looked up: distinct keys, the keys of prefixes of runs, the piece of each key, its probability.

    Several pieces may fold to one word ("The", "the"): the piece spelled like the folded word is taken, with the sum of
    their probabilities.
    """
    bare = [name.lstrip("▁") for name in names]
    ptr, hashes = token_hashes(TextColumn.from_texts(bare))
    counts = np.diff(ptr)
    begins = np.array([name.startswith("▁") for name in names], np.bool_)
    keys, usable = _piece_keys(ptr, hashes, char_tables().classes, begins)
    piece = np.flatnonzero(usable & (counts <= LONGEST_RUN))
    spelled = np.array([bare[i] != unicodedata.normalize("NFKC", bare[i]).lower() for i in piece], np.bool_)
    order = np.lexsort((piece, ~begins[piece], spelled, keys[piece]))
    piece = piece[order]
    first = np.append(True, keys[piece][1:] != keys[piece][:-1])
    summed = np.add.reduceat(likely[piece], np.flatnonzero(first))
    chosen = piece[first]
    return keys[chosen], _beginnings(ptr, hashes, chosen[counts[chosen] > 1]), chosen, summed


@kernel(inline="always")
def _longer(key, token):  # type: ignore[no-untyped-def]
    """The key of a run with one more character."""
    return mix(key * U64(0x9FB21C651E98DF25) ^ token)


@kernel
def _piece_keys(ptr, hashes, classes, begins):  # type: ignore[no-untyped-def]
    """The key of each piece, and whether the piece is one word or a run of single-character tokens."""
    keys = np.zeros(len(ptr) - 1, np.uint64)
    usable = np.zeros(len(ptr) - 1, np.bool_)
    for i in range(len(ptr) - 1):
        low, high = ptr[i], ptr[i + 1]
        if high == low:
            continue
        alone = True
        keys[i] = hashes[low]
        for k in range(low, high):
            alone &= stands_alone(hashes[k], classes)
            if k > low:
                keys[i] = _longer(keys[i], hashes[k])
        usable[i] = alone or (high == low + 1 and begins[i])
    return keys, usable


@kernel
def _beginnings(ptr, hashes, pieces):  # type: ignore[no-untyped-def]
    """The keys of all proper prefixes of runs, some of them more than once."""
    total = 0
    for i in pieces:
        total += ptr[i + 1] - ptr[i] - 1
    out = np.empty(total, np.uint64)
    at = 0
    for i in pieces:
        key = hashes[ptr[i]]
        for k in range(ptr[i] + 1, ptr[i + 1]):
            out[at] = key
            at += 1
            key = _longer(key, hashes[k])
    return out


@kernel
def _fill(keys, prefixes, row, own, shared, capacity):  # type: ignore[no-untyped-def]
    slots = np.zeros(capacity, np.uint64)
    rows = np.full(capacity, FREE, np.int32)
    mine, theirs = np.zeros(capacity, np.float32), np.zeros(capacity, np.float32)
    for i in range(len(keys)):
        at = _slot(keys[i], slots)
        slots[at], rows[at], mine[at], theirs[at] = keys[i], row[i], own[i], shared[i]
    for i in range(len(prefixes)):
        at = _slot(prefixes[i], slots)
        if rows[at] == FREE:
            slots[at], rows[at] = prefixes[i], PREFIX
    return slots, rows, mine, theirs


@kernel(inline="always")
def _slot(key, keys):  # type: ignore[no-untyped-def]
    """The slot of a key, or the free one where it belongs; 0 is never a key."""
    mask = len(keys) - 1
    at = np.int64(key & U64(mask))
    while keys[at] != key and keys[at] != U64(0):
        at = (at + 1) & mask
    return at


@kernel
def _encode(  # type: ignore[no-untyped-def]
    offsets, data, done, classes, fold_start, fold_data, keys, rows, own, shared, vectors, mean, tokens, no_fnv
):
    dim = vectors.shape[1]
    out = np.zeros((len(offsets) - 1, dim), np.float32)
    for d in range(len(offsets) - 1):
        n = tokenize(data, offsets[d], offsets[d + 1], done[d], classes, fold_start, fold_data, tokens, no_fnv)
        while n < 0:  # three bytes such as "㌖" fold to six tokens
            tokens = np.empty(2 * len(tokens), np.uint64)
            n = tokenize(data, offsets[d], offsets[d + 1], done[d], classes, fold_start, fold_data, tokens, no_fnv)
        total, off = out[d], np.float32(0)
        i = 0
        while i < n:
            key = tokens[i]
            found = _slot(key, keys)
            step = 1
            if stands_alone(tokens[i], classes):
                at, longer = found, key
                for k in range(i + 1, min(n, i + LONGEST_RUN)):
                    if keys[at] == U64(0) or not stands_alone(tokens[k], classes):
                        break
                    longer = _longer(longer, tokens[k])
                    at = _slot(longer, keys)
                    if rows[at] >= 0:
                        found, step = at, k - i + 1
            if rows[found] >= 0:
                vector, weight = vectors[rows[found]], own[found]
                for j in range(dim):
                    total[j] += weight * vector[j]
                off += shared[found]
            else:
                _add_direction(key, total)
            i += step
        for j in range(dim):
            total[j] -= off * mean[j]
    return out


@kernel(inline="always")
def _add_direction(key, total):  # type: ignore[no-untyped-def]
    """Adds a vector of length one that depends on the key alone: each number is plus or minus 1/√dim."""
    size = np.float32(1.0 / np.sqrt(len(total)))
    bits = U64(0)
    for j in range(len(total)):
        if j & 63 == 0:
            bits = mix(key + U64(j))
        total[j] += size if bits & U64(1) else -size
        bits >>= U64(1)
