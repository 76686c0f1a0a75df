"""Planted truth: near_dedup alone and the whole chain find what repeats, in English and in Chinese, and nothing else.

Recall: the share of all pairs of exact similarity 0.8 or more, planted or not, that are not both kept. Precision: the
share of documents dropped as near-duplicates whose named survivor has similarity 0.7 or more. Similarity is the
oracle's.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.spark.session import Cluster
from tests.conftest import REPOSITORY
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute, write_pipeline
from tests.oracles.text import exact_form, jaccard
from tests.support.corpora import BINS, BOILERPLATE, REPEATED_SENTENCE, THANKS, Corpus, planted_corpus, similar_pairs

pytestmark = [pytest.mark.spark, pytest.mark.slow]

LANGUAGES = pytest.mark.parametrize("lang", ["en", "zh"])
LEAST = 0.95


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Some 375 documents a language."""
    return planted_corpus()


@pytest.fixture(scope="module")
def inputs(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder, and domain → glob in it."""
    folder = tmp_path_factory.mktemp("planted")
    return folder, corpus.write(folder / "raw", broken=True)


@pytest.fixture(scope="module", params=["near_dedup alone", "end to end"])
def run(request: pytest.FixtureRequest, inputs: tuple[Path, dict[str, str]], cluster: Cluster) -> RunReader:
    """A finished run: of `dedup.yaml`, or of the whole default chain without length rules."""
    folder, globs = inputs
    sizes = {"ingest": {"target_shard_bytes": 120_000}}
    if request.param == "end to end":
        # Few cuts: of a text that lost a third, most may be what it shares with another, and that is a rule of its own.
        stages = {"sentence_quality": {"max_cut_fraction": 0.05}}
        pipeline = write_pipeline(folder / "chain.yaml", globs, stages=stages, **sizes)
    else:
        pipeline = folder / "dedup.yaml"
        lines = [f"extends: {REPOSITORY / 'conf' / 'pipelines' / 'dedup.yaml'}", "ingest: {target_shard_bytes: 120000}"]
        lines += ["inputs:", *(f"  - {{domain: {d}, paths: ['{glob}']}}" for d, glob in globs.items())]
        pipeline.write_text("\n".join(lines), "utf-8")
    return execute(pipeline, folder / f"run-{pipeline.stem}", cluster)


@LANGUAGES
def test_recall_over_all_pairs(run: RunReader, corpus: Corpus, lang: str) -> None:
    kept = run.kept_names()
    pairs = similar_pairs([d for d in corpus.documents if d.lang == lang], 0.8)
    missed = [pair for pair in pairs if set(pair) <= kept]
    recall = 1 - len(missed) / len(pairs)
    print(f"recall {lang}: {recall:.4f} of {len(pairs)} pairs")
    assert len(pairs) > 120
    assert recall >= LEAST, missed


@LANGUAGES
def test_recall_in_each_bin_of_similarity(run: RunReader, corpus: Corpus, lang: str) -> None:
    kept = run.kept_names()
    for low, high in BINS:
        pairs = [
            d for d in corpus.kind("near_copy", lang=lang) if d.similarity is not None and low <= d.similarity < high
        ]
        assert len(pairs) >= 20
        assert sum({d.name, d.of} <= kept for d in pairs) <= (1 - LEAST) * len(pairs), (low, high)


@LANGUAGES
def test_precision_of_named_survivors(run: RunReader, corpus: Corpus, lang: str) -> None:
    texts = {d.name: d.text for d in corpus.documents}
    found = []
    for row in run.dropped():
        if row["reason"] == "near_duplicate" and row["source_id"].startswith(lang):
            found.append(jaccard(texts[row["source_id"]], texts[run.name(row["survivor"])]))
            assert row["similarity"] == pytest.approx(found[-1], abs=1e-3)
    precision = sum(s >= 0.7 for s in found) / len(found)
    print(f"precision {lang}: {precision:.4f} of {len(found)} documents")
    assert len(found) > 80
    assert precision >= LEAST


@LANGUAGES
def test_filled_in_templates_and_half_rewritten_documents_all_stay(run: RunReader, corpus: Corpus, lang: str) -> None:
    alike = corpus.kind("template", "must_stay", lang=lang)
    assert len(alike) >= 60
    gone = {d.name for d in alike} - run.kept_names()
    assert not gone


@LANGUAGES
def test_exact_copies_in_other_white_space_and_unicode_form_go_to_the_first(
    run: RunReader, corpus: Corpus, lang: str
) -> None:
    texts = {d.name: exact_form(d.text) for d in corpus.documents}
    reasons = {row["source_id"]: row for row in run.dropped()}
    first = {}
    for name, text in sorted(texts.items(), key=lambda item: run.id_of[item[0]]):
        first.setdefault(text, name)
    copies = [n for n, text in texts.items() if n.startswith(lang) and first[text] != n]
    assert len(copies) >= 27
    for name in copies:
        assert reasons[name]["reason"] == "exact_duplicate"
        assert run.name(reasons[name]["survivor"]) == first[texts[name]]


@LANGUAGES
def test_a_chain_of_neighbours_keeps_both_ends_or_a_survivor_like_each(
    run: RunReader, corpus: Corpus, lang: str
) -> None:
    links = corpus.kind("chain", lang=lang)
    middle = {d.of for d in links} & {d.name for d in links if d.of}
    kept = run.kept_names()
    rows = {row["source_id"]: row for row in run.dropped()}
    for name in middle:
        first = next(d.of for d in links if d.name == name)
        last = next(d.name for d in links if d.of == name)
        assert {first, name, last} & kept
        assert not {first, name} <= kept and not {name, last} <= kept
        if name not in kept:
            assert {first, last} <= kept, "the ends are not alike: neither may go for the other"
        for gone in {first, name, last} - kept:
            assert rows[gone]["similarity"] >= 0.75


@LANGUAGES
def test_survivors_are_kept_or_explained_themselves(run: RunReader, lang: str) -> None:
    rows = {row["doc_id"]: row for row in run.dropped()}
    kept = {row["doc_id"] for row in run.published()}
    for row in rows.values():
        seen = {row["doc_id"]}
        survivor = row["survivor"]
        while survivor is not None and survivor not in kept:
            assert survivor in rows and survivor not in seen
            seen.add(survivor)
            survivor = rows[survivor]["survivor"]


@LANGUAGES
def test_boilerplate_is_cut_but_for_its_first_copy_and_courtesies_stay(
    run: RunReader, corpus: Corpus, lang: str
) -> None:
    planted = {d.name for d in corpus.kind("boilerplate", lang=lang)}
    texts = [row["text"] for row in run.published() if row["source_id"] in planted]
    assert len(texts) == len(planted)
    assert all(text.rstrip().endswith(THANKS[lang]) for text in texts)
    cuts = "span_dedup" in run.chain
    for passage in (*BOILERPLATE[lang], REPEATED_SENTENCE[lang]):
        holders = sum(passage in text for text in texts)
        assert holders <= 1 if cuts else holders == len(planted) // 2
