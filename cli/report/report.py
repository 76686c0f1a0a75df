"""`tamis report`: a run on one static HTML page that works offline: funnel, reasons, scores, models, training.

Cost: narrow columns of the shards; the page weighs some 5 MB, nearly all of it plotly. The same run gives the same
bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Answer, RunArgument, answering
from cli.present import size
from corpus.run_folder import RunFolder
from tamis.errors import ConfigError


@answering
def report(
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write; by default RUN/report.html, with --card RUN/README.md."),
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Write a dataset card instead: Markdown with Hugging Face's front matter.")
    ] = False,
    training: Annotated[
        str | None,
        typer.Option(
            "--training",
            metavar="NAME",
            help="Write the report of the training RUN/train/NAME instead, finished or not.",
        ),
    ] = None,
) -> Answer:
    """Write a run's report: one static HTML file that needs no network, its dataset card, or a training's report."""
    from cli.report.card import write_card

    folder = RunFolder(run.absolute())
    found: dict[str, Any] = {}
    if card and training is not None:
        raise ConfigError("--card, --training: found both; expected one of them")
    if training is not None:
        path, found = _training_report(folder.root, training, out)
    elif card:
        path = write_card(folder, out if out is not None else folder.root / "README.md")
    else:
        path = write_report(folder, out if out is not None else folder.root / "report.html")
    result = {"card" if card else "report": str(path), "bytes": path.stat().st_size, **found}
    return Answer(result, lambda: typer.echo(f"{path} ({size(result['bytes'])})"))


def _training_report(run: Path, name: str, out: Path | None) -> tuple[Path, dict[str, Any]]:
    from cli.training.data import read_training
    from cli.training.report import numbers, write_training_report

    folder = run / "train" / name
    return write_training_report(folder, out), {"training": numbers(read_training(folder))}


def write_report(run: RunFolder, out: Path) -> Path:
    """Writes the report of a run, and the folder above it; returns `out`.

    Raises:
        TamisError: the run has no ledger yet.
    """
    from cli.report.collect import collect
    from cli.report.sections import report_page

    run.run_info()
    return report_page(collect(run)).write(out)
