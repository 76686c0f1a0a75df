"""Trying again: how often, with which pauses, what is told, and what is not tried again."""

from __future__ import annotations

import logging
import time

import pytest

from sampler.bins import retries as module
from sampler.bins.retries import RetryPolicy, call_with_deadline, call_with_retries
from tamis.errors import TamisError

SHORT = RetryPolicy(attempts=4, seconds=5, pause=0.5)


class Calls:
    """Fails so many times, then answers."""

    def __init__(self, errors: list[BaseException]) -> None:
        self.errors, self.count = errors, 0

    def __call__(self) -> str:
        self.count += 1
        if self.count <= len(self.errors):
            raise self.errors[self.count - 1]
        return "found"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(module.time, "sleep", found.append)
    return found


def test_pauses_double_and_every_failure_is_told(pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    calls, failed = Calls([OSError("reset\nand more"), EOFError("3 of 4 bytes"), TimeoutError()]), []
    with caplog.at_level(logging.WARNING, "tamis.sampler"):
        assert call_with_retries(calls, SHORT, name="s3://b/x", failed=lambda: failed.append(1)) == "found"
    assert pauses == [0.5, 1.0, 2.0] and len(failed) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "s3://b/x: reset; attempt 2 of 4 follows",
        "s3://b/x: 3 of 4 bytes; attempt 3 of 4 follows",
        "s3://b/x: no answer within 5 s; attempt 4 of 4 follows",
    ]


def test_the_last_attempt_is_the_last(pauses: list[float]) -> None:
    calls = Calls([OSError(f"failure {n}") for n in range(9)])
    with pytest.raises(TamisError, match=r"^s3://b/x: cannot be written in 4 attempts \(failure 3\)\.$"):
        call_with_retries(calls, SHORT, name="s3://b/x", verb="written")
    assert calls.count == 4 and len(pauses) == 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError("x"), r"^s3://b/x: is missing\.$"),
        (OSError("AWS Error ACCESS_DENIED during GetObject"), r"cannot be read \(AWS Error ACCESS_DENIED"),
    ],
)
def test_what_another_attempt_would_not_change(pauses: list[float], error: OSError, message: str) -> None:
    calls = Calls([error] * 9)
    with pytest.raises(TamisError, match=message):
        call_with_retries(calls, SHORT, name="s3://b/x")
    assert calls.count == 1 and not pauses


def test_an_error_of_ours_is_not_the_network() -> None:
    with pytest.raises(KeyError):
        call_with_retries(Calls([KeyError("bug")]), SHORT, name="s3://b/x")


def test_what_hangs_is_left_behind() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        call_with_deadline(lambda: time.sleep(3), 0.05)
    assert time.monotonic() - start < 2
