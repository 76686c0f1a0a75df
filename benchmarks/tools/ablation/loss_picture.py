"""The picture of a data ablation: held-out loss by language, during training and at its end.

One row for each language. On the left, for each arm, the mean over its seeds and the range from the least to the
greatest; on the right the loss at the end on a scale of its own: a dot for each seed, the mean, and one standard
deviation to each side. It is drawn as SVG, and as one HTML file that needs no network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.tools.ablation.spread import Spread
from corpus.files import atomic_file

COLOURS = {"raw": "#7f7f7f", "filtered": "#d98c2b", "document": "#4c78a8", "full": "#2e8540", "scored": "#b0413e"}
WIDTH, HEIGHT, LEFT, CURVES, GAP, FINAL = 900, 210, 62, 430, 118, 250
TOP, ROW = 56, HEIGHT + 62

Point = Mapping[str, Any]
Trainings = Sequence[Sequence[Point]]
"""The measurements of the trainings of an arm, seed by seed: `tokens`, and `losses` by language."""


def curve_of(trainings: Trainings, lang: str) -> list[tuple[int, Spread]]:
    """The losses of an arm during training: tokens, and the spread over the seeds."""
    return [
        (points[0]["tokens"], Spread.of([point["losses"][lang]["nats"] for point in points]))
        for points in zip(*trainings, strict=True)
    ]


def draw_svg(arms: Mapping[str, Trainings], languages: Sequence[str]) -> str:
    """The picture as SVG text."""
    height = TOP + ROW * len(languages)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-weight="bold">held-out loss, nats a token, by tokens trained on: mean and range '
        "of seeds</text>",
        f'<text x="{LEFT + CURVES + GAP}" y="22" font-weight="bold">at the end: seeds, mean ± deviation</text>',
    ]
    for number, lang in enumerate(languages):
        top = TOP + ROW * number
        curves = {name: curve_of(trainings, lang) for name, trainings in arms.items()}
        parts += _curves(curves, lang, top)
        parts += _ends({n: [t[-1]["losses"][lang]["nats"] for t in trainings] for n, trainings in arms.items()}, top)
    return "\n".join([*parts, "</svg>", ""])


def _curves(curves: Mapping[str, list[tuple[int, Spread]]], lang: str, top: int) -> list[str]:
    """The left panel of a language."""
    spreads = [spread for curve in curves.values() for _, spread in curve]
    x = _scale([0, max(tokens for curve in curves.values() for tokens, _ in curve)], LEFT, LEFT + CURVES)
    y = _scale([min(s.low for s in spreads), max(s.high for s in spreads)], top + HEIGHT, top)
    parts = [f'<text x="{LEFT}" y="{top - 8}">{escape(lang)}</text>']
    for value in _ticks(min(s.low for s in spreads), max(s.high for s in spreads)):
        parts.append(_line(LEFT, y(value), LEFT + CURVES, y(value), "#e4e4e4"))
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#333">{value:g}</text>')
    most = max(tokens for curve in curves.values() for tokens, _ in curve)
    for value in _ticks(0, most):
        parts.append(
            f'<text x="{x(value):.1f}" y="{top + HEIGHT + 18}" text-anchor="middle" fill="#333">{value / 1e3:,.0f} k'
            "</text>"
        )
    for name, curve in curves.items():
        colour = COLOURS.get(name, "#000000")
        edge = [(x(t), y(s.high)) for t, s in curve] + [(x(t), y(s.low)) for t, s in reversed(curve)]
        middle = [(x(t), y(s.mean)) for t, s in curve]
        parts.append(f'<polygon points="{_points(edge)}" fill="{colour}" fill-opacity="0.12"/>')
        parts.append(f'<polyline points="{_points(middle)}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    return parts


def _ends(ends: Mapping[str, Sequence[float]], top: int) -> list[str]:
    """The right panel of a language."""
    spreads = {name: Spread.of(values) for name, values in ends.items()}
    low = min(min(s.low, s.mean - s.deviation) for s in spreads.values())
    high = max(max(s.high, s.mean + s.deviation) for s in spreads.values())
    left = LEFT + CURVES + GAP
    x = _scale([low, high], left, left + FINAL)
    parts = []
    for value in _ticks(low, high, 4):
        parts.append(_line(x(value), top, x(value), top + HEIGHT, "#e4e4e4"))
        parts.append(
            f'<text x="{x(value):.1f}" y="{top + HEIGHT + 18}" text-anchor="middle" fill="#333">{value:g}</text>'
        )
    for number, (name, spread) in enumerate(spreads.items()):
        colour, y = COLOURS.get(name, "#000000"), top + HEIGHT * (number + 0.5) / len(spreads)
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end" fill="{colour}">{escape(name)}</text>')
        parts.append(_line(x(spread.mean - spread.deviation), y, x(spread.mean + spread.deviation), y, colour, 2))
        parts.append(_line(x(spread.mean), y - 8, x(spread.mean), y + 8, colour, 2))
        parts += [
            f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4" fill="{colour}" fill-opacity="0.45"/>'
            for value in ends[name]
        ]
    return parts


def _scale(values: Sequence[float], first: float, last: float) -> Callable[[float], float]:
    """A function from values to pixels; a single value lies at the first pixel."""
    low, high = min(values), max(values)
    return lambda value: first + (last - first) * (value - low) / ((high - low) or 1.0)


def _ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Some round numbers between two values."""
    step = 10.0**-9
    while (high - low) / step > count:
        digits = f"{step:.0e}"[0]
        step *= 2.5 if digits == "2" else 2
    first = -(-low // step)
    return [float(f"{(first + i) * step:.6g}") for i in range(count + 1) if (first + i) * step <= high]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def write_html(path: Path, arms: Mapping[str, Trainings], languages: Sequence[str]) -> None:
    """The left panels as one HTML file, every seed a line that can be hidden with its arm."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(languages), subplot_titles=list(languages), shared_xaxes=True)
    for column, lang in enumerate(languages, 1):
        for name, trainings in arms.items():
            line, shared = {"color": COLOURS.get(name, "#000000")}, {"legendgroup": name, "row": 1, "col": column}
            curve = curve_of(trainings, lang)
            figure.add_scatter(
                x=[t for t, _ in curve],
                y=[s.mean for _, s in curve],
                name=name,
                line={**line, "width": 3},
                showlegend=column == 1,
                **shared,
            )
            for seed, points in enumerate(trainings, 1):
                figure.add_scatter(
                    x=[p["tokens"] for p in points],
                    y=[p["losses"][lang]["nats"] for p in points],
                    opacity=0.35,
                    line={**line, "width": 1},
                    name=f"{name}, training {seed}",
                    showlegend=False,
                    **shared,
                )
        figure.update_xaxes(title="tokens trained on", row=1, col=column)
        figure.update_yaxes(title="held-out loss, nats a token", row=1, col=column)
    figure.update_layout(template="plotly_white", height=560, title="Held-out loss by language and by what was read")
    with atomic_file(path) as file:
        file.write(figure.to_html(include_plotlyjs=True, full_html=True, div_id="ablation").encode())
