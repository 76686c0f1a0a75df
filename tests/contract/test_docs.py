"""The documents that a user reads hold what they promise: columns, commands, options."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from cli.configuration import page, sections
from cli.main import app
from corpus.files import write_table
from corpus.schemas import DROPPED, PUBLISHED, QUARANTINE, SCORES, WEIGHTS
from pipelines.spark.package import PACKAGES

TYPES = {pa.string(): "string", pa.int64(): "int64", pa.int32(): "int32", pa.float32(): "float"}
FILLED = {name for name, _, _, default in SCORES if default is not None}
"""Columns that the schema leaves nullable and the writer always fills."""


def columns(schema: pa.Schema) -> list[tuple[str, str]]:
    """Name and type of each column, as docs/schema.md writes them."""
    return [(f.name, TYPES[f.type] + ("?" if f.nullable and f.name not in FILLED else "")) for f in schema]


@pytest.mark.parametrize(
    ("title", "schema"),
    [("Published shards", PUBLISHED), ("Weights", WEIGHTS), ("Dropped", DROPPED), ("Quarantine", QUARANTINE)],
)
def test_schema_page_holds_every_column(repository: Path, title: str, schema: pa.Schema) -> None:
    """Same columns, same order, same types."""
    page = (repository / "docs" / "schema.md").read_text(encoding="utf-8")
    (section,) = (part for part in page.split("\n## ") if part.startswith(title))
    assert re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.MULTILINE) == columns(schema)


def test_schema_page_tells_how_tables_are_compressed(repository: Path, tmp_path: Path) -> None:
    """As the files' metadata has it: text, narrow tables, vectors."""
    page = (repository / "docs" / "schema.md").read_text(encoding="utf-8")
    found = re.search(r"by (\w+) where they have a `text` column, else by (\w+); vectors are not compressed", page)
    assert found is not None
    vector = pa.schema([pa.field("row", pa.int32()), pa.field("vector", pa.list_(pa.float32(), 2))])
    for schema in (PUBLISHED, WEIGHTS, DROPPED, QUARANTINE, vector):
        rows = pa.Table.from_arrays([pa.nulls(1, f.type) for f in schema], names=schema.names)
        path = tmp_path / write_table(tmp_path, "table", rows, kind="table").path
        group = pq.read_metadata(path).row_group(0)
        codecs = {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}
        assert codecs.pop("vector.list.element", "UNCOMPRESSED") == "UNCOMPRESSED"
        assert set(codecs.values()) == {found[1 if "text" in schema.names else 2]}


def commands() -> dict[str, Any]:
    """Every command by its full name: "run", "tokens stream"."""

    def walk(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            yield from walk(command, f"{prefix}{name} ") if hasattr(command, "commands") else [(prefix + name, command)]

    return dict(walk(typer.main.get_command(app), ""))


def code(text: str) -> list[str]:
    """The lines of code in a page: blocks, and what stands between backquotes."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", rest)


def readme(repository: Path) -> list[str]:
    return code((repository / "README.md").read_text(encoding="utf-8"))


def test_commands_in_the_readme_exist(repository: Path) -> None:
    """Each `tamis …` names a command, with options that it has."""
    known, seen = commands(), set()
    for line in readme(repository):
        if not line.startswith("tamis "):
            continue
        words = shlex.split(line, comments=True)[1:]
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in known), None)
        assert name is not None, line
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {w for w in words if re.match(r"--?[a-z]", w)} - options == set(), line
        seen.add(name)
    assert set(known) - seen - {"plan", "demo"} == set()  # the README shows all the others


def test_make_targets_in_the_readme_exist(repository: Path) -> None:
    """Each `make …` is a target."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (repository / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {match for line in readme(repository) for match in re.findall(r"(?:^|&& )make ([a-z-]+)", line)}
    assert {"demo", "test", "package"} <= named <= targets


def test_every_command_speaks_json() -> None:
    """The README says so."""
    silent = [n for n, command in commands().items() if "--format" not in {o for p in command.params for o in p.opts}]
    assert silent == []


def test_the_configuration_page_is_what_its_generator_gives(repository: Path) -> None:
    """`python -m cli.configuration > docs/configuration.md` was run after the last change of a config."""
    assert (repository / "docs" / "configuration.md").read_text(encoding="utf-8") == page()


def settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every setting of every configuration file, by heading and key."""
    for heading, tables in sections().items():
        for section in tables:
            yield from ((f"{heading} {section.key}.{key}", setting) for key, setting in section.settings.items())


def test_every_setting_says_in_sentences_what_it_does() -> None:
    """A description that begins with a capital, or a number, and ends in a full stop; 150 settings and more."""
    found = dict(settings())
    assert len(found) > 150
    assert [key for key, setting in found.items() if not re.match(r"[A-Z0-9(].*\.$", setting["description"])] == []


def test_every_number_has_a_unit() -> None:
    """But seeds, which count nothing; where a name ends in a unit it is that one."""
    for key, setting in settings():
        kinds = {part.get("type") for part in (setting, *setting.get("anyOf", []))}
        if kinds & {"integer", "number"} and not key.endswith("seed"):
            assert setting.get("unit"), key
        for unit in ("bytes", "seconds", "tokens", "steps"):
            assert not key.endswith(f"_{unit}") or setting["unit"] == unit, key


ROOMS = (*PACKAGES, "benchmarks")
FOLDERS = (*ROOMS, "conf", "docs", "tests")


def pages(repository: Path) -> list[Path]:
    """The documents about the repository as it is."""
    return [repository / "README.md", repository / "CONTRIBUTING.md", *sorted((repository / "docs").rglob("*.md"))]


def quoted(page: Path) -> set[str]:
    """The words in a page's code, without quotes and trailing punctuation."""
    return {word.strip("'\".,:;()") for line in code(page.read_text("utf-8")) for word in line.split()}


def test_paths_in_the_documents_exist(repository: Path) -> None:
    """A path below a folder of ours, a bare module name, a link; `*` stands for anything, `<...>` is no path."""
    modules = {path.name for room in FOLDERS for path in (repository / room).rglob("*.py")}
    missing, seen = [], 0
    for document in pages(repository):
        words = {word for word in quoted(document) if not re.search(r"[<>{}$\u2026=]", word)}
        paths = {word for word in words if re.match(rf"(?:{'|'.join(FOLDERS)})/\S", word)}
        missing += [f"{document.name}: {word}" for word in paths if not list(repository.glob(word.split("::")[0]))]
        bare = {word for word in words if re.fullmatch(r"\w+\.py", word)}
        missing += [f"{document.name}: {word}" for word in bare - modules]
        links = set(re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8")))
        missing += [f"{document.name}: {link}" for link in links if not (document.parent / link).exists()]
        seen += len(paths) + len(bare) + len(links)
    assert missing == [] and seen > 100


def test_dotted_names_in_the_documents_exist(repository: Path) -> None:
    """`room.module` and `room.module.name`; `room.module.Class.name` as far as the class."""
    missing, seen = [], 0
    for document in pages(repository):
        for word in quoted(document):
            if not re.fullmatch(rf"(?:{'|'.join(ROOMS)})(?:\.[A-Za-z_]\w*)+", word) or word.endswith((".py", ".md")):
                continue
            seen += 1
            parts = word.split(".")
            depth = next((n for n in range(len(parts), 0, -1) if module(repository, parts[:n]) is not None), 0)
            path = module(repository, parts[:depth])
            if path is None or (depth < len(parts) and parts[depth] not in defined(path)):
                missing.append(f"{document.name}: {word}")
    assert missing == [] and seen > 10


def module(repository: Path, parts: list[str]) -> Path | None:
    """The file of a module or package, if there is one."""
    base = repository.joinpath(*parts)
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if parts and path.is_file()), None)


def defined(path: Path) -> set[str]:
    """The names that a module defines, or offers to type checkers by imports that are theirs alone."""
    names = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.If):
            names |= {a.asname or a.name for i in node.body if isinstance(i, ast.ImportFrom) for a in i.names}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        names |= {getattr(target, "name", None) or getattr(target, "id", "") for target in targets}
    return names
