"""Token bins built by Spark tasks: byte for byte those of one process, and a user's error is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.run.token_bins import build_on
from pipelines.spark.session import Cluster
from sampler.bins.build import build_bins
from sampler.mixture import Mixture
from sampler.prepare import tokenizer_for_mixture
from sampler.tokenizer.model import Tokenizer
from tamis.errors import TamisError
from tests.support.sampler_run import SMALL, write_run, write_shard

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("tokens") / "run")


@pytest.fixture(scope="module")
def tokenizer(run: Path) -> Tokenizer:
    return tokenizer_for_mixture(
        run, Mixture.model_validate({"domains": "*", "sequence_length": 8, "seed": 1, "tokenizer": SMALL})
    )


def model_of(run: Path, tokenizer: Tokenizer) -> Path:
    return run / "tokenizer" / tokenizer.digest[:12] / "tokenizer.model"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_cluster_builds_the_same_bytes(cluster: Cluster, run: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    alone, spark = tmp_path / "alone", tmp_path / "spark"
    build_bins(run, tokenizer, str(alone))
    bins = build_on(cluster, run, model_of(run, tokenizer), str(spark))
    assert files_of(alone) == files_of(spark)
    assert sum(bins.tokens.values()) == sum(
        len(data) // 2 for name, data in files_of(spark).items() if name.endswith(".bin")
    )
    (spark / "zh" / "zh-00001.bin").unlink()
    (spark / "bins.json").unlink()
    build_on(cluster, run, model_of(run, tokenizer), str(spark))  # an interrupted build goes on, task receipts or not
    assert files_of(alone) == files_of(spark)


def test_a_broken_shard_is_one_sentence(cluster: Cluster, tokenizer: Tokenizer, run: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "run" / "shards" / "en" / "a.parquet", ["one"], 1)
    (tmp_path / "run" / "shards" / "en" / "b.parquet").write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(TamisError, match=r"b\.parquet: cannot be read as Parquet") as caught:
        build_on(cluster, tmp_path / "run", model_of(run, tokenizer), str(tmp_path / "out"))
    assert "\n" not in str(caught.value)
