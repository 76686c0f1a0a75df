"""Where Tamis itself lies: its code, and the configurations that it ships, which go by name.

`tamis/conf` is a link to `conf/` in a checkout, and a folder in a wheel and in the executors' zip. A bare name, such as
`default`, is a shipped file; what has a slash or a suffix is a path. So no file of a user's is ever taken for a shipped
one, or the other way round.
"""

from __future__ import annotations

from pathlib import Path

from tamis.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds our packages: a checkout, `site-packages`, or what a zip was unpacked to."""
CONF = Path(__file__).with_name("conf").resolve()
"""The configurations that are shipped, a folder a kind."""


def find_config(kind: str, given: Path) -> Path:
    """The file that is meant by a name or a path; `kind` is a folder of `conf/`: pipelines, mixtures, models.

    Raises:
        ConfigError: it is a bare name, and no shipped file has it.
    """
    if not is_name(given):
        return given
    found = CONF / kind / f"{given}.yaml"
    if not found.is_file():
        beside = next((f"./{file}" for file in files_of_that_name(given)), f"./{given}.yaml")
        names = ", ".join(shipped(kind))
        raise ConfigError(f"{given}: found none of that name in {kind}; expected {names}, or a path such as {beside}")
    return found


def is_name(given: Path) -> bool:
    """Whether this names a shipped file: it has neither slash nor suffix."""
    return len(given.parts) == 1 and not given.suffix and given.name not in ("", "..")


def files_of_that_name(given: Path) -> list[str]:
    """Files of the current folder that might have been meant by a bare name."""
    return [name for name in (f"{given}.yaml", f"{given}.yml", str(given)) if Path(name).is_file()]


def shipped(kind: str) -> list[str]:
    """The names of the shipped files of a kind, in order."""
    return sorted(path.stem for path in (CONF / kind).glob("*.yaml"))


def base_folder(config: Path) -> Path:
    """Where relative paths in a configuration begin: its folder; the current one if it is shipped."""
    folder = config.absolute().parent
    return Path.cwd() if folder.resolve().is_relative_to(CONF) else folder
