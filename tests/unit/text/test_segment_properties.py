"""The segmenter equals its slow twin, and its spans tile every document."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.oracles import segment as oracles_segment
from tests.support.examples import examples
from text.arrow import TextColumn
from text.segment import Spans, paragraphs, sentences

PIECES = [
    "Mr",
    "Mr.",
    "e.g.",
    "U.S.",
    "No.",
    "Fig.",
    "etc.",
    "J.",
    "K.",
    "I.",
    "a.m.",
    "Ph.D.",
    "The",
    "He",
    "word",
    "Word",
    "3.14",
    "5",
    "12",
    "x.com",
    "é",
    "É",
    "中",
    "文字",
    "の",
    "ไทย",
    "مرحبا",
    "한국",
    "😀",
    "𠀀",
    "１",
    "Ａ",
    "(",
    ")",
    "（一）",
    "（",
    "）",
    "“",
    "”",
    "‘",
    "’",
    '"',
    "'",
    "「",
    "」",
    "《",
    "》",
    "`",
    "。",
    "！",
    "？",
    "；",
    "，",
    "…",
    "……",
    "...",
    ".",
    "!",
    "?",
    "．",
    "؟",
    "।",
    ",",
    ";",
    ":",
    "-",
    "* ",
    "- ",
    "• ",
    "1. ",
    "12) ",
    "1.",
    "{",
    "=",
    "_",
    "\t",
    " ",
    "  ",
    "    ",
    "　",
    "\xa0",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\x85",
    "\u2028",
    "\u2029",
    "\x0b",
    "```",
    "~~~",
    "\n```\n",
    "\n    x = 1\n",
    "\n\n    if a:\n",
    "a lower line that is about forty-five columns.",
    "and so it goes on for some forty columns here\n",
    "an even longer line, the kind that stands in books of seventy columns\n",
    "一行四十列以上的汉字文本用来试验硬换行的规则对不对呢\n",
]
documents = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join),
    st.lists(st.sampled_from(PIECES[-4:] + ["\n", "\n\n", "    The", "Title\n", "- "]), max_size=25).map("".join),
    st.text(max_size=60),
)


def starts_of(spans: Spans, i: int) -> list[int]:
    return [int(x) for x in spans.starts[spans.ptr[i] : spans.ptr[i + 1]]]


@examples(700)
@given(st.lists(documents, min_size=1, max_size=6))
@example(["", " \n ", "Hi.", "谢谢。"])
@example(["a\r", "\r\n", "\u2028x"])
def test_kernel_equals_twin(texts: list[str]) -> None:
    column = TextColumn.from_texts(texts)
    by_paragraph, by_sentence = paragraphs(column), sentences(column)
    for i, text in enumerate(texts):
        assert starts_of(by_paragraph, i) == oracles_segment.starts(text, False), text
        assert starts_of(by_sentence, i) == oracles_segment.starts(text, True), text


@examples(300)
@given(st.lists(documents, min_size=1, max_size=6))
def test_spans_tile_nest_and_keep_characters_whole(texts: list[str]) -> None:
    column = TextColumn.from_texts(texts)
    by_paragraph, by_sentence = paragraphs(column), sentences(column)
    for spans in (by_paragraph, by_sentence):
        ends = spans.ends(column)
        assert (spans.starts < ends).all()
        for i, text in enumerate(texts):
            starts = starts_of(spans, i)
            stops = [int(x) for x in ends[spans.ptr[i] : spans.ptr[i + 1]]]
            data = text.encode()
            assert bool(starts) == bool(data)
            assert [*starts, len(data)] == [0, *stops] if data else True
            assert "".join(data[a:z].decode() for a, z in zip(starts, stops, strict=True)) == text
    for i in range(len(texts)):
        assert set(starts_of(by_paragraph, i)) <= set(starts_of(by_sentence, i))


@examples(100)
@given(st.lists(documents, min_size=2, max_size=6))
def test_a_slice_is_segmented_as_the_whole(texts: list[str]) -> None:
    column = TextColumn.from_texts(texts)
    part = TextColumn(column.offsets[1:], column.data)
    whole, rest = sentences(column), sentences(part)
    np.testing.assert_array_equal(rest.starts, whole.starts[whole.ptr[1] :])
    np.testing.assert_array_equal(rest.ptr, whole.ptr[1:] - whole.ptr[1])
