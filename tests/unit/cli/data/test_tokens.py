"""`tamis tokens stream`: the digest's lines, the preview, and the torch dataset on the same stream."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.data.tokens import app, parse_steps
from sampler.mixture import load_mixture
from sampler.prepare import prepare
from tamis.errors import ConfigError
from tests.support.sampler_run import SMALL, write_run


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_run(folder / "run")
    path = folder / "mixture.yaml"
    path.write_text(
        yaml.safe_dump({"run": "run", "domains": "*", "sequence_length": 32, "seed": 1, "tokenizer": SMALL})
    )
    return path


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["stream", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_digest_lines_are_the_same_for_any_world_size(mixture: Path) -> None:
    lines = {invoke(mixture, "--global-batch", 8, "--steps", "2:6", "--digest", "--world-size", w) for w in (1, 2, 8)}
    assert len(lines) == 1
    rows = [line.split(" ") for line in lines.pop().splitlines()]
    assert [row[0] for row in rows] == ["2", "3", "4", "5"]
    stream = prepare(mixture.parent / "run", load_mixture(mixture)[0]).stream
    tokens = stream.batch(16, 24).tokens
    assert rows[0][1] == hashlib.sha256(tokens.astype("<u4").tobytes()).hexdigest()
    found = json.loads(invoke(mixture, "--steps", "2:6", "--digest", "--format", "json"))
    assert [[str(row["step"]), row["sha256"]] for row in found] == rows


def test_preview(mixture: Path) -> None:
    rows = json.loads(invoke(mixture, "--global-batch", 4, "--world-size", 2, "--format", "json"))
    assert [row["rank"] for row in rows] == [0, 0, 1, 1]
    assert {row["domain"] for row in rows} == {"en", "zh"}
    assert all(row["cu_seqlens"][-1] == 32 and len(row["doc_ids"]) == len(row["cu_seqlens"]) - 1 for row in rows)
    assert all(isinstance(doc_id, str) for row in rows for doc_id in row["doc_ids"])
    assert "begins with" in invoke(mixture)


@pytest.mark.parametrize("steps", ["3", "3:3", "5:2", "-1:2", "a:b", ""])
def test_steps_that_are_none(steps: str) -> None:
    with pytest.raises(ConfigError, match="--steps"):
        parse_steps(steps)


def test_too_many_steps(mixture: Path) -> None:
    with pytest.raises(ConfigError, match="max_epochs"):
        invoke(mixture, "--steps", "0:100000")
