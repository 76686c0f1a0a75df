"""Commands where a package of an extra is hidden: exit code 2, and one sentence with the line of pip."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.main import main
from pipelines.run import preflight

MODEL, MIXTURE = ("conf/models/tiny.yaml", ("--mixture", "conf/mixtures/default.yaml", "--run", "nowhere"))
TASKS = ("--mixture", "conf/mixtures/default.yaml", "--tasks", "a")
RUN = ("run", "conf/pipelines/default.yaml", "--out", "OUT", "--input", "web=POINTS")
COSINE = ("--set", "semantic_clusters.threshold=0.9")
POINTS = "flops,loss\n1e9,4\n1e10,3.6\n1e11,3.3\n1e12,3.1\n1e13,3\n"


@pytest.mark.parametrize(
    ("hidden", "extra", "command"),
    [
        ("torch", "train", ("train", MODEL, *MIXTURE)),
        ("torch", "train", ("model", "evaluate", MODEL, *MIXTURE)),
        ("torch", "train", ("model", "export", MODEL, "OUT", *MIXTURE)),
        ("torch", "train", ("model", "harness", MODEL, *TASKS)),
        ("lm_eval", "eval", ("model", "harness", MODEL, *TASKS)),
        ("torch", "train", ("scaling", "run", MODEL, *MIXTURE)),
        ("scipy", "train", ("scaling", "fit", "POINTS")),
        ("torch", "demo", ("demo", "--folder", "OUT")),
        ("snownlp", "demo", ("demo", "--folder", "OUT")),
        ("faiss", "default", RUN),
        ("sentence_transformers", "embed", (*RUN, "--set", "embed.model=minilm-en", *COSINE)),
    ],
)
def test_it_is_one_sentence_and_nothing_is_written(
    hidden: str,
    extra: str,
    command: tuple[str, ...],
    tmp_path: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, said = run(command, (hidden,), tmp_path, repository, monkeypatch, capsys)
    assert code == 2 and said.startswith("tamis: ") and said.count("\n") == 1, said
    assert f"needs {hidden}, which is not installed: pip install 'tamis[{extra}]'" in said
    assert not out.exists()


def test_the_default_pipeline_says_all_that_its_extra_brings(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = ("faiss", "snownlp", "static_model")
    code, out, said = run(RUN, hidden, tmp_path, repository, monkeypatch, capsys)
    first, *lines = said.splitlines()
    assert code == 2 and first == f"tamis: {len(lines)} things that default needs are missing here:"
    assert all(line.endswith("which is not installed: pip install 'tamis[default]'") for line in lines), said
    for package in ("faiss", "snownlp", "tokenlearn-static-model"):
        assert sum(f"needs {package}," in line for line in lines) >= 1
    assert not out.exists()


def test_a_law_is_fitted_without_torch(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(("scaling", "fit", "POINTS"), ("torch",), tmp_path, repository, monkeypatch, capsys)[0] == 0


def run(
    command: tuple[str, ...],
    hidden: tuple[str, ...],
    folder: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, Path, str]:
    """The exit code, the folder that OUT stands for, and what was said on standard error."""
    points, out = folder / "points.csv", folder / "out"
    points.write_text(POINTS)
    texts = folder / "texts.jsonl"
    texts.write_text('{"text": "a"}\n')
    given = {"OUT": str(out), "POINTS": str(points), "web=POINTS": f"web={texts}"}
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", ["tamis", *(given.get(word, word) for word in command)])
    monkeypatch.setattr(preflight, "look_for_java", lambda: None)
    for name in hidden:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), out, capsys.readouterr().err
