"""How the comparison of two runs is shown in the terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.present import clean, one_line, share, size

TITLES = {"both": "kept by both", "only_a": "kept by A only", "only_b": "kept by B only", "neither": "kept by neither"}
SETTINGS_SHOWN, REASONS_SHOWN, VALUE_CHARS, TEXT_CHARS = 40, 12, 48, 240


def print_diff(screen: Console, result: dict[str, Any]) -> None:
    """Prints a comparison as `cli.inspect.diff.compare` gives it."""
    for run in ("a", "b"):
        screen.print(Text(f"{run.upper()}  {result[run]}: {result['documents'][run]:,} documents"))
        if result["unfinished"][run]:
            screen.print(f"   not decided yet: {', '.join(result['unfinished'][run])}", style="yellow")
    screen.print(f"matched by {result['matched_by']}\n", style="dim")
    screen.print(_settings(result["settings"]) if result["settings"] else "The settings of both are the same.")
    screen.print()
    screen.print(_totals(result["totals"]))
    both = result["totals"]["both"]
    if both["cut_differently"]:
        screen.print(
            f"Of what both kept, {both['cut_differently']:,} documents were cut differently: A left "
            f"{size(both['bytes_left_a'])}, B {size(both['bytes_left_b'])}."
        )
    for kind in ("only_a", "only_b", "neither"):
        if result["reasons"][kind]:
            screen.print()
            screen.print(_reasons(kind, result["reasons"][kind]))
    if result["domains"]:
        screen.print()
        screen.print(_domains(result["domains"]))
    for kind in ("only_a", "only_b"):
        _print_examples(screen, kind, result)


def _table(title: str, text_columns: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1), header_style="bold")
    for name in text_columns:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _settings(settings: list[dict[str, Any]]) -> Table:
    table = _table("Settings that differ", ("setting", "A", "B"), ())
    for line in settings[:SETTINGS_SHOWN]:
        values = ["–" if line[run] is None else json.dumps(line[run], ensure_ascii=False) for run in ("a", "b")]
        table.add_row(Text(line["key"]), *(Text(one_line(value, VALUE_CHARS)) for value in values))
    if len(settings) > SETTINGS_SHOWN:
        table.add_row(f"and {len(settings) - SETTINGS_SHOWN:,} more (--format json has all)", "", "")
    return table


def _totals(totals: dict[str, dict[str, int]]) -> Table:
    documents, whole = (sum(line[key] for line in totals.values()) for key in ("documents", "bytes"))
    table = _table("Documents", ("",), ("documents", "share", "text", "share"))
    for kind, line in totals.items():
        table.add_row(
            TITLES[kind],
            f"{line['documents']:,}",
            f"{share(line['documents'], documents):.2f} %",
            size(line["bytes"]),
            f"{share(line['bytes'], whole):.2f} %",
        )
    return table


def _reasons(kind: str, lines: list[dict[str, Any]]) -> Table:
    """Documents by reason; where both dropped them for the same reason, they are summed in one line."""
    if kind == "neither":
        table = _table("Kept by neither: why", ("in A", "in B"), ("documents", "text"))
        same = [line for line in lines if line["a"] == line["b"]]
        lines = [line for line in lines if line["a"] != line["b"]]
        if same:
            table.add_row("the same reason in both", "", *_sums(same))
    else:
        other = "B" if kind == "only_a" else "A"
        table = _table(f"K{TITLES[kind][1:]}: why {other} has not", (f"in {other}",), ("documents", "text"))
    for line in lines[:REASONS_SHOWN]:
        said = [_said(line["a"]), _said(line["b"])] if kind == "neither" else [_said(line)]
        table.add_row(*(Text(text) for text in said), *_sums([line]))
    rest = lines[REASONS_SHOWN:]
    if rest:
        table.add_row(f"{len(rest):,} more", *([""] if kind == "neither" else []), *_sums(rest))
    return table


def _sums(lines: list[dict[str, Any]]) -> tuple[str, str]:
    return f"{sum(line['documents'] for line in lines):,}", size(sum(line["bytes"] for line in lines))


def _said(why: dict[str, Any]) -> str:
    return str(why["reason"]) if why["stage"] is None else f"{why['stage']}: {why['reason']}"


def _domains(domains: dict[str, dict[str, dict[str, int]]]) -> Table:
    table = _table("Documents by domain", ("domain",), tuple(TITLES.values()))
    for domain, lines in domains.items():
        table.add_row(Text(clean(domain)), *(f"{lines[kind]['documents']:,}" for kind in TITLES))
    return table


def _print_examples(screen: Console, kind: str, result: dict[str, Any]) -> None:
    other = "B" if kind == "only_a" else "A"
    for found in result["examples"][kind]:
        screen.print()
        title = f"{TITLES[kind]}  {found['doc_id']}  {found['source_id']}  [{found['domain']}]"
        screen.rule(Text(clean(title)), align="left", style="dim")
        outcome = found["other"]
        if outcome is None:
            said = f"not ingested in {other}"
        else:
            similarity = "" if outcome["similarity"] is None else f", similarity {outcome['similarity']:.4f}"
            said = f"{other}: {outcome['stage']} ({outcome['reason']}){similarity}"
        screen.print(Text(clean(said), "red"))
        screen.print(Text(one_line(found["text"], TEXT_CHARS)))
        survivor = found["survivor"]
        if survivor is not None:
            screen.print(Text(clean(f"{other} kept {survivor['doc_id']}  {survivor['source_id']} instead:"), "green"))
            screen.print(Text(one_line(survivor["text"], TEXT_CHARS)))
