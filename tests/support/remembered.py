"""What others' code answered, kept on disk: it changes with its version and with the question, with nothing else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]


def remembered(folder: Path, ask: Callable[[], Arrays], *depends_on: str) -> Arrays:
    """The answer of `ask`, asked once for each `depends_on`.

    Args:
        folder: where answers lie.
        ask: the slow question.
        depends_on: all that the answer hangs on: versions, the source that asks, the texts that it asks about.
    """
    digest = hashlib.sha256()
    for part in depends_on:
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    path = folder / f"{digest.hexdigest()[:32]}.npz"
    if not path.exists():
        made = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(made, **ask())  # type: ignore[arg-type]
        made.rename(path)
    with np.load(path) as answers:
        return dict(answers)
