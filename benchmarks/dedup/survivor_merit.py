"""How often the better of two copies stays, by what makes the other worse, in both directions.

    python -m benchmarks.dedup.survivor_merit [--part held_out fitted] [--per-kind 150] [--keep best_quality longest]

Pairs of real texts (`benchmarks.corpora.worn_pairs`), each text in one pair, go through a pipeline of `near_dedup`
alone, in an order that a seed draws. Of the pairs that it merged, the share in which the better copy is published, with
Wilson's interval of 95 %. `fitted` are the sources and the strange matter that the weights of `filters.damage` were
fitted on, `held_out` others.

Cost: some two minutes a part and setting on two cores.
"""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from math import sqrt
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpora.worn_pairs import KINDS, SOURCES, Pair, pairs
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.dedup_run import Outcome, deduplicate, write_documents
from benchmarks.tools.pipeline_run import local_cluster
from benchmarks.tools.report import show, table_head

NEEDS = ("data",)
PARTS = ("held_out", "fitted")
SETTINGS = ("best_quality", "longest")


def names(number: int, pair: Pair) -> tuple[str, str]:
    """The ids of the better and the worse copy; which comes first says nothing about which is better."""
    first = random.Random(f"{number} {pair.source}").random() < 0.5
    return (f"{number:06d}-a", f"{number:06d}-b") if first else (f"{number:06d}-b", f"{number:06d}-a")


def measure(given: list[Pair], work: Path, cluster: Any, keep: str) -> dict[str, Any]:
    """Runs the pairs; kind → language → how many merged, and in how many the better copy stayed."""
    shutil.rmtree(work, ignore_errors=True)
    texts: dict[str, str] = {}
    for number, pair in enumerate(given):
        texts.update(zip(names(number, pair), (pair.better, pair.worse), strict=True))
    documents = write_documents(work / "input", dict(sorted(texts.items())))
    pipeline = work / "pipeline.yaml"
    block = {} if keep == "best_quality" else {"keep": keep}
    pipeline.write_text(yaml.safe_dump({"name": "survivors", "stages": {"near_dedup": block}}), "utf-8")
    found = deduplicate({"web": documents}, work / "run", cluster, pipeline)
    return count(given, found)


def count(given: list[Pair], found: Outcome) -> dict[str, Any]:
    """What became of the pairs; those that did not merge with each other count apart."""
    seen: dict[tuple[str, str], list[bool]] = defaultdict(list)
    apart: dict[tuple[str, str], int] = defaultdict(int)
    for number, pair in enumerate(given):
        better, worse = names(number, pair)
        if found.joined(better, worse):
            seen[pair.kind, pair.lang].append(found.final(worse) == better)
        else:
            apart[pair.kind, pair.lang] += 1
    return {
        kind: {
            lang: {"merged": len(hits), "apart": apart[kind, lang], "better": sum(hits), "interval": wilson(hits)}
            for lang in SOURCES
            if (hits := seen[kind, lang]) or apart[kind, lang]
        }
        for kind in KINDS
    }


def wilson(hits: list[bool]) -> list[float]:
    """The interval of 95 % of a share."""
    n, z = len(hits), 1.96
    if not n:
        return [0.0, 1.0]
    share = sum(hits) / n
    middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [max(0.0, (middle - half) / (1 + z * z / n)), (middle + half) / (1 + z * z / n)]


def main() -> None:
    """Prints the figures as a table or JSON."""
    parser = command_line(__doc__, NEEDS, work="tamis-survivor-merit", formats=True)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--per-kind", type=int, default=150, help="pairs of a kind in a language, at most")
    parser.add_argument("--keep", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    require(NEEDS, options)
    body: dict[str, Any] = {}
    with local_cluster(2) as cluster:
        for part in options.part:
            given = list(pairs(options.data, part, options.seed, options.per_kind))
            body[part] = {keep: measure(given, options.work / part, cluster, keep) for keep in options.keep}
    show(body, options.format == "json", as_text)


def as_text(body: dict[str, Any]) -> str:
    """A table a part: a row a kind and language, a column a setting."""
    lines = []
    for part, settings in body.items():
        first = next(iter(settings.values()))
        lines += [f"\n{part}", table_head("kind | language | merged | apart | " + " | ".join(settings))]
        for kind, languages in first.items():
            for lang, row in languages.items():
                told = (_share(found[kind][lang]) for found in settings.values())
                lines.append(f"| {kind} | {lang} | {row['merged']} | {row['apart']} | {' | '.join(told)} |")
        told = (_share(_all(found)) for found in settings.values())
        lines.append(f"| all | | {_all(first)['merged']} | | {' | '.join(told)} |")
    return "\n".join(lines)


def _all(found: dict[str, Any]) -> dict[str, Any]:
    rows = [row for languages in found.values() for row in languages.values()]
    merged, better = (sum(row[name] for row in rows) for name in ("merged", "better"))
    return {"merged": merged, "better": better, "interval": wilson([True] * better + [False] * (merged - better))}


def _share(row: dict[str, Any]) -> str:
    if not row["merged"]:
        return "-"
    low, high = row["interval"]
    return f"{row['better'] / row['merged']:.3f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
