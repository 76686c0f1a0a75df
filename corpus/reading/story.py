"""One document's whole story, from the raw record to the published shard, stage by stage.

What the scan saw, what was decided and why, what was cut, who survived instead and what became of that one. Cost: the
narrow tables of one document shard a stage, one text row, and the URL index for a look-up by name.
"""

from __future__ import annotations

from typing import Any

from corpus.ids import first_id
from corpus.reading.election import why
from corpus.reading.plain import first_chars, plain, plain_row
from corpus.reading.run_reader import RunReader
from tamis.errors import TamisError

STORED = ("source_id", "url", "source", "lang", "licence", "extra", "file", "offset", "length", "bytes", "sentences")
SPAN_CHARS = 200


def explain_key(reader: RunReader, key: str) -> dict[str, Any]:
    """The stories of the documents whose doc_id, source_id or URL is `key`, as JSON; or of the record at file#offset.

    Returns:
        `query`; `documents`, a story each (see `describe`); `quarantined`, records that never became a document.

    Raises:
        TamisError: there is none, in this run and its ancestors.
    """
    quarantined = [plain_row(row) for row in reader.quarantined(key)]
    documents = [{"found_by": by, **describe(reader, doc_id)} for doc_id, by in reader.find(key).items()]
    if not documents and not quarantined:
        documents = _in_ancestors(reader, key)
    return {"query": key, "documents": documents, "quarantined": quarantined}


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
        stage["elections"] = [
            {**plain_row(row, ("row", "doc_id")), "why": why(row, stage["decision"] != "dropped")}
            for row in reader.rows_about(name, "elections", doc_id)
        ]
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
