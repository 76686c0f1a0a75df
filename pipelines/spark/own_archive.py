"""Packs a user's own code into a zip that travels to the executors, where `pipelines.spark.worker` unpacks it.

What a pipeline's folders of code hold travels whole; a module found elsewhere travels with its top-level package,
unless it is installed in this environment: then it must be in that of the executors, as Tamis' own dependencies. The
zip is named by its content.
"""

from __future__ import annotations

import hashlib
import io
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from corpus.own_code import module_of
from pipelines.spark.package import EPOCH
from tamis.cache import cache_folder
from tamis.errors import ConfigError

MAX_BYTES = 64 << 20


def pack(folders: Iterable[Path], references: Iterable[str]) -> Path | None:
    """The zip of the code that some references need, in the cache folder; None where nothing need travel.

    Raises:
        ConfigError: there is more of it than code can be.
    """
    members = {path.relative_to(folder).as_posix(): path for folder in folders for path in _files(folder)}
    for reference in references:
        members |= _of_module(reference, folders)
    if not members:
        return None
    total = sum(path.stat().st_size for path in members.values())
    if total > MAX_BYTES:
        raise ConfigError(
            f"code: found {total / 1e6:,.0f} MB of files; expected folders of modules alone, of at most "
            f"{MAX_BYTES / 1e6:,.0f} MB"
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, date_time=EPOCH), members[name].read_bytes(), zipfile.ZIP_DEFLATED)
    data = packed.getvalue()
    out = cache_folder() / "own_code" / f"own-{hashlib.sha256(data).hexdigest()[:16]}.zip"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_suffix(".tmp")
        temporary.write_bytes(data)
        temporary.replace(out)
    return out


def _of_module(reference: str, folders: Iterable[Path]) -> dict[str, Path]:
    """The files of the top-level module of a reference, by their names in the zip."""
    module = module_of(reference)
    places = [Path(p) for p in getattr(module, "__path__", None) or [module.__file__ or "."]]
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    if any(place.resolve().is_relative_to(known) for place in places for known in [*installed, *folders]):
        return {}
    return {
        path.relative_to(place.parent).as_posix(): path
        for place in places
        for path in (_files(place) if place.is_dir() else [place])
    }


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder, but for hidden ones, caches, environments and run folders."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not any((path / mark).exists() for mark in ("pyvenv.cfg", "run.json")):
            yield from _files(path)
