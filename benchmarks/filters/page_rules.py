"""What the document rules keep of web pages with menus and footers: as they are, and after these are cut in three ways.

    python -m benchmarks.filters.page_rules [--model FOLDER] [--format json]

Pages of which people have marked the main content go through the rules of `heuristic_filter` as they are; after
`line_filter`; after the sentence model without a cap (`benchmarks/shared_references.yaml`, trained here on none of
these pages unless `--model` names one); and as their main content alone, which is what an ideal extraction would give.
Each is done with FineWeb's three rules about lines and without them. Counted are the pages kept, the share of all main
content in them, and the share of their bytes that is not main content.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.gold_pages import gold_pages, in_main
from benchmarks.corpora.references import read_references
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import show, table_head
from corpus.config import parse
from filters.heuristic.decide import KEEP, REASONS, decide, scan
from filters.heuristic.thresholds import CjkThresholds, HeuristicThresholds, SpacedThresholds
from filters.lines.decide import KEEP as LINE_KEPT
from filters.lines.decide import Lines, choose_lines
from filters.lines.features import scan_lines
from filters.lines.thresholds import LineThresholds
from filters.quality.decide import SentenceQualityDecision, choose_cuts, sentence_facts
from filters.quality.model import SentenceModel
from filters.quality.training import QualityTraining, train
from pipelines.run.config import load_pipeline
from tamis.places import ROOT
from text.arrow import TextColumn
from text.segment import sentences

NEEDS = ("data", "fasttext")

FILES = (("web_pages_en", "en"), ("web_pages_zh", "zh"))
DEFAULT = ROOT / "conf" / "pipelines" / "default.yaml"
THRESHOLD = 0.1
RULES = {
    "all rules": HeuristicThresholds(),
    "without FineWeb's about lines": HeuristicThresholds(
        spaced=SpacedThresholds(
            min_terminal_line_ratio=None, max_short_line_ratio=None, max_line_break_word_ratio=None
        ),
        cjk=CjkThresholds(max_short_line_ratio=None),
    ),
}
Pages = Sequence[dict[str, Any]]


def main() -> None:
    """Cuts, judges, prints."""
    parser = command_line(__doc__, NEEDS, formats=True)
    parser.add_argument("--model", type=Path, help="folder of a sentence model")
    options = parser.parse_args()
    require(NEEDS, options)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model
        if folder is None:
            references = read_references(ROOT / "benchmarks" / "shared_references.yaml", options.data)
            config = parse(QualityTraining, references, "training")
            folder = train(config, ROOT, Path(scratch) / "model").folder
        rows = measure(SentenceModel.load(folder), options.data)
    show(rows, options.format == "json", as_markdown)


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """A line for each file, each way of cutting and each set of rules."""
    heads = "pages | before the rules | rules | pages kept, % | main content kept, % | not main, % of kept | most often"
    lines = [table_head(heads)]
    for row in rows:
        shares = " | ".join(f"{row[name]:.1f}" for name in ("pages_kept", "main_kept", "rest_of_kept"))
        pages = f"{row['file']}, {row['pages']}"
        lines.append(f"| {pages} | {row['before']} | {row['rules']} | {shares} | {row['most_often']} |")
    return "\n".join(lines)


def measure(model: SentenceModel, data: Path) -> list[dict[str, Any]]:
    """A row for each file, each way of cutting and each set of rules."""
    ways: dict[str, Callable[[Pages], list[str]]] = {
        "nothing": lambda pages: [page["text"] for page in pages],
        "line_filter": without_lines,
        f"sentence model below {THRESHOLD}": lambda pages: without_sentences(pages, model),
        "main content alone": lambda pages: [page["main"] for page in pages],
    }
    rows = []
    for name, lang in FILES:
        pages = gold_pages(data, name, lang)
        for before, cut in ways.items():
            texts = cut(pages)
            for rules, thresholds in RULES.items():
                facts = judged(texts, [page["main"] for page in pages], thresholds)
                rows.append({"file": name, "pages": len(pages), "before": before, "rules": rules, **facts})
    return rows


def judged(texts: Sequence[str], mains: Sequence[str], thresholds: HeuristicThresholds) -> dict[str, Any]:
    """What the rules keep of some texts, in percent."""
    column = TextColumn.from_texts(list(texts))
    codes = decide(scan(column), thresholds)
    spans = sentences(column)
    main = in_main(column, spans, list(mains))
    size = (spans.ends(column) - spans.starts).astype(np.int64)
    kept = (codes == KEEP)[np.repeat(np.arange(len(texts)), np.diff(spans.ptr))]
    whole = sum(len(text.encode()) for text in mains)
    often = Counter(REASONS[code] for code in codes if code != KEEP).most_common(2)
    return {
        "pages_kept": 100 * float((codes == KEEP).mean()),
        "main_kept": 100 * int(size[kept & main].sum()) / whole,
        "rest_of_kept": 100 * int(size[kept & ~main].sum()) / max(1, int(size[kept].sum())),
        "most_often": ", ".join(f"{reason} {count}" for reason, count in often),
    }


def without_lines(pages: Pages) -> list[str]:
    """The pages without the lines that `line_filter` cuts in `default.yaml`; empty where it drops the page."""
    texts = [page["text"].encode() for page in pages]
    facts = scan_lines(TextColumn.from_texts([page["text"] for page in pages]))
    thresholds = LineThresholds.model_validate(load_pipeline(DEFAULT).decisions("line_filter")["default"])
    assert thresholds.max_flagged_word_ratio is None, "pages dropped for flagged words are not counted here"
    chosen = choose_lines(Lines(facts.words, facts.upper_ratio, facts.flags), thresholds)
    cut = chosen != LINE_KEPT
    size = np.bincount(facts.doc[cut], (facts.end - facts.start)[cut], minlength=len(texts))
    hollow = size > thresholds.max_cut_ratio * np.array([len(text) for text in texts])
    left = _without(texts, facts.doc, facts.start, facts.end, cut)
    return ["" if drop else text for text, drop in zip(left, hollow.tolist(), strict=True)]


def without_sentences(pages: Pages, model: SentenceModel) -> list[str]:
    """The pages without the sentences that the model puts below the threshold."""
    column = TextColumn.from_texts([page["text"] for page in pages])
    spans = sentences(column)
    ends = spans.ends(column)
    decision = SentenceQualityDecision(threshold=THRESHOLD, max_cut_fraction=1.0)
    size = (ends - spans.starts).astype(np.int64)
    facts = sentence_facts(column, spans)
    cut = choose_cuts(model.score(column, spans), size, *facts, spans.ptr, column.lengths, decision)
    which = np.repeat(np.arange(len(pages)), np.diff(spans.ptr))
    return _without([page["text"].encode() for page in pages], which, spans.starts, ends, cut)


def _without(texts: Sequence[bytes], which: Any, start: Any, end: Any, cut: Any) -> list[str]:
    left = [bytearray(text) for text in texts]
    for i in np.flatnonzero(cut)[::-1].tolist():
        del left[which[i]][start[i] : end[i]]
    return [bytes(text).decode() for text in left]


if __name__ == "__main__":
    main()
