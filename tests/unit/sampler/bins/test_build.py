"""Token bins: what is in them, that builds go on and agree, and that damaged ones are refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampler.bins.build import Built, ShardToBuild, build_bins, build_shard
from sampler.bins.format import TokenBins
from sampler.bins.manifests import open_bins, tokenizer_of, verify_bins
from sampler.prepare import bins_for
from sampler.published import list_shards
from sampler.tokenizer.model import Tokenizer, tokenizer_for
from sampler.tokenizer.training import TokenizerConfig
from sampler.weight_files import find_weights
from tamis.errors import ConfigError, TamisError
from tests.support.sampler_run import SMALL, texts, write_run, write_shard, write_weights


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("run") / "run")
    build(run)
    return run


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "run"))


def build(run: Path) -> tuple[Tokenizer, TokenBins]:
    tokenizer = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
    return tokenizer, bins_for(run, tokenizer)


def file_of(run: Path, name: str) -> Path:
    return next((run / "tokens").glob(f"*/{name}"))


def read_everything(bins: TokenBins) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return {n: np.concatenate([s.read(0, s.tokens) for s in shards]) for n, shards in bins.domains.items()}


def test_documents_lie_in_order_each_with_its_end(run: Path) -> None:
    tokenizer, bins = build(run)
    assert bins.tokenizer_digest == tokenizer.digest
    for domain, shards in bins.domains.items():
        documents = iter(texts(domain, 120))
        assert [shard.name for shard in shards] == [f"{domain}/{domain}-0000{k}" for k in (0, 1)]
        for shard in shards:
            index, tokens = shard.index, shard.read(0, shard.tokens)
            assert tokens.dtype == np.uint16 and shard.documents == len(index.doc_ids) == 60
            assert (np.diff(index.doc_ids) > 0).all() and index.offsets[-1] == shard.tokens == len(tokens)
            for row in range(60):
                found = tokens[index.offsets[row] : index.offsets[row + 1]]
                assert found[-1] == tokenizer.eos_id and (found[:-1] != tokenizer.eos_id).all()
                assert tokenizer.decode(found[:-1].tolist()) == next(documents)
            assert index.heldout.tolist() == [row % 10 == 0 for row in range(60)]


def test_anything_maps_a_bin(run: Path) -> None:
    _, bins = build(run)
    mapped = np.memmap(file_of(run, "en/en-00000.bin"), "<u2", "r")
    assert np.array_equal(mapped, bins.domains["en"][0].read(0, len(mapped)))


def test_a_big_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    class Model:
        def serialized_model_proto(self) -> bytes:
            return b"wide"

    class Wide(Tokenizer):
        vocab_size, eos_id = 70_000, 2  # type: ignore[assignment]

        def encode_batch(self, texts: Any) -> list[list[int]]:
            return [[69_999] * len(text) for text in texts]

    write_shard(tmp_path / "shards" / "en" / "a.parquet", ["abc", ""], 1)
    (found,) = bins_for(tmp_path, Wide(digest="wide", processor=Model())).domains["en"]
    assert found.read(0, 5).dtype == np.uint32 and found.read(0, 5).tolist() == [69_999] * 3 + [2, 2]


def test_reused_while_nothing_changed_and_only_what_is_new_is_built(run: Path) -> None:
    before = file_of(run, "en/en-00000.bin").stat().st_mtime_ns
    build(run)
    assert file_of(run, "en/en-00000.bin").stat().st_mtime_ns == before
    write_shard(run / "shards" / "en" / "en-00009.parquet", ["One more document."], 1 << 40)
    assert [shard.documents for shard in build(run)[1].domains["en"]] == [60, 60, 1]
    assert file_of(run, "en/en-00000.bin").stat().st_mtime_ns == before
    write_shard(run / "shards" / "en" / "en-00009.parquet", ["Another one."], 1 << 40)
    shard = build(run)[1].domains["en"][2]
    assert tokenizer_of(str(file_of(run, "bins.json").parent)).decode(shard.read(0, shard.tokens)) == "Another one."


def test_built_twice_byte_identical(run: Path) -> None:
    folder = file_of(run, "bins.json").parent
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    build(run)
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert len(before) == 4 * 3 + 2 + 2  # bin, idx, receipt a shard; a manifest a domain; head and tokenizer


def test_a_killed_build_goes_on_where_it_was(run: Path, tmp_path: Path) -> None:
    tokenizer, whole = build(run)

    class Killed(Exception):
        pass

    def two_then_die(tasks: list[ShardToBuild]) -> Iterator[Built]:
        for number, task in enumerate(tasks):
            if number == 2:
                raise Killed
            yield build_shard(task, tokenizer)

    out = str(tmp_path / "bins")
    with pytest.raises(Killed):
        build_bins(run, tokenizer, out, each=two_then_die)
    with pytest.raises(TamisError, match="holds no finished token bins"):
        open_bins(out)
    built: list[Path] = []

    def rest(tasks: list[ShardToBuild]) -> Iterator[Built]:
        for task in tasks:
            built.append(task.path)
            yield build_shard(task)  # with the tokenizer that lies beside the bins, as a task on a cluster does

    bins = build_bins(run, tokenizer, out, each=rest)
    assert [path.stem for path in built] == ["zh-00000", "zh-00001"]
    for name, tokens in read_everything(whole).items():
        assert np.array_equal(tokens, read_everything(bins)[name])


def test_another_tokenizer_is_refused(run: Path, tmp_path: Path) -> None:
    tokenizer, _ = build(run)
    other = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL | {"vocab_size": 640}), 1)
    build_bins(run, tokenizer, str(tmp_path / "bins"))
    with pytest.raises(
        ConfigError, match=f"found bins of tokenizer {tokenizer.digest[:12]}, not of {other.digest[:12]}"
    ):
        build_bins(run, other, str(tmp_path / "bins"))
    (tmp_path / "bins" / "tokenizer.model").write_bytes(b"exchanged")
    with pytest.raises(TamisError, match=r"tokenizer\.model: is not the tokenizer"):
        tokenizer_of(str(tmp_path / "bins"))


@pytest.mark.parametrize("name", ["en/en-00001.bin", "zh/zh-00000.idx"])
def test_damage_is_refused_by_name(run: Path, name: str) -> None:
    path, place = file_of(run, name), str(file_of(run, "bins.json").parent)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(TamisError, match=f"{name}: has {len(whole) - 2} bytes"):
        open_bins(place)
    for at in (0, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(TamisError, match=f"{name}: is corrupt or was exchanged"):
            read_everything(open_bins(place))
        with pytest.raises(TamisError, match=f"{name}: is corrupt or was exchanged"):
            verify_bins(open_bins(place))
    path.unlink()
    with pytest.raises(TamisError, match=f"{name}: is missing"):
        open_bins(place)
    build(run)  # building heals
    assert path.read_bytes() == whole and verify_bins(open_bins(place)) > len(whole)


def test_exchanged_bins_are_refused_even_of_one_size(run: Path) -> None:
    first, place = file_of(run, "en/en-00000.bin"), str(file_of(run, "bins.json").parent)
    data = np.fromfile(first, "<u2")
    data[[0, 1]] = data[[1, 0]]
    data.tofile(first)
    with pytest.raises(TamisError, match=r"en-00000\.bin: is corrupt or was exchanged"):
        open_bins(place).domains["en"][0].read(5, 9)


def test_only_what_is_read_is_checked_and_only_once(run: Path, tmp_path: Path) -> None:
    from sampler.bins import format as module

    write_shard(tmp_path / "shards" / "en" / "a.parquet", ["word " * 700_000, "the end"], 1)
    write_shard(tmp_path / "shards" / "en" / "b.parquet", ["few words"], 9)
    tokenizer = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
    (shard, _) = bins_for(tmp_path, tokenizer).domains["en"]
    seen: list[int] = []
    real = module.checks_of_chunks
    module.checks_of_chunks = lambda data: seen.append(len(data)) or real(data)  # type: ignore[assignment, func-returns-value]
    try:
        assert shard.tokens * 2 > 1 << 20
        shard.read(0, 10), shard.read(10, 30)
        assert seen == [1 << 20]
        shard.read(shard.tokens - 4, shard.tokens)
        assert len(seen) == 2
    finally:
        module.checks_of_chunks = real


def test_shards_that_cannot_be_used(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TamisError, match="no published shards"):
        list_shards(tmp_path / "nothing")
    path = run / "shards" / "en" / "en-00005.parquet"
    write_shard(path, ["again"], 5)
    with pytest.raises(TamisError, match="shards/en: a shard's doc_id do not follow"):
        build(run)
    write_shard(path, ["b", "a"], 1 << 40)
    table = __import__("pyarrow.parquet").parquet.read_table(path)
    __import__("pyarrow.parquet").parquet.write_table(table.take([1, 0]), path)
    with pytest.raises(TamisError, match=r"en-00005\.parquet: its doc_id are not ascending"):
        build(run)
    path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(TamisError, match=r"en-00005\.parquet"):
        build(run)


def test_bins_of_an_earlier_version_are_refused(run: Path) -> None:
    head = file_of(run, "bins.json")
    head.write_text(json.dumps(json.loads(head.read_text()) | {"format": 1}))
    with pytest.raises(TamisError, match=r"bins\.json: format: found 1; expected 2"):
        open_bins(str(head.parent))
    head.write_text("{")
    with pytest.raises(TamisError, match=r"bins\.json: is damaged"):
        open_bins(str(head.parent))


def test_weights_follow_their_documents(run: Path) -> None:
    _, bins = build(run)
    first = bins.domains["en"][0]
    ids = first.index.doc_ids
    assert (find_weights(run).read(first.name, ids) == 1).all()
    given = [row / 100 for row in range(120)]
    write_weights(run, "en", given)
    assert np.allclose(find_weights(run).read(first.name, ids), given[:60])
    assert (find_weights(run, "none").read(first.name, ids) == 1).all()
    write_weights(run, "en", given, shift=1)
    with pytest.raises(TamisError, match=r"en-00000\.parquet: its documents are not those"):
        find_weights(run).read(first.name, ids)
    write_weights(run, "en", [-1.0] * 120)
    with pytest.raises(TamisError, match="negative"):
        find_weights(run).read(first.name, ids)
    with pytest.raises(TamisError, match=r"zh-00000\.parquet: is missing"):
        find_weights(run).digest_of("zh/zh-00000")
