"""The charts of the HTML report, as plotly figures in plain dicts: data and layout, no plotly object.

Colours are few and mean the same in every chart: blue is what a run keeps or counts, orange what it removes, grey the
report of Baichuan 2. Fonts and lines get their colour in the page, which knows whether it is light or dark.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from cli.inspect.stats import REPORT, REPORT_REMAINS, funnel_lines, reason_rows
from cli.report.data import QUALITY_BINS, Numbers

Figure = dict[str, Any]
KEPT, KEPT_LIGHT, REMOVED, OTHER = "#3a7ca5", "#8fbcd4", "#d1793b", "#9aa0a6"
PALETTE = (KEPT, "#5c9e6b", "#9a6fb0", "#c2a83e", "#4fa3a5", "#b3565c", KEPT_LIGHT, OTHER)
PERCENT = "%{x:.2f} %"
_ROW, _HEAD = 34, 96


def funnel(numbers: Numbers) -> Figure:
    """Left of raw behind each stage, in documents and bytes."""
    lines = funnel_lines(numbers.ledger)
    names = ["raw", *(line["name"] for line in lines)]
    text = [100.0, *(line["bytes_left"] for line in lines)]
    documents = [100.0, *(line["documents_left"] for line in lines)]
    return figure(
        [_bars("documents", documents, names, KEPT_LIGHT), _bars("text (bytes)", text, names, KEPT)],
        _HEAD + 50 * len(names),
        x={"title": "% of raw left", "range": [0, 108], "ticksuffix": " %"},
        y=_names(),
        barmode="group",
    )


def beside_report(numbers: Numbers) -> Figure:
    """What each step removed of raw, beside the report's."""
    ours = {line["name"]: line for line in funnel_lines(numbers.ledger)}
    names = [*REPORT, "remains"]
    last = list(ours.values())[-1] if ours else {"bytes_left": 100.0, "documents_left": 100.0}
    text = [ours[n]["bytes_removed"] if n in ours else None for n in REPORT] + [last["bytes_left"]]
    documents = [ours[n]["documents_removed"] if n in ours else None for n in REPORT] + [last["documents_left"]]
    theirs = [share for _, share in REPORT.values()] + [REPORT_REMAINS]
    bars = [
        _bars("Baichuan 2", theirs, names, OTHER),
        _bars("this run, documents", documents, names, KEPT_LIGHT),
        _bars("this run, bytes", text, names, KEPT),
    ]
    axis = {
        "title": "% of raw removed; in the last row, of raw that remains",
        "ticksuffix": " %",
        "rangemode": "tozero",
    }
    return figure(bars, _HEAD + 62 * len(names), x=axis, y=_names(), barmode="group")


def reasons(numbers: Numbers) -> Figure:
    """Bytes removed by stage and reason."""
    rows = [row for row in reason_rows(numbers.ledger) if row.bytes]
    whole = max(1, numbers.ledger["ingest"]["text_bytes"])
    names = [f"{row.stage}: {escape(row.reason)}" for row in rows]
    bars = _bars("text", [100 * row.bytes / whole for row in rows], names, REMOVED)
    bars["customdata"] = [
        [
            row.bytes,
            "cut from documents that stay" if row.documents is None else f"{row.documents:,} documents",
            row.sentences,
        ]
        for row in rows
    ]
    hover = "%{y}<br>%{x:.3f} % of raw: %{customdata[0]:,} bytes, %{customdata[2]:,} sentences, %{customdata[1]}"
    bars["hovertemplate"] = hover + "<extra></extra>"
    return figure(
        [bars], _HEAD + _ROW * len(rows), x={"title": "% of raw text removed", "ticksuffix": " %"}, y=_names()
    )


def removal(lines: Mapping[str, Sequence[int]]) -> Figure:
    """Kept and removed text of domains or sources: name → [documents in, kept, bytes in, kept]."""
    names = [escape(name) for name in lines]
    values = [[int(v) for v in line] for line in lines.values()]
    hover = "%{y}<br>%{x:.2f} % of its text, %{customdata[0]:,} bytes in %{customdata[1]:,} documents"
    hover += "<extra>%{fullData.name}</extra>"
    kept = _bars("kept", [100 * v[3] / max(1, v[2]) for v in values], names, KEPT, "%{x:.1f} %")
    gone = _bars("removed", [100 * max(0, v[2] - v[3]) / max(1, v[2]) for v in values], names, REMOVED, "%{x:.1f} %")
    kept |= {"customdata": [[v[3], v[1]] for v in values], "hovertemplate": hover, "textposition": "inside"}
    gone |= {"customdata": [[v[2] - v[3], v[0] - v[1]] for v in values], "hovertemplate": hover, "textposition": "auto"}
    axis = {"title": "% of its raw text", "range": [0, 100], "ticksuffix": " %"}
    return figure([kept, gone], _HEAD + _ROW * len(names), x=axis, y=_names(), barmode="stack")


def taken(names: Sequence[str], shares: Sequence[float], limits: Sequence[float | None]) -> Figure:
    """What stages took from domains or sources, % of what they received, and a tick at each one's alarm limit."""
    names = [escape(name) for name in names]
    ticks = {
        "type": "scatter",
        "mode": "markers",
        "name": "alarm",
        "x": list(limits),
        "y": names,
        "marker": {"symbol": "line-ns", "size": 22, "color": OTHER, "line": {"width": 2, "color": OTHER}},
        "hovertemplate": "%{y}: a run stops above %{x:g} %<extra></extra>",
    }
    axis = {"title": "% of what the stage received", "range": [0, 108], "ticksuffix": " %"}
    bars = _bars("removed", shares, names, REMOVED, "%{x:.1f} %")
    return figure([bars, ticks], _HEAD + _ROW * len(names), x=axis, y=_names())


def components(numbers: Numbers) -> Figure:
    """How many components have which size."""
    return counts(numbers.components, "documents in the component", "components")


def frequency(numbers: Numbers) -> Figure:
    """How many kept documents stand for how many raw ones."""
    return counts(numbers.frequency, "raw documents that a kept one stands for", "kept documents")


def quality(numbers: Numbers) -> Figure:
    """Quality of kept documents, stacked by domain."""
    middle = [(k + 0.5) / QUALITY_BINS for k in range(QUALITY_BINS)]
    bars = []
    for i, (domain, counts) in enumerate(sorted(numbers.quality.items())):
        hover = f"{escape(domain)}: %{{y:,}} documents at %{{x:.2f}}<extra></extra>"
        bars.append(
            {
                "type": "bar",
                "name": escape(domain),
                "x": middle,
                "y": counts.tolist(),
                "hovertemplate": hover,
                "marker": {"color": PALETTE[i % len(PALETTE)]},
                "width": 1 / QUALITY_BINS,
            }
        )
    axis = {"title": "mean sentence score of the document", "range": [0, 1]}
    return figure(bars, 340, x=axis, y={"title": "kept documents", "tickformat": ",d"}, barmode="stack")


def weights(numbers: Numbers) -> Figure:
    """Sampling weights, by domain."""
    seen = [w for counts in numbers.weights.values() for w in counts]
    low, high = min(seen), max(seen)
    bins = np.linspace(low, high, 41) if high > low else np.array([low - 0.05, low + 0.05])
    bars = []
    for i, (domain, counts) in enumerate(sorted(numbers.weights.items())):
        heights = np.histogram(list(counts), bins, weights=list(counts.values()))[0]
        hover = f"{escape(domain)}: %{{y:,}} documents at weight %{{x:.2f}}<extra></extra>"
        middle = ((bins[1:] + bins[:-1]) / 2).tolist()
        bars.append(
            {
                "type": "bar",
                "name": escape(domain),
                "x": middle,
                "y": heights.tolist(),
                "hovertemplate": hover,
                "width": float(bins[1] - bins[0]),
                "marker": {"color": PALETTE[i % len(PALETTE)]},
            }
        )
    axis = {
        "title": "weight: expected times a document is sampled",
        "range": [min(0.0, low), max(2.0, float(bins[-1]))],
    }
    return figure(bars, 320, x=axis, y={"title": "kept documents", "tickformat": ",d"}, barmode="stack")


def curve(numbers: Numbers, name: str, title: str) -> Figure:
    """The factor that each domain's curve of a name gives."""
    counts = name == "frequency"
    lines = []
    for i, (domain, settings) in enumerate(sorted(numbers.curves.items())):
        points = [tuple(point) for point in settings[name]]
        last = max(1024.0, points[-1][0]) if counts else 1.0
        ends = [(1.0 if counts else 0.0, points[0][1]), *points, (last, points[-1][1])]
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(domain),
                "x": [x for x, _ in ends],
                "y": [y for _, y in ends],
                "line": {"color": PALETTE[i % len(PALETTE)], "width": 2},
                "hovertemplate": f"{escape(domain)}: %{{y:.2f}} at %{{x}}<extra></extra>",
            }
        )
    axis = {"title": title, **({"type": "log", "dtick": "D2"} if counts else {"range": [0, 1]})}
    return figure(lines, 300, x=axis, y={"title": "factor", "rangemode": "tozero"})


def languages(numbers: Numbers) -> Figure:
    """Share of kept text by language, the largest ones."""
    total = max(1, sum(numbers.languages.values()))
    largest = numbers.languages.most_common(12)
    rest = total - sum(size for _, size in largest)
    rows = largest + ([("others", rest)] if rest and len(numbers.languages) > len(largest) else [])
    bars = _bars(
        "text", [100 * size / total for _, size in rows], [escape(name) for name, _ in rows], KEPT, "%{x:.2f} %"
    )
    return figure(
        [bars],
        _HEAD + _ROW * len(rows),
        x={"title": "% of kept text", "range": [0, 112], "ticksuffix": " %"},
        y=_names(),
    )


def reliability(languages: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """What a model promises against what is so: language → its bins of ``mean_score`` and ``good``."""
    hover = "score %{x:.2f}: %{y:.1%} good<extra>%{fullData.name}</extra>"
    lines: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "as promised",
            "x": [0, 1],
            "y": [0, 1],
            "hoverinfo": "skip",
            "line": {"color": OTHER, "width": 1.5, "dash": "dash"},
        }
    ]
    for (name, bins), color in zip(languages.items(), itertools.cycle(PALETTE)):
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escape(name),
                "hovertemplate": hover,
                "x": [b["mean_score"] for b in bins],
                "y": [b["good"] for b in bins],
                "line": {"color": color, "width": 2.5},
            }
        )
    return figure(
        lines,
        380,
        x={"title": "mean score of the sentences", "range": [0, 1]},
        y={"title": "share that is good, if both labels weighed the same", "range": [0, 1]},
    )


def counts(found: Counter[int], x_title: str, y_title: str) -> Figure:
    """Counts of small integers; both axes logarithmic where the range asks for it, doubling bins past sixteen."""
    binned: Counter[tuple[int, int]] = Counter()
    for value, count in found.items():
        low = value if value <= 16 else (1 << ((value - 1).bit_length() - 1)) + 1
        binned[low, value if value <= 16 else 1 << (value - 1).bit_length()] += count
    order = sorted(binned)
    labels = [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in order]
    bars = {
        "type": "bar",
        "x": labels,
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
        [bars],
        340,
        x={"title": x_title, "type": "category", "showgrid": False},
        y={"title": y_title + (" (log)" if steep else ""), **scale},
    )


def _bars(name: str, values: Sequence[float | None], names: Sequence[str], color: str, text: str = PERCENT) -> Figure:
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


def _names() -> Figure:
    return {"autorange": "reversed", "showgrid": False, "ticksuffix": "  "}


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
