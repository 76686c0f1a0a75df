"""A unit test stays in its process: what starts others lies in tests/processes."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test whose code starts a process of Python's, whatever the module that asks for it."""

    def refuse(process: object) -> None:
        raise AssertionError("a unit test starts no process: tests/processes is the place")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
