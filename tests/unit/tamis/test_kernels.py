"""A kernel is compiled anew if, and only if, something that it is made of has changed; its cache stops nothing."""

from __future__ import annotations

import importlib
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tamis import kernels
from tamis.kernels import KEPT_DAYS, Unknown, fingerprint

SOURCES = {
    "kernels_bottom": """
import enum
from typing import NamedTuple
import numba as nb
import numpy as np

LIMIT = 3
WIDE = np.uint64(5)
TABLE = np.array([1, 2, 3])
OTHER = 1


class Kind(enum.IntEnum):
    PLAIN = 1


class Pair(NamedTuple):
    first: int
    second: int


PLACES = Pair(7, 8)
""",
    "kernels_middle": """
import kernels_bottom as bottom
from kernels_bottom import LIMIT, OTHER, TABLE
from tamis.kernels import kernel


@kernel(inline="always")
def inlined(x):
    # A comment.
    return x + LIMIT


@kernel
def called(x, times=2):
    return x * times + TABLE[0] + bottom.LIMIT


def neighbour(x):
    return x + OTHER
""",
    "kernels_top": """
from kernels_bottom import PLACES, WIDE, Kind
from kernels_middle import called, inlined, neighbour
from tamis.kernels import kernel

UNUSED = 1


@kernel
def top(x):
    '''A docstring.'''
    return inlined(x) + called(x) + PLACES[0] + int(WIDE) + Kind.PLAIN.value
""",
}
VALUE = (1 + 3) + (1 * 2 + 1 + 3) + 7 + 5 + 1

Load = Callable[[], Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports the modules anew, as another process would, and gives the kernel; its cache is empty at first."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source, "utf-8")

    def forget() -> None:
        importlib.invalidate_caches()
        for name in SOURCES:
            sys.modules.pop(name, None)

    def fresh() -> Any:
        forget()
        return importlib.import_module("kernels_top").top

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two edits in one second are no two versions to Python
    yield fresh
    forget()


def edit(folder: Path, module: str, old: str, new: str) -> None:
    path = folder / f"{module}.py"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def misses(kernel: Any) -> int:
    return sum(kernel.stats.cache_misses.values())


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "tamis").glob("kernels_top.*"))


@pytest.mark.parametrize(
    ("module", "old", "new", "change"),
    [
        ("kernels_top", "inlined(x) +", "2 * inlined(x) +", 4),
        ("kernels_middle", "return x + LIMIT", "return x - LIMIT", -6),
        ("kernels_middle", "x * times", "x * times * 10", 18),
        ("kernels_middle", "times=2", "times=3", 1),
        ("kernels_middle", "TABLE[0]", "TABLE[1]", 1),
        ("kernels_bottom", "LIMIT = 3", "LIMIT = 4", 2),
        ("kernels_bottom", "[1, 2, 3]", "[5, 2, 3]", 4),
        ("kernels_bottom", "Pair(7, 8)", "Pair(9, 8)", 2),
        ("kernels_bottom", "np.uint64(5)", "np.uint64(6)", 1),
        ("kernels_bottom", "PLAIN = 1", "PLAIN = 3", 2),
    ],
)
def test_an_edit_of_what_a_kernel_is_made_of_is_seen(
    load: Load, tmp_path: Path, module: str, old: str, new: str, change: int
) -> None:
    assert load()(1) == VALUE
    edit(tmp_path, module, old, new)
    edited = load()
    assert edited(1) == VALUE + change and misses(edited) == 1
    edit(tmp_path, module, new, old)
    back = load()
    assert back(1) == VALUE and misses(back) == 0  # the entry of before is there still


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("kernels_middle", "# A comment.", "# Another,\n    # of two lines."),
        ("kernels_top", "A docstring.", "Another."),
        ("kernels_top", "UNUSED = 1", "UNUSED = 2\n\n\ndef more():\n    return 1"),
        ("kernels_middle", "return x + OTHER", "return x - OTHER"),
        ("kernels_bottom", "OTHER = 1", "OTHER = 2"),
        ("kernels_bottom", "import enum", "import enum\nimport json"),
    ],
)
def test_an_edit_of_anything_else_compiles_nothing(load: Load, tmp_path: Path, module: str, old: str, new: str) -> None:
    load()(1)
    (entry,) = entries(tmp_path)
    edit(tmp_path, module, old, new)
    edited = load()
    assert edited(1) == VALUE and misses(edited) == 0 and entries(tmp_path) == [entry]


def test_a_docstring_that_is_also_a_value_counts(load: Load, tmp_path: Path) -> None:
    edit(tmp_path, "kernels_top", "    return inlined", "    return len('A docstring.') + inlined")
    assert load()(1) == VALUE + 12
    text = (tmp_path / "kernels_top.py").read_text("utf-8")
    (tmp_path / "kernels_top.py").write_text(text.replace("A docstring.", "Longer by 13 letters now."), "utf-8")
    assert load()(1) == VALUE + 25


def test_a_kernel_of_which_not_all_is_understood_is_not_kept(load: Load, tmp_path: Path) -> None:
    edit(
        tmp_path,
        "kernels_middle",
        "def neighbour",
        "from numba.extending import register_jitable\n\n\n@register_jitable\ndef neighbour",
    )
    edit(tmp_path, "kernels_top", "inlined(x) +", "inlined(x) + neighbour(x) +")
    for _ in range(2):
        top = load()
        assert top(1) == VALUE + 2 and misses(top) == 1 and not entries(tmp_path)
        with pytest.raises(Unknown, match="function"):
            fingerprint(top)


def test_a_global_that_changes_under_a_process_is_not_kept(load: Load, tmp_path: Path) -> None:
    """numba goes on with the old helper and inlines the new one: no key could say so."""
    top = load()
    sys.modules["kernels_middle"].called(1)
    sys.modules["kernels_middle"].LIMIT = 9
    sys.modules["kernels_middle"].TABLE = sys.modules["kernels_middle"].TABLE + 1
    top(1)
    assert not entries(tmp_path)
    assert load()(1) == VALUE


def test_a_spoiled_entry_is_made_again(load: Load, tmp_path: Path) -> None:
    load()(1)
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    again = load()
    assert again(1) == VALUE and misses(again) == 1 and len(entry.read_bytes()) > len(whole) // 2


def test_without_a_folder_to_write_to_it_compiles(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert load()(1) == VALUE
    monkeypatch.setattr("numba.core.serialize.dumps", None)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "other"))
    assert load()(1) == VALUE and not kernels._turns


def test_a_kernel_that_does_not_compile_lets_others_try(load: Load, tmp_path: Path) -> None:
    from numba.core.errors import TypingError

    with pytest.raises(TypingError):
        load()("text")
    assert not kernels._turns and not list((tmp_path / "cache" / "tamis").glob("*.lock"))


def test_from_a_zip_too(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        for name in SOURCES:
            archive.write(tmp_path / f"{name}.py", f"{name}.py")
            (tmp_path / f"{name}.py").unlink()
    monkeypatch.syspath_prepend(str(tmp_path / "code.zip"))
    assert load()(1) == VALUE
    again = load()
    assert again(1) == VALUE and misses(again) == 0


def test_what_nobody_reads_goes(load: Load, tmp_path: Path) -> None:
    load()(1)
    (entry,) = entries(tmp_path)
    dead = entry.with_name("kernels_top.gone-1-2.kernel")
    dead.write_bytes(b"")
    long_ago = time.time() - (KEPT_DAYS + 1) * 86400
    for path in (entry, dead):
        os.utime(path, (long_ago, long_ago))
    assert misses(load()) == 0 and load()(1) == VALUE
    kernels.remove_unread.cache_clear()
    load()(1.0)
    assert entry.exists() and not dead.exists()
