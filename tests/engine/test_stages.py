"""Each stage, run by Spark shard by shard, equals its kernel or a plain twin run in one process on the same texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pyarrow as pa
import pytest

import tamis
from filters.damage.grade import grade
from filters.heuristic.decide import KEEP, REASONS, decide, scan
from filters.heuristic.thresholds import CjkThresholds, HeuristicThresholds, OtherThresholds, SpacedThresholds
from filters.language.detect import detect
from filters.quality.decide import SentenceQualityDecision, choose_cuts, document_quality, sentence_facts
from filters.quality.model import SentenceModel
from pipelines.stages.span_dedup.stage import SpanDedupDecision, SpanDedupEvidence
from tests.engine.run_reader import RunReader
from tests.engine.small_run import SPAN
from tests.oracles.text import Edit, exact_form, later_edits, shingles, stored_span, tokens, view_pieces
from text.arrow import TextColumn
from text.segment import Spans, paragraphs, sentences

pytestmark = pytest.mark.spark

NEAR_THRESHOLD = 0.75  # of conf/pipelines/default.yaml


def column_of(views: dict[int, str]) -> TextColumn:
    return TextColumn.from_texts(list(views.values()))


# ------------------------------------------------------------------------------------------------------ eligibility


def test_eligibility_drops_listed_hosts_urls_and_ids_and_nothing_else(finished: RunReader) -> None:
    reasons = {finished.name(i): row["reason"] for i, row in finished.drops("eligibility").items()}
    assert reasons == {"code-00": "url_list", "code-01": "url_list", "code-05": "url_list", "code-07": "id_list"}


def test_a_predicate_moves_chinese_notes_to_their_own_domain(finished: RunReader) -> None:
    moved = {finished.name(i): row["domain"] for i, row in finished.columns("eligibility").items()}
    expected = [
        d["source_id"] for d in finished.documents.values() if d["input_domain"] == "notes" and d["lang"] == "zh"
    ]
    assert expected and moved == dict.fromkeys(expected, "notes_zh")
    assert {"notes", "notes_zh"} <= {row["domain"] for row in finished.published()}


# ------------------------------------------------------------------------------------------------------ exact_dedup


def test_exact_dedup_equals_grouping_by_the_exact_form_with_the_copy_of_another_domain_promoted(
    finished: RunReader,
) -> None:
    alive = finished.before("exact_dedup")
    groups: dict[str, list[int]] = defaultdict(list)
    for doc_id, text in alive.items():
        keeps = finished.domain(doc_id) == "code"  # whose profile counts white space
        as_it_stands = "\n".join(line.rstrip() for line in text.split("\n")).rstrip()
        groups[as_it_stands if keeps else exact_form(text)].append(doc_id)
    ruled_out = {i for stage in ("language", "heuristic_filter", "sentence_quality") for i in finished.drops(stage)}
    priority = finished.chain["exact_dedup"].body["config"]["default"]["priority"]
    expected, copies = {}, {}
    for members in (g for g in groups.values() if len(g) > 1):
        contenders = {finished.domain(i): i for i in sorted(members, reverse=True)}.values()
        winner = min(contenders, key=lambda i: (i in ruled_out, priority.index(finished.domain(i)), i))
        expected |= {i: winner for i in members if i != winner}
        copies[winner] = len(members)
    assert {i: row["survivor"] for i, row in finished.drops("exact_dedup").items()} == expected
    found = finished.columns("exact_dedup")
    assert {i: found[i]["exact_copies"] for i in copies} == copies
    assert any(finished.domain(i) != finished.domain(s) for i, s in expected.items()), "no copy was promoted"


# --------------------------------------------------------------------------------------------------------- language


def test_language_equals_the_kernel(finished: RunReader) -> None:
    before = finished.before("language")
    alive = {i: text for i, text in before.items() if finished.domain(i) != "code"}  # whose profile skips it
    kernel = detect(column_of(alive))
    codes, scores = kernel.codes, kernel.scores
    found = finished.columns("language")
    assert [found[i]["language"] for i in alive] == codes.to_pylist()
    assert [found[i]["language_score"] for i in alive] == pytest.approx(scores.tolist(), abs=0)
    shares = [None if np.isnan(share) else share for share in kernel.shares.tolist()]
    assert [found[i]["language_share"] for i in alive] == shares
    assert [found[i]["second_language"] for i in alive] == kernel.seconds.to_pylist()
    assert {"en", "zh"} <= set(codes.to_pylist())


# ------------------------------------------------------------------------------------------------- heuristic_filter


def test_heuristic_filter_equals_the_kernel_under_each_domains_thresholds(finished: RunReader) -> None:
    alive = finished.before("heuristic_filter")
    features = scan(column_of(alive))
    common = {"cjk": CjkThresholds(), "other": OtherThresholds()}
    default = HeuristicThresholds(spaced=SpacedThresholds(max_mean_word_chars=8), **common)
    forum = HeuristicThresholds(spaced=SpacedThresholds(max_mean_word_chars=8, min_words=100_000), **common)
    lines: dict[str, Any] = {"max_short_line_ratio": None, "max_dup_line_own_char_ratio": None}
    spaced = {**lines, "min_terminal_line_ratio": None, "max_line_break_word_ratio": None}
    news = HeuristicThresholds(  # conf/profiles/news.yaml, but for the length that the small pipeline sets
        spaced=SpacedThresholds(max_mean_word_chars=8, min_words=30, **spaced),
        cjk=CjkThresholds(**lines),
        other=OtherThresholds(),
    )
    by_default = decide(features, default)
    by_domain = {"forum": decide(features, forum), "news": decide(features, news)}
    expected = {}
    for place, doc_id in enumerate(alive):
        domain = finished.domain(doc_id)
        code = by_domain.get(domain, by_default)[place]
        if code != KEEP and domain not in ("pages", "code"):
            expected[doc_id] = REASONS[code]
    found = {i: row["reason"] for i, row in finished.drops("heuristic_filter").items() if i in alive}
    assert found == expected
    assert len(set(expected.values())) >= 3


def test_a_skipped_stage_leaves_a_domain_alone(finished: RunReader) -> None:
    skipped = {i for i in finished.documents if finished.domain(i) == "code"}
    for stage in ("heuristic_filter", "sentence_quality", "span_dedup"):
        assert not skipped & {row["doc_id"] for row in finished.evidence(stage)}, stage
        assert not skipped & {*finished.drops(stage), *finished.edits(stage)}, stage
    assert "code-short" in finished.kept_names()


# ------------------------------------------------------------------------------------------------- sentence_quality


def test_sentence_quality_equals_the_kernels_under_each_domains_threshold(finished: RunReader) -> None:
    folder = next(p for p in (finished.root / "models" / "sentence_quality").iterdir())
    model = SentenceModel.load(folder)
    skipped = ("pages", "code")
    alive = {i: t for i, t in finished.before("sentence_quality").items() if finished.domain(i) not in skipped}
    column = column_of(alive)
    spans = sentences(column)
    scores = model.score(column, spans)
    sizes = (spans.ends(column) - spans.starts).astype(np.int64)
    quality = document_quality(scores, sizes, spans.ptr)
    chars, fenced = sentence_facts(column, spans)
    cuts = {}
    for threshold in (0.1, 0.0):
        decision = SentenceQualityDecision(threshold=threshold, max_cut_fraction=0.3)
        cuts[threshold] = choose_cuts(scores, sizes, chars, fenced, spans.ptr, column.lengths, decision)
    expected = {}
    for place, doc_id in enumerate(alive):
        chosen = cuts[0.0 if finished.domain(doc_id) == "notes_zh" else 0.1]
        here = range(spans.ptr[place], spans.ptr[place + 1])
        mine = [(int(spans.starts[s]), int(spans.starts[s] + sizes[s])) for s in here if chosen[s]]
        if mine:
            expected[doc_id] = mine
    assert expected, "nothing was cut: the test says nothing"
    found = finished.edits("sentence_quality")
    assert {i: [(r["start"], r["end"]) for r in rows] for i, rows in found.items() if i in alive} == expected
    columns = finished.columns("sentence_quality")
    assert [columns[i]["quality"] for i in alive] == quality.tolist()


# ------------------------------------------------------------------------------------------------------- near_dedup


def _elected(members: list[int], sets: dict[int, set[Any]], rank: dict[int, Any]) -> dict[int, tuple[int, float]]:
    """Document → (survivor, similarity) of one component."""
    left, found = sorted(members, key=lambda i: rank[i]), {}
    while left:
        best = left.pop(0)
        for other in list(left):
            similarity = len(sets[best] & sets[other]) / len(sets[best] | sets[other])
            if np.float32(similarity) >= np.float32(NEAR_THRESHOLD):
                found[other] = (best, similarity)
                left.remove(other)
    return found


def compared_as_text(finished: RunReader) -> dict[int, str]:
    """The documents before `near_dedup`, less source code: that has tokens of its own, and no copies here."""
    return {i: text for i, text in finished.before("near_dedup").items() if finished.domain(i) != "code"}


def test_near_dedup_equals_comparing_all_pairs(finished: RunReader) -> None:
    alive = compared_as_text(finished)
    sets = {i: shingles(finished.documents[i]["text"]) for i in alive}
    sets = {i: s for i, s in sets.items() if s}
    ids = sorted(sets)
    graph = networkx.Graph()
    for k, a in enumerate(ids):
        for b in ids[k + 1 :]:
            if len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= NEAR_THRESHOLD:
                graph.add_edge(a, b)
    quality = {i: row["quality"] for i, row in finished.columns("sentence_quality").items()}
    components = [sorted(c) for c in networkx.connected_components(graph)]
    graded = grade(column_of({i: finished.documents[i]["text"] for i in ids}))
    said = {i: (int(merit), int(n)) for i, merit, n in zip(ids, graded.merit, graded.tokens, strict=True)}
    priority = finished.chain["near_dedup"].body["config"]["default"]["priority"]
    rank = {}
    for c in components:
        rated = all(i in quality for i in c)
        for i in c:
            merit, tokens = said[i]
            worth = merit + (tokens * round(quality[i] * 100) // 2 if rated else 0)
            size = len(finished.documents[i]["text"].encode())
            rank[i] = (-worth, size, priority.index(finished.domain(i)), i)
    expected = {i: found for c in components for i, found in _elected(c, sets, rank).items()}
    dropped = finished.drops("near_dedup")
    assert {i: row["survivor"] for i, row in dropped.items()} == {i: s for i, (s, _) in expected.items()}
    for doc_id, (_, similarity) in expected.items():
        assert dropped[doc_id]["similarity"] == pytest.approx(similarity, abs=1e-6)
    columns = finished.columns("near_dedup")
    assert {i: (r["component_id"], r["component_size"]) for i, r in columns.items()} == {
        i: (c[0], len(c)) for c in components for i in c
    }
    copies = {i: row["exact_copies"] for i, row in finished.columns("exact_dedup").items()}
    families: Counter[int] = Counter()
    for doc_id, (survivor, _) in expected.items():
        families[survivor] += copies.get(doc_id, 1)
    assert {i: r["near_copies"] for i, r in columns.items()} == {i: families[i] for i in columns}


def test_the_notebooks_kernels_say_the_same_as_the_stages(finished: RunReader) -> None:
    """Of the texts of a run's documents, in their order: survivors, groups, similarities and pairs; and columns."""
    alive = compared_as_text(finished)
    ids = list(alive)
    texts = [finished.documents[i]["text"] for i in ids]
    scores = finished.columns("sentence_quality")
    quality = [scores[i]["quality"] if i in scores else None for i in ids]
    found = tamis.near_duplicates(texts, NEAR_THRESHOLD, quality=pa.array(quality, pa.float32())).to_pylist()
    drops = {ids[n]: (ids[row["survivor"]], row["similarity"]) for n, row in enumerate(found) if row["survivor"] != n}
    assert drops == {i: (row["survivor"], row["similarity"]) for i, row in finished.drops("near_dedup").items()}
    groups = {ids[n]: ids[row["group"]] for n, row in enumerate(found) if row["group"] is not None}
    assert groups == {i: row["component_id"] for i, row in finished.columns("near_dedup").items()}
    pairs = tamis.near_duplicate_pairs(texts, NEAR_THRESHOLD).to_pylist()
    edges = finished.table(finished.chain["near_dedup"], "edges")
    assert {(ids[p["left"]], ids[p["right"]], p["similarity"]) for p in pairs} == {
        (row["doc_id"], row["other"], row["similarity"]) for row in edges
    }
    everything = {i: document["text"] for i, document in finished.documents.items()}
    stage = finished.columns("language")
    judged = dict(zip(everything, tamis.language(list(everything.values())).to_pylist(), strict=True))
    assert {i: {name: row[name] for name in judged[i]} for i, row in stage.items()} == {i: judged[i] for i in stage}
    model = next((finished.root / "models" / "sentence_quality").iterdir())
    views = finished.before("sentence_quality")
    scored = dict(zip(views, tamis.quality(list(views.values()), model).to_pylist(), strict=True))
    both = views.keys() & scores.keys()
    assert both and {i: scored[i] for i in both} == {i: scores[i]["quality"] for i in both}


# ------------------------------------------------------------------------------------------------------- span_dedup


def _spans_of(text: str, cut: Any) -> list[tuple[int, int]]:
    column = TextColumn.from_texts([text])
    spans: Spans = cut(column)
    return list(zip(spans.starts.tolist(), spans.ends(column).tolist(), strict=True))


class SpanOracle:
    """Span dedup over whole documents in plain Python: (level, document, start, end) → what becomes of it."""

    def __init__(self, views: dict[int, str]) -> None:
        evidence, decision = SpanDedupEvidence(), SpanDedupDecision(max_removed_fraction=0.8)
        self.views = views
        chosen = self._occurrences(paragraphs, evidence.min_paragraph_tokens)
        cut_paragraphs = {place for places in chosen.values() for place in places[1:]}
        inside = self._occurrences(sentences, evidence.min_sentence_tokens, cut_paragraphs)
        self.reasons = {"repeated_paragraph": chosen, "repeated_sentence": inside}
        removed: Counter[int] = Counter()
        for found in self.reasons.values():
            for places in found.values():
                removed.update({d: 0 for d, _, _ in places})
                for doc_id, start, end in places[1:]:
                    removed[doc_id] += end - start
        self.gone = {d for d, n in removed.items() if n > decision.max_removed_fraction * len(views[d].encode())}
        self.cuts: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
        self.inherited = 0
        for reason, found in self.reasons.items():
            for places in found.values():
                left = [p for p in places if p[0] not in self.gone]
                self.inherited += places[0][0] in self.gone and bool(left)
                for doc_id, start, end in left[1:]:
                    self.cuts[doc_id].append((start, end, reason))

    def _occurrences(
        self, cut: Any, least: int, without: set[tuple[int, int, int]] | None = None
    ) -> dict[tuple[str, ...], list[tuple[int, int, int]]]:
        found: dict[tuple[str, ...], list[tuple[int, int, int]]] = defaultdict(list)
        for doc_id, text in self.views.items():
            data = text.encode()
            for start, end in _spans_of(text, cut):
                words = tuple(tokens(data[start:end].decode()))
                swallowed = any(d == doc_id and s <= start < e for d, s, e in without or ())
                if len(words) >= least and not swallowed:
                    found[words].append((doc_id, start, end))
        return {words: places for words, places in found.items() if len(places) > 1}


def _views_and_pieces(run: RunReader) -> dict[int, tuple[str, list[tuple[int, int, int]]]]:
    found = {}
    earlier = [run.edits(stage) for stage in ("sentence_quality", "pii")]
    for doc_id, text in run.before("span_dedup").items():
        if run.domain(doc_id) == "code":
            continue
        mine: list[Edit] = []
        for edits in earlier:
            rows = edits.get(doc_id, [])
            mine = later_edits(
                mine, [(r["start"], r["end"], r["replacement"] and r["replacement"].encode()) for r in rows]
            )
        stored = run.documents[doc_id]["text"].encode()
        found[doc_id] = (text, view_pieces(stored, mine))
    return found


def test_span_dedup_equals_a_plain_election_over_all_spans(finished: RunReader) -> None:
    views = _views_and_pieces(finished)
    oracle = SpanOracle({i: text for i, (text, _) in views.items()})
    assert set(finished.drops("span_dedup")) == oracle.gone and oracle.gone
    expected = {
        doc_id: sorted((*stored_span(views[doc_id][1], start, end), reason) for start, end, reason in cuts)
        for doc_id, cuts in oracle.cuts.items()
    }
    found = finished.edits("span_dedup")
    assert {i: [(r["start"], r["end"], r["reason"]) for r in rows] for i, rows in found.items()} == expected
    assert finished.chain["span_dedup"].body["facts"]["inherited"] == oracle.inherited > 0
    assert {reason for cuts in expected.values() for _, _, reason in cuts} == set(oracle.reasons)


def test_an_orphaned_span_goes_to_its_next_owner_and_later_copies_are_cut(finished: RunReader) -> None:
    texts = {row["source_id"]: row["text"] for row in finished.published()}
    assert "span-1-owner" not in texts
    assert SPAN in texts["span-2-heir"]
    assert SPAN not in texts["span-3-late"]


def test_short_courtesies_are_never_cut(finished: RunReader) -> None:
    kept = [row for row in finished.published() if "-boilerplate-" in row["source_id"]]
    assert len(kept) >= 10
    assert all(row["text"].rstrip().endswith(("Thanks.", "谢谢。")) for row in kept)


# ------------------------------------------------------------------------------------------------------------ score


def test_frequency_counts_the_exact_and_near_copies_a_document_stands_for(finished: RunReader) -> None:
    represented: Counter[int] = Counter({row["doc_id"]: 1 for row in finished.published()})
    final = {row["doc_id"]: row for row in finished.dropped()}
    for row in finished.dropped():
        survivor = row["survivor"]
        while survivor in final:
            survivor = final[survivor]["survivor"]
        if survivor is not None and row["stage"] in ("exact_dedup", "near_dedup"):
            represented[survivor] += 1
    found = {row["doc_id"]: row["frequency"] for row in finished.published()}
    assert found == {i: represented[i] for i in found}
    assert max(found.values()) >= 3


def test_evidence_of_a_stage_lies_in_the_shard_it_is_about(finished: RunReader) -> None:
    for stage in finished.chain:
        manifest = finished.run.evidence(stage)
        for entry in manifest.files if manifest else ():
            assert Path(entry.path).name.startswith(f"{entry.shard:06d}.")
            assert 0 <= entry.shard < len(finished.run.shards)
