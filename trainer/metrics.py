"""The record of a training run: JSON lines of steps and events, TensorBoard's event files, a text chart."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from corpus.files import atomic_file
from tamis.terminal_chart import ChartLine, terminal_chart

if TYPE_CHECKING:
    from trainer.tensorboard import TensorBoardWriter

SKIPPED, WENT_BACK, ALARM, ENDED, CHANGED = "skipped", "went back", "alarm", "ended", "changed"
"""Kinds of events."""


class Metrics:
    """`metrics.jsonl`, one line a step, and `events.jsonl`; a resumed run first drops what is past its checkpoint.

    Lines of steps before `keep_steps` are kept, and events up to `keep_position` in the data.
    """

    def __init__(
        self,
        path: Path,
        keep_steps: int,
        keep_position: int = 0,
        *,
        writes: bool = True,
        board: TensorBoardWriter | None = None,
    ) -> None:
        self.path, self.writes, self.board = path, writes, board
        self.rows = [row for row in read_metrics(path) if row["step"] < keep_steps] if keep_steps else []
        events = read_metrics(self._events) if keep_steps else []
        self.events = [event for event in events if event["position"] <= keep_position]
        self._file: BinaryIO | None = None
        self._rewrite()
        if self.writes:
            _write(self._events, self.events)

    @property
    def _events(self) -> Path:
        return self.path.with_name("events.jsonl")

    def add(self, row: dict[str, Any]) -> None:
        """Append a step's numbers and flush, so that they can be watched."""
        self.rows.append(row)
        self._append(self._file, row)
        if self.board is not None:
            self.board.add(row)

    def event(self, row: dict[str, Any]) -> None:
        """Append to `events.jsonl` something unusual: a skipped step, a return to a checkpoint, …"""
        self.events.append(row)
        if self.writes:
            with self._events.open("ab") as file:
                self._append(file, row)
        if self.board is not None:
            self.board.event(row)

    def drop(self, step: int) -> None:
        """Forget the steps from this one on: the run has gone back."""
        self._close_file()
        if self.board is not None:
            self.board.drop(step)
        self.rows = [row for row in self.rows if row["step"] < step]
        self._rewrite()

    def close(self) -> None:
        """Close the files."""
        self._close_file()
        if self.board is not None:
            self.board.close()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite(self) -> None:
        if self.writes:
            _write(self.path, self.rows)
            self._file = self.path.open("ab")

    def _append(self, file: BinaryIO | None, row: dict[str, Any]) -> None:
        if file is not None and self.writes:
            file.write(_line(row))
            file.flush()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of `metrics.jsonl` or `events.jsonl`; a last line that a crash has cut is ignored."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]


def steady_median(rows: Sequence[dict[str, Any]], key: str) -> float | None:
    """The median of a measurement over all steps but the first three, which compile; None if no step has it."""
    values = [row[key] for row in rows[3 if len(rows) > 3 else 0 :] if row.get(key) is not None]
    return statistics.median(values) if values else None


def loss_chart(losses: Sequence[float], bar: float, width: int = 78, height: int = 16) -> str:
    """Losses as dots over their steps, each the mean of some steps where they are many; a dotted line at `bar`."""
    if not losses:
        return ""
    columns = min(width, len(losses))
    edges = [len(losses) * i // columns for i in range(columns + 1)]
    means = [math.fsum(losses[a:b]) / (b - a) for a, b in pairwise(edges)]
    ends, span = (1, max(2, len(losses))), (min(*losses, bar), max(*losses, bar))
    dots = ChartLine([float(b) for b in edges[1:]], means)
    return terminal_chart([dots], width=width, height=height, horizontal=bar, x_range=ends, y_range=span, marker="•")


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_file(path) as file:
        file.writelines(_line(row) for row in rows)


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True).encode() + b"\n"
