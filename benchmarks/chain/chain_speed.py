"""What the whole chain costs, stage by stage: CPU-seconds of the process tree of `conf/pipelines/default.yaml`.

    python -m benchmarks.chain.chain_speed [--gigabytes 1] [--work FOLDER] [--format json]

A corpus of English and Chinese with planted copies (`benchmarks.corpora.corpus`) goes through the chain in a fresh
process, from Parquet input to published shards and weights. `benchmarks.tools.cpu_by_stage` gives the CPU time of the
process tree (JVM, Python daemon, workers, driver) to the stage that runs. The same with a corpus of one document is
what each stage costs without data, and is subtracted. The quality model is trained in the run, from packaged text: that
costs the same without data, too.

Rates are MB (10^6 bytes) of ingested text a CPU-second, whatever earlier stages have dropped of it. Kernels are
compiled before. Measure on idle cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.corpora.corpus import cached
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.cpu_by_stage import CpuByStage
from benchmarks.tools.dedup_run import write_documents
from benchmarks.tools.pipeline_run import local_cluster, run_pipeline
from benchmarks.tools.report import show, table_head
from benchmarks.tools.stage_cost import ONE_DOCUMENT, WARM_UP_GIGABYTES
from tamis.places import ROOT

NEEDS = ("data", "linux")


def main() -> None:
    """Measures and prints; or, with `--inner`, runs the chain once in this process."""
    parser = command_line(__doc__, NEEDS, work="tamis-chain-speed", formats=True)
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--pipeline", type=Path, default=ROOT / "conf" / "pipelines" / "default.yaml")
    parser.add_argument("--inner", nargs=2, type=Path, metavar=("INPUT", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner is not None:
        inputs, run = options.inner
        inner(options.pipeline, inputs, run, options.cores)
        return
    require(NEEDS, options)
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
    show(body, options.format == "json", as_markdown)


def measured(options: argparse.Namespace, inputs: Path) -> dict[str, Any]:
    """One run in a process of its own; what `inner` found."""
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
    meter = CpuByStage()
    with local_cluster(cores, meter) as cluster:
        folder = run_pipeline(pipeline, run, cluster, inputs=[f"web={inputs}"])
    ledger = folder.ledger()
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
        table_head("stage | text in, MB | CPU-s without data | CPU-s | difference | % | MB/CPU-s | s"),
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
