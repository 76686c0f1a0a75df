"""A power law with a floor, y(x) = a · x^b + c, fitted to a few noisy points, and its prediction interval.

The fit of the three parameters is ill-conditioned: b may change a lot while a and c compensate. Two things help. x is
taken relative to its geometric mean, and a as its logarithm. And for a given b the fit is a linear problem with a
closed form, so that a grid of b gives good starting values for `scipy.optimize.curve_fit`.

The interval of a new point is a profile interval, not one from the covariance (delta method): a new value is plausible
if the law, fitted to it as well, fits all points not much worse, by the measure of the F test. For a linear model that
is the usual prediction interval with Student's t. Unlike the delta method's, this interval is asymmetric where b is
uncertain, and respects that the floor is not below zero. Bootstrapping fails with as few as five runs: many resamples
have three distinct points or fewer, which such a law fits exactly. For each b of the grid the interval has a closed
form.

Cost: some 40 ms for a fit and an interval of any number of new points.

Source: Golub and Pereyra 1973 (variable projection); Bates and Watts 1988, "Nonlinear Regression Analysis", chapter 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from tamis.extras import needs

Floats = npt.NDArray[np.float64]

EXPONENTS = -np.geomspace(0.005, 4.0, 240)
"""The grid of b, from almost logarithmic to very steep."""
_STARTS = 6


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """y(x) = a · x^b + floor with a > 0, b < 0, floor ≥ 0, and the points, float64[n], that it was fitted to.

    `errors` are the standard errors of log a, b and floor from the covariance, inf if the points do not determine them.
    `residual` is the standard deviation of the points about the law, with `degrees` = n - 3 of freedom, as a share of y
    if `relative`.
    """

    a: float
    b: float
    floor: float
    errors: tuple[float, float, float]
    residual: float
    degrees: int
    relative: bool
    x: Floats
    y: Floats

    def __call__(self, x: npt.ArrayLike) -> Floats:
        """y at x; of the same shape."""
        return self.a * np.asarray(x, np.float64) ** self.b + self.floor

    def interval(self, x: npt.ArrayLike, level: float = 0.9, noise: float = 1.0) -> tuple[Floats, Floats]:
        """Where new points at x > 0 lie with probability `level`: lower and upper bound, float64[k] each.

        `noise` is the deviation of a new point, in units of `residual`; 0 for the law itself.
        """
        needs("scipy", extra="train", for_="the interval of a law")
        from scipy.stats import t

        new = np.atleast_1d(np.asarray(x, np.float64))
        middle = self(new)
        weights = _weights(self.y, self.relative)
        allowed = float(t.ppf(0.5 + level / 2, self.degrees)) ** 2 * self.residual**2
        best = float((((self(self.x) - self.y) * weights) ** 2).sum())
        unit = noise * (middle if self.relative else np.ones_like(middle))
        low, high = middle.copy(), middle.copy()
        for b in np.append(EXPONENTS, self.b):
            for design, solution, squares in _linear_fits(self.x / _centre(self.x), self.y, weights, b):
                room = best + allowed - squares
                if room <= 0 or (solution < 0).any():
                    continue
                row = np.ones((len(new), design.shape[1]))
                row[:, 0] = (new / _centre(self.x)) ** b
                leverage = np.einsum("ki,ij,kj->k", row, np.linalg.pinv(design.T @ design), row)
                half, there = np.sqrt(room * (unit**2 + leverage)), row @ solution
                low, high = np.minimum(low, there - half), np.maximum(high, there + half)
        return np.maximum(low, 0.0), high


def fit_power_law(x: npt.ArrayLike, y: npt.ArrayLike, *, relative: bool = False) -> PowerLaw:
    """The law of the least squares among those that `curve_fit` reaches from several starts.

    Points are n > 3 with x, y > 0 and at least three distinct x. `relative`: residuals relative to y count, for noise
    that grows with it.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    centre, weights = _centre(xs), _weights(ys, relative)
    best = min(
        (_refined(xs / centre, ys, weights, start) for start in _starts(xs / centre, ys, weights)), key=itemgetter(0)
    )
    squares, (log_a, b, floor), covariance = best
    degrees = len(xs) - 3
    spread = np.sqrt(np.diag(covariance))
    slope = np.array([1.0, -math.log(centre)])  # of log a at x = 1 by log a at the centre, and by b
    variance = slope @ covariance[:2, :2] @ slope if np.isfinite(covariance).all() else math.inf
    return PowerLaw(
        a=math.exp(log_a - b * math.log(centre)),
        b=b,
        floor=floor,
        errors=(math.sqrt(max(variance, 0.0)), float(spread[1]), float(spread[2])),
        residual=math.sqrt(squares / degrees),
        degrees=degrees,
        relative=relative,
        x=xs,
        y=ys,
    )


def _centre(x: Floats) -> float:
    return float(np.exp(np.log(x).mean()))


def _weights(y: Floats, relative: bool) -> Floats:
    return 1 / y if relative else np.ones_like(y)


def _linear_fits(x: Floats, y: Floats, weights: Floats, b: float) -> list[tuple[Floats, Floats, float]]:
    """For a given b, the weighted fits of (a, floor) and of a alone: design matrix, solution, sum of squares."""
    found: list[tuple[Floats, Floats, float]] = []
    for design in (np.stack([x**b, np.ones_like(x)], 1), (x**b)[:, None]):
        weighted: Floats = design * weights[:, None]
        solution: Floats = np.linalg.lstsq(weighted, y * weights, rcond=None)[0].astype(np.float64)
        found.append((weighted, solution, float(((weighted @ solution - y * weights) ** 2).sum())))
    return found


def _starts(x: Floats, y: Floats, weights: Floats) -> list[tuple[float, float, float]]:
    """Some good starting values from the grid: (log a, b, floor); x relative to its centre."""
    tried = []
    for b in EXPONENTS:
        for _, solution, squares in _linear_fits(x, y, weights, b):
            if solution[0] > 0 and (solution >= 0).all():
                tried.append((squares, math.log(solution[0]), float(b), float(solution[1]) if solution[1:].size else 0))
    tried.sort()
    flat = (math.log(max(float(np.ptp(y)), 1e-6)), -0.1, 0.9 * float(y.min()))  # rising points: no fit on the grid
    return [(log_a, b, floor) for _, log_a, b, floor in tried[:: max(1, len(tried) // 40)][:_STARTS]] or [flat]


def _refined(
    x: Floats, y: Floats, weights: Floats, start: tuple[float, float, float]
) -> tuple[float, tuple[float, float, float], Floats]:
    """`curve_fit` from a start: sum of squares, (log a, b, floor), covariance."""
    import warnings

    needs("scipy", extra="train", for_="fitting a law")
    from scipy.optimize import OptimizeWarning, curve_fit

    def law(x: Floats, log_a: float, b: float, floor: float) -> Floats:
        return np.exp(log_a + b * np.log(x)) + floor

    bounds = ([-np.inf, EXPONENTS[-1], 0.0], [np.inf, -1e-6, np.inf])
    begin = np.clip(start, [-700, EXPONENTS[-1], 0.0], [700, -1e-6, np.inf])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # without a covariance the errors are infinite, which tells it
        try:
            found, covariance = curve_fit(
                law, x, y, p0=begin, sigma=1 / weights, bounds=bounds, x_scale=(1, 0.1, 1), max_nfev=1000
            )
        except RuntimeError:  # slow convergence along a valley: the start is as good, its errors are unknown
            found, covariance = begin, np.full((3, 3), np.inf)
    squares = float((((law(x, *found) - y) * weights) ** 2).sum())
    return squares, (float(found[0]), float(found[1]), float(found[2])), covariance
