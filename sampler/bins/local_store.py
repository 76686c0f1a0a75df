"""A local folder as a store: files are memory-mapped, which takes no private memory and no copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.files import atomic_file
from tamis.errors import TamisError

Bytes = npt.NDArray[np.uint8]


class LocalStore:
    """A folder on this machine."""

    mapped = True

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._folder = root
        self._maps: dict[str, Bytes] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the memory maps: another process makes its own."""
        return {**vars(self), "_maps": {}}

    def where(self, path: str) -> str:
        """The file's full name."""
        return str(self._folder / path)

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None where there is none."""
        try:
            return (self._folder / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise TamisError(f"{self.where(path)}: cannot be read ({error.strerror}).") from error

    def map(self, path: str, size: int, sha256: str | None = None) -> Bytes:
        """A whole file as a read-only map."""
        found = self._maps.get(path)
        if found is None:
            found = self._maps[path] = map_file(self._folder / path, size)
        return found

    def read(self, path: str, start: int, length: int, sound: Callable[[Bytes], bool] | None = None) -> Bytes:
        """Some bytes, copied."""
        with (self._folder / path).open("rb") as file:
            file.seek(start)
            return np.frombuffer(file.read(length), np.uint8)

    def read_all(self, path: str) -> bytes:
        """A small file."""
        try:
            return (self._folder / path).read_bytes()
        except OSError as error:
            raise TamisError(f"{self.where(path)}: cannot be read ({error.strerror}).") from error

    def write(self, path: str, data: bytes) -> None:
        """A small file, all or nothing."""
        try:
            with atomic_file(self._folder / path) as file:
                file.write(data)
        except OSError as error:
            raise TamisError(f"{self.where(path)}: cannot be written ({error.strerror}).") from error

    def put(self, local: Path, path: str) -> None:
        """Rename a finished file, on the same file system, to its place."""
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        local.replace(target)


def map_file(path: Path, size: int) -> Bytes:
    """A local file as a read-only map.

    Raises:
        TamisError: it is missing, or has another size.
    """
    try:
        found = path.stat().st_size
    except OSError as error:
        raise TamisError(f"{path}: is missing, though its manifest names it.") from error
    if found != size:
        raise TamisError(f"{path}: has {found} bytes, its manifest says {size}: it is truncated or was exchanged.")
    if not size:
        return np.zeros(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, "r"))
