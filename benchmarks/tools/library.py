"""Imports of modules that the environment at hand may lack, or that have no types."""

from __future__ import annotations

import importlib
from typing import Any


def library(name: str) -> Any:
    """A module, untyped."""
    return importlib.import_module(name)
