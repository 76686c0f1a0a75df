"""The report's part about embeddings: how large the cells are, and the map of a sample."""

from __future__ import annotations

from collections import Counter
from html import escape

from cli.pages.figures import Figure, color, counts, figure
from cli.pages.page import Heading, Note, Page, Part, Table
from cli.report.numbers import Numbers


def add_cells(page: Page, numbers: Numbers) -> None:
    """The section; nothing where the run has no cells."""
    facts = numbers.semantic
    if facts is None or not numbers.cells:
        return
    note = (
        f"{facts['cells']:,} cells of {facts['documents']:,} documents; {facts['edges']:,} pairs within a cell mean "
        f"the same, from a cosine of {facts['threshold']} on."
    )
    if facts.get("without_agreement"):
        note += f" {facts['without_agreement']:,} of them state other numbers or names, and join nothing."
    rows = [
        ("mean distance to the centroid", f"{facts['distance']['mean']:.3f}"),
        ("99 % of documents lie within", f"{facts['distance']['p99']:.3f}"),
    ]
    if facts.get("drift"):
        drift = facts["drift"]
        rows += [
            ("mean distance in the snapshot before", f"{drift['mean_before']:.3f}"),
            ("beyond its 99th percentile now", f"{100 * drift['share_beyond_p99']:.2f} %"),
        ]
    parts: list[Part] = [page.chart(counts(numbers.cells, "documents in the cell", "cells"))]
    parts.append(Table(("distance", ""), rows))
    if len(numbers.map):
        held = f"{100 * facts['map_variance']:.0f} %"
        parts += [
            Heading(f"A map of {len(numbers.map):,} documents"),
            Note(f"Their embeddings on the two principal directions, which hold {held} of the variance."),
            page.chart(_map(numbers)),
        ]
    page.section("Meaning", note, *parts)


def _map(numbers: Numbers) -> Figure:
    """A point for each document of the sample, in the colour of its domain."""
    traces = []
    for i, domain in enumerate(sorted(Counter(numbers.map_domains))):
        mine = [k for k, d in enumerate(numbers.map_domains) if d == domain]
        traces.append(
            {
                "type": "scattergl",
                "mode": "markers",
                "name": escape(domain),
                "x": numbers.map[mine, 0].round(4).tolist(),
                "y": numbers.map[mine, 1].round(4).tolist(),
                "customdata": [numbers.map_cells[k] for k in mine],
                "marker": {"size": 4, "color": color(i)},
                "hovertemplate": f"{escape(domain)}, cell %{{customdata}}<extra></extra>",
            }
        )
    return figure(traces, 520, x={"showticklabels": False}, y={"showticklabels": False})
