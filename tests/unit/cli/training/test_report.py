"""The report of a training run, made of files alone: whole, cut, empty, damaged, still going on."""

from __future__ import annotations

import json
import math
import re
from html import unescape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from cli.training.charts import smoothed
from cli.training.data import DRAWN, loader_share, read_training, stretches, throughput
from cli.training.report import numbers, write_training_report
from corpus.files import write_json
from tamis.errors import TamisError
from tests.support.sampler_run import SMALL, write_run

NAMES = ("code", "web_中文", "a<b>&\"c'")
FACTS: dict[str, Any] = {
    "config": {"name": "small", "loss_band": True, "optimizer": {"warmup_steps": 2, "clip_norm": 0.5}, "steps": 9},
    "mixture": {"domains": {"a<b>": {}}, "seed": 1},
    "tokenizer": {"digest": "0123456789abcdef", "vocab_size": 620},
    "parameters": 2_737_024,
    "ranks": 2,
    "device": "cpu",
    "steps": 9,
    "phases": [],
    "tokens_per_epoch": dict.fromkeys(NAMES, 1000) | {"rare": 10},
    "heldout_sequences": dict.fromkeys(NAMES, 3) | {"rare": 0},
    "heldout_note": "",
}


def row(step: int, **more: Any) -> dict[str, Any]:
    return {
        "step": step,
        "loss": 6.0 - step / 10,
        "gradient_norm": 1.0,
        "learning_rate": 0.01,
        "tokens": 128 * (step + 1),
        "tokens_per_second": 1000 + step,
        "seconds": 0.1,
        "loader_seconds": 0.001 * (step + 1),
        **more,
    }


def judged(step: int) -> dict[str, Any]:
    losses = {name: 5.0 + i - step / 10 for i, name in enumerate(NAMES)}
    return row(step, heldout_loss=6.0 - step / 10, heldout_by_domain=losses, epochs=dict.fromkeys(NAMES, 0.5))


def write(folder: Path, rows: list[dict[str, Any]], events: list[dict[str, Any]] = (), **files: Any) -> Path:  # type: ignore[assignment]
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (("metrics", rows), ("events", events)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, value in {"training": FACTS, **files}.items():
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def page_of(folder: Path) -> tuple[str, dict[str, Any]]:
    """The page without plotly's script, and its figures."""
    whole = write_training_report(folder).read_text("utf-8")
    page = re.sub(r"<script>/\*.*?</script>", "", whole, count=1, flags=re.DOTALL)
    script = re.findall(r"const FIGURES = (.*?);\nconst dark", page)[0]
    assert "<" not in script and len(page) < 200_000  # or a label could end the script
    assert not re.search(r"(src|href)\s*=|https?://|url\(|@import", page)
    figures = json.loads(script)
    assert set(figures) == set(re.findall(r'class="chart" id="([^"]+)"', page))
    assert page.count("<section>") == page.count("</section>") and page.count("<table>") == page.count("</table>")
    return page, figures


def lines_of(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for figure in figures.values() for line in figure["data"]}


def cells(page: str, first: str) -> list[str]:
    """The table row that begins with a text."""
    for line in re.findall(r"<tr>(.*?)</tr>", page):
        found = [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line)]
        if found and found[0] == first:
            return found
    raise AssertionError(first)


def test_a_whole_run(tmp_path: Path) -> None:
    rows = [judged(step) if step % 4 == 0 else row(step) for step in range(9)]
    summary = {"unigram_loss": 5.5, "heldout_loss": 5.2, "epochs": {}}
    for one in rows:
        one |= {"mfu": 0.4, "mfu_gemm": 0.5}
    folder = write(tmp_path / "small", rows, summary=summary)
    device = {
        "device_name": "H<100>",
        "devices": 2,
        "products": 6.5e6,
        "peak": 9.894e14,
        "gemm": 7.1e14,
        "formula": "MFU =",
    }
    write_json(folder / "device.json", device)
    page, figures = page_of(folder)
    lines = lines_of(figures)
    assert lines["training"]["y"][:2] == [6.0, 5.9] and lines["training"]["x"] == list(range(1, 10))
    assert lines["held out"]["x"] == [1, 5, 9] and lines["unigram model, 5.500"]["y"] == [5.5, 5.5]
    assert lines["of the data sheet's peak"]["y"] == [40.0] * 9 and lines["of the measured GEMM"]["y"] == [50.0] * 9
    assert lines["waiting for data"]["y"][0] == pytest.approx(1.0)
    for figure in figures.values():
        go.Figure(figure)  # refuses what plotly does not know
    assert cells(page, "web_中文") == ["web_中文", "6.000", "5.200", "−0.800", "3", "33.3 %", "0.500"]
    assert cells(page, "rare") == ["rare", "–", "–", "–", "0", "–", "–"]
    assert cells(page, "peak of one device, data sheet")[1] == "989.40 TFLOP/s" and "H&lt;100&gt;" in page
    assert cells(page, "MFU, of the measured GEMM (median)")[1] == "50.0 %"
    assert cells(page, "longest wait")[1] == "0.0090 s (step 9)" and "2 ranks on cpu" in page
    assert "0123456789ab of 620 pieces" in page and "finished" in page and "2.74 M" in page
    for part in ("Loss", "Loss by domain", "Gradient and", "Throughput", "Model FLOPs", "Events", "Checkpoints"):
        assert f"<h2>{part}" in page, part
    assert (
        write_training_report(folder, tmp_path / "deep" / "2.html").read_bytes()
        == (folder / "report.html").read_bytes()
    )


def test_names_from_data_are_escaped_in_tables_and_charts(tmp_path: Path) -> None:
    event = {"step": 0, "position": 4, "kind": "alarm", "event": "</script><b>left</b>"}
    page, figures = page_of(write(tmp_path / "x", [judged(0)], [event]))
    assert "a<b>" not in page and "<b>left" not in page and "a&lt;b&gt;&amp;" in page
    lines = lines_of(figures)
    assert "a&lt;b&gt;&amp;&quot;c&#x27;" in lines
    assert lines["alarm"]["text"] == ["&lt;/script&gt;&lt;b&gt;left&lt;/b&gt;"]
    assert cells(page, NAMES[2])[1] == "7.000"


def test_a_run_without_a_step(tmp_path: Path) -> None:
    page, figures = page_of(write(tmp_path / "new", []))
    assert figures == {} and "No step has been taken yet" in page and "at step 0 of 9, not finished" in page
    assert numbers(read_training(tmp_path / "new"))["loss"] is None


def test_a_run_of_one_step_is_drawn_as_a_point(tmp_path: Path) -> None:
    page, figures = page_of(write(tmp_path / "one", [judged(0)]))
    assert all(line["x"] == [1] for line in lines_of(figures).values())
    assert lines_of(figures)["training"]["mode"] == "markers"
    assert cells(page, "code")[1:4] == ["5.000", "5.000", "+0.000"]


def test_what_is_no_number_is_a_gap(tmp_path: Path) -> None:
    nan = math.nan
    odd = judged(1) | {"heldout_loss": nan, "heldout_by_domain": {"code": nan}, "gradient_norm": math.inf}
    page, figures = page_of(write(tmp_path / "nan", [judged(0), odd, row(2, loss=nan)]))
    lines = lines_of(figures)
    assert lines["training"]["y"] == [6.0, 5.9, None] and lines["code"]["y"] == [5.0, None]
    assert lines["gradient norm"]["y"] == [1.0, None, 1.0] and lines["median of 11 steps"]["y"][2] == 5.95
    assert cells(page, "code")[1:4] == ["5.000", "–", "–"]


def test_events_are_listed_and_marked_on_the_loss(tmp_path: Path) -> None:
    events = [
        {"step": 1, "position": 12, "kind": "skipped", "event": "the loss is nan: not taken"},
        {"step": 1, "position": 16, "kind": "went back", "event": "back to step 1"},
        {"step": 40, "position": 20, "event": "of a version without kinds"},
    ]
    page, figures = page_of(write(tmp_path / "events", [row(0), row(1)], events))
    lines = lines_of(figures)
    assert lines["skipped"]["x"] == [2] and lines["skipped"]["y"] == [5.95] and lines["went back"]["x"] == [2]
    assert cells(page, "skipped") == ["skipped", "the loss is nan: not taken", "2", "12"]
    assert cells(page, "")[1] == "of a version without kinds"
    assert numbers(read_training(tmp_path / "events"))["events"] == 3


def test_a_killed_run_with_a_cut_line_and_no_summary(tmp_path: Path) -> None:
    folder = write(tmp_path / "killed", [row(0), judged(1)])
    for name in ("metrics", "events"):
        with (folder / f"{name}.jsonl").open("a") as file:
            file.write('{"step": 2, "lo')
    (folder / "checkpoint-00000002").mkdir()
    (folder / "checkpoint-00000002" / "a.distcp").write_bytes(b"12345")
    (folder / "checkpoint-00000001.saving").mkdir()
    pointer = {"folder": "checkpoint-00000002", "kept": ["checkpoint-00000001"], "step": 2, "tokens": 256}
    (folder / "checkpoint.json").write_text(json.dumps(pointer))
    page, figures = page_of(folder)
    assert "at step 2 of 9, not finished" in page and lines_of(figures)["training"]["x"] == [1, 2]
    assert cells(page, "checkpoint-00000002") == ["checkpoint-00000002", "newest", "", "2", "5 B"]
    assert "checkpoint-00000001" not in page and "after 256 tokens" in page
    assert not any("unigram" in name for name in lines_of(figures))


def test_a_run_of_before_there_were_facts(tmp_path: Path) -> None:
    """Only the metrics: no domains, no times, no facts."""
    bare = [{"step": step, "loss": 6.0, "tokens": 5} for step in range(2)]
    page, figures = page_of(write(tmp_path / "old", bare, training=None))
    assert set(lines_of(figures)) == {"training", "median of 11 steps", "held out", "gradient norm", "learning rate"}
    assert "<h2>Throughput" not in page and "<h2>Loss by domain" not in page


def test_the_band_is_drawn_where_it_was_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    rows = [row(step, loss=4.0 + 3.0 * (step + 1) ** -0.5) for step in range(130)]
    page, figures = page_of(write(tmp_path / "band", rows))
    drawn = lines_of(figures)
    low, high = drawn["band, low"]["y"], drawn["predicted band"]["y"]
    assert low[:102] == [None] * 102 and low[102] is not None and "where the losses before it" in page
    middle = drawn["median of 11 steps"]["y"]
    assert all(a < b < c for a, b, c in zip(low[102:], middle[102:], high[102:], strict=True))
    without = FACTS | {"config": FACTS["config"] | {"loss_band": False}}
    page, figures = page_of(write(tmp_path / "none", rows, training=without))
    assert "predicted band" not in lines_of(figures) and "where the losses before it" not in page


def test_a_long_run_is_drawn_in_stretches(tmp_path: Path) -> None:
    rows = [row(step, loss=float(step % 2), gradient_norm=float(step == 1), seconds=0.1) for step in range(4 * DRAWN)]
    page, figures = page_of(write(tmp_path / "long", rows, training=None))
    lines = lines_of(figures)
    assert lines["training"]["y"] == [0.5] * DRAWN and lines["training"]["x"][-1] == 4 * DRAWN
    assert lines["gradient norm"]["y"][:2] == [1.0, 0.0] and "the mean of some 4 steps" in page


@pytest.mark.parametrize("count", [0, 1, DRAWN, DRAWN + 1, 3 * DRAWN - 1])
def test_stretches_hold_each_row_once(count: int) -> None:
    groups = stretches([{"step": step} for step in range(count)])
    assert [row["step"] for group in groups for row in group] == list(range(count))
    assert len(groups) == min(count, DRAWN) and all(groups)


def test_shares_and_rates_are_of_all_steps_together() -> None:
    rows = [
        {"seconds": 1.0, "loader_seconds": 0.5, "tokens_per_second": 100},
        {"seconds": 3.0, "loader_seconds": 0.0, "tokens_per_second": 20},
    ]
    assert loader_share(rows) == 12.5 and throughput(rows) == 40
    assert loader_share([{"loss": 1.0}]) is None and throughput([]) is None


def test_the_smoothed_loss_is_a_running_median() -> None:
    rows = [{"loss": float(value)} for value in (9, 1, 5, math.nan, *range(20))]
    found = smoothed(rows)
    assert found[:4] == [9, 5, 5, 5] and found[-1] == 14 and smoothed([{"loss": math.inf}]) == [None]


def test_the_command_writes_it_and_tells_its_numbers(tmp_path: Path) -> None:
    write(tmp_path / "train" / "small", [row(0), judged(1)])
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--training", "small", "--format", "json"])
    found = json.loads(done.output)
    assert found["report"] == str(tmp_path / "train" / "small" / "report.html") and found["bytes"] > 1_000_000
    assert found["training"]["steps"] == 2 and found["training"]["heldout_by_domain"]["code"] == 4.9
    assert not found["training"]["finished"]
    said = CliRunner().invoke(app, ["report", str(tmp_path), "--training", "smal"]).exception
    assert isinstance(said, TamisError) and "found no training; expected one of small" in str(said)
    both = CliRunner().invoke(app, ["report", str(tmp_path), "--training", "small", "--card"]).exception
    assert "--card, --training: found both" in str(both)


def test_training_writes_it_and_says_where(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model: dict[str, Any] = {"name": "small", "model": {"width": 32, "layers": 1, "heads": 2}, "device": "cpu"}
    model |= {"optimizer": {"max_learning_rate": 0.01, "warmup_steps": 1}, "steps": 3, "global_batch": 4, "seed": 1}
    mixture = {"domains": "*", "sequence_length": 32, "seed": 1, "tokenizer": SMALL}
    for name, settings in (("model", model), ("mixture", mixture)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    run = write_run(tmp_path / "run")
    options = ["--mixture", str(tmp_path / "mixture.yaml"), "--run", str(run)]
    done = CliRunner().invoke(app, ["train", str(tmp_path / "model.yaml"), *options])
    page = run / "train" / "small" / "report.html"
    assert done.exit_code == 0 and f"report: {page}\n" in done.stdout and "by domain: " in done.stdout
    assert re.search(r"step +3/3  loss \d\.\d+  [\d,]+ tokens/s  loader \d+\.\d %  held-out loss \d", done.stderr)
    text, figures = page_of(page.parent)
    assert "finished" in text and lines_of(figures)["training"]["x"] == [1, 2, 3] and cells(text, "zh")[4] != "0"
    assert re.search(r"<td>checkpoint-00000003</td><td>newest</td>", text) and "1 rank on cpu" in text
