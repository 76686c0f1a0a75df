"""A standalone Spark cluster on loopback, started from pip's pyspark, and what its event log tells of an application.

Each worker has a loopback address of its own (Linux answers to all of 127.0.0.0/8): Spark never starts a second
attempt of a task on the host that already runs it, so workers that share an address never speculate.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from benchmarks.tools.ports import free_port
from pipelines.spark.java import java_home

HOST = "127.0.0.1"
START_SECONDS = 90


def spark_home() -> Path:
    """The folder of Spark's own scripts."""
    import pyspark

    return Path(pyspark.__file__).parent


def environment(host: str = HOST) -> dict[str, str]:
    """Environment variables for Spark's scripts: our Java, loopback, small daemons, one Python everywhere."""
    return {
        **os.environ,
        "JAVA_HOME": str(java_home()),
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": host,
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


@dataclass
class Standalone:
    """A master and its workers for the time of a `with` block; they are stopped after it, whatever happened.

    Attributes:
        folder: for logs and for the folders of the workers.
        workers: how many.
        cores: of each worker.
        memory: of each worker, in MB.
    """

    folder: Path
    workers: int = 2
    cores: int = 1
    memory: int = 1536
    master: str = ""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Standalone:
        port, page = free_port(), free_port()
        self.master = f"spark://{HOST}:{port}"
        try:
            self._start("master", "Master", HOST, "--port", str(port), "--webui-port", str(page))
            self._wait(f"http://{HOST}:{page}/json/", 0)
            for number in range(self.workers):
                place = self.folder / f"worker-{number}"
                self._start(
                    place.name,
                    "Worker",
                    f"127.0.0.{number + 2}",
                    "--cores",
                    str(self.cores),
                    "--memory",
                    f"{self.memory}m",
                    "--webui-port",
                    str(free_port()),
                    "--work-dir",
                    str(place),
                    self.master,
                )
            self._wait(f"http://{HOST}:{page}/json/", self.workers)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, name: str, role: str, host: str, *arguments: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(spark_home() / "bin" / "spark-class"), f"org.apache.spark.deploy.{role.lower()}.{role}"]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [*command, "--host", host, *arguments],
                    env=environment(host),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _wait(self, page: str, workers: int) -> None:
        """Waits until the master's page lists so many living workers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self._processes):
                break
            with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(page, timeout=5) as answer:
                found = json.load(answer)["workers"]
                if sum(w["state"] == "ALIVE" for w in found) == workers:
                    return
            time.sleep(0.3)
        raise SystemExit(f"the cluster did not come up; see {self.folder}/*.log")

    def stop(self) -> None:
        """Ends workers, master and executors."""
        for process in reversed(self._processes):
            end_group(process)
        self._processes.clear()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends the process group that a process leads: by SIGTERM, then by SIGKILL."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)


@dataclass
class EventLog:
    """What an application did, by its event log.

    Attributes:
        executors: executor → host and cores.
        tasks: executor → tasks that succeeded.
        failed: reason → tasks that failed; the losers of two attempts are not counted.
        speculative: second attempts of slow tasks that ended, whether they succeeded or not.
        raced: those of them that succeeded first.
        shuffled_bytes: written by the shuffles.
    """

    executors: dict[str, str] = field(default_factory=dict)
    tasks: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    speculative: int = 0
    raced: int = 0
    shuffled_bytes: int = 0

    @classmethod
    def read(cls, folder: Path) -> EventLog:
        """Reads the log of the one application in a folder."""
        found = cls()
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("appstatus")):
            with path.open(encoding="utf-8") as lines:
                found._add(lines)
        return found

    def _add(self, lines: Iterable[str]) -> None:
        for line in lines:
            event = json.loads(line)
            if event["Event"] == "SparkListenerExecutorAdded":
                info = event["Executor Info"]
                self.executors[event["Executor ID"]] = f"{info['Host']}, {info['Total Cores']} core(s)"
            elif event["Event"] == "SparkListenerTaskEnd":
                self._add_task(event)

    def _add_task(self, event: dict[str, dict[str, object]]) -> None:
        info, reason = event["Task Info"], event["Task End Reason"]["Reason"]
        well = reason == "Success"
        self.tasks[str(info["Executor ID"])] += well
        self.speculative += bool(info["Speculative"])
        self.raced += bool(info["Speculative"]) and well
        if not well and reason not in ("TaskKilled", "TaskCommitDenied"):
            self.failed[str(reason)] += 1
        written = (event.get("Task Metrics") or {}).get("Shuffle Write Metrics") or {}
        assert isinstance(written, dict)
        self.shuffled_bytes += int(written.get("Shuffle Bytes Written", 0))
