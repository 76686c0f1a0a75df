"""The house has floors: at every level what lies beside one another imports one way only, and no folder is a heap.

A *child* of a folder is a module in it or a folder in it, with all that lies below. Children that import one another in
a circle cannot be understood, moved or tested one by one. Imports are read off the syntax tree, those inside functions
and those for the type checker alone included. The door (`tamis/__init__.py`, what `import tamis` offers) is a child of
the house by itself, on top: it knows rooms that stand on the modules of its folder.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.spark.package import PACKAGES

ROOMS = (*PACKAGES, "benchmarks")
DOOR = "the door"
MOST_MODULES = 20
"""A folder with more modules is a heap in which nobody finds anything."""


def modules(repository: Path) -> dict[str, Path]:
    """Dotted name → file, for every module of ours."""
    files = [path for room in ROOMS for path in (repository / room).rglob("*.py")]
    return {".".join(path.relative_to(repository).with_suffix("").parts): path for path in files}


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Sets of names that reach each other; sorted."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for name in edges[todo.pop()]:
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
        return seen

    reached = {name: reach(name) for name in list(edges)}
    found = {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in reached if a in reached[a]}
    return [list(circle) for circle in sorted(found)]


def children_edges(imports: dict[str, set[str]], folder: str) -> dict[str, set[str]]:
    """The imports among the children of a folder, "" being the house."""
    prefix = f"{folder}." if folder else ""
    edges: dict[str, set[str]] = defaultdict(set)
    for name, wanted in imports.items():
        for other in wanted:
            if name.startswith(prefix) and other.startswith(prefix):
                a, b = (n.removeprefix(prefix).split(".")[0] for n in (name, other))
                if a != b:
                    edges[a].add(b)
                    edges[b] |= set()
    return edges


@pytest.fixture(scope="module")
def imports(repository: Path) -> dict[str, set[str]]:
    """Module → modules of ours that it imports."""
    known = modules(repository)
    found = {name: set(imported(path, known)) for name, path in known.items()}
    found[DOOR] = found.pop("tamis.__init__")
    return {name.removesuffix(".__init__"): wanted for name, wanted in found.items()}


def test_nothing_imports_in_a_circle(imports: dict[str, set[str]]) -> None:
    """At no level: modules of a folder, folders of a room, rooms of the house."""
    folders = {".".join(name.split(".")[:depth]) for name in imports for depth in range(len(name.split(".")))}
    found = {folder or "the house": circles(children_edges(imports, folder)) for folder in sorted(folders)}
    assert {folder: circle for folder, circle in found.items() if circle} == {}


def test_the_door_is_on_top(repository: Path, imports: dict[str, set[str]]) -> None:
    """It offers names of rooms, and no room asks it for one: of `tamis` they import modules."""
    assert {name.split(".")[0] for name in imports[DOOR]} >= {"corpus", "pipelines", "sampler"}
    known, asked = modules(repository), []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module == "tamis":
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tamis":
                names = [node.attr]
            asked += [f"{name}: tamis.{wanted}" for wanted in names if f"tamis.{wanted}" not in known]
    assert asked == []


def test_no_folder_is_a_heap(repository: Path) -> None:
    """Some twenty modules are what one can look through."""
    count: dict[str, int] = defaultdict(int)
    for path in modules(repository).values():
        count[str(path.parent.relative_to(repository))] += path.name != "__init__.py"
    assert {folder: n for folder, n in count.items() if n > MOST_MODULES} == {}


def test_the_search_for_circles_finds_them() -> None:
    """A circle of two behind a third module, and none in a chain."""
    assert circles(defaultdict(set, {"a": {"b"}, "b": {"c"}, "c": {"b"}})) == [["b", "c"]]
    assert circles(defaultdict(set, {"a": {"b"}, "b": {"c"}, "c": set()})) == []
    inside = children_edges({"r.x.one": {"r.y"}, "r.y": {"r.x.two"}, "r.x.two": set()}, "r")
    assert circles(defaultdict(set, inside)) == [["x", "y"]], "folders may be tied where no module is"
