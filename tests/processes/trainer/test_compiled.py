"""Training with torch.compile, which calls a C++ compiler, takes the steps of training without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.sampler_run import write_run

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from tests.unit.trainer.test_loop import MIXTURE, config  # noqa: E402
from trainer import loop  # noqa: E402


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_training_is_the_same(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    plain, compiled = (
        loop.train(config(name=f"compiled-{value}", compile=value), MIXTURE, run, steps=3) for value in (False, True)
    )
    for key in ("loss", "heldout_loss"):
        assert compiled[key] == pytest.approx(plain[key], rel=1e-4)
