"""A small run of the whole chain, and the inputs and pipeline that it is made from.

docs    English, planted          news    Chinese, planted       notes   both; Chinese goes to notes_zh by predicate
forum   first copies, all dropped by the domain's own rule       pages   the second copies, which are promoted
code    skips the text rules; some documents are on takedown lists
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from filters.heuristic.thresholds import CjkThresholds, OtherThresholds, SpacedThresholds
from filters.lines.thresholds import LineThresholds
from pipelines.run.config import PipelineConfig, load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster
from tests.conftest import REPOSITORY
from tests.engine.run_reader import RunReader
from tests.support.corpora import Corpus, Document, planted, texts, with_promotions

DEFAULT = REPOSITORY / "conf" / "pipelines" / "default.yaml"
NO_RULES = {
    "spaced": dict.fromkeys(SpacedThresholds.model_fields),
    "cjk": dict.fromkeys(CjkThresholds.model_fields),
    "other": dict.fromkeys(OtherThresholds.model_fields),
}
"""The heuristic filter with every rule switched off."""
NO_LINE_RULES = {
    name: False if field.annotation is bool else (1.0 if name == "max_cut_ratio" else None)
    for name, field in LineThresholds.model_fields.items()
}
"""The line filter with every rule switched off."""

SHARED_SPANS = 4


def write_references(folder: Path) -> list[dict[str, Any]]:
    """Small reference sets of both languages: what editors wrote, and the same corrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = []
    for lang in ("en", "zh"):
        path = folder / f"{lang}.txt"
        path.write_text("\n\n".join(" ".join(t.split()) for t in texts(lang)[:150]), "utf-8")
        common = {"lang": lang, "paths": [str(path)], "text_unit": "paragraph"}
        sets.append({"name": f"{lang}_good", "source": f"{lang}_edited", "label": "good", **common})
        sets.append({"name": f"{lang}_bad", "source": f"{lang}_corrupted", "label": "bad", "corrupt": True, **common})
    return sets


def write_pipeline(path: Path, inputs: Mapping[str, str | list[str]], **changes: Any) -> Path:
    """Writes a pipeline YAML that extends the default one: a small quality model, small shards, no rule about lines or
    documents.

    Args:
        path: the YAML.
        inputs: domain → glob, or files.
        changes: top-level keys that are set or, where they are mappings, merged into.
    """
    training = {
        "references": write_references(path.parent / "references"),
        "bucket": 4096,
        "min_count": 1,
        "lr": 0.5,
        "epoch": 10,
    }
    body: dict[str, Any] = {
        "extends": str(DEFAULT),
        "name": "test",
        "inputs": [
            {"domain": domain, "paths": [glob] if isinstance(glob, str) else glob, "keep": ["kind"]}
            for domain, glob in inputs.items()
        ],
        "ingest": {"target_shard_bytes": 40_000},
        "stages": {
            "line_filter": NO_LINE_RULES,
            "heuristic_filter": NO_RULES,
            "sentence_quality": {"training": training},
            "semantic_clusters": {"target_cell_documents": 40},
            "near_dedup": {"semantic": False},  # so that shingles alone say who is a near copy; test_meaning joins both
        },
        "write_shards": {"target_shard_bytes": 100_000, "heldout_fraction": 0.1},
    }
    path.write_text(yaml.safe_dump(_merged(body, changes), allow_unicode=True, sort_keys=False), "utf-8")
    return path


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in over.items():
        both[key] = _merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def span_documents() -> list[Document]:
    """Four documents about one span S.

    `owner` holds S first, but is made of paragraphs of `source` otherwise and dropped for it; so S goes to `heir`
    and is cut from `late`.
    """
    pool = list(texts("en")[-40:])
    paragraphs = [" ".join(text.split()[:60]) + "." for text in pool]
    shared, own = paragraphs[:SHARED_SPANS], paragraphs[SHARED_SPANS:]
    span = "The keeper of the second gate wrote down the names of all the boats that passed before the winter storm."
    made = {
        "owner-source": [*own[:4], *shared],
        "owner": [*shared, span],
        "heir": [*own[4:7], span],
        "late": [*own[7:10], span],
    }
    return [
        Document(f"span-{number}-{name}", "\n\n".join(body), "pages", "en", "span", url=None)
        for number, (name, body) in enumerate(made.items())
    ]


SPAN = "The keeper of the second gate"


def small_corpus() -> Corpus:
    """The documents of the module's docstring."""
    documents = [replace(d, domain="docs") for d in planted("en", 6)]
    documents += [replace(d, domain="news") for d in planted("zh", 6)]
    documents += [replace(d, domain="notes", name=f"note-{d.name}") for d in planted("zh", 3, seed=2)[:20]]
    documents += [replace(d, domain="notes", name=f"note-{d.name}") for d in planted("en", 3, seed=2)[:20]]
    documents += span_documents()
    for number, text in enumerate(texts("en")[-60:-45]):
        host = "taken-down.example.com" if number < 2 else "code.example.org"
        name = f"code-{number:02d}"
        documents.append(Document(name, text, "code", "en", "code", url=f"https://{host}/{name}/"))
    documents.append(Document("code-short", "return x", "code", "en", "code"))
    return with_promotions(Corpus(documents), 4, "forum", "pages")


def write_small_pipeline(folder: Path) -> Path:
    """Inputs, lists, references and the YAML."""
    inputs = small_corpus().write(folder / "raw", broken=True)
    (folder / "urls.txt").write_text(
        "# asked for in May\n||taken-down.example.com^\nhttp://code.example.org/code-05\n", "utf-8"
    )
    (folder / "ids.txt").write_text("code-07\nnobody\n", "utf-8")
    eligibility = {
        "url_lists": ["urls.txt"],
        "id_lists": ["ids.txt"],
        "assign": [{"domain": "notes_zh", "source_domains": ["notes"], "when": {"lang": "zh"}}],
    }
    defaults = {
        "spaced": SpacedThresholds(max_mean_word_chars=8).model_dump(),
        "cjk": CjkThresholds().model_dump(),
        "other": OtherThresholds().model_dump(),
    }
    return write_pipeline(
        folder / "small.yaml",
        inputs,
        stages={"eligibility": eligibility, "heuristic_filter": defaults, "sentence_quality": {"threshold": 0.1}},
        domains={
            "forum": {"heuristic_filter": {"spaced": {"min_words": 100_000}}},
            "pages": {"heuristic_filter": NO_RULES, "skip": ["sentence_quality"]},
            "notes_zh": {"sentence_quality": {"threshold": 0.0}},
            "news": {"heuristic_filter": {"cjk": {"min_text_chars": 80}}},  # not its profile's
        },
    )


def execute(
    pipeline: Path, out: Path, cluster: Cluster, settings: list[str] | None = None, **options: Any
) -> RunReader:
    """Runs a pipeline file in this process."""
    until = options.pop("until", None)
    config: PipelineConfig = load_pipeline(pipeline, settings=settings)
    Runner(config, out, cluster, pipeline.parent, **options).run(until)
    return RunReader(out)


@pytest.fixture(scope="session")
def small_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline YAML of the small run, its inputs beside it."""
    return write_small_pipeline(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def finished(small_inputs: Path, cluster: Cluster) -> RunReader:
    """The small run, finished. Do not write into it: copy it first."""
    return execute(small_inputs, small_inputs.parent / "run", cluster)
