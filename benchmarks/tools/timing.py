"""The seconds that a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and its wall-clock seconds."""
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def best_cpu_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The CPU-seconds of this process for the fastest of some repeats; never 0."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return max(min(times), 1e-9)
