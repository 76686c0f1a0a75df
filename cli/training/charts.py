"""The charts of a training run, as plotly figures in plain dicts.

The smoothed loss is the running median that the predicted band is compared with. A run of more steps than are drawn is
cut into stretches of steps: a point is the mean of its stretch, for the gradient norm the largest.
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from cli.pages.figures import KEPT, KEPT_LIGHT, OTHER, PALETTE, REMOVED, Figure, color, figure, line, points
from cli.training.data import KINDS, Row, Training, finite, loader_share, mean, stretches, throughput
from trainer.scaling.loss_band import LossBand

STEP = {"title": "step", "tickformat": ",d"}
SMOOTH = LossBand.smooth
"""Steps of the running median that the band is compared with."""
BAND = "predicted band"
_SYMBOLS = dict(zip(KINDS, ("x", "triangle-left", "star", "square", "diamond"), strict=True))
_GREY = "rgba(154,160,166,0.22)"


def loss(training: Training) -> Figure:
    """Training loss (raw and smoothed), held-out loss, the unigram model's loss, the predicted band, and events."""
    rows, hover = training.rows, "step %{x:,}: %{y:.3f}<extra>%{fullData.name}</extra>"
    groups = stretches(rows)
    smooth = smoothed(rows)
    ends = _last_of(groups)
    lines = _band(training, groups)
    lines.append(_line("training", groups, lambda g: mean(g, "loss"), KEPT_LIGHT, hover, 1))
    medians = [_figures(smooth[i]) for i in ends]
    lines.append(line(f"median of {SMOOTH} steps", _steps(groups), medians, KEPT, hover))
    at = [r["step"] + 1 for r in training.judged]
    held = [finite(r["heldout_loss"]) for r in training.judged]
    lines.append(line("held out", at, held, PALETTE[1], hover, 2.5, mode="lines+markers"))
    unigram = finite(training.summary.get("unigram_loss"))
    if unigram is not None and rows:
        name = f"unigram model, {unigram:.3f}"
        lines.append(line(name, [1, training.steps], [unigram, unigram], REMOVED, hover, dash="dash"))
    lines += _events(training, smooth)
    return figure(lines, 440, x=STEP, y={"title": "loss, nats a token"})


def by_domain(training: Training) -> Figure:
    """Held-out loss, a line a domain."""
    lines: list[Figure] = []
    for i, name in enumerate(training.domains):
        told = [row for row in training.judged if name in row.get("heldout_by_domain", {})]
        at = [r["step"] + 1 for r in told]
        losses = [finite(r["heldout_by_domain"][name]) for r in told]
        hover = f"{escape(name)}, step %{{x:,}}: %{{y:.3f}}<extra></extra>"
        lines.append(line(escape(name), at, losses, color(i), hover, mode="lines+markers", dash=_dash(i)))
    return figure(lines, 400, x=STEP, y={"title": "held-out loss, nats a token"})


def gradient(training: Training) -> Figure:
    """Gradient norm before clipping; where a point stands for several steps, the largest of them."""
    hover = "step %{x:,}: %{y:.3f}<extra></extra>"

    def largest(rows: list[Row]) -> float | None:
        return max((v for row in rows if (v := finite(row.get("gradient_norm"))) is not None), default=None)

    drawn = _line("gradient norm", stretches(training.rows), largest, KEPT, hover, 1.5)
    return figure([drawn], 260, x=STEP, y={"title": "gradient norm", "rangemode": "tozero"})


def learning_rate(training: Training) -> Figure:
    """The learning rate of each step."""
    hover = "step %{x:,}: %{y:.3g}<extra></extra>"
    groups = stretches(training.rows)
    drawn = _line("learning rate", groups, lambda g: mean(g, "learning_rate"), KEPT, hover, 2)
    return figure([drawn], 220, x=STEP, y={"title": "learning rate", "rangemode": "tozero"})


def speed(training: Training) -> Figure:
    """Tokens a second."""
    hover = "step %{x:,}: %{y:,.0f} tokens/s<extra></extra>"
    drawn = _line("tokens a second", stretches(training.rows), throughput, KEPT, hover, 1.5)
    return figure([drawn], 260, x=STEP, y={"title": "tokens a second", "rangemode": "tozero", "tickformat": ",d"})


def waiting(training: Training) -> Figure:
    """The share of a step's time that it waits for data."""
    hover = "step %{x:,}: %{y:.2f} % of the step<extra></extra>"
    drawn = _line("waiting for data", stretches(training.rows), loader_share, REMOVED, hover, 1.5)
    axis = {"title": "% of the step", "rangemode": "tozero", "ticksuffix": " %"}
    return figure([drawn], 220, x=STEP, y=axis)


def utilisation(training: Training) -> Figure:
    """MFU (share of the devices' peak) by the data sheet's peak and by a measured matrix product, where recorded."""
    hover = "step %{x:,}: %{y:.1f} %<extra>%{fullData.name}</extra>"
    groups = stretches(training.rows)
    lines = [
        _line(name, groups, lambda g, key=key: _percent(mean(g, key)), color, hover, 1.5)  # type: ignore[misc]
        for key, name, color in (("mfu", "of the data sheet's peak", KEPT), ("mfu_gemm", "of the measured GEMM", OTHER))
        if any(row.get(key) is not None for row in training.rows)
    ]
    return figure(lines, 260, x=STEP, y={"title": "MFU", "rangemode": "tozero", "ticksuffix": " %"})


def smoothed(rows: Sequence[Row]) -> list[float | None]:
    """The median of each step's loss and the ten before it; None where none of them is a number."""
    losses = [finite(row.get("loss")) for row in rows]
    found: list[float | None] = []
    for i in range(len(losses)):
        near = [value for value in losses[max(0, i + 1 - SMOOTH) : i + 1] if value is not None]
        found.append(statistics.median(near) if near else None)
    return found


def _band(training: Training, groups: list[list[Row]]) -> list[Figure]:
    """The predicted band, computed again from the losses; nothing where it was not asked for or never fitted."""
    config = training.facts.get("config", {})
    if not config.get("loss_band") or importlib.util.find_spec("scipy") is None:
        return []
    band = LossBand(warmup_steps=config["optimizer"]["warmup_steps"])
    low: list[float | None] = []
    high: list[float | None] = []
    for row in training.rows:
        bounds = band.bounds(row["tokens"])
        low.append(_figures(bounds[0]) if bounds else None)
        high.append(_figures(bounds[2]) if bounds else None)
        band.add(row["tokens"], row["loss"])
    if not any(value is not None for value in low):
        return []
    ends = _last_of(groups)
    shape = {"type": "scatter", "mode": "lines", "x": _steps(groups), "hoverinfo": "skip", "line": {"width": 0}}
    return [
        {**shape, "name": "band, low", "y": [low[i] for i in ends], "showlegend": False},
        {**shape, "name": BAND, "y": [high[i] for i in ends], "fill": "tonexty", "fillcolor": _GREY},
    ]


def _events(training: Training, smooth: list[float | None]) -> list[Figure]:
    """A marker for each event, on the smoothed loss at its step."""
    if not training.rows:
        return []
    at = {row["step"]: i for i, row in enumerate(training.rows)}
    found: list[Figure] = []
    for kind in KINDS:
        mine = [event for event in training.events if event.get("kind") == kind]
        if mine:
            places = [smooth[at.get(event["step"], len(smooth) - 1)] for event in mine]
            marks = points(
                kind,
                [e["step"] + 1 for e in mine],
                places,
                text=[escape(e["event"]) for e in mine],
                hovertemplate="step %{x:,}: %{text}<extra></extra>",
                marker={"symbol": _SYMBOLS[kind], "size": 10, "color": REMOVED},
            )
            found.append(marks)
    return found


def _line(
    name: str, groups: list[list[Row]], value: Callable[[list[Row]], float | None], color: str, hover: str, width: float
) -> Figure:
    mode, values = "lines" if len(groups) > 1 else "markers", [_figures(value(group)) for group in groups]
    return line(name, _steps(groups), values, color, hover, width, mode=mode, marker={"color": color})


def _steps(groups: list[list[Row]]) -> list[int]:
    return [group[-1]["step"] + 1 for group in groups]


def _last_of(groups: list[list[Row]]) -> list[int]:
    """The index of each group's last row among all rows."""
    ends, seen = [], 0
    for group in groups:
        seen += len(group)
        ends.append(seen - 1)
    return ends


def _figures(value: float | None) -> float | None:
    """Rounded to six significant figures: more cannot be seen and double the page's size."""
    return None if (value := finite(value)) is None else float(f"{value:.6g}")


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _dash(i: int) -> str:
    """The dash style of the i-th line: colours repeat after eight lines, dashes tell them apart."""
    styles: tuple[Any, ...] = ("solid", "dash", "dot", "dashdot")
    return str(styles[i // len(PALETTE) % len(styles)])
