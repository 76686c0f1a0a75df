"""Documents of several snapshots behind one reader: which run folder holds an id, and what to say if it has moved.

A run remembers the runs that it was deduplicated against; the survivors of its duplicates may be their documents. They
are opened when an id asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from corpus import ids
from corpus.run_folder import EarlierRun, RunFolder
from tamis.errors import TamisError

Found = TypeVar("Found")


class HasRun(Protocol):
    """What opens a run folder for reading."""

    run: RunFolder


Reader = TypeVar("Reader", bound=HasRun)


class Lineage(Generic[Reader]):
    """A run with its reader, and its ancestors, whose run folders are opened for reading when they are asked for."""

    def __init__(self, run: RunFolder, reader: Reader, open_run: Callable[[Path], Reader]) -> None:
        self.snapshot = int(run.ingest.body["snapshot"])
        self.earlier: Mapping[int, EarlierRun] = {e.snapshot: e for e in run.earlier_runs()}
        self._open: dict[int, Reader] = {self.snapshot: reader}
        self._open_run = open_run

    def holder(self, doc_id: int) -> Reader:
        """The reader of the run that holds an id; the run itself where no ancestor has its snapshot.

        Raises:
            TamisError: the ancestor's folder is not there any more.
        """
        snapshot = ids.snapshot_of(doc_id)
        known = self.earlier.get(snapshot)
        if snapshot not in self._open and known is not None:
            self._open[snapshot] = self._open_run(known.open().root)
        return self._open.get(snapshot, self._open[self.snapshot])

    def missing(self, doc_id: int) -> str | None:
        """Why an ancestor's document cannot be shown, in a sentence; None where it can."""
        try:
            self.holder(doc_id)
        except TamisError as error:
            return str(error)
        return None

    def reachable(self, doc_ids: Iterable[int]) -> list[int]:
        """Those ids that this run or an ancestor that is still there holds."""
        return [i for i in doc_ids if self.missing(i) is None and self.holder(i).run.shard_of_id(i) is not None]

    def gather(self, doc_ids: Iterable[int], read: Callable[[Reader, list[int]], dict[int, Found]]) -> dict[int, Found]:
        """Reads something about documents from the run that holds each, in id order."""
        by_snapshot: dict[int, list[int]] = {}
        for doc_id in sorted(set(doc_ids)):
            by_snapshot.setdefault(ids.snapshot_of(doc_id), []).append(doc_id)
        found: dict[int, Found] = {}
        for mine in by_snapshot.values():
            found.update(read(self.holder(mine[0]), mine))
        return found

    def origin_json(self, doc_id: int) -> dict[str, Any]:
        """`ancestor`: snapshot and run folder, for a document of an ancestor; nothing for this run's own."""
        known = self.earlier.get(ids.snapshot_of(doc_id))
        return {} if known is None else {"ancestor": {"snapshot": known.snapshot, "run": str(known.root)}}


def ancestors_json(run: RunFolder) -> list[dict[str, Any]]:
    """The ancestors of a run for JSON, the earliest first."""
    return [{"snapshot": e.snapshot, "run": str(e.root)} for e in run.earlier_runs()]


def ancestors_line(ancestors: Iterable[Mapping[str, Any]]) -> str:
    """The ancestors in a sentence for people; empty where there are none."""
    named = ", ".join(f"snapshot {a['snapshot']} ({a['run']})" for a in ancestors)
    return f"deduplicated against {named}" if named else ""
