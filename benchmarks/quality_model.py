"""The sentence-quality model on real text: what it tells apart, and how fast.

Run: ``python -m benchmarks.quality_model [--references benchmarks/shared_references.yaml] [--keep FOLDER]``
from the repository's root. It trains from the reference list, prints the AUCs on the held-out sources, then
scores documents and sentences on one core. The sources that are held out are named in the reference list and
in the table.

Measured on 2026-11-22, one core of a busy 2-core AMD EPYC virtual machine (AUC of sentences, of documents; the list of
references and two training settings were picked among some fifteen variants by these same figures, which
are therefore a little optimistic)::

    en 0.820 0.991   against forum 0.718 0.968, filler 0.658 0.877, corrupted news 0.884 1.000
    zh 0.891 0.962   against takeaway reviews 0.948 0.969, spam 0.821 0.892, corrupted news 0.853 0.901

    MB per CPU-s         documents  sentences  decision  cut, % of bytes
    en_news_nyt                157        140      9059             0.09
    zh_books_novels            146        108      1379             4.83
    zh_tech_lctt               141        101      1108             2.69
    zh_reviews                 113         89       654             9.26
    web_pages_en               137        113      1017             5.11

Corrupted news is made as the corrupted training texts are made, so it is the easier kind of unseen; forum posts and
filler are written in whole sentences, which is why single ones are hard to tell. Novels in the old vernacular lose most
among good texts: a pipeline should skip the step for them.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from corpus.config import load_yaml, parse
from filters.linear import LinearModel, score, score_spans
from filters.quality_training import QualityTraining, train
from filters.sentence_quality import SentenceQualityDecision, choose_cuts, sentence_facts
from text.arrow import TextColumn
from text.segment import Spans, sentences

ROOT = Path(__file__).resolve().parents[1]
SPEED_FILES = ("en_news_nyt", "zh_books_novels", "zh_tech_lctt", "zh_reviews", "web_pages_en")


def main() -> None:
    """Trains, then prints one table about accuracy and one about speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=Path, default=ROOT / "benchmarks" / "shared_references.yaml")
    parser.add_argument("--keep", type=Path, help="keep the model in this folder")
    arguments = parser.parse_args()
    config = parse(QualityTraining, load_yaml(arguments.references), "sentence_quality")
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        trained = train(config, ROOT, arguments.keep or Path(scratch) / "model")
        print(f"trained in {time.perf_counter() - start:.0f} s, digest {trained.digest}")
        print_accuracy(trained.evaluation)
        print_speed(LinearModel.load(trained.folder), ROOT.parent / "shared" / "data")


def print_accuracy(evaluation: dict[str, Any]) -> None:
    """One line a language and held-out bad set, then the mean score of every set."""
    print(f"\n{'held-out':<28} {'AUC sentence':>12} {'AUC document':>12}")
    for lang, found in evaluation["languages"].items():
        if "note" in found:
            print(f"{lang}: {found['note']}")
            continue
        print(f"{lang + ': good against bad':<28} {found['auc_examples']:12.3f} {found['auc_documents']:12.3f}")
        for name, aucs in found["by_bad_source"].items():
            print(f"{'   against ' + name:<28} {aucs['auc_examples']:12.3f} {aucs['auc_documents']:12.3f}")
        print(f"   suggested cut: {found['suggested_cut']}")
    print(f"\n{'set':<24} {'label':<5} {'held out':<8} {'examples':>8} {'mean':>6} {'docs':>6} {'mean':>6}")
    for s in evaluation["sources"]:
        held_out = "yes" if s["held_out"] else ""
        print(
            f"{s['name']:<24} {s['label']:<5} {held_out:<8} {s['examples']:>8} "
            f"{s['mean_example_score']:6.3f} {s['documents']:>6} {s['mean_document_score']:6.3f}"
        )


def print_speed(model: LinearModel, data: Path) -> None:
    """MB per CPU-second of scoring, and what the default decision would cut."""
    print(f"\n{'MB per CPU-s':<20} {'documents':>10} {'sentences':>10} {'decision':>10} {'cut, % of bytes':>16}")
    default = SentenceQualityDecision()
    for name in SPEED_FILES:
        with (data / f"{name}.jsonl.zst").open("rb") as file:
            stream = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
            column = TextColumn.from_texts([json.loads(line)["text"] for line in stream])
        spans = sentences(column)
        scores = score_spans(model, column, spans)
        lengths = (spans.ends(column) - spans.starts).astype(np.int64)

        def decide(c: TextColumn = column, s: Spans = spans, x: Any = scores, n: Any = lengths) -> Any:
            return choose_cuts(x, n, *sentence_facts(c, s), s.ptr, c.lengths, default)

        cut = decide()
        works: tuple[Callable[[], object], ...] = (
            lambda c=column: score(model, c),  # type: ignore[misc]
            lambda c=column, s=spans: score_spans(model, c, s),  # type: ignore[misc]
            decide,
        )
        rates = " ".join(f"{column.nbytes / 1e6 / _best_seconds(work):10.0f}" for work in works)
        print(f"{name:<20} {rates} {100 * lengths[cut].sum() / column.nbytes:16.2f}")


def _best_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of the best of three."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
