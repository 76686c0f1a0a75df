"""What commands share: the output format, and numbers as people write them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tamis.errors import ConfigError


class OutputFormat(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


FormatOption = Annotated[OutputFormat, typer.Option("--format", help="Print a table or JSON.")]


def parse_number(option: str, text: str, such_as: str, below: float) -> float:
    """A number above zero, such as `2_000_000` or `2e9`.

    Args:
        option: its name, for the message.
        text: what was given.
        such_as: an example, for the message.
        below: the first number that is too large.

    Raises:
        ConfigError: it is none, or out of range.
    """
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        value = 0.0
    if not 0 < value < below:
        raise ConfigError(f"{option}: found {text!r}; expected a number above zero, such as {such_as}")
    return value
