"""`tamis conf`, names of shipped configurations in other commands, `--version`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.conf import KINDS
from cli.main import app
from pipelines.run.config import load_pipeline
from tamis.errors import ConfigError
from tamis.places import CONF, find_config, shipped
from tamis.version import VERSION


def tamis(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_version_is_told() -> None:
    assert tamis("--version").stdout == f"tamis {VERSION}\n"


def test_all_that_is_shipped_is_listed_and_shown() -> None:
    listed = json.loads(tamis("conf", "list", "--format", "json").stdout)
    assert set(listed) == set(KINDS) == {path.name for path in CONF.iterdir() if path.is_dir()}
    for kind, names in listed.items():
        assert len(names) == len(set(names)) == len(list((CONF / kind).iterdir()))
        for name in names:
            shown = tamis("conf", "show", f"{kind}/{name}")
            assert shown.stderr == "" and shown.stdout == next((CONF / kind).glob(f"{name}.*")).read_text("utf-8")


def test_a_name_of_two_kinds_is_the_first_ones_and_the_other_is_told(elsewhere: Path) -> None:
    copied = tamis("conf", "copy", "default")
    assert copied.stdout == "written: ./default.yaml\n"
    assert copied.stderr == "note: default is taken as pipelines/default; if another is meant, type mixtures/default\n"
    assert (elsewhere / "default.yaml").read_bytes() == (CONF / "pipelines" / "default.yaml").read_bytes()
    with pytest.raises(ConfigError, match=r"^default.yaml: found a file of that name; expected none, or --force"):
        tamis("conf", "copy", "mixtures/default")
    assert (elsewhere / "default.yaml").read_bytes() == (CONF / "pipelines" / "default.yaml").read_bytes()
    tamis("conf", "copy", "mixtures/default", "--out", "mixture.yaml")
    assert (elsewhere / "mixture.yaml").read_bytes() == (CONF / "mixtures" / "default.yaml").read_bytes()
    tamis("conf", "copy", "mixtures/default", "--force")
    assert (elsewhere / "default.yaml").read_bytes() == (CONF / "mixtures" / "default.yaml").read_bytes()


def test_an_unknown_name_is_told() -> None:
    for name in ("nope", "models/default", "../pyproject.toml", "pipelines/"):
        with pytest.raises(ConfigError, match=r"found no shipped configuration of that name; expected one of"):
            tamis("conf", "show", name)


@pytest.mark.parametrize("name", shipped("pipelines"))
def test_a_copied_pipeline_is_the_same_wherever_it_lies(elsewhere: Path, name: str) -> None:
    """One that extends another too."""
    tamis("conf", "copy", f"pipelines/{name}", "--out", "own.yaml")
    assert load_pipeline(elsewhere / "own.yaml") == load_pipeline(find_config("pipelines", Path(name)))


def test_where_a_file_might_be_meant_stderr_says_which_is(elsewhere: Path) -> None:
    (elsewhere / "dedup.yaml").write_text("name: mine\nextends: dedup\n")
    assert json.loads((found := tamis("plan", "dedup", "--format", "json")).stdout)["name"] == "dedup"
    assert found.stderr == (
        "note: dedup is the one of pipelines that comes with Tamis; for the file in this folder say ./dedup.yaml\n"
    )
    assert json.loads((found := tamis("plan", "./dedup.yaml", "--format", "json")).stdout)["name"] == "mine"
    assert found.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ("mixture", "check", "default"),
        ("tokens", "stream", "default"),
        ("train", "tiny", "--mixture", "default"),
        ("model", "evaluate", "tiny", "10m", "--mixture", "default"),
        ("model", "export", "tiny", "out", "--mixture", "default"),
        ("scaling", "run", "10m", "100m", "tiny", "1b", "--mixture", "default"),
    ],
)
def test_mixtures_and_models_go_by_name(elsewhere: Path, words: tuple[str, ...]) -> None:
    """Far enough to look for the run, which starts at the current folder."""
    with pytest.raises(ConfigError, match=rf"run: found '{elsewhere}/runs/default', which is no folder"):
        tamis(*words)


def test_an_unknown_name_of_an_option_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^huge: found none of that name in models; expected 100m, "):
        tamis("train", "huge", "--mixture", "default")
    with pytest.raises(ConfigError, match=r"^mine: found none of that name in mixtures"):
        tamis("train", "tiny", "--mixture", "mine")
    with pytest.raises(ConfigError, match=r"^big: found none of that name in models"):
        tamis("scaling", "fit", "runs", "--model", "big")
    assert tamis("dedup", "curve", "--pipeline", "report", "--format", "json").exit_code == 0
