"""`tamis demo --format json`: one JSON value on standard output, whatever the steps say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.inspect import stats
from cli.main import app
from cli.report import report
from cli.run import demo, run
from cli.run.demo_corpus import DemoInput
from cli.training import train


@pytest.mark.parametrize("as_json", [True, False])
def test_the_steps_speak_on_stdout_only_in_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    folder = tmp_path / "run"
    entry = DemoInput("web", "raw/web/*.jsonl", "jsonl", "en", "CC0", {"text": "body"}, 3, 30)

    def step(name: str) -> Any:
        return lambda *_, **__: typer.echo(f"said by {name}")

    def trained(**_: Any) -> None:
        (folder / "train" / "tiny").mkdir(parents=True)
        (folder / "train" / "tiny" / "summary.json").write_text('{"loss": 6.5}')
        (folder / "ledger.json").write_text('{"stages": []}')
        typer.echo("said by train")

    monkeypatch.setattr(demo, "build_demo_corpus", lambda *_: [entry])
    for module, name in ((run, "run"), (stats, "stats"), (report, "report")):
        monkeypatch.setattr(module, name, step(name))
    monkeypatch.setattr(train, "train", trained)
    options = ["--format", "json"] if as_json else []
    result = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path), *options], catch_exceptions=False)
    assert result.exit_code == 0
    if not as_json:
        assert result.stdout.splitlines() == [f"said by {name}" for name in ("run", "stats", "report", "train")]
        return
    found = json.loads(result.stdout)
    assert (found["run"], found["ledger"], found["training"]) == (str(folder), {"stages": []}, {"loss": 6.5})
    assert found["inputs"][0]["domain"] == "web" and found["report"].endswith("report.html")
