"""What `python -m benchmarks` does where something is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_benchmark_without_its_data_ends_well(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "pii_speed", "--data", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.splitlines()[1:] == ["skipped: needs the shared data folder (--data FOLDER)"]
