"""Stages of a user's own: a reference becomes a class that is checked, and known by its reference and a version.

A stage that declares no `version` is known by the source of its module, so that an edit has it run again.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from corpus.config import StrictModel, unknown_key
from corpus.own_code import failure, find, reference_of, source_version
from corpus.schemas import DOCUMENT, PUBLISHED
from pipelines.stages.base import Column, GlobalStage, LocalStage, Stage
from pipelines.stages.keep_function import stage_of
from tamis.errors import ConfigError, TamisError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OURS = "pipelines.stages."
TAKEN = ("ingest", "write_shards", "skip", "alarm", "profile", "weights", "domains", "inputs", "stages", "snapshot")
"""Words that mean something else where a stage may be named."""


def own_stage(reference: str) -> type[Stage]:
    """The class that a reference names; a function becomes a stage that asks it.

    Raises:
        ConfigError: one sentence says what is wrong with it.
    """
    where = f"stages.{reference}"
    found = find(reference, where)
    try:
        kind = stage_of(found) if inspect.isfunction(found) else found
        _check(kind)
    except ConfigError:
        raise
    except TamisError as error:
        raise ConfigError(f"{where}: {error}") from None
    except Exception as error:
        raise ConfigError(f"{where}: cannot be used: {failure(error)}") from error
    if getattr(sys.modules.get(found.__module__), found.__qualname__, None) is not found:  # made within a function
        kind.__module__, _, kind.__qualname__ = reference.partition(":")
    return kind


@contextmanager
def told(kind: type[Stage], what: str) -> Iterator[None]:
    """Turns an error that a method of a stage of one's own raises, other than for a document, into a sentence."""
    try:
        yield
    except TamisError:
        raise
    except Exception as error:
        if code_of(kind) is None:
            raise
        raise TamisError(f"{kind.name}: {what} failed: {failure(error)}") from error


def code_of(kind: type[Stage]) -> str | None:
    """The reference of a stage of one's own; None for one of ours."""
    return None if kind.__module__.startswith(_OURS) else reference_of(kind)


def version_of(kind: type[Stage]) -> int | str:
    """The version that it declares, or what it is known by."""
    declared = any("version" in vars(base) for base in kind.__mro__ if not base.__module__.startswith(_OURS))
    return kind.version if declared or code_of(kind) is None else source_version(kind)


def own_columns(kind: type[Stage]) -> list[pa.Field]:
    """The columns that a stage of one's own leaves, as the published shards have them: nullable, with their meaning."""
    if code_of(kind) is None:
        return []
    fields = []
    for name, column in kind.provides.items():
        column = column if isinstance(column, Column) else Column(column, "")
        fields.append(pa.field(name, column.type, metadata={"description": column.what, "stage": kind.name}))
    return fields


def _check(kind: object) -> None:
    if not (inspect.isclass(kind) and issubclass(kind, LocalStage | GlobalStage)):
        raise TamisError(f"found {kind!r}; expected a class of `tamis.Stage`, or a function of one document")
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in TAKEN:
        raise TamisError(f"found the name {name!r}; expected `name` to be lower case letters, digits and underscores")
    for column in kind.reads:
        if column not in DOCUMENT.names:
            raise TamisError(unknown_key(f"reads.{column}", DOCUMENT.names))
    if "text" in kind.reads and kind.scan is Stage.scan:
        raise TamisError("found `reads` with text and no method `scan`; expected a scan that says what it found there")
    for part in ("Evidence", "Decision"):
        settings = getattr(kind, part)
        if not (inspect.isclass(settings) and issubclass(settings, StrictModel)):
            raise TamisError(f"found {part} = {settings!r}; expected a class of `tamis.StrictModel`")
    shared = sorted({*kind.Evidence.model_fields} & {*kind.Decision.model_fields})
    if shared:
        raise TamisError(f"found {shared[0]!r} in Evidence and in Decision; expected each setting in one of them")
    if isinstance(kind.version, bool) or not isinstance(kind.version, int | str):
        raise TamisError(f"found version {kind.version!r}; expected a number or text")
    for column, column_type in kind.provides.items():
        if column in PUBLISHED.names or column in ("row", "weight"):
            raise TamisError(f"provides.{column}: found a column that published shards have already; expected another")
        if not isinstance(column_type.type if isinstance(column_type, Column) else column_type, pa.DataType):
            raise TamisError(f"provides.{column}: found {column_type!r}; expected an Arrow type, or a `tamis.Column`")
        if not isinstance(column, str) or (isinstance(column_type, Column) and not isinstance(column_type.what, str)):
            raise TamisError(f"provides.{column}: found {column_type!r}; expected a name, and a text on what it says")
