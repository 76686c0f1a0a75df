"""Retries: a deadline for each attempt, pauses that double, a warning for each failure, one error at the end.

A network request may hang forever, and not every client has a timeout. So each attempt runs in a thread of its own,
which is abandoned when its deadline has passed. Cost: a thread for each attempt, 0.1 ms.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from tamis.errors import TamisError

LOG = logging.getLogger("tamis.sampler")
Value = TypeVar("Value")
_FINAL = ("NO_SUCH_BUCKET", "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID", "SIGNATURE_DOES_NOT")
"""Errors that another attempt cannot cure, as Arrow's S3 client words them."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often a request is tried."""

    attempts: int = 5
    seconds: float = 30.0  # deadline of one attempt
    pause: float = 0.2  # seconds before the second attempt; it doubles each time


def call_with_retries(
    once: Callable[[], Value],
    policy: RetryPolicy,
    *,
    name: str,
    verb: str = "read",
    failed: Callable[[], None] = lambda: None,
) -> Value:
    """Try `once` until it works or the policy allows no further attempt; it must be safe to run twice, even at the same
    time. `name` (the file) and `verb` are for messages; `failed` is called after each failed attempt but the last.

    Raises:
        TamisError: the file is missing, may not be touched, or every attempt failed.
    """
    pause = policy.pause
    for attempt in range(1, policy.attempts + 1):
        try:
            return call_with_deadline(once, policy.seconds)
        except FileNotFoundError as error:
            raise TamisError(f"{name}: is missing.") from error
        except (OSError, EOFError) as error:
            reason = _reason(error, policy.seconds)
            if any(word in str(error) for word in _FINAL):
                raise TamisError(f"{name}: cannot be {verb} ({reason}).") from error
            if attempt == policy.attempts:
                raise TamisError(f"{name}: cannot be {verb} in {attempt} attempts ({reason}).") from error
            failed()
            LOG.warning("%s: %s; attempt %d of %d follows", name, reason, attempt + 1, policy.attempts)
            time.sleep(pause)
            pause *= 2
    raise AssertionError("no attempt")


def call_with_deadline(once: Callable[[], Value], seconds: float) -> Value:
    """Run something that may hang; after the deadline its thread is abandoned.

    Raises:
        TimeoutError: it did not end within so many seconds.
    """
    future: Future[Value] = Future()

    def work() -> None:
        try:
            future.set_result(once())
        except BaseException as error:  # raised again in the thread that waits
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result(timeout=seconds)


def _reason(error: BaseException, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    return (str(error) or type(error).__name__).splitlines()[0][:300]
