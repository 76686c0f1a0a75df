"""The charts of the HTML report, each a function of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from cli.inspect.stats import REPORT, REPORT_REMAINS, funnel_lines, reason_rows
from cli.pages.figures import (
    HEAD,
    KEPT,
    KEPT_LIGHT,
    OTHER,
    REMOVED,
    ROW,
    Figure,
    bar_names,
    bars,
    color,
    counts,
    figure,
    line,
    points,
)
from cli.report.numbers import QUALITY_BINS, Numbers

COUNT = {"title": "kept documents", "tickformat": ",d"}


def funnel(numbers: Numbers) -> Figure:
    """What is left of the raw data after each stage, in documents and bytes."""
    lines = funnel_lines(numbers.ledger)
    names = ["raw", *(line["name"] for line in lines)]
    text = [100.0, *(line["bytes_left"] for line in lines)]
    documents = [100.0, *(line["documents_left"] for line in lines)]
    return figure(
        [bars("documents", documents, names, KEPT_LIGHT), bars("text (bytes)", text, names, KEPT)],
        HEAD + 50 * len(names),
        x={"title": "% of raw left", "range": [0, 108], "ticksuffix": " %"},
        y=bar_names(),
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
    drawn = [
        bars("Baichuan 2", theirs, names, OTHER),
        bars("this run, documents", documents, names, KEPT_LIGHT),
        bars("this run, bytes", text, names, KEPT),
    ]
    axis = {
        "title": "% of raw removed; in the last row, of raw that remains",
        "ticksuffix": " %",
        "rangemode": "tozero",
    }
    return figure(drawn, HEAD + 62 * len(names), x=axis, y=bar_names(), barmode="group")


def reasons(numbers: Numbers) -> Figure:
    """Bytes removed by stage and reason."""
    rows = [row for row in reason_rows(numbers.ledger) if row.bytes]
    whole = max(1, numbers.ledger["ingest"]["text_bytes"])
    names = [f"{row.stage}: {escape(row.reason)}" for row in rows]
    drawn = bars("text", [100 * row.bytes / whole for row in rows], names, REMOVED)
    drawn["customdata"] = [
        [
            row.bytes,
            "cut from documents that stay" if row.documents is None else f"{row.documents:,} documents",
            row.sentences,
        ]
        for row in rows
    ]
    hover = "%{y}<br>%{x:.3f} % of raw: %{customdata[0]:,} bytes, %{customdata[2]:,} sentences, %{customdata[1]}"
    drawn["hovertemplate"] = hover + "<extra></extra>"
    return figure(
        [drawn], HEAD + ROW * len(rows), x={"title": "% of raw text removed", "ticksuffix": " %"}, y=bar_names()
    )


def removal(lines: Mapping[str, Sequence[int]]) -> Figure:
    """Kept and removed text of domains or sources: name → [documents in, kept, bytes in, kept]."""
    names = [escape(name) for name in lines]
    values = [[int(v) for v in line] for line in lines.values()]
    hover = "%{y}<br>%{x:.2f} % of its text, %{customdata[0]:,} bytes in %{customdata[1]:,} documents"
    hover += "<extra>%{fullData.name}</extra>"
    kept = bars("kept", [100 * v[3] / max(1, v[2]) for v in values], names, KEPT, "%{x:.1f} %")
    gone = bars("removed", [100 * max(0, v[2] - v[3]) / max(1, v[2]) for v in values], names, REMOVED, "%{x:.1f} %")
    kept |= {"customdata": [[v[3], v[1]] for v in values], "hovertemplate": hover, "textposition": "inside"}
    gone |= {"customdata": [[v[2] - v[3], v[0] - v[1]] for v in values], "hovertemplate": hover, "textposition": "auto"}
    axis = {"title": "% of its raw text", "range": [0, 100], "ticksuffix": " %"}
    return figure([kept, gone], HEAD + ROW * len(names), x=axis, y=bar_names(), barmode="stack")


def taken(names: Sequence[str], shares: Sequence[float], limits: Sequence[float | None]) -> Figure:
    """What stages took from domains or sources, % of what they received, and a tick at each one's alarm limit."""
    names = [escape(name) for name in names]
    mark = {"symbol": "line-ns", "size": 22, "color": OTHER, "line": {"width": 2, "color": OTHER}}
    hover = "%{y}: a run stops above %{x:g} %<extra></extra>"
    ticks = points("alarm", list(limits), names, marker=mark, hovertemplate=hover)
    axis = {"title": "% of what the stage received", "range": [0, 108], "ticksuffix": " %"}
    drawn = bars("removed", shares, names, REMOVED, "%{x:.1f} %")
    return figure([drawn, ticks], HEAD + ROW * len(names), x=axis, y=bar_names())


def components(numbers: Numbers) -> Figure:
    """How many components have which size."""
    return counts(numbers.components, "documents in the component", "components")


def frequency(numbers: Numbers) -> Figure:
    """How many kept documents stand for how many raw ones."""
    return counts(numbers.frequency, "raw documents that a kept one stands for", "kept documents")


def quality(numbers: Numbers) -> Figure:
    """Quality of kept documents, stacked by domain."""
    middle = [(k + 0.5) / QUALITY_BINS for k in range(QUALITY_BINS)]
    heights = {domain: found.tolist() for domain, found in numbers.quality.items()}
    stacked = _stacked(heights, middle, 1 / QUALITY_BINS, "%{x:.2f}")
    axis = {"title": "mean sentence score of the document", "range": [0, 1]}
    return figure(stacked, 340, x=axis, y=COUNT, barmode="stack")


def weights(numbers: Numbers) -> Figure:
    """Sampling weights, stacked by domain."""
    seen = [w for found in numbers.weights.values() for w in found]
    low, high = min(seen), max(seen)
    bins = np.linspace(low, high, 41) if high > low else np.array([low - 0.05, low + 0.05])
    heights = {
        domain: np.histogram(list(found), bins, weights=list(found.values()))[0].tolist()
        for domain, found in numbers.weights.items()
    }
    middle = ((bins[1:] + bins[:-1]) / 2).tolist()
    stacked = _stacked(heights, middle, float(bins[1] - bins[0]), "weight %{x:.2f}")
    axis = {
        "title": "weight: expected times a document is sampled",
        "range": [min(0.0, low), max(2.0, float(bins[-1]))],
    }
    return figure(stacked, 320, x=axis, y=COUNT, barmode="stack")


def _stacked(heights: Mapping[str, list[int]], middle: list[float], width: float, where: str) -> list[Figure]:
    """A histogram of each domain; `where` is plotly's template of a bin's name."""
    return [
        {
            "type": "bar",
            "name": escape(domain),
            "x": middle,
            "y": heights[domain],
            "hovertemplate": f"{escape(domain)}: %{{y:,}} documents at {where}<extra></extra>",
            "marker": {"color": color(i)},
            "width": width,
        }
        for i, domain in enumerate(sorted(heights))
    ]


def curve(numbers: Numbers, name: str, title: str) -> Figure:
    """The factor that each domain's curve of a name gives."""
    of_counts = name == "frequency"
    lines = []
    for i, (domain, settings) in enumerate(sorted(numbers.curves.items())):
        points = [tuple(point) for point in settings[name]]
        last = max(1024.0, points[-1][0]) if of_counts else 1.0
        ends = [(1.0 if of_counts else 0.0, points[0][1]), *points, (last, points[-1][1])]
        hover = f"{escape(domain)}: %{{y:.2f}} at %{{x}}<extra></extra>"
        lines.append(line(escape(domain), [x for x, _ in ends], [y for _, y in ends], color(i), hover))
    axis = {"title": title, **({"type": "log", "dtick": "D2"} if of_counts else {"range": [0, 1]})}
    return figure(lines, 300, x=axis, y={"title": "factor", "rangemode": "tozero"})


def languages(numbers: Numbers) -> Figure:
    """Share of kept text by language, the largest ones."""
    total = max(1, sum(numbers.languages.values()))
    largest = numbers.languages.most_common(12)
    rest = total - sum(size for _, size in largest)
    rows = largest + ([("others", rest)] if rest and len(numbers.languages) > len(largest) else [])
    shares, names = [100 * size / total for _, size in rows], [escape(name) for name, _ in rows]
    axis = {"title": "% of kept text", "range": [0, 112], "ticksuffix": " %"}
    return figure([bars("text", shares, names, KEPT)], HEAD + ROW * len(rows), x=axis, y=bar_names())


def reliability(languages: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Calibration: the mean score of each bin against the share of it that is good, by language."""
    hover = "score %{x:.2f}: %{y:.1%} good<extra>%{fullData.name}</extra>"
    lines = [line("as promised", [0, 1], [0, 1], OTHER, None, 1.5, dash="dash")]
    for i, (name, bins) in enumerate(languages.items()):
        x, y = [b["mean_score"] for b in bins], [b["good"] for b in bins]
        lines.append(line(escape(name), x, y, color(i), hover, 2.5, mode="lines+markers"))
    return figure(
        lines,
        380,
        x={"title": "mean score of the sentences", "range": [0, 1]},
        y={"title": "share that is good, if both labels weighed the same", "range": [0, 1]},
    )
