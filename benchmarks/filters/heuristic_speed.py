"""How fast the heuristics are: the kernels alone, through Spark, and datatrove's filters on the same text.

    python -m benchmarks.filters.heuristic_speed [--langs en zh] [--repeats 5] [--spark 0.25 1] [--peer-megabytes 2]

For each language the text is every shared document of it (`benchmarks.corpora.base_text`: web pages, news, books,
abstracts). *Features* is `filters.heuristic.features.scan`, every feature of every rule; *lines* is
`filters.lines.features.scan_lines`; *decisions* applies all rules to those features. The fastest of the repeats counts,
in CPU-seconds of this process, in which one thread works; kernels are compiled before. The peer is datatrove's Gopher
quality and repetition, C4 and FineWeb filters one after the other, each on all documents, where datatrove (and for
Chinese jieba) is installed; the time of its readers and writers is not counted.

`--spark` measures the stages as `benchmarks.dedup.dedup_speed` does: corpora of those sizes, CPU-seconds of the
whole process tree, the one-document run subtracted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.corpora.base_text import LANGUAGES, base_documents
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from benchmarks.tools.stage_cost import SHARD_BYTES, WARM_UP_GIGABYTES, StageBench
from benchmarks.tools.timing import best_cpu_seconds
from filters.heuristic.decide import decide, scan
from filters.lines.decide import Lines, choose_lines
from filters.lines.features import scan_lines
from filters.lines.thresholds import LineThresholds
from text.arrow import TextColumn

NEEDS = ("data",)

STAGES = ("heuristic_filter", "line_filter")
PEER_LANGUAGES = {"en": "eng", "zh": "cmn_Hani"}
BATCH_BYTES = 4 << 20
"""Text of a batch, as a scan gets it."""


def main() -> None:
    """Measures, prints, writes."""
    parser = command_line(__doc__, NEEDS, work="tamis-heuristic-speed")
    parser.add_argument("--langs", nargs="*", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-megabytes", type=float, default=2)
    parser.add_argument("--spark", type=float, nargs="*", default=[], help="sizes of corpora, GB")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON too")
    options = parser.parse_args()
    require(NEEDS, options)
    rows = []
    for lang in options.langs:
        texts = [document.text for document in base_documents(options.data, (lang,))]
        rows += kernel_rates(lang, texts, options.repeats)
        rows += peer_rates(lang, texts, options.peer_megabytes)
        if options.spark:
            rows += spark_rates(lang, sorted(options.spark), options.work, options.data)
    body = {"machine": machine.describe(), "rows": rows}
    if options.out:
        options.out.write_text(json.dumps(body, indent=1), "utf-8")
    print(as_markdown(body))


def batches(texts: list[bytes]) -> list[TextColumn]:
    """The texts in columns of some `BATCH_BYTES`."""
    found, batch, size = [], list[bytes](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_BYTES:
            found.append(TextColumn.from_arrow(pa.array(batch, pa.binary())))
            batch, size = [], 0
    return [*found, TextColumn.from_arrow(pa.array(batch, pa.binary()))]


def kernel_rates(lang: str, texts: list[bytes], repeats: int) -> list[dict[str, Any]]:
    """MB per CPU-second of the scans, of the decisions, and of all of it."""
    columns = batches(texts)
    size = sum(column.nbytes for column in columns)
    features = [scan(column) for column in columns]
    lines = [Lines(f.words, f.upper_ratio, f.flags) for f in map(scan_lines, columns)]
    thresholds = LineThresholds()
    works: dict[str, Callable[[], object]] = {
        "features": lambda: [scan(column) for column in columns],
        "lines": lambda: [scan_lines(column) for column in columns],
        "decisions": lambda: [(decide(f), choose_lines(x, thresholds)) for f, x in zip(features, lines, strict=True)],
    }
    for work in works.values():
        work()  # compiles
    seconds = {name: best_cpu_seconds(work, repeats) for name, work in works.items()}
    seconds["all"] = sum(seconds.values())
    return [_row(lang, f"kernel, {name}", size, value) for name, value in seconds.items()]


def peer_rates(lang: str, texts: list[bytes], megabytes: float) -> list[dict[str, Any]]:
    """MB per CPU-second of datatrove's filters over a part of the text, taken evenly; nothing where they are not."""
    try:
        data, filters = import_module("datatrove.data"), import_module("datatrove.pipeline.filters")
        words = import_module("datatrove.utils.text").split_into_words
        words("一句话。" if lang == "zh" else "A sentence.", PEER_LANGUAGES[lang])
    except ImportError as error:
        print(f"skipped: datatrove, {lang}: {error}", file=sys.stderr)
        return []
    step = max(1, int(sum(map(len, texts)) / max(megabytes, 1e-9) / 1e6))
    part = [text.decode("utf-8", "replace") for text in texts[::step]]
    language = PEER_LANGUAGES[lang]
    names = ("GopherQualityFilter", "GopherRepetitionFilter", "C4QualityFilter", "FineWebQualityFilter")
    chain = [getattr(filters, name)(language=language) for name in names]
    started = time.process_time()
    for text in part:
        for peer in chain:
            peer.filter(data.Document(text=text, id=""))
    seconds = time.process_time() - started
    return [_row(lang, "datatrove, Gopher + C4 + FineWeb", sum(len(t.encode()) for t in part), seconds)]


def spark_rates(lang: str, gigabytes: list[float], work: Path, data: Path) -> list[dict[str, Any]]:
    """MB per CPU-second of the stages through Spark, at each size without the intercept, and between sizes."""
    bench = StageBench(work, 2, SHARD_BYTES, data, lang=lang)
    rows = []
    for stage in STAGES:
        bench.stage(WARM_UP_GIGABYTES, stage)
        empty = bench.stage(0, stage).cpu_seconds
        found = [(bench.facts(size)["bytes"], bench.stage(size, stage).cpu_seconds) for size in gigabytes]
        rows += [_row(lang, f"Spark, {stage}, less {empty:.1f} CPU-s", size, used - empty) for size, used in found]
        rows += [_row(lang, f"Spark, {stage}, between sizes", b[0] - a[0], b[1] - a[1]) for a, b in pairwise(found)]
    return rows


def _row(lang: str, what: str, size: int, seconds: float) -> dict[str, Any]:
    return {"lang": lang, "what": what, "bytes": size, "cpu_seconds": seconds, "rate": size / 1e6 / max(seconds, 1e-9)}


def as_markdown(body: dict[str, Any]) -> str:
    """One table."""
    lines = [machine.as_line(body["machine"]), "", table_head("language | what | MB | CPU-s | MB/CPU-s")]
    for row in body["rows"]:
        figures = f"{row['bytes'] / 1e6:,.1f} | {row['cpu_seconds']:.2f} | {row['rate']:.1f}"
        lines.append(f"| {row['lang']} | {row['what']} | {figures} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
