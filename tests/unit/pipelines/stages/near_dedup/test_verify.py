"""The task sides of near_dedup's second half: sets are read once, whole components are resolved however they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import ids
from corpus.files import Manifest, ManifestRef, commit
from corpus.run_folder import DocumentShard
from dedup.facts import find_facts
from filters.damage.grade import PARTS, grade
from pipelines.spark.blocks import by_id, by_shard, unpack
from pipelines.spark.wire import decode, encode
from pipelines.stages.near_dedup import verify
from pipelines.stages.near_dedup.sets import SetFiles, SetRules, SetTask, read_shard
from pipelines.stages.near_dedup.tables import MEMBERS
from pipelines.stages.near_dedup.verify import MemberTask, Rules, emit_members, resolve_components
from tests.oracles.dedup import Document, Edge, all_pairs_and_meanings
from tests.support.exchanges import by_kind, committed, inbox_of, task_of
from text.arrow import TextColumn
from text.shingle import shingle_sets

WRITERS = 3
RULES = Rules(threshold=0.75, reject=97, min_size_ratio=0.0, keep="best_quality", writers=WRITERS)
WORDS = [f"word{i}" for i in range(120)]
TEXTS = [" ".join(WORDS), "a short one", "", " ".join(WORDS[:90]), " ".join(["Another", *WORDS[1:]])]


# ------------------------------------------------------------------------------------------------------------- sets


def members_of(folder: Path, first: int, wanted: dict[int, bool]) -> ManifestRef:
    n = len(wanted)
    table = pa.table(
        {
            "row": pa.array(list(wanted), pa.int32()),
            "doc_id": [first + row for row in wanted],
            "rep": [first + row for row in wanted],
            "component": [first] * n,
            "wanted": list(wanted.values()),
            "meant": [row in (1, 4) for row in wanted],
        }
    ).cast(MEMBERS)
    return committed(folder, ids.shard_of(first), members=table).ref


def text_shard(folder: Path, first: int) -> DocumentShard:
    pq.write_table(pa.table({"text": TEXTS}), folder / "shard.parquet")
    return DocumentShard(ids.shard_of(first), "web", folder / "shard.parquet", len(TEXTS), 0, first)


SET_RULES = SetRules(width=5, max_size=50, cut=False, merits=True, facts=True)


def sets_task(folder: Path, first: int, wanted: dict[int, bool], known: ManifestRef | None = None) -> SetTask:
    members = members_of(folder / f"members-{len(list(folder.iterdir()))}", first, wanted)
    return SetTask(task_of(text_shard(folder, first)), members, known, SET_RULES, folder / "out")


def test_shingle_sets_and_merits_of_a_shard(tmp_path: Path) -> None:
    """The second scan: sets of the wanted rows, merits of all members, and what the kernels give for them."""
    first = ids.first_id(3, 9)
    task = sets_task(tmp_path, first, {0: True, 1: False, 2: True, 3: True})
    answer = read_shard(decode(SetTask, encode(task)))
    assert answer.scanned == 4 and [file.table for file in answer.files] == ["sets", "merits", "facts"]
    known = commit(tmp_path / "out", {}, answer.files)
    assert read_shard(replace(task, known=known.ref)) == SetFiles([], 0), "what is known is not read again"
    table, merits = known.read_all("sets"), known.read_all("merits")
    assert table is not None and merits is not None
    assert table.column("doc_id").to_pylist() == [first, first + 2, first + 3]
    ptr, hashes, modulus = shingle_sets(TextColumn.from_texts([TEXTS[0], TEXTS[2], TEXTS[3]]), max_size=50)
    assert modulus[0] > 1
    assert table.column("modulus").to_pylist() == modulus.tolist()
    assert table.column("hashes").to_pylist() == [hashes[ptr[i] : ptr[i + 1]].tobytes() for i in range(3)]
    graded = grade(TextColumn.from_texts(TEXTS[:4]))
    assert merits.column("doc_id").to_pylist() == [first + row for row in range(4)]
    assert merits.column("tokens").to_pylist() == graded.tokens.tolist() == [120, 3, 0, 90]
    assert merits.column("parts").to_pylist() == [row.tobytes() for row in graded.parts]
    stated = known.read_all("facts")
    assert stated is not None and stated.column("doc_id").to_pylist() == [first + 1], "only of edges by meaning"
    assert stated.column("facts").to_pylist() == [find_facts(TextColumn.from_texts([TEXTS[1]])).hashes.tobytes()]
    more = read_shard(sets_task(tmp_path, first, {1: True, 3: True, 4: True}, known.ref))
    assert more.scanned == 2, "another threshold reads what it adds"
    for file, rows in zip(more.files, [(0, 1, 2, 3, 4), (0, 1, 2, 3, 4), (1, 4)], strict=True):
        kept = pq.read_table(tmp_path / "out" / file.path)
        assert kept.column("doc_id").to_pylist() == [first + row for row in rows]
    job = sets_task(tmp_path, first, {1: False})
    assert read_shard(replace(job, rules=replace(SET_RULES, merits=False, facts=False))) == SetFiles([], 0)


def test_sets_do_not_depend_on_the_pieces_that_texts_are_read_in(tmp_path: Path) -> None:
    """Row groups of the shard bound what is read at once."""
    task = sets_task(tmp_path, ids.first_id(0, 1), {0: True, 2: True, 3: True, 4: True})
    digests = set()
    for rows in (5, 1, 2, 4):
        pq.write_table(pa.table({"text": TEXTS}), tmp_path / "shard.parquet", row_group_size=rows)
        digests.add(tuple(file.digest for file in read_shard(task).files))
    assert len(digests) == 1


def test_sets_of_the_cut_view_are_those_of_what_stages_before_left(tmp_path: Path) -> None:
    """Also for an earlier snapshot, whose chain goes on behind the stage."""
    first = ids.first_id(3, 9)
    chain = []
    for stage, row in (("sentence_quality", 0), ("near_dedup", 3), ("span_dedup", 4)):
        cut = {"row": [row], "start": [0], "end": [60], "reason": ["x"], "replacement": [None], "sentences": [1]}
        kinds = (pa.int32(), pa.int32(), pa.int32(), pa.string(), pa.string(), pa.int32())
        edits = pa.table({n: pa.array(v, k) for (n, v), k in zip(cut.items(), kinds, strict=True)})
        chain.append((stage, committed(tmp_path / stage, ids.shard_of(first), edits=edits)))
    for cut_view, text in ((False, TEXTS[0]), (True, TEXTS[0][60:])):
        job = sets_task(tmp_path, first, {0: True, 3: True, 4: True})
        task = task_of(job.task.shard, chain=chain)
        answer = read_shard(replace(job, task=task, rules=SetRules(5, 0, cut_view, merits=True, facts=True)))
        table, merits, stated = (pq.read_table(tmp_path / "out" / file.path) for file in answer.files)
        assert stated.column("doc_id").to_pylist() == [first + 4]
        assert merits.column("tokens").to_pylist() == grade(TextColumn.from_texts([text, *TEXTS[3:]])).tokens.tolist()
        ptr, hashes, _ = shingle_sets(TextColumn.from_texts([text, TEXTS[3], TEXTS[4]]))
        assert table.column("hashes").to_pylist() == [hashes[ptr[i] : ptr[i + 1]].tobytes() for i in range(3)]


# ------------------------------------------------------------------------------------------------------ what is sent


def test_members_sets_and_pairs_of_a_component_meet(tmp_path: Path) -> None:
    first = ids.first_id(1, 4)
    n = len(TEXTS)
    evidence = pa.table(
        {
            "row": pa.array([0, 1, 3, 4], pa.int32()),
            "bytes": pa.array([10, 11, 13, 14], pa.int32()),
            "sketch_low": [1, 2, 3, -4],
            "sketch_high": [5, 6, 7, -8],
        }
    )
    members = pa.table(
        {
            "row": pa.array([0, 1, 3, 4], pa.int32()),
            "doc_id": [first, first + 1, first + 3, first + 4],
            "rep": [first, first + 1, first, first + 4],
            "component": [first, 7, first, 9],
            "wanted": [True, False, False, True],
            "meant": [False, True, False, True],
        }
    ).cast(MEMBERS)
    pairs = pa.table(
        {
            "doc_id": [first, first],
            "other": [first + 4, first + 9],
            "component": [9, 9],
            "meaning": pa.array([float("nan"), 0.5], pa.float32()),
        }
    )
    sets = pa.table(
        {
            "doc_id": [first, first + 1, first + 2, first + 4],
            "modulus": [1, 1, 1, 2],
            "hashes": pa.array([bytes(8), bytes(8), bytes(16), bytes(24)], pa.binary()),
        }
    )
    numbers = np.arange(5 * len(PARTS), dtype=np.int32).reshape(5, -1)
    merits = pa.table(
        {
            "doc_id": [first, first + 1, first + 2, first + 3, first + 4],
            "tokens": pa.array([6, 7, 8, 9, 10], pa.int32()),
            "parts": pa.array([row.tobytes() for row in numbers], pa.binary()),
        }
    )
    quality = pa.table({"row": pa.array([1], pa.int32()), "quality": pa.array([0.25], pa.float32())})
    copies = pa.table({"row": pa.array([3], pa.int32()), "exact_copies": pa.array([6], pa.int32())})
    distance = pa.table({"row": pa.array([0, 4], pa.int32()), "centroid_distance": pa.array([0.5, 0.25], pa.float32())})
    seen = committed(tmp_path / "evidence", 4, evidence=evidence)
    planned = committed(tmp_path / "planned", 4, members=members, pairs=pairs).ref
    stated = [b"", bytes(8), bytes(16)]
    facts = pa.table({"doc_id": [first, first + 1, first + 4], "facts": pa.array(stated, pa.large_binary())})
    read = committed(tmp_path / "sets", 4, sets=sets, merits=merits, facts=facts).ref
    columns = {"exact_dedup": copies, "sentence_quality": quality, "semantic_clusters": distance}
    chain = [(stage, committed(tmp_path / stage, 4, columns=table)) for stage, table in columns.items()]
    shard = DocumentShard(4, "web", tmp_path / "none.parquet", n, 0, first)
    task = MemberTask(task_of(shard, seen, chain), planned, read, 5, merits=True, facts=True)
    found = by_kind(list(emit_members(task)))
    for rows in found.values():
        component = np.array([row["component"] for row in rows], np.int64)
        assert [row.pop("partition") for row in rows] == by_id(component, 5).tolist()
    told = sorted(found["members"], key=lambda row: row["doc_id"])
    assert [row["doc_id"] - first for row in told] == [0, 1, 3, 4]
    assert [row["bytes"] for row in told] == [10, 11, 13, 14]
    assert [(row["sketch_low"], row["sketch_high"]) for row in told] == [(1, 5), (2, 6), (3, 7), (-4, -8)]
    assert [row["copies"] for row in told] == [1, 1, 6, 1]
    assert [None if np.isnan(row["quality"]) else row["quality"] for row in told] == [None, 0.25, None, None]
    assert [None if np.isnan(row["distance"]) else row["distance"] for row in told] == [0.5, None, None, 0.25]
    assert [row["final"] for row in told] == [False] * 4
    assert [row["tokens"] for row in told] == [6, 7, 9, 10]
    assert [row["parts"] for row in told] == [numbers[i].tobytes() for i in (0, 1, 3, 4)]
    sent = sorted((row["doc_id"] - first, row["component"], row["modulus"]) for row in found["sets"])
    assert sent == [(0, first, 1), (4, 9, 2)], "only wanted ones travel"
    sent = sorted((row["doc_id"] - first, row["component"], row["facts"]) for row in found["facts"])
    assert sent == [(1, 7, bytes(8)), (4, 9, bytes(16))], "of those with an edge by meaning"
    assert {row["doc_id"] - first: row["hashes"] for row in found["sets"]} == {0: bytes(4), 4: bytes(12)}, "halved"
    assert sorted((row["other"] - first, str(row["meaning"])) for row in found["pairs"]) == [(4, "nan"), (9, "0.5")]
    alone = committed(tmp_path / "members alone", 4, members=members).ref

    def published(chain: list[tuple[str, Manifest]], sets: ManifestRef | None) -> dict[str, list[dict[str, Any]]]:
        task = task_of(shard, seen, chain, earlier=True)
        return by_kind(list(emit_members(MemberTask(task, alone, sets, 5, merits=False, facts=False))))

    found = published(chain, None)
    assert set(found) == {"members"} and all(row["final"] for row in found["members"])
    assert {(row["tokens"], row["parts"]) for row in found["members"]} == {(0, bytes(4 * len(PARTS)))}, "not asked for"
    assert sorted(row["names"] - first for row in found["members"]) == [0, 1, 3, 4], "no component then: its own id"
    named = pa.table({"row": pa.array([3], pa.int32()), "component_id": [first + 2]})
    then = [*chain, ("near_dedup", committed(tmp_path / "named", 4, columns=named))]
    found = published(then, committed(tmp_path / "no sets", 4).ref)
    assert sorted(row["names"] - first for row in found["members"]) == [0, 1, 2, 4]


# --------------------------------------------------------------------------------------------------------- the hop


def arrivals(
    documents: list[Document], edges: list[Edge], copies: dict[int, int], meaning: Mapping[Edge, float] | None = None
) -> dict[str, pa.Table]:
    """The rows that stand for documents and their candidate edges at a partition."""
    mask = (1 << 64) - 1

    def signed(word: int) -> int:
        return int(np.array(word, np.uint64).view(np.int64))

    of = {d.doc_id: d for d in documents}
    read = [d for d in documents if d.shingles is not None and d.rep == d.doc_id]
    words = ("component", "doc_id", "rep", "names", "sketch_low", "sketch_high")
    kinds = pa.schema(
        {
            **dict.fromkeys(words, pa.int64()),
            "priority": pa.int32(),
            "quality": pa.float32(),
            "distance": pa.float32(),
            "copies": pa.int32(),
            "bytes": pa.int32(),
            "tokens": pa.int32(),
            "parts": pa.binary(),
            "final": pa.bool_(),
        }
    )
    rows = [
        {
            "component": d.component,
            "doc_id": d.doc_id,
            "rep": d.rep,
            "names": d.doc_id,
            "priority": 0,
            "quality": d.quality,
            "distance": d.outlying,
            "copies": copies.get(d.doc_id, 1),
            "bytes": d.length,
            "tokens": d.tokens,
            "parts": np.array([d.merit] + [0] * (len(PARTS) - 1), np.int32).tobytes(),
            "sketch_low": signed(d.bits & mask),
            "sketch_high": signed(d.bits >> 64),
            "final": d.final,
        }
        for d in documents
    ]
    return {
        "members": pa.Table.from_pylist(rows, kinds),
        "sets": pa.table(
            {
                "doc_id": pa.array([d.doc_id for d in read], pa.int64()),
                "modulus": pa.array([d.modulus for d in read], pa.int64()),
                "hashes": pa.array(
                    [np.array(sorted(d.shingles or ()), np.uint32).tobytes() for d in read], pa.binary()
                ),
                "component": pa.array([d.component for d in read], pa.int64()),
            }
        ),
        "pairs": pa.table(
            {
                "doc_id": pa.array([a for a, _ in edges], pa.int64()),
                "other": pa.array([b for _, b in edges], pa.int64()),
                "component": pa.array([of[a].component for a, _ in edges], pa.int64()),
                "meaning": pa.array([(meaning or {}).get(edge, float("nan")) for edge in edges], pa.float32()),
            }
        ),
    }


def told(tables: dict[str, pa.Table], random: Random, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """What the hop says, each row at the partition that writes it."""
    found = by_kind(list(resolve_components(inbox_of(tables, random), replace(RULES, **settings))))
    for rows in found.values():
        doc_ids = np.array([row["doc_id"] for row in rows], np.int64)
        assert [row.pop("partition") for row in rows] == by_shard(doc_ids, WRITERS).tolist()
        rows.sort(key=lambda row: (row["doc_id"], row.get("other", 0)))
    return found


def member(shard: int, component: int, shingles: set[int] | range | None, **extra: Any) -> Document:
    """A document that is row 5 of its shard, with a sketch of its own."""
    doc_id = extra.pop("doc_id", ids.first_id(1, shard) + 5)
    sets = None if shingles is None else frozenset(shingles)
    return Document(doc_id, component, extra.pop("rep", doc_id), extra.pop("bits", shard), sets, **extra)


def six() -> list[Document]:
    """Two components of two, and two documents that are like nobody."""
    sets: list[Any] = [range(8), range(9), range(20, 30), range(20, 31), range(1, 9), {99}]
    component = [1, 1, 3, 3, 3, 6]
    return [
        member(i + 1, c, s, merit=m)
        for i, (s, c, m) in enumerate(zip(sets, component, [5, 9, 9, 7, 3, 1], strict=True))
    ]


@pytest.mark.parametrize("seed", range(40))
def test_the_election_does_not_depend_on_how_members_arrive(seed: int) -> None:
    documents = six()
    d = [document.doc_id for document in documents]
    found = told(arrivals(documents, [(d[0], d[1]), (d[2], d[3]), (d[2], d[4])], {d[0]: 4}), Random(seed))
    assert [(row["doc_id"], row["survivor"], row["reason"]) for row in found["drops"]] == [
        (d[0], d[1], "near_duplicate"),
        (d[3], d[2], "near_duplicate"),
    ]
    assert [row["similarity"] for row in found["drops"]] == pytest.approx([8 / 9, 10 / 11])
    assert [tuple(row.values()) for row in found["columns"]] == [
        (d[0], d[0], 2, 0),
        (d[1], d[0], 2, 4),
        (d[2], d[2], 2, 1),
        (d[3], d[2], 2, 0),
    ]
    assert [(row["doc_id"], row["other"], row["method"]) for row in found["edges"]] == [
        (d[0], d[1], 1),
        (d[2], d[3], 1),
    ]


@pytest.mark.parametrize("seed", range(60))
def test_the_hop_says_what_comparing_all_pairs_finds(seed: int) -> None:
    """Over several shards, with twins, published documents, pairs that the sketch decided and edges by meaning."""
    random = Random(seed)
    documents: list[Document] = []
    edges: list[Edge] = []
    meaning: dict[Edge, float] = {}
    for component in range(4):
        decided = random.random() < 0.3
        alone: list[Document] = []
        for place in range(random.randint(1, 6)):
            final = random.random() < 0.3
            doc_id = ids.first_id(0 if final else 1, random.randrange(3)) + 10 * component + place
            shingles = set(random.sample(range(12), random.randint(8, 12)))
            bits = sum(1 << b for b in random.sample(range(128), random.randint(0, 20)))
            common: dict[str, Any] = {"final": final, "outlying": random.choice([float("nan"), 0.125, 0.5, 0.75])}
            alone.append(member(0, component, None if decided else shingles, doc_id=doc_id, bits=bits, **common))
        alone.sort(key=lambda d: d.doc_id)
        twins = [replace(alone[-1], doc_id=d.doc_id + 6, rep=alone[-1].doc_id) for d in alone if random.random() < 0.2]
        twins = [replace(t, final=False, shingles=None, doc_id=t.doc_id | 1 << 52) for t in twins]
        documents += alone + twins
        pairs = [(a.doc_id, b.doc_id) for a in alone for b in alone if a.doc_id < b.doc_id and not b.final]
        chosen = random.sample(pairs, min(len(pairs), 5))
        meaning |= {edge: random.choice([0.875, 0.96875, 1.0]) for edge in chosen if seed % 2 and random.random() < 0.4}
        edges += chosen
    copies = {d.doc_id: random.randint(1, 4) for d in documents}
    keep = "furthest_from_centroid" if seed % 3 == 0 else "best_quality"
    found = told(arrivals(documents, edges, copies, meaning), random, keep=keep)
    of = {d.doc_id: d for d in documents}
    edges += [(d.rep, d.doc_id) for d in documents if d.rep != d.doc_id]
    (component_of, survivors, verdicts), by_meaning = all_pairs_and_meanings(
        documents, edges, RULES.threshold, RULES.reject, 0.0, meaning, seed % 3 == 0
    )
    assert {row["doc_id"]: (row["survivor"], row["similarity"]) for row in found.get("drops", [])} == {
        d: s for d, s in survivors.items() if s[0] != d
    }
    for row in found.get("drops", []):
        assert row["reason"] == ("semantic_duplicate" if row["doc_id"] in by_meaning else "near_duplicate")
    sizes = {c: sum(x == c for x in component_of.values()) for c in component_of.values()}
    near = {d: sum(copies[x] for x, (s, _) in survivors.items() if s == d and x != d) for d in of}
    assert {row["doc_id"]: tuple(row.values())[1:] for row in found.get("columns", [])} == {
        d: (c, sizes[c], near[d]) for d, c in component_of.items() if c >= 0 and not of[d].final
    }
    expected = {}
    for (a, b), (similarity, method, holds) in verdicts.items():
        if holds:
            expected[(b, a) if of[a].final else (a, b)] = (similarity, method)
    assert {(r["doc_id"], r["other"]): (r["similarity"], r["method"]) for r in found.get("edges", [])} == expected


@pytest.mark.parametrize("seed", range(20))
def test_texts_that_state_other_facts_do_not_mean_the_same(seed: int) -> None:
    """One edge whose texts agree, one whose do not, one that shingles confirm, one to what is published."""
    a, b = member(1, 0, None), member(2, 0, None, bits=2**100 - 1, merit=9)
    c, d = member(3, 1, None), member(4, 1, None, merit=9)
    e, f = member(5, 2, range(8)), member(6, 2, range(9), merit=9)
    g, h = member(7, 3, None, doc_id=ids.first_id(0, 5), final=True), member(8, 3, None)
    edges = [(a.doc_id, b.doc_id), (c.doc_id, d.doc_id), (e.doc_id, f.doc_id), (g.doc_id, h.doc_id)]
    tables = arrivals([a, b, c, d, e, f, g, h], edges, {}, dict.fromkeys(edges, 0.9375))
    ends = [x for edge in edges for x in edge]
    texts = [f"It is {n} degrees in London." for n in (7, 7, 8, 9, 1, 2, 3, 4)]
    found = find_facts(TextColumn.from_texts(texts))
    stated = [found.hashes[s:t].tobytes() for s, t in zip(found.ptr[:-1], found.ptr[1:], strict=True)]
    tables["facts"] = pa.table({"doc_id": pa.array(ends, pa.int64()), "facts": pa.array(stated, pa.large_binary())})
    rows = told(tables, Random(seed))
    assert [(row["doc_id"], row["survivor"], row["reason"]) for row in rows["drops"]] == [
        (a.doc_id, b.doc_id, "semantic_duplicate"),
        (e.doc_id, f.doc_id, "near_duplicate"),
    ]
    assert [(row["doc_id"], row["other"]) for row in rows["edges"]] == [edges[0], edges[2]]
    assert [tuple(row.values()) for row in rows["disagreements"]] == [
        (c.doc_id, d.doc_id, 0.9375),
        (e.doc_id, f.doc_id, 0.9375),
        (h.doc_id, g.doc_id, 0.9375),
    ]
    assert {row["doc_id"] for row in rows["columns"]} == {a.doc_id, b.doc_id, e.doc_id, f.doc_id}


@pytest.mark.parametrize("seed", range(20))
def test_documents_that_mean_the_same(seed: int) -> None:
    """One edge by meaning alone, one that shingles confirm, one to a published document."""
    a, b = member(1, 0, None), member(2, 0, None, bits=2**100 - 1, merit=9)
    c, d = member(3, 1, range(8)), member(4, 1, range(9), merit=9)
    e = member(5, 2, None, doc_id=ids.first_id(0, 5), final=True)
    f = member(6, 2, None, bits=2**100 - 1, quality=1.0)
    edges = [(a.doc_id, b.doc_id), (c.doc_id, d.doc_id), (e.doc_id, f.doc_id)]
    tables = arrivals([a, b, c, d, e, f], edges, {a.doc_id: 3}, dict.fromkeys(edges, 0.9375))
    found = told(tables, Random(seed))
    assert [(row["doc_id"], row["survivor"], row["reason"], row["similarity"]) for row in found["drops"]] == [
        (a.doc_id, b.doc_id, "semantic_duplicate", 0.9375),
        (c.doc_id, d.doc_id, "near_duplicate", pytest.approx(8 / 9)),
        (f.doc_id, e.doc_id, "semantic_duplicate", 0.9375),
    ]
    assert [(row["doc_id"], row["component_size"], row["near_copies"]) for row in found["columns"]] == [
        (a.doc_id, 2, 0),
        (b.doc_id, 2, 3),
        (c.doc_id, 2, 0),
        (d.doc_id, 2, 1),
        (f.doc_id, 2, 0),
    ]
    assert [(row["doc_id"], row["other"], row["method"]) for row in found["edges"]] == [
        (a.doc_id, b.doc_id, 2),
        (c.doc_id, d.doc_id, 1),
        (f.doc_id, e.doc_id, 2),
    ]


@pytest.mark.parametrize(("keep", "stays"), [("best_quality", 0), ("furthest_from_centroid", 1), ("longest", 2)])
def test_which_of_two_stays_by_the_keep_rule(keep: str, stays: int) -> None:
    two = [
        member(1, 0, None, quality=0.9, outlying=0.125),
        member(2, 0, None, quality=0.2, merit=1, outlying=0.25),
        member(3, 0, None, quality=0.1, outlying=float("nan"), length=2),
    ]
    first, second, third = (document.doc_id for document in two)
    pairs = {(first, second): 0.9375, (first, third): 0.9375, (second, third): 0.9375}
    found = told(arrivals(two, list(pairs), {}, pairs), Random(3), keep=keep)
    assert {row["survivor"] for row in found["drops"]} == {two[stays].doc_id} and len(found["drops"]) == 2


def test_a_published_document_gets_no_row() -> None:
    """Its shard is another run's: a row about it would be read as one about this run's shard of that number."""
    old = member(1, 0, range(10), doc_id=ids.first_id(0, 1), final=True, quality=0.1)
    other = member(1, 0, range(11), doc_id=ids.first_id(0, 2), final=True, quality=0.0)
    new = member(1, 0, range(10), doc_id=ids.first_id(1, 1), quality=0.9)
    found = told(arrivals([old, other, new], [(old.doc_id, new.doc_id), (other.doc_id, new.doc_id)], {}), Random(1))
    assert [(row["doc_id"], row["survivor"]) for row in found["drops"]] == [(new.doc_id, old.doc_id)]
    assert [(row["doc_id"], row["component_size"]) for row in found["columns"]] == [(new.doc_id, 3)]
    assert [(row["doc_id"], row["other"]) for row in found["edges"]] == [
        (new.doc_id, old.doc_id),
        (new.doc_id, other.doc_id),
    ]


def test_an_edge_between_published_documents_is_not_this_runs() -> None:
    """Twins that two earlier runs published, as when the first was run again with other thresholds in between."""
    old = member(1, 0, range(10), doc_id=ids.first_id(0, 1), final=True)
    twin = member(1, 0, None, doc_id=ids.first_id(1, 2), rep=old.doc_id, final=True)
    new = member(1, 0, None, doc_id=ids.first_id(2, 1), rep=old.doc_id)
    found = told(arrivals([old, twin, new], [], {}), Random(1))
    assert [(row["doc_id"], row["survivor"]) for row in found["drops"]] == [(new.doc_id, old.doc_id)]
    assert [(row["doc_id"], row["other"]) for row in found["edges"]] == [(new.doc_id, old.doc_id)]


@pytest.mark.parametrize("budget", [10, 10_000])
def test_sets_of_a_giant_component_are_sampled_and_those_of_others_are_not(
    monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(verify, "SET_BUDGET", budget)
    monkeypatch.setattr(verify, "LEAST_SET", 4)
    giant, small = (
        [member(n, 1, set(range(64 + n))) for n in (1, 2, 3)],
        [member(9, 2, {1, 3}), member(8, 2, {1, 3, 5})],
    )
    tables = arrivals([*giant, *small], [], {})
    table = inbox_of(tables, Random(5)).table("sets")
    component = np.array([1, 1, 1, 2, 2])
    doc_ids = np.array([d.doc_id for d in (*giant, small[1], small[0])])
    sets = verify._shingle_sets(table, lambda wanted: np.searchsorted(doc_ids, wanted), component)
    sizes = np.diff(sets.ptr)[sets.of].tolist()
    if budget == 10:
        assert sizes[:3] == [3, 3, 3] and sets.modulus[sets.of].tolist()[:3] == [32, 32, 32]
        assert sizes[3:] == [3, 2] and sets.modulus[sets.of].tolist()[3:] == [1, 1]
    else:
        assert sizes == [65, 66, 67, 3, 2] and set(sets.modulus.tolist()) == {1}


def test_sets_of_a_partition_may_pass_two_gigabytes() -> None:
    """Offsets of Arrow's binary are 32 bits, and sorting 2 GiB of it is an error; here the type tells, in no time."""
    tables = arrivals([member(n, 1, set(range(n))) for n in range(1, 9)], [], {})
    arrived = inbox_of(tables, Random(2)).table("sets")
    assert arrived is not None
    table = verify._by_document(arrived)
    assert table.schema.field("hashes").type == pa.large_binary() and table.column("hashes").num_chunks == 1
    assert table.column("doc_id").to_pylist() == sorted(arrived.column("doc_id").to_pylist())
    of = dict(zip(arrived.column("doc_id").to_pylist(), arrived.column("hashes").to_pylist(), strict=True))
    assert table.column("hashes").to_pylist() == [of[i] for i in sorted(of)]


def test_nobody_came() -> None:
    assert list(resolve_components(unpack(0, []), RULES)) == []
