"""Which kernels are being compiled, by this process or by one that it started: for whoever shows progress.

The first process that asks makes a folder and names it in the environment, which Spark's workers and the ranks of a
training inherit. Each process that compiles appends lines to a file of its own there (`tamis.kernels`), whose name is
its process id. So no process waits for another, and nobody needs a port. Executors on other machines do not see the
folder, and then nothing is told of theirs.

Cost: two lines a kernel that is compiled; for the reader a listing of the folder, some 20 µs.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = "TAMIS_COMPILING"
"""The environment variable that names the folder."""
_NAMED = 2


@dataclass(frozen=True)
class Compiling:
    """What has been compiled since some moment, and what is.

    Attributes:
        done: names of the kernels that are compiled.
        left: names of those that are not, but are needed by one that is being compiled, itself included, the one at
            work first; nobody knows what a step calls after that.
        seconds: time in which at least one process compiled.
    """

    done: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        """One clause: of what is going on, or else of what has been."""
        count = len(self.done) + len(self.left)
        if not self.left:
            return f"{self.seconds:.1f} s of it compiling {kernels(count)}, once"
        short = [".".join(name.split(".")[-2:]) for name in self.left[:_NAMED]]
        names = ", ".join(short) + (", …" if len(self.left) > _NAMED else "")
        return f"compiling kernels: {len(self.left):,} of {count:,} left ({names}), {self.seconds:.0f} s"


def kernels(count: int) -> str:
    """So many kernels, in words."""
    return "1 kernel" if count == 1 else f"{count:,} kernels"


def watched_folder() -> str:
    """The folder where processes say what they compile; made, until this process ends, if there is none yet."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="tamis-compiling-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
    return os.environ[FOLDER]


def tell(name: str, begins: bool, needs: Iterable[str] = ()) -> None:
    """Says that this process begins or ends to compile a kernel, and, of an outermost one, what that needs."""
    if folder := os.environ.get(FOLDER):
        line = json.dumps([time.time(), name, begins, list(needs)]) + "\n"
        with contextlib.suppress(OSError), open(f"{folder}/{os.getpid()}", "a", encoding="utf-8") as file:
            file.write(line)


def compiling_since(start: float) -> Compiling:
    """What this process, and those it started, have compiled since a time (of `time.time`), and compile now."""
    done: dict[str, None] = {}
    left: dict[str, None] = {}
    spans: list[tuple[float, float]] = []
    with contextlib.suppress(OSError):
        for path in Path(os.environ.get(FOLDER, "none")).iterdir():
            lives = _lives(int(path.name))
            if lives or path.stat().st_mtime >= start:
                ended, needed, times = _said(path.read_text("utf-8"), start, time.time() if lives else None)
                done.update(ended)
                left.update(needed)
                spans += times
    return Compiling(tuple(name for name in done if name not in left), tuple(left), _length(spans))


def _said(
    text: str, start: float, now: float | None
) -> tuple[dict[str, None], dict[str, None], list[tuple[float, float]]]:
    """What one process says: kernels done, kernels left, when it compiled; `now` is None if it is no more."""
    done: dict[str, None] = {}
    needs: dict[str, None] = {}
    spans: list[tuple[float, float]] = []
    depth, begun, at = 0, 0.0, 0.0
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):  # it is being written
            break
        at, name, begins, needed = json.loads(line)
        if begins:
            if depth == 0:
                begun, needs = at, dict.fromkeys(needed)
            needs = {name: None, **needs}  # what is at work first
        else:
            needs.pop(name, None)
            if at >= start:
                done[name] = None
        depth += 1 if begins else -1
        if depth == 0:
            spans.append((begun, at))
    if depth:
        spans.append((begun, now or at))
    left = needs if depth and now else {}
    return done, left, [(max(a, start), b) for a, b in spans if b > start]


def _length(spans: list[tuple[float, float]]) -> float:
    """The length of what spans of time cover together."""
    covered, end = 0.0, 0.0
    for begun, ended in sorted(spans):
        covered += max(0.0, ended - max(begun, end))
        end = max(end, ended)
    return covered


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
