"""What a text is worth beside a copy of it: marks of damage cost, strange matter costs, its own sentences count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from filters.damage.cues import han_cues, latin_cues
from filters.damage.grade import PARTS, grade
from filters.damage.tables import damage_tables, find_cue
from filters.damage.weights import FEATURES, WEIGHTS
from text.arrow import TextColumn

EN = (
    "The old bridge over the river was closed in March, after divers had found cracks in two of its pillars.\n"
    "Engineers of the county said that the damage was older than the flood of last winter, and the bridge safe.\n\n"
    "Repairs will take until autumn. In the meantime a ferry carries people and bicycles across the river, though not\n"
    "cars, which have to take the road over the dam. “We had expected this for years,” said the ferryman, whose\n"
    "father had helped to build the bridge. The county will pay for the repairs from its reserves, and the bridge is\n"
    "to be opened in October."
)
ZH = (
    "三月，潜水员在河上旧桥的两个桥墩中发现裂缝，旧桥随即关闭。县里的工程师说，"
    "裂缝比去年冬天的洪水更早，在此之前旧桥一直是安全的。\n\n"
    "修复工程将持续到秋天。在此期间，渡船载着行人和自行车过河，汽车则必须绕行大坝上的公路。"
    "渡船的船夫说，他早就料到旧桥会有这一天，他的父亲曾参加过旧桥的建设。"
    "修复的费用由县里的储备金支付，旧桥预计在十月重新开放。"
)
ZERO_WIDTH = "\u200b"


def merit(text: str) -> int:
    return int(grade(TextColumn.from_texts([text])).merit[0])


def part(text: str, name: str) -> int:
    return int(grade(TextColumn.from_texts([text])).parts[0, PARTS.index(name)])


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


DAMAGE: dict[str, Callable[[str], str]] = {
    "quoted": lambda t: "\n".join("> " + line for line in t.split("\n")),
    "bare quotes": lambda t: "\n".join(">" + line for line in t.split("\n")),
    "banner": lambda t: (
        "We use cookies to improve your experience. By continuing you accept our privacy policy.\n\n" + t
    ),
    "横幅": lambda t: "本网站使用Cookie来改善您的浏览体验。继续浏览即表示您同意我们的隐私政策。\n\n" + t,
    "remarks": lambda t: (
        t + "\n\nGreat article, thanks for sharing!\nlol who writes this stuff\nI totally agree, well said."
    ),
    "评论": lambda t: t + "\n\n写得真好，支持楼主！\n呵呵，你也信？\n哈哈哈哈笑死我了",
    "behind": lambda t: (
        t + "\n\nAdvertisement\nBuy one get one free! Shop now\nRelated articles\nShare this: Facebook Twitter"
    ),
    "上一篇": lambda t: t + "\n\n上一篇：关于放假的通知 下一篇：没有了\n点击下载手机客户端，查看更多精彩内容",
    "stars": lambda t: t.replace(". ", ". ★☆ ").replace("。", "。★☆"),
    "rules": lambda t: t.replace("\n\n", "\n==========\n"),
    "zero width": lambda t: t.replace("r", "r" + ZERO_WIDTH).replace("的", ZERO_WIDTH + "的"),
    "apart": lambda t: " ".join(t[:40].replace(" ", "")) + t[40:],
    "misread": lambda t: t.replace("a", "Ã¤").replace("的", "çš„"),
    "lost": lambda t: t.replace("e ", "� ").replace("桥", "�"),
    "entities": lambda t: t.replace(", ", "&nbsp;, ").replace("，", "&nbsp;，"),
    "tags": lambda t: t.replace("\n\n", "<br/><br/>\n\n"),
    "cut off": lambda t: t[:-20],
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("text", [EN, ZH], ids=["en", "zh"])
def test_the_damaged_copy_is_worth_less(text: str, kind: str) -> None:
    damaged = DAMAGE[kind](text)
    assert damaged != text and merit(damaged) < merit(text)


@pytest.mark.parametrize(
    "damaged",
    [full_width(EN), EN.upper(), EN.replace(". ", " ").replace(", ", " ").replace(".", ""), ZH.replace("，", ",")],
    ids=["wide", "capitals", "no marks", "marks of another width"],
)
def test_the_most_normal_form_is_worth_most(damaged: str) -> None:
    assert merit(damaged) < merit(ZH if "桥" in damaged else EN)


@pytest.mark.parametrize("text", [EN, ZH], ids=["en", "zh"])
def test_the_longer_copy_wins_by_sentences_of_its_own(text: str) -> None:
    first_page = text[: text.rindex("." if text is EN else "。", 0, len(text) - 2) + 1]
    assert len(first_page) > len(text) / 2 and merit(first_page) < merit(text)


def test_marks_are_counted_where_they_are_damage_and_not_where_they_are_meant() -> None:
    """A bullet before its item, a picture's selector, a Portuguese capital and a minus are no damage."""
    for text in ("• one\n• two", "I ❤\ufe0f it", "NÃO É", "5 < 6 and 7 > 3", "a & b", "　　三月，旧桥关闭。"):
        for name in ("ornaments", "invisible", "broken", "markup", "quoted", "spaced", "gaps"):
            assert part(text, name) == (-60 if name == "ornaments" and "❤" in text else 0), (text, name)
    assert part("> a\n> > b\nc", "quoted") == -400 and part("ａｂ１", "wide") == -75
    assert part("CafÃ© â€™", "broken") == -800 and part("&amp; <b>x</b> \\u00e9", "markup") == -600
    assert part("a l o n g word", "spaced") == -5 * 60 and part("我 们 说", "spaced") == -120


def test_what_both_copies_have_counts_for_both() -> None:
    """A line that no text is judged by alone: the difference of two copies is that of their difference."""
    poem = "roses are red\nviolets are blue\n"
    assert merit(poem + poem.replace("are", "★ are")) < merit(poem + poem)


@pytest.mark.parametrize(
    "text", ["", " \n\t", ZERO_WIDTH * 3, "...", "★", ">", "> \n>", "\ufffd", "x" * 100_000, "\n" * 5000]
)
def test_texts_of_nothing(text: str) -> None:
    found = grade(TextColumn.from_texts([text, EN]))
    assert found.tokens[0] <= 1 and found.merit[0] <= 100
    assert found.merit[1] == merit(EN), "whatever stands before it"


def test_a_text_of_many_pieces_and_slices_of_a_column() -> None:
    texts = ["One. " * 5000 + "\n" * 3, EN, ZH]
    whole = grade(TextColumn.from_texts(texts))
    assert whole.tokens.tolist()[0] == 5000
    alone = [grade(TextColumn.from_texts([t])) for t in texts]
    assert whole.parts.tolist() == [g.parts[0].tolist() for g in alone]
    column = TextColumn.from_texts(["x", *texts])
    sliced = grade(TextColumn(column.offsets[1:], column.data))
    assert np.array_equal(sliced.parts, whole.parts)


def test_every_cue_is_found() -> None:
    tables = damage_tables()
    assert all(
        find_cue(np.uint64(int.from_bytes(c.encode("utf-16-be"), "big")), tables.keys, tables.bits)
        for c in han_cues()
        if len(c) > 1
    )
    assert np.count_nonzero(tables.keys) == len(latin_cues()) + sum(len(c) > 1 for c in han_cues())
    assert np.count_nonzero(tables.keys) < len(tables.keys) / 2


def test_no_mark_of_damage_speaks_for_a_piece() -> None:
    for name in ("unended", "notices", "remarks", "persons", "exclaims", "low_start", "clashes"):
        row = FEATURES[name]
        assert row.latin >= 0 and row.han >= 0 and row.latin + row.latin_off >= 0 and row.han + row.han_off >= 0, name
    assert WEIGHTS.shape == (2, 2 * len(FEATURES) - 2)
