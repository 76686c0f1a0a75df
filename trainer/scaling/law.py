"""The scaling law of a suite of runs, L(C) = a · C^b + L∞: predicts the loss of a larger run before it is trained.

Baichuan 2 fitted this form to models of 10 M to 3 B weights and predicted the losses of 7 B and 13 B with it. Losses
are only comparable with the same tokenizer and the same held-out text. How the law is fitted, and why its interval is a
profile interval, is explained in `trainer.scaling.power_law`; with four runs only one degree of freedom is left, which
makes the interval wide.

**Compute.** C = D · (6 · N + 12 · layers · width · length) FLOPs for D tokens in sequences of `length`. N is the number
of weights that tokens are multiplied with: those of the head count, those of the embedding (only looked up) and the
gains of norms do not. 6 is two FLOPs a weight forward and four backward. The second term is attention's two products
over the whole length, not reduced for the causal mask or document masks.

Source: Baichuan 2 technical report, "Scaling Laws"; Kaplan et al. 2020, section 2.1 (6 · N, without
embeddings); Chowdhery et al. 2022 (PaLM), appendix B (12 · layers · width · length).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.errors import ConfigError
from trainer.config import ModelConfig
from trainer.scaling.power_law import Floats, PowerLaw, fit_power_law

FEWEST = 4
"""Runs, at least: three parameters are fitted, and the remaining degrees of freedom give the interval."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A finished run: FLOPs of its training, loss on held-out text in nats a token."""

    name: str
    flops: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The predicted loss of a run, and the interval that it has with probability `level`.

    `beyond` is the run's compute as a multiple of that of the largest run in the fit.
    """

    flops: float
    loss: float
    low: float
    high: float
    level: float
    beyond: float


def product_weights(model: ModelConfig, vocab_size: int) -> int:
    """N: weights that each token is multiplied with, including the head's, excluding the embedding's."""
    block = 4 * model.width**2 + 3 * model.width * model.feed_forward
    return model.layers * block + vocab_size * model.width


def training_flops(model: ModelConfig, vocab_size: int, sequence_length: float, tokens: float) -> float:
    """C, the FLOPs of forward and backward passes over all tokens of a training, in rows of `sequence_length`."""
    attention = 12 * model.layers * model.width * sequence_length
    return float(tokens * (6 * product_weights(model, vocab_size) + attention))


def fit_scaling_law(points: Sequence[Point], *, relative: bool = True) -> PowerLaw:
    """Fit the law to at least four finished runs, of at least three different computes.

    `relative`: residuals count relative to the loss; it matters little, as a suite's losses are close.

    Raises:
        ConfigError: too few runs, a number that is not finite and positive, or losses that do not fall with compute.
    """
    for point in points:
        for key, value in (("flops", point.flops), ("loss", point.loss)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{point.name}.{key}: found {value}; expected a finite number above zero")
    found = len({round(math.log(point.flops), 6) for point in points})
    if len(points) < FEWEST or found < FEWEST - 1:
        raise ConfigError(
            f"runs: found {len(points)} runs of {found} different computes"
            f"; expected at least {FEWEST} runs, of at least {FEWEST - 1} computes"
        )
    law = fit_power_law([point.flops for point in points], [point.loss for point in points], relative=relative)
    if law(law.x.min())[()] - law(law.x.max())[()] <= 1e-6 * law.y.mean():
        raise ConfigError("runs: found losses that do not fall with their compute; expected runs that learned")
    return law


def predict(law: PowerLaw, flops: float, level: float = 0.9) -> Prediction:
    """The loss of a run of so much compute, with the prediction interval for a single run."""
    low, high = law.interval(flops, level)
    return Prediction(
        flops=flops,
        loss=float(law(flops)),
        low=float(low[0]),
        high=float(high[0]),
        level=level,
        beyond=flops / float(law.x.max()),
    )


def plot_band(
    law: PowerLaw, until: float, level: float = 0.9, points: int = 80
) -> tuple[Floats, Floats, Floats, Floats]:
    """Computes up to `until`, the law there, and its interval's lower and upper bound: float64[points] each."""
    x = np.geomspace(law.x.min(), max(until, law.x.max()), points)
    low, high = law.interval(x, level)
    return x, law(x), low, high
