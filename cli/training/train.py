"""`tamis train`: train a small model on a run, and say whether it beats a unigram model.

The summary goes to standard output, progress to standard error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.options import Answer, MixtureData, answering, named
from cli.progress import shown_progress
from tamis.extras import needs


@answering
def train(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.yaml",
            parser=named("models"),
            help="Model, optimizer and length: the name of a shipped model, or a path.",
        ),
    ],
    data: MixtureData,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Number of steps, instead of the model file's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> Answer | None:
    """Train a model on a mixture and compare its held-out loss with a unigram model's.

    Over several GPUs or processes: torchrun --nproc-per-node N --no-python -- tamis train MODEL.yaml …
    """
    from cli.training.report import write_training_report
    from corpus.config import load_config
    from trainer.config import TrainConfig

    needs("torch", extra="train", for_="tamis train")
    from trainer.loop import train as train_model

    config = load_config(TrainConfig, model)
    mixture, folder = data.load()
    total = config.steps if steps is None else steps
    console = Console(stderr=True)
    if total < config.optimizer.warmup_steps:
        warmup = f"{total:,} steps end within the {config.optimizer.warmup_steps:,} of warm-up"
        console.print(f"note: {warmup}: the learning rate never reaches its maximum")
    with shown_progress() as progress:

        def report(row: dict[str, Any]) -> None:
            if "event" in row:
                console.print(f"step {row['step'] + 1:>5}/{total}  {row['event']}", highlight=False, soft_wrap=True)
                return
            what = f"loss {row['loss']:.3f}  {row['tokens_per_second']:,} tokens/s  loader {_waiting(row):.1f} %"
            progress.update(row["step"] + 1, what)
            if "heldout_loss" in row:
                held = f"held-out loss {row['heldout_loss']:.3f}"
                console.print(f"step {row['step'] + 1:>5}/{total}  {what}  {held}", highlight=False, soft_wrap=True)

        summary = train_model(config, mixture, folder, steps=steps, resume=resume, progress=progress, report=report)
    chart = summary.pop("chart")
    if int(os.environ.get("RANK", "0")):
        return None  # under torchrun the first rank speaks for all
    page = write_training_report(Path(summary["folder"]))
    return Answer({**summary, "report": str(page)}, lambda: _print_summary(summary, chart, page), indent=2)


def _waiting(row: dict[str, Any]) -> float:
    """Share of the step's time that it waited for its data, %."""
    return 100 * float(row["loader_seconds"]) / row["seconds"] if row["seconds"] else 0.0


def _print_summary(summary: dict[str, Any], chart: str, page: Path) -> None:
    verdict = "beats" if summary["beats_unigram"] else "does NOT beat"
    typer.echo(chart)
    typer.echo("          training loss by step, nats a token; dotted: the unigram model's held-out loss\n")
    if summary["skipped_steps"]:
        typer.echo(f"{summary['skipped_steps']} steps were not taken: see events.jsonl")
    typer.echo(
        f"{summary['name']}: {summary['parameters']:,} parameters, {summary['steps']} steps, "
        f"{summary['tokens']:,} tokens on {summary['device']} in {summary['seconds']:.0f} s"
    )
    typer.echo(
        f"held-out loss {summary['heldout_loss']:.3f} {verdict} the unigram model's "
        f"{summary['unigram_loss']:.3f} (nats a token)"
    )
    if len(summary["heldout_by_domain"]) > 1:
        found = sorted(summary["heldout_by_domain"].items(), key=lambda item: item[1])
        typer.echo("by domain: " + ", ".join(f"{name} {loss:.3f}" for name, loss in found))
    typer.echo(_speed(summary))
    if summary["heldout_note"]:
        typer.echo(f"note: {summary['heldout_note']}")
    typer.echo(f"report: {page}")


def _speed(summary: dict[str, Any]) -> str:
    """Tokens a second, and the share of the devices' peak that they use (MFU) by both definitions of the peak."""
    if summary["tokens_per_second"] is None:
        return "no step was measured"
    shares = []
    if summary["mfu"] is not None:
        shares.append(f"{summary['mfu']:.1%} of the data sheet's {summary['peak'] / 1e12:,.1f} TFLOP/s")
    shares.append(f"{summary['mfu_gemm']:.1%} of a matrix product's {summary['gemm'] / 1e12:,.2g} TFLOP/s, measured")
    wait = f"{summary['loader_seconds'] * 1000:.1f} ms a step waiting for data"
    return (
        f"{summary['tokens_per_second']:,.0f} tokens/s, {wait} (medians), on {summary['devices']} × "
        f"{summary['device_name']}\nMFU {' and '.join(shares)}\n    {summary['formula']}"
    )
