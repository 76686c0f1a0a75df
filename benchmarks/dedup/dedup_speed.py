"""How fast each dedup stage is, as CPU-seconds of the whole process tree, and whether it stays so as the corpus grows.

    python -m benchmarks.dedup.dedup_speed [--gigabytes 0.25 1 4] [--stages near_dedup …] [--repeats 1] [--work FOLDER]

`benchmarks.tools.stage_cost` says what is run for a stage. The *intercept* is what the stage costs on a corpus of one
document; it is printed and subtracted. The *marginal* rate between two sizes needs no intercept: the difference in MB
over the difference in CPU-seconds ("-" where noise made that negative). MB are 10^6 bytes of text.

The *floor* is Spark reading the text of the same shards through an identity `mapInArrow` to nowhere. On a shared
machine the same code was seen to take a third more CPU-seconds within a day, so look at the ratio to the floor. For the
same reason each repeat goes over all stages and sizes, and the medians count.

Kernels are compiled in a run before that is not measured. Measure on idle cores: other work on the machine was seen to
raise the CPU-seconds by half and more.

Cost: a round with 4 GB takes 12 GB of disk and a quarter of an hour.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.cpu import Usage
from benchmarks.tools.one_stage import FLOOR
from benchmarks.tools.report import save, table_head
from benchmarks.tools.stage_cost import SHARD_BYTES, WARM_UP_GIGABYTES, StageBench

NEEDS = ("data", "linux")

STAGES = (FLOOR, "exact_dedup", "near_dedup", "span_dedup")
NOISE = 1e5
"""MB/CPU-s that no stage reaches: the corpus cost no more than a single document."""


def main() -> None:
    """Measures every stage at every size; prints tables and writes them."""
    parser = command_line(__doc__, NEEDS, work="tamis-dedup-speed")
    parser.add_argument("--gigabytes", type=float, nargs="*", default=[0.25, 1])
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=list(STAGES))
    parser.add_argument("--repeats", type=int, default=1, help="the median counts")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--shard-bytes", type=int, default=SHARD_BYTES)
    parser.add_argument("--fresh", action="store_true", help="ingest anew")
    parser.add_argument("--out", type=Path, help="folder for dedup_speed.json and dedup_speed.md; WORK by default")
    options = parser.parse_args()
    require(NEEDS, options)
    facts = machine.describe()
    bench = StageBench(options.work, options.cores, options.shard_bytes, options.data, options.fresh)
    for stage in options.stages:
        bench.stage(WARM_UP_GIGABYTES, stage)
    seen: dict[tuple[str, float], list[Usage]] = {}
    for repeat in range(options.repeats):
        for stage in options.stages:
            for size in (0.0, *sorted(options.gigabytes)):
                print(f"{stage}, {size:g} GB, {repeat + 1} of {options.repeats} …", file=sys.stderr, flush=True)
                seen.setdefault((stage, size), []).append(bench.stage(size, stage))
    rows = [_row(stage, bench.facts(size), usages) for (stage, size), usages in seen.items()]
    body = {"machine": facts, "cores_used": options.cores, "rows": rows, "rates": rates(rows)}
    save(options.out or options.work, "dedup_speed", body, as_markdown(body))


def _row(stage: str, facts: dict[str, int], usages: list[Usage]) -> dict[str, Any]:
    median = statistics.median(u.cpu_seconds for u in usages)
    usage = min(usages, key=lambda u: abs(u.cpu_seconds - median))
    return {
        "stage": stage,
        **facts,
        "cpu_seconds": median,
        "all_cpu_seconds": [u.cpu_seconds for u in usages],
        **{k: v for k, v in asdict(usage).items() if k != "status"},
    }


def rates(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each stage: the intercept, the rate at each size with it subtracted, the marginal rates and their ratio.

    Where the floor was measured, also the cost of each stage as a multiple of the floor's, by size; None where noise
    was larger than either cost.

    Args:
        rows: of `main`; the first of each stage is the corpus of one document.
    """
    found: dict[str, dict[str, Any]] = {}
    for stage in dict.fromkeys(row["stage"] for row in rows):
        empty, *sizes = (row for row in rows if row["stage"] == stage)
        intercept = empty["cpu_seconds"]
        steps = [(b["bytes"] - a["bytes"], b["cpu_seconds"] - a["cpu_seconds"]) for a, b in pairwise(sizes)]
        marginal = [size / 1e6 / seconds if seconds > 0 else None for size, seconds in steps]
        found[stage] = {
            "intercept_cpu_seconds": intercept,
            "mb_per_cpu_second": [r["bytes"] / 1e6 / max(r["cpu_seconds"] - intercept, 1e-9) for r in sizes],
            "marginal_mb_per_cpu_second": marginal,
            "marginal_cost_ratios": [a / b if a and b else None for a, b in pairwise(marginal)],
        }
    if FLOOR in found:
        floor = found[FLOOR]["mb_per_cpu_second"]
        for rate in found.values():
            pairs = zip(floor, rate["mb_per_cpu_second"], strict=True)
            rate["cost_over_floor"] = [f / r if max(f, r) < NOISE else None for f, r in pairs]
    return found


def as_markdown(body: dict[str, Any]) -> str:
    """Two tables: the cost by size, the marginal rates."""
    heads = "stage | MB | documents | CPU-s | minus intercept | MB/CPU-s | wall s | worker, MB | tree, MB"
    lines = [machine.as_line(body["machine"]), "", table_head(heads)]
    for row in body["rows"]:
        rate = body["rates"][row["stage"]]
        rest = row["cpu_seconds"] - rate["intercept_cpu_seconds"]
        speed = "intercept" if row["documents"] == 1 else f"{row['bytes'] / 1e6 / max(rest, 1e-9):.1f}"
        lines.append(
            f"| {row['stage']} | {row['bytes'] / 1e6:,.0f} | {row['documents']:,} | {row['cpu_seconds']:.1f} | "
            f"{rest:.1f} | {speed} | {row['wall_seconds']:.1f} | {row['peak_worker_bytes'] / 1e6:,.0f} | "
            f"{row['peak_tree_bytes'] / 1e6:,.0f} |"
        )
    heads = "stage | intercept, CPU-s | marginal MB/CPU-s between sizes | marginal cost, each to the one before | "
    lines += ["", table_head(heads + "cost over the floor, by size")]
    for stage, rate in body["rates"].items():
        margins = ", ".join("-" if m is None else f"{m:.1f}" for m in rate["marginal_mb_per_cpu_second"]) or "-"
        ratios = ", ".join("-" if r is None else f"{r:.3f}" for r in rate["marginal_cost_ratios"]) or "-"
        over = ", ".join("-" if o is None else f"{o:.1f}" for o in rate.get("cost_over_floor", [])) or "-"
        lines.append(f"| {stage} | {rate['intercept_cpu_seconds']:.1f} | {margins} | {ratios} | {over} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
