"""`tamis estimate`: the arithmetic, by hand, and the shipped rates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from cli.run.estimate import RATES, Rates, estimated
from corpus.config import load_config
from pipelines.run.config import load_pipeline
from pipelines.run.profiles import CONF
from tamis.errors import TamisError

SIMPLE: dict[str, Any] = {
    "measured": "here",
    "document_bytes": 4000,
    "kept": 0.5,
    "stored": {"ingest": 0.4, "shards": 0.2},
    "stages": {"ingest": {"mb_per_cpu_second": 10}, "near_dedup": {"mb_per_cpu_second": 50, "shuffle_bytes": 900}},
}


def answer(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["estimate", *arguments, "--format", "json"], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_the_arithmetic_by_hand() -> None:
    found = estimated(Rates.model_validate(SIMPLE), 3.6e12, 4000, nodes=10, cores=5, network=2.0, busy=0.5)
    ingest, near = found["stages"]
    assert (found["documents"], ingest["core_hours"], near["core_hours"]) == (9e8, 100, 20)
    assert ingest["hours"] == pytest.approx(100 / (10 * 5 * 0.5))
    assert near["hours"] == pytest.approx(20 / 25 + 9e8 * 900 / (10 * 2e9) / 3600)
    assert found["core_hours"] == 120 and found["hours"] == pytest.approx(ingest["hours"] + near["hours"])
    assert found["disk_bytes"] == {"ingest": pytest.approx(1.44e12), "shards": pytest.approx(7.2e11)}
    assert found["kept_bytes"] == 1.8e12


def test_the_command_says_what_it_assumes(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(yaml.safe_dump(SIMPLE), "utf-8")
    found = answer("--tokens", "1e12", "--nodes", "100", "--cores", "32", "--rates", str(path))
    assert found["text_bytes"] == 4e12 and found["documents"] == 1e9
    assert found["assumes"][-1] == "here" and "4 bytes a token" in found["assumes"][0]
    double = answer("--tokens", "2e12", "--nodes", "100", "--cores", "32", "--rates", str(path))
    assert double["hours"] == pytest.approx(2 * found["hours"])
    small = answer("--tokens", "1e12", "--document-bytes", "1000", "--rates", str(path))
    assert small["documents"] == 4e9 and small["shuffle_bytes"] == 4 * found["shuffle_bytes"]
    text = (
        CliRunner().invoke(app, ["estimate", "--tokens", "1e12", "--rates", str(path)], catch_exceptions=False).stdout
    )
    assert "near_dedup" in text and "Assumed:" in text and "900 GB" in text


def test_the_shipped_rates_are_of_the_default_pipeline() -> None:
    rates = load_config(Rates, RATES)
    stages = set(load_pipeline(CONF / "pipelines" / "default.yaml").stages)
    assert {"ingest", "write_shards"} <= set(rates.stages)
    assert stages - set(rates.stages) <= {"eligibility", "score"}, "these two cost nothing that shows"
    assert answer("--tokens", "1e12", "--nodes", "100")["hours"] > 0


@pytest.mark.parametrize("body", [{**SIMPLE, "kept": 2}, {**SIMPLE, "stages": {"a": {"mb_per_cpu_second": 0}}}])
def test_wrong_rates_are_one_sentence(tmp_path: Path, body: dict[str, Any]) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(yaml.safe_dump(body), "utf-8")
    with pytest.raises(TamisError) as caught:
        CliRunner().invoke(app, ["estimate", "--tokens", "1", "--rates", str(path)], catch_exceptions=False)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
