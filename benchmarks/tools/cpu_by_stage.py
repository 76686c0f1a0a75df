"""The CPU-seconds of this process and all below it, given to the stage that runs.

The times are read from /proc whenever a step begins or ends; what passes between two steps goes to the earlier one.
Linux only.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tools.cpu import TICKS, descendants, fields_after_name

BEFORE = "start"
"""The stage of what is spent before the first step: starting Python and the JVM."""
NAMES = {"dropped": "write_shards", "ledger": "ledger"}


class CpuByStage:
    """A progress display (`pipelines.spark.session.Progress`) that shows nothing and reads CPU times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage = BEFORE
        self._seen: dict[tuple[int, str], float] = {}
        self._last = 0.0
        self.spent: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)
        self._clock = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Reads five times a second, so that at most 0.2 s of a worker that ends is lost."""
        while True:
            with self._lock:
                self._read()
            time.sleep(0.2)

    def _read(self) -> None:
        """Adds what the process tree has used since the last reading to the stage that runs."""
        for pid in [os.getpid(), *descendants(os.getpid())]:
            try:
                fields = fields_after_name(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace"))
            except OSError:
                continue
            self._seen[pid, fields[19]] = (int(fields[11]) + int(fields[12])) / TICKS
        total, now = sum(self._seen.values()), time.monotonic()
        self.spent[self._stage] += total - self._last
        self.wall[self._stage] += now - self._clock
        self._last, self._clock = total, now

    def total(self) -> float:
        """CPU-seconds of the process tree so far."""
        with self._lock:
            self._read()
            return self._last

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        """A step begins."""
        with self._lock:
            self._read()
            name = "ingest" if label.startswith("ingest") else label.split(":")[0]
            self._stage = NAMES.get(name, name)

    def update(self, done: int, detail: str = "") -> None:
        """Nothing."""

    def finish(self) -> None:
        """A step ends."""
        with self._lock:
            self._read()
