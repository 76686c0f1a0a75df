"""Each rule of the heuristic filter on a document made to fail it and no other; good prose passes."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard
from pydantic import ValidationError

from filters.heuristic.decide import CJK, KEEP, OTHER, REASONS, RULES, SPACED, decide, failures, scan
from filters.heuristic.thresholds import CjkThresholds, HeuristicThresholds, OtherThresholds, SpacedThresholds
from tests.conftest import REPOSITORY
from text.arrow import TextColumn

SHARED = Path(os.environ.get("TAMIS_SHARED", REPOSITORY.parent / "shared"))
ENGLISH = (
    "The tamis is a drum sieve that cooks have used for centuries. A metal or nylon mesh is stretched over a "
    "wide hoop, and food is pushed through with a scraper, which leaves behind skin, seeds and fibre. What "
    "comes out below is finer than anything a blade can make. Pastry chefs press almonds through it; others "
    "keep it for potatoes, since a purée made that way stays light. It has to be "
    "rinsed at once, before the residue dries in the mesh."
)
CHINESE = (
    "鼓筛是厨房里用了几百年的工具。人们把金属网或者尼龙网绷在宽大的木圈上，再用刮板把食物压过去，皮、籽"
    "和粗纤维就留在上面。落到下面的泥，比任何刀具切出来的都要细腻。做点心的师傅用它来筛杏仁粉，也有人专"
    "门拿它做土豆泥，因为这样压出来的口感更轻盈。用完之后要马上冲洗，不然残渣干在网眼里，就很难清理干净了。"
)


def words(n: int, start: int = 0, size: int = 5) -> list[str]:
    """n different words of lower-case letters."""
    letters = "bcdfghjklmnpqrstvwxyz"
    return [
        "".join(w) for w in itertools.islice(itertools.product(letters, repeat=size), start * 7, (start + n) * 7, 7)
    ]


def han(n: int, start: int = 0) -> list[str]:
    return [chr(0x4E00 + start + k) for k in range(n)]


def spread(phrases: list[list[str]], filler: list[str]) -> list[str]:
    """The phrases, each twice, with filler between any two."""
    out: list[str] = []
    gap = len(filler) // (2 * len(phrases))
    for k, phrase in enumerate(phrases * 2):
        out += filler[k * gap : (k + 1) * gap] + phrase
    return out + filler[2 * len(phrases) * gap :]


def repeated(tokens: list[str], size: int, share: float, total: int) -> list[str]:
    """About `total` tokens, `share` of which are second copies of phrases of `size` tokens."""
    n = round(share * total / size)
    phrases = [tokens[k * size : (k + 1) * size] for k in range(n)]
    return spread(phrases, tokens[n * size : total - n * size])


def topped(tokens: list[str], size: int, share: float, total: int) -> list[str]:
    """About `total` tokens, `share` of which are copies of one phrase of `size` tokens."""
    n = round(share * total / size)
    filler = tokens[size : size + total - n * size]
    gap = len(filler) // n
    return [t for k in range(n) for t in (*tokens[:size], *filler[k * gap : (k + 1) * gap])]


def english(tokens: list[str]) -> str:
    return " ".join(["the", *tokens, "with"])


def chinese(tokens: list[str]) -> str:
    text = "".join(tokens)
    return "。".join(text[i : i + 19] for i in range(0, len(text), 19)) + "。"


def lines_of(text: str, n: int, end: str = "\n") -> str:
    return end.join(f"{text} {w}" for w in words(n))


GRAMS = {"top": {2: 0.20, 3: 0.18, 4: 0.16}, "dup": {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}}


def bad_documents() -> Iterator[tuple[str, str]]:
    base = english(words(80))
    yield "gopher_word_count", "The few words of that note."
    yield "gopher_mean_word_length", english(words(60, size=14))
    yield "gopher_mean_word_length", "the of " + " ".join(words(60, size=2))
    yield "gopher_symbol_ratio", base + " #" * 12
    yield "gopher_symbol_ratio", base.replace(" ", "... ")
    yield "gopher_bullet_lines", "the of\n" + "\n".join(f"- {' '.join(words(5, 5 * k))}" for k in range(30))
    yield "gopher_ellipsis_lines", "\n".join(f"{' '.join(words(20, 20 * k))} the of ..." for k in range(10))
    yield "gopher_alpha_words", base + " " + " ".join(str(10_000 + k) for k in range(30))
    yield "gopher_stop_words", " ".join(words(80))
    yield "gopher_dup_lines", "\n".join([base, *["ab"] * 4])
    long = [" ".join(words(4, 4 * k, size=12)) for k in range(10)]
    apart = [f"{line}\n{w}" for line, w in zip(long * 2, words(20, 500), strict=True)]
    yield "gopher_dup_line_chars", "\n".join(["the of", *apart, *words(60, 700)])
    paragraphs = [" ".join(words(9, 9 * k)) for k in range(7)]
    yield ("gopher_dup_paragraphs", "\n\n".join(["the of\n" + "\n".join(words(60, 70)), *paragraphs, *["ab"] * 5]))
    for kind, sizes in GRAMS.items():
        for n, limit in sizes.items():
            make = topped if kind == "top" else repeated
            yield f"gopher_{kind}_{n}gram", english(make(words(1500), n, limit * 1.2 + 0.012, 1000))
            yield f"zh_{kind}_{2 * n}char", chinese(make(han(6000), 2 * n, limit * 1.06 + 0.008, 4000))
    good = chinese(han(400))
    yield "zh_length", "谢谢，今天的菜很好吃。"
    yield "zh_cjk_ratio", good[:99] + "—" * 20 + "++==" * 100
    yield "zh_punctuation_ratio", "".join(han(400)) + "。"
    yield "zh_punctuation_ratio", "，".join(han(30)) + "。" + "、，" * 40 + "".join(han(100, 50))
    yield (
        "zh_digit_ratio",
        "，".join(f"{c}{d}{10 + k}" for k, (c, d) in enumerate(zip(han(60), han(60, 90), strict=True))) + "。",
    )
    yield "zh_bullet_lines", "\n".join(f"• {''.join(han(19, 20 * k))}。" for k in range(9))
    yield "zh_ellipsis_lines", "\n".join(f"{''.join(han(19, 20 * k))}……" for k in range(9))
    yield "zh_mean_line_length", "\n".join(f"{''.join(han(4, 5 * k))}。" for k in range(40))
    yield (
        "zh_terminal_lines",
        "\n".join(f"{''.join(han(9, 20 * k))}，{''.join(han(9, 20 * k + 10))}" for k in range(20)),
    )
    yield "zh_dup_lines", "\n".join([good, *["她，"] * 4])
    yield "other_length", "Привет, мир."
    yield (
        "other_dup_lines",
        "\n".join([" ".join(f"сло{chr(0x430 + k % 30)}{chr(0x430 + k // 30)}" for k in range(99)), *["да"] * 4]),
    )


def without_web_rules() -> HeuristicThresholds:
    """The defaults without the rules of C4, FineWeb and WuDao."""
    names = {rule.low or rule.high for rule in RULES if rule.reason in {reason for reason, _, _ in WEB_RULES}}
    default = HeuristicThresholds()
    return HeuristicThresholds(
        **{
            profile: part.model_copy(update=dict.fromkeys(names & set(type(part).model_fields)))
            for profile, part in (("spaced", default.spaced), ("cjk", default.cjk), ("other", default.other))
        }
    )


def codes(text: str, thresholds: HeuristicThresholds | None = None) -> list[str]:
    features = scan(TextColumn.from_texts([text]))
    return [REASONS[k] for k in np.flatnonzero(failures(features, thresholds)[0])]


def lines_with(ends: int, of: int, words_a_line: int = 12) -> str:
    """Lines of different words, the first `ends` of which end with a full stop."""
    return "\n".join(" ".join(words(words_a_line, words_a_line * k)) + "." * (k < ends) for k in range(of))


RUSSIAN = "Барабанное сито повара знают уже не первое столетие, и оно им служит. "
WEB_RULES = [
    ("c4_sentences", "One sentence. Another by J. Smith", "One sentence. Another! A third"),
    ("c4_lorem_ipsum", "Here stands Lorem Ipsum.", "Here stands lorem, ipsum."),
    ("c4_curly_bracket", "f(x) { return x; }", "f(x) ( return x; )"),
    ("mc4_long_lines", "\n".join(["x" * 200] * 2 + ["x" * 199]), "\n".join(["x" * 200] * 3)),
    (
        "fineweb_dup_line_chars",
        "\n".join(["a" * 21, "a" * 21, *"bcdef", "g" * 153]),
        "\n".join(["a" * 20, "a" * 20, "b" * 160]),
    ),
    ("fineweb_terminal_lines", lines_with(2, 17), lines_with(3, 25)),
    ("fineweb_short_lines", "\n".join(["x" * 30] * 68 + ["x" * 31] * 32), "\n".join(["x" * 30] * 67 + ["x" * 31] * 33)),
    ("fineweb_line_breaks", "\n".join(["a b c"] * 12), "\n".join(["a b c d"] * 12)),
    ("zh_chars", "".join(han(9)), "".join(han(10))),
    ("zh_foreign_run", "中" + "x" * 11 + "文字" * 9, "中" + "x" * 10 + "文字" * 9),
    ("zh_sentences", "一。二！三？四", "一。二！三？四。五"),
    ("zh_short_lines", "\n".join(["字" * 10] * 68 + ["字" * 11] * 32), "\n".join(["字" * 10] * 67 + ["字" * 11] * 33)),
    (
        "zh_fineweb_dup_line_chars",
        "字" * 21 + "\n" + "字" * 21 + "\n" + "文" * 158,
        "字" * 20 + "\n" + "字" * 20 + "\n" + "文" * 160,
    ),
    ("zh_c4_lorem_ipsum", "这里是 lorem ipsum 文字。", "这里是 lorem 文字。"),
    ("zh_c4_curly_bracket", "这里是{文字", "这里是（文字"),
    ("zh_mc4_long_lines", "字" * 200, "\n".join(["字" * 200] * 3)),
    (
        "other_fineweb_dup_line_chars",
        "я" * 21 + "\n" + "я" * 21 + "\n" + "ю" * 158,
        "я" * 20 + "\n" + "я" * 20 + "\n" + "ю" * 160,
    ),
    ("other_c4_lorem_ipsum", RUSSIAN + "lorem ipsum", RUSSIAN + "lorem"),
    ("other_c4_curly_bracket", RUSSIAN + "{", RUSSIAN + "("),
    ("other_mc4_long_lines", RUSSIAN, "\n".join([RUSSIAN * 3] * 3)),
]
"""Reason; a text that fails the rule; one that just passes it."""
EVERY_WEB_RULE = HeuristicThresholds.model_validate(
    {
        "spaced": {"max_curly_brackets": 0, "min_long_lines": 3},
        "cjk": {"max_curly_brackets": 0, "min_long_lines": 3, "max_foreign_run": 10, "min_sentences": 5},
        "other": {"max_curly_brackets": 0, "min_long_lines": 3},
    }
)


@pytest.mark.parametrize(("reason", "fails", "passes"), WEB_RULES, ids=[reason for reason, _, _ in WEB_RULES])
def test_a_web_rule_on_a_text_that_fails_and_one_that_just_passes(reason: str, fails: str, passes: str) -> None:
    assert reason in codes(fails, EVERY_WEB_RULE)
    assert reason not in codes(passes, EVERY_WEB_RULE)


def test_rules_that_take_good_text_are_off() -> None:
    off = {"c4_curly_bracket", "mc4_long_lines", "zh_foreign_run", "zh_sentences"}
    found = {reason for reason, fails, _ in WEB_RULES if reason not in codes(fails)}
    assert found == off | {f"{p}_{r}" for p in ("zh", "other") for r in ("c4_curly_bracket", "mc4_long_lines")}


@pytest.mark.parametrize(("reason", "text"), list(bad_documents()), ids=lambda x: x if len(x) < 30 else "")
def test_a_document_that_fails_one_rule_alone(reason: str, text: str) -> None:
    thresholds = without_web_rules()
    assert codes(text, thresholds) == [reason]
    assert REASONS[decide(scan(TextColumn.from_texts([text])), thresholds)[0]] == reason


def test_good_prose_passes() -> None:
    features = scan(TextColumn.from_texts([ENGLISH, CHINESE, ENGLISH + "\n\n" + CHINESE]))
    assert decide(features).tolist() == [KEEP] * 3
    assert features["profile"][:2].tolist() == [SPACED, CJK]


def test_profiles_and_documents_without_text() -> None:
    texts = ["", " \n", "12 34 56", "Привет", "สวัสดีครับ", "你好", "你好 hello there", "ab中", "한국어", "مرحبا"]
    features = scan(TextColumn.from_texts(texts))
    assert features["profile"].tolist() == [SPACED] * 3 + [OTHER, OTHER, CJK, SPACED, CJK, OTHER, OTHER]
    assert [REASONS[k] for k in decide(features)[:4]] == ["gopher_word_count"] * 3 + ["other_length"]
    assert len(decide(scan(TextColumn.from_texts([])))) == 0


def test_a_threshold_is_decision_null_switches_it_off_and_at_it_passes() -> None:
    features = scan(TextColumn.from_texts([" ".join(["the", "of", *words(28)])]))
    default = without_web_rules()
    assert REASONS[decide(features, default)[0]] == "gopher_word_count"
    for limit, kept in ((None, True), (30, True), (31, False)):
        spaced = default.spaced.model_copy(update={"min_words": limit})
        assert (decide(features, default.model_copy(update={"spaced": spaced}))[0] == KEEP) == kept
    ratio = float(np.float32(1) / np.float32(3))
    lines = scan(TextColumn.from_texts(["\n".join([ENGLISH, "x y", "x y"])]))
    assert lines["dup_line_ratio"][0] == np.float32(ratio)
    exact = default.spaced.model_copy(update={"max_dup_line_ratio": 1 / 3})
    assert decide(lines, default.model_copy(update={"spaced": exact}))[0] == KEEP


def test_the_first_failing_rule_is_the_reason() -> None:
    features = scan(TextColumn.from_texts(["# # #"]))
    failed = failures(features)[0]
    assert failed.sum() > 1
    assert decide(features)[0] == np.flatnonzero(failed)[0]


def test_rules_name_features_and_thresholds_that_exist_and_each_threshold_has_a_rule() -> None:
    features = scan(TextColumn.from_texts(["x"]))
    models = {SPACED: SpacedThresholds, CJK: CjkThresholds, OTHER: OtherThresholds}
    assert len(set(REASONS)) == len(RULES)
    for profile, model in models.items():
        rules = [rule for rule in RULES if rule.profile == profile]
        assert {rule.feature for rule in rules} <= set(features)
        named = {name for rule in rules for name in (rule.low, rule.high) if name}
        assert named == set(model.model_fields)
        assert all(field.json_schema_extra["source"] for field in model.model_fields.values())


def test_config_is_strict_and_frozen() -> None:
    with pytest.raises(ValidationError):
        HeuristicThresholds.model_validate({"spaced": {"min_word": 3}})
    with pytest.raises(ValidationError):
        SpacedThresholds().min_words = 3  # type: ignore[misc]
    assert HeuristicThresholds.model_validate({"cjk": {"min_text_chars": None}}).cjk.min_text_chars is None


def load(name: str) -> list[str]:
    path = SHARED / "data" / f"{name}.jsonl.zst"
    if not path.exists():
        pytest.skip(f"no {path.name} beside the checkout")
    with path.open("rb") as raw:
        stream = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), "utf-8", newline="\n")
        return [json.loads(line)["text"] for line in stream]


@pytest.mark.data
@pytest.mark.parametrize(("name", "min_words"), [("en_brown", 100), ("zh_news_articles", 0)])
def test_edited_prose_passes(name: str, min_words: int) -> None:
    texts = [text for text in load(name) if len(text.split()) >= min_words]
    assert (decide(scan(TextColumn.from_texts(texts))) == KEEP).mean() >= 0.9


@pytest.mark.data
def test_short_chinese_fails_on_length() -> None:
    reasons = decide(scan(TextColumn.from_texts(load("zh_short_clue"))))
    assert (reasons == REASONS.index("zh_length")).mean() > 0.7
