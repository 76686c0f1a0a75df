"""`tamis stats`: the funnel, from `RUN/ledger.json`, beside the figures of the Baichuan 2 report.

The report gives shares of the raw data, so that every figure here is a share of raw too, in documents and in bytes of
ingested text. Cost: two small files.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from cli.inspect.contamination import benchmark_lines, benchmark_table
from cli.inspect.removal import ByOption, removal_answer
from cli.options import Answer, RunArgument, answering
from cli.present import add_numbers, clean, console, grid, removed, share, size
from corpus.reading.lineage import ancestors_json, ancestors_line

REPORT = {
    "exact_dedup": ("exact deduplication", 29.89),
    "heuristic_filter": ("heuristic approach", 1.77),
    "sentence_quality": ("sentence-wise quality filter", 3.06),
    "span_dedup": ("sentence- and paragraph-wise deduplication", 14.47),
    "near_dedup": ("document-wise deduplication", 19.13),
}
"""Stage → the report's step and the share of raw (%) that it removed.

Source: Baichuan 2, arXiv 2309.10305, figure 2.
"""
REPORT_REMAINS = 31.68
"""What the report keeps, % of raw."""

STAGE_KEYS = (
    "name",
    "documents_in",
    "documents_kept",
    "documents_dropped",
    "bytes_in",
    "bytes_kept",
    "bytes_dropped",
    "bytes_rewritten",
    "sentences_in",
    "sentences_kept",
    "sentences_dropped",
    "seconds",
)


@answering
def stats(run: RunArgument, by: ByOption = None) -> Answer:
    """Show the funnel: what each stage received, kept and removed, and why, beside the report's figures."""
    from corpus.run_folder import RunFolder

    folder = RunFolder(run.absolute())
    folder.run_info()
    if by is not None:
        return removal_answer(folder, by)
    ledger = folder.ledger()
    result = {
        "stages": [{key: stage[key] for key in STAGE_KEYS} for stage in ledger["stages"]],
        "quarantined": ledger["quarantined"],
        "ingest": ledger["ingest"],
        "domains": ledger["domains"],
        "benchmarks": benchmark_lines(folder),
        "ancestors": ancestors_json(folder),
    }
    return Answer(result, lambda: _print(ledger, result))


def _print(ledger: dict[str, Any], result: dict[str, Any]) -> None:
    screen = console()
    if line := ancestors_line(result["ancestors"]):
        screen.print(Text(clean(line[0].upper() + line[1:] + ".")))
    screen.print(funnel_table(ledger, screen.width >= 100))
    reasons = reasons_table(ledger)
    screen.print(reasons if reasons.row_count else "No stage has removed anything.")
    if result["benchmarks"]:
        screen.print(benchmark_table(result["benchmarks"]))
    screen.print(quarantine_table(ledger) if ledger["quarantined"] else "Nothing was quarantined.")


def funnel_lines(ledger: dict[str, Any]) -> list[dict[str, Any]]:
    """The funnel's numbers, one dict a stage, shares in % of raw.

    Returns:
        `name`, `documents_removed`, `bytes_removed`, `documents_left`, `bytes_left`, and `report`: what the
        report's step removed, or None where it has no such step.
    """
    documents, text = ledger["ingest"]["documents"], ledger["ingest"]["text_bytes"]
    return [
        {
            "name": stage["name"],
            "documents_removed": share(stage["documents_in"] - stage["documents_kept"], documents),
            "bytes_removed": share(stage["bytes_in"] - stage["bytes_kept"], text),
            "documents_left": share(stage["documents_kept"], documents),
            "bytes_left": share(stage["bytes_kept"], text),
            "report": REPORT[stage["name"]][1] if stage["name"] in REPORT else None,
        }
        for stage in ledger["stages"]
    ]


def funnel_table(ledger: dict[str, Any], with_bar: bool) -> Table:
    """The funnel, a line a stage: what is left behind it, and what it removed."""
    ingest = ledger["ingest"]
    title = "The funnel: what is left behind each stage, and what it removed of raw"
    caption = "Baichuan 2: share of raw that the report's step removed (arXiv 2309.10305, figure 2)."
    left = ("documents", "text", "sentences")
    table = grid(["stage"], left, title=title, caption=caption, header_style="bold")
    if with_bar:
        table.add_column("text left", no_wrap=True)
    add_numbers(table, ("−documents", "−text", "Baichuan 2", "time"))
    _add(
        table,
        with_bar,
        ["raw", f"{ingest['documents']:,}", size(ingest["text_bytes"]), f"{ingest['sentences']:,}"],
        100.0 if ingest["text_bytes"] else 0.0,
        ["", "", "100 %", ""],
    )
    lines = funnel_lines(ledger)
    for stage, line in zip(ledger["stages"], lines, strict=True):
        reported = "" if line["report"] is None else removed(line["report"])
        kept = [f"{stage['documents_kept']:,}", size(stage["bytes_kept"]), f"{stage['sentences_kept']:,}"]
        gone = [removed(line["documents_removed"]), removed(line["bytes_removed"]), reported]
        _add(table, with_bar, [stage["name"], *kept], line["bytes_left"], [*gone, f"{stage['seconds']:,.1f} s"])
    table.add_section()
    if lines:
        last = [f"{lines[-1]['documents_left']:.2f} %", f"{lines[-1]['bytes_left']:.2f} %", f"{REPORT_REMAINS} %"]
        _add(
            table,
            with_bar,
            ["remains", "", "", ""],
            None,
            [*last, f"{sum(s['seconds'] for s in ledger['stages']):,.1f} s"],
            "bold",
        )
    return table


def _add(
    table: Table, with_bar: bool, left: list[str], filled: float | None, right: list[str], style: str = ""
) -> None:
    bar = [] if not with_bar else [Text("") if filled is None else _bar(filled)]
    table.add_row(*left, *bar, *right, style=style)


def _bar(percentage: float, width: int = 14) -> Text:
    """A bar in eighths of a character."""
    eighths = round(max(0.0, min(100.0, percentage)) / 100 * width * 8)
    full, rest = divmod(eighths, 8)
    drawn = "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
    return Text(drawn, "cyan") + Text(" " * (width - len(drawn)))


class ReasonRow(NamedTuple):
    """What one stage removed for one reason, in bytes of ingested text.

    The reason is `cut:<reason>`, and documents None, for spans taken out of documents that stay.
    """

    stage: str
    reason: str
    documents: int | None
    bytes: int
    sentences: int


def reason_rows(ledger: dict[str, Any]) -> list[ReasonRow]:
    """Everything that was removed, in pipeline order, the largest reason of a stage first."""
    rows: list[ReasonRow] = []
    for stage in ledger["stages"]:
        documents, sentences = stage["documents_dropped"], stage["sentences_dropped"]
        for reason, taken in sorted(stage["bytes_dropped"].items(), key=lambda item: (-item[1], item[0])):
            rows.append(ReasonRow(stage["name"], reason, documents.get(reason), taken, sentences.get(reason, 0)))
    return rows


def reasons_table(ledger: dict[str, Any]) -> Table:
    """What was removed, by stage and reason; a cut leaves its document."""
    documents, text = ledger["ingest"]["documents"], ledger["ingest"]["text_bytes"]
    title, numbers = "\nWhat was removed, and why (share of raw)", ("documents", "share", "sentences", "text", "share")
    table = grid(("stage", "reason"), numbers, title=title, header_style="bold")
    shown = ""
    for row in reason_rows(ledger):
        count = row.documents
        counted = ["", ""] if count is None else [f"{count:,}", f"{share(count, documents):.2f} %"]
        table.add_row(
            row.stage if row.stage != shown else "",
            Text(row.reason),
            *counted,
            f"{row.sentences:,}",
            size(row.bytes),
            f"{share(row.bytes, text):.2f} %",
        )
        shown = row.stage
    for stage in ledger["stages"]:
        if stage["bytes_rewritten"]:
            table.add_row(stage["name"], "rewritten (growth)", "", "", "", f"{stage['bytes_rewritten']:+,} B", "")
    return table


def quarantine_table(ledger: dict[str, Any]) -> Table:
    """Raw records that never became documents."""
    table = grid(["reason"], title="\nQuarantined raw records", header_style="bold")
    table.add_column("records", justify="right")
    table.add_column("of records", justify="right")
    for reason, count in sorted(ledger["quarantined"].items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(reason), f"{count:,}", f"{share(count, ledger['ingest']['records']):.2f} %")
    return table
