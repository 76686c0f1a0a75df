"""`tamis dedup curve`: which pairs LSH finds, and at what price, for bands × rows; before a run, without data.

A pair of similarity J shares a bucket with probability 1 − (1 − J^rows)^bands. Above the threshold that is the recall;
below it, each candidate costs a comparison and comes to nothing. Cost: arithmetic.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.dedup.curve_data import SHOWN, WASTED, describe, parse_pair, read_wanted, threshold_text, verdict
from cli.options import Answer, answering, named
from cli.present import console, grid
from tamis.terminal_chart import ChartLine, terminal_chart

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="Deduplication, before it runs.")
STYLES = ("cyan", "magenta", "yellow", "green", "blue", "red")
CHART_WIDTH, CHART_HEIGHT = 78, 22


@app.command()
@answering
def curve(
    bands: Annotated[
        int | None, typer.Option("--bands", min=1, help="Number of bands; by default the pipeline's.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=1, help="Minima in a band; by default the pipeline's.")
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", metavar="BxR", help="A pair of bands and rows to compare, as in 21x6; may be repeated."),
    ] = None,
    threshold: Annotated[float | None, typer.Option("--threshold", help="Jaccard similarity of duplicates.")] = None,
    recall: Annotated[float | None, typer.Option("--recall", help="Probability wanted at the threshold.")] = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(
            "--pipeline",
            metavar="PIPELINE.yaml",
            parser=named("pipelines"),
            help="Take near_dedup's settings from it: a shipped pipeline's name, or a path.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the curve.")] = None,
) -> Answer:
    """Print and draw the probability that a pair of documents is found, over their similarity."""
    wanted = read_wanted(pipeline, threshold, recall)
    pairs = [parse_pair(text) for text in pair or []]
    if not pairs or bands is not None or rows is not None:
        pairs.insert(0, (bands or wanted.bands, rows or wanted.rows))
    result = describe(wanted, list(dict.fromkeys(pairs)))
    if html is not None:
        from cli.dedup.curve_page import write_page

        result["html"] = str(write_page(result, html))
    return Answer(result, lambda: _print(console(), result))


def _print(screen: Console, result: dict[str, Any]) -> None:
    screen.print("Probability that a pair is found, over its Jaccard similarity", style="bold")
    curves = [
        ChartLine(
            [point["similarity"] for point in pair["curve"]],
            [point["probability"] for point in pair["curve"]],
            str((i + 1) % 10),
            STYLES[i % len(STYLES)],
        )
        for i, pair in enumerate(result["pairs"])
    ]
    drawn = terminal_chart(
        curves,
        width=min(CHART_WIDTH, screen.width),
        height=CHART_HEIGHT,
        vertical=result["threshold"],
        horizontal=result["recall"],
        x_range=(0, 1),
        y_range=(0, 1),
        color=screen.is_terminal,
    )
    screen.print(Text.from_ansi(drawn), no_wrap=True, crop=False, overflow="ignore")
    screen.print(f"     ┊ threshold {threshold_text(result)}   ┈ recall wanted {result['recall']:g}\n", style="dim")
    screen.print(_pairs_table(result))
    screen.print()
    screen.print(_curve_table(result))
    for pair in result["pairs"]:
        said = verdict(result, pair)
        if said is not None:
            screen.print(Text("\n" + said, "bold red"))
    if "html" in result:
        screen.print(Text(f"\n{result['html']}"), soft_wrap=True)


def _pairs_table(result: dict[str, Any]) -> Table:
    caption = (
        f"Cost: of pairs with similarity {WASTED[0]} to {WASTED[1]}, spread evenly, the share that share a bucket; "
        "a sketch then sorts out most of them before the exact comparison."
    )
    numbers = ("permutations", f"found at {result['threshold']:g}", f"{result['recall']:g} from", "cost")
    table = grid(("", "bands × rows"), numbers, header_style="bold", caption=caption)
    table.add_column("", no_wrap=True)
    for i, pair in enumerate(result["pairs"]):
        good = pair["reaches_recall"] and pair["fits_signature"]
        said = "" if good else ("below the recall" if not pair["reaches_recall"] else "signature too short")
        table.add_row(
            Text(str((i + 1) % 10), STYLES[i % len(STYLES)]),
            f"{pair['bands']} × {pair['rows']}",
            f"{pair['permutations']:,}",
            f"{pair['at_threshold']:.4f}",
            f"{pair['recall_from_similarity']:.3f}",
            f"{100 * pair['candidates']['mean']:.1f} %",
            Text(said, "bold red"),
        )
    return table


def _curve_table(result: dict[str, Any]) -> Table:
    from dedup.banding import detection_probability

    table = grid(["similarity"], header_style="bold")
    for i, pair in enumerate(result["pairs"]):
        table.add_column(f"{pair['bands']} × {pair['rows']}", justify="right", style=STYLES[i % len(STYLES)])
    table.add_column("", no_wrap=True)
    for similarity in sorted({*SHOWN, result["threshold"]}):
        at = similarity == result["threshold"]
        found = [f"{detection_probability(similarity, p['bands'], p['rows']):.4f}" for p in result["pairs"]]
        wasted = WASTED[0] <= similarity <= WASTED[1] and similarity < result["threshold"]
        table.add_row(
            f"{similarity:g}", *found, "← threshold" if at else ("cost" if wasted else ""), style="bold" if at else ""
        )
    return table
