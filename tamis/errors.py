"""Errors for the person who runs Tamis: one sentence that names the key, what was found, what is allowed."""

from __future__ import annotations

import os
from functools import wraps

TYPE_CHECKING = False  # as in `tamis`: whoever imports this does not pay for typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    Parameters = ParamSpec("Parameters")
    Returned = TypeVar("Returned")


class TamisError(Exception):
    """The base of every error that Tamis raises on purpose."""


class ConfigError(TamisError):
    """A setting, or a file or package that a setting names, is not what it has to be."""


class ReadError(TamisError):
    """Storage failed while an input was read.

    Not a `corpus.records.Bad`: the bytes may be fine, so the task is tried again; a network fault must not decide which
    documents a run keeps.
    """


def told_briefly(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """For what people call from Python: a `TamisError` comes without the frames that it passed.

    Its sentence says all; TAMIS_DEBUG=1 leaves the frames. Other errors are faults of ours and keep their frames.
    """

    @wraps(function)
    def told(*arguments: Parameters.args, **named: Parameters.kwargs) -> Returned:
        try:
            return function(*arguments, **named)
        except TamisError as error:
            if os.environ.get("TAMIS_DEBUG"):
                raise
            raise error.with_traceback(None) from None

    return told
