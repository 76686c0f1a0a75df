"""The part of the HTML report about losses by domain and source: worst first, beside the alarm's limit."""

from __future__ import annotations

from typing import Any

from cli.inspect.removal import By, Loss, losses, source_name, unnamed_note
from cli.pages.page import Page, Table
from cli.present import share, size
from cli.report.charts import taken
from cli.report.numbers import Numbers

BARS, ROWS = 15, 40


def add_removal(page: Page, numbers: Numbers) -> None:
    """A section on domains and one on sources, where something was removed and it was counted."""
    removal = numbers.removal
    if removal is None:
        return
    note = "Share of what each stage received that it took, worst first; the larger of documents and text is drawn. "
    for by, title in (
        (By.domain, "What stages took from each domain"),
        (By.source, "What stages took from each source"),
    ):
        found = [loss for loss in losses(removal, by) if loss.line.removed_fraction]
        if by is By.source and removal["sources_total"] == len({row["domain"] for row in removal["domains"]}):
            continue  # every domain has one source: the section would say the same twice
        if found:
            _section(page, title, note + _alarm_note(found) + _hidden(removal, by, len(found)), found, by)


def _alarm_note(found: list[Loss]) -> str:
    raised = sum(loss.alarm for loss in found)
    if raised:
        return f"{raised:,} over the alarm's limit: the run stopped before its shards. "
    return "None is over the alarm's limit. "


def _hidden(removal: dict[str, Any], by: By, count: int) -> str:
    more = f"The table has the first {ROWS} of {count:,} lines. " if count > ROWS else ""
    return more + (unnamed_note(removal) if by is By.source else "")


def _section(page: Page, title: str, note: str, found: list[Loss], by: By) -> None:
    rows = []
    for loss in found[:ROWS]:
        line, limit = loss.line, "" if loss.limit is None else f"{100 * loss.limit:g} %"
        source = [source_name(line)] if by is By.source else []
        rows.append(
            [
                line.stage,
                line.domain,
                *source,
                f"{line.documents_in:,}",
                f"{share(line.documents_dropped, line.documents_in):.2f} %",
                size(line.bytes_in),
                f"{share(line.bytes_dropped, line.bytes_in):.2f} %",
                limit,
                "alarm" if loss.alarm else "",
            ]
        )
    names = ["stage", "domain", *(["source"] if by is By.source else [])]
    header = (*names, "documents", "−documents", "text", "−text", "limit", "")
    drawn = [loss for loss in found if loss.counts][:BARS]
    chart = taken(
        [_label(loss, by) for loss in drawn],
        [100 * loss.line.removed_fraction for loss in drawn],
        [None if loss.limit is None else 100 * loss.limit for loss in drawn],
    )
    shown = [page.chart(chart)] if drawn else []
    page.section(title, note, *shown, Table(header, rows, len(names)))


def _label(loss: Loss, by: By) -> str:
    line = loss.line
    return f"{line.stage}: {line.domain}" + (f" / {source_name(line)}" if by is By.source else "")
