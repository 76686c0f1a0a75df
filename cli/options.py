"""Options that several commands share, and numbers as people write them on a command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tamis.errors import ConfigError


class OutputFormat(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


FormatOption = Annotated[OutputFormat, typer.Option("--format", help="Print text for people or JSON for programs.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
MixtureArgument = Annotated[Path, typer.Argument(metavar="MIXTURE.yaml", help="The mixture.")]
MixtureOption = Annotated[Path, typer.Option("--mixture", metavar="MIXTURE.yaml", help="The data, and its tokenizer.")]
RunOption = Annotated[Path | None, typer.Option("--run", help="Run folder, instead of the mixture's.")]
BinsOption = Annotated[str | None, typer.Option("--bins", help="Token bins (folder or URI), instead of the mixture's.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL.yaml", help="The model file it was trained with.")]
CheckpointOption = Annotated[
    int | None,
    typer.Option("--checkpoint", metavar="STEP", help="The step of a kept checkpoint; the last one by default."),
]


def parse_number(option: str, text: str, such_as: str, below: float) -> float:
    """A number above zero, such as `2_000_000` or `2e9`; `below` is the first that is too large.

    Raises:
        ConfigError: it is none, or out of range; the message names the option and an example.
    """
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        value = 0.0
    if not 0 < value < below:
        raise ConfigError(f"{option}: found {text!r}; expected a number above zero, such as {such_as}")
    return value


def parse_tokens(text: str | None) -> float | None:
    """A number of tokens such as `2_000_000`, `2e9`; None for none given.

    Raises:
        ConfigError: it is none, or not above zero.
    """
    return None if text is None else parse_number("--tokens", text, "2e9", 1e18)
