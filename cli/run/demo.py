"""`tamis demo`: the whole chain on real text, from raw files to a loss curve, without a network.

It builds the demo's corpus, runs the pipeline over it, prints the funnel, writes the HTML report, and
trains a small model on the shards. Each step is what its own command does (`tamis run`, `stats`, `report`,
`train`), called as a function: what the demo shows is what a user then types.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.options import Answer, FormatOption, OutputFormat
from cli.run.demo_corpus import DemoInput, build_demo_corpus
from corpus.files import read_json
from corpus.run_folder import RunFolder
from tamis.extras import look_for
from tamis.places import find_config

NOTE = (
    "The demo's quality model shows the mechanism, not quality: it learned from a few thousand sentences "
    "which were chosen by where they stood, and nobody labelled one."
)


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where everything is written.")] = Path("demo"),
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps at the end.")] = 160,
    format: FormatOption = OutputFormat.text,
) -> None:
    """Run the whole chain over 25 MB of real English and Chinese text, then train on it."""
    console = Console(stderr=True)
    started = time.monotonic()
    out = folder / "run"
    with ExitStack() as stack:
        if format is OutputFormat.json:
            stack.enter_context(redirect_stdout(sys.stderr))  # what the steps say is progress then
        inputs = _steps(console, folder, out, steps)
    seconds = time.monotonic() - started
    result = {
        "run": str(out),
        "report": str(out / "report.html"),
        "inputs": [asdict(entry) for entry in inputs],
        "ledger": RunFolder(out).ledger(),
        "training": read_json(out / "train" / "tiny" / "summary.json"),
        "note": NOTE,
        "seconds": round(seconds, 1),
    }
    Answer(result, lambda: _say_where(console, out, seconds)).show(format)


def _say_where(console: Console, out: Path, seconds: float) -> None:
    console.print(f"\n{NOTE}", soft_wrap=True)
    console.print(f"Report: {out / 'report.html'}   ({seconds:.0f} s in all)", soft_wrap=True)
    console.print(f"Next:   tamis sample {out} --stage heuristic_filter --reason gopher_dup_lines -n 5")
    console.print(f"        tamis explain {out} rmrb-00500")


def _steps(console: Console, folder: Path, out: Path, steps: int) -> list[DemoInput]:
    """The five steps; returns the inputs that the first one made."""
    look_for("snownlp", "gensim", "faiss", "static_model", "torch", "scipy", extra="demo", for_="tamis demo")
    from cli.inspect.stats import stats  # each imports what it needs; the corpus needs none of it
    from cli.report.report import report
    from cli.run.run import run
    from cli.training.train import train

    with _step(console, "1/5  corpus: real text out of installed packages, laid out as a crawl"):
        inputs = build_demo_corpus(folder, lambda message: console.print(f"     {message}"))
        _describe(console, inputs)
    with _step(console, "2/5  run: the pipeline `demo`"):
        run(
            pipeline=find_config("pipelines", Path("demo")),
            out=out,
            inputs=[f"{entry.domain}={(folder / entry.path_glob).resolve()}" for entry in inputs],
        )
    with _step(console, "3/5  stats: the funnel"):
        stats(run=out)
    with _step(console, "4/5  report: one HTML file"):
        report(run=out)
    with _step(console, "5/5  train: a small model on the shards"):
        model, mixture = find_config("models", Path("tiny")), find_config("mixtures", Path("default"))
        train(model=model, mixture=mixture, run=out, steps=steps)
    return inputs


@contextmanager
def _step(console: Console, title: str) -> Iterator[None]:
    """Print a step's title before it and its seconds after it."""
    console.rule(f"[bold]{title}", align="left")
    started = time.monotonic()
    yield
    console.print(f"     {time.monotonic() - started:.1f} s", style="dim")


def _describe(console: Console, inputs: list[DemoInput]) -> None:
    """Print the inputs as a table."""
    from rich.table import Table

    table = Table("domain", "language", "format", "documents", "MB of text", "licence", box=None, padding=(0, 2))
    for column in table.columns[3:5]:
        column.justify = "right"
    for entry in inputs:
        size = f"{entry.text_bytes / 1e6:.2f}"
        table.add_row(entry.domain, entry.language, entry.format, f"{entry.documents:,}", size, entry.licence)
    total = sum(entry.text_bytes for entry in inputs) / 1e6
    table.add_row("all", "", "", f"{sum(entry.documents for entry in inputs):,}", f"{total:.2f}", "")
    console.print(table)
