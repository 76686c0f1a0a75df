"""The numbers of `tamis dedup curve`: what is asked of bands × rows, what they reach, and at what cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.errors import ConfigError

SHOWN = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
WASTED = (0.5, 0.7)
"""Similarities between which candidates are many and duplicates none: their mean share is shown as the cost."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a pair of bands and rows: at a Jaccard similarity of `threshold`, found with probability
    `recall`.

    `num_perm` are the minima of a signature. `containment` is the containment and the ratio of sizes that the threshold
    stands for; None where it is itself what is asked.
    """

    bands: int
    rows: int
    threshold: float
    recall: float
    num_perm: int
    containment: tuple[float, float] | None = None


def describe(wanted: Wanted, pairs: list[tuple[int, int]]) -> dict[str, Any]:
    """The result as JSON: what was asked, and for each pair its curve, its recall and its cost."""
    meant = wanted.containment
    return {
        "threshold": wanted.threshold,
        "recall": wanted.recall,
        "num_perm": wanted.num_perm,
        "containment": None if meant is None else {"threshold": meant[0], "min_size_ratio": meant[1]},
        "pairs": [_described(wanted, bands, rows) for bands, rows in pairs],
    }


def _described(wanted: Wanted, bands: int, rows: int) -> dict[str, Any]:
    from dedup.banding import detection_probability

    reached = detection_probability(wanted.threshold, bands, rows)
    shares = [detection_probability(percent / 100, bands, rows) for percent in range(101)]
    low, high = (round(100 * end) for end in WASTED)
    return {
        "bands": bands,
        "rows": rows,
        "permutations": bands * rows,
        "at_threshold": _rounded(reached),
        "reaches_recall": reached >= wanted.recall,
        "fits_signature": bands * rows <= wanted.num_perm,
        "recall_from_similarity": round(float((1 - (1 - wanted.recall) ** (1 / bands)) ** (1 / rows)), 4),
        "bands_needed": bands_needed(wanted.threshold, wanted.recall, rows),
        "candidates": {
            **{f"{percent / 100:.2f}": _rounded(shares[percent]) for percent in range(low, high + 1, 5)},
            "mean": _rounded(sum(shares[low : high + 1]) / (high + 1 - low)),
        },
        "curve": [{"similarity": n / 100, "probability": _rounded(share)} for n, share in enumerate(shares)],
    }


def bands_needed(threshold: float, recall: float, rows: int, most: int = 100_000) -> int | None:
    """The least number of bands with which this many rows reach the recall; None if it is above `most`."""
    from dedup.banding import detection_probability

    if detection_probability(threshold, most, rows) < recall:
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        enough = detection_probability(threshold, middle, rows) >= recall
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def verdict(result: dict[str, Any], pair: dict[str, Any]) -> str | None:
    """One sentence about a pair that a pipeline would be refused for; None about a sound one."""
    name = f"{pair['bands']} bands of {pair['rows']} rows"
    if not pair["reaches_recall"]:
        needed = pair["bands_needed"]
        way = "no number of bands would do" if needed is None else f"with {pair['rows']} rows it takes {needed:,} bands"
        return (
            f"{name} cannot reach the recall of {result['recall']:g}: a pair of similarity {threshold_text(result)} is "
            f"found with probability {pair['at_threshold']:.3f}; {way}. A pipeline that asks for it is refused."
        )
    if not pair["fits_signature"]:
        return (
            f"{name} need {pair['permutations']:,} permutations, and the signature has {result['num_perm']}: "
            "a pipeline needs a larger near_dedup.num_perm."
        )
    return None


def _rounded(probability: float) -> float:
    return float(f"{probability:.6g}")


def parse_pair(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})[x×]([1-9]\d{0,3})", text)
    if match is None:
        raise ConfigError(f"--pair: found {text!r}; expected bands x rows, as in 21x6")
    return int(match[1]), int(match[2])


def read_wanted(pipeline: Path | None, threshold: float | None, recall: float | None) -> Wanted:
    """The settings of near_dedup in a pipeline, or its defaults; threshold and recall may be given instead."""
    from pipelines.stages.near_dedup.stage import NearDedupDecision, NearDedupEvidence

    if pipeline is None:
        decision, evidence = NearDedupDecision().model_dump(), NearDedupEvidence().model_dump()  # type: ignore[call-arg]
    else:
        from pipelines.run.config import load_pipeline

        config = load_pipeline(pipeline)
        if "near_dedup" not in config.stages:
            raise ConfigError(
                f"--pipeline: found {pipeline} with {', '.join(config.stages) or 'no stage'}; expected near_dedup"
            )
        decision, evidence = config.decisions("near_dedup")["default"], config.evidence("near_dedup").model_dump()
    near = NearDedupDecision.model_validate(decision)
    wanted: dict[str, Any] = {
        "bands": near.bands,
        "rows": near.rows,
        "threshold": near.least_jaccard(),
        "recall": near.recall,
    }
    for name, value, highest in (("threshold", threshold, 1.0), ("recall", recall, 0.999999)):
        if value is None:
            continue
        if not 0 < value <= highest:
            raise ConfigError(f"--{name}: found {value:g}; expected a number above 0 and at most {highest:g}")
        wanted[name] = value
    own = near.similarity == "containment" and threshold is None
    meant = (near.threshold, near.min_size_ratio) if own else None
    return Wanted(**wanted, num_perm=evidence["num_perm"], containment=meant)


def threshold_text(result: dict[str, Any]) -> str:
    """The Jaccard similarity asked for, and what it stands for."""
    meant = result["containment"]
    if meant is None:
        return f"{result['threshold']:g}"
    return (
        f"{result['threshold']:.3f} (of a containment of {meant['threshold']:g} in sets whose sizes are "
        f"{meant['min_size_ratio']:g} alike)"
    )
