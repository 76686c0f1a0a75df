"""Megatron's files: read back by a slow obvious reader and by Megatron's own, document by document."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from sampler.bins.build import build_bins
from sampler.bins.format import TokenBins
from sampler.bins.manifests import open_bins
from sampler.export.megatron import chosen, export_megatron, kept_tokens
from sampler.published import list_shards
from sampler.tokenizer.model import tokenizer_for
from sampler.tokenizer.training import TokenizerConfig
from tamis.errors import ConfigError, TamisError
from tamis.progress import Silent
from tests.support.sampler_run import SMALL, bare_bin, write_run

SPLITS = ("train", "heldout", "all")


@pytest.fixture(scope="module")
def bins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("megatron")
    run = write_run(folder / "run")
    build_bins(run, tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1), str(folder / "bins"))
    return folder / "bins"


def expected(bins: TokenBins, domain: str, split: str) -> Iterator[list[int]]:
    """Documents as our bins have them, one after the other."""
    for shard in bins.domains[domain]:
        offsets = shard.index.offsets
        for row, held in enumerate(shard.index.heldout):
            if split == "all" or bool(held) == (split == "heldout"):
                yield shard.read(int(offsets[row]), int(offsets[row + 1])).tolist()


def read_back(prefix: str) -> tuple[str, list[list[int]]]:
    """The type of a token and the documents of a pair of files, a number at a time."""
    index, data = Path(prefix + ".idx").read_bytes(), Path(prefix + ".bin").read_bytes()
    magic, version, code, sequences, documents = struct.unpack_from("<9sQBQQ", index)
    assert (magic, version) == (b"MMIDIDX\x00\x00", 1)
    token, at = {8: "H", 4: "i"}[code], struct.calcsize("<9sQBQQ")
    sizes = struct.unpack_from(f"<{sequences}i", index, at)
    pointers = struct.unpack_from(f"<{sequences}q", index, at + 4 * sequences)
    ends = struct.unpack_from(f"<{documents}q", index, at + 12 * sequences)
    assert len(index) == at + 12 * sequences + 8 * documents
    assert ends == tuple(range(sequences + 1))
    assert pointers[-1] + sizes[-1] * struct.calcsize(token) == len(data)
    return token, [list(struct.unpack_from(f"<{n}{token}", data, p)) for n, p in zip(sizes, pointers, strict=True)]


@pytest.mark.parametrize("split", SPLITS)
def test_read_back_document_by_document(bins: Path, tmp_path: Path, split: str) -> None:
    opened = open_bins(str(bins))
    written = export_megatron(opened, tmp_path / "new" / "out", split)  # type: ignore[arg-type]
    assert [has.domain for has in written] == ["en", "zh"]
    for has in written:
        wanted = list(expected(opened, has.domain, split))
        assert has.prefix == str(tmp_path / "new" / "out" / f"{split}_{has.domain}")
        token, documents = read_back(has.prefix)
        assert token == "H" and has.dtype == "uint16"
        assert documents == wanted and len(wanted) == has.documents == {"train": 108, "heldout": 12, "all": 120}[split]
        assert all(document[-1] == opened.eos_id for document in documents)
        assert has.tokens == sum(map(len, documents))
    assert len(list((tmp_path / "new" / "out").iterdir())) == 4  # no debris


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mmap", [True, False])
def test_megatron_itself_reads_it_back(bins: Path, tmp_path: Path, mmap: bool) -> None:
    module = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
    opened = open_bins(str(bins))
    for has in export_megatron(opened, tmp_path):
        assert has.prefix
        dataset = module.IndexedDataset(has.prefix, mmap=mmap)
        documents = list(expected(opened, has.domain, "train"))
        assert len(dataset) == len(dataset.document_indices) - 1 == len(documents)
        assert dataset.index.dtype == np.uint16
        for number, document in enumerate(documents):
            assert dataset[number].tolist() == document
            assert dataset.get(number, offset=1).tolist() == document[1:]
        assert dataset.sequence_lengths.tolist() == list(map(len, documents))


@pytest.mark.filterwarnings("ignore")
def test_megatron_writes_the_same_bytes(bins: Path, tmp_path: Path) -> None:
    module = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
    torch = pytest.importorskip("torch")
    opened = open_bins(str(bins))
    export_megatron(opened, tmp_path)
    builder = module.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.uint16)
    for document in expected(opened, "zh", "train"):
        builder.add_document(torch.tensor(document), [len(document)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    for kind in ("bin", "idx"):
        assert (tmp_path / f"theirs.{kind}").read_bytes() == (tmp_path / f"train_zh.{kind}").read_bytes()


def wide_bins(*lengths: list[int]) -> TokenBins:
    """Bins in memory under a vocabulary of four bytes; token values run on."""
    shards = [bare_bin(part, f"web/{number}", 70_000 * number) for number, part in enumerate(lengths)]
    return TokenBins(tokenizer_digest="wide", vocab_size=1 << 20, eos_id=2, domains={"web": shards})


def test_a_big_vocabulary_is_int32(tmp_path: Path) -> None:
    (has,) = export_megatron(wide_bins([3, 1], [2]), tmp_path)
    assert has.prefix and has.dtype == "int32"
    assert read_back(has.prefix) == ("i", [[0, 1, 2], [3], [70_000, 70_001]])
    assert Path(has.prefix + ".idx").read_bytes()[17] == 4


@pytest.mark.parametrize("window", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_windows_do_not_matter(window: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shard = bare_bin(rng.integers(1, 30, 25).tolist())
    kept, offsets = rng.random(25) < 0.5, shard.index.offsets
    found = np.concatenate([np.zeros(0, "<u4"), *kept_tokens(shard, kept, window)])
    wanted = [t for row in np.flatnonzero(kept) for t in range(offsets[row], offsets[row + 1])]
    assert found.tolist() == wanted


def test_exported_again_the_same_bytes_and_nothing_half(bins: Path, tmp_path: Path) -> None:
    opened = open_bins(str(bins))
    export_megatron(opened, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    export_megatron(opened, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    class Stop(Silent):
        def update(self, done: int, detail: str = "") -> None:
            if done == 3:  # within the second domain
                raise KeyboardInterrupt

    shutil.rmtree(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        export_megatron(opened, tmp_path, progress=Stop())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train_en.bin", "train_en.idx"]


def test_what_cannot_be_exported(bins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = wide_bins([3, 1])
    with pytest.raises(ConfigError, match="--split: found heldout, in which these bins have no document"):
        export_megatron(web, tmp_path, "heldout")
    with monkeypatch.context() as patch:
        patch.setattr("sampler.export.megatron._MAX_LENGTH", 2)
        with pytest.raises(
            TamisError, match="web/0: found a document of 3 tokens; expected at most 2, which .* format holds"
        ):
            export_megatron(web, tmp_path)
    assert list(tmp_path.iterdir()) == []
    damaged = Path(shutil.copytree(bins, tmp_path / "bins")) / "zh" / "zh-00001.bin"
    damaged.write_bytes(b"\x00" * damaged.stat().st_size)
    with pytest.raises(TamisError, match=r"zh-00001\.bin: is corrupt"):
        export_megatron(open_bins(str(tmp_path / "bins")), tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".bin", ".idx"}


def test_a_domain_without_documents_of_the_split_has_no_files(tmp_path: Path) -> None:
    held = bare_bin([4], "held/0")
    held.index.heldout.setflags(write=True)
    held.index.heldout[:] = 1
    domains = {"web": [bare_bin([3], "web/0")], "held": [held]}
    written = export_megatron(TokenBins(tokenizer_digest="", vocab_size=70_000, eos_id=2, domains=domains), tmp_path)
    assert [(has.domain, has.prefix is None, has.documents) for has in written] == [
        ("web", False, 1),
        ("held", True, 0),
    ]
    assert not chosen(held, "train").any() and sorted(p.name for p in tmp_path.iterdir()) == [
        "train_web.bin",
        "train_web.idx",
    ]


def test_command(bins: Path, tmp_path: Path) -> None:
    arguments = ["tokens", "export", str(bins), str(tmp_path / "out"), "--to", "megatron"]
    result = CliRunner().invoke(app, [*arguments, "--format", "json"], catch_exceptions=False)
    rows = json.loads(result.stdout)
    assert [row["domain"] for row in rows] == ["en", "zh"]
    assert all(Path(row["prefix"] + ".bin").stat().st_size == 2 * row["tokens"] for row in rows)
    text = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert f"train_en: 108 documents, {rows[0]['tokens']:,} tokens, uint16" in text
    for wrong, message in [
        (["--files", "2"], "--files, --lines: found without text"),
        ([], "a folder of this machine"),
    ]:
        place = str(tmp_path / "out") if wrong else "s3://bucket/out"
        with pytest.raises(ConfigError, match=message):
            CliRunner().invoke(
                app, ["tokens", "export", str(bins), place, "--to", "megatron", *wrong], catch_exceptions=False
            )
