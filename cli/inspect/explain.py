"""`tamis explain`: one document's whole story, from the raw record to the published shard, stage by stage.

What the scan saw, what was decided and why, what was cut, who survived instead and what became of that one. Cost: the
narrow tables of one document shard a stage, one text row, and the URL index for a look-up by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cli.inspect.masking import PersonalOption, open_run
from cli.options import Answer, RunArgument, answering
from cli.present import clean, console, first_chars, one_line, plain, plain_row, size
from corpus.ids import first_id
from tamis.errors import TamisError

if TYPE_CHECKING:
    from corpus.reading.run_reader import RunReader

STORED = ("source_id", "url", "source", "lang", "licence", "extra", "file", "offset", "length", "bytes", "sentences")
ROWS_SHOWN, VALUE_CHARS, TEXT_CHARS, SPAN_CHARS = 6, 60, 400, 200


@answering
def explain(
    run: RunArgument,
    key: Annotated[str, typer.Argument(help="A doc_id, a source_id, a URL, or file#offset.", metavar="ID_OR_URL")],
    personal_data: PersonalOption = False,
) -> Answer:
    """Tell one document's whole story, kept or dropped, stage by stage."""
    reader = open_run(run, personal_data)
    found = reader.find(key)
    quarantined = [plain_row(row) for row in reader.quarantined(key)]
    documents = [{"found_by": by, **describe(reader, doc_id)} for doc_id, by in found.items()]
    if not documents and not quarantined:
        documents = _in_ancestors(reader, key)
    result = {"query": key, "documents": documents, "quarantined": quarantined}
    return Answer(result, lambda: _print(console(), result))


def _print(screen: Console, result: dict[str, Any]) -> None:
    if len(result["documents"]) > 1:
        screen.print(Text(f"{len(result['documents'])} documents answer to {clean(result['query'])}.\n"))
    for document in result["documents"]:
        _print_document(screen, document)
    for record in result["quarantined"]:
        _print_quarantined(screen, record)


def _in_ancestors(reader: RunReader, key: str) -> list[dict[str, Any]]:
    """The documents of that name in the runs of earlier snapshots, the latest of them first.

    Raises:
        TamisError: there are none, or the id's snapshot is one whose folder has moved away.
    """
    lost = []
    for snapshot, known in sorted(reader.lineage.earlier.items(), reverse=True):
        missing = reader.lineage.missing(first_id(snapshot, 0))
        if missing is not None:
            lost.append(missing)
            continue
        ancestor = reader.lineage.holder(first_id(snapshot, 0))
        found = ancestor.find(key)
        if found:
            where = {"snapshot": snapshot, "run": str(known.root)}
            return [{"found_by": by, "ancestor": where, **describe(ancestor, i)} for i, by in found.items()]
    if key.isascii() and key.isdigit() and int(key) < 1 << 63 and (why := reader.lineage.missing(int(key))):
        raise TamisError(f"document {key} is not of {reader.run.root} but of an earlier snapshot: {why}")
    also = " nor do its ancestors" if reader.lineage.earlier and not lost else ""
    raise TamisError(
        f"{reader.run.root} holds no document whose doc_id, source_id or URL is {key!r}, "
        f"and no quarantined record at that file#offset{also and ',' + also}" + "".join(f"; {why}" for why in lost)
    )


def describe(reader: RunReader, doc_id: int) -> dict[str, Any]:
    """A document's story as JSON: where it lies, what each stage saw and decided, where it was published."""
    shard = reader.shard_of(doc_id)
    stored = reader.documents([doc_id], [*STORED, "text"])[doc_id]
    text = stored.pop("text")
    outcome = reader.outcomes([doc_id])[doc_id]
    published = reader.published(doc_id)
    return {
        "doc_id": str(doc_id),
        "domain": reader.domains([doc_id])[doc_id],
        "input_domain": shard.domain,
        **plain_row(stored),
        "document_shard": {
            "number": shard.number,
            "path": str(shard.path.relative_to(reader.run.root)),
            "row": doc_id - shard.first_id,
        },
        "kept": outcome.kept,
        "stages": _stages(reader, doc_id, text, outcome.stage),
        "published": None
        if published is None
        else {
            "path": published.path,
            "row": published.row,
            "split": published.values["split"],
            "weight": plain("weight", published.weight),
            "columns": plain_row(published.values, STORED[:-2]),
        },
        "text": text,
    }


def _stages(reader: RunReader, doc_id: int, text: str, dropped_by: str | None) -> list[dict[str, Any]]:
    data = text.encode("utf-8")
    stages: list[dict[str, Any]] = []
    gone = False
    domain = reader.domains([doc_id])[doc_id]
    for name, manifest in reader.chain:
        skipped = domain in manifest.body.get("config", {}).get("skip", [])
        columns = reader.rows_about(name, "columns", doc_id)
        stage: dict[str, Any] = {
            "stage": name,
            "evidence": [plain_row(row, ("row", "doc_id")) for row in reader.rows_about(name, "evidence", doc_id)],
            "columns": plain_row(columns[0], ("row", "doc_id")) if columns else {},
            "decision": "dropped before" if gone else ("skipped in this domain" if skipped else "kept"),
            "edits": [_edit(row, data) for row in reader.rows_about(name, "edits", doc_id)],
        }
        if name == dropped_by:
            story = reader.story(doc_id)
            stage |= {"decision": "dropped", **{k: story[0].to_json()[k] for k in ("reason", "survivor", "similarity")}}
            stage["survivor_story"] = [_named(reader, outcome.to_json()) for outcome in story[1:]]
            if story[-1].survivor is not None:
                stage["last_survivor"] = str(story[-1].survivor)
                stage["survivor_missing"] = reader.lineage.missing(story[-1].survivor)
            gone = True
        stages.append(stage)
    return stages


def _edit(row: dict[str, Any], data: bytes) -> dict[str, Any]:
    return {
        "start": row["start"],
        "end": row["end"],
        "reason": row["reason"],
        "replacement": row["replacement"],
        "text": data[row["start"] : row["end"]].decode("utf-8", "replace"),
    }


def _named(reader: RunReader, outcome: dict[str, Any]) -> dict[str, Any]:
    doc_id = int(outcome["doc_id"])
    stored = reader.documents([doc_id], ["source_id", "text"])[doc_id]
    named = {**outcome, "source_id": stored["source_id"], "domain": reader.domains([doc_id])[doc_id]}
    origin = reader.lineage.origin_json(doc_id)
    return {**named, **origin, "text": first_chars(stored["text"], SPAN_CHARS)} if origin else named


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
