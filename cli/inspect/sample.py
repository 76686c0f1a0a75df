"""`tamis sample`: texts that a decision removed or cut, to read before trusting a threshold.

Which ones is a function of the seed and the ids, so that two people read the same sample. Cost: the stage's drops or
edits (narrow), then only the document shards of the texts shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cli.inspect.masking import PersonalOption, open_run
from cli.options import Answer, RunArgument, answering
from cli.present import clean, console
from corpus.reading.plain import first_chars
from tamis.errors import TamisError

if TYPE_CHECKING:
    import pyarrow as pa

    from corpus.reading.run_reader import RunReader

TEXT_CHARS, CONTEXT_CHARS = 400, 150
_SPREAD = 1_000_003


@answering
def sample(
    run: RunArgument,
    stage: Annotated[str, typer.Option("--stage", help="The stage that removed them.")],
    reason: Annotated[str, typer.Option("--reason", help="A reason for dropping a document, or for cutting a span.")],
    n: Annotated[int, typer.Option("-n", min=1, help="Number of texts.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another sample.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="Whole texts instead of their beginnings.")] = False,
    personal_data: PersonalOption = False,
) -> Answer:
    """Show texts that a decision removed or cut, beside what was kept instead."""
    result = draw(open_run(run, personal_data), stage, reason, n, seed, full)
    return Answer(result, lambda: _print(console(), result))


def _print(screen: Console, result: dict[str, Any]) -> None:
    what = "documents dropped" if result["kind"] == "documents" else "spans edited"
    of = f"{len(result['samples'])} of {result['available']:,} {what} by {result['stage']}"
    screen.print(Text(f"{of} for {result['reason']}, seed {result['seed']}"))
    for number, found in enumerate(result["samples"], 1):
        _print_sample(screen, number, found)


def draw(reader: RunReader, stage: str, reason: str, n: int, seed: int, full: bool = False) -> dict[str, Any]:
    """The sample as JSON.

    Raises:
        TamisError: no such stage or reason; the sentence lists those that exist.
    """
    reader.stage(stage)
    bare = reason.removeprefix("cut:").removeprefix("rewrite:")
    for kind in ("drops", "edits"):
        rows = [row for table in _tables(reader, stage, kind) for row in _keys(table, bare)]
        if rows and not (kind == "drops" and reason != bare):
            chosen = _chosen(rows, n, seed)
            show = _dropped if kind == "drops" else _edited
            return {
                "stage": stage,
                "reason": bare,
                "kind": "documents" if kind == "drops" else "spans",
                "available": len(rows),
                "seed": seed,
                "samples": show(reader, stage, chosen, None if full else TEXT_CHARS),
            }
    counts = reasons(reader, stage)
    known = ", ".join(f"{name} ({count:,})" for name, count in counts.items())
    raise TamisError(
        f"stage {stage} has removed nothing for {reason!r}; "
        + (f"it has {known}" if known else "it has removed nothing at all")
    )


def reasons(reader: RunReader, stage: str) -> dict[str, int]:
    """What a stage removed: reason → documents, `cut:reason` → spans, `rewrite:reason` → spans."""
    import pyarrow.compute as pc

    counts: dict[str, int] = {}
    for kind in ("drops", "edits"):
        for table in _tables(reader, stage, kind):
            for rewrite in (False, True) if kind == "edits" else (None,):
                prefix = {None: "", False: "cut:", True: "rewrite:"}[rewrite]
                part = (
                    table
                    if rewrite is None
                    else table.filter(pc.equal(pc.is_valid(table.column("replacement")), rewrite))
                )
                for entry in part.column("reason").value_counts().to_pylist():
                    counts[prefix + entry["values"]] = counts.get(prefix + entry["values"], 0) + entry["counts"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _tables(reader: RunReader, stage: str, kind: str) -> Iterator[pa.Table]:
    """A stage's drops or edits, shard by shard, of documents that no earlier stage dropped, as the ledger counts."""
    import numpy as np
    import pyarrow as pa

    for shard in reader.shards:
        table = reader.sidecar(stage, kind, shard.number)
        if table is None:
            continue
        gone = np.zeros(shard.rows, np.bool_)
        for name, _ in reader.chain:
            if name == stage and kind == "drops":
                break
            drops = reader.sidecar(name, "drops", shard.number)
            if drops is not None:
                gone[drops.column("row").to_numpy()] = True
            if name == stage:
                break
        rows = table.column("row").to_numpy()
        if kind == "edits":
            table = table.append_column("doc_id", pa.array(shard.first_id + rows.astype(np.int64)))
        yield table.filter(pa.array(~gone[rows]))


def _keys(table: pa.Table, reason: str) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    rows: list[dict[str, Any]] = table.filter(pc.equal(table.column("reason"), reason)).to_pylist()
    return rows


def _chosen(rows: list[dict[str, Any]], n: int, seed: int) -> list[dict[str, Any]]:
    """`n` rows by a hash of seed, document and offset, in corpus order."""
    import numpy as np

    from text.hash import uniform

    with np.errstate(over="ignore"):
        keys = np.array([r["doc_id"] for r in rows], np.int64) * _SPREAD + np.array(
            [r.get("start", 0) for r in rows], np.int64
        )
    first = np.argsort(uniform(seed, keys), kind="stable")[:n]
    return [rows[i] for i in sorted(first.tolist())]


def _dropped(reader: RunReader, stage: str, rows: list[dict[str, Any]], chars: int | None) -> list[dict[str, Any]]:
    from corpus.reading.run_reader import view_text

    ids = [row["doc_id"] for row in rows]
    survivors = reader.lineage.reachable(row["survivor"] for row in rows if row["survivor"] is not None)
    documents = reader.documents([*ids, *survivors], ["source_id", "url", "text"])
    domains, outcomes = reader.domains([*ids, *survivors]), reader.outcomes(survivors)

    def shown(doc_id: int) -> dict[str, Any]:
        stored = documents[doc_id]
        text = view_text(stored["text"], reader.edits_before(doc_id, stage))
        return {
            "doc_id": str(doc_id),
            "source_id": stored["source_id"],
            "url": stored["url"],
            "domain": domains[doc_id],
            "text": first_chars(text, chars),
        }

    found = []
    for row in rows:
        survivor = row["survivor"]
        found.append(
            {
                **shown(row["doc_id"]),
                "similarity": None if row["similarity"] is None else round(row["similarity"], 4),
                "survivor": {**shown(survivor), "fate": outcomes[survivor].to_json()} if survivor in outcomes else None,
                "survivor_missing": None if survivor is None else reader.lineage.missing(survivor),
            }
        )
    return found


def _edited(reader: RunReader, stage: str, rows: list[dict[str, Any]], chars: int | None) -> list[dict[str, Any]]:
    ids = [row["doc_id"] for row in rows]
    documents, domains = reader.documents(ids, ["source_id", "url", "text"]), reader.domains(ids)
    found = []
    for row in rows:
        stored = documents[row["doc_id"]]
        data = stored["text"].encode("utf-8")
        before = data[: row["start"]].decode("utf-8", "replace")
        after = data[row["end"] :].decode("utf-8", "replace")
        if chars is not None:
            before = ("…" if len(before) > CONTEXT_CHARS else "") + before[-CONTEXT_CHARS:]
            after = first_chars(after, CONTEXT_CHARS)
        cut = data[row["start"] : row["end"]].decode("utf-8", "replace")
        found.append(
            {
                "doc_id": str(row["doc_id"]),
                "source_id": stored["source_id"],
                "url": stored["url"],
                "domain": domains[row["doc_id"]],
                "start": row["start"],
                "end": row["end"],
                "before": before,
                "span": first_chars(cut, chars),
                "after": after,
                "replacement": row["replacement"],
            }
        )
    return found


def _print_sample(screen: Console, number: int, found: dict[str, Any]) -> None:
    screen.print()
    screen.rule(
        Text(clean(f"{number}  {found['doc_id']}  {found['source_id']}  [{found['domain']}]")),
        align="left",
        style="dim",
    )
    if "span" in found:
        put = "" if found["replacement"] is None else f"→{clean(found['replacement'])}"
        span = ("⟦" + clean(found["span"]) + "⟧", "red strike")
        screen.print(Text.assemble(clean(found["before"]), span, (put, "green"), clean(found["after"])))
        return
    screen.print(Text(clean(found["text"])))
    survivor = found["survivor"]
    if survivor is None:
        if found["survivor_missing"]:
            screen.print(Text(clean(f"\nsurvivor: {found['survivor_missing']}"), "green"))
        return
    outcome = survivor["fate"]
    became = "kept" if outcome["kept"] else f"itself dropped later by {outcome['stage']} ({outcome['reason']})"
    similarity = "" if found["similarity"] is None else f", similarity {found['similarity']:.3f}"
    line = f"\nsurvivor {survivor['doc_id']}  {survivor['source_id']}  [{survivor['domain']}]{similarity}, {became}"
    screen.print(Text(clean(line), "green"))
    screen.print(Text(clean(survivor["text"])))
