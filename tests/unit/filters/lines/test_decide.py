"""Each rule of the line filter on a line that it cuts and one that just passes; documents of which little is left."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from corpus.view import Edits, build_view
from filters.lines.decide import KEEP, LINE_REASONS, Lines, choose_lines
from filters.lines.features import scan_lines
from filters.lines.thresholds import LineThresholds
from pipelines.stages.base import Batch
from pipelines.stages.line_filter import LineFilter
from text.arrow import TextColumn

ALL = LineThresholds(c4_terminal_punctuation=True, zh_terminal_punctuation=True, zh_min_chars=3)
CUT_AND_KEPT = [
    ("refinedweb_upper_case", "BREAKING NEWS from Our Town.", "Breaking NEWS from our town."),
    ("refinedweb_numeric", "12:30 - 14.", "At 12:30 we left."),
    ("refinedweb_counter", "1,204 likes", "I have 3 likes and dislikes."),
    ("refinedweb_counter", "Comments (3)", "Comments on chapter 3."),
    ("refinedweb_boilerplate", "Sign in to your account.", "A sign in the window was lit."),
    ("refinedweb_boilerplate", "The whole story: Read more...", "You should read more of this author."),
    ("refinedweb_boilerplate", "You have 2 items in cart.", "There were two items in the box."),
    ("refinedweb_one_word", "Unfortunately.", "It rained outside."),
    ("c4_few_words", "Two words.", "Just three words."),
    ("c4_javascript", "Please turn on JavaScript in the browser to see it.", "Please turn on the light to see it."),
    ("c4_policy", "This site uses cookies to be of service to you.", "This site bakes cookies to be of service."),
    ("c4_long_word", f"This is a {'x' * 1001}.", f"This is a {'x' * 999}."),
    ("c4_no_terminal_punctuation", "The table of the contents", 'He said "the table of the contents"'),
    ("c4_no_terminal_punctuation", "And so it goes on...", "And so it goes on."),
    ("zh_counter", "阅读 1.2万", "他阅读了一万本书。"),
    ("zh_counter", "（3条评论）", "报纸上有三条评论。"),
    ("zh_boilerplate", "返回首页 >>", "他返回了首页的位置。"),
    ("zh_boilerplate", "点此阅读全文", "请大家阅读全文之后再来谈谈自己的看法吧。"),
    ("zh_few_chars", "序。", "绪论一。"),
    ("zh_no_terminal_punctuation", "今天天气很好，我们出门", "今天天气很好，我们出门。”"),
]


def reasons(text: str, thresholds: LineThresholds) -> list[str]:
    found = scan_lines(TextColumn.from_texts([text]))
    chosen = choose_lines(Lines(found.words, found.upper_ratio, found.flags), thresholds)
    return [LINE_REASONS[k] for k in chosen if k != KEEP]


@pytest.mark.parametrize(("reason", "cut", "kept"), CUT_AND_KEPT)
def test_a_line_that_a_rule_cuts_and_one_that_it_keeps(reason: str, cut: str, kept: str) -> None:
    assert reasons(f"{cut}\n{kept}", ALL) == [reason]


def test_every_rule_has_an_example() -> None:
    assert {reason for reason, _, _ in CUT_AND_KEPT} == set(LINE_REASONS)


def test_every_rule_can_be_switched_off() -> None:
    values = {name: None if "None" in str(f.annotation) else False for name, f in LineThresholds.model_fields.items()}
    off = LineThresholds.model_validate({**values, "max_cut_ratio": 1})
    assert reasons("\n".join(cut for _, cut, _ in CUT_AND_KEPT), off) == []


def test_code_between_fences_is_left_alone() -> None:
    assert reasons("```\nx\nJAVASCRIPT\n```\nx", ALL) == ["refinedweb_one_word"]


def test_a_threshold_beyond_the_evidence_is_refused() -> None:
    for changed in ({"c4_min_words": 11}, {"max_upper_ratio": 0.1}, {"max_word": 1}):
        with pytest.raises(ValidationError):
            LineThresholds.model_validate(changed)


def decided(texts: list[str], decision: LineThresholds) -> tuple[list[tuple[int, str]], list[tuple[int, str, str]]]:
    """(row, reason) of drops; (row, what was cut, reason) of edits."""
    column = TextColumn.from_texts(texts)
    rows = np.arange(len(texts), dtype=np.int32)
    view = build_view(column, Edits.none(len(texts)), rows)
    stage = LineFilter(LineFilter.Evidence(), {})
    batch = Batch(rows, rows + np.int64(70), "web", view, pa.table({}))
    verdict = stage.decide(stage.scan(batch), rows, 70, decision, lambda *_: np.zeros(0))
    edits = verdict.edits.to_pylist()
    assert all(e["replacement"] is None and e["sentences"] >= 1 for e in edits)
    return (
        [(d["row"], d["reason"]) for d in verdict.drops.to_pylist()],
        [(e["row"], column.bytes_at(e["row"])[e["start"] : e["end"]].decode(), e["reason"]) for e in edits],
    )


def test_edits_are_whole_lines_of_the_stored_text() -> None:
    prose = "The river rose in the night and by morning it stood in the fields. " * 3
    decision = LineThresholds()
    drops, edits = decided([f"{prose}\r\n3 likes\r\n{prose}\nHOME\n", "", prose], decision)
    assert drops == []
    assert edits == [(0, "3 likes\r\n", "refinedweb_counter"), (0, "HOME\n", "refinedweb_upper_case")]


def test_a_document_of_which_too_much_is_flagged_or_cut_is_dropped() -> None:
    prose = "The river rose in the night and by morning it stood in the fields."
    pages = ["\n".join(["Home"] * 4 + [prose]), "\n".join(["Two words"] * 40 + [prose]), "One", "No text"]
    drops, edits = decided(pages, LineThresholds())
    assert drops == [
        (0, "refinedweb_flagged_lines"),
        (1, "lines_mostly_cut"),
        (2, "refinedweb_flagged_lines"),
        (3, "lines_mostly_cut"),
    ]
    assert edits == []
    drops, edits = decided(pages, LineThresholds(max_flagged_word_ratio=None, max_cut_ratio=1))
    assert drops == [(2, "lines_mostly_cut"), (3, "lines_mostly_cut")]
    assert len(edits) == 44
