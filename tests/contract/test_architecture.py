"""docs/architecture.md is true: its map is the packages' own words, and what it names is where it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pipelines.spark.package import PACKAGES

ROOMS = (*PACKAGES, "benchmarks")


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    """The page."""
    return (repository / "docs" / "architecture.md").read_text("utf-8")


def test_the_map_says_of_each_folder_what_the_folder_says_of_itself(repository: Path, page: str) -> None:
    """One line a package: the first paragraph of its docstring."""
    packages = sorted(path.parent for room in ROOMS for path in (repository / room).rglob("__init__.py"))
    told = dict(re.findall(r"^ *- `([\w/]+)/`: (.+)$", page, re.MULTILINE))
    wanted = {}
    for package in packages:
        docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_bytes())) or ""
        wanted[str(package.relative_to(repository))] = " ".join(docstring.split("\n\n")[0].split())
    assert told == wanted


def test_functions_and_classes_that_the_page_names_are_where_it_says(repository: Path, page: str) -> None:
    """`path.py` `name`, the name perhaps of a method."""
    pairs = re.findall(r"`([\w/]+\.py)` `([\w.]+)`", page)
    assert len(pairs) > 30
    missing = []
    for path, name in pairs:
        body = ast.parse((repository / path).read_bytes()).body
        for part in name.split("."):
            body = next((found for node in body if (found := _body(node, part)) is not None), [])
        if not body:
            missing.append(f"{path} {name}")
    assert missing == []


def _body(node: ast.stmt, name: str) -> list[ast.stmt] | None:
    """What a definition or assignment of a name holds; None where the statement is another's."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.body if node.name == name else None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [node] if any(isinstance(t, ast.Name) and t.id == name for t in targets) else None
