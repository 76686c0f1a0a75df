"""The same input and configuration give the same bytes, however Spark runs it and whatever dies on the way.

Every run goes into a folder of its own and is compared with one reference: sha256 of each file below `shards`,
`dropped` and `weights`, and all narrow tables as sorted rows.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from corpus.files import load_manifest
from pipelines.spark.session import Cluster
from pipelines.stages.scan import BATCH_BYTES, ScanTask, StageConfig, scan_shard
from tamis.progress import Silent
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute, write_pipeline
from tests.support.corpora import Corpus, planted, with_promotions
from tests.support.driver import Driver
from tests.support.exchanges import task_of

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def tiny_corpus() -> Corpus:
    """Some 100 kB: both languages, and texts that occur in two domains."""
    documents = [d for lang in ("en", "zh") for d in planted(lang, 3)]
    return with_promotions(Corpus(documents), 3, "forum", "pages")


def write_tiny(folder: Path, reverse: bool = False) -> Path:
    """Inputs and pipeline YAML; reversed, the inputs are listed the other way round, file by file."""
    folder.mkdir(parents=True, exist_ok=True)
    globs = tiny_corpus().write(folder / "raw", files=2, broken=True)
    inputs: dict[str, str | list[str]] = dict(globs)
    if reverse:
        listed = {domain: sorted(Path(glob).parent.iterdir(), reverse=True) for domain, glob in globs.items()}
        inputs = {domain: [str(p) for p in listed[domain]] for domain in reversed(listed)}
    return write_pipeline(
        folder / "tiny.yaml",
        inputs,
        priority=sorted(globs),
        ingest={"target_shard_bytes": 20_000},
        write_shards={"target_shard_bytes": 30_000},
        domains={"forum": {"heuristic_filter": {"spaced": {"min_words": 100_000}}}},
        stages={"semantic_clusters": {"target_cell_documents": 20, "threshold": 0.9}, "near_dedup": {"semantic": True}},
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def reference(pipeline: Path, cluster: Cluster) -> RunReader:
    """The run that all others must equal; it uses every kind of table."""
    run = execute(pipeline, pipeline.parent / "reference", cluster)
    tables = run.narrow_tables()
    assert {
        "semantic_clusters/edges",
        "exact_dedup/columns",
        "near_dedup/edges",
        "span_dedup/edits",
        "sentence_quality/edits",
    } <= set(tables)
    assert run.chain["exact_dedup"].body["facts"]["contenders"] >= 6
    assert len(run.run.shards) >= 6 and len(run.file_digests()) >= 12
    return run


def assert_same(run: RunReader, reference: RunReader) -> None:
    """Equal published bytes, equal narrow tables, equal identities."""
    assert run.file_digests() == reference.file_digests()
    mine, theirs = run.narrow_tables(), reference.narrow_tables()
    assert mine.keys() == theirs.keys()
    for name in theirs:
        assert mine[name] == theirs[name], name
    assert [m.body["key"] for m in run.chain.values()] == [m.body["key"] for m in reference.chain.values()]


# ------------------------------------------------------------------------------------------------ in one process


@pytest.mark.parametrize(("shuffle_partitions", "batch_bytes"), [(1, 2_000), (8, 50_000)])
def test_other_shuffle_partitions_and_batch_sizes(
    reference: RunReader,
    pipeline: Path,
    cluster: Cluster,
    partitions: None,
    tmp_path: Path,
    shuffle_partitions: int,
    batch_bytes: int,
) -> None:
    cluster.spark.conf.set("spark.sql.shuffle.partitions", str(shuffle_partitions))
    assert_same(execute(pipeline, tmp_path / "run", cluster, batch_bytes=batch_bytes), reference)


def test_inputs_listed_in_another_order_in_another_folder(
    reference: RunReader, cluster: Cluster, tmp_path: Path
) -> None:
    assert_same(execute(write_tiny(tmp_path / "elsewhere", reverse=True), tmp_path / "run", cluster), reference)


class WorkerKiller(Silent):
    """Stops the Python workers when a step begins, and a moment later, when some of them hold its tasks, kills them."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.killed: list[int] = []

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        if label != self.step:
            return
        workers = list(python_workers())
        for worker in workers:
            worker.suspend()
        threading.Timer(1.0, self._kill, [workers]).start()

    def _kill(self, workers: list[psutil.Process]) -> None:
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            self.killed.append(worker.pid)


DAEMON = "pipelines.run.daemon"
"""The module that Spark forks workers from, by conf/spark/local.conf; a worker keeps its command line."""


def python_workers() -> Iterator[psutil.Process]:
    """The workers that this process' Spark has forked from its daemon."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            parent = process.parent()
            if parent is not None and DAEMON in process.cmdline() and DAEMON in parent.cmdline():
                yield process


def failed_tasks(cluster: Cluster) -> int:
    """Failed tasks of all stages that Spark remembers."""
    tracker = cluster.spark.sparkContext.statusTracker()
    known = (tracker.getStageInfo(number) for number in range(5000))
    return sum(info.numFailedTasks for info in known if info is not None)


def test_a_python_worker_killed_in_a_task(
    reference: RunReader, pipeline: Path, cluster: Cluster, tmp_path: Path
) -> None:
    before = failed_tasks(cluster)
    killer = WorkerKiller("sentence_quality: scan")
    watched, cluster.progress = cluster.progress, killer
    try:
        run = execute(pipeline, tmp_path / "run", cluster)
    finally:
        cluster.progress = watched
    assert killer.killed, "no worker was found"
    assert failed_tasks(cluster) > before, "the workers that were killed held no task"
    assert_same(run, reference)


def test_a_second_attempt_of_a_task_writes_another_file_of_the_same_bytes(reference: RunReader, tmp_path: Path) -> None:
    shard = reference.run.shards[0]
    task = ScanTask(task_of(shard), StageConfig("exact_dedup", {}, {}, {}, {}), tmp_path, BATCH_BYTES)
    first, second = (scan_shard(task).files[0] for _ in range(2))
    assert first.digest == second.digest and first.path != second.path


# --------------------------------------------------------------------------------------- in processes of their own


def test_local_cluster_with_speculation(reference: RunReader, pipeline: Path, tmp_path: Path) -> None:
    work = Path(os.environ.get("SPARK_HOME") or _spark_home()) / "work"
    before = set(work.glob("app-*"))
    try:
        Driver(
            pipeline,
            tmp_path / "run",
            **{
                "spark.master": "local-cluster[2,1,2048]",
                "spark.executor.memory": "1g",
                "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
                "spark.speculation": "true",
                "spark.speculation.interval": "10ms",
                "spark.speculation.quantile": "0.1",
                "spark.speculation.multiplier": "1.01",
                "spark.speculation.minTaskRuntime": "10ms",
                "spark.sql.shuffle.partitions": "4",
            },
        ).finish()
    finally:
        for folder in set(work.glob("app-*")) - before:
            shutil.rmtree(folder, ignore_errors=True)
    assert_same(RunReader(tmp_path / "run"), reference)


def _spark_home() -> str:
    import pyspark

    return str(Path(pyspark.__file__).parent)


def test_the_driver_killed_twice_in_the_middle(reference: RunReader, pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    scan = out / "stages" / "heuristic_filter" / "evidence"
    Driver(pipeline, out).kill_when(lambda: any(scan.glob("*/receipts/*.json")))
    receipts = list(scan.glob("*/receipts/*.json"))
    assert receipts and not list(scan.glob("*manifest.json")), "the kill came too late to say something"
    done = {f["path"] for path in receipts for f in json.loads(path.read_text("utf-8"))["files"]}
    elected = out / "stages" / "near_dedup" / "decision"
    Driver(pipeline, out).kill_when(lambda: any(elected.glob("*/scratch/plan")))
    committed = load_manifest(next(path for path in scan.iterdir() if path.is_dir()))
    assert committed is not None
    assert done <= {f.path for f in committed.files}, "a finished task was run again"
    Driver(pipeline, out).finish()
    assert_same(RunReader(out), reference)
    left = {p.name for p in out.rglob("*") if p.is_dir()}
    assert not {n for n in left if n.startswith("scratch")}, "debris of the killed runs is left"
