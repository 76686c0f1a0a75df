"""Small files written so that a reader sees all of them or nothing: unique temporary name, fsync, rename.

Cost: one fsync a file. A crash leaves `*.tmp` debris that nothing names.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from corpus.errors import TamisError

Progress = Callable[[str, int, int], None]
"""Called as (what, done, total) by whatever takes more than a moment."""


def silent(what: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary neighbour for writing and rename it to `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def canonical_json(value: Any) -> bytes:
    """The one serialisation that is hashed: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    with atomic_file(path) as file:
        file.write(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        TamisError: the file cannot be read or is not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise TamisError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise TamisError(f"{path}: is not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise TamisError(f"{path}: holds a JSON {type(value).__name__}, not an object.")
    return value


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes. Cost: one read of the file, 0.5-2 GB/s."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
