"""What the document rules leave of web pages with menus and footers: as they are, and behind what cuts them first.

    python -m benchmarks.filters.page_rules [--model FOLDER] [--format json]

Pages with gold main content go through ``heuristic_filter``'s rules as they are; behind ``line_filter``; behind the
sentence model without a cap (``benchmarks/shared_references.yaml``, trained here unless ``--model`` names one, on none
of these pages); and as their main content alone, which is what an ideal extraction would give. Each with FineWeb's
three rules about lines and without. Counted are pages kept, the share of all main content in them, and the share of
their bytes that is none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.base_text import DATA
from benchmarks.filters.quality_model import gold_pages, in_main
from corpus.config import load_yaml, parse
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, help="folder of a sentence model")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"skipped: there is no {options.data}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model
        if folder is None:
            config = parse(QualityTraining, load_yaml(ROOT / "benchmarks" / "shared_references.yaml"), "training")
            folder = train(config, ROOT, Path(scratch) / "model").folder
        rows = measure(SentenceModel.load(folder), options.data)
    if options.format == "json":
        print(json.dumps(rows, indent=1))
        return
    print(
        "| pages | before the rules | rules | pages kept, % | main content kept, % | not main, % of kept | most often |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        shares = " | ".join(f"{row[name]:.1f}" for name in ("pages_kept", "main_kept", "rest_of_kept"))
        print(f"| {row['file']}, {row['pages']} | {row['before']} | {row['rules']} | {shares} | {row['most_often']} |")


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
    """The pages without the lines that ``line_filter`` cuts in ``default.yaml``; empty where it drops the page."""
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
