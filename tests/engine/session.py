"""One lazy Spark session for a whole test run.

Two cores, few partitions, no web page, everything in a scratch folder.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corpus.files import stable_hash
from filters.quality.references import reference_identity
from filters.quality.training import WordsTraining
from pipelines.spark.session import Cluster, local_settings
from pipelines.stages import trained_model

PARTITIONS = "3"


@functools.cache
def _cluster(scratch: Path) -> Cluster:
    settings = {
        **local_settings(),
        "spark.master": "local[2,4]",  # four tries a task: plain local[2] never repeats one
        "spark.driver.memory": "2g",
        # Short queries end before they are worth compiling; the tests that start a process of their own do compile, and
        # must give the same bytes.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        # A third less of a small run; why it is no user's default is said in pipelines.spark.session.
        "spark.python.unix.domain.socket.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(scratch / "local"),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.shuffle.partitions": PARTITIONS,  # more of them are empty on so little data
    }
    return Cluster(settings)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Starts Spark at its first use; a session in which no test needs it starts no JVM."""
    shared = _cluster(tmp_path_factory.getbasetemp() / "spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained_model, "train", trained_once(tmp_path_factory.mktemp("models")))
        yield shared
    shared.stop()


def trained_once(kept: Path) -> Callable[..., None]:
    """The training of models, which gives the same files for the same settings and texts: once a test run for each.

    Args:
        kept: folder of the models that were trained.
    """
    train = trained_model.train

    def once(training: WordsTraining, base: Path, folder: Path) -> None:
        settings = training.model_dump(mode="json", exclude={"references": {"__all__": {"paths"}}})
        texts = [reference_identity(reference, "references", base) for reference in training.references]
        model = kept / stable_hash([settings, texts])
        if not model.exists():
            train(training, base, model)
        shutil.copytree(model, folder)

    return once


@pytest.fixture
def partitions(cluster: Cluster) -> Iterator[None]:
    """Puts the number of shuffle partitions back behind a test that changes it."""
    yield
    cluster.spark.conf.set("spark.sql.shuffle.partitions", PARTITIONS)
