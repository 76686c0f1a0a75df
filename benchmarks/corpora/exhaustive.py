"""The exact truth: every pair of documents with a similarity of 0.5 or more, by code that shares nothing with Tamis.

    python -m benchmarks.corpora.exhaustive FILES… [--least 0.5] [--out pairs.parquet]

Similarity is docs/design/principles.md's: Jaccard of the sets of token 5-grams after NFKC and lowering. Nothing here is
imported from `text/` or `dedup/`, and nothing is hashed into a number that may collide: tokens are split by a table of
characters that `unicodedata` fills, a 5-gram's number is built from its tokens' numbers by `numpy.unique`.

Pairs come by prefix filtering, which is exact: order the shingles of all documents by rarity; two sets of sizes x and
y with J ≥ t share at least t·x of x's shingles, so that the rarest x − ⌈t·x⌉ + 1 of each must have one in common. Only
those are indexed, and the similarity of each pair that shares one is computed in full.

Source: Chaudhuri, Ganti, Kaushik 2006; Bayardo, Ma, Srikant 2007 (AllPairs). Cost on one core: some 20 MB/s to
tokenise, sorting 8 bytes a token, then by the number of pairs; 20,000 documents of 50 MB take well under a minute.
"""

from __future__ import annotations

import argparse
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.kernels import kernel
from text.chars import ignorables

Int64 = npt.NDArray[np.int64]
WIDTH = 5
SINGLE_NAMES = ("CJK ", "HIRAGANA", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""Beginnings of the names of characters that are tokens by themselves."""


class _Characters(dict[int, str]):
    """Character → its replacement before a split at spaces: itself, itself between spaces, or a space."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        if unicodedata.category(char)[0] not in "LMN":
            found = " "
        elif _stands_alone(char):
            found = f" {char} "
        else:
            found = char
        self[point] = found
        return found


def _stands_alone(char: str) -> bool:
    """Whether a letter, mark or number belongs to Han, Kana, Thai, Lao, Khmer or Myanmar, told by its name.

    A name is not a script: a few tone and sound marks, which our texts lack, are classed differently elsewhere.
    """
    name = unicodedata.name(char, "")
    return name.startswith(SINGLE_NAMES) or "IDEOGRAPHIC" in name or "HANGZHOU" in name or name.startswith("HENTAIGANA")


_CHARACTERS = _Characters()


def tokens(text: str) -> list[str]:
    """Tokens of a text as docs/design/principles.md defines them, but for signs."""
    return unicodedata.normalize("NFKC", text.translate(ignorables())).lower().translate(_CHARACTERS).split()


def shingles(text: str) -> set[tuple[str, ...]]:
    """The set of 5-grams of a text; under five tokens the whole is one, without any there is none."""
    found = tokens(text)
    return {tuple(found[i : i + WIDTH]) for i in range(max(1, len(found) - WIDTH + 1))} if found else set()


def jaccard(a: str, b: str) -> float:
    """Similarity of two texts; 0 if neither has a token."""
    x, y = shingles(a), shingles(b)
    return len(x & y) / len(x | y) if x | y else 0.0


@dataclass(frozen=True)
class Pairs:
    """Pairs of documents, by index.

    Attributes:
        a: int64[n], the earlier document of each pair.
        b: int64[n], the later one.
        similarity: float64[n].
    """

    a: Int64
    b: Int64
    similarity: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.a)

    def as_dict(self) -> dict[tuple[int, int], float]:
        """(a, b) → similarity."""
        rows = zip(self.a.tolist(), self.b.tolist(), self.similarity.tolist(), strict=True)
        return {(a, b): s for a, b, s in rows}

    def from_similarity(self, least: float) -> Pairs:
        """Those of at least this similarity."""
        chosen = self.similarity >= least
        return Pairs(self.a[chosen], self.b[chosen], self.similarity[chosen])


def similar_pairs(texts: Iterable[str], least: float = 0.5) -> Pairs:
    """All pairs of at least this similarity, in the order of (a, b).

    Args:
        texts: the documents.
        least: 0 < least ≤ 1.
    """
    ptr, sets = _shingle_numbers(texts)
    ptr, sets = _rarest_first(ptr, sets)
    a, b, similarity = _meet(ptr, sets, int(sets.max(initial=-1)) + 1, least)
    order = np.lexsort((b, a))
    return Pairs(a[order], b[order], similarity[order])


def _shingle_numbers(texts: Iterable[str]) -> tuple[Int64, Int64]:
    """The shingles of each document as numbers, sorted and without repeats: ptr int64[n + 1], numbers int64."""
    vocabulary: dict[str, int] = {}
    whole: dict[tuple[int, ...], int] = {}
    rows: list[npt.NDArray[np.int32]] = []
    short: dict[int, int] = {}
    for d, text in enumerate(texts):
        row = [vocabulary.setdefault(t, len(vocabulary)) for t in tokens(text)]
        if 0 < len(row) < WIDTH:
            short[d] = whole.setdefault(tuple(row), len(whole))
            row = []
        rows.append(np.array(row, np.int32))
    n = len(rows)
    flat = np.concatenate([*rows, np.zeros(0, np.int32)]).astype(np.int64)
    doc = np.repeat(np.arange(n), [len(row) for row in rows])
    if len(flat) < WIDTH:
        flat, doc = np.zeros(WIDTH, np.int64), np.arange(n, n + WIDTH)  # no 5-gram lies inside one document
    twos = _numbered(flat[:-1], flat[1:])
    grams = _numbered(_numbered(twos[:-3], twos[2:-1]), flat[WIDTH - 1 :])
    inside = doc[: len(grams)] == doc[WIDTH - 1 :]
    docs = np.concatenate([doc[: len(grams)][inside], np.array(list(short), np.int64)])
    numbers = np.concatenate([grams[inside], grams.max(initial=-1) + 1 + np.array(list(short.values()), np.int64)])
    order = np.lexsort((numbers, docs))
    docs, numbers = docs[order], numbers[order]
    first = np.ones(len(docs), bool)
    first[1:] = (docs[1:] != docs[:-1]) | (numbers[1:] != numbers[:-1])
    docs, numbers = docs[first], numbers[first]
    ptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(docs, minlength=n), out=ptr[1:])
    return ptr, numbers


def _numbered(left: Int64, right: Int64) -> Int64:
    """A number for each (left, right), the same number for equal pairs only."""
    size = int(right.max(initial=0)) + 1
    if int(left.max(initial=0)) > (2**63 - 1) // size - 1:
        raise ValueError("too many distinct shingles to number them in 64 bits")
    return np.unique(left * size + right, return_inverse=True)[1].astype(np.int64)


def _rarest_first(ptr: Int64, sets: Int64) -> tuple[Int64, Int64]:
    """Numbers the shingles anew by how many documents have them, and sorts each set by that."""
    counts = np.bincount(sets) if len(sets) else np.zeros(0, np.int64)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    ranked = rank[sets]
    docs = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    return ptr, ranked[np.lexsort((ranked, docs))]


@kernel
def _prefix(size, least):  # type: ignore[no-untyped-def]
    """How many of the rarest shingles are indexed; one more where rounding might cut one off."""
    return min(size, size - np.int64(np.ceil(least * size - 1e-9)) + 1)


@kernel
def _meet(ptr, sets, n_shingles, least):  # type: ignore[no-untyped-def]
    n = len(ptr) - 1
    start = np.zeros(n_shingles + 1, np.int64)
    for d in range(n):
        for i in range(ptr[d], ptr[d] + _prefix(ptr[d + 1] - ptr[d], least)):
            start[sets[i] + 1] += 1
    for s in range(n_shingles):
        start[s + 1] += start[s]
    fill = start[:-1].copy()
    holders = np.empty(start[n_shingles], np.int64)
    seen = np.full(n, -1, np.int64)
    out_a, out_b, out_s = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)], [0.0 for _ in range(0)]
    for d in range(n):
        low, high = ptr[d], ptr[d + 1]
        for i in range(low, low + _prefix(high - low, least)):
            s = sets[i]
            for k in range(start[s], fill[s]):
                other = holders[k]
                if seen[other] == d:
                    continue
                seen[other] = d
                a, b, both = ptr[other], low, 0
                x, y = ptr[other + 1] - a, high - low
                if min(x, y) < least * max(x, y) - 1e-9:
                    continue
                while a < ptr[other + 1] and b < high:
                    if sets[a] == sets[b]:
                        both += 1
                        a += 1
                        b += 1
                    elif sets[a] < sets[b]:
                        a += 1
                    else:
                        b += 1
                similarity = both / (x + y - both)
                if similarity >= least:
                    out_a.append(other)
                    out_b.append(np.int64(d))
                    out_s.append(similarity)
            holders[fill[s]] = d
            fill[s] += 1
    return np.array(out_a), np.array(out_b), np.array(out_s)


def read_texts(paths: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The ids and the texts of Parquet files."""
    tables = [pq.read_table(path, columns=["id", "text"]) for path in paths]
    table = pa.concat_tables(tables)
    return table.column("id").to_pylist(), table.column("text").to_pylist()


def main() -> None:
    """Prints how many pairs there are by similarity; writes them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", type=Path, help="Parquet with id and text")
    parser.add_argument("--least", type=float, default=0.5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ids, texts = read_texts(options.files)
    started = time.process_time()
    pairs = similar_pairs(texts, options.least)
    print(f"{len(texts):,} documents, {len(pairs):,} pairs in {time.process_time() - started:.0f} CPU-s")
    for low, high in ((0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.0), (1.0, 1.1)):
        print(f"J {low:.1f} to {min(high, 1):.1f}: {((pairs.similarity >= low) & (pairs.similarity < high)).sum():,}")
    if options.out:
        names = np.array(ids, object)
        columns = {"id_a": names[pairs.a], "id_b": names[pairs.b], "jaccard": pairs.similarity}
        pq.write_table(pa.table(columns), options.out)


if __name__ == "__main__":
    main()
