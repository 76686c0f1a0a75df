"""How fast personal data is found, beside compiled regular expressions in the same process, and how much is found.

    python -m benchmarks.filters.pii_speed [--megabytes 60] [--peer-megabytes 4] [--format json]

Real text of both languages (`benchmarks.corpora.base_text`), one core. The kernel reads batches of 8 MiB, as the
stage does; the CPU time of the best of three passes counts. The peer is one compiled `re` for each kind, in the usual
forms, without check digits, over Python strings that are made before the clock starts. Figures are MB
of UTF-8 a CPU-second. What is found is counted by kind, never shown.

Cost: half a minute.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from typing import Any

from benchmarks.corpora.base_text import LANGUAGES, base_documents
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.machine import as_line, describe
from benchmarks.tools.report import show, table_head
from benchmarks.tools.timing import best_cpu_seconds
from filters.pii.find import KINDS, find
from text.arrow import TextColumn

NEEDS = ("data",)

BATCH_BYTES = 8 << 20
TARGET = 30.0
"""The aim for the stage, in MB/CPU-s."""

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_EDGES = r"(?<![\w.]){}(?![\w]|\.\d)"
PEER = {
    "email": re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}"),
    "phone": re.compile(
        _EDGES.format(r"(?:(?:\+|00)?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}") + r"|\+[1-9](?:[ .-]?\d){7,14}(?!\d)"
        r"|(?<![\w.-])(?:\([2-9]\d\d\) ?|[2-9]\d\d-)[2-9]\d\d-\d{4}(?!\w)"
    ),
    "ip": re.compile(
        _EDGES.format(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
        + r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:])"
    ),
    "cn_id": re.compile(_EDGES.format(r"[1-8]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]")),
    "bank_card": re.compile(_EDGES.format(r"(?:[2-6]\d{12,18}|[2-6]\d{3}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,4})?)")),
    "iban": re.compile(_EDGES.format(r"[A-Z]{2}\d\d(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?")),
}
"""Kind → the regular expression that is usually searched for."""


def main() -> None:
    """Prints the speeds."""
    parser = command_line(__doc__, NEEDS, formats=True)
    parser.add_argument("--megabytes", type=float, default=60, help="text of each language, at most")
    parser.add_argument("--peer-megabytes", type=float, default=4, help="the part of it that the peer reads")
    options = parser.parse_args()
    require(NEEDS, options)
    find(TextColumn.from_texts(["a@b.co 1.2.3.4 ::1"]))  # compiles
    lines = [measure(lang, options) for lang in LANGUAGES]
    body = {"machine": describe(), "target": TARGET, "languages": lines}
    show(body, options.format == "json", as_markdown)


def measure(lang: str, options: argparse.Namespace) -> dict[str, Any]:
    """One language's figures."""
    texts = [d.text.decode("utf-8", "replace") for d in base_documents(options.data, (lang,), 1)]
    columns = list(batches(texts, int(options.megabytes * 1e6)))
    size = sum(c.nbytes for c in columns)
    found: Counter[str] = Counter()
    for column in columns:
        found.update(KINDS[k] for k in find(column).kind)
    seconds = best_cpu_seconds(lambda: [find(column) for column in columns])
    sample = part_of(texts, int(options.peer_megabytes * 1e6))
    sample_size = sum(len(t.encode()) for t in sample)
    column = TextColumn.from_texts(sample)
    peer = best_cpu_seconds(lambda: [sum(1 for _ in form.finditer(t)) for t in sample for form in PEER.values()])
    ours = best_cpu_seconds(lambda: find(column))
    return {
        "lang": lang,
        "bytes": size,
        "documents": sum(len(c) for c in columns),
        "mb_per_s": size / seconds / 1e6,
        "peer_bytes": sample_size,
        "peer_mb_per_s": sample_size / peer / 1e6,
        "same_text_mb_per_s": sample_size / ours / 1e6,
        "found": {k: found[k] for k in KINDS},
    }


def batches(texts: list[str], limit: int) -> list[TextColumn]:
    """Columns of some 8 MiB, `limit` bytes in all."""
    columns, part, size, total = [], [], 0, 0
    for text in texts:
        part.append(text)
        size += len(text.encode())
        if size >= BATCH_BYTES or total + size >= limit:
            columns.append(TextColumn.from_texts(part))
            total += size
            part, size = [], 0
        if total >= limit:
            return columns
    return [*columns, TextColumn.from_texts(part)] if part else columns


def part_of(texts: list[str], limit: int) -> list[str]:
    """Every k-th text, some `limit` bytes in all, so that each source is in it."""
    step = max(1, sum(len(t.encode()) for t in texts) // max(limit, 1))
    return texts[::step]


def as_markdown(body: dict[str, Any]) -> str:
    """Two tables: speed, and what was found."""
    lines = [as_line(body["machine"]), ""]
    lines.append(table_head("text | MB | MB/CPU-s | on the peer's part | `re`, MB/CPU-s | times"))
    for line in body["languages"]:
        ours, peer = line["same_text_mb_per_s"], line["peer_mb_per_s"]
        lines.append(
            f"| {line['lang']} | {line['bytes'] / 1e6:.1f} | {line['mb_per_s']:.0f} | {ours:.0f} | {peer:.1f} | "
            f"{ours / peer:.0f} |"
        )
    lines += ["", table_head(f"found in | documents | {' | '.join(KINDS)}")]
    for line in body["languages"]:
        counts = " | ".join(f"{line['found'][k]:,}" for k in KINDS)
        lines.append(f"| {line['lang']} | {line['documents']:,} | {counts} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
