"""The page of `tamis dedup curve --html`: the same curves and tables as in the terminal, in one offline file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.dedup.curve_data import SHOWN, threshold_text, verdict
from cli.pages.figures import OTHER, REMOVED, Figure, color, figure, line
from cli.pages.page import Page, Table


def write_page(result: dict[str, Any], out: Path) -> Path:
    """Writes the page of a result as `cli.dedup.curve_data.describe` gives it; returns `out`."""
    page = Page("Detection probability of near duplicates")
    page.below = "MinHash-LSH finds a pair of similarity J with probability 1 − (1 − J^rows)^bands"
    page.key_figures = [
        (f"{result['threshold']:g}", "threshold"),
        (f"{result['recall']:g}", "recall wanted there"),
        (str(result["num_perm"]), "minima of a signature"),
    ]
    refused = [said for pair in result["pairs"] if (said := verdict(result, pair)) is not None]
    page.section(
        "The curve",
        " ".join(refused)
        or f"The threshold is {threshold_text(result)}. Right of it: recall. Left of it: candidates "
        "that come to nothing.",
        page.chart(_chart(result)),
        Table(*_curve_rows(result)),
    )
    page.section(
        "What it costs",
        "Of the pairs at a similarity below the threshold, the share that become candidates, in %.",
        Table(*_cost_rows(result)),
    )
    return page.write(out)


def _name(pair: dict[str, Any]) -> str:
    return f"{pair['bands']} × {pair['rows']}"


def _chart(result: dict[str, Any]) -> Figure:
    hover = "J = %{x:.2f}: %{y:.4f}<extra>%{fullData.name}</extra>"
    lines = []
    for i, pair in enumerate(result["pairs"]):
        x = [point["similarity"] for point in pair["curve"]]
        lines.append(line(_name(pair), x, [point["probability"] for point in pair["curve"]], color(i), hover, 2.5))
    threshold, recall = result["threshold"], result["recall"]
    lines += [
        line(f"threshold {threshold:g}", [threshold, threshold], [0, 1], REMOVED, None, 1.5, dash="dash"),
        line(f"recall wanted {recall:g}", [0, 1], [recall, recall], OTHER, None, 1.5, dash="dash"),
    ]
    return figure(
        lines,
        460,
        x={"title": "Jaccard similarity of the pair", "range": [0, 1]},
        y={"title": "probability that it is found", "range": [0, 1.02]},
    )


def _curve_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: probability by similarity and pair."""
    from dedup.banding import detection_probability

    header = ["similarity", *map(_name, result["pairs"])]
    rows = []
    for similarity in sorted({*SHOWN, result["threshold"]}):
        mark = " (threshold)" if similarity == result["threshold"] else ""
        found = (detection_probability(similarity, pair["bands"], pair["rows"]) for pair in result["pairs"])
        rows.append([f"{similarity:g}{mark}", *(f"{value:.4f}" for value in found)])
    return header, rows


def _cost_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each pair's recall and candidates."""
    shown = list(result["pairs"][0]["candidates"])
    header = ["bands × rows", "permutations", "found at the threshold", *shown]
    rows = [
        [
            _name(pair),
            f"{pair['permutations']:,}",
            f"{pair['at_threshold']:.4f}",
            *(f"{100 * pair['candidates'][key]:.1f}" for key in shown),
        ]
        for pair in result["pairs"]
    ]
    return header, rows
