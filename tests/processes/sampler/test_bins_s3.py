"""Token bins on S3, against moto's server: the bytes of local ones, resumable, and what is damaged refused by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from sampler.bins.build import Built, ShardToBuild, build_bins, build_shard
from sampler.bins.manifests import open_bins, tokenizer_of, verify_bins
from sampler.bins.remote_store import RemoteStore
from sampler.export.megatron import export_megatron
from sampler.mixture import Mixture
from sampler.prepare import prepare
from sampler.published import list_shards
from sampler.tokenizer.model import Tokenizer, tokenizer_for
from sampler.tokenizer.training import TokenizerConfig
from tamis.errors import ConfigError, TamisError
from tests.support.moto_server import ask, moto_server, uri
from tests.support.sampler_run import SMALL, write_run

SHARDS = ("en/en-00000", "en/en-00001", "zh/zh-00000", "zh/zh-00001")
MIXTURE: dict[str, Any] = {"domains": "*", "sequence_length": 64, "seed": 3, "shuffle_block_tokens": 2048}


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with moto_server() as port:
        yield port


@pytest.fixture
def bucket(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the test's own, and a cache of its own."""
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    assert ask(server, "PUT", f"/{name}")[0] == 200
    return name


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("s3") / "run")


@pytest.fixture(scope="module")
def tokenizer(run: Path) -> Tokenizer:
    return tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)


@pytest.fixture(scope="module")
def local(run: Path, tokenizer: Tokenizer) -> Path:
    build_bins(run, tokenizer, str(run.parent / "bins"))
    return run.parent / "bins"


def objects(server: int, bucket: str, names: list[str]) -> dict[str, bytes]:
    found = {}
    for name in names:
        status, found[name] = ask(server, "GET", f"/{bucket}/bins/{name}")
        assert status == 200, name
    return found


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and "index" not in path.relative_to(folder).parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_same_bytes_as_a_local_build(
    server: int, bucket: str, run: Path, tokenizer: Tokenizer, local: Path
) -> None:
    place = uri(server, f"{bucket}/bins")
    built = build_bins(run, tokenizer, place)
    wanted = files(local)
    assert objects(server, bucket, sorted(wanted)) == wanted and len(wanted) == 4 * 3 + 2 + 2
    assert tokenizer_of(place).digest == tokenizer.digest == built.tokenizer_digest
    assert verify_bins(open_bins(place)) == verify_bins(open_bins(str(local)))


@pytest.mark.parametrize("packing", ["concat", "best_fit", "document"])
def test_the_same_batches_as_from_local_bins(
    server: int, bucket: str, run: Path, tokenizer: Tokenizer, local: Path, packing: str
) -> None:
    place = uri(server, f"{bucket}/bins")
    build_bins(run, tokenizer, place)
    here, there = (prepare(run, Mixture(**MIXTURE, packing=packing, bins=p)).stream for p in (str(local), place))
    for start in (0, 8, 400):
        one, other = here.batch(start, start + 8), there.batch(start, start + 8)
        for name in ("tokens", "labels", "positions", "segments", "cu_seqlens"):
            first, second = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
            assert first.dtype == second.dtype and first.tobytes() == second.tobytes(), name
        assert [row.doc_ids.tolist() for row in one.sequences] == [row.doc_ids.tolist() for row in other.sequences]


def test_a_killed_build_goes_on_where_it_was(server: int, bucket: str, run: Path, tokenizer: Tokenizer) -> None:
    place = uri(server, f"{bucket}/deep/er/bins")

    class Killed(Exception):
        pass

    def two_then_die(tasks: list[ShardToBuild]) -> Iterator[Built]:
        for task in tasks[:2]:
            yield build_shard(task, tokenizer)
        raise Killed

    with pytest.raises(Killed):
        build_bins(run, tokenizer, place, each=two_then_die)
    with pytest.raises(TamisError, match=f"s3://{bucket}/deep/er/bins: holds no finished token bins"):
        open_bins(place)
    built: list[str] = []

    def rest(tasks: list[ShardToBuild]) -> Iterator[Built]:
        for task in tasks:
            assert task.out == place  # endpoint and all: a task elsewhere finds the store by it
            built.append(task.path.stem)
            yield build_shard(task)  # with the tokenizer that lies beside the bins

    assert [shard.documents for shard in build_bins(run, tokenizer, place, each=rest).domains["zh"]] == [60, 60]
    assert built == ["zh-00000", "zh-00001"]
    assert build_bins(run, tokenizer, place, each=rest) and len(built) == 2


def test_an_upload_that_was_cut_off_is_not_there(server: int, bucket: str) -> None:
    status, answer = ask(server, "POST", f"/{bucket}/bins/en/a.bin?uploads")
    upload = answer.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    assert status == 200 and upload
    assert ask(server, "PUT", f"/{bucket}/bins/en/a.bin?partNumber=1&uploadId={upload}", b"half")[0] == 200
    assert RemoteStore(uri(server, f"{bucket}/bins")).size("en/a.bin") is None


@pytest.mark.parametrize("name", ["en/en-00001.bin", "zh/zh-00000.idx"])
def test_damage_is_refused_by_name(server: int, bucket: str, run: Path, tokenizer: Tokenizer, name: str) -> None:
    place, key = uri(server, f"{bucket}/bins", attempts=2), f"/{bucket}/bins/{name}"
    build_bins(run, tokenizer, place)
    whole = ask(server, "GET", key)[1]

    def read() -> None:
        bins = open_bins(place)
        for shards in bins.domains.values():
            for shard in shards:
                shard.read(0, shard.tokens)

    for at in (0, len(whole) // 2, len(whole) - 1):
        ask(server, "PUT", key, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(TamisError, match=rf"s3://{bucket}/bins/{name}: is corrupt or was exchanged"):
            read()
        for path in _cached():
            path.unlink()
    ask(server, "PUT", key, whole[:-2])
    with pytest.raises(TamisError, match=rf"bins/{name}: cannot be read in 2 attempts \(.*truncated or still"):
        read()
    assert ask(server, "DELETE", key)[0] == 204
    with pytest.raises(TamisError, match=rf"s3://{bucket}/bins/{name}: is missing\."):
        read()
    build_bins(run, tokenizer, place)  # building heals
    assert ask(server, "GET", key)[1] == whole
    read()


def _cached() -> list[Path]:
    from tamis.cache import cache_folder

    return [path for path in (cache_folder() / "bins").rglob("*") if path.is_file()]


def test_another_tokenizer_and_no_bucket(server: int, bucket: str, run: Path, tokenizer: Tokenizer) -> None:
    place = uri(server, f"{bucket}/bins")
    build_bins(run, tokenizer, place)
    other = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL | {"vocab_size": 640}), 1)
    with pytest.raises(ConfigError, match=f"s3://{bucket}/bins: found bins of tokenizer {tokenizer.digest[:12]}"):
        build_bins(run, other, place)
    with pytest.raises(TamisError, match=r"s3://nobody/bins/tokenizer\.model: cannot be written \(.*NO_SUCH_BUCKET"):
        build_bins(run, tokenizer, uri(server, "nobody/bins"))  # at once: another attempt would not help
    with pytest.raises(TamisError, match="s3://nobody/bins: holds no finished token bins"):
        open_bins(uri(server, "nobody/bins"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attempts": 0}, "attempts=0&deadline"),
        ({"attempts": "x"}, "attempts=x&deadline"),
        ({"deadline": -1}, "deadline=-1.; expected"),
        ({"colour": "red", "secret_key": "hidden"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as found:
        RemoteStore(uri(1, "bucket/bins", **settings))
    assert "hidden" not in str(found.value)


def test_stores_that_nobody_knows() -> None:
    with pytest.raises(ConfigError, match="gopher://bucket/bins: cannot be opened"):
        open_bins("gopher://bucket/bins")


def test_commands_take_the_uri(server: int, bucket: str, run: Path, tokenizer: Tokenizer, local: Path) -> None:
    place, folder = uri(server, f"{bucket}/bins"), local.parent
    (folder / "zh.model").write_bytes((local / "tokenizer.model").read_bytes())
    for arguments in (
        ["build", str(run), "--tokenizer", str(folder / "zh.model"), "--out", place],
        ["verify", place],
        ["export", place, str(folder / "out"), "--to", "megatron"],
    ):
        assert CliRunner().invoke(app, ["tokens", *arguments], catch_exceptions=False).exit_code == 0
    export_megatron(open_bins(str(local)), folder / "wanted")
    assert files(folder / "out") == files(folder / "wanted")
