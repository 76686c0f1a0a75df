"""`tamis run` in a process of its own, which can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.conftest import REPOSITORY

SECONDS = 300
"""Limit of a run; some twenty on a quiet machine."""


class Driver:
    """`tamis run` in a process group of its own."""

    def __init__(self, pipeline: Path, out: Path, **settings: str) -> None:
        self.out = out
        self.log = out.with_suffix(".log")
        given = {"spark.driver.memory": "1g", "spark.local.dir": str(out.parent / "local"), **settings}
        options = [part for key, value in given.items() for part in ("--spark", f"{key}={value}")]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "run", str(pipeline), "--out", str(out), *options],
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self) -> None:
        """Waits for its end and asserts that it went well."""
        assert self.code() == 0, self.said()[-3000:]

    def code(self) -> int:
        """Waits for its end; its exit code."""
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text("utf-8", "replace")

    def kill_when(self, happened: Callable[[], bool]) -> None:
        """Kills the driver, and it alone, as soon as something has happened; then waits for its JVM and workers."""
        deadline = time.monotonic() + SECONDS
        while not happened():
            assert self.process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        orphans = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(orphans, timeout=60)
        assert not alive, "the JVM or a worker outlives its driver"
