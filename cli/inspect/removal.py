"""`tamis stats --by domain|source`: what each stage took from each domain or source, worst first, and the alarm.

From `RUN/removal.json`, which a run writes before its shards, so that it is there when the alarm stopped the run.
Cost: one small file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from cli.options import Answer
from cli.present import add_numbers, console, grid, one_line, share, size
from corpus.removal_line import OTHER, RemovalLine
from tamis.errors import TamisError

if TYPE_CHECKING:
    from corpus.run_folder import RunFolder

NO_SOURCE = "(no source)"
LINES_SHOWN = 40
_NAME_CHARS = 48


class By(StrEnum):
    """What losses are summed by."""

    domain = "domain"
    source = "source"


ByOption = Annotated[
    By | None, typer.Option("--by", help="Show instead what each stage took from each domain or source, worst first.")
]


class Loss(NamedTuple):
    """What a stage took from a domain, then its line's source is None, or a source; and whether it raises the alarm.

    `limit` is the share that may go, None where the stage is not watched; `counts`: whether there are documents enough
    for the share to mean something.
    """

    line: RemovalLine
    limit: float | None
    counts: bool
    alarm: bool


def losses(removal: dict[str, Any], by: By) -> list[Loss]:
    """The lines of all domains or of all named sources, worst first; those of few documents, and "(other)", last."""
    default, own = removal["alarm"]["default"], removal["alarm"]["domains"]
    found = []
    for row in removal[f"{by}s"]:
        line = RemovalLine(**{"source": None, **row})
        limits = own.get(line.domain, default)
        watched = line.stage in limits["stages"]
        counts = line.documents_in >= limits["min_documents"] and line.source != OTHER
        over = watched and counts and line.removed_fraction > limits["max_removed_fraction"]
        found.append(Loss(line, limits["max_removed_fraction"] if watched else None, counts, over))
    return sorted(found, key=lambda x: (not x.counts, -x.line.removed_fraction, -x.line.documents_dropped))


def source_name(line: RemovalLine) -> str:
    """How a line's source is written."""
    if line.source == OTHER:
        return f"({line.sources:,} others)"
    return NO_SOURCE if line.source is None else one_line(line.source, _NAME_CHARS)


def unnamed_note(removal: dict[str, Any]) -> str:
    """A sentence about sources that are not named; empty where all are."""
    named = {(row["domain"], row["source"]) for row in removal["sources"] if row["source"] != OTHER}
    hidden = removal["sources_total"] - len(named)
    return f"{hidden:,} of {removal['sources_total']:,} sources are summed as others." if hidden > 0 else ""


def removal_answer(run: RunFolder, by: By) -> Answer:
    """What was lost.

    Raises:
        TamisError: the run has not been counted by domain and source.
    """
    removal = run.removal()
    if removal is None:
        raise TamisError(f"{run.root} has no removal.json yet: let `tamis run` come to the end of a stage first")
    found = losses(removal, by)
    rows = [_json(loss, by) for loss in found]
    result = {"by": by, "alarm": removal["alarm"], "sources_total": removal["sources_total"], "rows": rows}
    return Answer(result, lambda: _print(found, removal, by))


def _print(found: list[Loss], removal: dict[str, Any], by: By) -> None:
    lost = [loss for loss in found if loss.line.removed_fraction]
    if not lost:
        typer.echo("No stage has removed anything.")
        return
    screen = console()
    screen.print(_table(lost[:LINES_SHOWN], by))
    more = f"{len(lost) - LINES_SHOWN:,} more lines with --format json. " if len(lost) > LINES_SHOWN else ""
    note = more + (unnamed_note(removal) if by is By.source else "")
    if note:
        screen.print(note.strip())


def _json(loss: Loss, by: By) -> dict[str, Any]:
    line = loss.line
    source = {"source": line.source} if by is By.source else {}
    return {
        "stage": line.stage,
        "domain": line.domain,
        **source,
        "sources": line.sources,
        "documents_in": line.documents_in,
        "documents_dropped": line.documents_dropped,
        "bytes_in": line.bytes_in,
        "bytes_dropped": line.bytes_dropped,
        "removed_fraction": round(line.removed_fraction, 6),
        "limit": loss.limit,
        "alarm": loss.alarm,
    }


def _table(found: list[Loss], by: By) -> Table:
    below = "limit: the share above which a run stops before its shards (alarm.max_removed_fraction)."
    title = f"What each stage took from each {by}, worst first"
    table = grid(("stage", "domain"), title=title, header_style="bold", caption=below)
    if by is By.source:
        table.add_column("source")
    add_numbers(table, ("documents", "−documents", "text", "−text", "limit"))
    for loss in found:
        line = loss.line
        source = [Text(source_name(line))] if by is By.source else []
        limit = "" if loss.limit is None else f"{100 * loss.limit:g} %"
        table.add_row(
            line.stage,
            Text(line.domain),
            *source,
            f"{line.documents_in:,}",
            f"{share(line.documents_dropped, line.documents_in):.2f} %",
            size(line.bytes_in),
            f"{share(line.bytes_dropped, line.bytes_in):.2f} %",
            f"{limit} !" if loss.alarm else limit,
            style="bold red" if loss.alarm else ("" if loss.counts else "dim"),
        )
    return table
