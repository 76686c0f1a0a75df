"""What a person sees while a command works: bars on a terminal, lines elsewhere; on stderr, for pipes to stay clean."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import TaskID

from tamis.cache import kernel_folder
from tamis.compiling import kernels, watched_folder
from tamis.progress import SILENT, Clock, PlainProgress, Progress

SPEED_SECONDS = 300.0
"""The time left is told from the pace of the last so many seconds: steps may take a minute each."""

TOLD_SECONDS = 2.0
"""What a command spent on compiling kernels is told at its end, if it is more."""


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Progress for a person to see; what is still drawn when the block ends is taken away.

    Under torchrun the first rank speaks for all.
    """
    console = Console(stderr=True)
    if int(os.environ.get("RANK", "0")):
        yield SILENT
        return
    clock = Clock()
    watched_folder()
    shown = BarProgress(console) if console.is_terminal else PlainProgress()
    try:
        yield shown
    finally:
        if isinstance(shown, BarProgress):
            shown.stop()
        compiled = clock.compiling
        if compiled.seconds >= TOLD_SECONDS:
            what = f"compiled {kernels(len(compiled.done))} in {compiled.seconds:.0f} s, once"
            print(f"{what}: they are kept in {kernel_folder()}", file=sys.stderr)


class BarProgress:
    """A bar while a step goes on, and one line when it is over."""

    def __init__(self, console: Console) -> None:
        from rich import progress as parts
        from rich.table import Column
        from rich.text import Text

        whole = Column(no_wrap=True)  # where the terminal is narrow, the bar gives way

        class Detail(parts.ProgressColumn):
            """What a step says of itself, or, while kernels are being compiled, that."""

            def render(_, task: parts.Task) -> Text:
                compiling = self._clock.compiling
                return Text(str(compiling) if compiling.left else task.fields["detail"])

        self._console = console
        self._bar = parts.Progress(
            parts.SpinnerColumn(),
            parts.TextColumn("{task.description}", table_column=whole),
            parts.BarColumn(bar_width=24),
            parts.MofNCompleteColumn(table_column=whole),
            parts.TimeElapsedColumn(table_column=whole),
            parts.TimeRemainingColumn(table_column=whole),
            Detail(table_column=whole),
            console=console,
            transient=True,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task: TaskID | None = None
        self._clock = Clock()
        self._moved = False

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        """A step begins."""
        self.stop()
        watched_folder()
        self._clock, self._moved = Clock(label, weights), False
        self._task = self._bar.add_task(label, total=total or None, detail="")
        self._bar.start()

    def update(self, done: int, detail: str = "") -> None:
        """So many tasks are done."""
        if self._task is None:
            return
        if not self._moved:  # what was done before this start is no pace
            self._bar.reset(self._task, completed=done)
        self._moved = True
        self._bar.update(self._task, completed=done, detail=detail or self._clock.rate(done))

    def finish(self) -> None:
        """The step is over: one line stays."""
        self.stop()
        clock = self._clock
        line = f"[green]✓[/green] {clock.label:<44} {clock.seconds:6.1f} s  {', '.join(clock.words())}"
        self._console.print(line, highlight=False)

    def stop(self) -> None:
        """Takes away what is drawn."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._bar.stop()
            self._task = None
