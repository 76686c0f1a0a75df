"""Decisions from sentence scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.config import parse
from filters.quality.decide import SentenceQualityDecision, choose_cuts, document_quality, sentence_facts
from tamis.errors import ConfigError
from tests.support.examples import examples
from text.arrow import TextColumn
from text.segment import Spans, sentences


def _column(documents: list[list[str]]) -> tuple[TextColumn, Spans]:
    """A column and the spans that its documents' pieces are."""
    column = TextColumn.from_texts(["".join(pieces) for pieces in documents])
    ptr = np.cumsum([0, *(len(pieces) for pieces in documents)]).astype(np.int64)
    starts = []
    for pieces in documents:
        lengths = [len(piece.encode()) for piece in pieces]
        starts += [sum(lengths[:i]) for i in range(len(lengths))]
    return column, Spans(ptr, np.array(starts, np.int32))


def cuts(scores, spans, column, threshold, fraction, min_chars):  # type: ignore[no-untyped-def]
    """The way from text to cuts, as the stage goes it."""
    chars, fenced = sentence_facts(column, spans)
    sizes = (spans.ends(column) - spans.starts).astype(np.int64)
    decision = SentenceQualityDecision(
        threshold=threshold, max_cut_fraction=fraction, min_sentence_chars=min_chars, min_document_quality=0.0
    )
    return choose_cuts(scores, sizes, chars, fenced, spans.ptr, column.lengths, decision)


def _slow_cuts(documents, scores, threshold, fraction, min_chars):  # type: ignore[no-untyped-def]
    out, at = [], 0
    for pieces in documents:
        own = list(zip(scores[at : at + len(pieces)], pieces, strict=True))
        room = fraction * len("".join(pieces).encode())
        cut = set()
        for i in sorted(range(len(pieces)), key=lambda i: (own[i][0], i)):
            size = len(pieces[i].encode())
            if own[i][0] < threshold and size <= room and len(pieces[i].strip(" \n")) >= min_chars:
                cut.add(i)
                room -= size
        out += [i in cut for i in range(len(pieces))]
        at += len(pieces)
    return out


def test_document_quality_is_the_weighted_mean() -> None:
    scores = np.array([1.0, 0.0, 0.5, np.nan, 0.25, np.nan], np.float32)
    lengths = np.array([30, 10, 7, 100, 20, 5], np.int64)
    ptr = np.array([0, 2, 2, 3, 5, 6], np.int64)
    assert document_quality(scores, lengths, ptr).tolist() == [0.75, 0.0, 0.5, 0.25, 0.0]


def test_document_quality_without_length_or_documents() -> None:
    one = np.array([0.5], np.float32)
    assert document_quality(one, np.array([0]), np.array([0, 1])).tolist() == [0.0]
    none = np.zeros(0, np.float32)
    assert len(document_quality(none, np.zeros(0, np.int64), np.array([0]))) == 0


def test_the_worst_go_first_up_to_the_cap() -> None:
    documents = [["a bad one. ", "the worst. ", "a good one ", "another bad"]]
    column, spans = _column(documents)
    scores = np.array([0.05, 0.01, 0.9, 0.05], np.float32)
    for fraction, expected in ((0.2, [0, 0, 0, 0]), (0.25, [0, 1, 0, 0]), (0.5, [1, 1, 0, 0]), (1.0, [1, 1, 0, 1])):
        assert cuts(scores, spans, column, 0.1, fraction, 0).tolist() == [bool(x) for x in expected], fraction


def test_equal_scores_go_by_position() -> None:
    column, spans = _column([["same. "] * 10])
    cut = cuts(np.full(10, 0.05, np.float32), spans, column, 0.1, 0.3, 0)
    assert cut.tolist() == [True] * 3 + [False] * 7


def test_short_sentences_are_left_alone() -> None:
    column, spans = _column([["谢谢。\n", "   \n", "点击这里领取优惠券啊。", "一个很好的句子，说明了许多事情。"]])
    scores = np.array([0.0, 0.0, 0.0, 0.9], np.float32)
    assert cuts(scores, spans, column, 0.1, 1.0, 10).tolist() == [False, False, True, False]
    assert cuts(scores, spans, column, 0.1, 1.0, 12).tolist() == [False, False, False, False]


@pytest.mark.parametrize("fence", ["```", "~~~", "  ````"])
def test_fenced_code_is_never_cut(fence: str) -> None:
    code = f"{fence}python\nx = 1\n\nprint(x)\n{fence}\n"
    text = f"Buy now cheap.\n{code}Buy now cheap.\n```\nnever closed\n~~~\nnor this\n"
    column = TextColumn.from_texts([text, "Buy now cheap.", text])
    spans = sentences(column)
    cut = cuts(np.zeros(len(spans.starts), np.float32), spans, column, 0.5, 1.0, 0)
    ends = spans.ends(column)
    for d in range(3):
        data = column.bytes_at(d)
        for s in range(spans.ptr[d], spans.ptr[d + 1]):
            piece = data[spans.starts[s] : ends[s]].decode()
            inside = any(word in piece for word in ("x = 1", "print", "python"))
            if inside or piece.strip() in ("Buy now cheap.", "never closed", "nor this"):
                assert cut[s] != inside, piece


def test_scores_and_spans_must_match() -> None:
    column, spans = _column([["one. ", "two."]])
    with pytest.raises(ValueError, match="1 scores for 2 spans"):
        cuts(np.zeros(1, np.float32), spans, column, 0.1, 0.3, 0)


_PIECES = st.lists(st.text("ab 好\n.", min_size=1, max_size=12), max_size=8)


@examples(150)
@given(st.lists(_PIECES, max_size=5), st.data())
def test_cuts_equal_their_slow_twin(documents, data) -> None:  # type: ignore[no-untyped-def]
    n = sum(map(len, documents))
    levels = st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0])
    scores = np.array(data.draw(st.lists(levels, min_size=n, max_size=n)), np.float32)
    fraction = data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    min_chars = data.draw(st.integers(0, 6))
    column, spans = _column(documents)
    found = cuts(scores, spans, column, 0.3, fraction, min_chars)
    assert found.tolist() == _slow_cuts(documents, scores, 0.3, fraction, min_chars)
    lengths = spans.ends(column).astype(np.int64) - spans.starts
    for d in range(len(documents)):
        own = slice(spans.ptr[d], spans.ptr[d + 1])
        assert lengths[own][found[own]].sum() <= fraction * len(column.bytes_at(d))


def test_the_decision_is_strict() -> None:
    assert parse(SentenceQualityDecision, {"threshold": 0.2}, "sentence_quality").threshold == 0.2
    with pytest.raises(ConfigError, match="threshhold"):
        parse(SentenceQualityDecision, {"threshhold": 0.2}, "sentence_quality")
    with pytest.raises(ConfigError, match="sentence_quality.max_cut_fraction"):
        parse(SentenceQualityDecision, {"max_cut_fraction": 30}, "sentence_quality")


@examples()
@given(
    st.lists(st.lists(st.text("a` ~\n。", max_size=12).filter(bool), max_size=5), max_size=4),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_facts_of_some_spans_are_those_among_all(documents: list[list[str]], wanted: list[bool]) -> None:
    column, spans = _column(documents)
    chosen = np.flatnonzero(np.array(wanted[: len(spans.starts)], np.bool_))
    for all_, some in zip(sentence_facts(column, spans), sentence_facts(column, spans, chosen), strict=True):
        assert some.tolist() == all_[chosen].tolist()


def test_fences_are_seen_wherever_their_marks_lie() -> None:
    for before in range(9):
        text = "x" * before + "\n```\ncode\n```\nend"
        column, spans = _column([[text]])
        assert sentence_facts(column, spans)[1].tolist() == [True]
    column, spans = _column([["`\ncode\n`\n"]])
    assert sentence_facts(column, spans)[1].tolist() == [False]
