"""A pipeline and token bins have a spark-submit entry point each; both start from the executors' zip alone."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run.job import main
from pipelines.spark.package import build_zip
from pipelines.stages.registry import STAGES
from tamis.progress import PlainProgress


def test_every_job_has_its_file_and_no_other_is_there(repository: Path) -> None:
    found = {path.stem for path in (repository / "jobs").glob("*.py")} - {"__init__"}
    assert found == {"run_pipeline", "run_tokens"}


@pytest.mark.parametrize(("name", "module"), [("pipeline", "job"), ("tokens", "token_bins")])
def test_a_job_says_how_it_is_submitted_and_does_nothing_else(repository: Path, name: str, module: str) -> None:
    tree = ast.parse((repository / "jobs" / f"run_{name}.py").read_text("utf-8"))
    said = ast.get_docstring(tree) or ""
    assert "spark-submit" in said and f"jobs/run_{name}.py" in said and "--py-files dist/tamis.zip" in said
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    wanted = ["import tamis.collisions", f"from pipelines.run.{module} import main"]
    assert [ast.unparse(node) for node in imports][1:] == wanted
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    main()"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist") / "tamis.zip"
    build_zip(Path(__file__).resolve().parents[2], out)
    return out


def submit(
    repository: Path, archive: Path, tmp_path: Path, job: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Starts a job as spark-submit does: the zip on the path, another current folder, no checkout."""
    environment = {**os.environ, "PYTHONPATH": str(archive), "TAMIS_CACHE": str(tmp_path / "cache")}
    for name in ("NUMBA_CACHE_DIR", "TAMIS_DEBUG"):
        environment.pop(name, None)
    command = [sys.executable, str(repository / "jobs" / f"run_{job}.py"), *arguments]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "arguments", "said"),
    [
        ("pipeline", ["./none.yaml"], "none.yaml: there is no such file\n"),
        ("pipeline", ["dedup", "--input", "web"], "--input: found 'web'; expected DOMAIN=GLOB\n"),
        ("pipeline", ["nope"], "nope: found none of that name in pipelines; expected dedup, default, "),
        (
            "pipeline",
            ["dedup", "--until", "language"],
            "--until: found 'language' for pipeline dedup; expected one of ingest, eligibility, ",
        ),
        ("tokens", ["nothing", "--tokenizer", "m.model"], "m.model: "),
    ],
)
def test_a_users_error_is_one_sentence_and_starts_no_jvm(
    repository: Path, archive: Path, tmp_path: Path, job: str, arguments: list[str], said: str
) -> None:
    done = submit(repository, archive, tmp_path, job, *arguments, "--out", "run")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("tamis: ") and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("until", ["ingest", *STAGES, "write_shards", None])
def test_a_job_runs_until_the_stage_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str | None
) -> None:
    asked = []

    class Recorder:
        def __init__(self, config, out, cluster, base, against) -> None:  # type: ignore[no-untyped-def]
            asked.append((config.name, config.stages["near_dedup"], config.inputs[0].domain, out, base, against))

        def run(self, until: str | None) -> None:
            asked.append(until)

    monkeypatch.setattr("pipelines.run.runner.Runner", Recorder)
    monkeypatch.chdir(tmp_path)
    changed = ["--set", "near_dedup.threshold=0.8", "--against", "earlier"]
    until_option = [] if until is None else ["--until", until]
    main(["dedup", "--out", "run", "--input", "web=*.jsonl", *changed, *until_option])
    assert asked == [("dedup", {"threshold": 0.8}, "web", Path("run"), tmp_path, Path("earlier")), until]


def test_progress_is_plain_lines() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("near_dedup: scan", 2, [5, 6])
    progress.update(1)
    progress.finish()
    progress.start("near_dedup: verify", 0, [])
    progress.finish()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "near_dedup: scan: 2 tasks" and lines[2] == "near_dedup: verify"
    assert lines[1].startswith("near_dedup: scan: ") and lines[1].endswith("documents/s")
    assert lines[3].startswith("near_dedup: verify: 0.0 s") and len(lines) == 4
