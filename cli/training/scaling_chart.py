"""The picture of a scaling law: runs, the fitted curve, its interval, and the run that is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from corpus.files import atomic_file
from trainer.scaling.law import Point, Prediction, plot_band
from trainer.scaling.power_law import PowerLaw


def write_scaling_chart(
    path: Path, points: Sequence[Point], law: PowerLaw, prediction: Prediction | None, level: float
) -> None:
    """Write one HTML file that needs no network.

    Args:
        path: the file.
        points: the runs.
        law: fitted to them.
        prediction: of a larger run, or None.
        level: probability of the interval.
    """
    import plotly.graph_objects as go

    x, middle, low, high = plot_band(law, prediction.flops * 1.5 if prediction else 10 * law.x.max(), level)
    figure = go.Figure()
    figure.add_scatter(x=x, y=high, mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip")
    figure.add_scatter(
        x=x,
        y=low,
        mode="lines",
        line={"width": 0},
        fill="tonexty",
        fillcolor="rgba(76,120,168,0.18)",
        name=f"where a run lies with {level:.0%} probability",
        hoverinfo="skip",
    )
    name = f"{law.a:.3g} · C^{law.b:.3f} + {law.floor:.3f}"
    figure.add_scatter(x=x, y=middle, mode="lines", line={"color": "#4c78a8"}, name=name)
    figure.add_scatter(
        x=[point.flops for point in points],
        y=[point.loss for point in points],
        mode="markers",
        name="runs",
        text=[point.name for point in points],
        marker={"size": 9, "color": "#333"},
    )
    if prediction is not None:
        up, down = prediction.high - prediction.loss, prediction.loss - prediction.low
        figure.add_scatter(
            x=[prediction.flops],
            y=[prediction.loss],
            mode="markers",
            name="predicted",
            marker={"size": 11, "symbol": "diamond", "color": "#e45756"},
            error_y={"type": "data", "symmetric": False, "array": [up], "arrayminus": [down]},
        )
    figure.update_layout(
        title="Scaling law: held-out loss by training compute",
        template="plotly_white",
        height=560,
        xaxis={"type": "log", "title": "training compute, FLOPs", "exponentformat": "power"},
        yaxis={"title": "held-out loss, nats a token"},
    )
    with atomic_file(path) as file:
        file.write(figure.to_html(include_plotlyjs=True, full_html=True, div_id="scaling").encode())
