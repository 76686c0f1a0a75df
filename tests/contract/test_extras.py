"""A package that only an extra brings is asked for by `tamis.extras` before it is imported, and the extra brings it.

All imports and calls are read off the syntax trees. A module that imports such a package at its top, or a module of
ours that does, *requires* it; only the rooms of `BEHIND_DOORS` may. Whoever imports one inside a function must have
called `needs` in it, caught the ImportError, or be reached only from functions of its module that have called it.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from pipelines.run import preflight
from pipelines.run.config import load_pipeline

OURS = ("tamis", "text", "corpus", "filters", "dedup", "sampler", "pipelines", "jobs", "trainer", "cli")
BEHIND_DOORS = ("trainer.", "sampler.torch_data")
CALLS = ("needs", "look_for", "lacking")
Def = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Site:
    """An import inside a function: what, where, and the functions that it stands in, the outermost first."""

    name: str
    line: int
    inside: tuple[Def, ...]
    caught: bool


@dataclass
class Module:
    """What a module imports at its top, what inside functions, and its functions."""

    tree: ast.Module
    top: list[str] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def gather(module: Module, node: ast.AST, inside: tuple[Def, ...] = (), caught: bool = False) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        for name in imported(child):
            if inside or caught:
                module.sites.append(Site(name, child.lineno, inside, caught))
            else:
                module.top.append(name)
        catches = isinstance(child, ast.Try) and any("ImportError" in ast.dump(h) for h in child.handlers)
        gather(module, child, (*inside, child) if isinstance(child, Def) else inside, caught or catches)


@cache
def modules(root: Path) -> dict[str, Module]:
    found = {}
    for room in OURS:
        for path in sorted((root / room).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[name] = Module(ast.parse(path.read_bytes()))
            gather(found[name], found[name].tree)
    return found


@cache
def owners(package: str) -> set[str]:
    """The installed distributions that bring a package of that import name."""
    return {plain(name) for name in by_package().get(package, [])}


by_package = cache(packages_distributions)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def project(root: Path) -> dict[str, list[str]]:
    """The requirements of each extra, and under "" those that everybody gets; names only, an extra of ours resolved."""
    table = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    lines = {"": table["dependencies"], **table["optional-dependencies"]}

    def names(extra: str) -> Iterator[str]:
        for line in lines[extra]:
            if own := re.match(r"tamis\[(.*)\]", line):
                for other in own[1].split(","):
                    yield from names(other.strip())
            else:
                yield plain(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])

    return {extra: list(names(extra)) for extra in lines}


@cache
def brings(distributions: tuple[str, ...]) -> set[str]:
    """Distributions that come with some, as far as they are installed here."""
    seen: set[str] = set()
    todo = list(distributions)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        todo += [plain(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in lines if "extra ==" not in line]
    return seen


def of_extra(root: Path, name: str) -> str | None:
    """The package of an import if only an extra brings it."""
    package = name.partition(".")[0]
    if package in OURS or package in sys.stdlib_module_names:
        return None
    return None if owners(package) & brings(tuple(project(root)[""])) else package


@cache
def required(root: Path) -> dict[str, set[str]]:
    """Module of ours → packages of extras without which it cannot be imported."""
    known = modules(root)
    found = {name: {p for top in m.top if (p := of_extra(root, top))} for name, m in known.items()}
    while True:
        grown = {name: found[name].union(*(found[top] for top in m.top if top in found)) for name, m in known.items()}
        if grown == found:
            return found
        found = grown


def calls(node: ast.AST, which: tuple[str, ...] = CALLS) -> Iterator[ast.Call]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in which:
            yield inner


def asked(call: ast.Call) -> list[str]:
    return [str(a.value).partition(".")[0] for a in call.args if isinstance(a, ast.Constant)]


def guarded(module: Module, inside: tuple[Def, ...], package: str, line: int, seen: tuple[str, ...] = ()) -> bool:
    """Whether one of the functions asks for the package above the line, or all that call a private one have done so."""
    for function in inside:
        if any(package in asked(call) and call.lineno < line for call in calls(function, ("needs",))):
            return True
    outer = inside[0].name if inside else ""
    if not outer.startswith("_") or outer in seen:
        return False
    users = [
        (f, node.lineno)
        for f in ast.walk(module.tree)
        if isinstance(f, Def) and f.name != outer
        for node in ast.walk(f)
        if isinstance(node, ast.Name) and node.id == outer
    ]
    return bool(users) and all(guarded(module, (f,), package, at, (*seen, outer)) for f, at in users)


def test_only_rooms_behind_a_door_cannot_be_imported_without_an_extra(repository: Path) -> None:
    found = {name: wants for name, wants in required(repository).items() if wants}
    assert {name: wants for name, wants in found.items() if not name.startswith(BEHIND_DOORS)} == {}
    assert found["trainer.loop"] == {"torch"} and found["trainer.evaluation.harness"] == {"torch", "lm_eval"}


def test_every_other_import_is_behind_a_call_that_asks_for_the_package(repository: Path) -> None:
    bare, checked = [], 0
    for name, module in modules(repository).items():
        for site in module.sites:
            package = of_extra(repository, site.name)
            wanted = {package} if package else required(repository).get(site.name, set())
            for one in wanted - required(repository)[name]:
                checked += 1
                if not site.caught and not guarded(module, site.inside, one, site.line):
                    bare.append(f"{name}:{site.line}: {site.name} needs {one}")
    assert bare == [] and checked > 20


def test_every_extra_that_a_sentence_names_brings_the_package(repository: Path) -> None:
    wrong, checked = [], 0
    for name, module in modules(repository).items():
        for call in calls(module.tree) if name != "tamis.extras" else ():
            extra = next((ast.literal_eval(k.value) for k in call.keywords if k.arg == "extra"), None)
            if extra not in project(repository):
                wrong.append(f"{name}:{call.lineno}: extra {extra!r}")
                continue
            there = brings(tuple(project(repository)[extra]))
            for package in asked(call):
                checked += 1
                if owners(package) and not owners(package) & there:
                    wrong.append(f"{name}:{call.lineno}: {package} is of {owners(package)}, not of {extra!r}")
    assert wrong == [] and checked > 20


def hide(root: Path, extras: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Hides what some extras bring and a plain install with the extra `default` does not; all of `default`, if it is
    one of them.
    """
    kept = brings(tuple(project(root)[""])) | (
        set() if "default" in extras else brings(tuple(project(root)["default"]))
    )
    gone = {name for extra in extras for name in brings(tuple(project(root)[extra]))} - kept
    hidden = {package for package in by_package() if (own := owners(package)) & gone and not own & kept}
    for package in hidden:
        monkeypatch.setitem(sys.modules, package, None)
    return hidden


def test_the_extra_default_is_all_that_the_shipped_pipelines_want(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "look_for_java", lambda: None)
    configs = [load_pipeline(path) for path in sorted((repository / "conf" / "pipelines").glob("*.yaml"))]

    def wants() -> dict[str, list[str]]:
        return {c.name: list(preflight.missing(c, tmp_path, list(c.stages))) for c in configs}

    assert "torch" in hide(repository, ("train", "tensorboard", "embed", "eval"), monkeypatch)
    assert wants() == {config.name: [] for config in configs} and len(configs) > 3
    assert hide(repository, ("default",), monkeypatch) >= {"faiss", "gensim", "snownlp", "static_model"}
    assert [name for name, lacks in wants().items() if not lacks] == ["dedup"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n    import torch\n", False),
        ("def f():\n    needs('torch', extra='train', for_='f')\n    import torch\n", True),
        ("def f():\n    import torch\n    needs('torch', extra='train', for_='f')\n", False),
        ("def f():\n    needs('torch', extra='train', for_='f')\n    _g()\ndef _g():\n    import torch\n", True),
        ("def f():\n    _g()\ndef _g():\n    import torch\n", False),
        ("def f():\n    try:\n        import torch\n    except ImportError:\n        pass\n", True),
    ],
)
def test_the_rule_tells_a_guarded_import_from_a_bare_one(source: str, found: bool) -> None:
    module = Module(ast.parse(source))
    gather(module, module.tree)
    (site,) = module.sites
    assert (site.caught or guarded(module, site.inside, "torch", site.line)) is found
