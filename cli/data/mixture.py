"""`tamis mixture`: what a mixture will do, before a token of it is trained on.

Results go to standard output, progress to standard error. Tokenizer and bins are made on demand and reused.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.options import BinsOption, FormatOption, MixtureArgument, OutputFormat, RunOption, parse_tokens
from cli.progress import shown_progress
from tamis.errors import ConfigError

if TYPE_CHECKING:
    from sampler.plan import PlannedDomain

app = typer.Typer(no_args_is_help=True, help="Check, plan and draw a mixture.")
TokensOption = Annotated[
    str | None,
    typer.Option(
        "--tokens", help="Length of the whole mixture, e.g. 2e9; by default until a domain has reached its max_epochs."
    ),
]


@app.callback()
def _group() -> None:
    """Check, plan and draw a mixture."""


@app.command()
def check(
    mixture: MixtureArgument,
    run: RunOption = None,
    bins: BinsOption = None,
    tokens: TokensOption = None,
    format: FormatOption = OutputFormat.text,
) -> None:
    """Refuse a mixture that cannot be: unknown keys and domains, more epochs than allowed."""
    from cli.data.mixture_page import phase_edges

    rows = _planned(mixture, run, bins, tokens)
    phases, total = rows[-1].phase + 1, phase_edges(rows)[-1]
    if format is OutputFormat.json:
        typer.echo(json.dumps({"ok": True, "phases": phases, "tokens": total}, indent=2))
    else:
        typer.echo(
            f"{mixture}: {phases} phase{'s' * (phases > 1)}, {total:,.0f} tokens, every domain within max_epochs."
        )


@app.command()
def plan(
    mixture: MixtureArgument,
    run: RunOption = None,
    bins: BinsOption = None,
    tokens: TokensOption = None,
    format: FormatOption = OutputFormat.text,
) -> None:
    """Show tokens, epochs and repeats of each domain in each phase, and when it runs dry."""
    rows = _planned(mixture, run, bins, tokens)
    if format is OutputFormat.json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(rows)


@app.command()
def plot(
    mixture: MixtureArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page to write.")],
    run: RunOption = None,
    bins: BinsOption = None,
    tokens: TokensOption = None,
    format: FormatOption = OutputFormat.text,
) -> None:
    """Draw shares and epochs over the tokens of a mixture, as one HTML file that needs no network."""
    from cli.data.mixture_page import write_mixture_page

    rows = _planned(mixture, run, bins, tokens)
    write_mixture_page(out, rows, mixture.name)
    typer.echo(json.dumps({"file": str(out)}) if format is OutputFormat.json else f"written: {out}")


def _planned(mixture: Path, run: Path | None, bins: str | None, tokens: str | None) -> list[PlannedDomain]:
    """The plan, refused where it cannot be."""
    from sampler.mixture import load_mixture
    from sampler.plan import plan_mixture, refusal
    from sampler.prepare import open_stream, open_tokens

    length = parse_tokens(tokens)
    config, folder = load_mixture(mixture, run, bins)
    with shown_progress() as progress:
        _, opened = open_tokens(folder, config, progress)
    rows = plan_mixture(open_stream(folder, opened, config), length)
    if (sentence := refusal(rows)) is not None:
        raise ConfigError(f"{mixture}: {sentence}")
    return rows


def _print(rows: list[PlannedDomain]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1))
    table.add_column("phase")
    table.add_column("domain", no_wrap=True)
    for name in ("share", "tokens", "padding", "epoch", "epochs", "max", "repeats", "dry"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells: list[Any] = [
            row.phase,
            escape(row.domain),
            f"{row.share:.2%}",
            _short(row.tokens),
            f"{row.padding:.1%}" if row.padding else "",
            _short(row.epoch_tokens),
            f"{row.ends:.2f}",
            f"{row.max_epochs:g}",
            _short(row.repeats_at),
            _short(row.dry_at),
        ]
        table.add_row(*map(str, cells))
    console = Console()
    console.print(table)
    console.print(
        "[dim]epoch: its tokens; epochs: where the phase leaves the domain; repeats, dry: tokens of the whole mixture "
        "after which it comes again, and after which it has reached max epochs[/dim]"
    )


def _short(tokens: float | None) -> str:
    """1234567 as 1.23M; nothing for None."""
    if tokens is None:
        return ""
    for unit in ("", "k", "M", "G", "T"):
        if abs(tokens) < 999.5:
            return f"{tokens:.3g}{unit}"
        tokens /= 1000
    return f"{tokens:.3g}P"
