"""Code that arrives as a zip, as it does on an executor: unpacked and run in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pipelines.spark.package import build_zip


def test_code_in_a_zip_runs_from_a_real_folder(tmp_path: Path, repository: Path) -> None:
    """Kernels and the task's module come from the cache; the error that the task raises is the one that is caught."""
    build_zip(repository, tmp_path / "tamis.zip")
    probe = (
        "import json, sys\n"
        f"sys.path.insert(0, {str(tmp_path / 'tamis.zip')!r})\n"
        "from pipelines.spark import worker\n"
        "import tamis.errors\n"
        "first = tamis.errors.TamisError\n"
        "worker.unpack_code(); worker.unpack_code()\n"
        "import tamis.errors, text.tokens, pipelines.stages.near_dedup.verify\n"
        "assert tamis.errors.TamisError is not first\n"
        "modules = [tamis.errors, text.tokens, pipelines.stages.near_dedup.verify]\n"
        "print(json.dumps([sys.path[:2], *(m.__file__ for m in modules)]))\n"
    )
    environment = {**os.environ, "TAMIS_CACHE": str(tmp_path / "cache"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (first, second), *files = json.loads(done.stdout)
    assert Path(first).parent == tmp_path / "cache" / "code"
    assert second == str(tmp_path / "tamis.zip"), "put there once"
    assert all(Path(f).is_relative_to(first) for f in files)
