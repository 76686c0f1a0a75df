"""Each test lies on its level: unit tests mirror rooms and wings, and start no process, no server and no JVM."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.contract.test_floors import ROOMS

STARTERS = (
    "subprocess",
    "multiprocessing",
    "concurrent.futures.ProcessPoolExecutor",
    "socket",
    "socketserver",
    "http.server",
    "pyspark",
    "torch.distributed",
    "torch.multiprocessing",
    "os.fork",
    "os.system",
    "tests.engine",
    "tests.e2e",
    "tests.processes",
)
"""What starts, or speaks to, something beside the test's own process."""


@cache
def names_of(path: Path) -> frozenset[str]:
    """The names of a file; many tests import the same helpers."""
    return frozenset(names_in(path.read_bytes()))


def names_in(source: bytes) -> Iterator[str]:
    """Dotted names that a module imports, and those that it reads of modules: `os.fork`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def starters_in(names: Iterable[str]) -> list[str]:
    """Those of a module's names that start something."""
    return sorted({name for name in names if f"{name}.".startswith(tuple(f"{s}." for s in STARTERS))})


def helpers_of(path: Path, repository: Path) -> list[Path]:
    """Our helper modules below `tests/` that a test file imports, itself and its folder's conftests included."""
    folders = [folder / "conftest.py" for folder in path.parents if folder.is_relative_to(repository / "tests")]
    seen, todo = [], [path, *(conftest for conftest in folders if conftest.is_file())]
    while todo:
        path = todo.pop()
        seen.append(path)
        names = {name for name in names_of(path) if name.startswith("tests.")}
        names |= {name.rpartition(".")[0] for name in names}  # of `from module import name`
        places = {repository.joinpath(*name.split(".")).with_suffix(".py") for name in names}
        todo += [place for place in sorted(places) if place.is_file() and place not in seen and place not in todo]
    return seen


def unit_tests(repository: Path) -> list[Path]:
    return sorted((repository / "tests" / "unit").rglob("test_*.py"))


def test_unit_tests_start_nothing(repository: Path) -> None:
    """Neither they nor the helpers that they import."""
    found = {}
    for path in {helper for test in unit_tests(repository) for helper in helpers_of(test, repository)}:
        if names := starters_in(names_of(path)):
            found[str(path.relative_to(repository))] = names
    assert found == {}


def test_the_levels_mirror_the_rooms(repository: Path) -> None:
    """tests/unit/<room>/<wing>/ is the folder <room>/<wing>/ of the code; so are the rooms in tests/processes."""
    for level in ("unit", "processes"):
        root = repository / "tests" / level
        folders = sorted({path.parent.relative_to(root) for path in root.rglob("test_*.py")})
        assert [str(folder) for folder in folders if folder.parts[0] not in ROOMS] == []
        assert [str(folder) for folder in folders if not (repository / folder).is_dir()] == []


def test_a_unit_test_is_about_its_room(repository: Path) -> None:
    """It imports something of the room that it lies in."""
    strangers = []
    for path in unit_tests(repository):
        room = path.relative_to(repository / "tests" / "unit").parts[0]
        if not any(name.split(".")[0] == room for name in names_of(path)):
            strangers.append(str(path.relative_to(repository)))
    assert strangers == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import subprocess as s", ["subprocess"]),
        ("from torch import multiprocessing", ["torch.multiprocessing"]),
        ("import os\nos.fork()", ["os.fork"]),
        ("from tests.engine.session import cluster", ["tests.engine.session.cluster"]),
        ("import os, torch, sockets\nos.forks", []),
    ],
)
def test_the_search_for_starters_finds_them(line: str, found: list[str]) -> None:
    assert starters_in(names_in(line.encode())) == found
