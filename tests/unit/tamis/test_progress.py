"""Steps that are reported: begun once, told of each task, over once, and not over when they fail."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

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
