"""The safety model and word lists on labelled comments and on edited prose: precision, recall, false alarms, speed.

    python -m benchmarks.filters.safety_model [--references benchmarks/shared_safety.yaml] [--keep FOLDER]

The model is trained from the reference list by the same code as the sentence-quality model. *Held out* are a fifth of
Davidson et al. (English tweets) and the test part of COLD (Chinese). The model calls a text unsafe below a score of
0.5, the word lists (LDNOOBW) with one listed term. Texts that nobody calls unsafe (news, essays, laws, technical
articles) show how often either raises a false alarm. Rates are MB a CPU-second of one core, the best of three passes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.corpora.base_text import read_records
from benchmarks.corpora.references import read_references
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from benchmarks.tools.timing import best_cpu_seconds
from corpus.config import parse
from filters.linear.model import LinearModel, score, score_spans
from filters.quality.evaluation import auc
from filters.quality.training import WordsTraining, train
from filters.word_lists import WordList, count_listed
from tamis.places import ROOT
from text.arrow import TextColumn
from text.segment import sentences

NEEDS = ("data", "fasttext")

CLEAN = ("en_news_nyt", "en_news_bbc", "en_wiki_wikitext2", "zh_news_articles", "zh_tech_lctt", "zh_laws_versions")
UNSAFE_BELOW = 0.5


def main() -> None:
    """Trains and prints three tables."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--references", type=Path, default=ROOT / "benchmarks" / "shared_safety.yaml")
    parser.add_argument("--keep", type=Path, help="keep the model in this folder")
    options = parser.parse_args()
    require(NEEDS, options)
    config = parse(WordsTraining, read_references(options.references, options.data), "safety")
    with tempfile.TemporaryDirectory() as scratch:
        start = time.process_time()
        trained = train(config, ROOT, options.keep or Path(scratch) / "model")
        print(f"trained in {time.process_time() - start:.0f} CPU-s, digest {trained.digest[:16]}\n")
        model = LinearModel.load(trained.folder)
    words = {lang: WordList.load([options.data / "lists" / f"ldnoobw_{lang}.txt"]) for lang in ("en", "zh")}
    print_labelled(model, words, options.data)
    print_clean(model, words, options.data)


def labelled(data: Path, lang: str) -> tuple[TextColumn, npt.NDArray[np.bool_]]:
    """The comments of a language that the reference list holds out, and which of them are unsafe."""
    from hashlib import sha256

    texts, unsafe = [], []
    if lang == "zh":
        for record in read_records(data / "zh_toxic_cold.jsonl.zst"):
            if record["split"] == "test":
                texts.append(str(record["text"]))
                unsafe.append(str(record["label"]) == "1")
    else:
        for record in read_records(data / "en_toxic_davidson.jsonl.zst"):
            text = str(record["text"])
            if int.from_bytes(sha256(text.encode()).digest()[:7], "big") / 2**56 >= 0.8:
                texts.append(text)
                unsafe.append(record["label"] != "neither")
    return TextColumn.from_texts(texts), np.array(unsafe)


def print_labelled(model: LinearModel, words: dict[str, WordList], data: Path) -> None:
    """Prints precision and recall on held-out comments."""
    print(table_head("held out | texts | unsafe | AUC | model: precision | recall | word list: precision | recall"))
    for lang in ("en", "zh"):
        column, unsafe = labelled(data, lang)
        scores = score(model, column).astype(np.float64)
        listed = count_listed(words[lang], column)[0] > 0
        cells = [*precision_recall(scores < UNSAFE_BELOW, unsafe), *precision_recall(listed, unsafe)]
        found = " | ".join(f"{cell:.3f}" for cell in [auc(scores[~unsafe], scores[unsafe]), *cells])
        print(f"| {lang} | {len(column):,} | {int(unsafe.sum()):,} | {found} |")


def precision_recall(said: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The share of texts called unsafe that are, and the share of unsafe texts that are called so; 0 without any."""
    hits = float((said & true).sum())
    return hits / max(1.0, float(said.sum())), hits / max(1.0, float(true.sum()))


def print_clean(model: LinearModel, words: dict[str, WordList], data: Path) -> None:
    """Prints false alarms on edited prose, and the speed of both methods."""
    heads = "edited prose | documents | MB | mean safety below 0.5 | a tenth of the bytes unsafe | three listed terms"
    print("\n" + table_head(heads + " | model, MB/CPU-s | word list, MB/CPU-s"))
    for name in CLEAN:
        column = TextColumn.from_texts([str(r["text"]) for r in read_records(data / f"{name}.jsonl.zst")])
        spans = sentences(column)
        scores = score_spans(model, column, spans).astype(np.float64)
        lengths = (spans.ends(column) - spans.starts).astype(np.float64)
        which = np.repeat(np.arange(len(column)), np.diff(spans.ptr))
        size = np.maximum(1, column.lengths)
        mean = np.bincount(which, scores * lengths, len(column)) / size
        unsafe = np.bincount(which, np.where(scores < UNSAFE_BELOW, lengths, 0), len(column)) / size
        listed = count_listed(words[name[:2]], column)[0]
        alarms = [100 * float(np.mean(x)) for x in (mean < UNSAFE_BELOW, unsafe > 0.1, listed >= 3)]
        of = words[name[:2]]
        works: tuple[Callable[[], object], ...] = (
            lambda c=column: score_spans(model, c, sentences(c)),  # type: ignore[misc]
            lambda c=column, w=of: count_listed(w, c),  # type: ignore[misc]
        )
        rates = [column.nbytes / 1e6 / best_cpu_seconds(work) for work in works]
        cells = " | ".join([*(f"{a:.2f} %" for a in alarms), *(f"{r:.0f}" for r in rates)])
        print(f"| {name} | {len(column):,} | {column.nbytes / 1e6:.1f} | {cells} |")


if __name__ == "__main__":
    main()
