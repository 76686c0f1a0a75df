"""One lazy Spark session for a whole test run.

Two cores, few partitions, no web page, everything in a scratch folder.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.spark.session import Cluster, local_settings

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
    yield shared
    shared.stop()


@pytest.fixture
def partitions(cluster: Cluster) -> Iterator[None]:
    """Puts the number of shuffle partitions back behind a test that changes it."""
    yield
    cluster.spark.conf.set("spark.sql.shuffle.partitions", PARTITIONS)
