"""A prefix of an object store such as S3: an index is fetched once into the local cache, a bin read a block at a time.

Networks fail: a read that raises, is reset, returns too few bytes or exceeds its deadline is retried
(`sampler.bins.retries`) with a warning; after the last attempt the error names the file. The SDK's own silent retries
are off, so that the log has every failure. One kind of failure only a checksum finds: if the server answers with fewer
bytes than requested and says so, Arrow leaves the rest of its buffer unset. Therefore data that fails its checksum is
read once more before it is reported as corrupt.

A deadline is for a piece of at most 8 MiB, not for a file: a large file may take its time, and a failure costs only a
piece. Opening an object requests its size, so objects that are read in ranges stay open: then a range costs one request
instead of two. That is safe, as objects are immutable and their manifest has their digests.

S3 credentials come from the environment, as for every client; `s3://bucket/path?endpoint_override=…&scheme=…`
names another server, and `attempts=…&deadline=SECONDS` sets another retry policy.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pyarrow.fs as pafs

from corpus.files import atomic_file, file_digest
from corpus.inputs import file_system
from sampler.bins.local_store import Bytes, map_file
from sampler.bins.retries import LOG, RetryPolicy, call_with_retries
from tamis.cache import cache_folder
from tamis.errors import ConfigError

Value = TypeVar("Value")
PIECE = 8 << 20
_UPLOAD_SECONDS = 3600.0


class RemoteStore:
    """A prefix of an object store. Settings behind a question mark in the URI precede those of `policy`; objects that
    are fetched whole are kept in `cache`, by default the user's cache folder.

    Raises:
        ConfigError: the URI has a setting that the store does not know.
    """

    mapped = False

    def __init__(self, uri: str, policy: RetryPolicy | None = None, cache: Path | None = None) -> None:
        address, _, query = uri.partition("?")
        self.root = address.rstrip("/")
        self._settings, self.policy = _split_settings(self.root, query, policy or RetryPolicy())
        self.retries = 0
        self._cache = cache or cache_folder() / "bins"
        self._lock = threading.Lock()
        self._again: tuple[Any, ...] = (uri, policy, cache)
        self._connect()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens a connection of its own."""
        return RemoteStore, self._again

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
            self._fetch(path, size, local)
            if sha256 and file_digest(local) != sha256:
                self._failed(path)
                LOG.warning("%s: came damaged; it is read again", self.where(path))
                self._fetch(path, size, local)
        return map_file(local, size)

    def read(self, path: str, start: int, length: int, sound: Callable[[Bytes], bool] | None = None) -> Bytes:
        """Some bytes, retried until they are complete; read once more if they are not `sound`."""
        data = self._read(path, start, length)
        if sound and not sound(data):
            self._failed(path)
            LOG.warning("%s: %d bytes from %d came damaged; they are read again", self.where(path), length, start)
            data = self._read(path, start, length)
        return data

    def read_all(self, path: str) -> bytes:
        """A small object."""

        def once() -> bytes:
            with self._system.open_input_file(self._inside(path)) as file:
                return bytes(file.read())

        return self._patiently(once, path)

    def write(self, path: str, data: bytes) -> None:
        """A small object; it appears when its upload is complete, or not at all."""

        def once() -> None:
            with self._system.open_output_stream(self._inside(path)) as stream:
                stream.write(data)

        self._patiently(once, path, verb="written")

    def put(self, local: Path, path: str) -> None:
        """Upload a finished file, then remove it."""

        def once() -> None:
            with local.open("rb") as source, self._system.open_output_stream(self._inside(path)) as stream:
                while piece := source.read(PIECE):
                    stream.write(piece)

        self._patiently(once, path, verb="written", seconds=_UPLOAD_SECONDS)
        local.unlink()

    def _read(self, path: str, start: int, length: int) -> Bytes:
        pieces = [np.frombuffer(piece, np.uint8) for piece in self._pieces(path, start, length)]
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, np.uint8), *pieces])

    def _fetch(self, path: str, size: int, local: Path) -> None:
        with atomic_file(local) as file:
            for piece in self._pieces(path, 0, size):
                file.write(piece)

    def _pieces(self, path: str, start: int, length: int) -> Iterator[Any]:
        """Some bytes as buffers of at most `PIECE`."""
        for first in range(start, start + length, PIECE):
            count = min(PIECE, start + length - first)
            yield self._patiently(partial(self._range, path, first, count), path)

    def _range(self, path: str, start: int, length: int) -> Any:
        if os.getpid() != self._process:
            self._connect()
        file = self._open.get(path)
        if file is None:
            file = self._open[path] = self._system.open_input_file(self._inside(path))
        data = file.read_at(length, start)
        if len(data) != length:
            raise EOFError(f"{len(data)} of {length} bytes came; it is truncated or still being written")
        return data

    def _connect(self) -> None:
        self._process = os.getpid()  # no client survives a fork
        self._open: dict[str, Any] = {}
        self._system, self._prefix = _object_store(self.root, self._settings, self.policy)

    def _inside(self, path: str) -> str:
        return f"{self._prefix.rstrip('/')}/{path}"

    def _patiently(
        self, once: Callable[[], Value], path: str, verb: str = "read", seconds: float | None = None
    ) -> Value:
        policy = self.policy if seconds is None else replace(self.policy, seconds=seconds)
        return call_with_retries(once, policy, name=self.where(path), verb=verb, failed=partial(self._failed, path))

    def _failed(self, path: str) -> None:
        self._open.pop(path, None)  # it may hang, or have been opened with a wrong size
        with self._lock:
            self.retries += 1


def _split_settings(root: str, query: str, policy: RetryPolicy) -> tuple[dict[str, str], RetryPolicy]:
    """The client's settings in a URI, and its retry policy; messages do not show settings, as some are secret."""
    settings = dict(parse_qsl(query))
    attempts, seconds = settings.pop("attempts", policy.attempts), settings.pop("deadline", policy.seconds)
    try:
        asked = replace(policy, attempts=int(attempts), seconds=float(seconds))
    except ValueError:
        asked = None
    if asked is None or asked.attempts < 1 or not asked.seconds > 0:
        raise ConfigError(
            f"{root}: found `attempts={attempts}&deadline={seconds}`; expected a whole number from 1, seconds above 0"
        )
    return settings, asked


def _object_store(root: str, settings: dict[str, str], policy: RetryPolicy) -> tuple[pafs.FileSystem, str]:
    """S3 without the SDK's own retries and with our deadline; other stores with their defaults."""
    try:
        if not root.startswith("s3://"):
            return file_system(root + "?" * bool(settings) + urlencode(settings))
        given: dict[str, Any] = {name: _FLAGS.get(value, value) for name, value in settings.items()}
        system = pafs.S3FileSystem(
            connect_timeout=policy.seconds,
            request_timeout=policy.seconds,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1),
            **given,
        )
    except (TypeError, ValueError, OSError) as error:
        raise ConfigError(f"{root}: cannot be opened with these settings ({str(error).splitlines()[0]}).") from error
    return system, root.removeprefix("s3://")


_FLAGS: dict[str, Any] = {"true": True, "false": False}
