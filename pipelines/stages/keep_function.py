"""A stage made of a function: `def keep(document) -> bool | str`.

The simplest stage there is, and the slowest: a Python object and a call a document, where other stages make one call a
batch. docs/extend.md says how much slower.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, get_type_hints

import numpy as np
import pyarrow as pa
from pydantic import create_model

from corpus.config import StrictModel
from pipelines.stages.base import Batch, Earlier, LocalStage, Stage, Verdict
from pipelines.stages.shard_task import Int32
from tamis.errors import TamisError


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a function sees it: the text less what has been cut so far, and what its source says of it.

    `domain` is that of its input; `extra` is JSON.
    """

    doc_id: int
    domain: str
    text: str
    source_id: str
    url: str | None
    source: str | None
    lang: str | None
    licence: str | None
    extra: str | None


class KeepFunction(LocalStage):
    """Drops the documents for which a function does not return True."""

    reads: ClassVar[tuple[str, ...]] = ("text", "source_id", "url", "source", "lang", "licence", "extra")
    function: ClassVar[Callable[..., bool | str]]
    evidence: StrictModel

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: the reason to drop it, or null."""
        settings = dict(self.evidence)
        columns = [batch.column(name).to_pylist() for name in self.reads]
        documents = zip(batch.doc_ids.tolist(), [batch.domain] * len(batch.rows), *columns, strict=True)
        reasons = [self._reason(self.function(Document(*document), **settings)) for document in documents]
        return batch.table(reason=pa.array(reasons, pa.string()))

    def _reason(self, answer: object) -> str | None:
        if isinstance(answer, bool | np.bool_):
            return None if answer else self.name
        if isinstance(answer, str) and answer.strip():
            return answer
        raise TypeError(f"{self.name} returned {answer!r}; expected True, False or a reason")

    def decide(self, evidence: pa.Table, rows: Int32, first_id: int, decision: Any, earlier: Earlier) -> Verdict:
        """Drops what has a reason."""
        gone = evidence.filter(evidence.column("reason").is_valid())
        return Verdict.drop(gone, gone.column("reason"))


def stage_of(function: Callable[..., bool | str]) -> type[Stage]:
    """The stage of a function, which has its name; its keyword-only parameters are the stage's settings.

    Raises:
        TamisError: a parameter that is no setting is missing, or there are too many.
    """
    given = inspect.signature(function).parameters.values()
    if sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in given) != 1:
        raise TamisError(f"found {function.__name__}{inspect.signature(function)}; expected a function of one document")
    settings = [p for p in given if p.kind is p.KEYWORD_ONLY]
    asked = SimpleNamespace(__annotations__={p.name: p.annotation for p in settings if p.annotation is not p.empty})
    hints = get_type_hints(asked, inspect.unwrap(function).__globals__, include_extras=True)
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default) for p in settings
    }
    body = {
        "name": function.__name__,
        "function": staticmethod(function),
        "Evidence": create_model("Settings", __base__=StrictModel, **fields),
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
    }
    if version := getattr(function, "version", None):
        body["version"] = version
    return type(function.__name__, (KeepFunction,), body)
