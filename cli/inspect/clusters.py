"""`tamis clusters`: the largest families of duplicates, to see at a glance whether one source is being wiped out.

Near copies come by component, from the columns, drops and edges of `near_dedup`; a member that is not similar enough
to the first survivor has another, so a component may keep several. Exact copies come by survivor, from the drops of
`exact_dedup`. Cost: these narrow tables once, then the text rows of the survivors shown. `--show` is about one
component: see `cli.inspect.component`. `--semantic` is about cells: see `cli.inspect.cells`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.inspect.masking import PersonalOption, open_run
from cli.options import Answer, RunArgument, answering
from cli.present import clean, console, one_line
from tamis.errors import TamisError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from corpus.reading.run_reader import RunReader

MEMBERS_SHOWN = 5
TEXT_CHARS = 160


class Kind(StrEnum):
    """Kinds of duplicates."""

    near = "near"
    exact = "exact"


@answering
def clusters(
    run: RunArgument,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of clusters, the largest first.")] = 10,
    kind: Annotated[
        Kind, typer.Option("--kind", help="Near copies by component, or exact copies by survivor.")
    ] = Kind.near,
    show: Annotated[
        str | None,
        typer.Option("--show", metavar="ID", help="One component: its id, or a doc_id, source_id or URL in it."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="With --show: members compared with their survivor.")] = 10,
    semantic: Annotated[
        bool, typer.Option("--semantic", help="The largest cells of embeddings: terms, domains, examples, drift.")
    ] = False,
    personal_data: PersonalOption = False,
) -> Answer:
    """Show the largest families of duplicates, or one of them with the spans in which its members differ."""
    reader = open_run(run, personal_data)
    if semantic:
        return _cells(reader, top, show)
    if show is not None:
        return _components(reader, show, kind, n)
    result = describe(reader, kind, top)
    return Answer(result, lambda: _print(result))


def _print(result: dict[str, Any]) -> None:
    what = "components of near copies" if result["kind"] == Kind.near else "groups of exact copies"
    screen = console()
    if not result["clusters"]:
        screen.print(f"There are no {what}.")
        return
    screen.print(
        f"{result['count']:,} {what} hold {result['documents']:,} documents, of which {result['dropped']:,} were "
        f"dropped; the largest {len(result['clusters'])}:"
    )
    for found in result["clusters"]:
        screen.print()
        screen.print(_drawn(found))


def _cells(reader: RunReader, top: int, show: str | None) -> Answer:
    from cli.inspect.cells import describe_cells, print_cells

    if show is not None:
        raise TamisError(
            f"--show: found {show!r} with --semantic, which lists cells; expected it with components of near copies "
            "(--top says how many cells)"
        )
    result = describe_cells(reader, top)
    return Answer(result, lambda: print_cells(result))


def _components(reader: RunReader, key: str, kind: Kind, n: int) -> Answer:
    from cli.inspect.component import describe_components
    from cli.inspect.component_view import print_components

    if kind is Kind.exact:
        raise TamisError("--kind: found 'exact' with --show; expected 'near', as exact copies differ in spaces only")
    result = describe_components(reader, key, n)
    return Answer(result, lambda: print_components(console(), result["components"]))


def describe(reader: RunReader, kind: Kind, top: int) -> dict[str, Any]:
    """The result as JSON: totals and the `top` largest clusters."""
    import numpy as np

    stage = "near_dedup" if kind is Kind.near else "exact_dedup"
    drops = _gathered(reader, stage, "drops", ("doc_id", "survivor", "similarity"))
    if kind is Kind.near:
        columns = _gathered(reader, stage, "columns", ("doc_id", "component_id"))
        members, keys = columns["doc_id"], columns["component_id"]
    else:
        members = np.concatenate([drops["doc_id"], np.unique(drops["survivor"])])
        keys = np.concatenate([drops["survivor"], np.unique(drops["survivor"])])
    names, sizes = np.unique(keys, return_counts=True)
    largest = np.lexsort((names, -sizes))[:top]
    edges = _gathered(reader, stage, "edges", ("doc_id", "similarity")) if kind is Kind.near else None
    chosen = [_cluster(int(names[i]), np.sort(members[keys == names[i]]), drops, edges) for i in largest]
    _name_documents(reader, chosen)
    return {
        "kind": kind.value,
        "count": len(names),
        "documents": int(sizes.sum()),
        "dropped": len(drops["doc_id"]),
        "clusters": chosen,
    }


def _gathered(reader: RunReader, stage: str, table: str, columns: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Columns of a decision's table over all shards, as arrays; ids absent are -1, numbers absent NaN."""
    import numpy as np
    import pyarrow.parquet as pq

    parts = [pq.read_table(p, columns=list(columns), partitioning=None) for p in reader.stage(stage).paths(table)]
    found = {}
    for name in columns:
        kind = np.float64 if name == "similarity" else np.int64
        found[name] = np.concatenate([np.zeros(0, kind), *(_filled(part, name) for part in parts)]).astype(kind)
    return found


def _filled(table: pa.Table, name: str) -> npt.NDArray[Any]:
    values = table.column(name)
    return (values if name == "similarity" else values.fill_null(-1)).to_numpy()


def _cluster(
    name: int, members: npt.NDArray[np.int64], drops: dict[str, Any], edges: dict[str, Any] | None
) -> dict[str, Any]:
    import numpy as np

    gone = np.isin(members, drops["doc_id"])
    lost = np.isin(drops["doc_id"], members)
    similarity, earlier = drops["similarity"][lost], drops["survivor"][lost]  # a survivor may be an earlier snapshot's
    survivors = np.union1d(members[~gone], earlier[earlier >= 0])
    return {
        "id": str(name),
        "size": len(members),
        "dropped": int(gone.sum()),
        "similarity": _range(similarity),
        "edges": None
        if edges is None
        else {
            "count": int(np.isin(edges["doc_id"], members).sum()),
            **_range(edges["similarity"][np.isin(edges["doc_id"], members)]),
        },
        "survivors": [{"doc_id": str(i)} for i in survivors.tolist()],
        "members": [{"doc_id": str(i)} for i in members[gone][:MEMBERS_SHOWN].tolist()],
    }


def _range(values: npt.NDArray[np.float64]) -> dict[str, float | None]:
    import numpy as np

    known = values[~np.isnan(values)]
    if not len(known):
        return {"min": None, "mean": None}
    return {"min": round(float(known.min()), 4), "mean": round(float(known.mean()), 4)}


def _name_documents(reader: RunReader, chosen: list[dict[str, Any]]) -> None:
    """Adds source ids, domains and outcomes to survivors and members, and the first survivor's text."""
    people = [person for found in chosen for person in (*found["survivors"], *found["members"])]
    ids = [int(person["doc_id"]) for person in people]
    there = reader.lineage.reachable(ids)
    names, domains = reader.documents(there, ["source_id"]), reader.domains(there)
    for person, doc_id in zip(people, ids, strict=True):
        known = doc_id in names
        person.update(
            source_id=names[doc_id]["source_id"] if known else None,
            domain=domains.get(doc_id),
            **reader.lineage.origin_json(doc_id),
        )
    survivors = [int(person["doc_id"]) for found in chosen for person in found["survivors"]]
    outcomes = reader.outcomes(reader.lineage.reachable(survivors))
    leaders = [int(found["survivors"][0]["doc_id"]) for found in chosen if found["survivors"]]
    texts = reader.documents(reader.lineage.reachable(leaders), ["text"])
    for found in chosen:
        for person in found["survivors"]:
            outcome = outcomes.get(int(person["doc_id"]))
            person["fate"] = None if outcome is None else outcome.to_json()
        first = int(found["survivors"][0]["doc_id"]) if found["survivors"] else -1
        found["text"] = texts[first]["text"][:TEXT_CHARS] if first in texts else ""


def _survivor(person: dict[str, Any]) -> str:
    outcome, where = person["fate"], person.get("ancestor")
    earlier = "" if where is None else f", of snapshot {where['snapshot']} in {where['run']}"
    if outcome is None:
        return f"{person['doc_id']}{earlier}, which has moved away"
    later = "" if outcome["kept"] else f", dropped later by {outcome['stage']} ({outcome['reason']})"
    return f"{person['doc_id']}  {person['source_id']}  [{person['domain']}]{later}{earlier}"


def _drawn(found: dict[str, Any]) -> Table:
    title = f"{found['id']}: {found['size']:,} documents, {found['dropped']:,} dropped"
    if found["edges"] is not None:
        title += f", {found['edges']['count']:,} verified edges"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for person in found["survivors"][:MEMBERS_SHOWN]:
        table.add_row("kept", Text(clean(_survivor(person))))
    more = len(found["survivors"]) - MEMBERS_SHOWN
    if more > 0:
        table.add_row("", f"and {more:,} more survivors")
    least, mean = found["similarity"]["min"], found["similarity"]["mean"]
    table.add_row(
        "similarity", "not known" if least is None else f"least {least:.3f}, mean {mean:.3f}, to the survivor"
    )
    dots = " …" if found["dropped"] > len(found["members"]) else ""
    table.add_row("dropped", Text(clean(", ".join(person["source_id"] for person in found["members"]) + dots)))
    table.add_row("text", Text(one_line(found["text"], TEXT_CHARS)))
    return table
