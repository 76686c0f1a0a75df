"""Errors for the person who runs Tamis: one sentence that names the key, what was found, what is allowed."""

from __future__ import annotations


class TamisError(Exception):
    """The base of every error that Tamis raises on purpose."""


class ConfigError(TamisError):
    """A setting, or a file or package that a setting names, is not what it has to be."""


class ReadError(TamisError):
    """Storage failed while an input was read.

    Not a `corpus.records.Bad`: the bytes may be fine, so the task is tried again; a network fault must not decide which
    documents a run keeps.
    """
