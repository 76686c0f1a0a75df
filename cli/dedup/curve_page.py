"""The page of ``tamis dedup curve --html``: the same curves and tables as in the terminal, in one offline file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.dedup.curve import SHOWN, threshold_text, verdict
from cli.pages.page import Page, table
from cli.report.charts import OTHER, PALETTE, REMOVED, Figure, figure


def write_page(result: dict[str, Any], out: Path) -> Path:
    """Writes the page of a result as ``cli.dedup.curve.describe`` gives it; returns ``out``."""
    page = Page("Detection probability of near duplicates")
    page.header(
        "MinHash-LSH finds a pair of similarity J with probability 1 − (1 − J^rows)^bands",
        [
            (f"{result['threshold']:g}", "threshold"),
            (f"{result['recall']:g}", "recall wanted there"),
            (str(result["num_perm"]), "minima of a signature"),
        ],
    )
    refused = [said for pair in result["pairs"] if (said := verdict(result, pair)) is not None]
    page.section(
        "The curve",
        " ".join(refused)
        or f"The threshold is {threshold_text(result)}. Right of it: recall. Left of it: candidates "
        "that come to nothing.",
        page.chart(_chart(result)),
        table(*_curve_rows(result)),
    )
    page.section(
        "What it costs",
        "Of the pairs at a similarity below the threshold, the share that become candidates, in %.",
        table(*_cost_rows(result)),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page.html(), "utf-8")
    return out


def _name(pair: dict[str, Any]) -> str:
    return f"{pair['bands']} × {pair['rows']}"


def _chart(result: dict[str, Any]) -> Figure:
    hover = "J = %{x:.2f}: %{y:.4f}<extra>%{fullData.name}</extra>"
    lines: list[Figure] = []
    for i, pair in enumerate(result["pairs"]):
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": _name(pair),
                "hovertemplate": hover,
                "x": [point["similarity"] for point in pair["curve"]],
                "y": [point["probability"] for point in pair["curve"]],
                "line": {"color": PALETTE[i % len(PALETTE)], "width": 2.5},
            }
        )
    threshold, recall = result["threshold"], result["recall"]
    for name, x, y, color in (
        (f"threshold {threshold:g}", [threshold, threshold], [0, 1], REMOVED),
        (f"recall wanted {recall:g}", [0, 1], [recall, recall], OTHER),
    ):
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": x,
                "y": y,
                "hoverinfo": "skip",
                "line": {"color": color, "width": 1.5, "dash": "dash"},
            }
        )
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
