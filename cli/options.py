"""What several commands share: options, how an answer is printed, numbers as people write them on a command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import typer

from tamis.errors import ConfigError
from tamis.places import files_of_that_name, find_config, is_name

if TYPE_CHECKING:
    from sampler.mixture import Mixture


class OutputFormat(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


def named(kind: str) -> Callable[[str], Path]:
    """The parser of an option that takes the name of a shipped file of that kind, or a path.

    Where a file that the name might have meant lies in the current folder, stderr says which one is taken.
    """

    def parse(text: str) -> Path:
        given = Path(text)
        found = find_config(kind, given)
        if is_name(given) and (beside := files_of_that_name(given)):
            said = f"note: {text} is the one of {kind} that comes with Tamis; for the file in this folder say"
            print(f"{said} ./{beside[0]}", file=sys.stderr)
        return found

    return parse


FormatOption = Annotated[OutputFormat, typer.Option("--format", help="Print text for people or JSON for programs.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
MixtureOption = Annotated[
    Path,
    typer.Option(
        "--mixture",
        metavar="MIXTURE.yaml",
        parser=named("mixtures"),
        help="The data, and its tokenizer: the name of a shipped mixture, or a path.",
    ),
]
RunOption = Annotated[Path | None, typer.Option("--run", help="Run folder, instead of the mixture's.")]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL.yaml", parser=named("models"), help="The model file it was trained with, or its name."
    ),
]
CheckpointOption = Annotated[
    int | None,
    typer.Option("--checkpoint", metavar="STEP", help="The step of a kept checkpoint; the last one by default."),
]


@dataclass(frozen=True)
class MixtureBins:
    """Options of a command about a mixture."""

    mixture: Annotated[
        Path,
        typer.Argument(
            metavar="MIXTURE.yaml", parser=named("mixtures"), help="The name of a shipped mixture, or a path."
        ),
    ]
    run: RunOption = None
    bins: Annotated[
        str | None, typer.Option("--bins", help="Token bins (folder or URI), instead of the mixture's.")
    ] = None

    def load(self) -> tuple[Mixture, Path]:
        """The mixture, and the run folder."""
        from sampler.mixture import load_mixture

        return load_mixture(self.mixture, self.run, self.bins)


@dataclass(frozen=True)
class MixtureData:
    """Options of a command about a model and its data."""

    mixture: MixtureOption
    run: RunOption = None

    def load(self) -> tuple[Mixture, Path]:
        """The mixture, and the run folder."""
        from sampler.mixture import load_mixture

        return load_mixture(self.mixture, self.run)


class Answer(NamedTuple):
    """What a command found, a value for JSON, and what prints it for people.

    An iterator becomes a list in JSON; with `ascii` all other characters are escaped there.
    """

    value: Any
    text: Callable[[], object]
    indent: int | None = None
    ascii: bool = False

    def show(self, format: OutputFormat) -> None:
        """Prints it."""
        if format is OutputFormat.json:
            value = list(self.value) if isinstance(self.value, Iterator) else self.value
            typer.echo(json.dumps(value, indent=self.indent, ensure_ascii=self.ascii))
        else:
            self.text()


def answering(function: Callable[..., Answer | None]) -> Callable[..., None]:
    """A command that prints the answer of a function as its `--format` says.

    A parameter of the function whose type is a dataclass stands for several options, which are the dataclass's fields.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    @wraps(function)
    def command(*, format: OutputFormat = OutputFormat.text, **given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind) if field.name in given})
        if (answer := function(**given)) is not None:
            answer.show(format)

    last = Parameter("format", Parameter.KEYWORD_ONLY, default=OutputFormat.text, annotation=FormatOption)
    vars(command).update(__signature__=Signature([*_parameters(function), last]), __annotations__={})
    return command


def _parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    """Its parameters as keywords, those of a dataclass in the dataclass's place."""
    hints = get_type_hints(function, include_extras=True)
    for parameter in signature(function).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind):
            yield from _parameters(kind)  # type: ignore[arg-type]
        else:
            yield parameter.replace(annotation=kind, kind=Parameter.KEYWORD_ONLY)


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
