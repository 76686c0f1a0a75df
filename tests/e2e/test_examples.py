"""Every script and the notebook of `examples/`, and the README's Python, run on one small run of real text.

Scripts are processes, as people start them. The notebook's cells are executed in order in one namespace, the last
expression of each shown as a notebook would show it: nbclient would bring a kernel, a server of its own and thirty
packages, to do the same.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.support.corpora import Corpus, planted

EXAMPLES = REPOSITORY / "examples"
pytestmark = pytest.mark.slow


def python(folder: Path, *arguments: str) -> str:
    """What a script prints; it is started in a folder with nothing of ours in it but what it is about."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `crawl/`, of some eighty documents with planted copies, and the run `RUN` of the first example."""
    folder = tmp_path_factory.mktemp("examples")
    corpus = Corpus([*planted("en", 2), *planted("zh", 2)])
    corpus.write(folder / "crawl", files=1)
    said = python(folder, str(EXAMPLES / "run_and_look.py"), "RUN", "en=crawl/en/*.jsonl", "zh=crawl/zh/*.jsonl")
    (folder / "said").write_text(said, "utf-8")
    return folder


@pytest.mark.spark
def test_a_run_and_its_funnel(place: Path) -> None:
    said = (place / "said").read_text("utf-8")
    assert said.startswith("Run('") and "near_dedup" in said and "dropped as exact_duplicate" in said
    documents = re.search(r"([\d,]+) documents in .*RUN/shards", said)
    assert documents is not None and 0 < int(documents[1]) < int(re.findall(r"ingest +([\d,]+) documents", said)[0])


@pytest.mark.spark
@pytest.mark.parametrize(
    ("script", "argument", "says"),
    [
        ("open_elsewhere.py", "RUN", r"frequency(.|\n)*exact_duplicate(.|\n)*weight"),
        ("near_duplicates.py", "crawl/en/part-00.jsonl", r"\d+ of \d+ texts stay\n\n0\.8\d\d\n"),
        ("training_loop.py", "RUN", r"step 11: loss \d(.|\n)*goes on at sample 96 with \(4, 128\) tokens"),
        ("mixture_and_story.py", "RUN", r"Counter\({'zh': \d+, 'en': \d+}\)(.|\n)*dropped +near_duplicate"),
    ],
)
def test_a_script(place: Path, script: str, argument: str, says: str) -> None:
    assert re.search(says, python(place, str(EXAMPLES / script), argument))


def test_every_example_is_run(repository: Path) -> None:
    """Six files, each named above."""
    here = Path(__file__).read_text("utf-8")
    names = [path.name for path in sorted((repository / "examples").iterdir()) if path.is_file()]
    assert len(names) == 6 and [name for name in names if f'"{name}"' not in here] == []


@pytest.mark.spark
def test_the_notebook(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is stored without outputs, and its cells do what they say."""
    monkeypatch.setenv("RUN", str(place / "RUN"))
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 8 and not any(cell["outputs"] or cell["execution_count"] for cell in code)
    namespace: dict[str, Any] = {}
    shown = [show_cell("".join(cell["source"]), namespace) for cell in code]
    assert "<table>" in shown[1] and "exact_duplicate" in shown[2] and "<EMAIL>" in shown[5]
    assert "recall: found 0.95" in capsys.readouterr().out


def show_cell(source: str, namespace: dict[str, Any]) -> str:
    """Executes a cell; what a notebook would show of its last expression."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), namespace)
    value = None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    return "" if value is None else value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)


@pytest.mark.spark
def test_the_readmes_python(place: Path, repository: Path) -> None:
    """All of its blocks, one behind the other, on the same run; the mixture ends after two steps."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (repository / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 2
    (place / "mixture.yaml").write_text(
        "domains: {'*': {max_epochs: 1000}}\nsequence_length: 16\nseed: 1\nphases: [{tokens: 16384}]\n"
        "tokenizer: {vocab_size: 4096, sample_bytes: 2000000}\n"
    )
    (place / "readme.py").write_text("\n".join(blocks) + "\nassert state['position'] == 1024, state\n", "utf-8")
    python(place, "readme.py")
