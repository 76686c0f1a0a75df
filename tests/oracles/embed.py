"""Slow, obvious twins of embeddings: a static table as a dictionary, cosines in float64, every pair of a cell."""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass

import networkx as nx
import numpy as np

from tests.oracles.text import stands_alone, tokens
from text.arrow import TextColumn
from text.tokens import token_hashes

COMMON, LONGEST_RUN = 1e-4, 6


@dataclass(frozen=True)
class SlowTable:
    """What `dedup.static_table` makes of a package, by a dictionary of token sequences.

    Attributes:
        entries: tokens → vector of the piece times its weight, what the mean is taken off.
        mean: float64[dim].
    """

    entries: dict[tuple[str, ...], tuple[np.ndarray, float]]
    mean: np.ndarray

    @classmethod
    def of(
        cls, vocabulary: list[tuple[str, float]], mapping: np.ndarray, weights: np.ndarray, embeddings: np.ndarray
    ) -> SlowTable:
        """From the arrays of a package."""
        probability = np.array([0.0 if score == 0 else np.exp(score) for _, score in vocabulary])
        probability /= probability.sum()
        pieces: dict[tuple[str, ...], list[int]] = {}
        for i, (name, _) in enumerate(vocabulary):
            key = tuple(tokens(name.lstrip("▁")))
            run = all(len(t) == 1 and stands_alone(t) for t in key) and len(key) <= LONGEST_RUN
            if key and (run or (len(key) == 1 and name.startswith("▁"))):
                pieces.setdefault(key, []).append(i)

        def best(i: int) -> tuple[bool, bool, int]:
            name = vocabulary[i][0]
            bare = name.lstrip("▁")
            return bare != unicodedata.normalize("NFKC", bare).lower(), not name.startswith("▁"), i

        chosen = {key: min(found, key=best) for key, found in pieces.items()}
        p = np.array([probability[found].sum() for found in pieces.values()])
        shared = COMMON / (COMMON + p)
        at = list(chosen.values())
        vectors = shared[:, None] * weights[at, None].astype(np.float64) * embeddings[mapping[at]].astype(np.float64)
        mean = (p[:, None] * vectors).sum(axis=0) / (p * shared).sum()
        spread = np.sqrt(p)[:, None] * (vectors - shared[:, None] * mean)
        first = np.linalg.svd(spread, full_matrices=False)[2][0]
        vectors, mean = vectors - np.outer(vectors @ first, first), mean - (mean @ first) * first
        scale = np.median(np.linalg.norm(vectors - shared[:, None] * mean, axis=1))
        rows = zip(vectors / scale, shared.tolist(), strict=True)
        return cls(dict(zip(chosen, rows, strict=True)), mean / scale)

    def encode(self, text: str) -> np.ndarray:
        """float64[dim]."""
        total, off, words = np.zeros(len(self.mean)), 0.0, tokens(text)
        i = 0
        while i < len(words):
            step = 1
            for longer in range(LONGEST_RUN, 1, -1):
                run = tuple(words[i : i + longer])
                if len(run) == longer and all(len(t) == 1 and stands_alone(t) for t in run) and run in self.entries:
                    step = longer
                    break
            known = self.entries.get(tuple(words[i : i + step]))
            if known is None:
                total += direction(words[i], len(self.mean))
            else:
                total, off = total + known[0], off + known[1]
            i += step
        return total - off * self.mean


def direction(word: str, dim: int) -> np.ndarray:
    """The direction of a word that no table knows: the bits of its mixed hash, 64 at a time."""
    key = int(token_hashes(TextColumn.from_texts([word]))[1][0])
    bits = [mixed(key + 64 * (j // 64)) >> (j % 64) & 1 for j in range(dim)]
    return np.array([1.0 if bit else -1.0 for bit in bits]) / np.sqrt(dim)


def mixed(x: int) -> int:
    """splitmix64's finaliser."""
    mask = (1 << 64) - 1
    x &= mask
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
    return x ^ x >> 31


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every row with every row, float64[len(a), len(b)], of vectors of any length."""
    a, b = (np.asarray(v, np.float64) for v in (a, b))
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


@dataclass(frozen=True)
class CellTwin:
    """What `dedup.cells.compare` finds, from every pair: nearest, density, first of the component, edges."""

    nearest: list[float]
    density: list[float]
    component: list[int]
    edges: dict[tuple[int, int], float]


def every_pair(vectors: np.ndarray, ptr: list[int], threshold: float, neighbours: int = 8) -> CellTwin:
    """The facts of some cells of unit vectors; NaN where a member is alone. Sums are taken in float64."""
    nearest, density = [float("nan")] * len(vectors), [float("nan")] * len(vectors)
    edges = {}
    for low, high in zip(ptr[:-1], ptr[1:], strict=True):
        exact = vectors[low:high].astype(np.float64)
        found = np.minimum(exact @ exact.T, 1)
        for i in range(high - low):
            others = np.sort(np.delete(found[i], i))[::-1]
            if len(others):
                nearest[low + i], density[low + i] = float(others[0]), float(others[:neighbours].mean())
            for j in range(i):
                same = (vectors[low + i] == vectors[low + j]).all()
                if same or np.float32(found[i, j]) >= np.float32(threshold):
                    edges[low + j, low + i] = 1.0 if same else float(found[i, j])
    graph = nx.Graph(list(edges))
    graph.add_nodes_from(range(len(vectors)))
    least = {i: min(group) for group in nx.connected_components(graph) for i in group}
    return CellTwin(nearest, density, [least[i] for i in range(len(vectors))], edges)


def told_once(vectors: np.ndarray, ptr: list[int], twin: CellTwin) -> dict[tuple[int, int], float]:
    """The edges of the twin that are told: those of first copies, and from a first copy to its others."""
    first = {}
    for low, high in itertools.pairwise(ptr):
        seen: dict[bytes, int] = {}
        first |= {i: seen.setdefault(vectors[i].tobytes(), i) for i in range(low, high)}
    return {(a, b): c for (a, b), c in twin.edges.items() if first[a] == a and first[b] in (a, b)}
