"""Every kernel is one of ours, and its machine code can be kept: it is certain what it is made of."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from tamis.kernels import KernelCache, fingerprint, name_of

ROOMS = ("text", "corpus", "filters", "dedup", "sampler")


def modules(repository: Path) -> list[str]:
    """The modules of the rooms that mention kernels."""
    paths = [path for room in ROOMS for path in sorted((repository / room).rglob("*.py"))]
    named = [path for path in paths if "tamis.kernels" in path.read_text("utf-8")]
    return [".".join(path.relative_to(repository).with_suffix("").parts) for path in named]


def test_every_kernel_is_understood(repository: Path) -> None:
    kernels = {
        name_of(value): value
        for module in modules(repository)
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, Dispatcher)
    }
    assert len(kernels) > 200
    assert all(type(kernel._cache) is KernelCache for kernel in kernels.values())
    assert len({fingerprint(kernel) for kernel in kernels.values()}) == len(kernels)


def test_numba_is_told_of_kernels_in_one_place(repository: Path) -> None:
    """Its own decorator keeps machine code beside a digest of the function's file alone."""
    rooms = (*ROOMS, "pipelines", "trainer", "cli", "jobs", "benchmarks")
    paths = [path for room in rooms for path in (repository / room).rglob("*.py")]
    assert len(paths) > 300
    assert [path for path in paths if re.search(r"\bn?jit\(|\bn?jit$", path.read_text("utf-8"), re.MULTILINE)] == []


def test_importing_a_room_changes_no_environment(repository: Path) -> None:
    for room in ROOMS:
        assert len(ast.parse((repository / room / "__init__.py").read_text("utf-8")).body) == 1
