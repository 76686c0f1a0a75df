"""A second vocabulary behind the first: ids stay, English stays, Chinese gets shorter, all of it comes back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from sampler.published import list_shards
from sampler.tokenizer.extension import Extension, extend_model, is_han
from sampler.tokenizer.sentencepiece_model import BYTE, CONTROL, NORMAL, Piece, model_type, read_pieces, with_pieces
from sampler.tokenizer.training import TokenizerConfig, train_model
from tamis.errors import TamisError
from tests.support.sampler_run import CHINESE, ENGLISH, texts, write_run

CHARACTERS = "abcdefgh The miller 水流过木轮石磨开始，。！\n\t 1▁é"


def train(tmp_path_factory: pytest.TempPathFactory, domain: str, size: int) -> bytes:
    run = write_run(tmp_path_factory.mktemp(domain), (domain,))
    return train_model(list_shards(run), TokenizerConfig(vocab_size=size), 1).model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return train(tmp_path_factory, "en", 420)


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return train(tmp_path_factory, "zh", 600)


@pytest.fixture(scope="module")
def merged(base: bytes, chinese: bytes) -> Extension:
    return extend_model(base, chinese, "han")


def opened(model: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def vocabulary(model: bytes) -> list[tuple[str, float]]:
    processor = opened(model)
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.vocab_size())]


def test_the_file_is_read_as_sentencepiece_reads_it(base: bytes) -> None:
    pieces, processor = read_pieces(base), opened(base)
    assert [(piece.text, piece.score) for piece in pieces] == vocabulary(base)
    for number, piece in enumerate(pieces):
        assert (piece.kind == BYTE) == processor.is_byte(number)
        assert (piece.kind == CONTROL) == processor.is_control(number)
    assert model_type(base) == "bpe"


def test_base_pieces_keep_their_ids_and_bytes(base: bytes, merged: Extension) -> None:
    assert merged.model.startswith(base)
    assert vocabulary(merged.model)[: merged.base_size] == vocabulary(base)
    assert opened(merged.model).vocab_size() == merged.base_size + len(merged.added)


def test_no_piece_stands_twice_and_none_is_missing(base: bytes, chinese: bytes, merged: Extension) -> None:
    pieces = [text for text, _ in vocabulary(merged.model)]
    assert len(set(pieces)) == len(pieces)
    theirs = {piece.text for piece in read_pieces(chinese) if piece.kind == NORMAL}
    assert len(merged.added) + merged.known + merged.filtered == len(theirs)
    assert set(merged.added) == {text for text in theirs if is_han(text)} - {text for text, _ in vocabulary(base)}
    everything = extend_model(base, chinese)
    assert everything.filtered == 0
    assert theirs <= {text for text, _ in vocabulary(everything.model)}


def test_scores_fall_from_the_bases_lowest_merge(base: bytes, merged: Extension) -> None:
    scores = [score for _, score in vocabulary(merged.model)]
    merges = [score for text, score in vocabulary(base) if len(text) > 1]
    assert np.all(np.diff(np.float32(scores[merged.base_size :])) < 0)
    assert scores[merged.base_size] < min(merges)


def test_scores_stay_apart_where_float32_is_coarse(base: bytes, chinese: bytes) -> None:
    """Some models give runs of spaces -1e9, where float32 knows only each 64th number."""
    coarse = with_pieces(base, [Piece("zzzz", -1e9)])
    found = extend_model(coarse, chinese, "han")
    scores = [score for _, score in vocabulary(found.model)][found.base_size :]
    assert np.all(np.diff(scores) < 0) and scores[0] < -1e9


def test_english_is_encoded_as_before_and_chinese_in_fewer_tokens(base: bytes, merged: Extension) -> None:
    before, after = opened(base), opened(merged.model)
    for text in texts("en", 60):
        assert after.encode(text) == before.encode(text)
    for text in texts("zh", 60):
        tokens = after.encode(text)
        assert after.decode(tokens) == text
        assert len(tokens) < 0.4 * len(before.encode(text)) or not text


@given(st.text(st.sampled_from(CHARACTERS), max_size=60))
def test_any_text_comes_back_and_one_without_han_is_untouched(base: bytes, merged: Extension, text: str) -> None:
    before, after = opened(base), opened(merged.model)
    tokens = after.encode(text)
    assert after.decode(tokens) == text.replace("▁", " ")
    assert len(tokens) <= len(before.encode(text))
    if not any(map(is_han, text)):
        assert tokens == before.encode(text)


def test_twice_is_once(merged: Extension, chinese: bytes) -> None:
    again = extend_model(merged.model, chinese, "han")
    assert again.added == [] and again.model == merged.model


def test_the_protobuf_library_reads_the_same(merged: Extension) -> None:
    pytest.importorskip("google.protobuf")
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(merged.model)
    assert [piece.piece for piece in proto.pieces] == [text for text, _ in vocabulary(merged.model)]
    assert proto.trainer_spec.vocab_size == len(proto.pieces)


def test_han() -> None:
    assert is_han(CHINESE) and is_han("（，。、") and is_han("㐀𠀀")
    assert not any(map(is_han, ["a", "中a", "▁中", "1", "ア", "한", "１", "Ａ", *ENGLISH]))


def test_models_that_cannot_be_merged(base: bytes, tmp_path: Path) -> None:
    unigram = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts("en", 60)), model_writer=unigram, vocab_size=60, minloglevel=2
    )
    with pytest.raises(TamisError, match="the base model: found a unigram model; expected bpe"):
        extend_model(unigram.getvalue(), base)
    for broken in (b"no model", base[:-3], b"\x0a"):
        with pytest.raises(TamisError, match="the second model is not a SentencePiece model"):
            extend_model(base, broken)
