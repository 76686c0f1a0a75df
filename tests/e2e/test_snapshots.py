"""What docs/design/principles.md says of snapshots, held over three of them.

Published decisions are final. Exact dedup equals the union's. No newly kept document is like any kept one. What differs
from the union is little and has a reason, and every duplicate's survivor can be found.
"""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from corpus import ids
from tests.e2e.story import Story, digests_of, fates_of
from tests.engine.run_reader import RunReader
from tests.oracles.text import exact_form
from tests.support.snapshots import OLD_SPAN, SPAN

pytestmark = [pytest.mark.spark, pytest.mark.slow]

THRESHOLD = 0.75
FINAL = "an earlier snapshot's survivor is final; the union elects a longer one of a later snapshot"
LIKE_FINAL = "the union elects it; here its like was published by an earlier snapshot"


def test_earlier_run_folders_are_not_touched(story: Story) -> None:
    for run, before in zip(story.runs[:2], story.untouched[:2], strict=True):
        assert digests_of(run.root) == before


def test_exact_dedup_keeps_the_texts_that_it_keeps_in_one_run_over_all(story: Story) -> None:
    def standing(run: RunReader) -> set[str]:
        return {exact_form(run.documents[i]["text"]) for i in set(run.documents) - set(run.drops("exact_dedup"))}

    def eligible(run: RunReader) -> list[str]:
        return [exact_form(run.documents[i]["text"]) for i in run.before("near_dedup")]

    here = set().union(*(standing(run) for run in story.runs))
    assert here == standing(story.union) == {exact_form(text) for text in story.text.values()}
    texts = [text for run in story.runs for text in eligible(run)]
    assert set(texts) == set(eligible(story.union)), "a copy is kept unless every copy's domain rules it out"
    assert len(texts) == len(set(texts)), "a text is kept in two snapshots"


def test_copies_over_domains_and_snapshots(story: Story) -> None:
    kept = {name for name in story.kept if "-ruled-" in name}
    assert kept == {
        "en-ruled-00-1-pages",
        "en-ruled-01-2-pages",
        "en-ruled-02-0-pages",
        "en-ruled-04-1-pages",
        *(n for n in kept if n.startswith(("en-ruled-03", "en-ruled-06"))),
    }
    for number, domains in ((3, ("pages", "notes")), (6, ("pages", "en"))):
        (one,) = (n for n in kept if n.startswith(f"en-ruled-{number:02d}"))
        assert one.rsplit("-", 1)[1] in domains and story.corpus.snapshot_of[one] == 1
    copies = {row["source_id"]: row["exact_copies"] for run in story.runs for row in run.published()}
    assert copies["en-ruled-00-1-pages"] == 3, "those in this snapshot and in the one before"
    assert copies["en-ruled-01-2-pages"] == 3


def test_no_newly_kept_document_is_like_any_kept_one(story: Story) -> None:
    names, similarity = list(story.place), story.similarity
    kept = np.zeros(len(names), np.bool_)
    kept[[story.place[name] for name in story.kept]] = True
    snapshot = np.array([story.corpus.snapshot_of[name] for name in names])
    upper = np.triu(np.ones(similarity.shape, np.bool_), 1)
    for low, most in ((THRESHOLD, 0.02), (0.8, 0.0)):
        alike = (similarity >= low) & upper
        across = alike & (snapshot[:, None] != snapshot[None, :])
        missed = alike & kept[:, None] & kept[None, :]
        print(f"J >= {low}: {missed.sum()} of {alike.sum()} pairs both kept, {across.sum()} pairs over snapshots")
        assert across.sum() > 150
        assert missed.sum() <= most * alike.sum(), [(names[i], names[j]) for i, j in np.argwhere(missed)]


def test_what_differs_from_one_run_over_all_is_little_and_has_a_reason(story: Story) -> None:
    union = fates_of(story.union, story.union.name)
    text_kept = {exact_form(story.text[n]) for n in story.kept}
    text_union = {exact_form(story.text[n]) for n in story.union.kept_names()}
    here = [n for n in story.kept if exact_form(story.text[n]) not in text_union]
    there = [n for n in sorted(story.union.kept_names()) if exact_form(story.text[n]) not in text_kept]
    reasons = {n: _why_only_here(story, n, union) for n in here} | {n: _why_only_there(story, n, union) for n in there}
    print(f"{len(reasons)} of {len(story.text)} documents differ: {Counter(reasons.values())}")
    assert set(reasons.values()) == {FINAL, LIKE_FINAL}
    assert len(reasons) <= 0.005 * len(story.text), reasons


def _why_only_here(story: Story, name: str, union: dict[str, tuple[str, str | None]]) -> str:
    """Why the union dropped what a snapshot kept."""
    stage, elected = union[name]
    snapshot = story.corpus.snapshot_of
    assert stage == "near_dedup" and elected is not None, (name, stage)
    assert snapshot[elected] > snapshot[name], f"{name} was dropped for {elected}, which was there before"
    assert len(story.text[elected].encode()) > len(story.text[name].encode())
    return FINAL


def _why_only_there(story: Story, name: str, union: dict[str, tuple[str, str | None]]) -> str:
    """Why a snapshot dropped what the union kept."""
    stage, survivor = story.fates[name]
    assert stage == "near_dedup" and survivor is not None, (name, stage)
    assert story.corpus.snapshot_of[survivor] < story.corpus.snapshot_of[name]
    assert story.alike(name, survivor) >= THRESHOLD
    assert union[survivor][0] == "near_dedup"
    return LIKE_FINAL


def test_the_bridge_goes_and_both_its_ends_stay(story: Story) -> None:
    kept = set(story.kept)
    for lang in ("en", "zh"):
        assert {f"{lang}-bridge-00-left", f"{lang}-bridge-00-right"} <= kept
        stage, survivor = story.fates[f"{lang}-bridge-00-middle"]
        assert stage == "near_dedup" and survivor in (f"{lang}-bridge-00-left", f"{lang}-bridge-00-right")
    assert "en-bridge-00-middle" in story.union.kept_names(), "the union elects the longest, and it takes both"


def test_twins_over_snapshots(story: Story) -> None:
    for lang in ("en", "zh"):
        assert {n for n in story.kept if n.startswith(f"{lang}-twin")} == {
            f"{lang}-twin-00-old",
            f"{lang}-twin-01-first",
        }
        for name in ("00-new", "00-newer"):
            assert story.fates[f"{lang}-twin-{name}"] == ("near_dedup", f"{lang}-twin-00-old")


def test_spans_over_snapshots(story: Story) -> None:
    texts = {row["source_id"]: row["text"] for run in story.runs for row in run.published()}
    assert "en-span-01-owner" not in texts
    assert [n for n, text in texts.items() if SPAN in text] == ["en-span-02-heir"]
    assert [n for n, text in texts.items() if OLD_SPAN in text] == ["en-span-00-old"]
    assert {"en-span-03-again", "en-span-04-late", "en-span-05-sentence"} <= set(texts)


def test_every_duplicate_leads_to_a_document_of_this_run_or_an_ancestor(story: Story) -> None:
    followed = 0
    for name, (stage, survivor) in story.fates.items():
        assert (survivor is None) == (stage not in ("exact_dedup", "near_dedup")), name
        seen = {name}
        while survivor is not None:
            assert survivor not in seen
            assert story.corpus.snapshot_of[survivor] <= story.corpus.snapshot_of[name]
            seen.add(survivor)
            followed += 1
            survivor = story.fates[survivor][1] if survivor in story.fates else None
    assert followed > 300


def test_edges_and_components_name_this_snapshots_documents(story: Story) -> None:
    for number, run in enumerate(story.runs):
        edges = run.table(run.chain["near_dedup"], "edges")
        assert edges and all(ids.snapshot_of(e["doc_id"]) == number for e in edges)
        assert all(e["similarity"] == pytest.approx(_similarity(story, e), abs=1e-3) for e in edges[::7])
        others = {ids.snapshot_of(e["other"]) for e in edges}
        assert others == set(range(number + 1))
        assert all(ids.snapshot_of(i) == number for i in run.columns("near_dedup"))


def _similarity(story: Story, edge: dict[str, int]) -> float:
    return story.alike(story.name(edge["doc_id"]), story.name(edge["other"]))


def test_a_component_over_snapshots_is_on_one_side_of_the_split(story: Story) -> None:
    split = {row["source_id"]: row["split"] for run in story.runs for row in run.published()}
    for run in story.runs:
        for edge in run.table(run.chain["near_dedup"], "edges"):
            sides = {split[n] for n in (story.name(edge["doc_id"]), story.name(edge["other"])) if n in split}
            assert len(sides) < 2 or "bridge" in story.name(edge["doc_id"])


def test_ledgers_add_up(story: Story) -> None:
    for run, corpus in zip(story.runs, story.corpus.corpora, strict=True):
        ledger = json.loads((run.root / "ledger.json").read_text("utf-8"))
        left = ledger["ingest"]["documents"]
        assert left == len(corpus.documents)
        for stage in ledger["stages"]:
            assert stage["documents_in"] == left
            left = stage["documents_in"] - sum(stage["documents_dropped"].values())
            assert stage["documents_kept"] == left
        assert left == len(run.published()) and len(run.dropped()) == ledger["ingest"]["documents"] - left
