"""Code of a user's own that a configuration names: found by its name, known by a version, told plainly when it fails.

A *reference* is `module:name`, the form of Python's entry points. What an installed package registers as an entry point
goes by its short name. Only what a configuration names is imported.

    stages: {my_package.my_stage:LongWords: {most: 0.2}}
    inputs: [{domain: quotes, paths: [quotes/*.gz], format: my_package.fortunes:read}]
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from tamis.errors import ConfigError
from tamis.places import ROOT

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_reference(text: str) -> bool:
    """Whether a text has the form `module:name`."""
    return _REFERENCE.fullmatch(text) is not None


def installed(group: str) -> dict[str, str]:
    """What installed packages register as entry points of a group: name → reference."""
    return {found.name: found.value.replace(" ", "") for found in entry_points(group=group)}


def use_folders(folders: Iterable[Path]) -> None:
    """Lets modules be imported from some folders, behind all that is found already: nothing there hides anything.

    They come before the folders of an earlier call, whose modules of the same names are forgotten.
    """
    wanted = [str(folder) for folder in folders]
    earlier = [path for path in _used if path not in wanted]
    sys.path[:] = [path for path in sys.path if path not in _used]
    _used[:] = [path for path in wanted if path not in sys.path] + earlier
    sys.path += _used
    importlib.invalidate_caches()
    for name, module in list(sys.modules.items()) if earlier else ():
        held, top = getattr(module, "__dict__", {}), name.partition(".")[0]
        places = [str(place) for place in (held.get("__file__"), *(held.get("__path__") or ())) if place]
        hides = any((Path(f) / top).is_dir() or (Path(f) / f"{top}.py").is_file() for f in wanted)
        if hides and any(Path(place).is_relative_to(old) for place in places for old in earlier):
            del sys.modules[name]


_used: list[str] = []
"""The folders of code at the end of `sys.path`."""


def find(reference: str, where: str) -> Any:
    """What a reference names; `where` is the key of the configuration, for messages.

    Raises:
        ConfigError: there is no such module or name, or the module fails to be imported.
    """
    module_name, _, name = reference.partition(":")
    if module_name == "__main__":
        raise ConfigError(f"{where}: found code of a script or notebook; expected a module, which workers can import")
    try:
        module = _imported(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{where}: found no module {error.name!r}; expected one that is installed, on PYTHONPATH, or in a "
                "folder that `code` names"
            ) from None
        raise ConfigError(f"{where}: {module_name} cannot be imported: {failure(error)}") from error
    except Exception as error:
        raise ConfigError(f"{where}: {module_name} cannot be imported: {failure(error)}") from error
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, vars(module), 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(f"{where}: found no {name!r} in {module.__file__}{hint}")
    return getattr(module, name)


_loaded: dict[str, tuple[ModuleType, bytes]] = {}


def _imported(name: str) -> ModuleType:
    """A module, imported anew if its file has changed since this process did so: a notebook sees what one edits."""
    module = importlib.import_module(name)
    path = Path(getattr(module, "__file__", None) or "")
    source = path.read_bytes() if path.suffix == ".py" and path.is_file() else b""
    known = _loaded.get(name)
    if known is not None and known[0] is module and known[1] != source:
        module = importlib.reload(module)
    _loaded[name] = (module, source)
    return module


def reference_of(found: Any) -> str:
    """The reference of a class or function; of anything else, how it is written."""
    return f"{found.__module__}:{found.__qualname__}" if hasattr(found, "__qualname__") else str(found)


def source_version(found: Any) -> str:
    """What a class or function that states no version is known by: a digest of the source of its module, 12 digits."""
    module = inspect.getmodule(found)
    try:
        source = inspect.getsource(module or found).encode()
    except (OSError, TypeError):  # compiled code
        path = getattr(module, "__file__", None)
        source = Path(path).read_bytes() if path else reference_of(found).encode()
    return hashlib.sha256(source).hexdigest()[:12]


def failure(error: BaseException) -> str:
    """An error of somebody else's code in one line: its kind, what it says, and where it was raised."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    said = " ".join(str(error).split())
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    theirs = [f for f in frames if not f.filename.startswith((str(ROOT / ""), "<"))] or frames
    own = [f for f in theirs if "site-packages" not in f.filename and not f.filename.startswith(sys.base_prefix)]
    place = (own or theirs)[-1:]
    at = "".join(f" ({Path(f.filename).name}, line {f.lineno})" for f in place)
    return f"{type(error).__name__}{': ' if said else ''}{said[:300]}{at}"


def module_of(reference: str) -> ModuleType:
    """The top-level module or package that a reference, found before, lies in."""
    return sys.modules[reference.partition(":")[0].partition(".")[0]]
