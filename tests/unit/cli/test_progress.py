"""What a command shows while it works: on a terminal a bar that goes and a line that stays, elsewhere lines."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from cli.progress import BarProgress, shown_progress
from tamis.compiling import FOLDER
from tamis.progress import PlainProgress, Silent


def test_a_line_stays_of_each_step() -> None:
    screen = io.StringIO()
    bars = BarProgress(Console(file=screen, force_terminal=True, width=120))
    bars.start("scan", 4, [5, 5, 5, 5])
    bars.update(2)
    bars.update(3, "loss 1.5")
    bars._bar.refresh()  # it redraws ten times a second
    bars.finish()
    drawn = screen.getvalue()
    assert "3/4" in drawn and "loss 1.5" in drawn
    assert drawn.count("✓") == 1 and "documents/s" in drawn.split("✓")[1]


def test_work_done_before_a_resume_is_no_pace() -> None:
    bars = BarProgress(Console(file=io.StringIO(), force_terminal=True, width=120))
    bars.start("encoding shards", 1000)
    bars.update(900)
    (task,) = bars._bar.tasks
    assert task.completed == 900 and task.speed is None
    bars.stop()
    assert bars._bar.tasks == []


def test_where_there_is_no_terminal_it_is_lines_and_of_the_first_rank_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with shown_progress() as progress:
        assert isinstance(progress, PlainProgress)
    monkeypatch.setenv("RANK", "1")
    with shown_progress() as progress:
        assert isinstance(progress, Silent)


def test_while_kernels_are_compiled_the_bar_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    said = tmp_path / str(os.getpid())
    with shown_progress() as log:
        screen = io.StringIO()
        bars = BarProgress(Console(file=screen, force_terminal=True, width=160))
        bars.start("scan", 4, [5, 5, 5, 5])
        bars.update(1, "loss 1.5")
        said.write_text(json.dumps([time.time(), "text.a.b", True, ["text.c.d"]]) + "\n", "utf-8")
        bars._bar.refresh()
        assert "compiling kernels: 2 of 2 left (a.b, c.d), 0 s" in screen.getvalue().splitlines()[-1]
        with said.open("a") as file:
            file.write(json.dumps([time.time() + 5, "text.a.b", False, []]) + "\n")
        bars._bar.refresh()
        bars.finish()
    assert "s of it compiling 1 kernel, once" in screen.getvalue().split("✓")[1]
    assert (
        isinstance(log, PlainProgress)
        and "compiled 1 kernel in 5 s, once: they are kept in " in capsys.readouterr().err
    )
