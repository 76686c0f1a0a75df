"""Token bins: what is in them, that they are reused, and that damaged ones are refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus.errors import TamisError
from sampler.shards import list_shards, read_weights
from sampler.tokenizer import Tokenizer, TokenizerConfig, tokenizer_for
from sampler.tokens import TokenBins, bins_for, open_bins
from tests.sampler_run import SMALL, texts, write_run, write_shard, write_weights


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("run") / "run")
    build(run)
    return run


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "run"))


def build(run: Path) -> tuple[Tokenizer, TokenBins]:
    shards = list_shards(run)
    tokenizer = tokenizer_for(run, shards, TokenizerConfig(**SMALL), 1)
    return tokenizer, bins_for(run, shards, tokenizer)


def bin_path(run: Path, name: str) -> Path:
    return next((run / "tokens").glob(f"*/{name}"))


def test_documents_lie_in_order_each_with_its_end(run: Path) -> None:
    tokenizer, bins = build(run)
    assert bins.tokenizer_digest == tokenizer.digest
    for domain, source in bins.domains.items():
        documents = texts(domain, 120)
        assert source.tokens.dtype == np.uint16
        assert len(source.doc_ids) == 120 and (np.diff(source.doc_ids) > 0).all()
        assert source.offsets[-1] == len(source.tokens)
        for row, text in enumerate(documents):
            tokens = source.tokens[source.offsets[row] : source.offsets[row + 1]]
            assert tokens[-1] == tokenizer.eos_id and (tokens[:-1] != tokenizer.eos_id).all()
            assert tokenizer.decode(tokens[:-1].tolist()) == text
        assert source.heldout.tolist() == [row % 60 % 10 == 0 for row in range(120)]


def test_a_big_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    class Wide(Tokenizer):
        vocab_size, eos_id = 70_000, 2  # type: ignore[assignment]

        def encode_batch(self, texts: Any) -> list[list[int]]:
            return [[69_999] * len(text) for text in texts]

    write_shard(tmp_path / "shards" / "en" / "a.parquet", ["abc", ""], 1)
    found = bins_for(tmp_path, list_shards(tmp_path), Wide(digest="wide", processor=None)).domains["en"]
    assert found.tokens.dtype == np.uint32 and found.tokens.tolist() == [69_999] * 3 + [2, 2]


def test_reused_while_nothing_changed(run: Path) -> None:
    before = bin_path(run, "en.bin").stat().st_mtime_ns
    key = build(run)[1].key
    assert bin_path(run, "en.bin").stat().st_mtime_ns == before
    write_shard(run / "shards" / "en" / "en-00009.parquet", ["One more document."], 1 << 40)
    assert build(run)[1].key != key


def test_built_twice_byte_identical(run: Path) -> None:
    _, bins = build(run)
    names = ("en.bin", "en.idx.npz", "manifest.json")
    before = [bin_path(run, name).read_bytes() for name in names]
    shutil.rmtree(run / "tokens")
    assert build(run)[1].domains["zh"].digest == bins.domains["zh"].digest
    assert [bin_path(run, name).read_bytes() for name in names] == before


def test_without_manifest_it_is_built_again(run: Path) -> None:
    bin_path(run, "manifest.json").unlink()
    bin_path(run, "en.bin").write_bytes(b"debris")
    _, bins = build(run)
    assert len(bins.domains["en"].tokens) > 6
    assert not list((run / "tokens").glob("*/*.tmp"))


@pytest.mark.parametrize("name", ["en.bin", "zh.idx.npz"])
def test_damage_is_refused_by_name(run: Path, name: str) -> None:
    path = bin_path(run, name)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(TamisError, match=f"{name}: has {len(whole) - 2} bytes"):
        build(run)
    with pytest.raises(TamisError, match="bytes"):
        open_bins(path.parent, verify=False)
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    with pytest.raises(TamisError, match=f"{name}: is corrupt"):
        build(run)
    path.unlink()
    with pytest.raises(TamisError, match=f"{name}: is missing"):
        build(run)


def test_shards_that_cannot_be_used(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TamisError, match="no published shards"):
        list_shards(tmp_path / "nothing")
    path = run / "shards" / "en" / "en-00005.parquet"
    write_shard(path, ["again"], 5)
    with pytest.raises(TamisError, match="en-00005.parquet.*ascending"):
        build(run)
    path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(TamisError, match="en-00005.parquet"):
        build(run)


def test_weights_follow_their_documents(run: Path) -> None:
    _, bins = build(run)
    ids = bins.domains["en"].doc_ids
    assert (read_weights(run, "en", ids) == 1).all()
    given = [row / 100 for row in range(120)]
    write_weights(run, "en", given)
    assert np.allclose(read_weights(run, "en", ids), given)
    write_weights(run, "en", given, shift=1)
    with pytest.raises(TamisError, match="documents are not those"):
        read_weights(run, "en", ids)
    write_weights(run, "en", [-1.0] * 120)
    with pytest.raises(TamisError, match="negative"):
        read_weights(run, "en", ids)
