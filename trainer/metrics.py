"""What a run leaves to look at: JSON lines, a static chart, and a chart of characters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from corpus.files import atomic_file


class Metrics:
    """`metrics.jsonl`, one line a step; a resumed run first drops the lines past its checkpoint.

    Args:
        path: the file.
        keep_steps: lines of earlier steps to keep.
        writes: whether this rank is the one that writes.
    """

    def __init__(self, path: Path, keep_steps: int, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.rows = [row for row in read_metrics(path) if row["step"] < keep_steps] if keep_steps else []
        self.events: list[dict[str, Any]] = []
        self._file: BinaryIO | None = None
        self._rewrite()

    def add(self, row: dict[str, Any]) -> None:
        """Append a step's numbers, at once on disk for whoever watches."""
        self.rows.append(row)
        self._append(self._file, row)

    def event(self, row: dict[str, Any]) -> None:
        """Append to `events.jsonl` what happened beside a step: one not taken, a way back."""
        self.events.append(row)
        if self.writes:
            with self.path.with_name("events.jsonl").open("ab") as file:
                self._append(file, row)

    def drop(self, step: int) -> None:
        """Forget the steps from this one on: the run has gone back."""
        self.close()
        self.rows = [row for row in self.rows if row["step"] < step]
        self._rewrite()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite(self) -> None:
        if self.writes:
            with atomic_file(self.path) as file:
                file.writelines(_line(row) for row in self.rows)
            self._file = self.path.open("ab")

    def _append(self, file: BinaryIO | None, row: dict[str, Any]) -> None:
        if file is not None and self.writes:
            file.write(_line(row))
            file.flush()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a metrics file; a last line cut by a crash is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]


def write_chart(path: Path, rows: Sequence[dict[str, Any]], unigram: float, title: str) -> None:
    """The loss curve as one HTML file that needs no network."""
    import plotly.graph_objects as go

    heldout = [row for row in rows if "heldout_loss" in row]
    figure = go.Figure()
    figure.add_scatter(
        x=[row["step"] + 1 for row in rows], y=[row["loss"] for row in rows], name="training", mode="lines"
    )
    figure.add_scatter(
        x=[row["step"] + 1 for row in heldout], y=[row["heldout_loss"] for row in heldout], name="held out"
    )
    figure.add_hline(unigram, line_dash="dot", annotation_text=f"unigram model {unigram:.3f}")
    figure.update_layout(title=title, xaxis_title="step", yaxis_title="loss, nats a token", template="plotly_white")
    html = figure.to_html(include_plotlyjs=True, full_html=True, div_id="loss")
    with atomic_file(path) as file:
        file.write(html.encode())


def text_chart(values: Sequence[float], bar: float, width: int = 64, height: int = 12) -> str:
    """Values as dots over their steps, with a dashed line at `bar`."""
    if not values:
        return ""
    low, high = min(*values, bar), max(*values, bar)
    span = (high - low) or 1.0
    columns = min(width, len(values))
    grid = [[" "] * columns for _ in range(height)]

    def row_of(value: float) -> int:
        return round((high - value) / span * (height - 1))

    grid[row_of(bar)] = ["-"] * columns
    for column in range(columns):
        part = values[column * len(values) // columns : max((column + 1) * len(values) // columns, 1)]
        grid[row_of(sum(part) / len(part))][column] = "•"
    lines = [f"{high - span * i / (height - 1):7.3f} │{''.join(cells)}" for i, cells in enumerate(grid)]
    footer = "step 1" + f"{len(values):>{max(columns - 6, len(str(len(values))) + 3)}}"
    return "\n".join([*lines, " " * 8 + "└" + "─" * columns, " " * 9 + footer])


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True).encode() + b"\n"
