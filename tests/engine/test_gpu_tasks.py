"""Tasks that want a GPU are given one each, on executors that say they have some; the others are not.

No GPU is needed: Spark believes a discovery script. The executor is a process of its own, as on a cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DRIVER = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from pipelines.spark.session import Cluster, local_settings

folder = Path(sys.argv[1])
settings = {"spark.master": "local-cluster[1,2,1024]", "spark.executor.memory": "1024m"}
for side in ("worker", "executor"):
    settings[f"spark.{side}.resource.gpu.amount"] = "2"
    settings[f"spark.{side}.resource.gpu.discoveryScript"] = str(folder / "find.sh")
cluster = Cluster({**local_settings(), **settings})
cluster.spark.sparkContext.addPyFile(str(folder / "asked.py"))
from asked import Asking, asked

tasks = [Asking(i) for i in range(6)]
found = {
    str(gpu): cluster.map(asked, tasks, label=f"gpu {gpu}", receipts=folder / str(gpu), gpu=gpu)
    for gpu in (False, True)
}
cluster.stop()
print(json.dumps({gpu: [asdict(answer) for answer in answers] for gpu, answers in found.items()}))
"""
TASK = """
import os
from dataclasses import dataclass

@dataclass(frozen=True)
class Asking:
    i: int

@dataclass(frozen=True)
class Told:
    given: dict[str, list[str]]
    seen: str | None

def asked(task: Asking) -> Told:
    from pyspark import TaskContext

    found = {name: list(r.addresses) for name, r in TaskContext.get().resources().items()}
    return Told(found, os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


def test_tasks_that_want_a_gpu_are_given_one_each(tmp_path: Path) -> None:
    (tmp_path / "find.sh").write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["0", "1"]}\'\n', "utf-8")
    (tmp_path / "find.sh").chmod(0o755)
    (tmp_path / "asked.py").write_text(TASK, "utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert [task["given"] for task in found["False"]] == [{}] * 6
    assert all(task["seen"] is None for task in found["False"])
    assert {tuple(task["given"]["gpu"]) for task in found["True"]} == {("0",), ("1",)}
    assert all(task["seen"] in ("0", "1") for task in found["True"])
