"""What is told of kernels that are being compiled: how many are left, and the time in which somebody compiled."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tamis.compiling import FOLDER, Compiling, compiling_since, tell, watched_folder
from tamis.kernels import kernel
from tamis.progress import Clock

NOBODY = 2**22 + 1
"""No process has such an id."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def say(folder: Path, process: int, *lines: tuple[float, str, bool, list[str]]) -> None:
    (folder / str(process)).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def test_what_is_left_is_what_a_kernel_at_work_needs(folder: Path) -> None:
    now = time.time()
    say(folder, os.getpid(), (now - 9, "a", True, ["a", "b", "c"]), (now - 8, "b", True, []), (now - 5, "b", False, []))
    found = compiling_since(now - 60)
    assert found.done == ("b",) and found.left == ("a", "c") and found.seconds == pytest.approx(9, abs=1)
    assert str(found) == "compiling kernels: 2 of 3 left (a, c), 9 s"
    (folder / str(os.getpid())).open("a").write(f'[{now - 4}, "room.c", true')  # a line that is being written
    assert compiling_since(now - 60) == Compiling(("b",), ("a", "c"), pytest.approx(found.seconds, abs=1))


def test_time_counts_once_however_many_compile_and_only_since_the_step_began(folder: Path) -> None:
    now = time.time()
    say(folder, os.getpid(), (now - 30, "a", True, []), (now - 20, "a", False, []))
    say(folder, os.getppid(), (now - 25, "b", True, []), (now - 15, "b", False, []))
    both = compiling_since(now - 60)
    assert sorted(both.done) == ["a", "b"] and not both.left and both.seconds == pytest.approx(15)
    assert compiling_since(now - 22).seconds == pytest.approx(7)
    assert compiling_since(now - 18) == Compiling(("b",), (), pytest.approx(3))
    assert compiling_since(now - 10) == Compiling()


def test_a_process_that_died_while_it_compiled_leaves_nothing_to_wait_for(folder: Path) -> None:
    now = time.time()
    say(folder, NOBODY, (now - 9, "a", True, ["a", "b"]), (now - 7, "b", True, []))
    assert compiling_since(now - 60) == Compiling((), (), pytest.approx(2))


def test_a_kernel_tells_of_itself_and_of_what_it_needs(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    began = time.time()
    _outer(1)
    lines = [json.loads(line) for line in (folder / str(os.getpid())).read_text("utf-8").splitlines()]
    outer, inner = (f"{__name__}.{name}" for name in ("_outer", "_inner"))
    assert [(name, begins, needs) for _, name, begins, needs in lines] == [
        (outer, True, [outer, inner]),
        (inner, True, []),
        (inner, False, []),
        (outer, False, []),
    ]
    assert compiling_since(began).done == (inner, outer)
    words = Clock("scan", [100, 100], began).words()
    assert words[0].endswith(" s of it compiling 2 kernels, once")


@kernel
def _inner(x):  # type: ignore[no-untyped-def]
    return x + 1


@kernel(inline="always")
def _inlined(x):  # type: ignore[no-untyped-def]
    return x + 2


@kernel
def _outer(x):  # type: ignore[no-untyped-def]
    return _inner(x) + _inlined(x)


def test_nobody_watches_and_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER)
    tell("a", True)
    assert compiling_since(0) == Compiling() and not list(folder.iterdir())
    made = Path(watched_folder())
    tell("a", True)
    assert [path.name for path in made.iterdir()] == [str(os.getpid())] and watched_folder() == str(made)


def test_the_rate_of_a_step_leaves_out_what_it_compiled(folder: Path) -> None:
    now = time.time()
    clock = Clock("scan", [500, 500], now - 10, time.monotonic() - 10)
    assert clock.rate(2) == "100 documents/s"
    say(folder, os.getpid(), (now - 9, "a", True, []), (now - 4, "a", False, []))
    assert clock.rate(2) == "200 documents/s" and clock.words() == [
        "5.0 s of it compiling 1 kernel, once",
        "200 documents/s",
    ]
    say(folder, os.getpid(), (now - 10, "a", True, []), (now - 0.1, "a", False, []))
    assert clock.rate(2) == ""  # what is left is no measure of anything
