"""What `tamis.run` makes of its arguments; the run itself is started by tests/e2e/test_examples.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corpus.reading.opened_run import Run
from pipelines.notebook.run import open_run, run
from tamis.progress import PlainProgress, Silent
from tests.support.runs import KEPT_TEXT, write_run


class NoSpark:
    """Stands for a cluster that is asked for nothing."""

    made: list[tuple[dict[str, str], Any]] = []
    stopped = 0

    def __init__(self, settings: dict[str, str], progress: Any) -> None:
        NoSpark.made.append((settings, progress))

    def stop(self) -> None:
        NoSpark.stopped += 1


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What runners were made of, in place of runs; the folder has a finished run."""
    calls: list[dict[str, Any]] = []

    class Runner:
        def __init__(self, config: Any, out: Path, cluster: Any, base: Path, against: Path | None) -> None:
            calls.append({"config": config, "out": out, "base": base, "against": against})

        def run(self, until: str | None) -> None:
            calls[-1]["until"] = until

    monkeypatch.setattr("pipelines.run.runner.Runner", Runner)
    monkeypatch.setattr("pipelines.spark.session.Cluster", NoSpark)
    monkeypatch.setattr("pyspark.SparkContext._active_spark_context", None)  # another test's
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "RUN")
    return calls


def test_arguments_are_those_of_the_command(ran: list[dict[str, Any]], tmp_path: Path) -> None:
    found = run(
        "dedup",
        "RUN",
        inputs={"web": "crawl/*.jsonl", "news": [Path("a.jsonl"), "/b.jsonl"]},
        settings={"near_dedup.threshold": 0.8, "near_dedup.false_reject": 1e-05, "snapshot": 3},
        against="EARLIER",
        until="near_dedup",
        spark={"spark.master": "local[1,4]"},
        progress=None,
    )
    call = ran[0]
    config = call["config"]
    assert [(i.domain, list(i.paths)) for i in config.inputs] == [
        ("web", [str(tmp_path / "crawl/*.jsonl")]),
        ("news", [str(tmp_path / "a.jsonl"), "/b.jsonl"]),
    ]
    decision = config.decisions("near_dedup")["default"]
    assert (decision["threshold"], decision["false_reject"], config.snapshot) == (0.8, 1e-05, 3)
    assert (call["out"], call["against"], call["until"]) == (Path("RUN"), Path("EARLIER"), "near_dedup")
    assert NoSpark.made[-1][0]["spark.master"] == "local[1,4]" and NoSpark.made[-1][1] is None and NoSpark.stopped
    assert isinstance(found, Run) and found.root == tmp_path / "RUN"


def test_a_pipeline_may_be_a_mapping_which_stays_as_it_is(ran: list[dict[str, Any]], tmp_path: Path) -> None:
    pipeline: dict[str, Any] = {"name": "mine", "stages": {"exact_dedup": {}, "near_dedup": {"threshold": 0.9}}}
    run(pipeline, "RUN", settings={"near_dedup.threshold": 0.8})
    assert ran[0]["config"].name == "mine" and list(ran[0]["config"].stages) == ["exact_dedup", "near_dedup"]
    assert ran[0]["config"].decisions("near_dedup")["default"]["threshold"] == 0.8
    assert ran[0]["base"] == tmp_path and pipeline["stages"]["near_dedup"] == {"threshold": 0.9}
    assert isinstance(NoSpark.made[-1][1], PlainProgress)
    silent = Silent()
    run({"extends": "mine.yaml"}, "RUN", progress=silent) if (tmp_path / "mine.yaml").write_text("stages: {}") else None
    assert NoSpark.made[-1][1] is silent and ran[-1]["config"].name == "pipeline"


def test_a_story_shows_stars_unless_asked(tmp_path: Path) -> None:
    root = write_run(tmp_path / "run")
    shown = [open_run(root, personal_data=asked).explain("a")["documents"][0]["text"] for asked in (False, True)]
    assert shown == [KEPT_TEXT.replace("bob@example.org", "*" * 15), KEPT_TEXT]
