"""``tamis dedup curve``: which pairs LSH finds, and at what price, for bands × rows; before a run, without data.

A pair of similarity J shares a bucket with probability 1 − (1 − J^rows)^bands. Above the threshold that is the recall;
below it, each candidate costs a comparison and comes to nothing. Cost: arithmetic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.output import FormatOption, OutputFormat
from cli.present import console, echo_json
from tamis.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="Deduplication, before it runs.")
SHOWN = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
WASTED = (0.5, 0.7)
"""Similarities between which candidates are many and duplicates none: their mean share is shown as the cost."""
STYLES = ("cyan", "magenta", "yellow", "green", "blue", "red")
CHART_WIDTH, CHART_HEIGHT = 72, 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a pair of bands and rows.

    Attributes:
        bands: bands.
        rows: minima in a band.
        threshold: Jaccard similarity from which two documents may be the same.
        recall: least detection probability there.
        num_perm: minima of a signature.
        containment: the containment and the ratio of sizes that this similarity stands for; None where it is itself
            what is asked.
    """

    bands: int
    rows: int
    threshold: float
    recall: float
    num_perm: int
    containment: tuple[float, float] | None = None


@app.callback()
def _group() -> None:
    """Deduplication, before it runs."""


@app.command()
def curve(
    bands: Annotated[int | None, typer.Option("--bands", min=1, help="Bands; else those configured.")] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="Minima in a band; else those configured.")] = None,
    pair: Annotated[
        list[str] | None, typer.Option("--pair", metavar="BxR", help="Bands x rows; once for each pair to compare.")
    ] = None,
    threshold: Annotated[float | None, typer.Option("--threshold", help="Jaccard similarity of duplicates.")] = None,
    recall: Annotated[float | None, typer.Option("--recall", help="Probability wanted at the threshold.")] = None,
    pipeline: Annotated[
        Path | None, typer.Option("--pipeline", metavar="PIPELINE.yaml", help="Take near_dedup's settings from it.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the curve.")] = None,
    format: FormatOption = OutputFormat.text,
) -> None:
    """Print and draw the probability that a pair of documents is found, over their similarity."""
    wanted = _wanted(pipeline, threshold, recall)
    pairs = [_parsed(text) for text in pair or []]
    if not pairs or bands is not None or rows is not None:
        pairs.insert(0, (bands or wanted.bands, rows or wanted.rows))
    result = describe(wanted, list(dict.fromkeys(pairs)))
    if html is not None:
        from cli.dedup.curve_page import write_page

        result["html"] = str(write_page(result, html))
    if format is OutputFormat.json:
        echo_json(result)
    else:
        _print(console(), result)


def describe(wanted: Wanted, pairs: list[tuple[int, int]]) -> dict[str, Any]:
    """The result as JSON: what was asked, and for each pair its curve, its recall and its cost."""
    meant = wanted.containment
    return {
        "threshold": wanted.threshold,
        "recall": wanted.recall,
        "num_perm": wanted.num_perm,
        "containment": None if meant is None else {"threshold": meant[0], "min_size_ratio": meant[1]},
        "pairs": [_described(wanted, bands, rows) for bands, rows in pairs],
    }


def _described(wanted: Wanted, bands: int, rows: int) -> dict[str, Any]:
    from dedup.banding import detection_probability

    reached = detection_probability(wanted.threshold, bands, rows)
    shares = [detection_probability(percent / 100, bands, rows) for percent in range(101)]
    low, high = (round(100 * end) for end in WASTED)
    return {
        "bands": bands,
        "rows": rows,
        "permutations": bands * rows,
        "at_threshold": _rounded(reached),
        "reaches_recall": reached >= wanted.recall,
        "fits_signature": bands * rows <= wanted.num_perm,
        "recall_from_similarity": round(float((1 - (1 - wanted.recall) ** (1 / bands)) ** (1 / rows)), 4),
        "bands_needed": bands_needed(wanted.threshold, wanted.recall, rows),
        "candidates": {
            **{f"{percent / 100:.2f}": _rounded(shares[percent]) for percent in range(low, high + 1, 5)},
            "mean": _rounded(sum(shares[low : high + 1]) / (high + 1 - low)),
        },
        "curve": [{"similarity": n / 100, "probability": _rounded(share)} for n, share in enumerate(shares)],
    }


def bands_needed(threshold: float, recall: float, rows: int, most: int = 100_000) -> int | None:
    """The least number of bands with which this many rows reach the recall; None if it is above ``most``."""
    from dedup.banding import detection_probability

    if detection_probability(threshold, most, rows) < recall:
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        enough = detection_probability(threshold, middle, rows) >= recall
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def verdict(result: dict[str, Any], pair: dict[str, Any]) -> str | None:
    """One sentence about a pair that a pipeline would be refused for; None about a sound one."""
    name = f"{pair['bands']} bands of {pair['rows']} rows"
    if not pair["reaches_recall"]:
        needed = pair["bands_needed"]
        way = "no number of bands would do" if needed is None else f"with {pair['rows']} rows it takes {needed:,} bands"
        return (
            f"{name} cannot reach the recall of {result['recall']:g}: a pair of similarity {threshold_text(result)} is "
            f"found with probability {pair['at_threshold']:.3f}; {way}. A pipeline that asks for it is refused."
        )
    if not pair["fits_signature"]:
        return (
            f"{name} need {pair['permutations']:,} permutations, and the signature has {result['num_perm']}: "
            "a pipeline needs a larger near_dedup.num_perm."
        )
    return None


def _rounded(probability: float) -> float:
    return float(f"{probability:.6g}")


def _parsed(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})[x×]([1-9]\d{0,3})", text)
    if match is None:
        raise ConfigError(f"--pair: found {text!r}; expected bands x rows, as in 21x6")
    return int(match[1]), int(match[2])


def _wanted(pipeline: Path | None, threshold: float | None, recall: float | None) -> Wanted:
    """The settings of near_dedup in a pipeline, or its defaults; threshold and recall may be given instead."""
    from pipelines.stages.near_dedup.stage import NearDedupDecision, NearDedupEvidence

    if pipeline is None:
        decision, evidence = NearDedupDecision().model_dump(), NearDedupEvidence().model_dump()  # type: ignore[call-arg]
    else:
        from pipelines.run.config import load_pipeline

        config = load_pipeline(pipeline)
        if "near_dedup" not in config.stages:
            raise ConfigError(f"{pipeline}: has no stage near_dedup; it has {', '.join(config.stages) or 'none'}")
        decision, evidence = config.decisions("near_dedup")["default"], config.evidence("near_dedup").model_dump()
    near = NearDedupDecision.model_validate(decision)
    wanted: dict[str, Any] = {
        "bands": near.bands,
        "rows": near.rows,
        "threshold": near.least_jaccard(),
        "recall": near.recall,
    }
    for name, value, highest in (("threshold", threshold, 1.0), ("recall", recall, 0.999999)):
        if value is None:
            continue
        if not 0 < value <= highest:
            raise ConfigError(f"--{name}: found {value:g}; expected a number above 0 and at most {highest:g}")
        wanted[name] = value
    own = near.similarity == "containment" and threshold is None
    meant = (near.threshold, near.min_size_ratio) if own else None
    return Wanted(**wanted, num_perm=evidence["num_perm"], containment=meant)


def _print(screen: Console, result: dict[str, Any]) -> None:
    from cli.dedup.line_chart import Curve, line_chart
    from dedup.banding import detection_probability

    curves = [
        Curve(str((i + 1) % 10), STYLES[i % len(STYLES)], _curve(detection_probability, pair["bands"], pair["rows"]))
        for i, pair in enumerate(result["pairs"])
    ]
    screen.print("Probability that a pair is found, over its Jaccard similarity", style="bold")
    for line in line_chart(
        curves,
        width=min(CHART_WIDTH, max(20, screen.width - 10)),
        height=CHART_HEIGHT,
        vertical=result["threshold"],
        horizontal=result["recall"],
    ):
        screen.print(line, no_wrap=True, crop=False, overflow="ignore")
    screen.print(f"       ┆ threshold {threshold_text(result)}   ┄ recall wanted {result['recall']:g}\n", style="dim")
    screen.print(_pairs_table(result))
    screen.print()
    screen.print(_curve_table(result))
    for pair in result["pairs"]:
        said = verdict(result, pair)
        if said is not None:
            screen.print(Text("\n" + said, "bold red"))
    if "html" in result:
        screen.print(Text(f"\n{result['html']}"), soft_wrap=True)


def threshold_text(result: dict[str, Any]) -> str:
    """The Jaccard similarity asked for, and what it stands for."""
    meant = result["containment"]
    if meant is None:
        return f"{result['threshold']:g}"
    return (
        f"{result['threshold']:.3f} (of a containment of {meant['threshold']:g} in sets whose sizes are "
        f"{meant['min_size_ratio']:g} alike)"
    )


def _curve(function: Any, bands: int, rows: int) -> Any:
    return lambda similarity: function(similarity, bands, rows)


def _pairs_table(result: dict[str, Any]) -> Table:
    table = Table(
        box=None,
        padding=(0, 1),
        header_style="bold",
        caption_justify="left",
        caption=(
            f"Cost: of pairs with similarity {WASTED[0]} to {WASTED[1]}, spread evenly, the share that share a bucket; "
            "a sketch then sorts out most of them before the exact comparison."
        ),
    )
    for name in ("", "bands × rows"):
        table.add_column(name, no_wrap=True)
    for name in ("permutations", f"found at {result['threshold']:g}", f"{result['recall']:g} from", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
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

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("similarity", no_wrap=True)
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
