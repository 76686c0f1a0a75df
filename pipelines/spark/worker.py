"""What runs inside a Spark task: a named function of ours on a JSON payload.

Only a name and JSON cross the wire, so a task pickles nothing of ours and imports no kernel before its code
lies in a real folder. That matters on a cluster: numba ignores its cache for code that is imported from a
zip, so ``--py-files tamis.zip`` is unpacked once a machine, under its digest, and imported from there.

A finished task leaves a receipt beside its files. A driver that died and came back finds the receipts and hands those
tasks out no more.

PySpark has the collector walk through everything after each task: 0.05 to 0.1 CPU-seconds with the libraries that we
import. So a task begins by hiding what is there already from the collector.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import shutil
import sys
import tempfile
import traceback
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

USER_ERROR = "user_error"


def call(function: str, payload: str) -> str:
    """Runs ``module:function`` on a JSON payload; a user's error comes back as a value, not as a Java stack.

    Args:
        function: dotted module, a colon, the function's name; it takes and returns a JSON-able dict.
        payload: JSON; with ``receipt`` (a path) the result is written there when done.
    """
    _begin()
    module, name = function.split(":")
    request = json.loads(payload)
    receipt = request.pop("receipt", None)
    from tamis.errors import ReadError, TamisError

    try:
        result = getattr(importlib.import_module(module), name)(request)
    except ReadError as error:  # storage failed: let Spark try the task again
        raise RuntimeError(f"{request.get('label', function)}: {error}") from None
    except TamisError as error:
        return json.dumps({USER_ERROR: str(error)})
    except Exception as error:  # the driver shows the last line and keeps the trace for the log
        where = request.get("label", function)
        raise RuntimeError(f"{where}: {type(error).__name__}: {error}\n{traceback.format_exc()}") from None
    answer = json.dumps(result, ensure_ascii=False)
    if receipt:
        _write_receipt(Path(receipt), answer)
    return answer


def _write_receipt(path: Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.write_text(answer, "utf-8")
    temporary.replace(path)


def emit_blocks(function: str, payloads: Iterable[str]) -> Iterator[Any]:
    """First side of an exchange: what ``function`` yields for each payload, packed for Spark."""
    _begin()
    from pipelines.spark.exchange import pack, run_step

    for text in payloads:
        payload = json.loads(text)
        yield from pack(run_step(payload["label"], function, payload))


def receive_blocks(function: str, settings: str, last: bool, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    """Another side of an exchange: hands a partition's rows to ``function``; packs blocks, or answers in the last."""
    _begin()
    from pipelines.spark.exchange import pack, run_step, unpack

    opened = json.loads(settings)
    found = run_step(opened["label"], function, unpack(partition, records), opened)
    yield from (json.dumps(answer, ensure_ascii=False) for answer in found) if last else pack(found)


def _begin() -> None:
    """What every task starts with."""
    unpack_code()
    gc.freeze()
    from pipelines.spark.gpu import take_gpu

    take_gpu()


def unpack_code() -> None:
    """If this package was imported from a zip, puts an unpacked copy of it first on ``sys.path``."""
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
    for parent in path.parents:
        if parent.suffix == ".zip" and parent.is_file():
            return parent
    return None
