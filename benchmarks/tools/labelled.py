"""The labelled near-duplicate sets in `../shared/data/neardup`: what people call the same, and what a run decides.

| set | what the label says | figures |
|---|---|---|
| news_articles_planted_pairs | 20 of 2,500 paragraphs have a near copy among the others | pairs joined |
| clough_short_answers | an answer is a near copy, light or heavy revision of a text, or none | share joined, mean J |
| copycat_web_pairs | pages of one canonical link, judged 0.5 (template) < 1 < 2 < 3 (same content) | AUC of J, joined |
| zh_sentence_pairs | two sentences mean the same | AUC of J: paraphrases share words, but no 5-grams |

Pairs judged "unknown" are counted apart. The texts of copycat are stemmed and without stop words. A pair is *joined*
when the run lets one document stand for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.base_text import read_records
from benchmarks.corpora.exhaustive import jaccard, similar_pairs
from benchmarks.tools.dedup_run import Outcome
from filters.quality.evaluation import auc as auc_of

Deduplicate = Callable[[str, dict[str, str]], Outcome]
"""Runs the pipeline over a dictionary id → text, as a domain of that name."""
SENTENCE_PAIRS = 6000


def measure_labelled(folder: Path, run: Deduplicate) -> dict[str, Any]:
    """The figures of every set that the folder has."""
    sets = {
        "news_articles_planted_pairs": planted_news,
        "clough_short_answers": clough,
        "copycat_web_pairs": copycat,
        "zh_sentence_pairs": sentence_pairs,
    }
    paths = {name: folder / f"{name}.jsonl.zst" for name in sets}
    return {name: sets[name](list(read_records(path)), run) for name, path in paths.items() if path.is_file()}


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """The chance that a positive scores above a negative, a tie counting half; NaN where either is missing."""
    values, chosen = np.asarray(scores), np.asarray(positive, bool)
    return auc_of(values[chosen], values[~chosen]) if chosen.any() and not chosen.all() else float("nan")


def planted_news(rows: list[dict[str, Any]], run: Deduplicate) -> dict[str, Any]:
    """Recall and precision of the 20 pairs."""
    texts = {str(r["id"]): str(r["text"]) for r in rows}
    gold = {tuple(sorted((str(r["id"]), str(r["duplicate_of"])))) for r in rows if r["duplicate_of"]}
    found = run("news_pairs", texts)
    joined = {tuple(sorted((name, drop.survivor))) for name, drop in found.dropped.items() if drop.survivor}
    names = list(texts)
    pairs = similar_pairs(texts.values(), 0.5)
    similar = {tuple(sorted((names[a], names[b]))): s for (a, b), s in pairs.as_dict().items()}
    hit = sum(found.joined(a, b) for a, b in gold)
    return {
        "documents": len(texts),
        "gold_pairs": len(gold),
        "recall": hit / len(gold),
        "recall_from_0.8": _share([found.joined(*p) for p in gold if similar.get(p, 0) >= 0.8]),
        "gold_pairs_from_0.8": sum(similar.get(p, 0) >= 0.8 for p in gold),
        "least_gold_jaccard": min(jaccard(texts[a], texts[b]) for a, b in gold),
        "dropped": len(joined),
        "precision": _share([p in gold for p in joined]),
        "pairs_from_0.5": len(similar),
    }


def clough(rows: list[dict[str, Any]], run: Deduplicate) -> dict[str, Any]:
    """By kind of reuse: similarity to the source, and how many are joined with it."""
    texts = {str(r["id"]): str(r["text"]) for r in rows}
    found = run("clough", texts)
    by_label = defaultdict(list)
    for r in rows:
        if r["label"] != "orig":
            source = str(r["source_doc"])
            by_label[str(r["label"])].append(
                (jaccard(str(r["text"]), texts[source]), found.joined(str(r["id"]), source))
            )
    return {label: _figures(by_label[label]) for label in ("cut", "light", "heavy", "non")}


def copycat(rows: list[dict[str, Any]], run: Deduplicate) -> dict[str, Any]:
    """AUC of exact similarity for "same content" (2 and 3), and shares joined by judgement."""
    name_of: dict[str, str] = {}
    for r in rows:
        for key in ("text_a", "text_b"):
            name_of.setdefault(str(r[key]), f"page-{len(name_of)}")
    found = run("copycat", {name: text for text, name in name_of.items()})
    by_judgement = defaultdict(list)
    for r in rows:
        a, b = str(r["text_a"]), str(r["text_b"])
        by_judgement[str(r["judgement"])].append((jaccard(a, b), found.joined(name_of[a], name_of[b])))
    known = [(s, label in ("2", "3")) for label, pairs in by_judgement.items() if label != "unknown" for s, _ in pairs]
    figures: dict[str, Any] = {label: _figures(pairs) for label, pairs in sorted(by_judgement.items())}
    return {"auc_of_jaccard_2_and_3": auc(*zip(*known, strict=True)), **figures}


def sentence_pairs(rows: list[dict[str, Any]], run: Deduplicate) -> dict[str, Any]:
    """AUC of exact similarity for "same meaning", over evenly drawn pairs; nothing is run."""
    chosen = rows[:: max(1, len(rows) // SENTENCE_PAIRS)]
    scores = [jaccard(str(r["text_a"]), str(r["text_b"])) for r in chosen]
    same = [r["label"] == 1 for r in chosen]
    pairs = list(zip(scores, same, strict=True))
    return {
        "pairs": len(chosen),
        "auc_of_jaccard": auc(scores, same),
        "same_meaning_from_0.8": _share([s >= 0.8 for s, label in pairs if label]),
        "other_meaning_from_0.8": _share([s >= 0.8 for s, label in pairs if not label]),
    }


def _figures(pairs: list[tuple[float, bool]]) -> dict[str, Any]:
    similar = [joined for s, joined in pairs if s >= 0.8]
    return {
        "pairs": len(pairs),
        "mean_jaccard": float(np.mean([s for s, _ in pairs])),
        "from_0.8": len(similar),
        "joined": sum(joined for _, joined in pairs),
        "joined_from_0.8": sum(similar),
        "joined_below_0.7": sum(joined for s, joined in pairs if s < 0.7),
    }


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None
