"""`embed`, `semantic_clusters` and their part in `near_dedup`: brute force over real texts of both languages.

The copies by meaning are texts whose words (characters) have been shuffled: to MinHash they share nothing, to a mean of
token vectors they are one.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from corpus.files import manifest_path
from corpus.ids import first_id
from dedup.embed import STATIC, Windows, encode_documents, find_model, open_encoder
from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster
from tamis.errors import ConfigError, TamisError
from tests.engine.run_reader import RunReader
from tests.oracles.text import jaccard
from tests.support.corpora import Corpus, Document, texts
from text.arrow import TextColumn

pytestmark = pytest.mark.spark
pytest.importorskip("faiss", reason="needs the `faiss` extra")
pytest.importorskip("static_model", reason="needs the package that carries the static table")

LEAST = 0.97
SIZE = 40
"""Texts a language."""
COPIED = 10
WHOLE = {"window_bytes": 1 << 20, "max_windows": 1}
"""One window a document, so that a shuffled copy has the same vector."""


def shuffled(text: str, lang: str, seed: int) -> str:
    """The same words (characters) in another order."""
    words = text.split() if lang == "en" else list(text)
    random.Random(seed).shuffle(words)
    return (" " if lang == "en" else "").join(words)


def by_clauses(text: str, seed: int) -> str:
    """Chinese with its clauses in another order: of short ones few 5-grams stay."""
    clauses = text.replace("。", "，").split("，")
    random.Random(seed).shuffle(clauses)
    return "，".join(clauses)


def first_snapshot() -> Corpus:
    """Texts, shuffled copies of some, an empty-handed one without a token, and a text of one word."""
    made = []
    for lang in ("en", "zh"):
        for number, text in enumerate(texts(lang)[:SIZE]):
            made.append(Document(f"{lang}-{number}", text, lang, lang, "text"))
            if number < COPIED:
                other = shuffled(text, lang, number) if lang == "en" else by_clauses(text, number)
                made.append(Document(f"{lang}-{number}-copy", other, lang, lang, "copy"))
    made.append(Document("marks", "!!! --- ???", "en", "en", "text"))
    made.append(Document("word", "one", "en", "en", "text"))
    return Corpus(made)


def second_snapshot() -> Corpus:
    """Shuffled copies of texts of the first, and new texts."""
    made = []
    for number, text in enumerate(texts("en")[: SIZE + 20]):
        if COPIED <= number < 2 * COPIED:
            made.append(Document(f"later-{number}", shuffled(text, "en", number), "en", "en", "copy"))
        elif number >= SIZE:
            made.append(Document(f"new-{number}", text, "en", "en", "text"))
    return Corpus(made)


def execute(
    folder: Path,
    corpus: Corpus,
    cluster: Cluster,
    against: Path | None = None,
    snapshot: int = 0,
    without: tuple[str, ...] = (),
    **changes: Any,
) -> RunReader:
    """Runs into `folder/run`; `changes` are settings of the stages, `without` names some to leave out."""
    folder.mkdir(parents=True, exist_ok=True)
    stages: dict[str, dict[str, Any]] = {
        "eligibility": {},
        "exact_dedup": {},
        "embed": WHOLE,
        "semantic_clusters": {"target_cell_documents": 16, "threshold": LEAST, "device": "cpu"},
        "near_dedup": {},
        "score": {},
    }
    for name, settings in changes.items():
        stages[name] = {**stages.get(name, {}), **settings}
    stages = {name: block for name, block in stages.items() if name not in without}
    body = {
        "name": "meaning",
        "snapshot": snapshot,
        "ingest": {"target_shard_bytes": 60_000},
        "stages": stages,
        "inputs": [{"domain": d, "paths": [g]} for d, g in corpus.write(folder / "raw").items()],
        "write_shards": {"heldout_fraction": 0.0},
        "weights": {"default": {"cluster": {"temperature": 0.5}, "density": [[0.0, 2.0], [1.0, 0.5]], "cap": 64}},
    }
    path = folder / "meaning.yaml"
    path.write_text(yaml.safe_dump(body, sort_keys=False), "utf-8")
    Runner(load_pipeline(path), folder / "run", cluster, folder, against=against).run()
    return RunReader(folder / "run")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> RunReader:
    return execute(tmp_path_factory.mktemp("meaning"), first_snapshot(), cluster)


@pytest.fixture(scope="module")
def later(found: RunReader, tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> RunReader:
    return execute(tmp_path_factory.mktemp("later"), second_snapshot(), cluster, found.root, 1)


def vectors_of(run: RunReader) -> dict[int, np.ndarray[Any, Any]]:
    """Id → unit vector as it was stored."""
    rows = {row["doc_id"]: np.array(row["embedding"], np.float32) for row in run.evidence("embed")}
    return {i: v / np.linalg.norm(v) for i, v in rows.items() if v.any()}


def test_vectors_are_those_of_the_stored_texts(found: RunReader, tmp_path: Path) -> None:
    rows = {row["doc_id"]: row["embedding"] for row in found.evidence("embed")}
    assert set(rows) == set(found.before("embed"))
    encoder = open_encoder(STATIC, find_model(STATIC, tmp_path, tmp_path / "table"))
    ids = sorted(rows)
    column = TextColumn.from_texts([found.documents[i]["text"] for i in ids])
    expected, broken = encode_documents(column, encoder, Windows(1 << 20, 1))
    assert broken == 0
    assert np.array_equal(np.array([rows[i] for i in ids], np.float16), expected.astype(np.float16))
    assert not np.any(rows[found.id_of["marks"]])
    manifest = found.run.evidence("embed")
    assert manifest is not None and manifest.body["artefacts"]["model"]
    metadata = pq.read_schema(manifest.paths("evidence")[0]).metadata
    assert metadata[b"tamis.embedding.model"] == b"static" and b"tokenlearn" in metadata[b"tamis.embedding.revision"]


def test_cells_edges_and_columns_equal_brute_force(found: RunReader) -> None:
    vectors = vectors_of(found)
    facts = found.chain["semantic_clusters"].body["facts"]
    centroids = np.load(found.root / facts["centroids"] / "centroids.npy").astype(np.float64)
    columns = found.columns("semantic_clusters")
    assert set(columns) == set(vectors) and facts["without_vector"] == 1
    cosines = {i: centroids @ v.astype(np.float64) for i, v in vectors.items()}
    cell = {i: int(np.argmax(c)) for i, c in cosines.items()}
    assert {i: row["cluster_id"] for i, row in columns.items()} == cell
    sizes = Counter(cell.values())
    pairs = {}
    for i, row in columns.items():
        others = [j for j in vectors if j != i and cell[j] == cell[i]]
        near = sorted((float(vectors[i].astype(np.float64) @ vectors[j]) for j in others), reverse=True)
        assert row["cluster_size"] == sizes[cell[i]]
        assert row["centroid_distance"] == pytest.approx(1 - float(cosines[i].max()), abs=2e-4)
        assert (row["nearest_similarity"] is None) == (not near)
        if near:
            assert row["nearest_similarity"] == pytest.approx(near[0], abs=2e-4)
            assert row["density"] == pytest.approx(np.mean(near[:8]), abs=2e-4)
        for j in others:
            cosine = float(vectors[i].astype(np.float64) @ vectors[j])
            if i < j and cosine >= LEAST:
                pairs[i, j] = cosine
    edges = found.table(found.chain["semantic_clusters"], "edges")
    assert {(row["doc_id"], row["other"]) for row in edges} == set(pairs)
    assert all(row["similarity"] == pytest.approx(pairs[row["doc_id"], row["other"]], abs=1e-4) for row in edges)
    cells = found.table(found.chain["semantic_clusters"], "cells")
    assert {row["cluster_id"]: row["cluster_size"] for row in cells} == sizes
    for row in cells:
        members = [i for i in cell if cell[i] == row["cluster_id"]]
        assert row["doc_id"] in members and row["new_documents"] == len(members)


def test_what_means_the_same_goes_with_a_reason_of_its_own(found: RunReader) -> None:
    drops = found.drops("near_dedup")
    by_name = {found.name(i): row for i, row in drops.items()}
    joined = {frozenset((f"{lang}-{n}", f"{lang}-{n}-copy")) for lang in ("en", "zh") for n in range(COPIED)}
    gone = {frozenset((name, found.name(row["survivor"]))) for name, row in by_name.items()}
    assert joined <= gone
    for doc_id, row in drops.items():
        similarity = jaccard(*(found.documents[i]["text"] for i in (doc_id, row["survivor"])))
        if row["reason"] == "semantic_duplicate":
            assert row["similarity"] >= LEAST and similarity < 0.75
        else:
            assert row["reason"] == "near_duplicate" and row["similarity"] == pytest.approx(similarity, abs=1e-6)
    assert Counter(row["reason"] for row in drops.values())["semantic_duplicate"] >= 2 * COPIED - 2
    ledger = json.loads((found.root / "ledger.json").read_text("utf-8"))
    (stage,) = [s for s in ledger["stages"] if s["name"] == "near_dedup"]
    assert stage["documents_dropped"] == Counter(row["reason"] for row in drops.values())
    columns = found.columns("near_dedup")
    for name, row in by_name.items():
        assert columns[found.id_of[name]]["component_size"] >= 2
        assert columns[row["survivor"]]["near_copies"] >= 1


def test_the_columns_are_published_and_steer_the_weight(found: RunReader) -> None:
    rows = found.published()
    sizes = {r["doc_id"]: r for r in found.columns("semantic_clusters").values()}
    weights = f"weights/{found.run.state()['weights']}"
    weight = {
        row["doc_id"]: row["weight"]
        for path in (found.root / weights).rglob("*.parquet")
        for row in pq.read_table(path, partitioning=None).to_pylist()
    }
    cells = Counter(r["cluster_id"] for r in sizes.values())
    scale = sum(cells.values()) / sum(n**0.5 for n in cells.values())
    for row in rows:
        if row["source_id"] == "marks":
            assert row["cluster_id"] is None and weight[row["doc_id"]] == pytest.approx(1)
            continue
        assert row["cluster_size"] == sizes[row["doc_id"]]["cluster_size"]
        balance = min(4.0, row["cluster_size"] ** -0.5 * scale)
        density = np.interp(max(0.0, row["density"]), [0, 1], [2, 0.5]) if row["density"] is not None else 1.0
        assert weight[row["doc_id"]] == pytest.approx(balance * density, rel=1e-4)


def test_another_threshold_embeds_and_trains_nothing_anew(found: RunReader, cluster: Cluster) -> None:
    before = {p: p.stat().st_mtime_ns for p in (found.root / "models").rglob("*") if p.is_file()}
    evidence = found.run.evidence("embed")
    assert evidence is not None
    again = execute(
        found.root.parent,
        first_snapshot(),
        cluster,
        semantic_clusters={"threshold": 1.0},
        near_dedup={"semantic": False},
    )
    assert again.chain["semantic_clusters"].folder != found.chain["semantic_clusters"].folder
    embedded = RunReader(again.root).run.evidence("embed")
    assert embedded is not None and embedded.folder == evidence.folder
    assert before == {p: p.stat().st_mtime_ns for p in (found.root / "models").rglob("*") if p.is_file()}
    assert {row["reason"] for row in again.drops("near_dedup").values()} <= {"near_duplicate"}
    execute(found.root.parent, first_snapshot(), cluster)


def weather() -> list[Document]:
    """Reports of one form, in no two of them the same numbers and place; and one of each language in other words."""
    made = []
    for n in range(30):
        low, high, wind = 1 + n, 41 + 2 * n, 101 + 3 * n
        town = ("Boston", "Denver", "Chicago", "Seattle", "Memphis")[n % 5]
        city = ("北京", "上海", "广州", "成都", "武汉")[n % 5]
        en = (
            f"The weather in {town} will be cloudy. We expect a high of {high} degrees and a low of {low}, while "
            f"a wind from the west blows at {wind} km/h. It clears up in the evening."
        )
        zh = f"{city}今天多云，最高气温{high}度，最低气温{low}度，西风风速{wind}米，傍晚转晴，出门请注意保暖。"
        made += [Document(f"en-{n}", en, "en", "en", "text"), Document(f"zh-{n}", zh, "zh", "zh", "text")]
    en = (
        "It clears up in the evening. A wind from the west blows at 101 km/h, while we expect a low of 1 degrees and a "
        "high of 41. The weather will be cloudy in Boston."
    )
    zh = "出门请注意保暖，傍晚转晴，西风风速101米，今天北京多云，气温最低1度，气温最高41度。"
    return [*made, Document("en-same", en, "en", "en", "copy"), Document("zh-same", zh, "zh", "zh", "copy")]


@pytest.mark.parametrize("in_memory", [True, False])
def test_texts_of_one_form_that_state_other_facts_stay(cluster: Cluster, tmp_path: Path, in_memory: bool) -> None:
    corpus, least = Corpus(weather()), {"threshold": 0.9}
    edges: dict[str, int] = {} if in_memory else {"max_edges_in_memory": 0}
    made = execute(tmp_path, corpus, cluster, near_dedup=edges, semantic_clusters=least)
    meant = {
        frozenset((made.name(i), made.name(row["survivor"])))
        for i, row in made.drops("near_dedup").items()
        if row["reason"] == "semantic_duplicate"
    }
    assert meant == {frozenset(("en-0", "en-same")), frozenset(("zh-0", "zh-same"))}
    facts = made.chain["near_dedup"].body["facts"]
    unlike = made.table(made.chain["near_dedup"], "disagreements")
    assert facts["edges_without_agreement"] == len(unlike) > 100
    assert all(row["similarity"] >= 0.9 for row in unlike)
    if in_memory:
        ignored = execute(tmp_path, corpus, cluster, near_dedup={"facts": "ignore"}, semantic_clusters=least)
        reasons = Counter(row["reason"] for row in ignored.drops("near_dedup").values())
        assert reasons["semantic_duplicate"] > 40
        assert ignored.chain["near_dedup"].body["facts"]["edges_without_agreement"] == 0


def test_semdedup_keeps_the_furthest_from_the_centroid(cluster: Cluster, tmp_path: Path) -> None:
    made = execute(
        tmp_path,
        first_snapshot(),
        cluster,
        near_dedup={"keep": "furthest_from_centroid"},
        semantic_clusters={"threshold": 0.9},
    )
    distance = {i: row["centroid_distance"] for i, row in made.columns("semantic_clusters").items()}
    drops = made.drops("near_dedup")
    assert any(distance[row["survivor"]] > distance[i] for i, row in drops.items())
    assert all(distance[row["survivor"]] >= distance[i] for i, row in drops.items())


def test_a_later_snapshot_goes_to_the_cells_of_the_first(found: RunReader, later: RunReader) -> None:
    facts = {run.root: run.chain["semantic_clusters"].body["facts"] for run in (found, later)}
    first, second = (np.load(root / f["centroids"] / "centroids.npy") for root, f in facts.items())
    assert np.array_equal(first, second)
    drift = facts[later.root]["drift"]
    assert drift["mean_before"] == facts[found.root]["distance"]["mean"]
    distances = np.array([row["centroid_distance"] for row in later.columns("semantic_clusters").values()])
    assert drift["mean"] == pytest.approx(distances.mean(), abs=1e-5)
    assert drift["share_beyond_p99"] == pytest.approx((distances >= drift["p99_before"]).mean(), abs=1e-6)
    drops = {later.name(i): row for i, row in later.drops("near_dedup").items()}
    assert {f"later-{n}" for n in range(COPIED, 2 * COPIED)} <= set(drops)
    for number in range(COPIED, 2 * COPIED):
        row = drops[f"later-{number}"]
        assert row["reason"] == "semantic_duplicate" and row["survivor"] < first_id(1, 0)
        assert found.name(row["survivor"]) == f"en-{number}"
    assert all(i >= first_id(1, 0) for i in later.columns("semantic_clusters"))


def test_the_command_line_and_the_report_show_cells(found: RunReader, later: RunReader, tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["clusters", str(found.root), "--semantic", "--top", "3", "--format", "json"])
    result = json.loads(shown.stdout)
    sizes = [c["size"] for c in result["clusters"]]
    assert len(sizes) == 3 and sizes == sorted(sizes, reverse=True)
    cell = result["clusters"][0]
    members = [r for r in found.columns("semantic_clusters").values() if r["cluster_id"] == cell["id"]]
    assert cell["size"] == len(members) == sum(cell["domains"].values())
    assert cell["terms"] and all(e["text"] for e in cell["examples"])
    text = CliRunner().invoke(app, ["clusters", str(later.root), "--semantic"], env={"COLUMNS": "200"}).stdout
    assert "Drift from the snapshot before" in text
    out = tmp_path / "report.html"
    assert CliRunner().invoke(app, ["report", str(found.root), "--out", str(out)]).exit_code == 0
    page = out.read_text("utf-8")
    assert "A map of" in page and "documents in the cell" in page


WRONG = {
    "no embed": ({"order": ["semantic_clusters"]}, "semantic_clusters without embed; expected embed before it"),
    "no cells": ({"order": ["furthest"]}, "near_dedup without semantic_clusters; expected semantic_clusters before it"),
    "no threshold": ({"embed": {"model": "some/model"}}, "install the `embed` extra|hub did not give it"),
    "no model": ({"embed": {"model": " "}}, "expected the name of a model"),
    "no such device": ({"semantic_clusters": {"device": "tpu"}}, "device"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(case: str, cluster: Cluster, tmp_path: Path) -> None:
    changes, says = WRONG[case]
    if "order" in changes:
        wrong = {"semantic_clusters": "semantic_clusters: {}", "furthest": "near_dedup: {keep: furthest_from_centroid}"}
        (tmp_path / "p.yaml").write_text(f"stages: {{{wrong[changes['order'][0]]}, embed: {{}}}}", "utf-8")
        with pytest.raises(ConfigError, match=says):
            load_pipeline(tmp_path / "p.yaml")
        return
    with pytest.raises(TamisError, match=says) as told:
        execute(tmp_path, first_snapshot(), cluster, **changes)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)


def test_centroids_of_another_model_are_refused(found: RunReader, cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "centroids.npy", np.eye(8, dtype=np.float32))
    (tmp_path / "other" / "facts.json").write_text("{}", "utf-8")
    with pytest.raises(ConfigError, match="8 dimensions and the embeddings 64"):
        execute(tmp_path, first_snapshot(), cluster, semantic_clusters={"centroids": str(tmp_path / "other")})
    with pytest.raises(ConfigError, match="centroids: found .*nowhere; expected a folder with centroids"):
        execute(tmp_path, first_snapshot(), cluster, semantic_clusters={"centroids": str(tmp_path / "nowhere")})
    taken = found.root / found.chain["semantic_clusters"].body["facts"]["centroids"]
    made = execute(tmp_path, first_snapshot(), cluster, semantic_clusters={"centroids": str(taken)})
    same = {i: row["cluster_id"] for i, row in found.columns("semantic_clusters").items()}
    assert {i: row["cluster_id"] for i, row in made.columns("semantic_clusters").items()} == same


def test_an_earlier_snapshot_of_another_kind_is_refused(found: RunReader, cluster: Cluster, tmp_path: Path) -> None:
    """Other windows, another model of that name, no cells: each is one sentence before anything is compared."""
    with pytest.raises(ConfigError, match=r"--against: found stages.embed .* window_bytes 1048576 \(here 2048\)"):
        execute(tmp_path / "a", second_snapshot(), cluster, found.root, 1, embed={"window_bytes": 2048})
    plain = execute(tmp_path / "b", second_snapshot(), cluster, without=("semantic_clusters",))
    with pytest.raises(ConfigError, match="without the stage semantic_clusters"):
        execute(tmp_path / "c", first_snapshot(), cluster, plain.root, 1)
    other = tmp_path / "d" / "first"
    shutil.copytree(found.root, other)
    evidence = RunReader(other).run.evidence("embed")
    assert evidence is not None
    manifest = manifest_path(evidence.folder)
    body = json.loads(manifest.read_text("utf-8"))
    manifest.write_text(json.dumps({**body, "artefacts": {"model": "0123456789abcdef"}}), "utf-8")
    with pytest.raises(TamisError, match="was embedded by another model of that name .digest 0123456789abcdef"):
        execute(tmp_path / "e", second_snapshot(), cluster, other, 1)
