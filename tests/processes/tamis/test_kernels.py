"""Processes that need the same kernel: one compiles it, the others, now and later, take what it left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODULE = """
import sys, time
from tamis.kernels import kernel, fingerprint

STEPS = (1, 2.5, -0.0)


@kernel
def called(x):
    total = 0.0
    for i in range(x):
        total += i ** 0.5 / (1 + abs(i % 7 - 3))
    return total


@kernel
def top(x):
    return called(x) + STEPS[1] + called(x // 2)


@kernel
def never_called(x):
    return x in {"alpha", "beta", "gamma"}


time.sleep(max(0.0, float(sys.argv[1]) - time.time()))
value = top(10)
print(sum(top.stats.cache_misses.values()), fingerprint(top), fingerprint(never_called), value)
"""


def start(folder: Path, at: float, seed: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "TAMIS_CACHE": str(folder / "cache"), "PYTHONHASHSEED": str(seed)}
    environment.pop("NUMBA_CACHE_DIR", None)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, str(folder / "made_of.py"), str(at)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_of_processes_at_once_one_compiles_and_none_later(tmp_path: Path) -> None:
    (tmp_path / "made_of.py").write_text(MODULE, "utf-8")
    at = time.time() + 3
    answers = []
    for seeds in ((1, 2, 3), (4,)):
        processes = [start(tmp_path, at, seed) for seed in seeds]
        answers += [process.communicate(timeout=120)[0].split() for process in processes]
    assert len(answers) == 4 and all(len(answer) == 4 for answer in answers)
    assert sorted(int(answer[0]) for answer in answers) == [0, 0, 0, 1] and answers[3][0] == "0"
    assert len({tuple(answer[1:]) for answer in answers}) == 1
    assert {path.suffix for path in (tmp_path / "cache" / "kernels").iterdir()} == {".kernel"}
