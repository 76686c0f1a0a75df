"""`tamis conf`: the configurations that Tamis ships: list them, show one, copy one to begin one's own.

A name that several kinds have, such as `default`, is the first kind's; `mixtures/default` names another's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Answer, answering
from tamis.errors import ConfigError
from tamis.places import CONF

app = typer.Typer(no_args_is_help=True, help="The shipped configurations: list, show, copy one to begin your own.")
KINDS = ("pipelines", "mixtures", "models", "profiles", "scores", "spark")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name, or KIND/NAME where kinds share it.")]


@app.command("list")
@answering
def list_() -> Answer:
    """List the shipped configurations by kind; pipelines, mixtures and models go by these names in every command."""
    found = {kind: [path.stem for path in _files(kind)] for kind in KINDS}
    width = max(map(len, KINDS))
    lines = [f"{kind:<{width}}  {'  '.join(names)}" for kind, names in found.items()]
    return Answer(found, lambda: typer.echo("\n".join(lines)))


@app.command()
@answering
def show(name: NameArgument) -> Answer:
    """Print a shipped configuration, with its comments."""
    path = find(name)
    text = path.read_text("utf-8")
    return Answer({"path": str(path), "text": text}, lambda: typer.echo(text, nl=False))


@app.command()
@answering
def copy(
    name: NameArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The file to write; ./NAME.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> Answer:
    """Copy a shipped configuration, to begin one of your own."""
    source = find(name)
    target = Path(source.name) if out is None else out
    try:
        with target.open("wb" if force else "xb") as file:
            file.write(source.read_bytes())
    except FileExistsError:
        raise ConfigError(f"{target}: found a file of that name; expected none, or --force to write over it") from None
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written ({error.strerror})") from None
    path = target if len(target.parts) > 1 else f"./{target}"
    return Answer({"file": str(target), "from": str(source)}, lambda: typer.echo(f"written: {path}"))


def find(name: str) -> Path:
    """The shipped file of that name, or of that `KIND/NAME`; of several kinds the first, and stderr tells the others.

    Raises:
        ConfigError: there is none.
    """
    kind, _, wanted = name.rpartition("/")
    found = {k: path for k in KINDS if kind in ("", k) for path in _files(k) if wanted in (path.stem, path.name)}
    if not found:
        raise ConfigError(f"{name}: found no shipped configuration of that name; expected one of `tamis conf list`")
    first, *others = found
    if others:
        rest = " or ".join(f"{k}/{wanted}" for k in others)
        print(f"note: {name} is taken as {first}/{wanted}; if another is meant, type {rest}", file=sys.stderr)
    return found[first]


def _files(kind: str) -> list[Path]:
    return sorted(path for path in (CONF / kind).iterdir() if path.is_file())
