"""Exact copies: the election equals grouping in a dictionary, alone, as a hop, and after each domain's rules."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from corpus import ids
from corpus.files import commit, write_table
from corpus.schemas import DROPS
from dedup.exact import GONE, NEW, STANDS, elect_copies
from pipelines.spark.blocks import NextHop, by_shard
from pipelines.stages.exact_dedup.settle_copies import SettledFiles, elect, write_drops
from pipelines.stages.exact_dedup.stage import domain_codes, group_copies
from tests.support.examples import examples
from tests.support.exchanges import by_kind, inbox_of

Row = tuple[int, int, int, int, int]
"""low, high, doc_id, domain, state"""
HALVES = st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])
IDS = st.integers(0, 40) | st.integers(2**62 - 20, 2**62 + 20) | st.integers(0, 2**63 - 2)
NAMES = ("low", "high", "doc_id", "domain", "state")
KINDS = (np.int64, np.int64, np.int64, np.int32, np.int8)


@st.composite
def copies(draw: st.DrawFn) -> list[Row]:
    """Digests of a snapshot and of those before it, whose ids are lower."""
    texts = st.tuples(HALVES, HALVES, IDS, st.sampled_from([-(2**31), -7, 0, 5]))
    rows = sorted(draw(st.lists(texts, max_size=24, unique_by=lambda row: row[2])), key=lambda row: row[2])
    earlier = draw(st.sampled_from([0, 0, len(rows) // 3, len(rows)]))
    return [(*row, draw(st.sampled_from([STANDS, GONE])) if i < earlier else NEW) for i, row in enumerate(rows)]


def grouped(rows: list[Row]) -> list[tuple[int, int, int, int, int, int]]:
    """doc_id, survivor, contender, first, copies, contenders of each new document of a text that repeats."""
    texts: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows:
        texts[row[:2]].append(row)
    found = []
    for text in sorted(t for t, members in texts.items() if len(members) > 1):
        members = sorted(texts[text], key=lambda row: row[2])
        earliest: dict[int, int] = {}
        for _, _, doc_id, domain, _ in members:
            earliest.setdefault(domain, doc_id)
        stands = [doc_id for _, _, doc_id, _, state in members if state == STANDS]
        contenders = [d for _, _, d, domain, state in members if state == NEW and earliest[domain] == d and not stands]
        first = min(contenders or [doc_id for _, _, doc_id, _, _ in members])
        for _, _, doc_id, domain, state in members:
            own = earliest[domain]
            survivor = min(stands) if stands else own if own in contenders or not contenders else first
            if state == NEW:
                found.append((doc_id, survivor, own, first, len(members), len(contenders)))
    return found


def columns_of(rows: list[Row]) -> list[np.ndarray]:
    return [np.array([row[i] for row in rows], kind) for i, kind in enumerate(KINDS)]


@examples(300)
@given(copies(), st.randoms(use_true_random=False))
def test_the_election_equals_grouping_in_a_dictionary(rows: list[Row], random: Random) -> None:
    for _ in range(2):
        found = elect_copies(*columns_of(rows))
        assert (found.copies.dtype, found.contenders.dtype) == (np.int32, np.int32)
        parts = (found.doc_id, found.survivor, found.contender, found.first, found.copies, found.contenders)
        assert list(zip(*(part.tolist() for part in parts), strict=True)) == grouped(rows)
        if all(row[4] == NEW for row in rows):
            without = elect_copies(*columns_of(rows)[:4])
            assert without.survivor.tolist() == found.survivor.tolist(), "all are new unless it is said"
        random.shuffle(rows)


@examples(300)
@given(copies())
def test_each_text_that_repeats_is_kept_once_a_domain_or_stands_already(rows: list[Row]) -> None:
    found = elect_copies(*columns_of(rows))
    survivor = dict(zip(found.doc_id.tolist(), found.survivor.tolist(), strict=True))
    of = {row[2]: row for row in rows}
    for doc_id, other in survivor.items():
        assert of[doc_id][:2] == of[other][:2]
        assert other <= doc_id or of[doc_id][3] != of[other][3], "a later copy of the same domain"
        assert of[other][4] != NEW or survivor[other] == other, "a survivor survives"
        standing = [d for d, row in of.items() if row[:2] == of[doc_id][:2] and row[4] == STANDS]
        assert (other == doc_id) <= (not standing), "kept beside a published copy"


def test_half_a_digest_is_not_a_digest() -> None:
    low, high = np.array([3, 3, 3, 4, 3]), np.array([1, 2, 1, 1, 9])
    found = elect_copies(low, high, np.array([50, 40, 30, 20, 10]), np.zeros(5, np.int32))
    assert found.doc_id.tolist() == [30, 50] and found.survivor.tolist() == [30, 30]


def test_many_copies_of_one_text() -> None:
    n = 100_000
    doc_id = np.random.default_rng(1).permutation(n).astype(np.int64) + 2**62
    found = elect_copies(np.full(n, 7), np.full(n, -7), doc_id, (doc_id % 3).astype(np.int32))
    assert found.doc_id.tolist() == sorted(doc_id.tolist())
    assert set(found.copies.tolist()) == {n} and set(found.contenders.tolist()) == {3}
    assert np.unique(found.survivor).tolist() == sorted(doc_id.tolist())[:3]


# -------------------------------------------------------------------------------------------------------- as a hop


def test_a_domain_has_one_code_in_every_task() -> None:
    names = np.array(["web", "news", "web", "", "新闻", "news"], dtype=object)
    codes = domain_codes(names)
    assert codes.dtype == np.int32
    assert dict(zip(names.tolist(), codes.tolist(), strict=True)) == {
        name: int(domain_codes(np.array([name, "other"], dtype=object))[0]) for name in set(names.tolist())
    }
    assert len(set(codes.tolist())) == 4 and len(domain_codes(np.zeros(0, dtype=object))) == 0


@examples(100)
@given(copies(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_hop_says_of_each_document_what_the_election_found(rows: list[Row], writers: int, random: Random) -> None:
    table = pa.table(dict(zip(NAMES, columns_of(rows), strict=True)))
    found = by_kind(list(group_copies(inbox_of({"digests": table}, random), NextHop(writers))))
    told: dict[str, set[tuple[object, ...]]] = {k: set() for k in ("drops", "columns", "contenders", "followers")}
    for doc_id, survivor, contender, first, total, contenders in grouped(rows):
        if survivor != doc_id:
            told["drops"].add((doc_id, "exact_duplicate", survivor, 1.0))
        else:
            told["columns"].add((doc_id, total, first, contenders))
        if contenders > 1:
            told["contenders" if contender == doc_id else "followers"].add((doc_id, first))
    for kind, expected in told.items():
        arrived = found.pop(kind, [])
        targets = by_shard(np.array([row["doc_id"] for row in arrived], np.int64), writers).tolist()
        assert [row.pop("partition") for row in arrived] == targets
        assert sorted(tuple(row.values()) for row in arrived) == sorted(expected)
    assert not found


# ------------------------------------------------------------------------------------------------ after the rules

CONTESTED = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["contender", "gone", "follower"]), IDS),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[2],
)


def rank_of(doc_id: int) -> int:
    """The place of its domain."""
    return doc_id % 3


@examples(200)
@given(CONTESTED, st.randoms(use_true_random=False))
def test_of_the_contenders_that_no_rule_dropped_the_one_of_the_first_domain_wins(
    rows: list[tuple[int, str, int]], random: Random
) -> None:
    texts: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for text, kind, doc_id in rows:
        texts[text][kind].append(doc_id)
    tables: dict[str, list[tuple[int, int, bool, int]]] = {"contenders": [], "followers": []}
    expected = {}
    for text in texts.values():
        contenders = [*text["contender"], *text["gone"]]
        if not contenders:
            continue
        first = min(contenders)
        winner = min(text["contender"] or contenders, key=lambda d: (rank_of(d), d))
        tables["contenders"] += [(d, first, d in text["gone"], rank_of(d)) for d in contenders]
        tables["followers"] += [(d, first, False, 0) for d in text["follower"]]
        expected |= {d: winner for d in [*contenders, *text["follower"]] if d != winner}
    kinds = [("doc_id", pa.int64()), ("first_copy", pa.int64()), ("gone", pa.bool_()), ("rank", pa.int32())]
    arrays = {k: pa.table([[row[i] for row in t] for i in range(4)], pa.schema(kinds)) for k, t in tables.items()}
    found = by_kind(list(elect(inbox_of(arrays, random), NextHop(2)))).get("drops", [])
    assert {row["doc_id"]: row["survivor"] for row in found} == expected
    assert len(found) == len(expected)


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 4)), st.integers(0, 99), max_size=9),
    st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 4)), st.integers(100, 199), max_size=9),
    st.randoms(use_true_random=False),
)
def test_what_was_said_about_contested_texts_is_replaced_and_nothing_else(
    tmp_path: Path, before: dict[tuple[int, int], int], new: dict[tuple[int, int], int], random: Random
) -> None:
    def drops(said: dict[tuple[int, int], int], shards: set[int]) -> pa.Table:
        places = sorted(place for place in said if place[0] in shards)
        return pa.table(
            {
                "row": pa.array([row for _, row in places], pa.int32()),
                "doc_id": pa.array([ids.first_id(1, shard) + row for shard, row in places], pa.int64()),
                "reason": pa.array(["exact_duplicate"] * len(places), pa.string()),
                "survivor": pa.array([said[p] for p in places], pa.int64()),
                "similarity": pa.array([1.0] * len(places), pa.float32()),
            }
        ).cast(DROPS)

    said = [drops(before, {shard}) for shard in range(3)]
    files = [write_table(tmp_path / "old", "drops", t, kind="drops", shard=i) for i, t in enumerate(said) if len(t)]
    provisional = commit(tmp_path / "old", {}, files)
    inbox = inbox_of({"drops": drops(new, {0, 1, 2}).select(["doc_id", "survivor"])}, random)
    answers = list(write_drops(inbox, SettledFiles(tmp_path / "new", provisional.ref)))
    assert [a.shard for a in answers] == sorted({shard for shard, _ in new})
    for answer in answers:
        assert answer.table == "drops"
        found = pq.read_table(tmp_path / "new" / answer.path)
        assert found.equals(drops({**before, **new}, {answer.shard}))
