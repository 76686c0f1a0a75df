"""The command line of a benchmark: the options that many share, and the one line that names what is missing.

A benchmark lists in its constant `NEEDS` what it cannot run without: keys of `KNOWN`, or names of packages. The list
must be a literal, as `python -m benchmarks` reads it without importing the module.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.corpora.base_text import DATA


class Need(NamedTuple):
    """Something that a benchmark cannot run without.

    Attributes:
        words: what it is.
        is_there: whether it is there, by the options given.
    """

    words: str
    is_there: Callable[[argparse.Namespace], bool]


def _has_device(options: argparse.Namespace) -> bool:
    if options.device == "cpu":
        return True
    import torch

    return torch.cuda.is_available()


KNOWN = {
    "data": Need("the shared data folder (--data FOLDER)", lambda options: options.data.is_dir()),
    "run": Need("the run of `make demo` (--run FOLDER)", lambda options: options.run.is_dir()),
    "gpu": Need("a GPU that torch sees (or --device cpu and small sizes)", _has_device),
    "linux": Need("Linux (it reads /proc)", lambda options: sys.platform == "linux"),
    "peers": Need("an interpreter with the other tools (--python; those that it lacks are left out)", lambda _: True),
}


def words_of(need: str) -> str:
    """A need in words."""
    return KNOWN[need].words if need in KNOWN else f"the package {need}"


def command_line(
    doc: str | None, needs: Sequence[str] = (), *, work: str = "", formats: bool = False
) -> argparse.ArgumentParser:
    """A parser that has the options which belong to the needs.

    Args:
        doc: the docstring of the benchmark; its first line describes it.
        needs: its `NEEDS`.
        work: the name of its folder for what it writes (`--work`), below the system's folder for temporary files.
        formats: whether it prints JSON as well (`--format`).
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    if "data" in needs:
        parser.add_argument("--data", type=Path, default=DATA, help="the shared data folder")
    if "run" in needs:
        parser.add_argument("--run", type=Path, default=Path("demo/run"), help="the run of `make demo`")
    if "gpu" in needs:
        parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    if "peers" in needs:
        parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter that has the peers")
    if work:
        folder = Path(tempfile.gettempdir()) / f"{work}-{os.getuid()}"
        parser.add_argument("--work", type=Path, default=folder, help="for what is written")
    if formats:
        parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser


def require(needs: Sequence[str], options: argparse.Namespace) -> None:
    """Ends the benchmark with one line where something is missing; that is no failure.

    Raises:
        SystemExit: with status 0.
    """
    for need in needs:
        there = KNOWN[need].is_there(options) if need in KNOWN else find_spec(need) is not None
        if not there:
            print(f"skipped: needs {words_of(need)}")
            raise SystemExit(0)
