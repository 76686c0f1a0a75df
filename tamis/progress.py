"""What work that takes more than a moment reports to, one step after the other: to nobody, or to a log.

The commands draw bars instead (`cli.progress`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Where running work reports to."""

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        """A step of so many tasks (0: not known) begins; `weights` are the documents of each, where known."""

    def update(self, done: int, detail: str = "") -> None:
        """So many tasks are done; `detail` stands beside the number."""

    def finish(self) -> None:
        """The step is over."""


class Silent:
    """Reports nothing."""

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        """Nothing."""

    def update(self, done: int, detail: str = "") -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


SILENT = Silent()


class PlainProgress:
    """One line a step begun and one a step ended: what the log of a cluster, or a pipe, can show; stderr by default."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._label = ""
        self._documents = 0
        self._started = 0.0

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        """A step begins."""
        self._label, self._started = label, time.monotonic()
        self._documents = sum(weights) if max(weights, default=0) > 1 else 0
        print(f"{label}: {total:,} tasks" if total else label, file=self._stream, flush=True)

    def update(self, done: int, detail: str = "") -> None:
        """So many tasks are done; a log does not show that."""

    def finish(self) -> None:
        """The step is over."""
        seconds = time.monotonic() - self._started
        rate = f", {self._documents / max(seconds, 1e-3):,.0f} documents/s" if self._documents else ""
        print(f"{self._label}: {seconds:.1f} s{rate}", file=self._stream, flush=True)


@contextmanager
def step(progress: Progress, label: str, total: int = 0) -> Iterator[None]:
    """A step that is as long as the block."""
    progress.start(label, total)
    yield
    progress.finish()


def each(progress: Progress, label: str, items: Sequence[Item]) -> Iterator[Item]:
    """The items one after the other, as a step with a task an item."""
    with step(progress, label, len(items)):
        for done, item in enumerate(items, 1):
            yield item
            progress.update(done)
