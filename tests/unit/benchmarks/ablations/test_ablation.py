"""The ablation's pure parts: what its arms differ in, that reference text stays apart, how spread is told."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks.corpora import ablation_corpus
from benchmarks.corpora.exhaustive import shingles
from benchmarks.tools.ablation.spread import Spread
from corpus.config import load_yaml
from pipelines.run.config import load_pipeline
from text.arrow import TextColumn

pytest.importorskip("torch")

from benchmarks.ablations.ablation import Size, as_markdown  # noqa: E402
from benchmarks.tools.ablation.pipeline_arms import ARMS, CONF, pipeline_of  # noqa: E402


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_each_arm_is_a_pipeline(arm: Any, tmp_path: Path) -> None:
    """It parses, and its stages are the default's, with the default's settings and in its order."""
    path = tmp_path / "arm.yaml"
    path.write_text(yaml.safe_dump(pipeline_of(arm), sort_keys=False), "utf-8")
    config, default = load_pipeline(path), load_pipeline(CONF / "pipelines" / "default.yaml")
    order = [stage for stage in default.stages if stage in config.stages]
    assert list(config.stages) == order
    assert all(config.stages[stage] == default.stages[stage] for stage in order)
    assert config.write_shards.heldout_fraction == 0
    assert (config.weights.default == default.weights.default) == arm.scored


def test_arms_differ_in_what_they_name_and_in_nothing_else() -> None:
    for before, arm in zip(ARMS, ARMS[1:], strict=False):
        one, other = pipeline_of(before), pipeline_of(arm)
        assert set(other["stages"]) - set(one["stages"]) == set(arm.adds)
        assert set(one["stages"]) <= set(other["stages"])
        changed = {key for key in one if one[key] != other[key]} - {"name"}
        assert changed == ({"stages"} if arm.adds else set()) | ({"weights"} if arm.scored else set())
    assert pipeline_of(ARMS[0])["stages"] == {}
    named = {stage for arm in ARMS for stage in arm.adds}
    assert set(load_yaml(CONF / "pipelines" / "default.yaml")["stages"]) - named == {"eligibility", "pii"}
    assert named <= set(load_yaml(CONF / "pipelines" / "default.yaml")["stages"])


def _words(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices("abcdefghij", k=6)) for _ in range(count)]


def _column(texts: list[str]) -> TextColumn:
    return TextColumn.from_arrow(pa.array(texts, pa.large_string()))


def test_what_a_page_shares_with_the_reference_is_found() -> None:
    rng = random.Random(1)
    held = [" ".join(_words(rng, 200)) for _ in range(5)]
    edited = held[2].split()
    edited[::40] = _words(rng, 5)
    pages = {
        "copy": held[3].upper(),
        "excerpt": " ".join(held[1].split()[50:90]),
        "quoted in full": " ".join([*_words(rng, 500), held[4], *_words(rng, 500)]),
        "edited": " ".join(edited),
        "a sentence of it": " ".join([*_words(rng, 300), *held[0].split()[:24]]),
        "other text": " ".join(_words(rng, 300)),
        "empty": "",
    }
    found = dict(
        zip(pages, ablation_corpus.most_shared(_column(held), _column(list(pages.values()))).tolist(), strict=True)
    )
    for name, text in pages.items():
        own = shingles(text)
        slow = max((len(own & shingles(h)) / min(len(own), len(shingles(h))) if own else 0.0) for h in held)
        assert found[name] == pytest.approx(slow), name
    related = {name for name, share in found.items() if share >= ablation_corpus.MOST_SHARED}
    assert related == {"copy", "excerpt", "quoted in full", "edited"}
    assert ablation_corpus.most_shared(_column([]), _column(["a b c d e f"])).tolist() == [0.0]


def _sources(lang: str, rng: random.Random) -> dict[str, list[bytes]]:
    """Made-up files: long pages, short comments, and each reference once more, word for word or nearly."""

    def page() -> bytes:
        return "\n".join(" ".join(_words(rng, 25)) for _ in range(8)).encode()

    found = {stem: [page() for _ in range(40)] for stem in ablation_corpus.PAGES[lang]}
    for stem in ablation_corpus.REFERENCES[lang]:
        again = [text.replace(b"a", b"A") for text in found[stem]] + [text[:900] for text in found[stem]]
        found[ablation_corpus.PAGES[lang][0]] += again
    for stem in ablation_corpus.COMMENTS[lang]:
        found[stem] = [" ".join(_words(rng, 12)).encode() for _ in range(60)]
    return found


def test_a_crawl_is_what_it_says_and_shares_nothing_with_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    files = _sources("en", random.Random(2))
    monkeypatch.setattr(
        ablation_corpus,
        "read_texts",
        lambda data, stem, lang, low, high: [t for t in files[stem] if low <= len(t) <= high],
    )
    size = 300_000
    first, second = (
        ablation_corpus.make_language(Path(), "en", size, 20_000, np.random.default_rng(4)) for _ in range(2)
    )
    assert first == second
    held = [shingles(text.decode()) for text in first.reference]
    for text in first.pages:
        own = shingles(text.decode())
        assert all(len(own & other) < ablation_corpus.MOST_SHARED * min(len(own), len(other)) for other in held)
    facts = first.facts
    assert facts["relatives_excluded"] >= 2 * len(held) and facts["most_shared"] < ablation_corpus.MOST_SHARED
    assert facts["raw_bytes"] == sum(map(len, first.pages)) == pytest.approx(size, rel=0.1)
    assert facts["pages_bytes"] == pytest.approx(ablation_corpus.SHARES["pages"] * size, rel=0.1)
    copies = len(first.pages) - len(set(first.pages))
    assert copies >= 0.9 * facts["exact_copies"] and sum(ablation_corpus.SHARES.values()) == pytest.approx(1)
    assert 0.02 < np.mean(first.junk) < 0.5


def test_too_little_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="too little"):
        ablation_corpus.make(tmp_path, 1.0, 1000, 1, tmp_path)


def test_corpus_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are unique, kinds are told, and the reference has the shape of published shards."""
    files = {lang: _sources(lang, random.Random(3)) for lang in ("en", "zh")}
    monkeypatch.setattr(
        ablation_corpus,
        "read_texts",
        lambda data, stem, lang, low, high: [t for t in files[lang][stem] if low <= len(t) <= high],
    )
    ablation_corpus.make(tmp_path, 0.4, 10_000, 1)
    rows = [row for path in sorted((tmp_path / "input").glob("*")) for row in pq.read_table(path).to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows) and {row["source"] for row in rows} == {"page", "junk"}
    reference = pq.read_table(tmp_path / "reference" / "shards" / "zh" / "zh.parquet", partitioning=None)
    assert reference.column_names == ["doc_id", "text", "split"] and set(reference["split"].to_pylist()) == {"train"}


def test_spread() -> None:
    found = Spread.of([3.0, 1.0, 2.0])
    assert (found.mean, found.deviation, found.low, found.high) == (2.0, 1.0, 1.0, 3.0)
    assert Spread.of([4.0]) == Spread(4.0, 0.0, 4.0, 4.0)
    assert Spread.of([4.0]).against(Spread.of([5.0])) == "one seed only"
    assert Spread.of([0.5, 0.9]).against(found) == "lower"
    assert Spread.of([3.5, 3.1]).against(found) == "higher"
    assert Spread.of([0.5, 1.0]).against(found) == "within the spread"


def test_table() -> None:
    """Each arm once a language, its difference to the one before, BaichuanSEED's figures where it has the arm."""
    text = {"documents": 10, "tokens": 1000, "epochs": 0.5, "junk": 0.1}
    losses = {
        "none": [5.0, 5.2],
        "document": [4.8, 4.9],
        "multi-level": [4.7, 4.85],
        "filtered": [4.9, 4.95],
        "scored": [4.5, 4.6],
    }
    arms = {
        name: {
            "losses": [{lang: {"nats": v, "bits": v / 2} for lang in ("en", "zh")} for v in values],
            "text": {"en": text, "zh": text},
            "pipeline_cpu_seconds": 3.0,
            "training_cpu_seconds": 4.0,
        }
        for name, values in losses.items()
    }
    machine = {
        "cores": 2,
        "processor": "x",
        "memory_gib": 1,
        "python": "3",
        "pyspark": "4",
        "date": "d",
        "commit": "c",
        "changed_files": 0,
        "load": 0.0,
    }
    facts = {"raw_bytes": 5e5, "documents": 9, "reference_documents": 2, "reference_bytes": 99, "most_shared": 0.1}
    body = {
        "machine": machine,
        "size": {"seeds": Size().seeds},
        "corpus": {"en": facts, "zh": facts},
        "tokens_trained": 1,
        "seconds": 1.0,
        "arms": arms,
    }
    rows = [line for line in as_markdown(body).splitlines() if line.startswith(("| none", "| doc", "| sc", "| filt"))]
    assert len(rows) == 4 * 3
    assert any("4.850 ± 0.071" in row and "-0.250 ± 0.071, lower" in row and "3.083" in row for row in rows)
    assert any(row.startswith("| filtered") and "+0.150 ± 0.071, higher" in row for row in rows)
