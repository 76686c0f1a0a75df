"""Data inside installed packages, found without importing them: no code of theirs runs."""

from __future__ import annotations

import importlib.util
from importlib.machinery import PathFinder
from pathlib import Path


def package_folders(package: str) -> list[Path]:
    """Where an installed package of that import name lies; nowhere, if it is not installed."""
    first, *rest = package.split(".")
    found = importlib.util.find_spec(first) if first else None
    for part in rest:
        folders = found.submodule_search_locations if found else None
        found = PathFinder.find_spec(part, folders) if folders else None
    return [Path(folder) for folder in (found.submodule_search_locations or ())] if found else []


def package_file(package: str, path: str) -> Path | None:
    """A file below the folder of an installed package, given by its import name; or None."""
    places = [folder / path for folder in package_folders(package)]
    return next((place for place in places if place.exists()), None)
