"""Slow, obvious twins of verification and election: Python sets, every pair, networkx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np

from dedup.resolve import Members, ShingleSets, resolve


def overlap(a: set[int], b: set[int], modulus: int = 1) -> float:
    """Jaccard similarity over the hashes that `modulus` divides; of two empty sets 0."""
    a, b = ({h for h in s if h % modulus == 0} for s in (a, b))
    return len(a & b) / len(a | b) if a | b else 0.0


def contained(a: set[int], b: set[int], modulus: int = 1, ratio: float = 0.0) -> float:
    """Share of the smaller set in the larger, over the hashes that `modulus` divides; 0 if too far apart in size."""
    small, large = sorted(({h for h in s if h % modulus == 0} for s in (a, b)), key=len)
    if not small or np.float32(len(small) / len(large)) < np.float32(ratio):
        return 0.0
    return len(small & large) / len(small)


def packed(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    """ptr and hashes, as `text.shingle.shingle_sets` gives them."""
    ptr = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return ptr, np.array([h for s in sets for h in sorted(s)], np.uint64)


@dataclass(frozen=True)
class Document:
    """One member of a candidate component.

    Attributes:
        doc_id: its id.
        component: of candidates.
        rep: the id of the document whose set stands for it.
        bits: its sketch, 128 of them.
        shingles: its set; None where it is not read. Of a twin it is not looked at.
        modulus: of the set, which holds only what it divides.
        merit: hundredths of a token.
        tokens: of its text.
        quality: NaN where unknown.
        length: bytes.
        final: published.
        outlying: its distance to its centroid; NaN where unknown.
    """

    doc_id: int
    component: int
    rep: int
    bits: int = 0
    shingles: frozenset[int] | None = None
    modulus: int = 1
    merit: int = 0
    tokens: int = 100
    quality: float = float("nan")
    length: int = 1
    final: bool = False
    outlying: float = float("nan")

    def far(self) -> float:
        """Minus its distance to the centroid: the furthest first."""
        return 0.0 if self.outlying != self.outlying else -self.outlying

    def rank(self, quality_counts: bool) -> tuple[bool, int, int, int]:
        """The best first; half a token for each token, times the quality in hundredths, is added to merit."""
        quality = int(np.round(np.float32(self.quality) * np.float32(100))) if quality_counts else 0
        return not self.final, -(self.merit + self.tokens * quality // 2), self.length, self.doc_id


Edge = tuple[int, int]
Found = tuple[dict[int, int], dict[int, tuple[int, float]], dict[Edge, tuple[float, int, bool]]]
"""Document → component (-1: none); document → (survivor, similarity); edge → (similarity, method, holds)."""
BY_SKETCH, BY_SHINGLES, BY_MEANING = 0, 1, 2


def all_pairs(documents: list[Document], edges: list[Edge], threshold: float, reject: int, ratio: float = 0.0) -> Found:
    """What `dedup.resolve.resolve` finds, from every pair of every component."""
    return all_pairs_and_meanings(documents, edges, threshold, reject, ratio)[0]


def all_pairs_and_meanings(
    documents: list[Document],
    edges: list[Edge],
    threshold: float,
    reject: int,
    ratio: float = 0.0,
    meaning: Mapping[Edge, float] | None = None,
    furthest: bool = False,
) -> tuple[Found, set[int]]:
    """The same where some edges have a cosine, and whom such an edge alone has taken.

    ShingleSets are asked first; then the cosine; the sketch where a survivor has no edge by meaning.
    """
    of = {d.doc_id: d for d in documents}
    least = np.float32(threshold)
    cosine = {frozenset(edge): np.float32(c) for edge, c in (meaning or {}).items()}

    def agree(x: Document, y: Document) -> int:
        return 128 - (x.bits ^ y.bits).bit_count()

    def similarity(x: Document, y: Document) -> tuple[np.float32, int]:
        a, b = of[x.rep], of[y.rep]
        if a is b:
            return np.float32(1), BY_SHINGLES
        if a.shingles is None or b.shingles is None:
            return np.float32(agree(x, y) / 64 - 1), BY_SKETCH
        sets, modulus = (set(a.shingles), set(b.shingles)), max(a.modulus, b.modulus)
        return np.float32(contained(*sets, modulus, ratio) if ratio else overlap(*sets, modulus)), BY_SHINGLES

    def taken(best: Document, other: Document) -> tuple[float, int] | None:
        """Whether the survivor takes the other: their similarity and who told it."""
        found, method = similarity(best, other)
        meant = cosine.get(frozenset((best.rep, other.rep)))
        trusted = method == BY_SHINGLES or not any(best.rep in edge for edge in cosine)
        if trusted and agree(best, other) >= reject and found >= least:
            return float(found), method
        return None if meant is None else (float(meant), BY_MEANING)

    verdicts = {}
    for a, b in edges:
        found, method = similarity(of[a], of[b])
        meant = cosine.get(frozenset((a, b)))
        if meant is not None and (found < least or method == BY_SKETCH):
            verdicts[a, b] = float(meant), BY_MEANING, True
        else:
            verdicts[a, b] = float(found), method, bool(found >= least)
    graph = nx.Graph([edge for edge, (_, _, holds) in verdicts.items() if holds])
    graph.add_nodes_from(of)
    graph.add_edges_from((d.doc_id, d.rep) for d in documents if d.doc_id != d.rep)

    def rank(d: Document, quality_counts: bool) -> tuple[float, ...]:
        final, *merits = d.rank(quality_counts)
        return final, d.far() if furthest else 0.0, *merits

    component, survivors, by_meaning = {}, {}, set()
    for group in nx.connected_components(graph):
        component |= dict.fromkeys(group, min(group) if len(group) > 1 else -1)
        rated = all(of[i].quality == of[i].quality for i in group)
        left = sorted((of[i] for i in group), key=lambda d: rank(d, rated))
        while left:
            best, *left = left
            survivors[best.doc_id] = (best.doc_id, 1.0)
            for other in list(left):
                told = None if other.final else taken(best, other)
                if told is not None:
                    survivors[other.doc_id] = (best.doc_id, told[0])
                    by_meaning |= {other.doc_id} if told[1] == BY_MEANING else set()
                    left.remove(other)
    return (component, survivors, verdicts), by_meaning


def resolved(documents: list[Document], edges: list[Edge], threshold: float, reject: int, ratio: float = 0.0) -> Found:
    """What `dedup.resolve.resolve` itself finds, in the same words."""
    return resolved_with_meanings(documents, edges, threshold, reject, ratio)[0]


def resolved_with_meanings(
    documents: list[Document],
    edges: list[Edge],
    threshold: float,
    reject: int,
    ratio: float = 0.0,
    meaning: Mapping[Edge, float] | None = None,
    furthest: bool = False,
) -> tuple[Found, set[int]]:
    """The twin of `all_pairs_and_meanings`."""
    documents = sorted(documents, key=lambda d: (d.component, d.doc_id))
    ids = [d.doc_id for d in documents]
    at = {doc_id: i for i, doc_id in enumerate(ids)}
    left, right = (np.array([at[edge[end]] for edge in edges], np.int64) for end in (0, 1))
    members, sets = as_arrays(documents)
    if furthest:
        members = replace(members, foremost=np.array([d.outlying for d in documents], np.float32))
    cosine = None if meaning is None else np.array([meaning.get(edge, np.nan) for edge in edges], np.float32)
    found = resolve(members, sets, left, right, threshold, reject, ratio, cosine)
    survivors = zip((ids[s] for s in found.survivor.tolist()), found.similarity.tolist(), strict=True)
    verdicts = zip(found.edge_similarity.tolist(), found.edge_method.tolist(), found.edge_holds.tolist(), strict=True)
    told = (
        dict(zip(ids, found.component.tolist(), strict=True)),
        dict(zip(ids, survivors, strict=True)),
        dict(zip(edges, verdicts, strict=True)),
    )
    return told, {ids[i] for i in np.flatnonzero(found.by_meaning).tolist()}


def as_arrays(documents: list[Document]) -> tuple[Members, ShingleSets]:
    """The kernel's arguments for documents in its order."""
    at = {d.doc_id: i for i, d in enumerate(documents)}
    mask = (1 << 64) - 1
    members = Members(
        np.array([d.component for d in documents], np.int64),
        np.array([d.doc_id for d in documents], np.int64),
        np.array([at[d.rep] for d in documents], np.int64),
        np.array([[d.bits & mask, d.bits >> 64] for d in documents], np.uint64).reshape(-1, 2),
        np.array([d.merit for d in documents], np.int64),
        np.array([d.tokens for d in documents], np.int64),
        np.array([d.quality for d in documents], np.float32),
        np.array([d.length for d in documents], np.int64),
        np.array([d.final for d in documents], np.bool_),
    )
    read = [i for i, d in enumerate(documents) if d.shingles is not None]
    of = np.full(len(documents), -1, np.int64)
    of[read] = np.arange(len(read))
    kept = [{h for h in documents[i].shingles or () if h % documents[i].modulus == 0} for i in read]
    return members, ShingleSets(of, *packed(kept), np.array([documents[i].modulus for i in read], np.int64))
