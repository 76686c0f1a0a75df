"""Sentences and paragraphs of hand-made texts."""

from __future__ import annotations

import pytest

from text import segment
from text.arrow import TextColumn
from text.segment import Spans, paragraphs, sentences

WRAPPED = """A SHORT TITLE
It was the best of times, it was the worst of times, it was the age of
wisdom, it was the age of foolishness. It was the epoch of belief, it was
the epoch of incredulity, all of that was said by Mr.
Lorry.

There were a king with a large jaw and a queen with a plain face, on the
throne of England; there were a king with a large jaw and a queen with a
fair face, on the throne of France.
"""
VERSE = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;

Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
"""
CHINESE_WRAPPED = """这是一封老式的电子邮件，每一行都在同样的宽度处断开，所以一个句子会跨过
好几行。读它的程序应当把这些行接起来，而不应当把每一行都当成一个单独的段
落来看待。这样做的结果才是对的。

第二段也是这样，每一行都在同样的宽度处断开，读的人并不会觉得有什么奇怪的
地方，因为从前大家都是这样写信的。
"""

# Each text is its sentences joined by "|".
ENGLISH = [
    "One. |Two.",
    "It is 3.14 exactly. |Yes.",
    "Python 3.11.2 is out. |Get it.",
    "Mr. Smith met Dr. Jones. |They talked.",
    "Use fruit, e.g. Apples, daily. |Or not.",
    "That is, i.e. This one. |Good.",
    "He lives in the U.S. Army base. |Ok.",
    "He left the U.S. |The army stayed.",
    "See No. 5 and Fig. 3. |Then stop.",
    "The answer is no. |Nothing helped.",
    "J. K. Rowling wrote it. |We read.",
    "It was I. |You knew.",
    "Apples, pears, etc. are here. |Ok.",
    "Apples, pears, etc. |The rest is here.",
    "At 5 p.m. Friday we left. |Home at last.",
    "It closed at 5 p.m. |He went home.",
    "Smith vs. Jones went on. |It ended.",
    "Visit www.example.com. |Now.",
    "See http://a.b/c?d=E&f=G! |Great.",
    "Wait... |What?",
    "Wait... what?",
    "Hm… |Then yes.",
    "Hm… then no.",
    'He said "Stop." |Then he left.',
    "“Stop!” |He ran.",
    "“Stop!” he said. |He ran.",
    "(It was late.) |We slept.",
    "Why?! |Because.",
    "Really? |Yes! |No.",
    "yahoo! is a name. |Right.",
    "Acme Inc. |The firm grew.",
    "Acme Inc. Paris grew. |Fast.",
    "12. First of all.",
    "In 1984. |A book.",
    "I came , saw . |He won . ",
    "Mr. , he said . |Well .",
    "Prof. A. said so.",
    "Café. |École.",
    "No terminal here",
    "He asked, “Why?” |“Because,” she said.",
    "Es war gut. |Über alles.",
    "He has a Ph.D. |She does not.",
    "On Jan. 5 it rained. |On Feb. 6 too.",
    "The site is ab.cde.org. |Done.",
    "A sentence.\u3000|With a wide space.",
    "Ends here.Not split, a missing space.",
]
CHINESE = [
    "你好。|再见。",
    "真的吗？！|是的！！！|好。",
    "他说：“走吧。”|然后走了。",
    "他说：「走吧！」|然后走了。",
    "（他来了。）|我走了。",
    "等等……|他来了。",
    "等等……，他来了。",
    "等…他来了。",
    "一；二；三。|四。",
    "圆周率是3.14。|对。",
    "版本１．２发布。|好。",
    "完了．|开始。",
    "你好!|我走了?|不。",
    "是的.|然后呢.|好",
    "他读《你好吗？》这本书。|好。",
    '他说。|"你好"',
    '他说"你好。"|走了。',
    "标题没有句号",
    "价格是5元。 |便宜。",
    "“对！”，他说。|好。",
    "（是吗？）。|好。",
    "Hello。|世界。",
    "iPhone 6s很好。|买。",
    "これは本です。|あれは？|はい。",
    "خبر۔ |آخر۔",
    "क्या? |हाँ।|ठीक।",
    "هل؟ |نعم.",
    "สวัสดีครับ ผมชื่อ",
]


def cut(text: str, spans: Spans | None = None) -> list[str]:
    column = TextColumn.from_texts([text])
    spans = spans or sentences(column)
    data = text.encode()
    return [data[a:z].decode() for a, z in zip(spans.starts, spans.ends(column), strict=True)]


def cut_paragraphs(text: str) -> list[str]:
    return cut(text, paragraphs(TextColumn.from_texts([text])))


@pytest.mark.parametrize("marked", [*ENGLISH, *CHINESE])
def test_sentences(marked: str) -> None:
    assert cut(marked.replace("|", "")) == marked.split("|")


@pytest.mark.parametrize(
    "text",
    [
        "Title|\nBody. |More.",
        "a|\r\nb|\n\n\nc",
        "a|\u2028b|\u2029c|\x85d|\re",
        "\n\n first.|\nsecond",
        "- One. Two.|\n- Three.",
        "1. Eins. Zwei.|\n2) Drei.",
        "（一）甲。乙。|\n（二）丙。",
        "• 新闻。更多。|\n* 公开课",
        "一、甲。|乙。|\n二、丙。",
        "3.14 is. |Pi.",
    ],
)
def test_lines_are_paragraphs_and_list_items_are_sentences(text: str) -> None:
    # A separator belongs to the span before it.
    expected = [""]
    for piece in text.split("|"):
        body = piece.lstrip("\r\n\x85\u2028\u2029") if expected[0] else piece
        expected[-1] += piece[: len(piece) - len(body)]
        expected = [*expected, body] if expected[0] else [body]
    assert cut(text.replace("|", "")) == expected


def test_empty_and_white_space() -> None:
    column = TextColumn.from_texts(["", " \n ", ""])
    for spans in (sentences(column), paragraphs(column)):
        assert spans.ptr.tolist() == [0, 0, 1, 1]
        assert spans.starts.tolist() == [0]
        assert spans.ends(column).tolist() == [3]
    none = sentences(TextColumn.from_texts([]))
    assert none.ptr.tolist() == [0] and len(none.starts) == 0


def test_fenced_code_is_one_paragraph_and_its_lines_are_sentences() -> None:
    text = "Look. Here:\n```py\nx = 1. Y\n\nprint(x)!\n```\nDone. Yes."
    assert cut_paragraphs(text) == ["Look. Here:\n", "```py\nx = 1. Y\n\nprint(x)!\n```\n", "Done. Yes."]
    code = ["```py\n", "x = 1. Y\n\n", "print(x)!\n", "```\n"]
    assert cut(text) == ["Look. ", "Here:\n", *code, "Done. ", "Yes."]


def test_a_fence_that_never_closes_is_prose() -> None:
    assert cut("```\nOne. Two.") == ["```\n", "One. ", "Two."]


def test_indented_code_is_one_paragraph_but_indented_prose_is_not() -> None:
    code = "Run. This:\n\n    if a == b:\n        return x[0]. Y\n\n    pass\n\nDone."
    block = "    if a == b:\n        return x[0]. Y\n\n    pass\n\n"
    assert cut_paragraphs(code) == ["Run. This:\n\n", block, "Done."]
    prose = "第一章\n\n    他来了。\n    她走了。\n"
    assert cut_paragraphs(prose) == ["第一章\n\n", "    他来了。\n", "    她走了。\n"]


def test_a_hard_wrapped_document_is_joined_inside_its_blocks() -> None:
    assert len(cut_paragraphs(WRAPPED)) == 3
    assert [" ".join(s.split())[:24] for s in cut(WRAPPED)] == [
        "A SHORT TITLE",
        "It was the best of times",
        "It was the epoch of beli",
        "There were a king with a",
    ]
    assert len(cut_paragraphs(CHINESE_WRAPPED)) == 2
    assert len(cut(CHINESE_WRAPPED)) == 4


def test_a_hard_wrapped_list_keeps_its_items() -> None:
    text = WRAPPED + "\n- an item that goes on for quite a long while, as items\n  do. Really\n- another item\n"
    assert len(cut_paragraphs(text)) == 5


def test_verse_menus_and_headlines_keep_their_lines() -> None:
    for text in (
        VERSE,
        "首页\n新闻\n\n体育\n财经\n娱乐\n\n科技\n",
        "Home\nAbout us\n\nContact\nImprint\nHelp\n\nFaq\n",
    ):
        assert len(cut_paragraphs(text)) == sum(bool(line.strip()) for line in text.splitlines())


def test_a_long_sentence_stays_whole() -> None:
    assert len(cut("word " * 2000 + "end.")) == 1


def test_growth_of_the_output() -> None:
    text = "a。" * 5000
    assert len(cut(text)) == 5000


def test_an_oversized_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MAX_DOCUMENT_BYTES", 3)
    with pytest.raises(ValueError, match="int32"):
        sentences(TextColumn.from_texts(["long"]))
