"""Three snapshots, each run against the one before, and one run over all of them: made once for several test files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from corpus import ids
from pipelines.spark.session import Cluster
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute
from tests.oracles.similarities import similarity_matrix
from tests.support.snapshots import Growing, growing, write_growing_pipeline


@dataclass(frozen=True)
class Story:
    """The runs of three snapshots, and the run over all of them.

    Attributes:
        corpus: the documents.
        pipelines: the pipeline of each snapshot.
        runs: each against the one before.
        union: one run over all.
        untouched: digests of the first two run folders when each was finished.
    """

    corpus: Growing
    pipelines: tuple[Path, ...]
    runs: tuple[RunReader, ...]
    union: RunReader
    untouched: tuple[dict[str, str], ...]

    @cached_property
    def text(self) -> dict[str, str]:
        """Raw text by name."""
        return {name: d.text for name, d in self.corpus.documents.items()}

    @cached_property
    def place(self) -> dict[str, int]:
        """The row of each name in `similarity`, names ascending."""
        return {name: i for i, name in enumerate(sorted(self.text))}

    @cached_property
    def similarity(self) -> npt.NDArray[np.float32]:
        """The oracle's similarity of all pairs of documents."""
        return similarity_matrix([self.text[name] for name in self.place])

    def alike(self, one: str, other: str) -> float:
        """The oracle's similarity of two documents."""
        return float(self.similarity[self.place[one], self.place[other]])

    @cached_property
    def kept(self) -> list[str]:
        """The names that any snapshot published, sorted."""
        return sorted(name for run in self.runs for name in run.kept_names())

    @cached_property
    def fates(self) -> dict[str, tuple[str, str | None]]:
        """Stage and survivor of each name that was dropped."""
        return {name: fate for run in self.runs for name, fate in fates_of(run, self.name).items()}

    def name(self, doc_id: int) -> str:
        """The name of a document of any snapshot."""
        return self.runs[ids.snapshot_of(doc_id)].name(doc_id)


def fates_of(run: RunReader, name: Callable[[int], str]) -> dict[str, tuple[str, str | None]]:
    """Stage and survivor of each document that a run dropped, by name."""
    return {
        run.name(i): (stage, None if row["survivor"] is None else name(row["survivor"]))
        for i, (stage, row) in run.fates().items()
    }


def digests_of(root: Path) -> dict[str, str]:
    """sha256 of every file of a run folder."""
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="session")
def story(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """All four runs."""
    folder = tmp_path_factory.mktemp("snapshots")
    corpus = growing()
    globs = corpus.write(folder)
    pipelines, runs, untouched = [], [], []
    for number, found in enumerate(globs):
        pipelines.append(write_growing_pipeline(folder / f"snapshot-{number}.yaml", [found], number))
        against = runs[-1].root if runs else None
        runs.append(execute(pipelines[-1], folder / f"run-{number}", cluster, against=against))
        untouched.append(digests_of(runs[-1].root))
    whole = write_growing_pipeline(folder / "union.yaml", globs, 0)
    union = execute(whole, folder / "union", cluster)
    return Story(corpus, tuple(pipelines), tuple(runs), union, tuple(untouched))
