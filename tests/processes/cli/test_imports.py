"""What the commands load: a fresh process says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.cli.training.test_report import row, write


def test_the_views_load_neither_spark_nor_torch() -> None:
    code = "import sys, cli.main; print(sorted({'pyspark', 'torch', 'plotly', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_training_report_needs_no_torch(tmp_path: Path) -> None:
    folder = write(tmp_path / "small", [row(0)])
    code = (
        "import sys, pathlib; from cli.training.report import write_training_report as w; "
        f"w(pathlib.Path({str(folder)!r})); print(sorted({{'torch', 'pyspark'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
