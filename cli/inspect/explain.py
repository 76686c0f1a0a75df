"""`tamis explain`: one document's whole story, from the raw record to the published shard, stage by stage.

The story itself is told by `corpus.reading.story`; here it is printed.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cli.inspect.masking import PersonalOption, open_run
from cli.options import Answer, RunArgument, answering
from cli.present import clean, console, one_line, size
from corpus.reading.plain import first_chars
from corpus.reading.story import SPAN_CHARS, explain_key

ROWS_SHOWN, VALUE_CHARS, TEXT_CHARS = 6, 60, 400


@answering
def explain(
    run: RunArgument,
    key: Annotated[str, typer.Argument(help="A doc_id, a source_id, a URL, or file#offset.", metavar="ID_OR_URL")],
    personal_data: PersonalOption = False,
) -> Answer:
    """Tell one document's whole story, kept or dropped, stage by stage."""
    reader = open_run(run, personal_data)
    result = explain_key(reader, key)
    return Answer(result, lambda: _print(console(), result))


def _print(screen: Console, result: dict[str, Any]) -> None:
    if len(result["documents"]) > 1:
        screen.print(Text(f"{len(result['documents'])} documents answer to {clean(result['query'])}.\n"))
    for document in result["documents"]:
        _print_document(screen, document)
    for record in result["quarantined"]:
        _print_quarantined(screen, record)


def _print_document(screen: Console, document: dict[str, Any]) -> None:
    outcome = "kept" if document["kept"] else "dropped"
    screen.print(Text(f"document {document['doc_id']}  {outcome}", "bold green" if document["kept"] else "bold red"))
    if "ancestor" in document:
        where = document["ancestor"]
        _line(screen, "snapshot", f"{where['snapshot']}, an earlier one: this is its story in {where['run']}")
    domain = document["domain"]
    came = "" if document["input_domain"] == domain else f" (its input is {document['input_domain']})"
    _line(
        screen,
        "source_id",
        document["source_id"] + (f"  (found by {document['found_by']})" if "found_by" in document else ""),
    )
    for name in ("url", "source", "lang", "licence", "extra"):
        if document[name] is not None:
            _line(screen, name, one_line(document[name], 300))
    _line(screen, "domain", domain + came)
    _line(screen, "raw record", f"{document['file']}, offset {document['offset']:,}, length {document['length']:,}")
    shard = document["document_shard"]
    _line(
        screen,
        "stored",
        f"{shard['path']}, row {shard['row']:,}: {size(document['bytes'])}, {document['sentences']:,} sentences",
    )
    for stage in document["stages"]:
        _print_stage(screen, stage)
    _print_published(screen, document)
    screen.print(Text("\n" + clean(first_chars(document["text"], TEXT_CHARS)) + "\n"))


def _line(screen: Console, name: str, value: str, indent: int = 2) -> None:
    screen.print(Text.assemble(" " * indent, (f"{name:<12}", "dim"), clean(value)), soft_wrap=True)


def _print_stage(screen: Console, stage: dict[str, Any]) -> None:
    decision = stage["decision"]
    style = {"kept": "green", "dropped": "bold red"}.get(decision, "dim")
    said = decision if decision != "dropped" else f"dropped: {stage['reason']}"
    screen.print(Text.assemble(("\n" + stage["stage"], "bold"), "  ", (clean(said), style)))
    if decision == "dropped" and stage["survivor"] is not None:
        similarity = stage["similarity"]
        _line(
            screen, "similarity", "not known" if similarity is None else f"{similarity:.4f} to the survivor, verified"
        )
    for outcome in stage.get("survivor_story", []):
        became = "kept" if outcome["kept"] else f"dropped by {outcome['stage']} ({outcome['reason']})"
        _line(screen, "survivor", f"{outcome['doc_id']}  {outcome['source_id']}  [{outcome['domain']}]  {became}")
        if "ancestor" in outcome:
            _line(screen, "", f"in snapshot {outcome['ancestor']['snapshot']}, {outcome['ancestor']['run']}")
            _line(screen, "", f"“{one_line(outcome['text'], SPAN_CHARS)}”")
    if stage.get("survivor_missing"):
        _line(screen, "survivor", f"{stage['last_survivor']}: {stage['survivor_missing']}")
    for election in stage["elections"]:
        _line(screen, "why", election["why"])
    for row in stage["evidence"][:ROWS_SHOWN]:
        _line(screen, "seen", _pairs(row))
    if len(stage["evidence"]) > ROWS_SHOWN:
        _line(screen, "", f"and {len(stage['evidence']) - ROWS_SHOWN:,} more rows of evidence (--format json has all)")
    if stage["columns"]:
        _line(screen, "columns", _pairs(stage["columns"]))
    for edit in stage["edits"]:
        rewritten = edit["replacement"] is not None
        put = f" → “{edit['replacement']}”" if rewritten else ""
        span = f"bytes {edit['start']:,} to {edit['end']:,}: “{one_line(edit['text'], SPAN_CHARS)}”{put}"
        _line(screen, "rewritten" if rewritten else "cut", f"{edit['reason']}, {span}")


def _pairs(row: dict[str, Any]) -> str:
    return (
        "  ".join(f"{name}={one_line(str(value), VALUE_CHARS)}" for name, value in row.items() if value is not None)
        or "nothing"
    )


def _print_published(screen: Console, document: dict[str, Any]) -> None:
    published = document["published"]
    screen.print(Text("\nwrite_shards", "bold"))
    if published is None:
        _line(
            screen,
            "published",
            "no, it was dropped" if not document["kept"] else "not yet: the run has not come that far",
        )
        return
    weight = "no weights written" if published["weight"] is None else f"weight {published['weight']:.4g}"
    _line(screen, "published", f"{published['path']}, row {published['row']:,}; split {published['split']}; {weight}")
    _line(
        screen,
        "columns",
        _pairs({k: v for k, v in published["columns"].items() if k not in ("doc_id", "domain", "split")}),
    )


def _print_quarantined(screen: Console, record: dict[str, Any]) -> None:
    screen.print(
        Text(f"record {clean(record['file'])}#{record['offset']}  quarantined: {record['reason']}", "bold red")
    )
    _line(screen, "domain", record["domain"])
    _line(screen, "raw record", f"{record['file']}, offset {record['offset']:,}, length {record['length']:,}")
    _line(screen, "detail", one_line(record["detail"], 300))
