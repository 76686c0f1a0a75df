"""Where token bins lie: a local folder, mapped into memory, or an object store such as S3, read in ranges.

Both give the same bytes. Locally a file is a memory map: no private memory, no copy. Remotely an index is fetched once
into the local cache and mapped there, and a bin is read a shuffle block at a time.

Networks fail: a read that raises, is reset, comes short or takes longer than its deadline is asked for again, with
pauses that double, and told as a warning; after the last attempt the error names the file. The SDK's own silent
retries are off, so that what is told is all there was.

S3 takes its credentials from the environment as every client does; ``s3://bucket/path?endpoint_override=…&scheme=…``
names another server.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

import numpy as np
import numpy.typing as npt
import pyarrow.fs as pafs

from corpus.cache import cache_folder
from corpus.errors import TamisError
from corpus.files import atomic_file, file_digest
from corpus.inputs import file_system

LOG = logging.getLogger("tamis.sampler")
Bytes = npt.NDArray[np.uint8]
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a remote read is tried.

    Attributes:
        attempts: at most.
        seconds: deadline of one attempt.
        pause: seconds before the second attempt; doubles.
    """

    attempts: int = 5
    seconds: float = 30.0
    pause: float = 0.2


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

    def read(self, path: str, start: int, length: int) -> Bytes:
        """Some bytes: uint8[length].

        Raises:
            TamisError: they cannot be read.
        """

    def read_all(self, path: str) -> bytes:
        """A small file."""

    def write(self, path: str, data: bytes) -> None:
        """A small file, all or nothing."""

    def put(self, local: Path, path: str) -> None:
        """Move a finished local file here, all or nothing."""


class LocalStore:
    """A folder on this machine."""

    mapped = True

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._folder = root
        self._maps: dict[str, Bytes] = {}

    def where(self, path: str) -> str:
        """The file's full name."""
        return str(self._folder / path)

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None where there is none."""
        try:
            return (self._folder / path).stat().st_size
        except FileNotFoundError:
            return None

    def map(self, path: str, size: int, sha256: str | None = None) -> Bytes:
        """A whole file as a read-only map."""
        found = self._maps.get(path)
        if found is None:
            found = self._maps[path] = map_file(self._folder / path, size)
        return found

    def read(self, path: str, start: int, length: int) -> Bytes:
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
        with atomic_file(self._folder / path) as file:
            file.write(data)

    def put(self, local: Path, path: str) -> None:
        """Rename a finished file of the same file system to its place."""
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        local.replace(target)


class RemoteStore:
    """A prefix of an object store.

    Args:
        root: its URI.
        patience: how reads are retried.
        cache: folder for what is fetched whole; the user's cache folder by default.
    """

    mapped = False

    def __init__(self, root: str, patience: Patience | None = None, cache: Path | None = None) -> None:
        address, mark, query = root.partition("?")
        self.root = address.rstrip("/")
        self.patience = patience or Patience()
        self.retries = 0
        self._system, self._prefix = _object_store(self.root + mark + query, self.patience)
        self._cache = cache or cache_folder() / "bins"
        self._lock = threading.Lock()

    def where(self, path: str) -> str:
        """The file's full name."""
        return f"{self.root}/{path}"

    def size(self, path: str) -> int | None:
        """Bytes of an object, or None where there is none."""
        found = self._patiently(lambda: self._system.get_file_info(self._inside(path)), path)
        return int(found.size) if found.type == pafs.FileType.File else None

    def map(self, path: str, size: int, sha256: str | None = None) -> Bytes:
        """A whole object, fetched once into the cache and mapped there."""
        name = sha256 or hashlib.sha256(self.where(path).encode()).hexdigest()
        local = self._cache / name[:2] / name
        if not local.exists() or local.stat().st_size != size or (sha256 and file_digest(local) != sha256):
            data = self.read(path, 0, size)
            with atomic_file(local) as file:
                file.write(data.tobytes())
        return map_file(local, size)

    def read(self, path: str, start: int, length: int) -> Bytes:
        """Some bytes, asked for until they come whole."""

        def once() -> Bytes:
            with self._system.open_input_file(self._inside(path)) as file:
                data = file.read_at(length, start)
            if len(data) != length:
                raise EOFError(f"{len(data)} of {length} bytes came; it is truncated or still being written")
            return np.frombuffer(data, np.uint8)

        return self._patiently(once, path)

    def read_all(self, path: str) -> bytes:
        """A small object."""

        def once() -> bytes:
            with self._system.open_input_file(self._inside(path)) as file:
                return bytes(file.read())

        return self._patiently(once, path)

    def write(self, path: str, data: bytes) -> None:
        """A small object; a put is atomic."""

        def once() -> None:
            with self._system.open_output_stream(self._inside(path)) as stream:
                stream.write(data)

        self._patiently(once, path)

    def put(self, local: Path, path: str) -> None:
        """Upload a finished file, then remove it."""

        def once() -> None:
            with local.open("rb") as source, self._system.open_output_stream(self._inside(path)) as stream:
                while piece := source.read(8 << 20):
                    stream.write(piece)

        self._patiently(once, path, seconds=3600.0)
        local.unlink()

    def _inside(self, path: str) -> str:
        return f"{self._prefix.rstrip('/')}/{path}"

    def _patiently(self, once: Callable[[], Value], path: str, seconds: float | None = None) -> Value:
        """Try until it works or patience ends."""
        limit, pause = seconds or self.patience.seconds, self.patience.pause
        for attempt in range(1, self.patience.attempts + 1):
            try:
                return _within(once, limit)
            except FileNotFoundError as error:
                raise TamisError(f"{self.where(path)}: is missing.") from error
            except (OSError, EOFError, TimeoutError) as error:
                reason = f"no answer within {limit:g} s" if isinstance(error, TimeoutError) else _first_line(error)
                if attempt == self.patience.attempts:
                    raise TamisError(f"{self.where(path)}: cannot be read in {attempt} attempts ({reason}).") from error
                with self._lock:
                    self.retries += 1
                LOG.warning(
                    "%s: %s; attempt %d of %d follows", self.where(path), reason, attempt + 1, self.patience.attempts
                )
                time.sleep(pause)
                pause *= 2
        raise AssertionError("no attempt")


def open_store(place: str | Path, patience: Patience | None = None) -> Store:
    """The store of a folder or URI."""
    if isinstance(place, str) and "://" in place and not place.startswith("file://"):
        return RemoteStore(place, patience)
    return LocalStore(Path(str(place).removeprefix("file://")).absolute())


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
        return _frozen(np.zeros(0, np.uint8))
    return np.asarray(np.memmap(path, np.uint8, "r"))


def _within(once: Callable[[], Value], seconds: float) -> Value:
    """Run something that may hang, and give up waiting for it: its thread is left behind."""
    future: Future[Value] = Future()

    def work() -> None:
        try:
            future.set_result(once())
        except BaseException as error:  # whatever it is belongs to who waits
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result(timeout=seconds)


def _object_store(uri: str, patience: Patience) -> tuple[pafs.FileSystem, str]:
    """S3 without the SDK's own retries and with our deadline; other stores as they come."""
    address, _, query = uri.partition("?")
    if not address.startswith("s3://"):
        return file_system(uri)
    asked: dict[str, Any] = {name: values[-1] for name, values in parse_qs(query).items()}
    asked["retry_strategy"] = pafs.AwsStandardS3RetryStrategy(max_attempts=1)
    try:
        system = pafs.S3FileSystem(connect_timeout=patience.seconds, request_timeout=patience.seconds, **asked)
    except TypeError as error:
        raise TamisError(f"{uri}: has a setting that S3 does not know ({error}).") from error
    return system, address.removeprefix("s3://")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _frozen(array: Any) -> Any:
    array.setflags(write=False)
    return array
