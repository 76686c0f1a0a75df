"""Steps that are reported: begun once, told of each task, over once, and not over when they fail."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tamis.compiling import FOLDER
from tamis.progress import PlainProgress, each, step


class Recorder:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        self.told.append((label, total))

    def update(self, done: int, detail: str = "") -> None:
        self.told.append(done)

    def finish(self) -> None:
        self.told.append("finish")


def test_each_tells_of_every_item_when_it_is_done() -> None:
    progress = Recorder()
    seen = [(item, list(progress.told)) for item in each(progress, "reading", ["a", "b"])]
    assert seen == [("a", [("reading", 2)]), ("b", [("reading", 2), 1])]
    assert progress.told == [("reading", 2), 1, 2, "finish"]
    assert list(each(progress, "none", [])) == [] and progress.told[-2:] == [("none", 0), "finish"]


def test_a_step_that_fails_is_not_over() -> None:
    progress = Recorder()
    with pytest.raises(KeyError), step(progress, "work"):
        raise KeyError
    assert progress.told == [("work", 0)]


def test_lines_of_a_log() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("scan", 1200, [3] * 1200)
    progress.update(1, "not shown")
    progress.finish()
    first, last = stream.getvalue().splitlines()
    assert first == "scan: 1,200 tasks" and last.startswith("scan: 0.0 s, ") and last.endswith(" documents/s")


def test_a_log_says_which_kernels_are_being_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr("tamis.progress.TELL_AFTER", (0.05, 60.0))
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("scan", 2, [500, 500])
    (tmp_path / str(os.getpid())).write_text(json.dumps([time.time(), "text.a.b", True, ["text.c.d"]]) + "\n", "utf-8")
    for _ in range(100):
        time.sleep(0.05)
        if stream.getvalue().count("\n") > 1:
            break
    with (tmp_path / str(os.getpid())).open("a") as file:
        file.write(json.dumps([time.time(), "text.a.b", False, []]) + "\n")
    progress.finish()
    _, told, last = stream.getvalue().splitlines()
    assert told == "scan: compiling kernels: 2 of 2 left (a.b, c.d), 0 s"
    assert " s of it compiling 1 kernel, once" in last
