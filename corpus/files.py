"""Files count once they are committed: names unique to an attempt, digests, a manifest written last.

Why a list of files and not the folder's listing: a speculative or retried task, or one that outlives its driver, may
write at any time. What it writes is debris unless a manifest names it, so it can neither double a row nor lose one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.errors import TamisError
from tamis.version import RECORD

MANIFEST = "manifest.json"


def manifest_path(folder: Path) -> Path:
    """Where a folder's manifest lies: beside the folder, so that whatever opens all files of it finds only tables."""
    return folder.with_name(f"{folder.name}.{MANIFEST}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One committed file: its table, its path below the manifest's folder, its rows, its bytes and their sha256.

    `shard` is -1 where the table is not split by document shard; `info` holds small facts that the task counted.
    """

    table: str
    shard: int
    path: str
    rows: int
    bytes: int
    digest: str
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """A manifest by its folder and a digest of its file list: all that a task is told of a committed folder."""

    folder: Path
    digest: str

    def open(self) -> Manifest:
        """The manifest; a process reads it once.

        Raises:
            TamisError: the folder holds another one by now.
        """
        return _open(self)


@lru_cache(maxsize=256)
def _open(ref: ManifestRef) -> Manifest:
    found = load_manifest(ref.folder)
    if found is None or found.ref != ref:
        raise TamisError(f"{manifest_path(ref.folder)} has changed while the run went on; run again")
    return found


@dataclass(frozen=True)
class Manifest:
    """A committed folder: what was made from what, and the files that count."""

    folder: Path
    body: dict[str, Any]
    files: tuple[FileEntry, ...]

    @cached_property
    def _places(self) -> dict[tuple[str, int], list[FileEntry]]:
        places: dict[tuple[str, int], list[FileEntry]] = {}
        for entry in self.files:
            places.setdefault((entry.table, entry.shard), []).append(entry)
        return places

    @cached_property
    def ref(self) -> ManifestRef:
        """What a task is given in its place."""
        return ManifestRef(self.folder, stable_hash([[f.table, f.shard, f.path, f.digest] for f in self.files]))

    def rows(self, table: str) -> int:
        """Rows of a table, all shards."""
        return sum(f.rows for f in self.files if f.table == table)

    def paths(self, table: str) -> list[str]:
        """Absolute paths of a table's files, in shard order."""
        return [str(self.folder / f.path) for f in self.files if f.table == table]

    def of_shard(self, table: str, shard: int) -> list[FileEntry]:
        """A table's files of one document shard."""
        return self._places.get((table, shard), [])

    def paths_of_shard(self, table: str, shard: int) -> list[str]:
        """Absolute paths of a table's files of one document shard."""
        return [str(self.folder / f.path) for f in self.of_shard(table, shard)]

    def read(self, table: str, shard: int, columns: list[str] | None = None) -> pa.Table | None:
        """A table's rows of one document shard, or None where it has none."""
        return read_files(self.paths_of_shard(table, shard), columns)

    def read_all(self, table: str, columns: list[str] | None = None) -> pa.Table | None:
        """A table's rows of all document shards, or None where it has none."""
        return read_files(self.paths(table), columns)


def read_files(paths: Iterable[str], columns: list[str] | None = None) -> pa.Table | None:
    """The rows of some narrow files, or None where there is no file."""
    tables = [pq.read_table(path, columns=columns, partitioning=None) for path in paths]
    return pa.concat_tables(tables) if tables else None


def stable_hash(value: Any) -> str:
    """A 16-digit hex hash of a JSON value: equal values, equal hash, on any machine."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:16]


def canonical_json(value: Any) -> bytes:
    """The one serialisation that is hashed: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def file_digest(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_table(
    folder: Path,
    stem: str,
    table: pa.Table,
    *,
    kind: str,
    shard: int = -1,
    info: dict[str, Any] | None = None,
    row_group_rows: int | None = None,
) -> FileEntry:
    """Writes a Parquet file under a name that no other attempt can have.

    Equal tables give equal bytes: no time and no name is in the file, and chunks, which would move the pages' bounds,
    are joined first.
    """
    table = table.combine_chunks()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.{uuid.uuid4().hex[:12]}.parquet"
    pq.write_table(
        table,
        path,
        row_group_size=row_group_rows or max(1, table.num_rows),
        write_page_index=False,
        store_schema=True,
        **_packing(table.schema),
    )
    return FileEntry(kind, shard, path.name, table.num_rows, path.stat().st_size, file_digest(path), info or {})


def _packing(schema: pa.Schema) -> dict[str, Any]:
    """How a table is compressed: text by zstd; narrow tables by LZ4, with dictionaries for strings alone.

    Narrow tables hold mostly hashes and ids, and are read more often than kept. Vectors do not shrink.
    """
    if "text" in schema.names:
        return {"compression": "zstd", "compression_level": 1}
    vectors = {f.name for f in schema if pa.types.is_fixed_size_list(f.type)}
    columns = {f"{name}.list.element" if name in vectors else name: name in vectors for name in schema.names}
    return {
        "compression": {name: "none" if raw else "lz4" for name, raw in columns.items()} if vectors else "lz4",
        "use_dictionary": [f.name for f in schema if f.type == pa.string()],
    }


def commit(folder: Path, body: dict[str, Any], files: Iterable[FileEntry]) -> Manifest:
    """Makes files count: writes the manifest, atomically and last; removes debris of earlier attempts."""
    ordered = tuple(sorted(files, key=lambda f: (f.table, f.shard, f.path)))
    folder.mkdir(parents=True, exist_ok=True)
    write_json(manifest_path(folder), {**body, **RECORD, "files": [asdict(f) for f in ordered]})
    _remove_debris(folder, {f.path for f in ordered})
    return Manifest(folder, body, ordered)


def commit_by_content(folder: Path, files: Iterable[FileEntry]) -> Manifest:
    """Commits intermediate files under names by their content.

    So a driver that comes back and makes them again gives its tasks the same input, and finds their receipts.
    """
    return commit(folder, {}, [place(folder, f, f"{f.table}-{f.shard:06d}-{f.digest[:16]}.parquet") for f in files])


def retract(folder: Path) -> None:
    """Makes a folder's files count no longer."""
    for path in (manifest_path(folder), folder / MANIFEST):
        path.unlink(missing_ok=True)


def place(folder: Path, entry: FileEntry, name: str, written_to: Path | None = None) -> FileEntry:
    """Gives a task's file its final name in `folder`; if an earlier driver has done so, that one stands.

    `written_to` is the folder that the task wrote to, where it is another.

    Raises:
        TamisError: neither is there.
    """
    source, target = (written_to or folder) / entry.path, folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.exists():
        source.replace(target)
    elif not target.exists():
        raise TamisError(f"{source} has disappeared while the run went on; remove {folder} and run again")
    return replace(entry, path=name)


def load_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest, or None if nothing was committed there, or the folder is gone.

    Raises:
        TamisError: the manifest cannot be read.
    """
    path = manifest_path(folder)
    if not path.exists():
        path = folder / MANIFEST  # where Tamis 0.1 wrote it
    if not path.exists() or not folder.is_dir():
        return None
    try:
        body = json.loads(path.read_text("utf-8"))
        files = tuple(FileEntry(**entry) for entry in body.pop("files"))
        body = {key: value for key, value in body.items() if key not in RECORD}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TamisError(
            f"{path} is not a manifest of this version ({error}); remove its folder and run again"
        ) from error
    return Manifest(folder, body, files)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary neighbour and renames it when the block ends without an error: readers see all or nothing.

    The file is on disk before its name is. A crash leaves `*.tmp` debris that nothing names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Makes an empty folder beside and puts it in the folder's place when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        made.rename(folder)


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically."""
    with atomic_file(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON mapping.

    Raises:
        TamisError: the file cannot be read, or holds something else.
    """
    try:
        loaded = json.loads(path.read_bytes())
    except OSError as error:
        raise TamisError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise TamisError(f"{path} is damaged ({error}); remove it and run again") from error
    if not isinstance(loaded, dict):
        raise TamisError(f"{path} is damaged (it holds no mapping); remove it and run again")
    return loaded


def _remove_debris(folder: Path, kept: set[str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in kept:
            path.unlink(missing_ok=True)
