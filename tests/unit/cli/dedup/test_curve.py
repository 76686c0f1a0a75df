"""`tamis dedup curve`: the numbers, the drawing, the page, and pairs that a pipeline is refused for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.dedup.curve_data import bands_needed
from cli.main import app
from dedup.banding import detection_probability
from pipelines.stages.near_dedup.stage import NearDedupDecision
from tamis.errors import ConfigError


def text(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["dedup", "curve", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def found(*arguments: object) -> Any:
    return json.loads(text(*arguments, "--format", "json"))


def fails(*arguments: object) -> str:
    with pytest.raises(ConfigError) as caught:
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_default_is_what_a_pipeline_would_do() -> None:
    result, default = found(), NearDedupDecision()
    (pair,) = result["pairs"]
    assert (pair["bands"], pair["rows"]) == (default.bands, default.rows)
    assert (result["threshold"], result["recall"]) == (default.threshold, default.recall)
    assert pair["reaches_recall"] and pair["fits_signature"]


def test_probabilities_costs_and_where_the_recall_begins() -> None:
    result = found("--pair", "21x6", "--pair", "32x4", "--threshold", 0.75, "--recall", 0.95)
    first, second = result["pairs"]
    assert first["at_threshold"] == pytest.approx(1 - (1 - 0.75**6) ** 21, rel=1e-5)
    assert [point["similarity"] for point in first["curve"]] == [n / 100 for n in range(101)]
    assert first["curve"][0]["probability"] == 0 and first["curve"][-1]["probability"] == 1
    assert first["candidates"]["0.50"] == pytest.approx(0.28159, rel=1e-4)
    assert first["candidates"]["0.50"] < first["candidates"]["mean"] < first["candidates"]["0.70"]
    assert second["candidates"]["mean"] > first["candidates"]["mean"]  # wider bands find more, and cost more
    assert detection_probability(first["recall_from_similarity"], 21, 6) == pytest.approx(0.95, abs=1e-3)


@pytest.mark.parametrize(("rows", "threshold"), [(1, 0.5), (6, 0.75), (6, 1.0), (13, 0.8)])
def test_bands_needed_is_the_least_number(rows: int, threshold: float) -> None:
    needed = bands_needed(threshold, 0.95, rows)
    assert needed is not None and detection_probability(threshold, needed, rows) >= 0.95
    assert needed == 1 or detection_probability(threshold, needed - 1, rows) < 0.95
    assert bands_needed(0.5, 0.95, 200) is None


def test_a_pair_below_its_recall_is_said_so_and_its_pipeline_refused(tmp_path: Path) -> None:
    shown = " ".join(text("--bands", 2, "--rows", 6).split())
    assert "2 bands of 6 rows cannot reach the recall of 0.95" in shown and "it takes 16 bands" in shown
    assert not found("--bands", 2)["pairs"][0]["reaches_recall"]
    assert "no number of bands would do" in " ".join(text("--pair", "2x200").split())
    assert "signature too short" in text("--pair", "60x6")
    path = tmp_path / "weak.yaml"
    path.write_text("stages: {near_dedup: {bands: 2, rows: 6}}")
    for arguments in (("plan", path), ("dedup", "curve", "--pipeline", path)):
        said = fails(*arguments)
        assert "2 bands of 6 rows" in said and "recall: found 0.95" in said


def test_settings_come_from_a_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("stages: {near_dedup: {bands: 16, rows: 8, threshold: 0.9, num_perm: 256}}")
    result = found("--pipeline", path)
    assert (result["threshold"], result["num_perm"], result["pairs"][0]["bands"]) == (0.9, 256, 16)
    assert found("--pipeline", path, "--rows", 4)["pairs"][0]["rows"] == 4
    path.write_text(
        "stages: {near_dedup: {similarity: containment, threshold: 0.9, min_size_ratio: 0.8, bands: 25, rows: 5}}"
    )
    result = found("--pipeline", path)
    assert result["threshold"] == pytest.approx(0.72 / 1.08)
    assert result["containment"] == {"threshold": 0.9, "min_size_ratio": 0.8}
    assert result["pairs"][0]["at_threshold"] == pytest.approx(detection_probability(0.72 / 1.08, 25, 5), abs=1e-6)
    assert "0.667 (of a containment of 0.9 in sets whose sizes are 0.8 alike)" in " ".join(
        text("--pipeline", path).split()
    )
    assert found("--pipeline", path, "--threshold", 0.8)["containment"] is None
    path.write_text("stages: {exact_dedup: {}}")
    assert "expected near_dedup" in fails("dedup", "curve", "--pipeline", path)


@pytest.mark.parametrize("given", [("--pair", "3"), ("--pair", "0x6"), ("--threshold", 1.5), ("--recall", 1)])
def test_a_wrong_option_is_one_sentence(given: tuple[object, ...]) -> None:
    said = fails("dedup", "curve", *given)
    assert str(given[0]) in said and str(given[1]) in said


def test_the_drawing_rises_and_carries_its_marks() -> None:
    shown = text("--pair", "21x6", "--pair", "32x4")
    lines = shown.splitlines()
    plot = lines[2 : lines.index(next(line for line in lines if "└" in line))]
    assert max(map(len, lines[1:24])) <= 78 and "1.0" in plot[0] and "\x1b" not in shown
    for number in "12":  # each curve carries its number about the middle
        (row,) = (y for y, line in enumerate(plot) if number in line[5:])
        assert len(plot) / 3 < row < 2 * len(plot) / 3
    dots = [[x for x, c in enumerate(line) if "\u2800" < c <= "\u28ff"] for line in plot]
    lefts = [min(found) for found in dots if found]
    assert lefts == sorted(lefts, reverse=True) and len(lefts) > 15  # the first curve rises from left to right
    assert any(line.count("┈") > 20 for line in plot) and sum("┊" in line for line in plot) > 15
    assert "← threshold" in shown and re.search(r"0\.75 +0\.9837 +1\.0000", shown)


def test_the_page_is_one_offline_file(tmp_path: Path) -> None:
    path = Path(found("--pair", "21x6", "--pair", "2x6", "--html", tmp_path / "deep" / "c.html")["html"])
    page = re.sub(r"<script>/\*.*?</script>", "", path.read_text("utf-8"), count=1, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=|https?://|@import", page)
    assert "21 × 6" in page and "cannot reach the recall" in page and "threshold 0.75" in page
