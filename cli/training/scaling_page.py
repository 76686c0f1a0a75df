"""The page of a scaling law: runs, the fitted curve, its interval, and the run that is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from cli.pages.figures import KEPT, OTHER, REMOVED, Figure, figure, line, points
from cli.pages.page import Page
from trainer.scaling.law import Point, Prediction, plot_band
from trainer.scaling.power_law import PowerLaw

_SHADE = "rgba(58,124,165,0.18)"


def write_scaling_page(
    path: Path, runs: Sequence[Point], law: PowerLaw, prediction: Prediction | None, level: float
) -> None:
    """Write one HTML file that needs no network; `level` is the probability of the interval.

    Raises:
        TamisError: it cannot be written.
    """
    page = Page("Scaling law: held-out loss by training compute")
    page.below = f"L(C) = {law.a:.4g} · C^{law.b:.4f} + {law.floor:.3f}, in nats a token; C in FLOPs"
    note = f"Shaded: where a run lies with {level:.0%} probability."
    page.section("Runs and law", note, page.chart(_chart(runs, law, prediction, level)))
    page.write(path)


def _chart(runs: Sequence[Point], law: PowerLaw, prediction: Prediction | None, level: float) -> Figure:
    hover = "%{x:.3g} FLOPs: %{y:.4f}<extra>%{fullData.name}</extra>"
    farthest = prediction.flops * 1.5 if prediction else 10 * law.x.max()
    x, middle, low, high = (values.tolist() for values in plot_band(law, farthest, level))
    lines = [
        line("", x, high, KEPT, None, 0, showlegend=False),
        line(f"interval of {level:.0%}", x, low, KEPT, None, 0, fill="tonexty", fillcolor=_SHADE),
        line("law", x, middle, KEPT, hover),
        points(
            "runs",
            [run.flops for run in runs],
            [run.loss for run in runs],
            text=[escape(run.name) for run in runs],
            marker={"size": 9, "color": OTHER},
            hovertemplate="%{text}, %{x:.3g} FLOPs: %{y:.4f}<extra></extra>",
        ),
    ]
    if prediction is not None:
        up, down = prediction.high - prediction.loss, prediction.loss - prediction.low
        mark = {"size": 11, "symbol": "diamond", "color": REMOVED}
        error = {"type": "data", "symmetric": False, "array": [up], "arrayminus": [down]}
        at = [prediction.flops], [prediction.loss]
        lines.append(points("predicted", *at, marker=mark, error_y=error, hovertemplate=hover))
    axis = {"type": "log", "title": "training compute, FLOPs", "exponentformat": "power"}
    return figure(lines, 560, x=axis, y={"title": "held-out loss, nats a token"})
