"""The progress bar of commands that make tokens or train: on standard error, gone when they are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console

SPEED_SECONDS = 300.0
"""The time left is told from the pace of the last so many seconds: steps may take a minute each."""


class Bar(Protocol):
    """Called while work goes on; a `sampler.progress.Progress` that may say more."""

    def __call__(self, what: str, done: int, total: int, detail: str = "") -> None:
        """So much of it is done; `detail` stands behind the bar."""


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A progress callback drawn on standard error; it vanishes when done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    whole = Column(no_wrap=True)  # where the terminal is narrow, the bar gives way
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=whole),
        BarColumn(),
        MofNCompleteColumn(table_column=whole),
        TimeElapsedColumn(table_column=whole),
        TimeRemainingColumn(table_column=whole),
        TextColumn("{task.fields[detail]}", table_column=whole),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, speed_estimate_period=SPEED_SECONDS) as bar:

        def update(what: str, done: int, total: int, detail: str = "") -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None, completed=done, detail="")  # a resume is no pace
                if not console.is_terminal:
                    console.print(f"{what} …")
            bar.update(tasks[what], completed=done, total=total or None, detail=detail)

        yield update
