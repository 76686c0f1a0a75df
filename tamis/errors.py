"""Errors for the person who runs Tamis: one sentence that names the key, what was found, what is allowed."""

from __future__ import annotations


class TamisError(Exception):
    """The base of every error that Tamis raises on purpose."""


class ConfigError(TamisError):
    """The configuration, or the world it points to, is not what it has to be."""


class ReadError(TamisError):
    """Storage failed while an input was read.

    Never a :class:`corpus.records.Bad`: the bytes may be fine, so the task is to be tried again, and a
    network fault must not decide which documents a run keeps.
    """
