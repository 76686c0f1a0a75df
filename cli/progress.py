"""What a person sees while a run goes on.

Step, shards, documents a second, time left. On stderr, so that pipes stay clean.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import TaskID


class RichProgress:
    """One line a step: a live bar on a terminal, plain lines elsewhere.

    Args:
        console: where to draw; stderr by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = console or Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._live = self._console.is_terminal
        self._task: TaskID | None = None
        self._label = ""
        self._weights: Sequence[int] = []
        self._started = 0.0

    def start(self, label: str, total: int, weights: Sequence[int]) -> None:
        """A step begins."""
        self._label, self._weights, self._started = label, weights, time.monotonic()
        if self._live:
            self._task = self._bar.add_task(label, total=total or None, rate="")
            self._bar.start()

    def update(self, done: int) -> None:
        """So many tasks are done."""
        if self._live and self._task is not None:
            self._bar.update(self._task, completed=done, rate=self._rate(done))

    def finish(self) -> None:
        """The step is over: one line stays."""
        if self._live and self._task is not None:
            self._bar.remove_task(self._task)
            self._bar.stop()
            self._task = None
        seconds = time.monotonic() - self._started
        rate = self._rate(len(self._weights)) if len(self._weights) else ""
        self._console.print(f"[green]✓[/green] {self._label:<44} {seconds:6.1f} s  {rate}", highlight=False)

    def _rate(self, done: int) -> str:
        documents = sum(self._weights[:done]) if self._weights and max(self._weights) > 1 else 0
        seconds = time.monotonic() - self._started
        return f"{documents / max(seconds, 1e-3):,.0f} documents/s" if documents else ""
