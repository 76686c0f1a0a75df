"""The arithmetic of the dedup benchmarks: recall, precision, AUC, marginal rates."""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks.corpora.exhaustive import Pairs, similar_pairs
from benchmarks.dedup.dedup_peers import Truth
from benchmarks.dedup.dedup_quality import figures
from benchmarks.dedup.dedup_speed import rates
from benchmarks.peers.common import keep_first, shingles
from benchmarks.tools.dedup_run import Drop, Outcome
from benchmarks.tools.labelled import auc

BASE = "the keeper of the second gate wrote down all names of boats that passed before the winter storm"
WORDS = BASE.split()
NEAR = " ".join([*WORDS, "came"])
OTHER = " ".join(reversed(WORDS))
IDS = ["base", "copy", "near", "other", "lost"]
TEXTS = [BASE, BASE + "\n", NEAR, OTHER, ""]


def _outcome(kept: set[str], **dropped: tuple[str, str | None]) -> Outcome:
    return Outcome(frozenset(kept), {k: Drop(reason, to, 1.0) for k, (reason, to) in dropped.items()}, {})


def test_a_perfect_run() -> None:
    found = _outcome({"base", "other"}, copy=("exact_duplicate", "base"), near=("near_duplicate", "base"))
    result = figures(IDS, TEXTS, similar_pairs(TEXTS), found)
    assert result["pairs_from_0.8"] == 3 and result["near_pairs_from_0.8"] == 1
    assert result["recall"] == result["recall_near"] == result["precision"] == 1
    assert result["not_ingested"] == 1


def test_a_missed_pair_and_a_wrong_drop() -> None:
    found = _outcome({"base", "near"}, copy=("exact_duplicate", "base"), other=("near_duplicate", "base"))
    result = figures(IDS, TEXTS, similar_pairs(TEXTS), found)
    assert result["recall"] == pytest.approx(2 / 3) and result["recall_near"] == 0
    assert result["missed_pairs"] == [["base", "near", pytest.approx(0.933, abs=0.01)]]
    assert result["precision_exact"] == 1 and result["precision_near"] == 0 and result["precision"] == 0.5
    assert result["worst_drops"][0][1:] == ["other", "base"]


def test_who_stands_for_whom() -> None:
    found = _outcome({"a"}, b=("near_duplicate", "a"), c=("exact_duplicate", "b"), d=("near_duplicate", None))
    assert found.joined("c", "a") and found.joined("b", "c") and not found.joined("d", "a")


def test_auc_is_the_chance_of_the_right_order() -> None:
    rng = random.Random(1)
    scores = [rng.randint(0, 5) / 5 for _ in range(80)]
    positive = [rng.random() < 0.4 for _ in scores]
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, p in zip(scores, positive, strict=True)
        if p
        for b, q in zip(scores, positive, strict=True)
        if not q
    ]
    assert auc(scores, positive) == pytest.approx(np.mean(pairs))
    assert np.isnan(auc([1.0], [True]))


def test_margins_need_no_intercept() -> None:
    rows = [
        {"stage": "near_dedup", "bytes": size * 1_000_000, "cpu_seconds": 7 + size / 50}
        for size in (0, 250, 1000, 4000)
    ]
    found = rates(rows)["near_dedup"]
    assert found["intercept_cpu_seconds"] == 7
    assert found["mb_per_cpu_second"] == pytest.approx([50, 50, 50])
    assert found["marginal_mb_per_cpu_second"] == pytest.approx([50, 50])
    assert found["marginal_cost_ratios"] == pytest.approx([1])


def test_peers_are_judged_by_their_survivors_or_by_any_other() -> None:
    truth = Truth(IDS, TEXTS, similar_pairs(TEXTS, 0.7))
    named = truth.figures({"copy": "base", "near": "other"})
    assert named["recall"] == 1 and named["precision"] == 0.5 and named["names_survivors"]
    unnamed = truth.figures({"copy": None, "other": None})
    assert unnamed["recall"] == pytest.approx(2 / 3) and unnamed["precision"] == 0.5
    nothing = Truth(IDS[3:], TEXTS[3:], Pairs(*(np.zeros(0, np.int64),) * 2, np.zeros(0))).figures({})
    assert nothing["recall"] is None and nothing["precision"] is None


def test_the_first_of_a_group_is_kept() -> None:
    assert keep_first([(2, 1), (1, 0), (3, 2), (5, 4)]) == {1: 0, 3: 2, 5: 4}


def test_peers_see_single_han_characters() -> None:
    assert shingles("Covid-19 疫情通报") == ["covid 19 疫 情 通", "19 疫 情 通 报"]
    assert shingles("two words") == ["two words"]
