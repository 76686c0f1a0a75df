"""Packages that an extra of Tamis brings: one that is lacking is a sentence, with the line of pip that installs it.

A function that needs such a package calls `needs` first and imports it plainly behind that; a command does so before
it imports a module of ours that cannot do without. `tests/contract/test_extras.py` holds all imports to it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import Any

from tamis.errors import ConfigError


def needs(module: str, *, extra: str, for_: str) -> Any:
    """Imports a module that an extra brings; `for_` is what needs it, a command or the key of a setting.

    Raises:
        ConfigError: it is not installed, or does not work, which is told with its own cause.
    """
    look_for(module, extra=extra, for_=for_)
    try:
        return importlib.import_module(module)
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"{for_} needs {_package(module)}, which is installed but cannot be imported ({cause}): "
            f"{_install(extra, '--upgrade ')}"
        ) from error


def look_for(module: str, *, extra: str, for_: str) -> None:
    """Does what `needs` does, but for the import, which may take seconds: nothing of the package is run.

    Raises:
        ConfigError: it is not installed.
    """
    package = _package(module)
    if (sys.modules[package] if package in sys.modules else find_spec(package)) is None:
        raise lacking(package, extra=extra, for_=for_)


def lacking(package: str, *, extra: str, for_: str) -> ConfigError:
    """What to raise where a package, or data that it carries, was not found."""
    return ConfigError(f"{for_} needs {package}, which is not installed: {_install(extra)}")


def _package(module: str) -> str:
    return module.partition(".")[0]


def _install(extra: str, option: str = "") -> str:
    return f"pip install {option}'tamis[{extra}]'"
