"""Recall and precision of the dedup engine against exhaustive truth, and its decisions about labelled pairs.

    python -m benchmarks.dedup.dedup_quality [--documents 12000] [--langs en zh] [--format json] [--work FOLDER]

For each language, real documents of the shared data folder, drawn by a seed, with planted copies
(`benchmarks.corpora.corpus`), go through `conf/pipelines/dedup.yaml`. The truth is every pair with J ≥ 0.5
(`benchmarks.corpora.exhaustive`), planted or not.

- *recall*: the share of pairs with J ≥ 0.8 that are not both kept; also over the pairs of which neither document was
  dropped as an exact copy before, and by bins of similarity.
- *precision*: the share of dropped documents whose named survivor has J ≥ 0.7: near duplicates, exact ones, both.

Cost: some 3 minutes a language on two cores.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.corpora.base_text import LANGUAGES, base_documents
from benchmarks.corpora.corpus import Plan, make
from benchmarks.corpora.exhaustive import Pairs, jaccard, read_texts, similar_pairs
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.dedup_run import Outcome, deduplicate, write_documents
from benchmarks.tools.labelled import measure_labelled
from benchmarks.tools.pipeline_run import local_cluster
from benchmarks.tools.report import show, table_head

NEEDS = ("data",)

Mask = npt.NDArray[np.bool_]
BINS = ((0.5, 0.6), (0.6, 0.7), (0.7, 0.75), (0.75, 0.8), (0.8, 0.85), (0.85, 0.9), (0.9, 0.95), (0.95, 1.01))
WANTED, WRONG = 0.8, 0.7
MIN_BYTES = 300


def figures(ids: list[str], texts: list[str], pairs: Pairs, found: Outcome) -> dict[str, Any]:
    """Recall and precision of one run.

    Args:
        ids: of the documents.
        texts: their texts.
        pairs: the truth, as indices into `ids`.
        found: what the run decided.
    """
    kept = np.array([name in found.kept for name in ids])
    exact = np.array([name in found.dropped and found.dropped[name].reason == "exact_duplicate" for name in ids])
    known = np.array([name in found.kept or name in found.dropped for name in ids])
    both = kept[pairs.a] & kept[pairs.b]
    read = known[pairs.a] & known[pairs.b]
    similar = (pairs.similarity >= WANTED) & read
    near = similar & ~exact[pairs.a] & ~exact[pairs.b]
    text_of = dict(zip(ids, texts, strict=True))
    precise: dict[str, list[bool]] = {"near_duplicate": [], "exact_duplicate": []}
    worst: list[tuple[float, str, str]] = []
    off = 0.0
    for name, drop in found.dropped.items():
        similarity = jaccard(text_of[name], text_of[drop.survivor]) if drop.survivor else 0.0
        precise.setdefault(drop.reason, []).append(similarity >= WRONG)
        if drop.similarity is not None and drop.reason == "near_duplicate":
            off = max(off, abs(drop.similarity - similarity))
        if similarity < WRONG:
            worst.append((similarity, name, drop.survivor or "none"))
    every = [hit for hits in precise.values() for hit in hits]
    return {
        "documents": len(ids),
        "bytes": sum(len(text.encode()) for text in texts),
        "kept": int(kept.sum()),
        "not_ingested": int((~known).sum()),
        "pairs_from_0.5": len(pairs),
        "pairs_from_0.8": int(similar.sum()),
        "recall": _share(~both[similar]),
        "near_pairs_from_0.8": int(near.sum()),
        "recall_near": _share(~both[near]),
        "removed_by_similarity": _by_similarity(pairs, read & ~exact[pairs.a] & ~exact[pairs.b], both),
        "dropped": {reason: len(hits) for reason, hits in precise.items()},
        "precision_near": _share(precise["near_duplicate"]),
        "precision_exact": _share(precise["exact_duplicate"]),
        "precision": _share(every),
        "largest_error_of_verified_similarity": off,
        "worst_drops": [list(row) for row in sorted(worst)[:5]],
        "missed_pairs": [
            [ids[pairs.a[i]], ids[pairs.b[i]], float(pairs.similarity[i])] for i in np.flatnonzero(similar & both)[:5]
        ],
    }


def _by_similarity(pairs: Pairs, counted: Mask, both: Mask) -> dict[str, dict[str, Any]]:
    """For each bin of similarity how many pairs count, and the share of them not both kept."""
    found = {}
    for low, high in BINS:
        inside = (pairs.similarity >= low) & (pairs.similarity < high) & counted
        key = f"{low:.2f}-{min(high, 1):.2f}"
        found[key] = {"pairs": int(inside.sum()), "not_both_kept": _share(~both[inside])}
    return found


def _share(found: Any) -> float | None:
    return float(np.mean(found)) if len(found) else None


def measure_language(lang: str, documents: int, data: Path, work: Path, cluster: Any, seed: int) -> dict[str, Any]:
    """Makes the corpus of a language, runs the pipeline, and compares with the truth."""
    base = base_documents(data, (lang,), MIN_BYTES)
    chosen = sorted(random.Random(seed).sample(range(len(base)), min(documents, len(base))))
    planted = make(work / lang, [base[i] for i in chosen], Plan(seed=seed))
    found = deduplicate({lang: str(work / lang / "input" / "*.parquet")}, work / f"run-{lang}", cluster)
    ids, texts = read_texts(sorted((work / lang / "input").glob("*.parquet")))
    return {"planted": planted["planted"], **figures(ids, texts, similar_pairs(texts, 0.5), found)}


def main() -> None:
    """Prints the figures as text or JSON."""
    parser = command_line(__doc__, NEEDS, work="tamis-dedup-quality", formats=True)
    parser.add_argument(
        "--documents", type=int, default=12_000, help="real documents of each language; copies come on top"
    )
    parser.add_argument("--langs", nargs="*", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-labelled", action="store_true")
    options = parser.parse_args()
    require(NEEDS, options)
    work = options.work
    for folder in ("labelled", *(f"run-{lang}" for lang in LANGUAGES)):
        shutil.rmtree(work / folder, ignore_errors=True)
    body: dict[str, Any] = {"languages": {}, "labelled": {}}
    with local_cluster(2) as cluster:

        def run(name: str, texts: dict[str, str]) -> Outcome:
            folder = work / "labelled" / name
            return deduplicate({name: write_documents(folder / "input", texts)}, folder / "run", cluster)

        for lang in options.langs:
            body["languages"][lang] = measure_language(
                lang, options.documents, options.data, work, cluster, options.seed
            )
        if not options.no_labelled:
            body["labelled"] = measure_labelled(options.data / "neardup", run)
    show(body, options.format == "json", as_text)


def as_text(body: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = []
    if body["languages"]:
        heads = " | documents | pairs J ≥ 0.8 | recall | near pairs | recall | dropped near / exact | precision near | "
        lines.append(table_head(heads + "exact | both"))
        for lang, f in body["languages"].items():
            drops = f"{f['dropped']['near_duplicate']:,} / {f['dropped']['exact_duplicate']:,}"
            lines.append(
                f"| {lang} | {f['documents']:,} | {f['pairs_from_0.8']:,} | {_text(f['recall'])} | "
                f"{f['near_pairs_from_0.8']:,} | {_text(f['recall_near'])} | {drops} | {_text(f['precision_near'])} | "
                f"{_text(f['precision_exact'])} | {_text(f['precision'])} |"
            )
        for lang, f in body["languages"].items():
            lines += ["", f"{lang}: share of near pairs not both kept, by similarity (pairs)"]
            lines += [
                f"  {span}  {_text(b['not_both_kept'])}  ({b['pairs']:,})"
                for span, b in f["removed_by_similarity"].items()
            ]
            lines += [f"  largest error of a verified similarity {f['largest_error_of_verified_similarity']:.4f}"]
            lines += [f"  wrong: J {s:.3f} {a} for {b}" for s, a, b in f["worst_drops"]]
            lines += [f"  missed: J {s:.3f} {a} and {b}" for a, b, s in f["missed_pairs"]]
    for name, found in body["labelled"].items():
        lines += ["", name]
        lines += [f"  {key}: {_text(value)}" for key, value in found.items()]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(v)}" for key, v in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
