"""What became of a document: the words in which the reading commands hand it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a document: the stage that dropped it, None if it is kept, and why.

    Of a duplicate also the document kept for it, and the verified similarity to that.
    """

    doc_id: int
    stage: str | None = None
    reason: str | None = None
    survivor: int | None = None
    similarity: float | None = None

    @property
    def kept(self) -> bool:
        """No stage has dropped it."""
        return self.stage is None

    def to_json(self) -> dict[str, Any]:
        """The outcome with ids as strings."""
        if self.kept:
            return {"doc_id": str(self.doc_id), "kept": True}
        return {
            "doc_id": str(self.doc_id),
            "kept": False,
            "stage": self.stage,
            "reason": self.reason,
            "survivor": None if self.survivor is None else str(self.survivor),
            "similarity": None if self.similarity is None else round(self.similarity, 4),
        }


@dataclass(frozen=True, slots=True)
class Published:
    """Where a kept document was published: shard, relative to the run folder, and row.

    `values` are the row's columns but the text; `weight` is None where no weights are written.
    """

    path: str
    row: int
    values: dict[str, Any]
    weight: float | None
