"""A run folder as people want it in Python: its tables lazily as Arrow datasets, its ledger, a document's story.

Datasets are made from the manifests' file lists, so that what a task left or another run wrote is not in them. They
read nothing until they are asked: `to_table(columns=…, filter=…)`, `to_batches()`, `head(10)`; polars'
`scan_pyarrow_dataset` and DuckDB take them as they are.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq

from corpus.files import Manifest, load_manifest
from corpus.reading.run_reader import Mask, RunReader, weights_folder
from corpus.reading.story import explain_key
from corpus.run_folder import RunFolder
from corpus.schemas import DROPPED, PUBLISHED, QUARANTINE, WEIGHTS
from tamis.errors import TamisError, told_briefly

LEDGER = pa.schema(
    {
        "stage": pa.string(),
        **{f"{of}_{what}": pa.int64() for of in ("documents", "bytes", "sentences") for what in ("in", "kept")},
        "bytes_rewritten": pa.int64(),
        **{f"{of}_dropped": pa.map_(pa.string(), pa.int64()) for of in ("documents", "bytes", "sentences")},
        "seconds": pa.float64(),
    }
)
"""The funnel: `dropped` is by reason, `cut:<reason>` for what was cut from documents that stay; bytes are UTF-8 bytes
of ingested text."""
_BATCH_ROWS = 4096


class Run:
    """A run folder, opened for reading; `mask` stars out in stories what must not be shown.

    Raises:
        TamisError: it is none, or its ingest has not finished.
    """

    @told_briefly
    def __init__(self, root: str | Path, mask: Mask | None = None) -> None:
        self._reader = RunReader(Path(root), mask)
        self._run: RunFolder = self._reader.run

    @property
    def root(self) -> Path:
        """The folder."""
        return self._run.root

    @property
    def documents(self) -> ds.Dataset:
        """The published documents, a row each: the columns of docs/schema.md, sorted by `doc_id` within a domain.

        Raises:
            TamisError: the run has not published what it has decided.
        """
        return _dataset(self._published(), "published", PUBLISHED)

    @property
    def dropped(self) -> ds.Dataset:
        """The documents that a stage removed: `stage`, `reason`, `survivor` and `similarity` of copies, where they lie.

        Raises:
            TamisError: as `documents`.
        """
        self._published()
        return _dataset(self._manifest(self.root / "dropped"), "dropped", DROPPED)

    @property
    def weights(self) -> ds.Dataset:
        """`doc_id` and `weight` of each published document: expected number of times that it is sampled an epoch.

        Raises:
            TamisError: as `documents`.
        """
        return _dataset(self._weights(), "weights", WEIGHTS)

    @property
    def quarantine(self) -> ds.Dataset:
        """The raw records that never became documents: where they lie, the reason, what was found."""
        return _dataset(self._run.ingest, "quarantine", QUARANTINE)

    @told_briefly
    def weighted(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The published documents with their `weight` as the last column, streamed; `read_all()` gives a table.

        `columns` are those of `documents` that are read; None is all. Polars, pandas and DuckDB take the reader, once.

        Raises:
            TamisError: as `documents`.
            pyarrow.ArrowInvalid: there is no such column.
        """
        documents, weights = self._published(), self._weights()
        schema = _schema_of(documents, "published", PUBLISHED)
        names = schema.names if columns is None else list(columns)
        fields = [*(schema.field(name) for name in names), WEIGHTS.field("weight")]

        def batches() -> Iterator[pa.RecordBatch]:
            for shard, beside in zip(documents.paths("published"), weights.paths("weights"), strict=True):
                of = pq.read_table(beside, columns=["weight"], partitioning=None).column("weight")
                at = 0
                with pq.ParquetFile(shard) as file:
                    for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                        columns = [batch.column(name) for name in names]
                        weight = of.slice(at, batch.num_rows).combine_chunks()
                        yield pa.record_batch([*columns, weight], schema=pa.schema(fields))
                        at += batch.num_rows

        return pa.RecordBatchReader.from_batches(pa.schema(fields), batches())

    @cached_property
    def ledger(self) -> pa.Table:
        """The funnel, a row a stage: see `LEDGER`; `counts` has the rest.

        Raises:
            TamisError: the run has not come that far.
        """
        lines = [{**line, "stage": line["name"]} for line in self.counts["stages"]]
        for line in lines:
            line |= {name: list(line[name].items()) for name in LEDGER.names if name.endswith("_dropped")}
        return pa.Table.from_pylist(lines, LEDGER)

    @property
    @told_briefly
    def counts(self) -> dict[str, Any]:
        """`ledger.json`: `ingest`, `stages`, `domains`, `quarantined`.

        Raises:
            TamisError: the run has not come that far.
        """
        return self._run.ledger()

    @told_briefly
    def explain(self, key: str | int) -> dict[str, Any]:
        """The story of the document whose doc_id, source_id or URL is `key`, or of the record at `file#offset`.

        Returns:
            `documents`, a story each: `kept`, `stages` (what each saw, cut and decided), `published`, `text` as
            ingested; `quarantined`: records. Ids are strings, as in JSON.

        Raises:
            TamisError: neither this run nor an ancestor has it.
        """
        return explain_key(self._reader, str(key))

    @told_briefly
    def _published(self) -> Manifest:
        """The manifest of the shards, if they are those of the current decisions."""
        manifest = load_manifest(self.root / "shards")
        current = [f"{stage}/{decision.folder.name}" for stage, decision in self._run.chain()]
        if manifest is None or manifest.body.get("decisions", current) != current:
            raise TamisError(
                f"{self.root} has no finished shards of its current decisions; run the pipeline to its end"
            )
        return manifest

    @told_briefly
    def _manifest(self, folder: Path | None) -> Manifest:
        manifest = None if folder is None else load_manifest(folder)
        if manifest is None:
            raise TamisError(
                f"{self.root} is not finished: it has no {folder or 'weights'}; run the pipeline to its end"
            )
        return manifest

    def _weights(self) -> Manifest:
        self._published()
        return self._manifest(weights_folder(self._run))

    def _lines(self) -> list[tuple[str, int, int]]:
        """Stage, documents and bytes behind it; nothing where the run has no ledger yet."""
        if not (self.root / "ledger.json").exists():
            return []
        counts = self.counts
        raw = ("ingest", counts["ingest"]["documents"], counts["ingest"]["text_bytes"])
        return [raw, *((line["name"], line["documents_kept"], line["bytes_kept"]) for line in counts["stages"])]

    def __repr__(self) -> str:
        """The funnel, a line a stage."""
        lines = self._lines()
        funnel = [f"  {name:<20}{documents:>15,} documents {size:>18,} bytes" for name, documents, size in lines]
        return "\n".join([f"Run({str(self.root)!r})" + ("" if lines else ", nothing decided yet"), *funnel])

    def _repr_html_(self) -> str:
        """The funnel as a table, for a notebook."""
        lines = self._lines()
        most = max((size for _, _, size in lines), default=0) or 1
        bar = "<div style='background:#4c78a8;height:.8em;width:{}px'></div>"
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{documents:,}</td><td>{size:,}</td>"
            f"<td style='text-align:left'>{bar.format(120 * size // most)}</td></tr>"
            for name, documents, size in lines
        )
        head = "<tr><th>left behind</th><th>documents</th><th>bytes of text</th><th></th></tr>"
        return f"<b>{html.escape(str(self.root))}</b><table>{head}{rows}</table>"


def _dataset(manifest: Manifest, table: str, schema: pa.Schema) -> ds.Dataset:
    """A table's files as one dataset, in the manifest's order."""
    return ds.FileSystemDataset.from_paths(
        manifest.paths(table),
        schema=_schema_of(manifest, table, schema),
        format=ds.ParquetFileFormat(),
        filesystem=fs.LocalFileSystem(),
    )


def _schema_of(manifest: Manifest, table: str, schema: pa.Schema) -> pa.Schema:
    """The schema of a table's files, all the same: of an earlier version or with stages of one's own it is another."""
    paths = manifest.paths(table)
    return pq.read_schema(paths[0]).remove_metadata() if paths else schema
