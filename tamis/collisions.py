"""Whether the other packages of ours are ours: their names are common words, which other people's modules have too.

A script beside somebody's `trainer/`, a folder with a `text.py` in which Python was started, a distribution that
installs `corpus`: what comes first on `sys.path` would be imported in our package's place, and fail far from its cause.
So `import tamis`, and with it each command, job and task, looks first, and refuses in one sentence with both paths.

Nothing is imported for it: the finders that `import` would ask say where a name leads. A distribution installed over
ours leaves our path and other contents; so the first line of each package's `__init__.py` is compared as well.

Cost: nine names looked up and nine first lines read, once a process: 0.4 ms beyond what any import pays for listing the
folders of `sys.path`.
"""

from __future__ import annotations

import os
import sys

from tamis.errors import TamisError

ROOMS = {
    "cli": "The `tamis` command",
    "corpus": "Documents on disk",
    "dedup": "What repeats",
    "filters": "What is worth keeping",
    "jobs": "spark-submit entry points",
    "pipelines": "The only room that knows Spark",
    "sampler": "From published shards",
    "text": "Pure kernels over Arrow text",
    "trainer": "The trainer",
}
"""Our packages beside `tamis`, and how the first line of each begins."""
COMMANDS = ("tamis", "-m", "run_pipeline.py", "run_tokens.py")
"""Names of our programs wherever their file lies; `-m` is Python's, while it still looks for the module to run."""


class CollisionError(TamisError, ImportError):
    """Another module has the name of a package of ours, and Python would import that one."""


def refuse_strangers() -> None:
    """Refuses to go on where a package of ours is hidden: by exit code 2 in our commands, by an error elsewhere.

    Raises:
        CollisionError: one sentence; it is an ImportError too.
        SystemExit: the same, told on stderr, in a command or job of ours.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    said = told(root)
    if said is None:
        return
    if _is_program(sys.argv[0] if sys.argv else "", root):
        print(f"tamis: {said}", file=sys.stderr)
        sys.exit(2)
    raise CollisionError(said)


def _is_program(file: str, root: str) -> bool:
    """Whether the program that runs is one of ours, by its name or as a module of a package of ours."""
    room = os.path.relpath(os.path.abspath(file), root).split(os.sep)[0]
    return os.path.basename(file) in COMMANDS or (room in ("tamis", *ROOMS) and file.endswith(".py"))


def told(root: str) -> str | None:
    """The sentence about packages of ours, which lie in `root`, that `import` would not give us; None if it would."""
    hidden = {name: place for name in ROOMS if (place := _stranger(name, os.path.join(root, name))) is not None}
    if not hidden:
        return None
    (name, place), *others = hidden.items()
    ours = os.path.join(root, name)
    also = f" (and so with {', '.join(other for other, _ in others)})" if others else ""
    if place == ours:
        owners = _owners(name)
        return (
            f"import {name}: found {place} written over by {owners or 'something else'}; expected Tamis' own{also}: "
            f"uninstall that and install Tamis again, or give each an environment of its own"
        )
    return (
        f"import {name}: found {place} before Tamis' own {ours}; expected only the latter{also}: rename the first, or "
        "start where it is not on sys.path, or give Tamis an environment of its own"
    )


def _stranger(name: str, ours: str) -> str | None:
    """Where `import name` leads, unless it leads to us; our own path, if somebody else's code lies there."""
    module = sys.modules.get(name)
    if module is not None:
        folders, file = list(getattr(module, "__path__", ())), getattr(module, "__file__", None)
    else:
        finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
        spec = next((spec for find in finders if find is not None and (spec := find(name, None)) is not None), None)
        if spec is None:
            return None
        folders, file = list(spec.submodule_search_locations or ()), spec.origin
    if not any(folder == ours or os.path.realpath(folder) == os.path.realpath(ours) for folder in folders):
        return folders[0] if folders else file or name
    return None if _is_ours(name, ours) else ours


def _is_ours(name: str, folder: str) -> bool:
    """Whether a package begins as ours does; one that is no file, as in a zip, is not looked at."""
    try:
        with open(os.path.join(folder, "__init__.py"), encoding="utf-8") as file:
            return file.readline().startswith(f'"""{ROOMS[name]}')
    except OSError:
        return True
    except UnicodeDecodeError:
        return False


def _owners(name: str) -> str:
    """The other distributions that say they installed a package of that name."""
    from importlib.metadata import packages_distributions

    return " and ".join(sorted(set(packages_distributions().get(name, ())) - {"tamis"}))
