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


def needs(module: str, *more: str, extra: str, for_: str) -> Any:
    """Imports modules that an extra brings, and returns the first; `for_` is what needs them, a command or a setting.

    Raises:
        ConfigError: one is not installed, or does not work, which is told with its own cause.
    """
    look_for(module, *more, extra=extra, for_=for_)
    for name in (module, *more):
        try:
            importlib.import_module(name)
        except Exception as error:
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"{for_} needs {name}, which is installed but cannot be imported ({cause}): "
                f"{_install(extra, '--upgrade ')}"
            ) from error
    return sys.modules[module]


def look_for(*modules: str, extra: str, for_: str) -> None:
    """Does what `needs` does, but for the import, which may take seconds: nothing of the packages is run.

    Raises:
        ConfigError: one is not installed.
    """
    for package in (name.partition(".")[0] for name in modules):
        if (sys.modules[package] if package in sys.modules else find_spec(package)) is None:
            raise lacking(package, extra=extra, for_=for_)


def lacking(package: str, *, extra: str, for_: str) -> ConfigError:
    """What to raise where a package, or data that it carries, was not found."""
    return ConfigError(f"{for_} needs {package}, which is not installed: {_install(extra)}")


def _install(extra: str, option: str = "") -> str:
    return f"pip install {option}'tamis[{extra}]'"
