"""Reads single documents out of a run folder: by id, source id or URL, with their outcome. No JVM, no scan of the text.

A decision's tables are narrow and one file a document shard, so an id costs a few reads of the shard that its bits
name. A source id or URL is looked up in `ingest/urls`, two narrow columns over all shards. Text is streamed out of
the row group that holds the row and dropped again, so that memory does not grow with the shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus.files import Manifest, load_manifest
from corpus.reading.lineage import Lineage
from corpus.reading.outcome import Outcome, Published
from corpus.reading.parquet_rows import may_hold, take_rows
from corpus.run_folder import DocumentShard, RunFolder
from tamis.errors import TamisError

Mask = Callable[[Sequence[str]], list[str]]


class RunReader:
    """A run folder opened for reading; `mask` makes texts fit to be shown, each of the same length in bytes.

    Raises:
        TamisError: it is none, or its ingest has not finished.
    """

    def __init__(self, root: Path, mask: Mask | None = None) -> None:
        self.mask = mask
        self.run = RunFolder(root.absolute())
        self.info = self.run.run_info()
        self.shards = self.run.shards
        self.chain = self.run.chain()
        self.sidecar = lru_cache(maxsize=256)(self._sidecar)
        self.lineage = Lineage(self.run, self, lambda root: RunReader(root, mask))

    def stage(self, name: str) -> Manifest:
        """The current decision of a stage.

        Raises:
            TamisError: the run has no such decision.
        """
        known = dict(self.chain)
        if name not in known:
            has = ", ".join(known) or "none yet"
            raise TamisError(f"{self.run.root} has no decision of a stage {name!r}; it has {has}")
        return known[name]

    def _sidecar(self, stage: str, table: str, shard: int) -> pa.Table | None:
        """A decision's table of one document shard (cached); "evidence" is the stage's evidence."""
        manifest = self.run.evidence(stage) if table == "evidence" else self.stage(stage)
        return manifest.read(table, shard) if manifest is not None else None

    def rows_about(self, stage: str, table: str, doc_id: int) -> list[dict[str, Any]]:
        """The rows of a sidecar that are about one document."""
        shard = self.shard_of(doc_id)
        found = self.sidecar(stage, table, shard.number)
        if found is None:
            return []
        return found.filter(pc.equal(found.column("row"), doc_id - shard.first_id)).to_pylist()

    def shard_of(self, doc_id: int) -> DocumentShard:
        """The document shard that holds an id.

        Raises:
            TamisError: none does.
        """
        shard = self.run.shard_of_id(doc_id)
        if shard is None:
            raise TamisError(f"{self.run.root} holds no document with doc_id {doc_id}")
        return shard

    def by_shard(self, ids: Iterable[int]) -> Iterator[tuple[DocumentShard, list[int]]]:
        """The ids grouped by document shard, both ascending."""
        groups: dict[int, tuple[DocumentShard, list[int]]] = {}
        for doc_id in sorted(set(ids)):
            shard = self.shard_of(doc_id)
            groups.setdefault(shard.number, (shard, []))[1].append(doc_id)
        yield from groups.values()

    def domains(self, ids: Iterable[int]) -> dict[int, str]:
        """The domain of each document, of this run or an ancestor, after re-assignment by predicate."""
        return self.lineage.gather(ids, RunReader._own_domains)

    def _own_domains(self, ids: Iterable[int]) -> dict[int, str]:
        found = {}
        assigns = any(stage == "eligibility" for stage, _ in self.chain)
        for shard, wanted in self.by_shard(ids):
            found.update({i: shard.domain for i in wanted})
            table = self.sidecar("eligibility", "columns", shard.number) if assigns else None
            if table is not None:
                hits = table.filter(pc.is_in(table.column("doc_id"), pa.array(wanted, pa.int64())))
                found.update(zip(hits.column("doc_id").to_pylist(), hits.column("domain").to_pylist(), strict=True))
        return found

    def outcomes(self, ids: Iterable[int]) -> dict[int, Outcome]:
        """The outcome of each document, of this run or an ancestor: the first decision that drops it wins."""
        return self.lineage.gather(ids, RunReader._own_outcomes)

    def _own_outcomes(self, ids: Iterable[int]) -> dict[int, Outcome]:
        found: dict[int, Outcome] = {}
        for shard, wanted in self.by_shard(ids):
            for stage, _ in self.chain:
                drops = self.sidecar(stage, "drops", shard.number)
                left = [i for i in wanted if i not in found]
                if drops is None or not left:
                    continue
                for row in drops.filter(pc.is_in(drops.column("doc_id"), pa.array(left, pa.int64()))).to_pylist():
                    found[row["doc_id"]] = Outcome(
                        row["doc_id"], stage, row["reason"], row["survivor"], row["similarity"]
                    )
            for i in wanted:
                found.setdefault(i, Outcome(i))
        return found

    def story(self, doc_id: int) -> list[Outcome]:
        """The document's outcome, then its survivor's, and so on to one that is kept or has no survivor.

        It ends, too, at a survivor whose ancestor's folder has moved away.
        """
        outcomes = [self.outcomes([doc_id])[doc_id]]
        seen = {doc_id}
        while (following := outcomes[-1].survivor) is not None and following not in seen:
            if self.lineage.missing(following) is not None:
                break
            seen.add(following)
            outcomes.append(self.outcomes([following])[following])
        return outcomes

    def documents(
        self, ids: Iterable[int], columns: Sequence[str], as_stored: bool = False
    ) -> dict[int, dict[str, Any]]:
        """Columns of stored documents of this run or an ancestor, in id order; only their shards are opened.

        With `as_stored` texts are not masked, for comparing them; what is shown goes through `shown`.
        """
        return self.lineage.gather(ids, lambda reader, mine: reader._own_documents(mine, columns, as_stored))

    def shown(self, text: str) -> str:
        """A stored text as it may be shown, of the same length in bytes."""
        return text if self.mask is None else self.mask([text])[0]

    def _own_documents(self, ids: Iterable[int], columns: Sequence[str], as_stored: bool) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for shard, wanted in self.by_shard(ids):
            rows = take_rows(shard.path, [i - shard.first_id for i in wanted], columns)
            if "text" in columns and self.mask is not None and not as_stored:
                for row, text in zip(rows, self.mask([row["text"] for row in rows]), strict=True):
                    row["text"] = text
            found.update(zip(wanted, rows, strict=True))
        return found

    def edits_before(self, doc_id: int, stage: str | None) -> list[dict[str, Any]]:
        """A document's edits by the stages before one (None: by all), in pipeline order; by its own run's."""
        holder = self.lineage.holder(doc_id)
        if holder is not self:
            return holder.edits_before(doc_id, stage)
        found = []
        for name, _ in self.chain:
            if name == stage:
                break
            found += self.rows_about(name, "edits", doc_id)
        return found

    def find(self, key: str) -> dict[int, str]:
        """Documents whose doc_id, source_id or URL is `key`: id → which of the three."""
        found: dict[int, str] = {}
        if key.isascii() and key.isdigit() and self.run.shard_of_id(int(key)) is not None:
            found[int(key)] = "doc_id"
        for shard in self.shards:
            urls = self.run.ingest.read("urls", shard.number)
            for column in ("source_id", "url"):
                if urls is None:
                    continue
                hits = pc.fill_null(pc.equal(urls.column(column), key), False).to_numpy(zero_copy_only=False)
                for row in np.flatnonzero(hits).tolist():
                    found.setdefault(shard.first_id + row, column)
        return found

    def quarantined(self, key: str) -> list[dict[str, Any]]:
        """Quarantined records at `file#offset`."""
        name, _, offset = key.rpartition("#")
        if not name or not (offset.isascii() and offset.isdigit()):
            return []
        found: list[dict[str, Any]] = []
        for path in self.run.ingest.paths("quarantine"):
            found += pq.read_table(
                path, filters=[("file", "=", name), ("offset", "=", int(offset))], partitioning=None
            ).to_pylist()
        return found

    def published(self, doc_id: int) -> Published | None:
        """Where a document was published, or None if it was not."""
        manifest = load_manifest(self.run.root / "shards")
        for entry in manifest.files if manifest is not None else ():
            assert manifest is not None
            file = pq.ParquetFile(manifest.folder / entry.path)
            if not may_hold(file, doc_id):
                continue
            ids = file.read(columns=["doc_id"]).column(0).to_numpy()
            row = int(np.searchsorted(ids, doc_id))
            if row < len(ids) and ids[row] == doc_id:
                columns = [name for name in file.schema_arrow.names if name != "text"]
                values = take_rows(manifest.folder / entry.path, [row], columns)[0]
                return Published(f"shards/{entry.path}", row, values, self._weight(entry.path, row))
        return None

    def _weight(self, path: str, row: int) -> float | None:
        folder = weights_folder(self.run)
        if folder is None or not (folder / path).exists():
            return None
        return float(take_rows(folder / path, [row], ["weight"])[0]["weight"])


def weights_folder(run: RunFolder) -> Path | None:
    """The folder of the current weights, or None."""
    key = run.state().get("weights")
    return run.root / "weights" / key if key else None


def view_text(text: str, edits: Sequence[dict[str, Any]]) -> str:
    """A stored text with edits applied, given in pipeline order: the view of `corpus.view` of one document."""
    from corpus.view import Edits, build_view
    from text.arrow import TextColumn

    newest_first = edits[::-1]  # of two edits of one span the later stage's stays
    start, end = (np.array([edit[key] for edit in newest_first], np.int32) for key in ("start", "end"))
    row = np.zeros(1, np.int32)
    merged = Edits.none(1).merged(np.repeat(row, len(start)), start, end, [e["replacement"] for e in newest_first])
    return build_view(TextColumn.from_texts([text]), merged, row).column.bytes_at(0).decode("utf-8", "replace")
