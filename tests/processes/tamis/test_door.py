"""`import tamis` in a process of its own: what it loads, and what a type checker makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tamis

HEAVY = ("pyspark", "py4j", "torch", "numba", "pyarrow", "numpy", "pydantic", "polars", "pandas", "rich", "typer")
KERNELS = ["near_duplicates", "near_duplicate_pairs", "exact_duplicates", "language", "heuristics", "personal_data"]


def python(repository: Path, code: str) -> str:
    """What a fresh process prints; it imports nothing that the environment does not make it import."""
    env = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(repository: Path, code: str) -> set[str]:
    """The top-level modules that code loads, beside those of an empty program."""
    told = "\nimport sys, json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    return set(json.loads(python(repository, code + told))) - set(json.loads(python(repository, told)))


def test_the_door_itself_loads_nothing(repository: Path) -> None:
    """Executors import it too: it costs them its own file."""
    assert loaded(repository, "import tamis; dir(tamis)") & {*HEAVY, "corpus", "pipelines", "typing"} == set()
    assert loaded(repository, "import tamis; tamis.TamisError") & {*HEAVY, "corpus", "pipelines"} == set()


@pytest.mark.slow
def test_no_name_of_the_door_loads_spark_and_only_a_dataset_loads_torch(repository: Path) -> None:
    calls = "; ".join(f"tamis.{name}(['a text of some words', None])" for name in KERNELS)
    names = "; ".join(f"tamis.{name}" for name in tamis.__all__)
    assert loaded(repository, f"import tamis; {names}; {calls}") & {"pyspark", "py4j", "torch"} == set()


USER = """
import tamis

run: tamis.Run = tamis.run("default", "RUN", inputs={"web": ["a", "b"]}, settings={"near_dedup.threshold": 0.8})
stories: list[object] = run.explain("7")["documents"]
batches = tamis.stream({"domains": "*"}, run.root, global_batch=8)
for batch in batches:
    shape: tuple[int, ...] = batch.tokens.shape
    state: dict[str, object] = batches.state()
try:
    tamis.near_duplicates(["a", None], 0.8, bands=32, rows=4)
except tamis.TamisError as error:
    print(error)


class Mine(tamis.Stage):
    pass


tamis.run(3, "RUN")
tamis.open_run("RUN").explain()
tamis.stream("m.yaml", "RUN")
tamis.nobody
"""


@pytest.mark.slow
def test_a_users_project_sees_real_types(repository: Path, tmp_path: Path) -> None:
    """mypy over code as a user writes it, as strictly as over ours (and by its cache): what is right passes, each wrong
    line is found. Texts may be pyarrow's, which has no types, so that nothing wrong is found in them.
    """
    script = tmp_path / "mine.py"
    script.write_text(USER)
    command = [sys.executable, "-m", "mypy", "--config-file", str(repository / "pyproject.toml"), str(script)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=400)
    first = USER.splitlines().index('tamis.run(3, "RUN")') + 1
    wrong = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [int(line.split(":")[1]) for line in wrong] == [first, first + 1, first + 2, first + 3], done.stdout
