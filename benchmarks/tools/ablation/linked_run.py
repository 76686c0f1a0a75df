"""A run folder that borrows another's shards, so that nothing is written into that one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tamis.errors import ConfigError


def link_run(run: Path, work: Path, domains: Iterable[str]) -> Path:
    """Links some domains of a run into another folder; returns that folder.

    Args:
        run: the run of `make demo`.
        work: the folder; made where it is missing.
        domains: their names.

    Raises:
        ConfigError: the run lacks one of them.
    """
    (work / "shards").mkdir(parents=True, exist_ok=True)
    for domain in domains:
        source, link = run / "shards" / domain, work / "shards" / domain
        if not source.is_dir():
            raise ConfigError(f"--run: found {run} without the domain {domain!r}; expected the run of `make demo`")
        if not link.exists():
            link.symlink_to(source.resolve(), target_is_directory=True)
    return work
