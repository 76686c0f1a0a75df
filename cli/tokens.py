"""`tamis tokens`: look at the token batches that a mixture gives.

Results go to standard output, progress to standard error. Tokenizer and bins are made on demand and reused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from corpus.errors import ConfigError

if TYPE_CHECKING:
    from sampler.batch import Packed
    from sampler.prepare import Prepared
    from sampler.progress import Progress

app = typer.Typer(no_args_is_help=True, help="Token batches of a mixture.")
_HEAD_TOKENS = 24
_PREVIEW_PIECES = 3


@app.callback()
def _group() -> None:
    """Token batches of a mixture."""


@app.command()
def stream(
    mixture: Annotated[Path, typer.Argument(metavar="MIXTURE.yaml", help="The mixture.")],
    run: Annotated[Path | None, typer.Option("--run", help="Run folder, instead of the mixture's.")] = None,
    world_size: Annotated[int, typer.Option("--world-size", min=1, help="Number of ranks.")] = 1,
    global_batch: Annotated[int, typer.Option("--global-batch", min=1, help="Sequences a step.")] = 8,
    steps: Annotated[str, typer.Option("--steps", metavar="A:B", help="Steps A to B-1, from zero.")] = "0:1",
    digest: Annotated[bool, typer.Option("--digest", help="One line a step: step and sha256.")] = False,
    format: Annotated[Literal["text", "json"], typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Show the batches of some steps, or their digests: the same for every world size."""
    from sampler.digest import step_digests
    from sampler.mixture import load_mixture
    from sampler.prepare import prepare

    start, stop = parse_steps(steps)
    config, folder = load_mixture(mixture, run)
    with progress_bar() as progress:
        prepared = prepare(folder, config, progress)
    prepared.stream.require(stop * global_batch)
    if digest:
        lines = step_digests(prepared.stream, start, stop, global_batch, world_size)
        if format == "json":
            typer.echo(json.dumps([{"step": step, "sha256": value} for step, value in lines], indent=2))
        else:
            for step, value in lines:
                typer.echo(f"{step} {value}")
        return
    rows = list(_rows(prepared, start, stop, global_batch, world_size))
    if format == "json":
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_rows(rows)


def parse_steps(text: str) -> tuple[int, int]:
    """`A:B` as zero-based, half-open steps.

    Raises:
        ConfigError: it is anything else, or B is not above A.
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ConfigError(f"key `--steps` is {text!r} (allowed: A:B with whole numbers 0 <= A < B).")
    return int(match[1]), int(match[2])


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress callback drawn on standard error; it vanishes when done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console) as bar:

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
                if not console.is_terminal:
                    console.print(f"{what} …")
            bar.update(tasks[what], completed=done, total=total or None)

        yield update


def _rows(prepared: Prepared, start: int, stop: int, global_batch: int, world_size: int) -> Iterator[dict[str, Any]]:
    """Every row of some steps, described, in rank order."""
    from sampler.stream import RankStream

    ranks = [RankStream(prepared.stream.fork(), rank, world_size, global_batch) for rank in range(world_size)]
    for step in range(start, stop):
        for rank in ranks:
            for row in rank.batch(step).sequences:
                yield {"step": step, "rank": rank.rank, **_described(prepared, row)}


def _described(prepared: Prepared, row: Packed) -> dict[str, Any]:
    ends = row.cu_seqlens.tolist()
    heads = [
        prepared.tokenizer.decode(row.tokens[begin : min(end, begin + _HEAD_TOKENS)].tolist())
        for begin, end in zip(ends[:-1][:_PREVIEW_PIECES], ends[1:], strict=False)
    ]
    return {
        "domain": row.domain,
        "cu_seqlens": ends,
        "doc_ids": [str(doc_id) for doc_id in row.doc_ids.tolist()],  # past 2^53: strings in JSON
        "heads": heads,
    }


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("step", "rank", "domain", "documents", "boundaries", box=None, padding=(0, 2))
    table.add_column("begins with", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows:
        ends = row["cu_seqlens"]
        shown = " ".join(map(str, ends[:7])) + (" …" if len(ends) > 7 else "")
        heads = " | ".join(" ".join(head.split()) for head in row["heads"])
        count = str(len(row["doc_ids"]))
        table.add_row(str(row["step"]), str(row["rank"]), escape(row["domain"]), count, shown, escape(heads))
    Console().print(table)
