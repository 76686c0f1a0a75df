"""The picture of a mixture: shares by phase above, epochs of each domain over tokens below."""

from __future__ import annotations

from pathlib import Path

from corpus.files import atomic_file
from sampler.plan import PlannedDomain
from tamis.errors import TamisError


def write_mixture_chart(path: Path, rows: list[PlannedDomain], title: str) -> None:
    """Write one HTML file that needs no network.

    Args:
        path: the file.
        rows: the plan.
        title: above it.

    Raises:
        TamisError: it cannot be written.
    """
    from plotly.colors import qualitative
    from plotly.subplots import make_subplots

    edges = _edges(rows)
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.08,
        row_heights=[0.4, 0.6],
        subplot_titles=("share of tokens", "epochs of each domain; dotted: allowed"),
    )
    for number, domain in enumerate(sorted({row.domain for row in rows})):
        colour = qualitative.Plotly[number % len(qualitative.Plotly)]
        mine = {row.phase: row for row in rows if row.domain == domain}
        x, shares, epochs = [], [], []
        reached = 0.0
        for phase, (begin, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            row = mine.get(phase)
            x += [begin, end]
            shares += [row.share if row else 0.0] * 2
            epochs += [row.begins, row.ends] if row else [reached] * 2
            reached = epochs[-1]
        figure.add_scatter(
            x=x,
            y=shares,
            name=domain,
            stackgroup="shares",
            line={"width": 0, "color": colour},
            legendgroup=domain,
            row=1,
            col=1,
        )
        figure.add_scatter(
            x=x, y=epochs, name=domain, line={"color": colour}, legendgroup=domain, showlegend=False, row=2, col=1
        )
        limit = max(row.max_epochs for row in mine.values())
        if limit <= 4 * max(1.0, *epochs):  # a limit far above would flatten the lines
            figure.add_hline(limit, line_dash="dot", line_color=colour, opacity=0.4, row=2, col=1)
    for edge in edges[1:-1]:
        figure.add_vline(edge, line_dash="dash", line_color="grey", opacity=0.6)
    figure.update_layout(title=title, template="plotly_white", height=720)
    figure.update_yaxes(tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title_text="tokens of the mixture", row=2, col=1)
    try:
        with atomic_file(path) as file:
            file.write(figure.to_html(include_plotlyjs=True, full_html=True, div_id="mixture").encode())
    except OSError as error:
        raise TamisError(f"{path}: cannot be written ({error.strerror}).") from error


def _edges(rows: list[PlannedDomain]) -> list[float]:
    """Where phases begin and end, in tokens of the mixture."""
    edges = [0.0]
    for phase in range(rows[-1].phase + 1):
        edges.append(edges[-1] + sum(row.tokens / (1 - row.padding) for row in rows if row.phase == phase))
    return edges
