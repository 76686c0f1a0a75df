"""`tamis tokens export`: token bins as Megatron's files, or a run's text as the files that Baichuan-7B's demo reads.

What was written goes to standard output, progress to standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Answer, answering
from cli.progress import shown_progress
from tamis.errors import ConfigError

if TYPE_CHECKING:
    from sampler.export.megatron import MegatronDataset
    from sampler.export.text import TextExport


class Layout(StrEnum):
    """What to export to."""

    megatron = "megatron"
    text = "text"


class SplitChoice(StrEnum):
    """The documents to write."""

    train = "train"
    heldout = "heldout"
    all = "all"


class LinesChoice(StrEnum):
    """What a line of the text files is."""

    joined = "joined"
    one = "one"


@answering
def export(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Token bins, a folder or URI, for megatron; a run folder for text.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder to write.")],
    to: Annotated[Layout, typer.Option("--to", help="Megatron's .bin and .idx, or UTF-8 text a line a document.")],
    split: Annotated[SplitChoice, typer.Option("--split", help="The documents to write.")] = SplitChoice.train,
    files: Annotated[
        int | None,
        typer.Option("--files", min=1, max=99_999, help="Number of text files, a multiple of the number of ranks."),
    ] = None,
    lines: Annotated[
        LinesChoice | None,
        typer.Option("--lines", help="joined: line breaks become spaces, the default; one: they stay, a line a text."),
    ] = None,
) -> Answer:
    """Write tokens or text in another trainer's format; the training split, unless --split says otherwise."""
    if "://" in out:
        raise ConfigError(f"OUT: found {out}; expected a folder of this machine")
    if to is Layout.megatron:
        if files is not None or lines is not None:
            raise ConfigError("--files, --lines: found without text files; expected `--to text` beside them")
        return _export_megatron(source, Path(out), split)
    if files is None:
        raise ConfigError("--files: found nothing; expected a multiple of the number of ranks")
    return _export_text(Path(source), Path(out), files, split, lines or LinesChoice.joined)


def _export_megatron(source: str, out: Path, split: SplitChoice) -> Answer:
    from sampler.bins.manifests import open_bins
    from sampler.export.megatron import export_megatron

    bins = open_bins(source)
    with shown_progress() as progress:
        written = export_megatron(bins, out, split.value, progress)
    return Answer([asdict(dataset) for dataset in written], lambda: _print_datasets(written), indent=2)


def _print_datasets(written: Sequence[MegatronDataset]) -> None:
    for has in written:
        if has.prefix is None:
            typer.echo(f"{has.domain}: no document of the split, nothing written")
        else:
            typer.echo(f"{has.prefix}: {has.documents:,} documents, {has.tokens:,} tokens, {has.dtype}")


def _export_text(run: Path, out: Path, files: int, split: SplitChoice, lines: LinesChoice) -> Answer:
    from sampler.export.text import export_text

    with shown_progress() as progress:
        written = export_text(run, out, files, split.value, lines.value, progress)
    return Answer(asdict(written), lambda: _print_files(out, written), indent=2)


def _print_files(out: Path, written: TextExport) -> None:
    sizes = [file.bytes for file in written.files]
    documents = sum(file.documents for file in written.files)
    typer.echo(f"{out}: {len(sizes)} files of {min(sizes):,} to {max(sizes):,} bytes, {documents:,} documents")
    if written.empty:
        typer.echo(f"{written.empty:,} documents without a visible character were left out")
