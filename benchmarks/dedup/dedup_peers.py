"""Other tools on the same corpus in the same run: MB per CPU-second, recall and precision.

    python -m benchmarks.dedup.dedup_peers [--python PEERS/bin/python] [--gigabytes 0.1] [--langs en zh] [--peers …]

The peers need an environment of their own (Tamis' pins are not theirs):

    python -m venv PEERS
    PEERS/bin/pip install pyarrow datasketch rensa gaoya
    PEERS/bin/pip install "datatrove[io]" spacy jieba nltk regex orjson tokenizers fasteners tldextract "xxhash<4"
    PEERS/bin/pip install --no-deps text-dedup==0.4.0
    PEERS/bin/pip install click-option-group ftfy bitarray pybloom-live psutil rich setuptools scipy pandas

datatrove passes strings to xxhash, which xxhash 4 refuses. text-dedup 0.4.1 needs Python 3.12; without `--no-deps` it
pulls an onnxruntime and a Spark. dupekit is not on PyPI; Data-Juicer was not tried. Spark MLlib runs in
Tamis' own environment. A peer whose package the given interpreter lacks is skipped with a line.

Each tool runs in a subprocess under `benchmarks.tools.cpu`, from Parquet to the list of documents that it drops;
imports and start-up count (some seconds: take 100 MB or more). Tamis' row is `near_dedup` alone on an ingested folder,
the start of the JVM included; a second row subtracts what a corpus of one document costs. Truth is exhaustive
(`benchmarks.corpora.exhaustive`): recall is the share of pairs with J ≥ 0.8 not both kept, precision the share of
dropped documents whose named survivor has J ≥ 0.7; where a tool names no survivor (marked *) any similar document
counts, which flatters it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.base_text import LANGUAGES
from benchmarks.corpora.exhaustive import Pairs, jaccard, read_texts, similar_pairs
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.cpu import Usage, measure
from benchmarks.tools.dedup_run import deduplicate
from benchmarks.tools.pipeline_run import local_cluster
from benchmarks.tools.report import save, table_head
from benchmarks.tools.stage_cost import SHARD_BYTES, StageBench

NEEDS = ("data", "linux", "peers")

PEERS = {
    "datasketch": ("datasketch_lsh", "datasketch"),
    "rensa": ("rensa_dedup", "rensa"),
    "gaoya": ("gaoya_index", "gaoya"),
    "datatrove": ("datatrove_minhash", "datatrove.pipeline.dedup, spacy"),
    "text-dedup": ("text_dedup_minhash", "text_dedup.minhash"),
    "spark-mllib": ("spark_mllib", "pyspark.ml.feature"),
}
"""Peer → its module in `benchmarks.peers`, and what must be importable for it."""
OURS = ("spark-mllib",)
"""Peers that run in Tamis' environment."""


@dataclass(frozen=True)
class Truth:
    """A corpus and all its similar pairs."""

    ids: list[str]
    texts: list[str]
    pairs: Pairs

    @classmethod
    def of(cls, folder: Path) -> Truth:
        """Finds all pairs with J ≥ 0.7."""
        ids, texts = read_texts(sorted(folder.glob("*.parquet")))
        return cls(ids, texts, similar_pairs(texts, 0.7))

    def figures(self, dropped: dict[str, str | None]) -> dict[str, Any]:
        """Recall and precision of a list of drops."""
        gone = np.array([name in dropped for name in self.ids])
        wanted = self.pairs.from_similarity(0.8)
        text_of = dict(zip(self.ids, self.texts, strict=True))
        alike = {self.ids[i] for i in (*self.pairs.a.tolist(), *self.pairs.b.tolist())}
        right = [
            name in alike if survivor is None else jaccard(text_of[name], text_of[survivor]) >= 0.7
            for name, survivor in dropped.items()
        ]
        return {
            "dropped": len(dropped),
            "recall": float((gone[wanted.a] | gone[wanted.b]).mean()) if len(wanted) else None,
            "precision": float(np.mean(right)) if right else None,
            "names_survivors": all(survivor is not None for survivor in dropped.values()),
        }


def main() -> None:
    """Measures Tamis and every peer that is installed; prints a table and writes JSON."""
    parser = command_line(__doc__, NEEDS, work="tamis-dedup-peers")
    parser.add_argument("--gigabytes", type=float, default=0.1)
    parser.add_argument("--langs", nargs="*", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--peers", nargs="*", choices=[*PEERS, "tamis"], default=["tamis", *PEERS])
    parser.add_argument("--out", type=Path, help="folder for dedup_peers.json and dedup_peers.md; WORK by default")
    options = parser.parse_args()
    require(NEEDS, options)
    where = machine.describe()
    rows: list[dict[str, Any]] = []
    chosen = [name for name in options.peers if name == "tamis" or _is_there(name, options.python)]
    for lang in options.langs:
        bench = StageBench(options.work, 2, SHARD_BYTES, options.data, lang=lang)
        facts = bench.facts(options.gigabytes)
        corpus = bench.folder(options.gigabytes) / "input"
        truth = Truth.of(corpus)
        for name in chosen:
            print(f"{lang}: {name} …", file=sys.stderr, flush=True)
            try:
                if name == "tamis":
                    rows += _tamis(bench, options.gigabytes, lang, facts, truth)
                else:
                    rows.append(_peer(name, options.python, corpus, lang, facts, truth))
            except SystemExit as error:
                print(f"{lang}: {name} failed: {str(error)[-600:]}", file=sys.stderr)
    body = {"machine": where, "rows": rows}
    save(options.out or options.work, "dedup_peers", body, as_markdown(body))


def _is_there(name: str, python: Path) -> bool:
    """Whether the interpreter has the peer; prints a line if not."""
    interpreter = Path(sys.executable) if name in OURS else python
    code = f"import pyarrow, {PEERS[name][1]}"
    found = subprocess.run([str(interpreter), "-c", code], capture_output=True, check=False).returncode == 0
    if not found:
        print(f"{name}: skipped, {interpreter.name} of --python does not have it", file=sys.stderr)
    return found


def _peer(name: str, python: Path, corpus: Path, lang: str, facts: dict[str, int], truth: Truth) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "answer.json"
        interpreter = sys.executable if name in OURS else str(python)
        command = [interpreter, "-m", f"benchmarks.peers.{PEERS[name][0]}", str(corpus), str(out), lang]
        usage = measure(command, env={"TOKENIZERS_PARALLELISM": "false", "HF_HOME": scratch, "PYTHONHASHSEED": "0"})
        dropped = json.loads(out.read_text("utf-8"))["dropped"]
    return _row(name, lang, facts, usage.cpu_seconds, usage, truth.figures(dropped))


def _tamis(bench: StageBench, gigabytes: float, lang: str, facts: dict[str, int], truth: Truth) -> list[dict[str, Any]]:
    bench.stage(0.0, "near_dedup")  # compiles what a cold cache lacks
    usage = bench.stage(gigabytes, "near_dedup")
    intercept = bench.stage(0.0, "near_dedup").cpu_seconds
    run = bench.work / "outcome"
    shutil.rmtree(run, ignore_errors=True)
    pipeline = bench.folder(gigabytes) / "near_dedup.yaml"
    with local_cluster(2) as cluster:
        found = deduplicate({}, run, cluster, pipeline)
    figures = truth.figures({name: drop.survivor for name, drop in found.dropped.items()})
    shutil.rmtree(run)
    return [
        _row("tamis near_dedup", lang, facts, usage.cpu_seconds, usage, figures),
        _row("tamis near_dedup, start-up subtracted", lang, facts, usage.cpu_seconds - intercept, usage, figures),
    ]


def _row(
    name: str, lang: str, facts: dict[str, int], cpu_seconds: float, usage: Usage, figures: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "lang": lang,
        **facts,
        "cpu_seconds": cpu_seconds,
        "mb_per_cpu_second": facts["bytes"] / 1e6 / cpu_seconds,
        "wall_seconds": usage.wall_seconds,
        "peak_tree_bytes": usage.peak_tree_bytes,
        **figures,
    }


def as_markdown(body: dict[str, Any]) -> str:
    """One row for each tool and language."""
    heads = "tool | lang | MB | CPU-s | MB/CPU-s | wall s | tree, MB | dropped | recall | precision"
    lines = [machine.as_line(body["machine"]), "", table_head(heads)]
    share: Callable[[Any], str] = lambda x: "-" if x is None else f"{x:.4f}"  # noqa: E731
    for r in body["rows"]:
        star = "" if r["names_survivors"] else "*"
        lines.append(
            f"| {r['name']} | {r['lang']} | {r['bytes'] / 1e6:,.0f} | {r['cpu_seconds']:.1f} | "
            f"{r['mb_per_cpu_second']:.1f} | {r['wall_seconds']:.1f} | {r['peak_tree_bytes'] / 1e6:,.0f} | "
            f"{r['dropped']:,} | {share(r['recall'])} | {share(r['precision'])}{star} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
