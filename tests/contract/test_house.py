"""The rules of the house that no linter knows: names, docstrings, the executors' zip, what stays unsaid."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from pipelines.spark.package import PACKAGES, build_zip
from tamis.collisions import ROOMS, told
from tamis.version import VERSION

OURS = (*PACKAGES, "benchmarks", "tests")
NOT_OURS = {".git", ".venv", "demo", "dist", "build", "__pycache__"}


def _files(repository: Path) -> list[Path]:
    """Return the files of the checkout: what git tracks or would add, or all where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=repository, capture_output=True, check=True).stdout.decode()
        found = [repository / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [
            path
            for entry in repository.iterdir()
            if entry.name not in NOT_OURS
            for path in ([entry] if entry.is_file() else entry.rglob("*"))
        ]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def test_jobs_do_not_shadow_packages(repository: Path) -> None:
    """spark-submit puts the script's folder first on sys.path: jobs/dedup.py would hide the package."""
    names = {path.name for path in (repository / "jobs").glob("*.py")} - {"__init__.py"}
    assert {name for name in names if not name.startswith("run_")} == set()


def test_no_package_has_a_name_that_others_install() -> None:
    """Names are compared with what installed distributions say they install, and the standard library."""
    others = {
        name: sorted(set(owners) - {"tamis"})
        for name, owners in packages_distributions().items()
        if set(owners) - {"tamis"}
    }
    assert {name: others[name] for name in OURS if name in others} == {}
    assert set(OURS) & set(sys.stdlib_module_names) == set()


def test_every_module_says_what_it_is(repository: Path) -> None:
    """A file without a docstring is allowed only when it is empty."""
    silent = []
    for path in _files(repository):
        if path.suffix == ".py" and path.read_bytes().strip():
            docstring = ast.get_docstring(ast.parse(path.read_bytes()))
            if not docstring:
                silent.append(str(path.relative_to(repository)))
    assert silent == []


def test_packages_exist_and_are_declared(repository: Path) -> None:
    """The zip, setuptools and import-linter name the same packages."""
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text())
    included = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert included == set(PACKAGES)
    assert set(project["tool"]["importlinter"]["root_packages"]) == {*PACKAGES, "benchmarks"}
    assert set(project["tool"]["mypy"]["packages"]) == {*PACKAGES, "benchmarks"}
    assert [name for name in PACKAGES if not (repository / name / "__init__.py").is_file()] == []


def test_the_names_that_are_looked_at_are_those_of_our_packages() -> None:
    """And each begins as `tamis.collisions` expects."""
    assert {"tamis", *ROOMS} == set(PACKAGES)
    assert told(str(Path(__file__).resolve().parents[2])) is None


def test_the_version_is_said_in_one_place(repository: Path) -> None:
    """And read there without importing anything."""
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"] and "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tamis.version.VERSION"}
    source = (repository / "tamis" / "version.py").read_text("utf-8")
    assert re.findall(r'^VERSION = "([\d.]+)"$', source, re.MULTILINE) == [VERSION]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executors' zip, built from this checkout."""
    out = tmp_path_factory.mktemp("dist") / "tamis.zip"
    build_zip(Path(__file__).resolve().parents[2], out)
    return out


def test_zip_is_reproducible(archive: Path, repository: Path, tmp_path: Path) -> None:
    """Two builds are equal byte for byte."""
    build_zip(repository, tmp_path / "again.zip")
    assert archive.read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_zip_holds_packages_and_configuration_only(archive: Path) -> None:
    """Neither tests nor compiled files travel to executors."""
    names = zipfile.ZipFile(archive).namelist()
    assert names == sorted(names)
    assert {name.split("/")[0] for name in names} == set(PACKAGES)
    assert [name for name in names if name.endswith((".pyc", ".nbi", ".nbc"))] == []
    assert {"tamis/conf/spark/local.conf", "tamis/conf/pipelines/default.yaml", "cli/pages/templates/page.html"} <= set(
        names
    )


def test_zip_imports(archive: Path, tmp_path: Path) -> None:
    """With the zip alone on sys.path, without site-packages, each package comes out of it."""
    script = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(archive)!r})\n"
        f"for name in {PACKAGES!r}:\n"
        f"    assert importlib.import_module(name).__file__.startswith({str(archive)!r}), name\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_about_the_machine_it_was_made_on(repository: Path) -> None:
    """Paths of one machine, package registries' hosts and how the text came about do not belong in here."""
    forbidden = {
        "a machine's path": r"(?<![\w.])/(work|root|home/\w+)/",
        "a registry": r"\b(pypi|pythonhosted|npmjs|crates)\.(org|io)\b",
        "a registry's mirror": r"\b(extra-)?index-url\s*=|\bfind-links\s*=",
        "how it was made": r"\b(this|my|our|next|previous|later|earlier|coding|developer|helper) sessions?\b",
    }
    found = []
    for path in _files(repository):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path == Path(__file__).resolve():
            continue
        for what, pattern in forbidden.items():
            for match in re.finditer(pattern, text, re.IGNORECASE):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(repository)}:{line}: {what}: {match.group()!r}")
    assert found == []


def test_ci_uses_the_documented_test_command(repository: Path) -> None:
    """CI runs what the README tells a reader to run."""
    assert re.search(r"^make test$", (repository / ".ci" / "run").read_text(), re.MULTILINE)
    readme = repository / "README.md"
    if not readme.is_file():
        pytest.skip("there is no README yet")
    for command in ("make test", "make demo"):
        assert command in readme.read_text(encoding="utf-8")


def test_spark_settings_are_said_once_and_with_a_reason(repository: Path) -> None:
    """A setting given twice evicts the first without a word."""
    for path in sorted((repository / "conf" / "spark").glob("*.conf")):
        lines = path.read_text(encoding="utf-8").splitlines()
        names = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
        assert len(names) == len(set(names)), path.name
        assert all(name.startswith("spark.") for name in names), path.name
