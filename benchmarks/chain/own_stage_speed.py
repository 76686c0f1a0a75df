"""What a stage of one's own costs, as a function of one document and as a stage of whole batches.

    python -m benchmarks.chain.own_stage_speed [--langs en zh] [--repeats 3]

Two rules are said twice: those of `examples/extend/short_lines.py`, which looks at lines, and `reading_time.py`, which
looks at characters and words. The functions of this module say them in plain Python, the examples in a few calls of
Arrow. Beside them stands `heuristic_filter`, whose kernels count all features of its rules. Each scans
every shared document of a language (`benchmarks.corpora.base_text`), in batches as a scan gets them; the fastest of the
repeats counts, in CPU-seconds of this process. Reading shards and writing evidence are not in it: they are the same for
all. Cost: a minute.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.corpora.base_text import LANGUAGES, base_documents
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from benchmarks.tools.timing import best_cpu_seconds
from corpus.view import Edits, View
from pipelines.stages.base import Batch, Stage
from pipelines.stages.keep_function import Document, stage_of
from pipelines.stages.registry import stage_class
from pipelines.stages.scan import BATCH_BYTES
from tamis.places import ROOT
from text.arrow import TextColumn

NEEDS = ("data",)
_HAN, _WORD = (
    re.compile("[\u2e80-\u2fdf\u3005-\u3007\u3021-\u303b\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    re.compile(r"\w+"),
)


def short_lines_in_python(document: Document, *, letters: int = 20, most: float = 0.8) -> bool | str:
    """Keeps a text in which not too many lines are short."""
    lines = document.text.split("\n")
    return sum(len(line) < letters for line in lines) <= most * len(lines)


def quick_reading_in_python(document: Document, *, seconds: float = 1.0) -> bool | str:
    """Keeps a text that takes a while to read."""
    without, han = _HAN.subn(" ", document.text)
    return han / 5 + len(_WORD.findall(without)) / 4 >= seconds


WAYS: dict[str, Any] = {
    "lines, a function of one document": short_lines_in_python,
    "lines, a stage of batches": "short_lines:ShortLines",
    "words, a function of one document": quick_reading_in_python,
    "words, a stage of batches": "reading_time:ReadingTime",
    "`heuristic_filter`": "heuristic_filter",
}
"""What is measured: a function here, or the reference of a stage."""


def main() -> None:
    """Measures, prints, writes."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--langs", nargs="*", choices=LANGUAGES, default=["en", "zh"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON too")
    options = parser.parse_args()
    require(NEEDS, options)
    sys.path.append(str(ROOT / "examples" / "extend"))
    rows = []
    for lang in options.langs:
        batches = batches_of([document.text for document in base_documents(options.data, (lang,))])
        rows += [measure(lang, said, way, batches, options.repeats) for said, way in WAYS.items()]
    body = {"machine": machine.describe(), "rows": rows}
    if options.out:
        options.out.write_text(json.dumps(body, indent=1), "utf-8")
    print(as_markdown(body))


def as_markdown(body: dict[str, Any]) -> str:
    """One table."""
    lines = [machine.as_line(body["machine"]), "", table_head("language | what | MB/CPU-s | documents/CPU-s")]
    lines += [f"| {r['lang']} | {r['what']} | {r['rate']:,.0f} | {r['documents']:,.0f} |" for r in body["rows"]]
    return "\n".join([*lines, ""])


def batches_of(texts: list[bytes]) -> list[Batch]:
    """The texts as a scan receives them."""
    sizes = np.cumsum([len(text) for text in texts])
    parts = np.split(np.arange(len(texts), dtype=np.int32), np.flatnonzero(np.diff(sizes // BATCH_BYTES)) + 1)
    return [_batch(part, [texts[i] for i in part]) for part in parts]


def _batch(rows: Any, texts: list[bytes]) -> Batch:
    column = TextColumn.from_arrow(pa.array(texts, pa.binary()).cast(pa.string()))
    named = pa.array([f"file#{row}" for row in rows])
    others = {name: pa.nulls(len(rows), pa.string()) for name in ("url", "source", "lang", "licence", "extra")}
    view = View(np.arange(len(rows), dtype=np.int32), column, Edits.none(len(rows)))
    return Batch(rows, rows.astype(np.int64), "web", view, pa.table({"source_id": named, **others}))


def measure(lang: str, what: str, way: Any, batches: list[Batch], repeats: int) -> dict[str, Any]:
    """The rate of a stage's scan."""
    kind = stage_of(way) if callable(way) else stage_class(way)
    stage: Stage = kind(kind.Evidence(), {})

    def work() -> None:
        for batch in batches:
            stage.scan(batch)

    work()  # compiles
    seconds = best_cpu_seconds(work, repeats)
    size, documents = sum(b.texts.column.nbytes for b in batches), sum(len(b.rows) for b in batches)
    return {"lang": lang, "what": what, "rate": size / 1e6 / seconds, "documents": documents / seconds, "bytes": size}


if __name__ == "__main__":
    main()
