"""The model of a sentence's quality: a linear model over words, and two heads over form and neighbours on top of it.

A folder holds it: the linear model's files and, beside them, `heads.json` with the arrays of the heads. A folder
without heads is a model of words alone, and scores as such.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filters.linear.model import LinearModel, score_spans
from filters.quality.form import FEATURES, sentence_form
from filters.quality.heads import (
    LIMIT,
    PRIOR,
    UNSPACED_FROM,
    WINDOW,
    Floats,
    SentenceHeads,
    joint_scores,
    log_odds,
    own_scores,
)
from tamis.errors import ConfigError
from text.arrow import TextColumn
from text.segment import Spans

_ARRAYS = ("edges", "points", "own", "joint")
_FORMAT = 1
"""Raised whenever a feature changes its meaning, down to the marks that it counts."""


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """A trained model, ready to score."""

    words: LinearModel  # over words and bigrams
    heads: SentenceHeads | None = None  # None for words alone

    @property
    def digest(self) -> str:
        """SHA-256 of everything that a score depends on."""
        if self.heads is None:
            return self.words.digest
        sha = hashlib.sha256(json.dumps([self.words.digest, _about()], sort_keys=True).encode())
        for name in _ARRAYS:
            sha.update(np.ascontiguousarray(getattr(self.heads, name), "<f4").tobytes())
        return sha.hexdigest()

    def score(self, column: TextColumn, spans: Spans) -> Floats:
        """The probability that each sentence is good, given its neighbours in the document too: float32[n_spans]."""
        words = score_spans(self.words, column, spans)
        if self.heads is None:
            return words
        form = sentence_form(spans.as_column(column))
        return joint_scores(self.heads, own_scores(self.heads, log_odds(words), form), form, spans.ptr)

    def score_alone(self, column: TextColumn, spans: Spans) -> Floats:
        """The same by each sentence itself, as if it had no neighbours; for evaluation."""
        words = score_spans(self.words, column, spans)
        if self.heads is None:
            return words
        own = own_scores(self.heads, log_odds(words), sentence_form(spans.as_column(column)))
        return (1 / (1 + np.exp(-own.astype(np.float64)))).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes the folder; equal models give equal bytes."""
        self.words.save(folder)
        if self.heads is None:
            return
        for name in _ARRAYS:
            np.save(folder / f"heads_{name}.npy", getattr(self.heads, name))
        about = {**_about(), "digest": self.digest}
        (folder / "heads.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> SentenceModel:
        """Reads what `save` wrote.

        Raises:
            ConfigError: the folder holds no model, one of another format or other features, or one whose content is
                not what its digest says.
        """
        words = LinearModel.load(folder)
        if not (folder / "heads.json").exists():
            return cls(words)
        try:
            about = json.loads((folder / "heads.json").read_text("utf-8"))
            arrays = {name: np.load(folder / f"heads_{name}.npy", allow_pickle=False) for name in _ARRAYS}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder} holds no readable heads of a sentence model: {error}") from error
        digest = about.pop("digest", None)
        if about != _about():
            raise ConfigError(f"{folder} holds heads over other features than this version counts; train it anew")
        model = cls(words, SentenceHeads(**arrays))
        if model.digest != digest:
            raise ConfigError(f"{folder}: the heads' content does not match their digest {digest}")
        return model


def _about() -> dict[str, object]:
    settings = {"window": WINDOW, "prior": PRIOR, "unspaced_from": UNSPACED_FROM, "limit": LIMIT}
    return {"format": _FORMAT, "features": list(FEATURES), **settings}
