"""How a component of near copies is shown in the terminal: survivor and member side by side where there is room."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.present import clean, one_line

SIDE_BY_SIDE = 100
"""From this width on, survivor and member stand in two columns."""
SURVIVORS_SHOWN, SPAN_CHARS = 10, 160


def print_components(screen: Console, components: list[dict[str, Any]]) -> None:
    """Prints components as `cli.inspect.component` describes them."""
    for found in components:
        _print_component(screen, found)


def _print_component(screen: Console, found: dict[str, Any]) -> None:
    edges, count = found["edges"], found["edges_count"]
    screen.print(
        f"component {found['id']}: {found['size']:,} documents, {found['dropped']:,} dropped, {count:,} verified edges",
        style="bold",
    )
    if edges:
        of = f" (the {len(edges)} least similar of {count:,})" if count > len(edges) else ""
        shown = ", ".join(f"{e['doc_id']}–{e['other']} {e['similarity']:.3f}" for e in edges[:SURVIVORS_SHOWN])
        screen.print(Text(f"edges{of}: {shown}" + (" …" if count > SURVIVORS_SHOWN else ""), "dim"))
    if found["edges_without_agreement"]:
        unlike = found["edges_without_agreement"]
        screen.print(Text(f"and {unlike:,} pairs of its documents mean the same, but state other facts", "dim"))
    for survivor in found["survivors"][:SURVIVORS_SHOWN]:
        screen.print(Text(clean(_survivor(survivor)), "green"))
    more = len(found["survivors"]) - SURVIVORS_SHOWN
    if more > 0:
        screen.print(f"and {more:,} more survivors")
    for member in found["members"]:
        screen.print()
        _print_member(screen, member)
    if found["members_not_shown"]:
        screen.print(f"\nand {found['members_not_shown']:,} more members, more like their survivor; -n shows more")


def _survivor(survivor: dict[str, Any]) -> str:
    outcome = survivor["fate"]
    where = survivor.get("ancestor")
    earlier = "" if where is None else f"; of snapshot {where['snapshot']}, {where['run']}"
    if outcome is None:
        gone = f"{earlier}, which has moved away" if earlier else "; in an earlier run"
        return f"kept  {survivor['doc_id']}  stands for {survivor['stands_for']:,}{gone}"
    later = "" if outcome["kept"] else f"; dropped later by {outcome['stage']} ({outcome['reason']})"
    return (
        f"kept  {survivor['doc_id']}  {survivor['source_id']}  [{survivor['domain']}]  stands for "
        f"{survivor['stands_for']:,}{later}{earlier}"
    )


def _print_member(screen: Console, member: dict[str, Any]) -> None:
    similarity = "similarity not known" if member["similarity"] is None else f"similarity {member['similarity']:.4f}"
    screen.print(
        Text.assemble(
            (clean(f"{member['doc_id']}  {member['source_id']}"), "bold"),
            clean(f"  [{member['domain']}]  {similarity} to {member['survivor']}, {member['edges']:,} verified edges"),
        )
    )
    if "differences" not in member:
        screen.print("  its survivor's text is not in this run", style="dim")
        return
    if not member["differences"]:
        screen.print("  the same tokens: they differ in case, white space or punctuation alone, if at all", style="dim")
    else:
        screen.print(_differences(member, screen.width))
    rest = member["differences_count"] - len(member["differences"])
    notes = [f"{rest:,} more differing spans are not shown"] if rest else []
    notes += [] if member["whole"] else ["only the beginning of these long texts was compared"]
    if notes:
        screen.print("  " + "; ".join(notes), style="dim")


def _differences(member: dict[str, Any], width: int) -> Table:
    beside = width >= SIDE_BY_SIDE
    table = Table(box=None, padding=(0, 1), show_header=beside, header_style="dim", expand=beside)
    if beside:
        table.add_column("at byte", justify="right", no_wrap=True, style="dim")
        table.add_column(Text(clean(f"survivor {member['survivor']}")), ratio=1, overflow="fold")
        table.add_column("", justify="right", no_wrap=True, style="dim")
        table.add_column(Text(clean(f"member {member['doc_id']}")), ratio=1, overflow="fold")
    else:
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
    for found in member["differences"]:
        theirs, ours = found["survivor"], found["member"]
        if beside:
            table.add_row(f"{theirs['start']:,}", _side(theirs, "green"), f"{ours['start']:,}", _side(ours, "red"))
        else:
            table.add_row(Text("−", "green"), _side(theirs, "green"))
            table.add_row(Text("+", "red"), _side(ours, "red"))
    return table


def _side(side: dict[str, Any], style: str) -> Text:
    def flat(text: str) -> str:
        return clean(text).replace("\n", "⏎").replace("\t", " ")

    span = one_line(side["text"], SPAN_CHARS) if side["text"] else ""
    return Text.assemble((flat(side["before"]), "dim"), (f"⟦{span}⟧", style), (flat(side["after"]), "dim"))
