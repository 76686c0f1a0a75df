"""What Spark's workers compile, the driver's progress tells."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipelines.spark.session import Cluster
from tamis.kernels import kernel
from tamis.progress import PlainProgress, Silent

pytestmark = pytest.mark.spark


@dataclass(frozen=True)
class Number:
    """What a task is called with."""

    value: int


@kernel
def _squared(x):  # type: ignore[no-untyped-def]
    return np.sort(np.array([x, -x]))[1] * x  # what numba compiles for it takes longer than a step need tell of


def square(task: Number) -> Number:
    """Task: calls a kernel, which no cache has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", "/dev/null")
        return Number(_squared(task.value))


def test_a_step_says_how_much_of_it_was_compiling(cluster: Cluster, tmp_path: Path) -> None:
    stream = io.StringIO()
    cluster.progress = PlainProgress(stream)
    try:
        assert cluster.map(square, [Number(3)], label="squares", receipts=tmp_path) == [Number(9)]
    finally:
        cluster.progress = Silent()
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("squares: ") and last.endswith(" s of it compiling 1 kernel, once")
