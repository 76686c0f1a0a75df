"""What runs inside a Spark task: it finds a function of ours by its name and calls it with a dataclass read from JSON.

Models and configurations that lie beside our code are opened by their path, which a zip does not give. So on a cluster
`--py-files tamis.zip` is unpacked once a machine, into a folder named by its digest, and our code is imported from
there; so is the archive of a user's own code. Until that is done this module imports the standard library alone, which
is why only a name and JSON cross (`pipelines.spark.wire`).

A finished task leaves a receipt. A driver that died and comes back finds the receipts, and hands those tasks out no
more.

PySpark runs the garbage collector after each task, which costs 0.05 to 0.1 CPU-seconds with the libraries that we
import. So a task begins with `gc.freeze()`, which hides existing objects from the collector.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
import sys
import tempfile
import traceback
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Called(NamedTuple):
    """What every task of a step is told: the step's label, and the name of the archive of one's own code, if any."""

    label: str
    code: str = ""


class Answer(NamedTuple):
    """What a task sends back: its answer as JSON, or, if it refused its input, the sentence that says why."""

    text: str
    refused: bool = False


def call(function: str, called: Called, task: str, receipt: str) -> Answer:
    """Calls a function with a task and leaves a receipt; a user's error comes back as a value, not as a Java trace."""
    _begin(called)
    from pipelines.spark.wire import argument_type, decode, encode, function_of
    from tamis.errors import ReadError, TamisError

    try:
        found = function_of(function)
        answer = encode(found(decode(argument_type(found), task)))
    except ReadError as error:  # storage failed: let Spark try the task again
        raise RuntimeError(f"{called.label}: {error}") from None
    except TamisError as error:
        return Answer(str(error), refused=True)
    except Exception as error:
        raise _failed(called.label, error) from None
    _write_receipt(Path(receipt), answer)
    return Answer(answer)


def _failed(label: str, error: Exception) -> RuntimeError:
    """The error of a step: the driver shows its first line, and keeps the trace for the log."""
    return RuntimeError(f"{label}: {type(error).__name__}: {error}\n{traceback.format_exc()}")


def _write_receipt(path: Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.write_text(answer, "utf-8")
    temporary.replace(path)


def emit_blocks(function: str, called: Called, tasks: Iterable[str]) -> Iterator[Any]:
    """The sending side of an exchange: the blocks that a source yields for each task, packed for Spark."""
    _begin(called)
    from pipelines.spark.blocks import pack
    from pipelines.spark.wire import argument_type, decode, function_of

    try:
        found = function_of(function)
        for task in tasks:
            yield from pack(found(decode(argument_type(found), task)))
    except Exception as error:
        raise _failed(called.label, error) from None


def receive_blocks(
    function: str, called: Called, settings: str, last: bool, partition: int, records: Iterable[Any]
) -> Iterator[Any]:
    """A receiving side of an exchange: hands a partition's rows to a hop; packs the blocks, or encodes the answers."""
    _begin(called)
    from pipelines.spark.blocks import pack, unpack
    from pipelines.spark.wire import argument_type, decode, encode, function_of

    try:
        found = function_of(function)
        out = found(unpack(partition, records), decode(argument_type(found, 1), settings))
        yield from map(encode, out) if last else pack(out)
    except Exception as error:
        raise _failed(called.label, error) from None


def _begin(called: Called) -> None:
    """Makes a worker ready for a task: unpacks the code, looks if it is ours, freezes the collector, takes the GPU."""
    unpack_code()
    try:
        import tamis.collisions  # noqa: F401
    except ImportError as error:
        raise RuntimeError(f"{called.label}: {error}") from None
    _use_own_code(called.code)
    gc.freeze()
    from pipelines.spark.gpu import take_gpu

    take_gpu()


def _use_own_code(archive: str) -> None:
    """Puts the unpacked archive of one's own code last on `sys.path`, in the place of that of an earlier run."""
    global _own_code
    if archive == _own_code[0]:
        return
    for name, module in list(sys.modules.items()):
        if _own_code[1] and str(getattr(module, "__file__", None) or "").startswith(_own_code[1]):
            del sys.modules[name]
    if (scan := sys.modules.get("pipelines.stages.scan")) is not None:
        scan._open_stage.cache_clear()
    sys.path[:] = [path for path in sys.path if path != _own_code[1]]
    _own_code = (archive, "")
    if archive:
        from pyspark import SparkFiles

        _own_code = (archive, str(unpacked(Path(SparkFiles.get(archive)))))
        sys.path.append(_own_code[1])


_own_code = ("", "")
"""The archive in use, and the folder it lies unpacked in."""


def unpack_code() -> None:
    """If this package was imported from a zip, puts its unpacked copy first on `sys.path`."""
    archive = _archive_of(Path(__file__))
    if archive is None:
        return
    folder = unpacked(archive)
    if str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in {"tamis", "corpus", "text", "filters", "dedup", "sampler"}:
                del sys.modules[name]
            elif name.split(".")[0] == "pipelines" and hasattr(module, "__path__"):
                module.__path__ = [str(folder.joinpath(*name.split("."))), *module.__path__]


def unpacked(archive: Path) -> Path:
    """The folder where a code archive lies unpacked, under its digest; made on first use."""
    from tamis.cache import cache_folder

    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / "code" / digest
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(temporary)
    try:
        temporary.rename(folder)
    except OSError:  # another worker was first
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _archive_of(path: Path) -> Path | None:
    return next((parent for parent in path.parents if parent.suffix == ".zip" and parent.is_file()), None)
