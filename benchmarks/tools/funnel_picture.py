"""Draws `docs/funnel.svg` from a ledger: what is left after each stage, beside the Baichuan 2 report.

python -m benchmarks.tools.funnel_picture RUN/ledger.json docs/funnel.svg
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path

STEPS = (
    ("exact_dedup", "exact dedup", -29.89),
    ("heuristic_filter", "heuristic", -1.77),
    ("sentence_quality", "sentence-wise quality", -3.06),
    ("near_dedup", "document dedup", -19.13),
    ("span_dedup", "sentence and paragraph dedup", -14.47),
)
WIDTH, LEFT, BAR, ROW = 860, 250, 270, 34


def draw(ledger: dict[str, object]) -> str:
    """The picture as SVG text; shares are of raw bytes."""
    stages = {s["name"]: s for s in ledger["stages"]}  # type: ignore[attr-defined, index]
    raw = ledger["ingest"]["text_bytes"]  # type: ignore[index]
    rows = [("raw", 100.0, 0.0, 100.0, 0.0)]
    theirs = 100.0
    for name, label, removed in STEPS:
        if name in stages:
            stage = stages[name]
            theirs += removed
            left = 100 * stage["bytes_kept"] / raw
            rows.append((label, left, left - 100 * stage["bytes_in"] / raw, theirs, removed))
    height = 64 + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="13"><rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-weight="bold">this run, % of raw bytes</text>',
        f'<text x="{LEFT + BAR + 60}" y="24" font-weight="bold">Baichuan 2 report</text>',
    ]
    for i, (label, left, change, other, removed) in enumerate(rows):
        y = 40 + ROW * i
        parts.append(f'<text x="{LEFT - 12}" y="{y + 17}" text-anchor="end">{escape(label)}</text>')
        for x, share, delta, colour in ((LEFT, left, change, "#2a6f97"), (LEFT + BAR + 60, other, removed, "#a9bcc9")):
            width = (BAR - 70) * share / 100
            text = f"{share:.1f}" + (f" ({delta:+.1f})" if delta else "")
            parts.append(f'<rect x="{x}" y="{y}" width="{width:.1f}" height="24" fill="{colour}"/>')
            parts.append(f'<text x="{x + width + 6:.1f}" y="{y + 17}" fill="#333">{text}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Reads the ledger, writes the picture."""
    if len(sys.argv) != 3:
        print("usage: python -m benchmarks.tools.funnel_picture RUN/ledger.json docs/funnel.svg")
        return
    Path(sys.argv[2]).write_text(draw(json.loads(Path(sys.argv[1]).read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
