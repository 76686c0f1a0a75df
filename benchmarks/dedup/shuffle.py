"""Bytes that each dedup stage shuffles, by Spark's own metrics, and what that means for trillions of tokens.

    python -m benchmarks.dedup.shuffle [--gigabytes 0.25] [--work FOLDER] [--nodes 100] [--format json]

Runs exact, semantic, near and span dedup over a corpus of `benchmarks.corpora.corpus` (both languages, planted
copies) with Spark's event log on, and sums `Shuffle Bytes Written` of all tasks by the label of their job. Beside
them stand the bytes of the files that a stage leaves on disk.

The extrapolation assumes the mean document of this corpus and 4 UTF-8 bytes a token; a real crawl has other documents,
so it is an order of magnitude. Cost: one run of the dedup stages.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpora.corpus import cached
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.dedup_run import PIPELINE
from benchmarks.tools.pipeline_run import local_cluster, run_pipeline
from benchmarks.tools.report import show, table_head
from corpus.files import Manifest

NEEDS = ("data",)

BYTES_A_TOKEN = 4.0
STAGES = ("exact_dedup", "embed", "semantic_clusters", "near_dedup", "span_dedup")


def main() -> None:
    """Runs, sums, prints."""
    parser = command_line(__doc__, NEEDS, work="tamis-shuffle", formats=True)
    parser.add_argument("--gigabytes", type=float, default=0.25)
    parser.add_argument("--nodes", type=int, default=100)
    options = parser.parse_args()
    require(NEEDS, options)
    cached(options.work / "corpus", options.gigabytes, data=options.data)
    found = measure(str(options.work / "corpus" / "input" / "*.parquet"), options.work)
    found["machine"] = machine.describe()
    show(found, options.format == "json", lambda body: as_markdown(body, options.nodes))


def measure(inputs: str, work: Path) -> dict[str, Any]:
    """Runs the stages over some Parquet files and sums the event log.

    Returns:
        `documents`, `text_bytes`, and `steps`: label → tasks, shuffled bytes and records.
    """
    out, logs, path = work / "run", work / "events", work / "shuffle.yaml"
    for old in (out, logs):
        shutil.rmtree(old, ignore_errors=True)
    logs.mkdir(parents=True)
    path.write_text(
        yaml.safe_dump(
            {
                "extends": str(PIPELINE),
                "name": "shuffle",
                "stages": {"embed": {}, "semantic_clusters": {}, "span_dedup": {}},
                "order": ["eligibility", *STAGES, "score"],
            }
        ),
        "utf-8",
    )
    settings = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": logs.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }
    with local_cluster(settings=settings) as cluster:
        folder = run_pipeline(path, out, cluster, inputs=[f"web={inputs}"], until="span_dedup")
    ledger = folder.ingest.body
    sizes = {stage: _sizes(folder.evidence(stage), decision) for stage, decision in folder.chain() if stage in STAGES}
    return {
        "documents": ledger["documents"],
        "text_bytes": ledger["text_bytes"],
        "steps": shuffled(logs),
        "files": sizes,
    }


def _sizes(evidence: Manifest | None, decision: Manifest) -> dict[str, int]:
    named = {"evidence": evidence, "decision": decision}
    return {kind: sum(f.bytes for f in manifest.files) for kind, manifest in named.items() if manifest}


def shuffled(logs: Path) -> dict[str, dict[str, int]]:
    """Sums the shuffle metrics of every event log in a folder by the description of the job."""
    totals: dict[str, dict[str, int]] = defaultdict(lambda: {"tasks": 0, "bytes": 0, "records": 0})
    for path in sorted(p for p in logs.iterdir() if p.is_file()):
        labels: dict[int, str] = {}
        for line in path.open(encoding="utf-8"):
            event = json.loads(line)
            if event["Event"] == "SparkListenerJobStart":
                label = event.get("Properties", {}).get("spark.job.description", "")
                labels |= dict.fromkeys(event["Stage IDs"], label)
            elif event["Event"] == "SparkListenerTaskEnd" and event.get("Task Metrics"):
                written = event["Task Metrics"]["Shuffle Write Metrics"]
                total = totals[labels.get(event["Stage ID"], "")]
                total["tasks"] += 1
                total["bytes"] += written["Shuffle Bytes Written"]
                total["records"] += written["Shuffle Records Written"]
    return dict(totals)


def as_markdown(found: dict[str, Any], nodes: int) -> str:
    """The bytes of each step with their extrapolation, then what each stage leaves on disk."""
    documents = found["documents"]
    mean = found["text_bytes"] / documents
    heads = f"step | tasks | bytes a document | of its text | TB for 1 T tokens | GB a node of {nodes} for 15 T"
    lines = [machine.as_line(found["machine"]), "", f"{documents:,} documents of {mean:,.0f} bytes.", ""]
    lines.append(table_head(heads))
    a_trillion = 1e12 * BYTES_A_TOKEN / mean
    steps = {label: s for label, s in found["steps"].items() if s["bytes"]}
    steps["all"] = {key: sum(s[key] for s in steps.values()) for key in ("tasks", "bytes")}
    for label, step in steps.items():
        each = step["bytes"] / documents
        terabytes, gigabytes = each * a_trillion / 1e12, 15 * each * a_trillion / 1e9 / nodes
        lines.append(
            f"| {label} | {step['tasks']:,} | {each:,.1f} | {each / mean:.1%} | {terabytes:.2f} | {gigabytes:,.0f} |"
        )
    for stage, sizes in found["files"].items():
        each_kind = ", ".join(f"{kind} {size / documents:,.0f}" for kind, size in sizes.items())
        lines += ["", f"{stage}: on disk, bytes a document: {each_kind}"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
