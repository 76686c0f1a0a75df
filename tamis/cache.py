"""Where Tamis keeps what can be made again: compiled kernels, unpacked code, packaged reference text."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from tamis.errors import TamisError

_HOMES = (("TAMIS_CACHE", ""), ("XDG_CACHE_HOME", "tamis"))


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


def kernel_folder() -> Path:
    """Where machine code is kept: $NUMBA_CACHE_DIR/tamis, where somebody set it, else `kernels` in our cache folder."""
    wish = os.environ.get("NUMBA_CACHE_DIR")
    return Path(wish).absolute() / "tamis" if wish else cache_folder() / "kernels"


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
