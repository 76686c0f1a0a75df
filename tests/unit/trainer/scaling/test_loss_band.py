"""The predicted band: silent on curves with realistic noise, loud when a run jumps, stands still or drifts away."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

from trainer.scaling.loss_band import Alarm, LossBand  # noqa: E402

STEP, WARMUP = 65_536.0, 100


def curve(seed: int, steps: int = 1200, deviation: float = 0.05, wild: bool = False) -> tuple[Any, Any]:
    """Tokens and losses: warm-up, then a power law with noise; `wild`: heavy tails, correlation and spikes."""
    rng = np.random.default_rng(seed)
    tokens = STEP * np.arange(1, steps + 1)
    b, floor, above = rng.uniform(-0.6, -0.15), rng.uniform(1.5, 3), rng.uniform(2, 4)
    loss = above * (tokens / (WARMUP * STEP)) ** b + floor
    loss[:WARMUP] = np.linspace(10.5, above + floor, WARMUP)
    noise = rng.standard_t(4, steps) / math.sqrt(2) if wild else rng.standard_normal(steps)
    if wild:
        for i in range(1, steps):
            noise[i] = 0.3 * noise[i - 1] + math.sqrt(1 - 0.3**2) * noise[i]
        noise[rng.random(steps) < 0.003] += rng.uniform(5, 40)
    return tokens, loss + deviation * noise


def alarms(tokens: Any, losses: Any, **settings: Any) -> list[tuple[int, Alarm]]:
    band = LossBand(warmup_steps=WARMUP, **settings)
    return [(i, found) for i, (t, x) in enumerate(zip(tokens, losses, strict=True)) if (found := band.add(t, x))]


@pytest.mark.slow
@pytest.mark.parametrize("wild", [False, True])
def test_no_alarm_on_what_was_to_be_expected(wild: bool) -> None:
    assert [seed for seed in range(6) if alarms(*curve(seed, wild=wild))] == []


def test_a_jump_is_heard_within_steps_and_once() -> None:
    for seed in range(4):
        tokens, losses = curve(seed)
        losses[800:] += 0.4
        found = alarms(tokens, losses)
        assert 800 < found[0][0] <= 815 and len(found) == 1
        assert found[0][1].loss > found[0][1].high and found[0][1].steps == 5
        assert "for 5 steps outside the predicted" in str(found[0][1])


@pytest.mark.slow
def test_a_plateau_and_a_slow_drift_are_heard() -> None:
    for seed in range(2):
        tokens, losses = curve(seed)
        smooth = curve(seed, deviation=0)[1]
        still = losses.copy()
        still[500:] += smooth[500] - smooth[500:]
        drifting = losses.copy()
        drifting[600:] += 0.001 * np.arange(600)
        for changed, since, within in ((still, 500, 600), (drifting, 600, 400)):
            found = alarms(tokens, changed)
            assert found and since < found[0][0] <= since + within


def test_back_inside_it_can_cry_again_and_the_law_was_not_bent() -> None:
    tokens, losses = curve(2)
    losses[700:760] += 0.5
    losses[900:] += 0.5
    first, second = (i for i, _ in alarms(tokens, losses))
    assert 700 < first < 760 and 900 < second < 920


def test_below_only_where_asked() -> None:
    tokens, losses = curve(3)
    losses[800:] -= 0.4
    assert alarms(tokens, losses) == []
    found = alarms(tokens, losses, below=True)
    assert found[0][0] < 815 and found[0][1].loss < found[0][1].low


def test_a_loss_that_is_no_number_is_said_at_once() -> None:
    band = LossBand(warmup_steps=5)
    found = band.add(1.0, math.nan)
    assert found is not None and "the loss is nan" in str(found) and band.bounds(1.0) is None


def test_bounds_are_known_after_the_first_fit_and_the_same_again() -> None:
    tokens, losses = curve(1, steps=400)
    one, two = LossBand(warmup_steps=WARMUP), LossBand(warmup_steps=WARMUP)
    for band in (one, two):
        for t, x in zip(tokens, losses, strict=True):
            band.add(t, x)
    low, middle, high = one.bounds(tokens[-1] * 2)  # type: ignore[misc]
    assert low < middle < high and one.bounds(tokens[-1] * 2) == two.bounds(tokens[-1] * 2)
    assert middle == pytest.approx(curve(1, steps=800, deviation=0)[1][-1], abs=0.1)
