"""The alarm: a run that would lose a source stops before its shards, can be looked into, and goes on from there."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from pipelines.spark.session import Cluster
from tamis.errors import TamisError
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute
from tests.support.corpora import texts

pytestmark = pytest.mark.spark

TEMPLATES, NEWS, NOTES = 40, 30, 10
RAISED = ["alarm.max_removed_fraction=0.98"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feed of one source that is one text with another number each time, and of one whose texts differ."""
    folder = tmp_path_factory.mktemp("alarm")
    pool = list(texts("en"))
    body = " ".join(pool[0].split()[:200])
    feed = [{"id": f"t{i}", "source": "templates", "text": f"{body} Number {i}."} for i in range(TEMPLATES)]
    feed += [{"id": f"n{i}", "source": "news", "text": text} for i, text in enumerate(pool[1 : NEWS + 1])]
    notes = [{"id": f"o{i}", "text": text} for i, text in enumerate(pool[-NOTES:])]
    for name, records in (("feed", feed), ("notes", notes)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    settings = {
        "name": "test",
        "inputs": [{"domain": name, "paths": [f"{name}.jsonl"]} for name in ("feed", "notes")],
        "ingest": {"target_shard_bytes": 30_000},
        "stages": {"eligibility": {}, "exact_dedup": {}, "near_dedup": {}, "span_dedup": {}, "score": {}},
        "alarm": {"min_documents": 20},
    }
    path = folder / "alarm.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
    return path


@pytest.fixture(scope="module")
def stopped(pipeline: Path, cluster: Cluster) -> tuple[RunReader, str]:
    """The run that the alarm stopped, and what it said."""
    out = pipeline.parent / "stopped"
    with pytest.raises(TamisError) as caught:
        execute(pipeline, out, cluster)
    return RunReader(out), str(caught.value)


@pytest.fixture(scope="module")
def resumed(stopped: tuple[RunReader, str], pipeline: Path, cluster: Cluster) -> tuple[RunReader, list[str]]:
    """A copy of it run again under a higher limit, and what that called."""
    out = pipeline.parent / "resumed"
    shutil.copytree(stopped[0].root, out)
    called: list[str] = []
    original = Cluster.map

    def recorded(self: Cluster, function: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
        called.append(function.__name__)
        return original(self, function, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cluster, "map", recorded)
        return execute(pipeline, out, cluster, RAISED), called


def test_a_run_that_loses_a_source_stops_before_its_shards(stopped: tuple[RunReader, str]) -> None:
    run, said = stopped
    for part in (
        f"near_dedup took {TEMPLATES - 1} of {TEMPLATES} documents",
        "source 'templates' in domain 'feed'",
        "limit of 95 %",
        "--stage near_dedup --reason near_duplicate",
        "raise alarm.max_removed_fraction",
    ):
        assert part in said
    assert "\n" not in said
    assert not any((run.root / name).exists() for name in ("shards", "dropped", "weights"))


def test_what_each_stage_took_equals_a_recount_of_the_texts(stopped: tuple[RunReader, str]) -> None:
    run = stopped[0]
    removal = json.loads((run.root / "removal.json").read_text("utf-8"))
    names = list(run.chain)
    expected: dict[tuple[str, str, str | None], Counter[str]] = {}
    for stage, behind in zip(names, [*names[1:], None], strict=True):
        after = run.before(behind)
        for doc_id, text in run.before(stage).items():
            key = (stage, run.domain(doc_id), run.documents[doc_id]["source"])
            line, size = expected.setdefault(key, Counter()), len(text.encode())
            line["documents_in"] += 1
            line["documents_dropped"] += doc_id not in after
            line["bytes_in"] += size
            line["bytes_dropped"] += size - len(after.get(doc_id, "").encode())
    found = {(r["stage"], r["domain"], r["source"]): r for r in removal["sources"]}
    assert {k: {name: r[name] for name in expected[k]} for k, r in found.items()} == expected
    assert removal["sources_total"] == 3 and removal["alarm"]["raised_total"] == 1


def test_a_stopped_run_can_be_looked_into(stopped: tuple[RunReader, str], tmp_path: Path) -> None:
    root = str(stopped[0].root)
    report = tmp_path / "report.html"
    for arguments, expected in (
        (["stats", root], "near_dedup"),
        (["stats", root, "--by", "domain"], "near_dedup"),
        (["stats", root, "--by", "source"], "95 % !"),
        (["clusters", root], f"{TEMPLATES} documents"),
        (
            ["sample", root, "--stage", "near_dedup", "--reason", "near_duplicate", "-n", "2"],
            f"2 of {TEMPLATES - 1} documents dropped",
        ),
        (["explain", root, "t7"], "near_dedup"),
        (["report", root, "--out", str(report)], "report.html"),
    ):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0 and expected in result.stdout, arguments
    page = report.read_text("utf-8")
    assert "the alarm stopped the run before its shards were written" in page
    assert "What stages took from each source" in page


def test_under_a_higher_limit_it_goes_on_without_repeating_a_stage(resumed: tuple[RunReader, list[str]]) -> None:
    assert resumed[1] and set(resumed[1]) <= {"account_shard", "write_published", "write_dropped_rows", "weigh_shard"}
    assert resumed[0].kept_names() >= {f"n{i}" for i in range(NEWS)}


def test_it_then_has_the_bytes_of_a_run_under_that_limit_from_the_start(
    resumed: tuple[RunReader, list[str]], pipeline: Path, cluster: Cluster
) -> None:
    fresh = execute(pipeline, pipeline.parent / "fresh", cluster, RAISED)
    assert resumed[0].file_digests() == fresh.file_digests()
    assert resumed[0].narrow_tables() == fresh.narrow_tables()
    removals = [(r.root / "removal.json").read_bytes() for r in (resumed[0], fresh)]
    assert removals[0] == removals[1]


def test_a_limit_of_its_domain_lets_it_pass_and_a_lower_one_stops_a_finished_run_too(
    resumed: tuple[RunReader, list[str]], pipeline: Path
) -> None:
    run = resumed[0]
    before = run.file_digests()
    execute(pipeline, run.root, _NoSpark(), ["domains.feed.alarm.max_removed_fraction=1"])
    with pytest.raises(TamisError, match="the alarm stopped the run"):
        execute(pipeline, run.root, _NoSpark())
    with pytest.raises(TamisError, match="raise domains.feed.alarm.max_removed_fraction"):
        execute(pipeline, run.root, _NoSpark(), [*RAISED, "domains.feed.alarm.max_removed_fraction=0.9"])
    assert run.file_digests() == before


class _NoSpark(Cluster):
    """A cluster that must not be needed."""

    @property
    def spark(self) -> Any:
        raise AssertionError("Spark was started")
