"""`tamis tokens`: compile published shards into token bins, verify them, look at the batches of a mixture.

Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.data.export import export
from cli.options import Answer, MixtureBins, answering
from cli.progress import shown_progress
from tamis.errors import ConfigError
from tamis.progress import step

if TYPE_CHECKING:
    from sampler.prepare import Prepared
    from sampler.stream.batch import Packed

app = typer.Typer(no_args_is_help=True, help="Token bins, and the batches that a mixture makes of them.")
_HEAD_TOKENS = 24
_PREVIEW_PIECES, _SHOWN = 3, 60


@app.command()
@answering
def build(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with published shards.")],
    tokenizer: Annotated[Path, typer.Option("--tokenizer", metavar="MODEL", help="A SentencePiece model.")],
    out: Annotated[str, typer.Option("--out", metavar="BINS", help="A folder, or a URI such as s3://bucket/bins.")],
) -> Answer:
    """Tokenise a run's shards once; what was built before stays, and a killed build goes on where it was."""
    from sampler.bins.build import build_bins
    from sampler.tokenizer.model import open_tokenizer

    with shown_progress() as progress:
        bins = build_bins(run, open_tokenizer(tokenizer), out, progress)
    documents = {name: sum(shard.documents for shard in shards) for name, shards in bins.domains.items()}
    rows = [
        {"domain": name, "shards": len(bins.domains[name]), "documents": documents[name], "tokens": tokens}
        for name, tokens in bins.tokens.items()
    ]
    lines = ["{domain}: {shards} shards, {documents:,} documents, {tokens:,} tokens".format(**row) for row in rows]
    lines.append(f"{sum(bins.tokens.values()):,} tokens of tokenizer {bins.tokenizer_digest[:12]} in {out}")
    result = {"out": out, "tokenizer": bins.tokenizer_digest, "domains": rows}
    return Answer(result, lambda: typer.echo("\n".join(lines)), indent=2, ascii=True)


@app.command()
@answering
def verify(bins: Annotated[str, typer.Argument(metavar="BINS", help="A folder or URI of token bins.")]) -> Answer:
    """Recompute the sha256 of every file of some bins."""
    from sampler.bins.manifests import open_bins, verify_bins

    opened = open_bins(bins)
    with shown_progress() as progress:
        size = verify_bins(opened, progress)
    said = f"{bins}: {size:,} bytes are what their manifests say"
    return Answer({"ok": True, "bytes": size}, lambda: typer.echo(said))


@app.command()
@answering
def stream(
    data: MixtureBins,
    world_size: Annotated[int, typer.Option("--world-size", min=1, help="Number of ranks.")] = 1,
    global_batch: Annotated[int, typer.Option("--global-batch", min=1, help="Sequences a step.")] = 8,
    steps: Annotated[str, typer.Option("--steps", metavar="A:B", help="Steps A to B-1, from zero.")] = "0:1",
    digest: Annotated[bool, typer.Option("--digest", help="One line a step: step and sha256.")] = False,
    first_look: Annotated[
        bool, typer.Option("--first-look", help="Tokenise on the fly what these steps need, instead of making bins.")
    ] = False,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="MODEL", help="The model for --first-look; by default the mixture's."),
    ] = None,
) -> Answer:
    """Show the batches of some steps, or their digests: the same for every world size."""
    from sampler.stream.digest import step_digests

    start, stop = parse_steps(steps)
    prepared = _prepared(data, stop * global_batch if first_look else 0, tokenizer)
    prepared.stream.require(stop * global_batch)
    if digest:
        digests = step_digests(prepared.stream, start, stop, global_batch, world_size)
        with shown_progress() as progress, step(progress, "the first step"):
            first = next(digests)
        found = ({"step": number, "sha256": value} for number, value in chain([first], digests))
        return Answer(found, lambda: _print_digests(found), indent=2)
    with shown_progress() as progress, step(progress, "batches"):
        rows = list(_rows(prepared, start, stop, global_batch, world_size))
    return Answer(rows, lambda: _print_rows(rows), indent=2)


def _print_digests(found: Iterable[dict[str, Any]]) -> None:
    for line in found:
        typer.echo("{step} {sha256}".format(**line))


def _prepared(data: MixtureBins, look: int, tokenizer: Path | None) -> Prepared:
    """Opens a mixture over token bins, or, where `look` is above 0, over that many sequences, tokenised on the fly."""
    from sampler.first_look import first_look
    from sampler.prepare import prepare, tokenizer_for_mixture
    from sampler.tokenizer.model import open_tokenizer

    config, folder = data.load()
    if tokenizer is not None and not look:
        raise ConfigError("--tokenizer: found without --first-look; expected both, as bins have a tokenizer")
    with shown_progress() as progress:
        if not look:
            return prepare(folder, config, progress)
        model = open_tokenizer(tokenizer) if tokenizer else tokenizer_for_mixture(folder, config, progress)
        return first_look(folder, config, model, look, progress)


def parse_steps(text: str) -> tuple[int, int]:
    """`A:B` as zero-based, half-open steps.

    Raises:
        ConfigError: it is anything else, or B is not above A.
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ConfigError(f"--steps: found {text!r}; expected A:B with whole numbers 0 <= A < B")
    return int(match[1]), int(match[2])


def _rows(prepared: Prepared, start: int, stop: int, global_batch: int, world_size: int) -> Iterator[dict[str, Any]]:
    """Every row of some steps, described, in rank order."""
    from sampler.stream.mixture_stream import RankStream

    ranks = [RankStream(prepared.stream.fork(), rank, world_size, global_batch) for rank in range(world_size)]
    for number in range(start, stop):
        for rank in ranks:
            for row in rank.batch(number).sequences:
                yield {"step": number, "rank": rank.rank, **_described(prepared, row)}


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

    table = Table(box=None, padding=(0, 1))
    for name, width in (("step", 8), ("rank", 4), ("domain", 16), ("documents", 9), ("boundaries", 22)):
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=min(width, 9), max_width=width)
    table.add_column("begins with", no_wrap=False, overflow="fold")
    for row in rows:
        ends = row["cu_seqlens"]
        shown = " ".join(map(str, ends[:7])) + (" …" if len(ends) > 7 else "")
        heads = " | ".join(" ".join(head.split()) for head in row["heads"])[:_SHOWN]
        count = str(len(row["doc_ids"]))
        table.add_row(str(row["step"]), str(row["rank"]), escape(row["domain"]), count, shown, escape(heads))
    Console().print(table)


app.command()(export)
