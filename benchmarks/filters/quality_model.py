"""What the sentence-quality model tells apart on real text, and how fast it is.

    python -m benchmarks.filters.quality_model [--references benchmarks/shared_references.yaml] [--keep FOLDER]

The model is trained from the reference list. Printed are the AUCs on held-out sources, which the list names; what the
stage would cut of the main content and of the rest of web pages; and the speed on one core. The figures measured are in
`benchmarks/RESULTS.md`, "Sentence quality".

Cost: some 90 s of training, then seconds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.base_text import read_records
from benchmarks.corpora.gold_pages import gold_pages, in_main
from benchmarks.corpora.references import read_references
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.timing import best_cpu_seconds
from corpus.config import parse
from filters.linear.model import score_spans
from filters.quality.decide import SentenceQualityDecision, choose_cuts, sentence_facts
from filters.quality.form import sentence_form
from filters.quality.model import SentenceModel
from filters.quality.training import QualityTraining, train
from tamis.places import ROOT
from text.arrow import TextColumn
from text.segment import Spans, sentences

NEEDS = ("data", "fasttext")

SPEED_FILES = ("en_news_nyt", "zh_books_novels", "zh_tech_lctt", "zh_reviews", "web_pages_en")
PAGES = (
    ("web_pages_en", "en"),
    ("web_pages_zh", "zh"),
    ("web_pages_multilingual", "de"),
    ("web_pages_multilingual", "es"),
)
"""Files of pages with marked main content, and the language taken. The Chinese `netease-news` was trained on."""
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.4)


def main() -> None:
    """Trains, then prints tables about accuracy, about pages and about speed."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--references", type=Path, default=ROOT / "benchmarks" / "shared_references.yaml")
    parser.add_argument("--keep", type=Path, help="keep the model in this folder")
    options = parser.parse_args()
    require(NEEDS, options)
    config = parse(QualityTraining, read_references(options.references, options.data), "sentence_quality")
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        trained = train(config, ROOT, options.keep or Path(scratch) / "model")
        print(f"trained in {time.perf_counter() - start:.0f} s, digest {trained.digest}")
        print_accuracy(trained.evaluation)
        model = SentenceModel.load(trained.folder)
        print_pages(model, options.data)
        print_speed(model, options.data)


def print_accuracy(evaluation: dict[str, Any]) -> None:
    """Prints one line for each language and held-out bad set, then the mean score of every set."""
    print(f"\n{'held-out AUC':<28} {'sentence':>9} {'alone':>9} {'document':>9}")
    for lang, found in evaluation["languages"].items():
        if "note" in found:
            print(f"{lang}: {found['note']}")
            continue
        print(f"{lang + ': good against bad':<28} {_aucs(found)}")
        for name, aucs in found["by_bad_source"].items():
            print(f"{'   against ' + name:<28} {_aucs(aucs)}")
        print(f"   suggested cut: {found['suggested_cut']}\n   within pages: {found['pages']}")
        print("   reliability:", " ".join(f"{b['mean_score']:.2f}:{b['good']:.2f}" for b in found["reliability"]))
    print(f"\n{'set':<24} {'label':<5} {'held out':<8} {'examples':>8} {'mean':>6} {'docs':>6} {'mean':>6}")
    for s in evaluation["sources"]:
        held_out = "yes" if s["held_out"] else ""
        print(
            f"{s['name']:<24} {s['label']:<5} {held_out:<8} {s['examples']:>8} "
            f"{s['mean_example_score']:6.3f} {s['documents']:>6} {_figure(s['mean_document_score'])}"
        )


def _aucs(found: dict[str, Any]) -> str:
    return f"{found['auc_examples']:9.3f} {found['auc_alone']:9.3f}    {_figure(found['auc_documents'])}"


def _figure(value: float | None) -> str:
    return "     –" if value is None else f"{value:6.3f}"


def print_pages(model: SentenceModel, data: Path) -> None:
    """Prints what the stage cuts of the main content and of the rest of pages, in % of their bytes, by threshold."""
    print(f"\n{'pages: main lost / rest cut':<30} " + " ".join(f"{'below ' + str(t):>14}" for t in THRESHOLDS))
    for name, lang in PAGES:
        pages = gold_pages(data, name, lang)
        column = TextColumn.from_texts([page["text"] for page in pages])
        spans = sentences(column)
        scores, lengths = model.score(column, spans), (spans.ends(column) - spans.starts).astype(np.int64)
        main = in_main(column, spans, [page["main"] for page in pages])
        shares = []
        for threshold in THRESHOLDS:
            decision = SentenceQualityDecision(threshold=threshold, max_cut_fraction=1.0)
            cut = choose_cuts(scores, lengths, *sentence_facts(column, spans), spans.ptr, column.lengths, decision)
            lost, gone = (100 * lengths[cut & part].sum() / lengths[part].sum() for part in (main, ~main))
            shares.append(f"{lost:6.1f} / {gone:5.1f}")
        print(f"{f'{name}, {lang} ({len(pages)} pages)':<30} " + " ".join(shares))


def print_speed(model: SentenceModel, data: Path) -> None:
    """Prints MB per CPU-second of scoring by words, by form, by the whole model, and what the default decision cuts."""
    names = ("words", "form", "model", "decision", "cut, % of bytes")
    print(f"\n{'MB per CPU-s':<20} " + " ".join(f"{name:>10}" for name in names))
    default = SentenceQualityDecision()
    for name in SPEED_FILES:
        column = TextColumn.from_texts([r["text"] for r in read_records(data / f"{name}.jsonl.zst")])
        spans = sentences(column)
        scores = model.score(column, spans)
        lengths = (spans.ends(column) - spans.starts).astype(np.int64)

        def decide(c: TextColumn = column, s: Spans = spans, x: Any = scores, n: Any = lengths) -> Any:
            return choose_cuts(x, n, *sentence_facts(c, s), s.ptr, c.lengths, default)

        cut = decide()
        works: tuple[Callable[[], object], ...] = (
            lambda c=column, s=spans: score_spans(model.words, c, s),  # type: ignore[misc]
            lambda c=column, s=spans: sentence_form(s.as_column(c)),  # type: ignore[misc]
            lambda c=column, s=spans: model.score(c, s),  # type: ignore[misc]
            decide,
        )
        rates = " ".join(f"{column.nbytes / 1e6 / best_cpu_seconds(work):10.0f}" for work in works)
        print(f"{name:<20} {rates} {100 * lengths[cut].sum() / column.nbytes:16.2f}")


if __name__ == "__main__":
    main()
