"""Where token bins are stored: a local folder, mapped into memory, or an object store such as S3, read in ranges.

Both give the same bytes. For their cost see `sampler.bins.local_store` and `sampler.bins.remote_store`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sampler.bins.local_store import Bytes, LocalStore
from sampler.bins.remote_store import RemoteStore
from sampler.bins.retries import RetryPolicy


class Store(Protocol):
    """A folder of files by relative path."""

    root: str
    mapped: bool

    def where(self, path: str) -> str:
        """The file's full name, for messages."""

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None where there is none."""

    def map(self, path: str, size: int, sha256: str | None = None) -> Bytes:
        """A whole file as a read-only map: uint8[size].

        Raises:
            TamisError: it is missing, or has another size.
        """

    def read(self, path: str, start: int, length: int, sound: Callable[[Bytes], bool] | None = None) -> Bytes:
        """Some bytes: uint8[length]; over a network they are read once more if they are not `sound`.

        Raises:
            TamisError: they cannot be read.
        """

    def read_all(self, path: str) -> bytes:
        """A small file."""

    def write(self, path: str, data: bytes) -> None:
        """A small file, all or nothing."""

    def put(self, local: Path, path: str) -> None:
        """Move a finished local file here, all or nothing."""


def open_store(place: str | Path, policy: RetryPolicy | None = None) -> Store:
    """The store of a folder or URI."""
    if isinstance(place, str) and "://" in place and not place.startswith("file://"):
        return RemoteStore(place, policy)
    return LocalStore(Path(str(place).removeprefix("file://")).absolute())
