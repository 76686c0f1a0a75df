"""One component of near copies: its members beside their survivors, the verified edges, and where the texts differ.

The texts compared are the stored ones, as `near_dedup` saw them: before any span was cut, and with the personal data
that the view may not show. Cost: the narrow tables of `near_dedup` for the shards of the component, its list of
components once, and the texts of the members shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from corpus.reading.plain import first_chars
from tamis.errors import TamisError

if TYPE_CHECKING:
    from cli.inspect.token_diff import Tokens
    from corpus.reading.run_reader import RunReader

STAGE = "near_dedup"
EDGES_SHOWN, SPANS_SHOWN, SPAN_CHARS, CONTEXT_CHARS = 100, 8, 400, 30
Rows = list[dict[str, Any]]


def describe_components(reader: RunReader, key: str, shown: int) -> dict[str, Any]:
    """The components of a doc_id, a source_id, a URL, or of a component's id, as JSON.

    Of their members so many are compared with their survivor: those asked for, then the least similar.

    Raises:
        TamisError: nothing has that name, or it is in no component; the sentence says why.
    """
    reader.stage(STAGE)
    return {
        "query": key,
        "components": [_component(reader, name, asked, shown) for name, asked in _resolved(reader, key).items()],
    }


def _resolved(reader: RunReader, key: str) -> dict[int, set[int]]:
    """Component → the documents in it that were asked for."""
    found: dict[int, set[int]] = {}
    outside = []
    for doc_id in reader.find(key):
        rows = reader.rows_about(STAGE, "columns", doc_id)
        if rows and rows[0]["component_id"] is not None:
            found.setdefault(rows[0]["component_id"], set()).add(doc_id)
        else:
            outside.append(doc_id)
    if found:
        return found
    if key.isascii() and key.isdigit() and int(key) < 1 << 63 and _members(reader, int(key)):
        return {int(key): set()}
    if not outside:
        raise TamisError(
            f"{reader.run.root} holds no document whose doc_id, source_id or URL is {key!r}, and no component of near "
            "copies with that id"
        )
    raise TamisError(_why_outside(reader, outside[0]))


def _why_outside(reader: RunReader, doc_id: int) -> str:
    stages = [stage for stage, _ in reader.chain]
    outcome, name = reader.outcomes([doc_id])[doc_id], reader.documents([doc_id], ["source_id"])[doc_id]["source_id"]
    said = f"document {doc_id} ({name}) is in no component of near copies"
    if outcome.stage is None or stages.index(outcome.stage) > stages.index(STAGE):
        return f"{said}: {STAGE} found nothing in this run that is nearly the same"
    copy = "" if outcome.survivor is None else f", in favour of document {outcome.survivor}"
    return f"{said}: {outcome.stage} had dropped it before ({outcome.reason}{copy})"


def _members(reader: RunReader, component: int) -> list[int]:
    """The documents of a component, ascending."""
    import pyarrow.parquet as pq

    found: list[int] = []
    for path in reader.stage(STAGE).paths("columns"):
        rows = pq.read_table(path, columns=["doc_id"], filters=[("component_id", "=", component)], partitioning=None)
        found += rows.column("doc_id").to_pylist()
    return sorted(found)


def _about(reader: RunReader, table: str, members: list[int]) -> Rows:
    """The rows of a table of `near_dedup` that are about some documents."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows: Rows = []
    for shard, here in reader.by_shard(members):
        found = reader.sidecar(STAGE, table, shard.number)
        if found is not None:
            rows += found.filter(pc.is_in(found.column("doc_id"), pa.array(here, pa.int64()))).to_pylist()
    return rows


def _component(reader: RunReader, name: int, asked: set[int], shown: int) -> dict[str, Any]:
    members = _members(reader, name)
    drops = {row["doc_id"]: row for row in _about(reader, "drops", members)}
    edges = _about(reader, "edges", members)
    order = sorted(drops.values(), key=lambda row: (row["doc_id"] not in asked, row["similarity"] or 0, row["doc_id"]))
    stands_for = Counter(row["survivor"] for row in drops.values())
    survivors = sorted({*stands_for, *(i for i in members if i not in drops)})
    return {
        "id": str(name),
        "size": len(members),
        "dropped": len(drops),
        "edges_count": len(edges),
        "edges_without_agreement": len(_about(reader, "disagreements", members)),
        "edges": [_edge(row) for row in sorted(edges, key=lambda e: (e["similarity"], e["doc_id"]))[:EDGES_SHOWN]],
        "survivors": _survivors(reader, survivors, stands_for),
        "members": _compared(reader, order[:shown], edges),
        "members_not_shown": max(0, len(order) - shown),
    }


def _edge(row: dict[str, Any]) -> dict[str, Any]:
    method = {"method": row["method"]} if "method" in row else {}
    return {
        "doc_id": str(row["doc_id"]),
        "other": str(row["other"]),
        "similarity": round(row["similarity"], 4),
        **method,
    }


def _survivors(reader: RunReader, ids: list[int], stands_for: Counter[int]) -> Rows:
    here = reader.lineage.reachable(ids)
    names, domains, outcomes = reader.documents(here, ["source_id"]), reader.domains(here), reader.outcomes(here)
    return [
        {
            "doc_id": str(i),
            "source_id": names[i]["source_id"] if i in names else None,
            "domain": domains.get(i),
            "stands_for": stands_for[i],
            "fate": outcomes[i].to_json() if i in outcomes else None,
            **reader.lineage.origin_json(i),
        }
        for i in ids
    ]


def _compared(reader: RunReader, rows: Rows, edges: Rows) -> Rows:
    """The members of these drops, each with its differences from its survivor."""
    from cli.inspect.token_diff import Tokens

    degree = Counter(i for edge in edges for i in (edge["doc_id"], edge["other"]))
    members = [row["doc_id"] for row in rows]
    names, domains = reader.documents(members, ["source_id"]), reader.domains(members)
    survivors: dict[int, Tokens | None] = {}
    found = []
    for row in rows:
        doc_id, survivor = row["doc_id"], row["survivor"]
        if survivor not in survivors:
            texts = reader.documents(reader.lineage.reachable([survivor]), ["text"], as_stored=True)
            survivors = {survivor: Tokens.of(texts[survivor]["text"]) if survivor in texts else None}
        member = {
            "doc_id": str(doc_id),
            "source_id": names[doc_id]["source_id"],
            "domain": domains[doc_id],
            "survivor": str(survivor),
            "edges": degree[doc_id],
            "similarity": None if row["similarity"] is None else round(row["similarity"], 4),
        }
        against = survivors[survivor]
        if against is not None:
            text = reader.documents([doc_id], ["text"], as_stored=True)[doc_id]["text"]
            member |= compare(Tokens.of(text), against, reader.shown)
        found.append(member)
    return found


def compare(member: Tokens, survivor: Tokens, shown: Callable[[str], str] = str) -> dict[str, Any]:
    """Where a member differs from its survivor, as JSON; `shown` hides what may not be shown, byte for byte.

    Returns:
        `differences`: the first of them, each with both sides: byte offsets into the stored text, the text there,
        and what stands around it; `differences_count`: how many there are; `whole`: False where a text is so long
        that only its beginning was compared.
    """
    from cli.inspect.token_diff import differences

    blocks = differences(member.names, survivor.names)
    first = blocks[:SPANS_SHOWN]
    ours = _sides(member, [(a, b) for a, b, _, _ in first], shown)
    theirs = _sides(survivor, [(c, d) for _, _, c, d in first], shown)
    return {
        "differences": [{"member": a, "survivor": b} for a, b in zip(ours, theirs, strict=True)],
        "differences_count": len(blocks),
        "whole": member.complete and survivor.complete,
    }


def _sides(tokens: Tokens, spans: list[tuple[int, int]], shown: Callable[[str], str]) -> Rows:
    from cli.inspect.token_diff import byte_offsets

    size = len(tokens.text)
    pairs = [tokens.characters(first, last) for first, last in spans]
    around = [(max(0, a - CONTEXT_CHARS), a, b, min(size, b + CONTEXT_CHARS)) for a, b in pairs]
    offsets = byte_offsets(tokens.text, [place for places in around for place in places])
    data = shown(tokens.text).encode("utf-8")
    sides = []
    for n, (first, _, _, last) in enumerate(around):
        low, start, end, high = offsets[4 * n : 4 * n + 4]
        sides.append(
            {
                "start": start,
                "end": end,
                "text": first_chars(data[start:end].decode(), SPAN_CHARS),
                "before": ("…" if first else "") + data[low:start].decode(),
                "after": data[end:high].decode() + ("…" if last < size else ""),
            }
        )
    return sides
