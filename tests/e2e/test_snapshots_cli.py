"""The commands that read a run follow survivors into the runs of earlier snapshots, and say so when one has moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tamis.errors import TamisError
from tests.e2e.story import Story

pytestmark = [pytest.mark.spark, pytest.mark.slow]

TWIN, OLD = "en-twin-00-newer", "en-twin-00-old"


def text(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def found(*arguments: object) -> Any:
    return json.loads(text(*arguments, "--format", "json"))


def fails(*arguments: object) -> str:
    with pytest.raises(TamisError) as caught:
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def alone(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The third run, its ancestors moved away."""
    out = tmp_path_factory.mktemp("alone") / "run-2"
    shutil.copytree(story.runs[2].root, out)
    path = out / "run.json"
    info = json.loads(path.read_text("utf-8"))
    for entry in info["ancestors"]:
        entry.update(run=f"/nowhere/run-{entry['snapshot']}", beside="../nowhere")
    path.write_text(json.dumps(info), "utf-8")
    return out


def test_explain_follows_a_survivor_into_the_first_snapshot(story: Story) -> None:
    (document,) = found("explain", story.runs[2].root, TWIN)["documents"]
    (stage,) = (s for s in document["stages"] if s["decision"] == "dropped")
    (survivor,) = stage["survivor_story"]
    assert survivor["source_id"] == OLD and survivor["kept"] and survivor["doc_id"] == stage["survivor"]
    assert survivor["ancestor"] == {"snapshot": 0, "run": str(story.runs[0].root)}
    assert story.text[OLD].startswith(survivor["text"].removesuffix("…"))
    shown = text("explain", story.runs[2].root, TWIN)
    assert f"in snapshot 0, {story.runs[0].root}" in shown and f"[en]  {'kept'}" in shown


def test_explain_tells_the_story_of_an_ancestors_document(story: Story) -> None:
    doc_id = story.runs[0].id_of[OLD]
    for key in (OLD, str(doc_id), f"https://www.example.net/{OLD}"):
        (document,) = found("explain", story.runs[2].root, key)["documents"]
        assert document["doc_id"] == str(doc_id) and document["kept"]
        assert document["ancestor"] == {"snapshot": 0, "run": str(story.runs[0].root)}
        assert document["published"]["path"].startswith("shards/en/")
    assert f"this is its story in {story.runs[0].root}" in text("explain", story.runs[2].root, OLD)
    assert "nor do its ancestors" in fails("explain", story.runs[2].root, "nobody")


def test_clusters_show_old_survivors_beside_new_members(story: Story) -> None:
    (component,) = found("clusters", story.runs[2].root, "--show", TWIN)["components"]
    (survivor,) = component["survivors"]
    assert survivor["source_id"] == OLD and survivor["ancestor"]["snapshot"] == 0 and survivor["fate"]["kept"]
    (member,) = (m for m in component["members"] if m["source_id"] == TWIN)
    assert member["differences"] == [], "twins differ in no token"
    shown = text("clusters", story.runs[2].root, "--show", TWIN)
    assert f"of snapshot 0, {story.runs[0].root}".replace(" ", "") in "".join(shown.split())  # lines are folded


@pytest.mark.parametrize("kind", ["near", "exact"])
def test_clusters_name_old_survivors(story: Story, kind: str) -> None:
    result = found("clusters", story.runs[2].root, "--kind", kind, "--top", 1000)
    survivors = [s for cluster in result["clusters"] for s in cluster["survivors"]]
    assert all(s["source_id"] and s["fate"]["kept"] is not None for s in survivors)
    if kind == "exact":
        assert {s["ancestor"]["snapshot"] for s in survivors if "ancestor" in s} == {0, 1}


def test_samples_show_old_survivors(story: Story) -> None:
    result = found("sample", story.runs[2].root, "--stage", "near_dedup", "--reason", "near_duplicate", "-n", 500)
    survivors = {s["source_id"]: s["survivor"]["source_id"] for s in result["samples"]}
    assert survivors[TWIN] == OLD and len(survivors) == result["available"]


def test_stats_and_plan_name_the_ancestors(story: Story, tmp_path: Path) -> None:
    expected = [{"snapshot": n, "run": str(story.runs[n].root)} for n in (0, 1)]
    assert found("stats", story.runs[2].root)["ancestors"] == expected
    assert "Deduplicated against snapshot 0" in text("stats", story.runs[2].root)
    planned = found("plan", story.pipelines[2], "--against", story.runs[1].root)
    assert planned["ancestors"] == expected and planned["snapshot"] == 2
    assert "deduplicated against snapshot 0" in text("plan", story.pipelines[2], "--against", story.runs[1].root)
    said = fails("plan", story.pipelines[1], "--against", story.runs[1].root)
    assert "is snapshot 1, as is this run" in said
    assert found("stats", story.runs[0].root)["ancestors"] == []


def test_an_ancestor_that_has_moved_away_is_said_in_a_sentence(alone: Path, story: Story) -> None:
    gone = "lay in /nowhere/run-0, which is not there any more; move it back"
    (document,) = found("explain", alone, TWIN)["documents"]
    (stage,) = (s for s in document["stages"] if s["decision"] == "dropped")
    assert stage["survivor_story"] == [] and gone in stage["survivor_missing"]
    assert gone in text("explain", alone, TWIN)
    said = fails("explain", alone, story.runs[0].id_of[OLD])
    assert said.startswith("document ") and gone in said
    assert gone in fails("explain", alone, OLD)
    assert "which has moved away" in text("clusters", alone, "--show", TWIN)
    assert "which has moved away" in text("clusters", alone, "--kind", "exact", "--top", 1000)
    sampled = found("sample", alone, "--stage", "near_dedup", "--reason", "near_duplicate", "-n", 500)["samples"]
    (twin,) = (s for s in sampled if s["source_id"] == TWIN)
    assert twin["survivor"] is None and gone in twin["survivor_missing"]
