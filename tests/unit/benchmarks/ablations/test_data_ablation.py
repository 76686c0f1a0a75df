"""The data ablation without Spark: what each arm holds, that held-out text stays apart, what is trained, a picture."""

from __future__ import annotations

import fcntl
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.tools.ablation import arm_files, arm_texts, held_out
from benchmarks.tools.ablation import reading_arms as arms
from benchmarks.tools.ablation.loss_picture import COLOURS, draw_svg, write_html
from benchmarks.tools.ablation.reading_arms import ARMS, DEDUPLICATED, FILTERED, FULL, RAW, SCORED, Source
from corpus.config import load_yaml
from corpus.files import read_json, write_json
from sampler.bins.format import TokenBins
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT
from tests.support import runs, sampler_run
from tests.support.runs import HOSTILE, KEPT_TEXT, S

pytest.importorskip("torch")

from benchmarks.ablations import data_ablation  # noqa: E402
from benchmarks.tools.ablation import trials  # noqa: E402

LAW = "A law. " * 3
FILTERED_TEXT = KEPT_TEXT.replace("点击关注我们！", "").replace("bob@example.org", "<EMAIL>")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """The run of `tests.support.runs`, its two domains taken for languages."""
    return Source(runs.write_run(tmp_path / "run"), ("web", "law"))


def texts(source: Source, arm: arms.Arm) -> dict[int, str]:
    """Id → text of an arm."""
    found = arm_texts.texts_of(source, arm)
    return dict(zip(found["doc_id"].to_pylist(), found["text"].to_pylist(), strict=True))


def test_each_arm_is_what_its_decisions_leave(source: Source) -> None:
    source.check()
    assert texts(source, RAW) == {
        0: KEPT_TEXT,
        1: KEPT_TEXT,
        2: "near one two three",
        3: "near one two four",
        4: LAW,
        S: LAW,
        S + 1: HOSTILE,
        S + 2: "seven",
        S + 3: LAW,
    }
    # 1 is a copy of 0 and read as its survivor; S was dropped by a rule of its own; S + 3 is a copy of 4.
    assert texts(source, FILTERED) == {
        0: FILTERED_TEXT,
        1: FILTERED_TEXT,
        2: "near one two three",
        3: "near one two four",
        4: LAW,
        S + 1: HOSTILE,
        S + 2: "seven",
        S + 3: LAW,
    }
    assert texts(source, DEDUPLICATED) == {
        0: FILTERED_TEXT,
        3: "near one two four",
        4: LAW,
        S + 1: HOSTILE,
        S + 2: "seven",
    }
    full = {0: FILTERED_TEXT.replace("\n\n版权所有，翻印必究。", ""), 4: LAW, S + 1: HOSTILE, S + 2: "seven"}
    assert texts(source, FULL) == texts(source, SCORED) == full


def test_a_copy_of_what_a_filter_dropped_goes_with_it() -> None:
    rows = {"doc_id": [3, 5, 8, 9], "text": ["a", "b", "c", "d"], "language": ["en"] * 4, "source": [None] * 4}
    found = arm_texts._with_copies(pa.table(rows, arms.TEXT), np.array([5, 7, 9]), np.array([4, 3, 3]))
    assert found["doc_id"].to_pylist() == [3, 8, 9] and found["text"].to_pylist() == ["a", "c", "a"]
    empty = arm_texts._with_copies(arms.TEXT.empty_table(), np.array([5]), np.array([4]))
    assert empty.num_rows == 0


def test_each_arm_takes_one_thing_more_than_the_one_before() -> None:
    for before, arm in zip(ARMS, ARMS[1:], strict=False):
        assert before.takes <= arm.takes
        assert len(arm.takes - before.takes) + (arm.scored - before.scored) == 1
    assert len({arm.name for arm in ARMS}) == 5 and {arm.name for arm in ARMS} == set(COLOURS)


def test_the_default_pipeline_has_the_order_that_arms_need() -> None:
    """What `Source.check` refuses of a run, the default pipeline does not do."""
    stages = list(load_yaml(trials.CONF / "pipelines" / "default.yaml")["stages"])
    assert set(arms.KINDS) <= set(stages) and stages.index("near_dedup") < stages.index("span_dedup")
    assert set(stages[stages.index("near_dedup") + 1 :]) <= set(arms.BEHIND_DEDUP)
    assert stages.index("exact_dedup") < stages.index("near_dedup")


def test_arms_that_are_not_the_run_are_refused(source: Source) -> None:
    path = source.root / "shards" / "web-0.parquet"
    table = pq.read_table(path)
    spoilt = table.set_column(table.column_names.index("text"), "text", pa.array(["other"] * table.num_rows))
    pq.write_table(spoilt.cast(table.schema), path)
    with pytest.raises(TamisError, match="do not give its published shards"):
        arm_texts.texts_of(source, FULL)


def test_runs_of_which_no_such_arms_can_be_made_are_refused(source: Source) -> None:
    state = read_json(source.root / "state.json")

    def refused(stages: list[Any], match: str) -> None:
        write_json(source.root / "state.json", {**state, "stages": stages})
        with pytest.raises(ConfigError, match=match):
            Source(source.root, source.languages).check()

    stages = {entry["stage"]: entry for entry in state["stages"]}
    refused([entry for name, entry in stages.items() if name != "span_dedup"], "without the stage span_dedup")
    late = ["exact_dedup", "near_dedup", "sentence_quality", "heuristic_filter", "span_dedup"]
    refused([stages[name] for name in late], "heuristic_filter, sentence_quality stands behind a dedup")
    refused([stages[name] for name in ("exact_dedup", "span_dedup", "near_dedup")], "near_dedup stands behind")
    write_json(source.root / "state.json", {"stages": state["stages"]})
    with pytest.raises(ConfigError, match="without weights"):
        Source(source.root, source.languages).check()


def _words(rng: random.Random, count: int) -> str:
    return " ".join("".join(rng.choices("abcdefghij", k=6)) for _ in range(count))


def _held(texts: list[str], languages: tuple[str, str] = ("web", "law")) -> pa.Table:
    """Two held-out texts."""
    return pa.table({"doc_id": [0, 1], "text": texts, "language": languages, "source": [None, None]}, arms.TEXT)


def test_relatives_of_held_out_text_leave_every_arm(source: Source, tmp_path: Path) -> None:
    """A copy of what is held out, and an excerpt: neither is in any arm, whatever the run has made of it."""
    given = _held([LAW, _words(random.Random(1), 90)])
    gone, most = held_out.relatives(source, given)
    assert gone.tolist() == [4, S, S + 3] and most < 0.2
    facts = arm_files.write_arms(source, given, tmp_path / "arms", chosen=False)
    assert facts["excluded"] == 3 and facts["heldout"]["web"] == {"documents": 1, "bytes": len(LAW)}
    for arm in ARMS:
        folder = tmp_path / "arms" / arm.folder
        rows = [row for path in sorted(folder.glob("shards/*/*")) for row in pq.read_table(path).to_pylist()]
        assert LAW not in {row["text"] for row in rows} and {row["split"] for row in rows} == {"train"}
        assert 0 in {row["doc_id"] for row in rows}  # ids of given text are not the run's
        kept = {row["doc_id"] for row in rows}
        assert kept == set(texts(source, arm)) - {4, S, S + 3}
    assert facts["arms"]["raw"]["web"]["documents"] == 4 and "scored" not in facts["arms"]


def test_held_out_text_is_of_documents_that_nothing_resembles(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="without the column token_count"):
        arm_texts.read_published(source.root, ["doc_id", "token_count"])
    published = arm_texts.read_published(source.root, ["doc_id", "bytes"])
    ids = published["doc_id"].to_pylist()
    assert ids == [0, 4, S + 1, S + 2]
    for name in held_out.ALONE:
        count = {("component_size", S + 1): 2}
        published = published.append_column(name, pa.array([count.get((name, i), 1) for i in ids], pa.int32()))
    monkeypatch.setattr(held_out, "read_published", lambda root, columns: published.select(columns))
    monkeypatch.setattr(arm_texts, "_require_published", lambda root, found: None)
    # 0 has a copy, 1, and 4 has S and S + 3: of what the columns call alone, what is ingested twice is not chosen.
    assert held_out.choose_held_out(source, 10_000, 1)["doc_id"].to_pylist() == [S + 2]
    gone, _ = held_out.relatives(source, held_out.choose_held_out(source, 10_000, 1))
    assert gone.tolist() == [S + 2]


def test_weights_lie_beside_the_full_arm(source: Source, tmp_path: Path) -> None:
    held = _held(["x y z", "u v w"])
    arm_files.write_arms(source, held, tmp_path / "arms", chosen=False)
    folder = tmp_path / "arms" / FULL.name
    for path in sorted(folder.glob("shards/*/*")):
        ids = pq.read_table(path, partitioning=None)["doc_id"].to_numpy()
        name = f"{path.parent.name}/{path.stem}"
        assert arm_files.weights_of(SCORED, folder).read(name, ids).tolist() == [1.5] * len(ids)
        assert arm_files.weights_of(FULL, folder).read(name, ids).tolist() == [1.0] * len(ids)
    with pytest.raises(ConfigError, match="found tok, in which raw has no text"):
        arm_files.write_arms(Source(source.root, ("tok",)), _held(["x", "y"], ("tok", "tok")), tmp_path, chosen=False)


def test_languages_are_detected_where_domains_are_not_named_by_them(source: Source) -> None:
    found = Source(source.root, ("en", "zh")).documents(frozenset())
    languages = dict(zip(found["doc_id"].to_pylist(), found["language"].to_pylist(), strict=True))
    assert languages[0] == languages[1] == "zh" and languages[2] == "en"


def test_repeated_share_counts_runs_of_five() -> None:
    tokens = np.array([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 9, 9, 9, 9, 9, 9, 9], np.uint16)
    index = sampler_run.bare_bin([len(tokens)]).index
    found = {}
    for name, part in (("en", tokens), ("short", tokens[:3])):
        shard = sampler_run.MemoryBin(f"{name}/0", index, part, name)
        found |= trials.repeated_share(TokenBins(tokenizer_digest="", vocab_size=16, eos_id=0, domains={name: [shard]}))
    grams = [tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)]
    assert found == {"en": pytest.approx(1 - len(set(grams)) / len(grams)), "short": 0.0}
    assert found["en"] > 0


@pytest.fixture
def small_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[trials.Trials, Path]:
    """A model that trains in a moment, on one arm in two languages."""
    folder = tmp_path / "arms"
    for arm in ("raw", "full"):
        sampler_run.write_run(folder / arm, heldout=False)
    sampler_run.write_run(folder / "heldout", count=12, heldout=False)
    for path in folder.glob("full/shards/*/*"):
        ids = pq.read_table(path, columns=["doc_id"], partitioning=None)["doc_id"]
        target = folder / "full" / "weights" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"doc_id": ids, "weight": pa.array([0.5 + i % 2 for i in range(len(ids))])}), target)
    monkeypatch.setattr(trials, "TOKENIZER", trials.TokenizerConfig(**sampler_run.SMALL))
    config = trials.tiny_model(3)
    model = config.model.model_copy(update={"width": 16, "layers": 1, "heads": 2})
    config = config.model_copy(update={"model": model, "global_batch": 2, "device": "cpu"})
    return trials.prepare_trials(folder / "raw", folder / "heldout", config, SILENT), folder


@pytest.mark.slow
def test_only_missing_trainings_are_made(
    small_trials: tuple[trials.Trials, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training is a file; what made it names it, so that none is taken for another's."""
    found, folder = small_trials
    results, every = tmp_path / "results", 2
    made = {arm.name: data_ablation.train_once(found, arm, folder, results, 1, every) for arm in (RAW, FULL, SCORED)}
    points = made["raw"]["points"]
    assert [p["tokens"] for p in points] == [512, 768]
    assert len(list(results.glob("*.json"))) == 2  # raw and full are the same text here, and so the same training
    assert set(points[-1]["losses"]) == {"en", "zh"}
    assert made["raw"]["points"] == made["full"]["points"] != made["scored"]["points"]
    monkeypatch.setattr(data_ablation, "train", lambda *_, **__: pytest.fail("was made before"))
    assert data_ablation.train_once(found, SCORED, folder, results, 1, every) == made["scored"]
    lock = next(results.glob("*.json")).with_suffix(".lock")
    with lock.open("w") as held:  # as another process does that is at it
        fcntl.flock(held, fcntl.LOCK_EX)
        both = [data_ablation.train_once(found, arm, folder, results, 1, every, wait=False) for arm in (RAW, SCORED)]
    assert sum(one is None for one in both) == 1

    def key(arm: arms.Arm, seed: int = 1, every: int = every) -> str:
        return data_ablation.training_key(found, arm, folder / arm.folder, seed, every)

    before = key(SCORED)
    assert len({key(FULL), before, key(FULL, seed=2), key(FULL, every=1)}) == 4
    path = next(folder.glob("full/weights/en/*"))
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "weight", pa.array([1.0] * table.num_rows)), path)
    assert key(SCORED) != before


def test_equal_parts_of_the_tokens_are_of_each_language(small_trials: tuple[trials.Trials, Path]) -> None:
    found, folder = small_trials
    stream = trials.open_stream(folder / "raw", found.bins(folder / "raw"), found.mixture)
    drawn = stream.epochs_needed(200)
    tokens = {lang: drawn[lang] * found.bins(folder / "raw").tokens[lang] for lang in drawn}
    assert tokens["en"] == pytest.approx(tokens["zh"], rel=0.02)


def test_a_unigram_model_counts_what_the_weights_draw(small_trials: tuple[trials.Trials, Path]) -> None:
    found, folder = small_trials
    plain = trials.unigram_losses(found, folder / "full", arm_files.weights_of(FULL, folder / "full"))
    scored = trials.unigram_losses(found, folder / "full", arm_files.weights_of(SCORED, folder / "full"))
    assert plain == trials.unigram_losses(found, folder / "raw", arm_files.weights_of(RAW, folder / "raw")) != scored
    for lang, loss in plain.items():
        read = [s.read(0, s.tokens).tolist() for s in found.bins(folder / "full").domains[lang]]
        counts = Counter(token for part in read for token in part)
        held = [t for s in found.reference_bins.domains[lang] for t in s.read(0, s.tokens).tolist()]
        total = sum(counts.values()) + found.tokenizer.vocab_size
        assert loss == pytest.approx(-sum(math.log((counts[t] + 1) / total) for t in held) / len(held))


def _body() -> dict[str, Any]:
    """Made-up losses: each arm 0.1 below the one before, seeds 0.02 apart."""
    text = {"documents": 10, "tokens": 1000, "epochs": 0.5, "junk": 0.1}
    found = {}
    for number, arm in enumerate(ARMS):
        trainings = []
        for seed in (1, 2, 3):
            ends = [6.0 - 0.1 * number + 0.02 * seed + fall for fall in (1.0, 0.0)]
            points = [
                {"tokens": t, "losses": {lang: {"nats": v, "bits": v / 2} for lang in ("en", "zh")}}
                for t, v in zip((100_000, 200_000), ends, strict=True)
            ]
            trainings.append({"seed": seed, "points": points, "seconds": 9.0, "cpu_seconds": 8.0})
        found[arm.name] = {
            "text": {lang: text for lang in ("en", "zh")},
            "repeated": {"en": 0.5, "zh": 0.25},
            "unigram": {"en": 7.125, "zh": 7.25},
            "trainings": trainings,
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
    held = {lang: {"documents": 2, "bytes": 99} for lang in ("en", "zh")}
    return {
        "machine": machine,
        "size": {"seeds": 3},
        "languages": ["en", "zh"],
        "tokens_trained": 200_000,
        "arms": found,
        "model": "tiny",
        "heldout": held,
        "held_out_of": "the run",
        "excluded": 1,
        "most_shared": 0.1,
    }


def test_table() -> None:
    lines = data_ablation.as_markdown(_body()).splitlines()
    rows = [line for line in lines if line.startswith(tuple(f"| {arm.name} |" for arm in ARMS))]
    assert len(rows) == 5 + 2 * 5
    header = next(line for line in lines if line.startswith("| arm | documents"))
    assert all(row.count("|") == header.count("|") for row in rows[:5]) and "50.0 % | 25.0 %" in rows[0]
    document = next(row for row in rows if row.startswith("| document | zh"))
    assert "5.840 ± 0.020" in document and "-0.100 ± 0.000, lower" in document and "-0.200 ± 0.000, lower" in document
    assert document.endswith("| 7.250 |")


def test_picture(tmp_path: Path) -> None:
    """A curve and a band an arm and language, a dot a seed; less loss lies lower, and further left at the end."""
    body = _body()
    data_ablation.draw(body, tmp_path)
    svg = (tmp_path / "loss.svg").read_text("utf-8")
    assert len(svg) < 60_000 and len((tmp_path / "loss.html").read_bytes()) > 100_000
    tree = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    lines = {(line.get("stroke"), i): line for i, line in enumerate(tree.iter(f"{space}polyline"))}
    assert len(lines) == 10 and len(list(tree.iter(f"{space}polygon"))) == 10
    ends = [float(line.get("points", "").split()[-1].split(",")[1]) for line in list(lines.values())[:5]]
    assert ends == sorted(ends) and len(set(ends)) == 5
    dots = [(float(d.get("cx", "")), d.get("fill")) for d in tree.iter(f"{space}circle")]
    assert len(dots) == 2 * 5 * 3
    means = [np.mean([x for x, fill in dots[:15] if fill == COLOURS[arm.name]]) for arm in ARMS]
    assert means == sorted(means, reverse=True)
    labels = {text.text for text in tree.iter(f"{space}text")}
    assert {"en", "zh", "raw", "scored", "200 k"} <= labels


def test_picture_of_one_seed_and_one_point(tmp_path: Path) -> None:
    alone = {"raw": [[{"tokens": 5, "losses": {"en": {"nats": 6.0}}}]]}
    assert ElementTree.fromstring(draw_svg(alone, ["en"])) is not None
    write_html(tmp_path / "loss.html", alone, ["en"])
    assert "<script" in (tmp_path / "loss.html").read_text("utf-8")
