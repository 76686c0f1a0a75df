"""The parts that figures are made of, as plotly's figures in plain dicts: data and layout, no plotly object.

Colours are few and mean the same on every page: blue is what a run keeps or counts, orange what it removes, grey what
it is compared with. Fonts and grid lines get their colour in the page, which knows whether it is light or dark.
plotly reads names and hover texts as HTML: what comes from data goes through `html.escape`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

Figure = dict[str, Any]
KEPT, KEPT_LIGHT, REMOVED, OTHER = "#3a7ca5", "#8fbcd4", "#d1793b", "#9aa0a6"
PALETTE = (KEPT, "#5c9e6b", "#9a6fb0", "#c2a83e", "#4fa3a5", "#b3565c", KEPT_LIGHT, OTHER)
PERCENT = "%{x:.2f} %"
ROW, HEAD = 34, 96
"""Pixels of a bar chart: one bar, and what stands above and below the bars."""


def figure(data: list[Figure], height: int, x: Figure, y: Figure, **layout: Any) -> Figure:
    """A chart of some traces and two axes; a legend where there are several."""
    legend = len(data) > 1
    return {
        "data": data,
        "layout": {
            "height": height - (0 if legend else 24),
            "xaxis": _axis(x),
            "yaxis": _axis(y),
            "bargap": 0.25,
            "margin": {"l": 8, "r": 56, "t": 36 if legend else 12, "b": 48},
            "showlegend": legend,
            "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
            **layout,
        },
    }


def _axis(settings: Figure) -> Figure:
    title = {"title": {"text": settings["title"], "standoff": 12, "font": {"size": 13}}} if "title" in settings else {}
    return {"zeroline": False, "automargin": True, **settings, **title}


def color(i: int) -> str:
    """The colour of the i-th line or domain."""
    return PALETTE[i % len(PALETTE)]


def line(
    name: str, x: Sequence[Any], y: Sequence[Any], color: str, hover: str | None, width: float = 2, **more: Any
) -> Figure:
    """A line; a y of None is a gap, a hover of None says nothing about a point.

    `more` are other keys of the trace; `dash` is the line's.
    """
    style = {"color": color, "width": width, **({"dash": more.pop("dash")} if "dash" in more else {})}
    said = {"hoverinfo": "skip"} if hover is None else {"hovertemplate": hover}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": style, **said, **more}


def points(name: str, x: Sequence[Any], y: Sequence[Any], **more: Any) -> Figure:
    """Markers without a line; `more` are other keys of the trace."""
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, **more}


def bars(name: str, values: Sequence[float | None], names: Sequence[str], color: str, text: str = PERCENT) -> Figure:
    """Horizontal bars, each with its value beside it."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": list(values),
        "y": list(names),
        "marker": {"color": color},
        "texttemplate": text,
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: " + text + "<extra>%{fullData.name}</extra>",
    }


def bar_names() -> Figure:
    """The axis of horizontal bars: the first one on top."""
    return {"autorange": "reversed", "showgrid": False, "ticksuffix": "  "}


def counts(found: Counter[int], x_title: str, y_title: str) -> Figure:
    """Counts of small integers; bins double in width past sixteen, heights are logarithmic where they differ much."""
    binned: Counter[tuple[int, int]] = Counter()
    for value, count in found.items():
        low = value if value <= 16 else (1 << ((value - 1).bit_length() - 1)) + 1
        binned[low, value if value <= 16 else 1 << (value - 1).bit_length()] += count
    order = sorted(binned)
    drawn = {
        "type": "bar",
        "x": [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in order],
        "y": [binned[key] for key in order],
        "marker": {"color": KEPT},
        "text": [f"{binned[key]:,}" for key in order],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": f"%{{x}}: %{{y:,}} {y_title}<extra></extra>",
    }
    steep = max(binned.values()) > 50 * min(binned.values())
    scale: dict[str, Any] = {"type": "log", "dtick": 1} if steep else {"tickformat": ",d"}
    return figure(
        [drawn],
        340,
        x={"title": x_title, "type": "category", "showgrid": False},
        y={"title": y_title + (" (log)" if steep else ""), **scale},
    )
