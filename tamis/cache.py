"""Where Tamis keeps what can be made again: compiled kernels, unpacked code, packaged reference text.

Compiled kernels go to a folder named by a digest of all our sources. numba itself looks only at the file of the
function that it loads: after an upgrade, or an edit of a helper in another file, it would go on using machine code of
the old helper. It would also write beside the sources, which on a cluster may be read-only.

Cost: reading some 500 kB of sources, 5 ms, once a process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

from tamis.errors import TamisError
from tamis.places import ROOT

_HOMES = (("TAMIS_CACHE", ""), ("XDG_CACHE_HOME", "tamis"))
KERNEL_PACKAGES = ("tamis", "text", "corpus", "filters", "dedup", "sampler")


def cache_folder() -> Path:
    """The first of $TAMIS_CACHE, $XDG_CACHE_HOME/tamis and ~/.cache/tamis that is writable; else a temporary folder."""
    wanted = [Path(base).absolute() / below for name, below in _HOMES if (base := os.environ.get(name))]
    with contextlib.suppress(RuntimeError):  # no HOME, and no entry in the password file
        wanted.append(Path.home() / ".cache" / "tamis")
    for folder in wanted:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    return temporary_cache_folder()


def temporary_cache_folder() -> Path:
    """A folder below the system's temporary one that belongs to this user alone.

    Raises:
        TamisError: somebody else owns the folder of that name.
    """
    folder = Path(tempfile.gettempdir()) / f"tamis-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise TamisError(f"{folder} belongs to another user: set TAMIS_CACHE to a folder of your own")
    return folder


@cache
def use_kernel_cache() -> None:
    """Points numba at the cache of these very sources; does nothing in a zip, or where the user set NUMBA_CACHE_DIR."""
    if "NUMBA_CACHE_DIR" in os.environ and os.environ.get("TAMIS_KERNEL_CACHE") != os.environ["NUMBA_CACHE_DIR"]:
        return
    if not (ROOT / "corpus").is_dir():
        return
    digest = hashlib.sha256()
    for package in KERNEL_PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    folder = str(cache_folder() / "kernels" / digest.hexdigest()[:16])
    os.environ["NUMBA_CACHE_DIR"] = os.environ["TAMIS_KERNEL_CACHE"] = folder
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder  # type: ignore[attr-defined]
