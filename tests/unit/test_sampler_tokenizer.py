"""The tokenizer: exact round trips, the same bytes again, clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.errors import ConfigError, TamisError
from sampler.shards import list_shards
from sampler.tokenizer import Tokenizer, TokenizerConfig, tokenizer_for, train_tokenizer
from tests.sampler_run import SMALL, texts, write_run, write_shard


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def tokenizer(run: Path) -> Tokenizer:
    return tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The miller opened the gate.",
        "two  spaces,   three, \t tab\tand\n\n\nnewlines \n ",
        "\n",
        "  indented\n    def f(x):\r\n\treturn x\n",
        "水流过木轮，石磨开始转动。\n\n第二段　全角空格",
        "naïve café e\u0301 ﬁ ① Ⅳ",  # nothing is normalised
        "🙂👩‍👩‍👧 \U0001f9ff 𠀀 \u200b\ufeff\u00a0",
        "</s><s><unk><0x0A>",
        "nul \x00 and bell \x07",
        "1234567890",
    ],
)
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode(text, bos=True, eos=True)) == text
    assert tokenizer.encode_batch([text, text])[1] == tokenizer.encode(text)


def test_the_one_character_that_does_not_survive(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a▁b")) == "a b"


def test_settings_hold(tokenizer: Tokenizer) -> None:
    pieces = [tokenizer.processor.id_to_piece(i) for i in range(tokenizer.vocab_size)]
    assert tokenizer.vocab_size == SMALL["vocab_size"]
    assert not [piece for piece in pieces[259:] if len(piece) > 1 and any(c.isdigit() for c in piece)]
    assert tokenizer.encode("\n") == [pieces.index("<0x0A>")]
    assert len(tokenizer.encode("12345")) == 5
    assert tokenizer.encode("", bos=True, eos=True) == [1, 2]
    assert tokenizer.eos_id not in tokenizer.encode("</s>")


def test_same_input_same_bytes(run: Path, tokenizer: Tokenizer) -> None:
    shards, config = list_shards(run), TokenizerConfig(**SMALL)
    first = train_tokenizer(shards, config, 1)
    assert first == train_tokenizer(shards, config, 1)
    assert str(run).encode() not in first
    half = TokenizerConfig(vocab_size=500, sample_bytes=12_000)
    assert train_tokenizer(shards, half, 1) != train_tokenizer(shards, half, 2)  # another sample


def test_stored_and_found_again(run: Path, tokenizer: Tokenizer) -> None:
    folder = run / "tokenizer" / tokenizer.digest[:12]
    before = (folder / "tokenizer.model").stat().st_mtime_ns
    again = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
    assert again.digest == tokenizer.digest
    assert (folder / "tokenizer.model").stat().st_mtime_ns == before
    assert (folder / "tokenizer.json").exists()


def test_held_out_documents_teach_nothing(tmp_path: Path) -> None:
    documents = [text + ("龘" if row in (2, 5) else "") for row, text in enumerate(texts("zh", 60))]
    write_shard(tmp_path / "shards" / "zh" / "a.parquet", documents, 1, heldout={2, 5})
    found = tokenizer_for(tmp_path, list_shards(tmp_path), TokenizerConfig(vocab_size=450, character_coverage=1), 1)
    assert found.processor.piece_to_id("龘") == found.processor.unk_id()
    assert found.processor.piece_to_id("水") != found.processor.unk_id()


@pytest.mark.parametrize(("size", "said"), [(50_000, "at most"), (300, "at least")])
def test_vocabulary_that_does_not_fit(run: Path, size: int, said: str) -> None:
    with pytest.raises(ConfigError, match=f"tokenizer.vocab_size.*{size}.*{said}"):
        tokenizer_for(run, list_shards(run), TokenizerConfig(vocab_size=size), 1)
    assert not list((run / "tokenizer").glob("*.tmp"))


def test_no_text_at_all(tmp_path: Path) -> None:
    write_shard(tmp_path / "shards" / "en" / "a.parquet", ["", "held"], 1, heldout={1})
    with pytest.raises(TamisError, match="no text"):
        tokenizer_for(tmp_path, list_shards(tmp_path), TokenizerConfig(), 1)


def test_corrupt_model_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    found = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
    path = run / "tokenizer" / found.digest[:12] / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(TamisError, match="tokenizer.model.*corrupt"):
        tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
