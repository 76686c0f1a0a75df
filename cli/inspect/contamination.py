"""What decontamination found, benchmark by benchmark, as `tamis stats` and the HTML report show it.

The numbers are those of the decision's manifest. Cost: one small file.
"""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from cli.present import add_numbers, clean, grid, share
from corpus.run_folder import RunFolder

BENCHMARK_HEADER = (
    "benchmark",
    "items",
    "searched for",
    "too short",
    "unread lines",
    "found",
    "of searched",
    "documents",
)
BENCHMARK_NOTE = (
    "Too short: cannot be told from chance, and was not looked for. Unread lines: of the benchmark's files, no items. "
    "Documents: those that any item was found in."
)


def benchmark_lines(run: RunFolder) -> list[dict[str, Any]]:
    """A line for each benchmark, by name; none where the run has no stage `decontaminate`.

    Returns:
        `benchmark`; its `items`, those that are searched for by `ngrams` or `whole`, those `too_short` to be,
        those `repeated` from earlier ones; `bad_lines`; `found` items; `documents` that any was found in.
    """
    manifest = dict(run.chain()).get("decontaminate")
    found = manifest.body.get("facts", {}).get("benchmarks", {}) if manifest is not None else {}
    return [{"benchmark": name, **counts} for name, counts in sorted(found.items())]


def benchmark_cells(line: dict[str, Any]) -> list[str]:
    """A line's cells, below `BENCHMARK_HEADER`."""
    searched = line["ngrams"] + line["whole"]
    return [
        clean(line["benchmark"]),
        f"{line['items']:,}",
        f"{searched:,}",
        f"{line['too_short']:,}",
        f"{line['bad_lines']:,}",
        f"{line['found']:,}",
        f"{share(line['found'], searched):.2f} %",
        f"{line['documents']:,}",
    ]


def benchmark_table(lines: list[dict[str, Any]]) -> Table:
    """The benchmarks for a terminal."""
    table = grid((), title="\nBenchmark items looked for in the text", caption=BENCHMARK_NOTE, header_style="bold")
    table.add_column(BENCHMARK_HEADER[0])
    add_numbers(table, BENCHMARK_HEADER[1:])
    for line in lines:
        table.add_row(*(Text(cell) for cell in benchmark_cells(line)))
    return table
