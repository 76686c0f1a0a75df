"""The dataset card: front matter that YAML reads, tables whose numbers add up, nothing that hostile input breaks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from cli.report.card import count, write_card
from corpus.files import load_manifest, manifest_path
from corpus.run_folder import RunFolder
from tamis.errors import TamisError
from tests.support.runs import write_empty_run, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("card") / "run")


def front_and_body(card: str) -> tuple[dict[str, Any], str]:
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), body


def published(run: Path) -> pa.Table:
    manifest = load_manifest(run / "shards")
    assert manifest is not None
    return pa.concat_tables([pq.read_table(run / "shards" / f.path, partitioning=None) for f in manifest.files])


def test_the_command_writes_the_card_beside_the_shards(run: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(run), "--card", "--format", "json"], catch_exceptions=False)
    path = Path(json.loads(result.stdout)["card"])
    assert path == run / "README.md"
    again = write_card(RunFolder(run), tmp_path / "deep" / "card.md")
    assert again.read_text("utf-8") == path.read_text("utf-8")


def test_the_front_matter_is_what_the_hub_reads(run: Path) -> None:
    front, _ = front_and_body(write_card(RunFolder(run), run / "README.md").read_text("utf-8"))
    table = published(run)
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"] == ["text-generation"]
    assert all(re.fullmatch("[a-z]{2,3}", code) for code in front["language"])
    domains = sorted(set(table.column("domain").to_pylist()))
    assert [c["config_name"] for c in front["configs"]] == domains
    for config in front["configs"]:
        assert list(run.glob(config["data_files"][0]["path"])) or list((run / "shards").glob("*.parquet"))


def test_counts_are_those_of_the_shards(run: Path) -> None:
    counts, table = count(RunFolder(run)), published(run)
    for lines in (counts.sources, counts.languages, counts.splits):
        assert sum(c["documents"] for c in lines.values()) == table.num_rows
        assert sum(c["bytes"] for c in lines.values()) == sum(table.column("bytes").to_pylist())
    licences = {line[2] for line in counts.sources}
    assert licences == {value or "unknown" for value in table.column("licence").to_pylist()}


def test_tables_keep_their_shape_whatever_stands_in_them(run: Path) -> None:
    _, body = front_and_body(write_card(RunFolder(run), run / "README.md").read_text("utf-8"))
    assert "<script" not in body.split("```")[0]
    for block in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
    for heading in ("Sources and licences", "Languages", "What was removed, and why", "Columns", "How it was made"):
        assert f"## {heading}\n" in body


def test_a_run_without_shards_is_one_sentence(tmp_path: Path) -> None:
    root = write_empty_run(tmp_path / "run")
    manifest = manifest_path(root / "shards")
    if manifest.exists():
        write_card(RunFolder(root), tmp_path / "card.md")  # an empty publication has a card too
        manifest.unlink()
    with pytest.raises(TamisError, match="published no shards"):
        write_card(RunFolder(root), tmp_path / "card.md")
