"""What a person sees while a command works: bars on a terminal, lines elsewhere; on stderr, for pipes to stay clean."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import TaskID

from tamis.progress import SILENT, PlainProgress, Progress

SPEED_SECONDS = 300.0
"""The time left is told from the pace of the last so many seconds: steps may take a minute each."""


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Progress for a person to see; what is still drawn when the block ends is taken away.

    Under torchrun the first rank speaks for all.
    """
    console = Console(stderr=True)
    if int(os.environ.get("RANK", "0")):
        yield SILENT
        return
    if not console.is_terminal:
        yield PlainProgress()
        return
    bars = BarProgress(console)
    try:
        yield bars
    finally:
        bars.stop()


class BarProgress:
    """A bar while a step goes on, and one line when it is over."""

    def __init__(self, console: Console) -> None:
        from rich import progress as parts
        from rich.table import Column

        whole = Column(no_wrap=True)  # where the terminal is narrow, the bar gives way
        self._console = console
        self._bar = parts.Progress(
            parts.SpinnerColumn(),
            parts.TextColumn("{task.description}", table_column=whole),
            parts.BarColumn(bar_width=24),
            parts.MofNCompleteColumn(table_column=whole),
            parts.TimeElapsedColumn(table_column=whole),
            parts.TimeRemainingColumn(table_column=whole),
            parts.TextColumn("{task.fields[detail]}", table_column=whole),
            console=console,
            transient=True,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task: TaskID | None = None
        self._label = ""
        self._weights: Sequence[int] = ()
        self._started = 0.0
        self._moved = False

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        """A step begins."""
        self.stop()
        self._label, self._weights, self._started, self._moved = label, weights, time.monotonic(), False
        self._task = self._bar.add_task(label, total=total or None, detail="")
        self._bar.start()

    def update(self, done: int, detail: str = "") -> None:
        """So many tasks are done."""
        if self._task is None:
            return
        if not self._moved:  # what was done before this start is no pace
            self._bar.reset(self._task, completed=done)
        self._moved = True
        self._bar.update(self._task, completed=done, detail=detail or self._rate(done))

    def finish(self) -> None:
        """The step is over: one line stays."""
        self.stop()
        seconds = time.monotonic() - self._started
        line = f"[green]✓[/green] {self._label:<44} {seconds:6.1f} s  {self._rate(len(self._weights))}"
        self._console.print(line, highlight=False)

    def stop(self) -> None:
        """Takes away what is drawn."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._bar.stop()
            self._task = None

    def _rate(self, done: int) -> str:
        documents = sum(self._weights[:done]) if self._weights and max(self._weights) > 1 else 0
        seconds = time.monotonic() - self._started
        return f"{documents / max(seconds, 1e-3):,.0f} documents/s" if documents else ""
