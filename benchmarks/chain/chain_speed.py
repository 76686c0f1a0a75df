"""What the whole chain costs, stage by stage: CPU-seconds of the process tree of ``conf/pipelines/default.yaml``.

    python -m benchmarks.chain.chain_speed [--gigabytes 1] [--work FOLDER] [--format json]

A corpus of English and Chinese (``benchmarks.corpora.corpus``, planted copies) goes through the chain in a fresh
process, from Parquet input to published shards and weights. The CPU time of the tree (JVM, daemon, workers, driver;
/proc) is read whenever a step begins or ends and given to the step's stage; what passes between steps goes to the one
before. The same is done with a corpus of one document: that is what each stage costs without data, and it is
subtracted. The quality model is trained in the run, from packaged text: that, too, costs the same without data.

Rates are MB (10^6 bytes) of ingested text a CPU-second, whatever earlier stages have dropped of it. Kernels are
compiled before. Take quiet cores. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora.base_text import DATA
from benchmarks.corpora.corpus import cached
from benchmarks.dedup.dedup_run import write_documents
from benchmarks.dedup.dedup_speed import ONE_DOCUMENT, WARM_UP_GIGABYTES
from benchmarks.tools import machine
from benchmarks.tools.cpu import TICKS, descendants, fields_after_name
from tamis.places import ROOT

BEFORE = "start"
"""What is spent before the first step: Python, the JVM."""
NAMES = {"dropped": "write_shards", "ledger": "ledger"}


class CpuByStage:
    """A progress display that shows nothing and reads the clock: see ``tamis.progress.Progress``."""

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
        """Workers that end between two steps are seen at most 0.2 s before."""
        while True:
            with self._lock:
                self._read()
            time.sleep(0.2)

    def _read(self) -> None:
        """Adds what the tree has used since the last reading to the stage that runs."""
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
        """CPU-seconds of the tree so far."""
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


def main() -> None:
    """Measures and prints; or, with ``--inner``, runs the chain once in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tamis-chain-speed")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--pipeline", type=Path, default=ROOT / "conf" / "pipelines" / "default.yaml")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--inner", nargs=2, type=Path, metavar=("INPUT", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner is not None:
        inputs, run = options.inner
        inner(options.pipeline, inputs, run, options.cores)
        return
    if not options.data.is_dir():
        print(f"skipped: there is no {options.data}")
        return
    write_documents(options.work / "one" / "input", {"one": ONE_DOCUMENT})
    made = cached(options.work / "corpus", options.gigabytes, "both", data=options.data)
    cached(options.work / "warm", WARM_UP_GIGABYTES, "both", data=options.data)
    runs = {name: measured(options, options.work / name / "input") for name in ("warm", "one", "corpus")}
    body = {
        "machine": machine.describe(),
        "documents": made["documents"],
        "bytes": made["bytes"],
        "stages": by_stage(made["bytes"], runs["one"], runs["corpus"]),
        "disk": runs["corpus"]["disk"],
    }
    print(json.dumps(body, indent=1) if options.format == "json" else as_markdown(body))


def measured(options: argparse.Namespace, inputs: Path) -> dict[str, Any]:
    """One run in a process of its own; what ``inner`` found."""
    run = options.work / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.chain.chain_speed", "--inner", str(inputs / "*.parquet"), str(run)]
    command += ["--pipeline", str(options.pipeline), "--cores", str(options.cores)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run failed\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def inner(pipeline: Path, inputs: Path, run: Path, cores: int) -> None:
    """Runs the chain and prints CPU-seconds and seconds by stage, and what the run's files weigh."""
    from pipelines.run.config import load_pipeline
    from pipelines.run.runner import Runner
    from pipelines.spark.session import Cluster, local_settings

    meter = CpuByStage()
    cluster = Cluster({**local_settings(), "spark.master": f"local[{cores},4]"}, meter)
    try:
        Runner(load_pipeline(pipeline, inputs=[f"web={inputs}"]), run, cluster, ROOT).run()
    finally:
        cluster.stop()
    ledger = json.loads((run / "ledger.json").read_text("utf-8"))
    kept = {s["name"]: s["bytes_in"] for s in ledger["stages"]}
    disk = {f.name: sum(p.stat().st_size for p in f.rglob("*") if p.is_file()) for f in run.iterdir() if f.is_dir()}
    print(json.dumps({"cpu": meter.spent, "wall": meter.wall, "bytes_in": kept, "disk": disk}))


def by_stage(size: int, empty: dict[str, Any], full: dict[str, Any]) -> list[dict[str, Any]]:
    """For each stage CPU-seconds without data, with it, the difference, and the rate in MB a CPU-second."""
    rows = []
    for stage in full["cpu"]:
        base, spent = empty["cpu"].get(stage, 0.0), full["cpu"][stage]
        rows.append(
            {
                "stage": stage,
                "cpu_seconds_empty": base,
                "cpu_seconds": spent,
                "seconds": full["wall"][stage],
                "bytes_in": full["bytes_in"].get(stage, size),
                "mb_per_cpu_second": size / 1e6 / (spent - base) if spent - base > 0.05 else None,
            }
        )
    return rows


def as_markdown(body: dict[str, Any]) -> str:
    """A table, the sum last."""
    rows = body["stages"]
    spent, base = (sum(r[key] for r in rows) for key in ("cpu_seconds", "cpu_seconds_empty"))
    size = body["bytes"] / 1e6
    lines = [
        machine.as_line(body["machine"]),
        "",
        f"{body['documents']:,} documents, {size:,.0f} MB.",
        "",
        "| stage | text in, MB | CPU-s without data | CPU-s | difference | % | MB/CPU-s | s |",
        "|" + 8 * "---|",
    ]
    for r in rows:
        more = r["cpu_seconds"] - r["cpu_seconds_empty"]
        rate = "-" if r["mb_per_cpu_second"] is None else f"{r['mb_per_cpu_second']:,.0f}"
        lines.append(
            f"| {r['stage']} | {r['bytes_in'] / 1e6:,.0f} | {r['cpu_seconds_empty']:.1f} | {r['cpu_seconds']:.1f} | "
            f"{more:.1f} | {100 * more / max(spent - base, 1e-9):.1f} | {rate} | {r['seconds']:.1f} |"
        )
    rate = f"{size / max(spent - base, 1e-9):.1f}"
    wall = sum(r["seconds"] for r in rows)
    disk = ", ".join(f"{name} {size / 1e6:,.0f}" for name, size in sorted(body["disk"].items()))
    lines.append(f"| all | {size:,.0f} | {base:.1f} | {spent:.1f} | {spent - base:.1f} | 100 | {rate} | {wall:.1f} |")
    return "\n".join([*lines, "", f"On disk, MB: {disk}."])


if __name__ == "__main__":
    main()
