"""What a user gets for a mistake or a damaged disk: one sentence, no trace, no Java."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from cli.main import main
from pipelines.spark.session import Cluster
from tamis.errors import TamisError
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute

GOOD = {"name": "test", "stages": {"eligibility": {}, "exact_dedup": {}, "near_dedup": {}, "score": {}}}

CASES = {
    "no file": ("missing.yaml", [], "there is no such file"),
    "not YAML": ("{", [], "cannot be read as YAML"),
    "unknown stage": ({"stages": {"near_dedupe": {}}}, [], "near_dedup"),
    "unknown setting": ({"stages": {"near_dedup": {"treshold": 0.8}}}, [], "did you mean 'threshold'"),
    "value out of range": (GOOD, ["--set", "near_dedup.threshold=1.5"], "near_dedup.threshold"),
    "bands that cannot reach the recall": (GOOD, ["--set", "near_dedup.bands=2"], "use more bands"),
    "setting of a stage that is not there": (
        GOOD,
        ["--set", "language.min_score=0.5"],
        "found 'language', which the pipeline does not have",
    ),
    "evidence overridden in a domain": (
        {**GOOD, "domains": {"web": {"near_dedup": {"num_perm": 256}}}},
        [],
        "the same for all domains",
    ),
    "skip of no stage": ({**GOOD, "domains": {"web": {"skip": ["span_dedup"]}}}, [], "unknown key 'span_dedup'"),
    "no inputs": (GOOD, None, "inputs: found none"),
    "input without a domain": (GOOD, ["--input", "raw/*.jsonl"], "expected DOMAIN=GLOB"),
    "glob that matches nothing": (GOOD, ["--input", "web=nothing/*.jsonl"], "nothing/*.jsonl"),
    "stop behind no stage": (GOOD, ["--until", "span_dedup"], "--until: found 'span_dedup' for pipeline"),
    "setting of Spark without a value": (GOOD, ["--spark", "spark.master"], "expected key=value"),
    "both a model and no training": ({"stages": {"sentence_quality": {}}}, [], "trained model"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_answered_in_one_sentence_that_names_it(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, options, expected = CASES[case]
    pipeline = tmp_path / "test.yaml"
    raw = tmp_path / "raw" / "a.jsonl"
    raw.parent.mkdir()
    raw.write_text('{"id": "a", "text": "one"}\n', "utf-8")
    if content == "missing.yaml":
        pipeline = tmp_path / content
    else:
        pipeline.write_text(content if isinstance(content, str) else yaml.safe_dump(content), "utf-8")
    inputs = [] if options is None or "--input" in options else ["--input", f"web={raw}"]
    arguments = ["tamis", "run", str(pipeline), "--out", str(tmp_path / "run"), *inputs, *(options or [])]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAMIS_DEBUG", raising=False)
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tamis: ")]
    assert stopped.value.code == 2
    assert len(said) == 1 and expected in said[0]


@pytest.mark.spark
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "eligibility.url_lists=[nowhere.txt]",
            "stages.eligibility.url_lists: found 'nowhere.txt'; expected files that exist",
        ),
        ("near_dedup.bands=60", "num_perm: found 128; expected at least 360, which 60 bands of 6 rows need"),
        ("sentence_quality.training.references=[]", "sentence_quality"),
    ],
)
def test_a_mistake_that_only_the_running_stage_can_see_is_one_sentence_too(
    finished: RunReader, small_inputs: Path, cluster: Cluster, tmp_path: Path, setting: str, expected: str
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.root, out)
    with pytest.raises(TamisError) as error:
        execute(small_inputs, out, cluster, [setting])
    assert expected in str(error.value) and "\n" not in str(error.value)


@pytest.mark.spark
def test_a_damaged_shard_reaches_the_user_as_one_sentence_without_a_java_stack(
    finished: RunReader, small_inputs: Path, cluster: Cluster, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.root, out)
    shard = RunReader(out).run.shards[1].path
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TamisError) as error:
        execute(small_inputs, out, cluster, ["language.sample_bytes=100"])
    said = str(error.value)
    assert "language: scan" in said
    assert "\n" not in said and len(said) < 500
    assert not any(word in said for word in ("org.apache", "java.", "Caused by", "Traceback", "py4j"))


@pytest.mark.spark
def test_when_the_shard_is_whole_again_the_run_goes_on_from_the_scans_that_succeeded(
    finished: RunReader, small_inputs: Path, cluster: Cluster, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.root, out)
    shard = RunReader(out).run.shards[-1].path
    whole = shard.read_bytes()
    shard.write_bytes(b"")
    with pytest.raises(TamisError):
        execute(small_inputs, out, cluster, ["language.sample_bytes=100"], until="language")
    receipts = list((out / "stages" / "language" / "evidence").glob("*/receipts/*.json"))
    done = {f["path"] for receipt in receipts for f in json.loads(receipt.read_text("utf-8"))["files"]}
    shard.write_bytes(whole)
    again = execute(small_inputs, out, cluster, ["language.sample_bytes=100"], until="language")
    evidence = again.run.evidence("language")
    assert evidence is not None
    assert done and done < {f.path for f in evidence.files}
