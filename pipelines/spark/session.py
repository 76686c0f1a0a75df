"""The Spark session, and how Tamis hands tasks to it.

A task names a document shard and opens it itself: Spark schedules and retries, and no text enters the JVM.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.spark.blocks import Block
from pipelines.spark.exchange import Hop, build
from pipelines.spark.gpu import with_gpu
from pipelines.spark.java import java_home
from pipelines.spark.wire import answer_type, decode, encode, name_of
from pipelines.spark.worker import Answer, Called, call
from tamis.compiling import FOLDER, watched_folder
from tamis.errors import TamisError
from tamis.places import CONF
from tamis.progress import Progress, Silent

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

Task = TypeVar("Task")
Answered = TypeVar("Answered")

ALWAYS = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
    "spark.sql.parquet.filterPushdown": "true",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000000",
    "spark.python.worker.reuse": "true",
    "spark.executorEnv.PYTHONSAFEPATH": "1",
}
"""Settings that the stages rely on, wherever they run; a user's own win.

PYTHONSAFEPATH keeps the folder that a run was started in, or an executor works in, off the workers' `sys.path`: Spark
starts their daemon by `python -m`, which else puts it first, and a `text.py` there would take the place of our package.

Not among them: `spark.python.unix.domain.socket.enabled`. It would save some 40 ms a task (a delayed
acknowledgement), but with it PySpark 4.3 prints a stack trace whenever an idle Python worker is let go.
"""


DAEMON, OUR_DAEMON = "spark.python.daemon.module", "pipelines.run.daemon"


def open_session(settings: dict[str, str] | None = None) -> SparkSession:
    """Starts Spark with settings that win over ours, or joins the one that spark-submit started.

    Raises:
        TamisError: no Java, or Spark refuses to start.
    """
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # for what the JVM starts
    if not submitted:
        os.environ["JAVA_HOME"] = str(java_home())
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("tamis")
    merged = {**ALWAYS, **(settings or {})}
    if not merged.get("spark.master", "").startswith("local") and merged.get(DAEMON) == OUR_DAEMON:
        del merged[DAEMON]  # nobody knows whether Tamis is installed on the nodes
    merged[f"spark.executorEnv.{FOLDER}"] = watched_folder()
    for key, value in merged.items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except Exception as error:
        raise TamisError(f"Spark did not start: {last_line(error)}") from error
    if not submitted:
        spark.sparkContext.setLogLevel("OFF")
    return spark


def look_for_java() -> None:
    """Refuses to start Spark where there is no Java; under spark-submit one runs already.

    Raises:
        TamisError: see there.
    """
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        java_home()


def local_settings() -> dict[str, str]:
    """The settings of `conf/spark/local.conf`; none under spark-submit, where the cluster's own stand."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        return {}
    folder = CONF / "spark"
    settings = read_spark_conf(folder / "local.conf")
    quiet = f'"-Dlog4j2.configurationFile={folder / "log4j2.properties"}"'
    options = settings.get("spark.driver.extraJavaOptions", "")
    return {**settings, "spark.driver.extraJavaOptions": f"{options} {quiet}".strip()}


def read_spark_conf(path: Path) -> dict[str, str]:
    """Reads a file in the format of spark-defaults.conf."""
    settings = {}
    for line in path.read_text("utf-8").splitlines():
        parts = line.split("#", 1)[0].split(None, 1)
        if len(parts) == 2:
            settings[parts[0]] = parts[1].strip()
    return settings


class Cluster:
    """A Spark session, started at first use, that runs tasks and exchanges of Tamis and reports its steps."""

    def __init__(self, settings: dict[str, str] | None = None, progress: Progress | None = None) -> None:
        self._settings = settings
        self.progress: Progress = progress or Silent()
        self._spark: SparkSession | None = None
        self._code = ""
        self._added: set[str] = set()

    @property
    def spark(self) -> SparkSession:
        """The session; started at first use, so that a run with nothing to do starts no JVM."""
        if self._spark is None:
            self._spark = open_session(self._settings)
        return self._spark

    def carry(self, archive: Path | None) -> None:
        """Lets tasks import the modules of a zip (`pipelines.spark.own_archive`); with None, those of none."""
        self._code = str(archive or "")

    @property
    def _context(self) -> SparkContext:
        """Spark, with the archive of one's own code at hand on every machine."""
        context = self.spark.sparkContext
        if self._code and self._code not in self._added:
            context.addFile(self._code)
            self._added.add(self._code)
        return context

    def stop(self) -> None:
        """Stops Spark if it was started."""
        if self._spark is not None:
            self._spark.stop()
            self._spark = None
            self._added.clear()

    def map(
        self,
        function: Callable[[Task], Answered],
        tasks: Sequence[Task],
        *,
        label: str,
        receipts: Path,
        weights: Sequence[int] | None = None,
        gpu: bool = False,
    ) -> list[Answered]:
        """Calls a module-level function with each task, a dataclass, in Spark tasks; answers come in the tasks' order.

        A task that has a receipt, left by an earlier driver that was killed, is not run again. A receipt is named by
        the hash of the function's name and the task. `weights` are the documents of each task, for the rate.

        Raises:
            TamisError: a task refused its input, or failed four times.
        """
        name, kind = name_of(function), answer_type(function)
        rows = []
        for text in map(encode, tasks):
            digest = hashlib.sha256((name + text).encode()).hexdigest()[:24]
            rows.append((text, str(receipts / f"{digest}.json")))
        done = [_read_receipt(Path(receipt), kind) for _, receipt in rows]
        todo = [i for i, answer in enumerate(done) if answer is None]
        fresh: list[Answer] = []
        if todo:
            with self._watched(label, [weights[i] if weights else 1 for i in todo]):
                fresh = self._run(name, [rows[i] for i in todo], label, gpu)
        for answer in fresh:
            if answer.refused:
                raise TamisError(answer.text)
        answers = (decode(kind, answer.text) for answer in fresh)
        return [next(answers) if known is None else known for known in done]

    def exchange(
        self,
        source: Callable[[Task], Iterable[Block]],
        tasks: Sequence[Task],
        hops: Sequence[Hop[Any, Block]],
        last: Hop[Any, Answered],
        *,
        label: str,
        gpu: bool = False,
    ) -> list[Answered]:
        """Runs an exchange (see `pipelines.spark.exchange`) and returns the last hop's answers, in partition order.

        Raises:
            TamisError: a task failed four times.
        """
        if not tasks:
            return []
        with self._watched(label, [1] * (len(tasks) + sum(hop.partitions for hop in hops) + last.partitions)):
            try:
                called = Called(label, Path(self._code).name)
                texts = build(self._context, source, tasks, hops, last, called, gpu).collect()
            except Exception as error:
                raise stage_failed(label, error) from error
        kind = answer_type(last.function)
        return [decode(kind, text) for text in texts]

    @property
    def least_partitions(self) -> int:
        """Partitions of a shuffle, however few its rows: `spark.sql.shuffle.partitions`."""
        return int(self.spark.conf.get("spark.sql.shuffle.partitions") or "8")

    def _run(self, function: str, rows: list[tuple[str, str]], label: str, gpu: bool) -> list[Answer]:
        called = Called(label, Path(self._code).name)

        def run(part: Iterable[tuple[str, str]]) -> Iterable[Answer]:
            return (call(function, called, task, receipt) for task, receipt in part)

        context = self._context
        try:
            return list(with_gpu(context.parallelize(rows, len(rows)).mapPartitions(run), gpu).collect())
        except Exception as error:
            raise stage_failed(label, error) from error

    @contextmanager
    def _watched(self, label: str, weights: Sequence[int]) -> Iterator[None]:
        """Reports finished tasks while the block runs, by polling Spark for the jobs under this label."""
        stop = threading.Event()
        context = self.spark.sparkContext
        tracker = context.statusTracker()
        earlier = set(tracker.getJobIdsForGroup(label))
        context.setJobGroup(label, label)

        def poll() -> None:
            while not stop.wait(0.3):
                jobs = [tracker.getJobInfo(j) for j in tracker.getJobIdsForGroup(label) if j not in earlier]
                stages = {stage for job in jobs if job is not None for stage in job.stageIds}
                known = [info for stage in stages if (info := tracker.getStageInfo(stage)) is not None]
                if known:
                    self.progress.update(sum(info.numCompletedTasks for info in known))

        self.progress.start(label, len(weights), weights)
        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.progress.finish()

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Names a DataFrame step in the progress line, and turns Spark's failure into one sentence."""
        self.progress.start(label, 0, [])
        try:
            yield
        except TamisError:
            raise
        except Exception as error:
            raise stage_failed(label, error) from error
        finally:
            self.progress.finish()


def _read_receipt(path: Path, kind: type[Answered]) -> Answered | None:
    """A finished task's answer; None where there is none that can be read."""
    try:
        return decode(kind, path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def stage_failed(label: str, error: Exception) -> TamisError:
    """A failure in Spark as one sentence; raised from the error, so that its trace is not lost."""
    return TamisError(f"{label} failed: {last_line(error)}")


def last_line(error: Exception) -> str:
    """The line of a (Java or Python) error that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    ours = [line for line in lines if "RuntimeError: " in line and "File " not in line]
    if ours:
        return ours[0].split("RuntimeError: ", 1)[1]
    causes = [line for line in lines if line.startswith("Caused by:") or "Exception:" in line]
    chosen = (causes or lines or [type(error).__name__])[-1]
    return chosen.removeprefix("Caused by: ")[:400]
