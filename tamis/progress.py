"""What work that takes more than a moment reports to, one step after the other: to nobody, or to a log.

The commands draw bars instead (`cli.progress`).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Protocol, TextIO, TypeVar

from tamis.compiling import Compiling, compiling_since, watched_folder

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
TELL_AFTER = 2.0, 10.0
"""A log says after so many seconds of a step which kernels are being compiled, and then every so many."""


@dataclass
class Clock:
    """A step's time, and what of it was spent on compiling kernels, which is done once and says nothing of the data."""

    label: str = ""
    weights: Sequence[int] = ()
    began: float = field(default_factory=time.time)
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    @property
    def compiling(self) -> Compiling:
        """What has been compiled in this step."""
        return compiling_since(self.began)

    def rate(self, done: int) -> str:
        """Documents a second of so many tasks, outside of compiling; empty where that would say nothing."""
        documents = sum(self.weights[:done]) if max(self.weights, default=0) > 1 else 0
        compiled = self.compiling.seconds
        seconds = max(self.seconds - compiled, 1e-3)
        return f"{documents / seconds:,.0f} documents/s" if documents and seconds > compiled / 20 else ""

    def words(self) -> list[str]:
        """What is to be said of a step that is over, beside its seconds."""
        compiling = self.compiling
        parts = [str(compiling) if compiling.seconds > 0.05 else "", self.rate(len(self.weights))]
        return [part for part in parts if part]


class PlainProgress:
    """One line a step begun and one a step ended: what the log of a cluster, or a pipe, can show; stderr by default.

    Between them, which kernels are being compiled.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._clock = Clock()
        self._over = threading.Event()

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        """A step begins."""
        self._over.set()
        watched_folder()
        self._clock, self._over = Clock(label, weights), threading.Event()
        self._print(f"{label}: {total:,} tasks" if total else label)
        threading.Thread(target=self._tell, args=(self._clock, self._over), daemon=True).start()

    def update(self, done: int, detail: str = "") -> None:
        """So many tasks are done; a log does not show that."""

    def finish(self) -> None:
        """The step is over."""
        self._over.set()
        self._print(f"{self._clock.label}: " + ", ".join([f"{self._clock.seconds:.1f} s", *self._clock.words()]))

    def _tell(self, clock: Clock, over: threading.Event) -> None:
        first, then = TELL_AFTER
        for pause in chain([first], repeat(then)):
            if over.wait(pause):
                return
            if (compiling := clock.compiling).left:
                self._print(f"{clock.label}: {compiling}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


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
