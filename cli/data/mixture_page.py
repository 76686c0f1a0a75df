"""The page of a mixture: the shares of its domains phase by phase, and the epochs that each comes to."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from cli.pages.figures import OTHER, Figure, color, figure, line
from cli.pages.page import Page

if TYPE_CHECKING:
    from sampler.plan import PlannedDomain

TOKENS = {"title": "tokens of the mixture"}


def write_mixture_page(path: Path, rows: list[PlannedDomain], title: str) -> None:
    """Write a plan as one HTML file that needs no network.

    Raises:
        TamisError: it cannot be written.
    """
    edges = phase_edges(rows)
    page = Page(title, f"{len(edges) - 1} phases, {edges[-1]:,.0f} tokens, padding included")
    page.section("Shares", "The share of tokens that each domain has.", page.chart(_shares(rows, edges), "mixture"))
    note = "How often each domain has been read through. Dotted: its max_epochs, where it is near."
    page.section("Epochs", note, page.chart(_epochs(rows, edges), "epochs"))
    page.write(path)


def phase_edges(rows: list[PlannedDomain]) -> list[float]:
    """Where phases begin and end, in tokens of the mixture, padding included."""
    edges = [0.0]
    for phase in range(rows[-1].phase + 1):
        edges.append(edges[-1] + sum(row.tokens / (1 - row.padding) for row in rows if row.phase == phase))
    return edges


def _by_domain(rows: list[PlannedDomain]) -> dict[str, dict[int, PlannedDomain]]:
    """Domain → phase → row, by name."""
    return {name: {r.phase: r for r in rows if r.domain == name} for name in sorted({row.domain for row in rows})}


def _steps(edges: list[float]) -> list[float]:
    """Begin and end of each phase, one after the other."""
    return [edge for pair in zip(edges[:-1], edges[1:], strict=True) for edge in pair]


def _shares(rows: list[PlannedDomain], edges: list[float]) -> Figure:
    lines = []
    for i, (domain, mine) in enumerate(_by_domain(rows).items()):
        values = [mine[n].share if n in mine else 0.0 for n in range(len(edges) - 1) for _ in "be"]
        hover = f"{escape(domain)}: %{{y:.2%}}<extra></extra>"
        lines.append(line(escape(domain), _steps(edges), values, color(i), hover, 0, stackgroup="shares"))
    return figure(lines, 320, x=TOKENS, y={"title": "share of tokens", "tickformat": ".0%"}, showlegend=True)


def _epochs(rows: list[PlannedDomain], edges: list[float]) -> Figure:
    lines, limits, top = [], [], 0.0
    for i, (domain, mine) in enumerate(_by_domain(rows).items()):
        values, reached = [], 0.0
        for phase in range(len(edges) - 1):
            values += [mine[phase].begins, mine[phase].ends] if phase in mine else [reached] * 2
            reached = values[-1]
        hover = f"{escape(domain)}: %{{y:.2f}} epochs<extra></extra>"
        lines.append(line(escape(domain), _steps(edges), values, color(i), hover))
        limit = max(row.max_epochs for row in mine.values())
        if limit <= 4 * max(1.0, *values):  # a limit far above would flatten the lines
            name = f"max_epochs of {escape(domain)}"
            ends = [edges[0], edges[-1]]
            limits.append(line(name, ends, [limit] * 2, color(i), None, 1.5, dash="dot", showlegend=False))
        top = max(top, *values)
    bounds = [
        line("phase", [edge] * 2, [0, top], OTHER, None, 1, dash="dash", showlegend=False) for edge in edges[1:-1]
    ]
    return figure(lines + limits + bounds, 420, x=TOKENS, y={"title": "epochs", "rangemode": "tozero"}, showlegend=True)
