"""Options that the commands of `tamis tokenizer` share, and what stands behind them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from corpus.config import key_value
from tamis.errors import ConfigError

RunOption = Annotated[Path | None, typer.Option("--run", metavar="RUN", help="Measure on the domains of this run.")]
InputOption = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME=GLOB", help="Measure on these files; may be repeated.")
]
BytesOption = Annotated[
    int, typer.Option("--sample-bytes", min=1, help="UTF-8 bytes of text to measure on, for each domain or input.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Another seed, another sample.")]


def parse_factors(given: list[str]) -> dict[str, float]:
    """`DOMAIN=F` each, as domain → factor.

    Raises:
        ConfigError: one is anything else, or a domain stands twice.
    """
    factors: dict[str, float] = {}
    for text in given:
        form = "DOMAIN=F with a number F, such as code=2"
        domain, number = key_value(text, "--factor", form, last=True)
        try:
            value = float(number)
        except ValueError:
            raise ConfigError(f"--factor: found {text!r}; expected {form}") from None
        if domain in factors:
            raise ConfigError(f"--factor: found {domain!r} twice; expected one factor a domain")
        factors[domain] = value
    return factors


@contextmanager
def named_as_options() -> Iterator[None]:
    """Lets a refusal name the option of the command line instead of the mixture's key."""
    try:
        yield
    except ConfigError as error:
        key, separator, rest = str(error).partition(": ")
        section, *names = key.split(".")
        if section != "tokenizer" or not names:
            raise
        option = "--factor" if names[0] == "domain_factors" else "--" + names[0].replace("_", "-")
        raise ConfigError(" ".join([option, *names[1:]]) + separator + rest) from None
