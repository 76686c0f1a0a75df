"""The `tamis` command. Each subcommand lives in a file of its own; what is heavy is imported inside it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cli.conf import app as conf
from cli.data.mixture import app as mixture
from cli.data.tokenizer import app as tokenizer
from cli.data.tokens import app as tokens
from cli.dedup.curve import app as dedup
from cli.inspect.clusters import clusters
from cli.inspect.diff import diff
from cli.inspect.explain import explain
from cli.inspect.sample import sample
from cli.inspect.stats import stats
from cli.report.report import report
from cli.run.demo import demo
from cli.run.estimate import estimate
from cli.run.run import plan, run
from cli.training.model import app as model
from cli.training.scaling import app as scaling
from cli.training.train import train
from tamis.errors import TamisError
from tamis.version import VERSION

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Tamis: raw crawl in, scored shards and token batches out.",
)
for _command in (run, plan, estimate, stats, clusters, explain, sample, diff, report, train, demo):
    app.command()(_command)
_groups = {
    "conf": conf,
    "mixture": mixture,
    "tokenizer": tokenizer,
    "tokens": tokens,
    "dedup": dedup,
    "scaling": scaling,
}
for _name, _group in {**_groups, "model": model}.items():
    app.add_typer(_group, name=_name)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tamis {VERSION}")
        raise typer.Exit()


@app.callback()
def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version of Tamis.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: a user's error is one sentence on stderr and exit code 2; TAMIS_DEBUG=1 shows the trace."""
    try:
        app()
    except TamisError as error:
        if os.environ.get("TAMIS_DEBUG"):
            raise
        print(f"tamis: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
