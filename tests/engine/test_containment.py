"""`near_dedup` by containment: excerpts of real text go, the text that holds them stays, in both languages."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster
from tests.engine.run_reader import RunReader
from tests.oracles.dedup import contained
from tests.oracles.text import jaccard, shingles
from tests.support.corpora import Corpus, Document, half_rewritten, texts

pytestmark = pytest.mark.spark

LEAST, RATIO = 0.9, 0.8
SIZE = 12
"""Texts a language."""


def excerpt(text: str, lang: str, first: float, last: float) -> str:
    """A part of a text, by share of its words (characters)."""
    separator = " " if lang == "en" else ""
    words = text.split(" ") if lang == "en" else list(text)
    return separator.join(words[int(first * len(words)) : int(last * len(words))])


def planted() -> Corpus:
    """Texts, two excerpts of each that count, one that is too short to count, and one half rewritten."""
    made = []
    for lang in ("en", "zh"):
        long = [text for text in texts(lang) if len(shingles(text)) > 150]
        for number, text in enumerate(long[:SIZE]):
            parts = {
                "whole": text,
                "begin": excerpt(text, lang, 0, 0.88),
                "end": excerpt(text, lang, 0.13, 1),
                "short": excerpt(text, lang, 0.1, 0.6),
                "rewritten": half_rewritten(text, long[SIZE + number], lang, 0.3, 0.4),
            }
            made += [Document(f"{lang}-{number}-{kind}", part, lang, lang, kind) for kind, part in parts.items()]
    return Corpus(made)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return planted()


def run(folder: Path, corpus: Corpus, cluster: Cluster, **settings: object) -> RunReader:
    """Runs exact and near dedup into `folder/run`; a second call decides anew on the same evidence."""
    near = {"bands": 25, "rows": 5, **settings}
    body = {
        "name": "contained",
        "inputs": [{"domain": d, "paths": [g]} for d, g in corpus.write(folder / "raw").items()],
        "ingest": {"target_shard_bytes": 40_000},
        "stages": {"eligibility": {}, "exact_dedup": {}, "near_dedup": near, "score": {}},
    }
    path = folder / "contained.yaml"
    path.write_text(yaml.safe_dump(body), "utf-8")
    Runner(load_pipeline(path), folder / "run", cluster, folder).run()
    return RunReader(folder / "run")


def dropped(found: RunReader) -> dict[str, tuple[str, float]]:
    """Name → survivor's name, similarity."""
    rows = found.drops("near_dedup")
    return {found.name(i): (found.name(row["survivor"]), row["similarity"]) for i, row in rows.items()}


def test_what_is_contained_goes_and_what_holds_it_stays(tmp_path: Path, cluster: Cluster, corpus: Corpus) -> None:
    by_containment = {"similarity": "containment", "threshold": LEAST, "min_size_ratio": RATIO, "keep": "longest"}
    gone = dropped(run(tmp_path, corpus, cluster, **by_containment))
    text_of = {document.name: document.text for document in corpus.documents}
    for name, (survivor, similarity) in gone.items():
        a, b = (set(map(hash, shingles(text_of[n]))) for n in (name, survivor))
        assert similarity == pytest.approx(contained(a, b), abs=1e-6) and similarity >= np.float32(LEAST)
        assert min(len(a), len(b)) / max(len(a), len(b)) >= RATIO - 1e-6
        assert len(text_of[survivor].encode()) >= len(text_of[name].encode())
        assert survivor not in gone
    for lang, number in itertools.product(("en", "zh"), range(SIZE)):
        fate = {kind: gone.get(f"{lang}-{number}-{kind}") for kind in ("whole", "begin", "end", "short", "rewritten")}
        assert fate["begin"] == fate["end"] == (f"{lang}-{number}-whole", 1.0)
        assert fate["whole"] is fate["short"] is fate["rewritten"] is None

    again = dropped(run(tmp_path, corpus, cluster, threshold=LEAST))
    assert all(jaccard(text_of[name], text_of[survivor]) >= LEAST for name, (survivor, _) in again.items())
    assert len(again) < len(gone) / 4, "an excerpt of 0.88 has a Jaccard similarity below 0.9"
