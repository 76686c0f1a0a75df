"""Document dedup before span dedup, or after it as in the Baichuan 2 report: both orders on one corpus.

    python -m benchmarks.dedup.order_of_stages [--megabytes 100] [--work FOLDER] [--format json]

Real text of both languages with planted, edited copies (`benchmarks.corpora.corpus`) goes through
`conf/pipelines/default.yaml` and `conf/pipelines/report.yaml`, which decide alike up to sentence quality. A *family* is
a document with its planted copies of J ≥ 0.8, as far as two or more of them reach the dedup stages. What each order
publishes of a family is measured in bytes, as a share of its shortest member: about 1 is right, 2 means that a
duplicate stays, 0 that the text is lost. A survivor that is not a planted member (the real text has duplicates of its
own) counts for the family.

Cost: four minutes and 2 GB of disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.corpora.corpus import cached
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.dedup_run import outcome, read_rows
from benchmarks.tools.pipeline_run import local_cluster, run_pipeline
from benchmarks.tools.report import show, table_head
from tamis.places import ROOT

NEEDS = ("data",)

ORDERS = ("default", "report")
WANTED = 0.8
SHARES = (
    ("lost (< 0.2)", 0.0, 0.2),
    ("maimed (0.2 to 0.8)", 0.2, 0.8),
    ("once (0.8 to 1.2)", 0.8, 1.2),
    ("more (1.2 to 1.8)", 1.2, 1.8),
    ("twice (> 1.8)", 1.8, np.inf),
)


def main() -> None:
    """Runs both orders and prints the comparison."""
    parser = command_line(__doc__, NEEDS, work="tamis-order-of-stages", formats=True)
    parser.add_argument("--megabytes", type=float, default=100)
    options = parser.parse_args()
    require(NEEDS, options)
    corpus = options.work / f"corpus-{options.megabytes:g}"
    made = cached(corpus, options.megabytes / 1000, "both", data=options.data)
    with local_cluster(2) as cluster:
        ledgers = {order: run(order, corpus, options.work / order, cluster) for order in ORDERS}
    families = planted_families(corpus, options.work / ORDERS[0])
    body = {
        "corpus": {"documents": made["documents"], "bytes": made["bytes"]},
        "orders": {
            order: {"stages": stages(ledgers[order]), **published(options.work / order, families)} for order in ORDERS
        },
    }
    show(body, options.format == "json", as_markdown)


def run(order: str, corpus: Path, out: Path, cluster: Any) -> dict[str, Any]:
    """Runs one pipeline from the start; returns its ledger."""
    shutil.rmtree(out, ignore_errors=True)
    pipeline = ROOT / "conf" / "pipelines" / f"{order}.yaml"
    return run_pipeline(pipeline, out, cluster, inputs=[f"web={corpus / 'input' / '*.parquet'}"]).ledger()


def stages(ledger: dict[str, Any]) -> list[dict[str, Any]]:
    """Documents and bytes that each stage removed, and those it kept."""
    return [
        {
            "stage": s["name"],
            "documents": s["documents_in"] - s["documents_kept"],
            "bytes": s["bytes_in"] - s["bytes_kept"],
            "kept_documents": s["documents_kept"],
            "kept_bytes": s["bytes_kept"],
        }
        for s in ledger["stages"]
    ]


def planted_families(corpus: Path, out: Path) -> list[tuple[list[str], int]]:
    """The members of each family that no stage before dedup dropped, and the bytes of the shortest one."""
    dedup = {"near_duplicate", "mostly_repeated_spans"}
    gone = {r["source_id"] for r in read_rows(out / "dropped", ["source_id", "reason"]) if r["reason"] not in dedup}
    sizes = {r["id"]: len(r["text"].encode()) for r in read_rows(corpus / "input", ["id", "text"])}
    members: dict[str, set[str]] = {}
    for row in pq.read_table(corpus / "truth.parquet").to_pylist():
        if row["jaccard"] >= WANTED:
            members.setdefault(row["id_a"], {row["id_a"]}).add(row["id_b"])
    found = [sorted(family - gone) for family in members.values()]
    return [(family, min(sizes[name] for name in family)) for family in found if len(family) > 1]


def published(out: Path, families: list[tuple[list[str], int]]) -> dict[str, Any]:
    """What an order publishes: altogether, and of each family as a share of its shortest member."""
    size = {row["source_id"]: len(row["text"].encode()) for row in read_rows(out / "shards", ["source_id", "text"])}
    decided = outcome(out)
    standing = [{decided.final(name) for name in family} & decided.kept for family, _ in families]
    share = np.array(
        [
            sum(size[name] for name in names) / max(1, least)
            for names, (_, least) in zip(standing, families, strict=True)
        ]
    )
    return {
        "documents": len(size),
        "bytes": sum(size.values()),
        "families": len(families),
        "shares": {name: int(((share >= low) & (share < high)).sum()) for name, low, high in SHARES},
        "several_stay": sum(len(names) > 1 for names in standing),
        "none_stays": sum(not names for names in standing),
    }


def as_markdown(body: dict[str, Any]) -> str:
    """A table of the stages for each order, and one of what each order publishes of the families."""
    lines = [f"{body['corpus']['documents']:,} documents, {body['corpus']['bytes']:,} bytes.", ""]
    for order, found in body["orders"].items():
        lines.append(table_head(f"{order}.yaml | documents dropped | bytes dropped or cut | bytes kept"))
        lines += [
            f"| {s['stage']} | {s['documents']:,} | {s['bytes']:,} | {s['kept_bytes']:,} |" for s in found["stages"]
        ]
        lines.append("")
    names = " | ".join(name for name, _, _ in SHARES)
    lines.append(table_head(f"order | {names} | several stay | none stays | families"))
    for order, found in body["orders"].items():
        counts = " | ".join(f"{found['shares'][name]:,}" for name, _, _ in SHARES)
        lines.append(
            f"| {order}.yaml | {counts} | {found['several_stay']:,} | {found['none_stays']:,} | {found['families']:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
