"""The heuristic filter: features by one scan, and rules over them that keep or drop with a reason.

Evidence (`scan`) and decision (`decide`) are apart, so that a new threshold is applied in milliseconds to features that
exist already. Rules are those of Gopher, C4 and FineWeb for Latin script, and for Chinese and Japanese their
counterparts with the published rules of Chinese corpora; other scripts are judged by length and repetition alone, since
rules made for English would drop all of them. `filters.heuristic.thresholds` has the sources. What is wrong with a line
and not with its document is cut by `filters.lines.decide`. C4's list of bad words is a matter of safety, not of form,
and is not here.

Cost: the scan is linear in bytes (`filters.heuristic.features`); a decision takes some 50 comparisons a document.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from filters.heuristic.features import CJK, FEATURES, OTHER, SPACED, scan
from filters.heuristic.rules import REASONS, RULES, Rule
from filters.heuristic.thresholds import HeuristicThresholds

__all__ = ["CJK", "FEATURES", "KEEP", "OTHER", "REASONS", "RULES", "SPACED", "Rule", "decide", "failures", "scan"]

KEEP = -1
"""The reason code of a document that is kept."""

Features = Mapping[str, npt.NDArray[np.int32] | npt.NDArray[np.float32]]


def decide(features: Features, thresholds: HeuristicThresholds | None = None) -> npt.NDArray[np.int16]:
    """The first rule, in the order of `RULES`, that each document fails. `features` is what `scan` returns, or some
    rows of it.

    Documents under different thresholds (domains, languages) are decided apart: pass their rows of the
    features.

    Returns:
        int16[n_docs]: an index of `REASONS`, or `KEEP`.

    Raises:
        KeyError: a feature is missing.
    """
    failed = failures(features, thresholds)
    return np.where(failed.any(axis=1), failed.argmax(axis=1), KEEP).astype(np.int16)


def failures(features: Features, thresholds: HeuristicThresholds | None = None) -> npt.NDArray[np.bool_]:
    """Every rule that each document fails, not just the first: bool[n_docs, len(RULES)]."""
    thresholds = thresholds or HeuristicThresholds()
    profile = features["profile"]
    by_profile = {SPACED: thresholds.spaced, CJK: thresholds.cjk, OTHER: thresholds.other}
    failed = np.zeros((len(profile), len(RULES)), np.bool_)
    for k, rule in enumerate(RULES):
        value, limits = features[rule.feature], by_profile[rule.profile]
        # A Python float takes the array's float32: a ratio exactly at its threshold compares equal.
        low = getattr(limits, rule.low) if rule.low else None
        high = getattr(limits, rule.high) if rule.high else None
        if low is not None:
            failed[:, k] |= value < low
        if high is not None:
            failed[:, k] |= value > high
        failed[:, k] &= profile == rule.profile
    return failed
