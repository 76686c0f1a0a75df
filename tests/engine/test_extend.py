"""The files of docs/extend.md, in the pipeline that stands there."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from cli.report.card import write_card
from pipelines.run.config import load_pipeline
from pipelines.spark.session import Cluster
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute

FILES = ("keep.py", "short_lines.py", "reading_time.py", "fortunes.py")
CALM = "The tide comes in twice a day, and the boats know it well. Nobody has to tell them. They wait."
SAYINGS = [
    CALM,
    "一日之计在于晨，一年之计在于春。书读百遍，其义自见。学而时习之，不亦说乎？",
    "Lorem ipsum dolor sit amet. Consectetur adipiscing elit. Sed do eiusmod tempor.",
    "Only one sentence stands in this text, however long it goes on",
    "One.\nTwo.\nThree.\nFour.\nFive.\nSix.\nSeven.\nEight.\nNine.\nTen.\n" + CALM,
]


def page(repository: Path) -> str:
    """The text of docs/extend.md."""
    return (repository / "docs" / "extend.md").read_text("utf-8")


def test_the_page_shows_the_files_as_they_are(repository: Path) -> None:
    """Each whole, and below fifty lines."""
    shown = re.findall(
        r"^`examples/extend/(\w+\.py)`\n\n```python\n(.*?)^```", page(repository), re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in shown] == list(FILES)
    for name, text in shown:
        assert text == (repository / "examples" / "extend" / name).read_text("utf-8")
        assert len(text.splitlines()) < 50


@pytest.fixture(scope="module")
def pipeline(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's pipeline, with its code and some sayings beside it."""
    folder = tmp_path_factory.mktemp("extend")
    (found,) = re.findall(r"^```yaml\n(.*?)^```", page(repository), re.MULTILINE | re.DOTALL)
    (folder / "mine.yaml").write_text(found, "utf-8")
    shutil.copytree(repository / "examples" / "extend", folder / "code")
    (folder / "raw").mkdir()
    with gzip.open(folder / "raw" / "a.gz", "wb") as file:
        file.write(b"%\n".join([*(s.encode() + b"\n" for s in SAYINGS), b"\xff\xfe\n"]))
    return folder / "mine.yaml"


@pytest.mark.spark
@pytest.mark.slow
def test_they_do_what_the_page_says(pipeline: Path, cluster: Cluster, tmp_path: Path) -> None:
    run = execute(pipeline, tmp_path / "run", cluster)
    (shard,) = (run.run.root / "shards").rglob("*.parquet")
    rows = pq.read_table(shard, partitioning=None)
    assert rows.column("text").to_pylist() == SAYINGS[:2]
    assert rows.column("reading_seconds").to_pylist() == pytest.approx([20 / 4, 31 / 5])  # counted by hand
    assert b"fluent reader" in rows.schema.field("reading_seconds").metadata[b"description"]
    assert [rows.column(name).to_pylist() for name in ("source", "offset")] == [["fortune"] * 2, [0, len(CALM) + 3]]
    dropped = {
        row["reason"]: row["stage"]
        for path in (run.run.root / "dropped").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    assert dropped == {
        "placeholder_text": "enough_sentences",
        "enough_sentences": "enough_sentences",
        "short_lines": "short_lines",
    }
    assert run.run.ingest.body["quarantined"] == {"invalid_utf8": 1}
    card = write_card(run.run, tmp_path / "card.md").read_text("utf-8")
    assert "| `reading_seconds` | float? | Seconds that a fluent reader takes for the text. |" in card
    changed = load_pipeline(pipeline, settings=["short_lines.most=1", "enough_sentences.least=1"])
    assert changed.decisions("short_lines")["default"] == {"most": 1.0}
    assert changed.evidence("enough_sentences").model_dump() == {"least": 1}


@pytest.mark.spark
@pytest.mark.slow
def test_an_edit_is_seen_where_no_version_is_declared(pipeline: Path, cluster: Cluster, tmp_path: Path) -> None:
    """In one process, as in a notebook: the function's module has no version, the filter's has one."""
    folder = tmp_path / "mine"
    shutil.copytree(pipeline.parent, folder)
    body = yaml.safe_load(pipeline.read_text("utf-8"))
    body["code"], body["stages"] = "code", {"eligibility": {}, "edited:enough": {}, "score": {}}
    body.pop("domains")
    (folder / "mine.yaml").write_text(yaml.safe_dump(body, sort_keys=False), "utf-8")
    kept = []
    for answer in ("'early'", "True", "True  # as before"):
        (folder / "code" / "edited.py").write_text(f"def enough(document):\n    return {answer}\n", "utf-8")
        run: RunReader = execute(folder / "mine.yaml", tmp_path / "run", cluster)
        kept.append(
            (run.run.ledger()["stages"][1]["documents_kept"], len(list(run.run.root.glob("stages/enough/decision/*/"))))
        )
    assert kept == [(0, 1), (5, 2), (5, 3)]
