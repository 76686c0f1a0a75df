"""The `tamis` command, also as `python -m tamis`: importing this has looked already whether `cli` is ours.

No module is taken from the current folder, neither here nor in the processes that this one starts: a `numpy.py` that
lies there is somebody's own. What PYTHONPATH names counts as always.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from tamis.places import ROOT


def main() -> None:
    """Runs the command; `cli` lies above this room, so it is imported by its name."""
    leave_working_directory()
    import_module("cli.main").main()


def leave_working_directory() -> None:
    """Drops the current folder that `python -m` put first on `sys.path`, unless our code lies there."""
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    here = os.getcwd()
    if not sys.flags.safe_path and sys.path[:1] == [here] and here != str(ROOT):
        del sys.path[0]


if __name__ == "__main__":
    main()
