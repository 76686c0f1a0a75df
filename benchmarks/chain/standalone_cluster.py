"""Whether a standalone Spark cluster publishes the same bytes as a local run, with and without speculation.

    python -m benchmarks.chain.standalone_cluster [--pipeline X.yaml] [--input DOMAIN=GLOB]... [--work FOLDER]

Starts a master and two workers of one core and 1.5 GB on loopback, and runs `jobs/run_pipeline.py` there through
`spark-submit --py-files tamis.zip` with the settings of `conf/spark/cluster.conf`, reduced to that size: once without
speculation, once with thresholds so low that tasks are speculated. The third run is local. Compared are the sha256 of
every published file, of the `dropped` table and of the weights, and the sorted rows of all narrow tables. Which
executor ran what is read from Spark's event log. The cluster is stopped at the end, whatever happened.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.machine import as_line, describe
from benchmarks.tools.same_output import different, digests, narrow_tables
from benchmarks.tools.spark_standalone import EventLog, Standalone, end_group, environment, spark_home
from pipelines.spark.package import build_zip
from tamis.places import ROOT

NEEDS = ("data",)

STAGES = ("eligibility", "exact_dedup", "near_dedup", "span_dedup", "score")
INPUTS = {"law": "zh_laws_versions", "judgments": "zh_court_judgments", "news": "zh_news_articles", "wiki": "zh_wiki_*"}
"""Domain → file stem in the shared data folder: 4 MB of Chinese text with many duplicates."""
SMALL = {
    "spark.executor.cores": "1",
    "spark.executor.memory": "1g",
    "spark.executor.memoryOverhead": "0",
    "spark.driver.memory": "1g",
    "spark.driver.maxResultSize": "512m",
    "spark.sql.shuffle.partitions": "8",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.log.level": "WARN",
}
"""Settings of `cluster.conf` that one machine is too small for."""
STEADY = {"spark.speculation": "false"}
HASTY = {
    "spark.speculation": "true",
    "spark.speculation.interval": "10ms",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.multiplier": "1.01",
    "spark.speculation.minTaskRuntime": "10ms",
}


@dataclass(frozen=True)
class Chain:
    """A pipeline and its inputs, to be run on a cluster or locally.

    Attributes:
        pipeline: the YAML.
        inputs: `--input` options.
        work: the folder for everything that is written.
        archive: the packages in one zip.
    """

    pipeline: Path
    inputs: list[str]
    work: Path
    archive: Path

    def submit(self, name: str, master: str, settings: dict[str, str]) -> float:
        """Runs it on a cluster; returns the seconds."""
        events = self.work / f"events-{name}"
        events.mkdir()
        settings = {
            **SMALL,
            **settings,
            "spark.local.dir": str(self.work / "local"),
            "spark.executorEnv.TAMIS_CACHE": str(self.work / "cache"),
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": events.as_uri(),
            "spark.eventLog.rolling.enabled": "false",
            "spark.eventLog.compress": "false",
        }
        command = [str(spark_home() / "bin" / "spark-submit"), "--master", master]
        command += ["--properties-file", str(ROOT / "conf" / "spark" / "cluster.conf")]
        command += [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
        command += ["--py-files", str(self.archive), str(ROOT / "jobs" / "run_pipeline.py")]
        return self._timed(name, command)

    def local(self, name: str) -> float:
        """Runs it as `tamis run` does on one machine; returns the seconds."""
        return self._timed(name, [sys.executable, "-m", "cli.main", "run"])

    def _timed(self, name: str, command: list[str]) -> float:
        options = [part for one in self.inputs for part in ("--input", one)]
        log = self.work / f"{name}.log"
        started = time.monotonic()
        submitted = "spark-submit" in command[0]
        with log.open("wb") as opened:
            process = subprocess.Popen(
                [*command, str(self.pipeline), "--out", str(self.work / name), *options],
                cwd=ROOT,
                env={**environment(), "TAMIS_CACHE": str(self.work / "cache-of-driver")} if submitted else None,
                stdin=subprocess.DEVNULL,
                stdout=opened,
                stderr=opened,
                start_new_session=True,
            )
            try:
                code = process.wait()
            finally:
                end_group(process)
        if code:
            print(log.read_text("utf-8", "replace")[-4000:])
            raise SystemExit(f"the run {name!r} failed with exit code {code}")
        return time.monotonic() - started


def compare(work: Path, name: str, reference: str) -> list[str]:
    """The names of what differs between two finished runs; prints how much was compared."""
    found = []
    for what, of in (("published files", digests), ("narrow tables", narrow_tables)):
        mine, theirs = of(work / name), of(work / reference)
        wrong = different(mine, theirs)
        print(f"{name} against {reference}: {len(theirs)} {what}, different: {', '.join(wrong) or 'none'}")
        found += wrong
    return found


def show(name: str, seconds: float, log: EventLog, archive_used: bool) -> None:
    """Prints a line about a run, and one for each executor."""
    print(
        f"{name}: {seconds:.0f} s, {len(log.executors)} executors, {sum(log.tasks.values())} tasks, "
        f"{log.speculative} speculative attempts of which {log.raced} won, failed {dict(log.failed) or 'none'}, "
        f"{log.shuffled_bytes:,} bytes shuffled, code from the zip: {'yes' if archive_used else 'NO'}"
    )
    for executor, where in sorted(log.executors.items()):
        print(f"  executor {executor} ({where}): {log.tasks[executor]} tasks")


def prepare(options: argparse.Namespace) -> Chain:
    """Writes the zip and the pipeline."""
    work = options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    build_zip(ROOT, work / "tamis.zip")
    pipeline = options.pipeline
    if pipeline is None:
        pipeline = work / "pipeline.yaml"
        body = {
            "name": "standalone",
            "stages": {stage: {} for stage in STAGES},
            "ingest": {"target_shard_bytes": 1 << 20},
        }
        pipeline.write_text(yaml.safe_dump(body, sort_keys=False), "utf-8")
    inputs = options.inputs or [f"{d}={options.data.resolve() / stem}.jsonl.zst" for d, stem in INPUTS.items()]
    return Chain(pipeline.resolve(), inputs, work, work / "tamis.zip")


def main() -> None:
    """Runs, compares, prints the verdict; exit code 1 where something differs."""
    parser = command_line(__doc__, NEEDS, work="tamis-standalone")
    parser.add_argument("--pipeline", type=Path, help="by default documents and spans, see STAGES")
    parser.add_argument("--input", dest="inputs", action="append", default=[], metavar="DOMAIN=GLOB")
    options = parser.parse_args()
    if not options.inputs:
        require(NEEDS, options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    chain = prepare(options)
    print(as_line(describe()))
    seconds = {}
    with Standalone(chain.work / "cluster") as cluster:
        print(f"{cluster.master}: {cluster.workers} workers of {cluster.cores} core(s) and {cluster.memory} MB")
        for name, settings in (("steady", STEADY), ("hasty", HASTY)):
            seconds[name] = chain.submit(name, cluster.master, settings)
    logs = {name: EventLog.read(chain.work / f"events-{name}") for name in seconds}
    unpacked = chain.work / "cache" / "code"
    for name, log in logs.items():
        show(name, seconds[name], log, unpacked.is_dir() and any(unpacked.iterdir()))
    print(f"local: {chain.local('local'):.0f} s")
    unequal = compare(chain.work, "steady", "local") + compare(chain.work, "hasty", "local")
    idle = [name for name, log in logs.items() if len(log.tasks) < 2]
    if unequal or idle or not logs["hasty"].speculative:
        print("VERDICT: not equal" if unequal else "VERDICT: equal, but one executor alone worked, or none speculated")
        raise SystemExit(1)
    print("VERDICT: the cluster's output equals the local one, with speculation and without")


if __name__ == "__main__":
    main()
