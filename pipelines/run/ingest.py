"""Ingest: raw files in, document shards out. It writes the text; only publishing writes text again.

A task reads one large input file, or several consecutive small ones of a domain, and writes one or more shards. The
driver numbers the shards when all tasks are done, in the order of the sorted input list; so numbers, and ids with them,
do not depend on which task finished first.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.files import FileEntry, Manifest, commit, load_manifest, stable_hash, write_table
from corpus.ids import MAX_ROW
from corpus.inputs import InputConfig, InputFile, resolve_inputs
from corpus.own_code import is_reference
from corpus.readers import reader_version
from corpus.run_folder import RunFolder
from corpus.schemas import DOCUMENT, QUARANTINE, URLS
from pipelines.run.config import PipelineConfig
from pipelines.run.settings import IngestConfig
from pipelines.spark.session import Cluster
from tamis.errors import ConfigError, TamisError

ROW_GROUP_BYTES = 16 << 20
"""Bytes of text in a row group of a document shard: what must be read to look at one document."""


def ingest(run: RunFolder, config: PipelineConfig, base: Path, cluster: Cluster) -> Manifest:
    """Ingests the pipeline's inputs, unless that has been done.

    Raises:
        TamisError: the folder holds the ingest of other input.
    """
    files = find_inputs(config, base)
    key = _key(config, files)
    done = load_manifest(run.ingest_folder)
    if done is not None:
        if done.body["key"] != key:
            raise TamisError(
                f"{run.root} holds the ingest of other input or of other ingest settings; choose another --out"
            )
        return done
    answers = cluster.map(
        ingest_files,
        [_task(group, config, run) for group in _groups(files, config.ingest.target_shard_bytes)],
        label=f"ingest {len(files)} files",
        receipts=run.ingest_folder / "receipts",
    )
    return _commit(run, config, files, key, answers)


def find_inputs(config: PipelineConfig, base: Path) -> list[InputFile]:
    """The files of the pipeline's inputs, in the order of `resolve_inputs`.

    Raises:
        ConfigError: no input is named, or a glob of one matches nothing.
    """
    if not config.inputs:
        raise ConfigError("inputs: found none; name them in the YAML or with --input DOMAIN=GLOB")
    return resolve_inputs(config.inputs, base_dir=base)


def _key(config: PipelineConfig, files: list[InputFile]) -> str:
    readers = [c.model_dump(mode="json", exclude={"paths"}) | _version(c) for c in config.inputs]
    named = sorted(([f.domain, f.name, f.size, readers[f.config_index]] for f in files), key=repr)
    return stable_hash([config.snapshot, config.ingest.model_dump(mode="json"), named])


def _version(config: InputConfig) -> dict[str, int | str]:
    """What the key of an ingest holds of a reader of one's own beside its name."""
    return {"version": reader_version(config.format)} if is_reference(config.format) else {}


def _groups(files: list[InputFile], target: int) -> Iterator[list[InputFile]]:
    """Groups consecutive files of a domain up to the target size; a byte that is compressed counts as four."""
    group: list[InputFile] = []
    size = 0
    for file in files:
        weight = file.size * (1 if file.compression == "none" and file.format != "parquet" else 4)
        if group and (file.domain != group[0].domain or size + weight > target):
            yield group
            group, size = [], 0
        group.append(file)
        size += weight
    if group:
        yield group


@dataclass(frozen=True)
class IngestTask:
    """Some input files of one domain, to be read one after the other, each by the config of its `config_index`."""

    files: list[InputFile]
    configs: dict[int, InputConfig]
    settings: IngestConfig
    folder: Path


@dataclass
class FileCount:
    """What became of one input file's records."""

    domain: str
    name: str
    bytes: int
    records: int = 0
    documents: int = 0
    not_sampled: int = 0
    skipped: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenShard:
    """A document shard that has no number yet: its documents, and the narrow table of their URLs."""

    documents: FileEntry
    urls: FileEntry


@dataclass(frozen=True)
class Ingested:
    """What a task made of its files: shards in their order, the file of unreadable records if any, counts by file."""

    shards: list[WrittenShard]
    quarantine: list[FileEntry]
    inputs: list[FileCount]


def _task(group: list[InputFile], config: PipelineConfig, run: RunFolder) -> IngestTask:
    configs = {f.config_index: config.inputs[f.config_index] for f in group}
    return IngestTask(group, configs, config.ingest, run.ingest_folder)


def _commit(
    run: RunFolder, config: PipelineConfig, files: list[InputFile], key: str, answers: list[Ingested]
) -> Manifest:
    shards = [shard for answer in answers for shard in answer.shards]
    entries = [replace(e, shard=n) for n, shard in enumerate(shards) for e in (shard.documents, shard.urls)]
    entries += [entry for answer in answers for entry in answer.quarantine]
    per_file = [count for answer in answers for count in answer.inputs]
    quarantined = sum((Counter(count.quarantined) for count in per_file), Counter[str]())
    documents = [e for e in entries if e.table == "documents"]
    body: dict[str, Any] = {
        "key": key,
        "snapshot": config.snapshot,
        "identity": stable_hash([config.snapshot, [e.digest for e in documents]]),
        "inputs": [asdict(count) for count in per_file],
        "records": sum(count.records for count in per_file),
        "not_sampled": sum(count.not_sampled for count in per_file),
        "skipped": sum(count.skipped for count in per_file),
        "source_bytes": sum(f.size for f in files),
        "documents": sum(e.rows for e in documents),
        "text_bytes": sum(e.info["text_bytes"] for e in documents),
        "sentences": sum(e.info["sentences"] for e in documents),
        "quarantined": dict(sorted(quarantined.items())),
    }
    rest = body["records"] - body["documents"] - quarantined.total() - body["not_sampled"]
    if rest:  # every record is a document, quarantined, or outside the sample
        raise TamisError(f"the ledger of ingest is off by {rest} records; please report this")
    return commit(run.ingest_folder, body, entries)


@dataclass
class _ShardWriter:
    """Collects documents, and writes a shard whenever they reach the target size."""

    folder: Path
    domain: str
    stem: str
    target: int
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    size: int = 0
    written: list[WrittenShard] = field(default_factory=list)

    def add(self, row: tuple[Any, ...], text_bytes: int) -> None:
        if self.rows and (self.size + text_bytes > self.target or len(self.rows) > MAX_ROW):
            self.flush()
        self.rows.append(row)
        self.size += text_bytes

    def flush(self) -> None:
        if not self.rows:
            return
        from text.arrow import TextColumn
        from text.segment import sentences

        columns = list(zip(*self.rows, strict=True))
        text = pa.array(columns[0], pa.string())
        column = TextColumn.from_arrow(text)
        counts = np.diff(sentences(column).ptr).astype(np.int32)
        arrays = [text, pa.array(column.lengths.astype(np.int32)), pa.array(counts)]
        arrays += [pa.array(values, DOCUMENT.field(i + 3).type) for i, values in enumerate(columns[1:])]
        table = pa.Table.from_arrays(arrays, schema=DOCUMENT)
        stem = f"{self.stem}-{len(self.written):03d}"
        info = {"domain": self.domain, "text_bytes": column.nbytes, "sentences": int(counts.sum())}
        entries = {}
        for kind, rows, below in (
            ("documents", table, f"documents/{self.domain}"),
            ("urls", table.select(URLS.names).cast(URLS), "urls"),
        ):
            group = max(1, len(counts) * ROW_GROUP_BYTES // max(1, column.nbytes))
            entry = write_table(self.folder / below, stem, rows, kind=kind, info=info, row_group_rows=group)
            entries[kind] = replace(entry, path=f"{below}/{entry.path}")
        self.written.append(WrittenShard(**entries))
        self.rows, self.size = [], 0


def ingest_files(task: IngestTask) -> Ingested:
    """Task: reads some input files of one domain and writes their document shards and quarantine."""
    from corpus.readers import read

    files, settings = task.files, task.settings
    stem = hashlib.sha256(f"{files[0].domain}\0{files[0].name}".encode()).hexdigest()[:12]
    writer = _ShardWriter(task.folder, files[0].domain, stem, settings.target_shard_bytes)
    bad: list[tuple[Any, ...]] = []
    counts = []
    for file in files:
        count = FileCount(file.domain, file.name, file.size)
        skipped: Counter[str] = Counter()
        records = read(
            file,
            task.configs[file.config_index],
            max_record_bytes=settings.max_record_bytes,
            extraction_timeout_seconds=settings.extraction_timeout_seconds,
            skipped=skipped,
        )
        _add_records(records, file, settings, writer, bad, count)
        count.skipped = sum(skipped.values())
        counts.append(count)
    writer.flush()
    quarantine = []
    if bad:
        table = pa.Table.from_arrays([pa.array(c) for c in zip(*bad, strict=True)], schema=QUARANTINE)
        entry = write_table(task.folder / "quarantine", stem, table, kind="quarantine")
        quarantine.append(replace(entry, path=f"quarantine/{entry.path}"))
    return Ingested(writer.written, quarantine, counts)


def _add_records(
    records: Any,
    file: InputFile,
    settings: IngestConfig,
    writer: _ShardWriter,
    bad: list[tuple[Any, ...]],
    count: FileCount,
) -> None:
    """Hands good records to the writer and bad ones to `bad`; counts both."""
    from corpus.records import Bad

    for record in records:
        count.records += 1
        if not _is_sampled(file, record.offset, settings):
            count.not_sampled += 1
            continue
        if isinstance(record, Bad):
            bad.append((file.domain, file.name, record.offset, record.length, record.reason, record.detail))
            count.quarantined[record.reason] = count.quarantined.get(record.reason, 0) + 1
            continue
        text = record.text.encode("utf-8")
        row = (
            text,
            record.source_id or f"{file.name}#{record.offset}",
            record.url,
            record.source,
            record.lang,
            record.licence,
            record.extra,
            file.name,
            record.offset,
            record.length,
        )
        writer.add(row, len(text))
        count.documents += 1


def _is_sampled(file: InputFile, offset: int, settings: IngestConfig) -> bool:
    """Whether a record is in the sample: by a hash of its file and offset."""
    if settings.sample >= 1:
        return True
    key = f"{settings.sample_seed}\0{file.domain}\0{file.name}\0{offset}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") < settings.sample * 2.0**64
