"""`tamis mixture`: what a mixture will do, before a token of it is trained on.

Results go to standard output, progress to standard error. Tokenizer and bins are made on demand and reused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.options import Answer, MixtureBins, answering, parse_tokens
from cli.progress import shown_progress
from tamis.errors import ConfigError

if TYPE_CHECKING:
    from sampler.plan import PlannedDomain

app = typer.Typer(no_args_is_help=True, help="Check, plan and draw a mixture.")


@dataclass(frozen=True)
class PlannedMixture(MixtureBins):
    """Options of a command about the plan of a mixture."""

    tokens: Annotated[
        str | None,
        typer.Option(
            "--tokens",
            help="Length of the whole mixture, e.g. 2e9; by default until a domain has reached its max_epochs.",
        ),
    ] = None

    def plan(self) -> list[PlannedDomain]:
        """The plan, refused where it cannot be."""
        from sampler.plan import plan_mixture, refusal
        from sampler.prepare import open_stream, open_tokens

        length = parse_tokens(self.tokens)
        config, folder = self.load()
        with shown_progress() as progress:
            _, opened = open_tokens(folder, config, progress)
        rows = plan_mixture(open_stream(folder, opened, config), length)
        if (sentence := refusal(rows)) is not None:
            raise ConfigError(f"{self.mixture}: {sentence}")
        return rows


@app.command()
@answering
def check(planned: PlannedMixture) -> Answer:
    """Refuse a mixture that cannot be: unknown keys and domains, more epochs than allowed."""
    from cli.data.mixture_page import phase_edges

    rows = planned.plan()
    phases, total = rows[-1].phase + 1, phase_edges(rows)[-1]
    said = (
        f"{planned.mixture}: {phases} phase{'s' * (phases > 1)}, {total:,.0f} tokens, every domain within max_epochs."
    )
    return Answer({"ok": True, "phases": phases, "tokens": total}, lambda: typer.echo(said), indent=2)


@app.command()
@answering
def plan(planned: PlannedMixture) -> Answer:
    """Show tokens, epochs and repeats of each domain in each phase, and when it runs dry."""
    rows = planned.plan()
    return Answer([asdict(row) for row in rows], lambda: _print(rows), indent=2, ascii=True)


@app.command()
@answering
def plot(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page to write.")], planned: PlannedMixture
) -> Answer:
    """Draw shares and epochs over the tokens of a mixture, as one HTML file that needs no network."""
    from cli.data.mixture_page import write_mixture_page

    write_mixture_page(out, planned.plan(), planned.mixture.name)
    return Answer({"file": str(out)}, lambda: typer.echo(f"written: {out}"), ascii=True)


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
