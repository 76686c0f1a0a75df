"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds the packages."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger real inputs that may lie beside a checkout, `../shared/data`."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the shared data folder beside the checkout (../shared/data)")
    return folder


SHARED = {
    "story": ("test_snapshots", "test_snapshots_again", "test_snapshots_cli"),
    "finished": ("test_again", "test_errors", "test_exchange", "test_publishing", "test_stages"),
}
"""Costly fixtures, and the files whose tests share one."""


COMPILED_FIRST = tuple(f"tests/unit/{room}/" for room in ("text", "corpus", "filters", "dedup"))
"""Rooms whose tests compile nearly every kernel, each once; in tests of Spark four workers would do so at a time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What compiles kernels comes first, then as collected: what takes longest, e2e and engine, before most of unit."""
    items.sort(key=lambda item: not item.nodeid.startswith(COMPILED_FIRST))


class FilesTogether(LoadScopeScheduling):
    """Keeps the tests of a file in one process, and so those of files that share a costly fixture."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return next((name for name, files in SHARED.items() if Path(path).stem in files), path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """xdist's own groups lose their names under pytest 9."""
    return FilesTogether(config, log)
