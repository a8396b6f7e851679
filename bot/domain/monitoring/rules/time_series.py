"""Time series of readings, and robust statistics for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.domain.monitoring.readings import CheckValue

HOUR = 3_600.0
DAY = 24 * HOUR
MAX_CORRELATION = 0.98  # correlation above which noise and drift look the same
OUTLIER_LIMIT = 3.0  # robust standard deviations from other days at the same time; values farther away are pulled in
MAD_TO_SIGMA = 1 / NormalDist().inv_cdf(
    0.75
)  # 1.4826: a normal variable's standard deviation, in median absolute deviations
INNOVATION_LIMIT = 3.0  # the most that one reading can add, in standard deviations
ROUNDING = 1e-12  # the relative error of floating-point arithmetic
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TimeSeries:
    """A metric's readings: ascending times, in seconds since the epoch (UTC), and finite values. Use `from_columns`.

    For counts, a value is a proportion, and `total` is its denominator, or NaN for a reading that isn't a count. If no
    reading is a count, `total` is None.
    """

    at: Floats
    value: Floats
    total: Floats | None = None

    @classmethod
    def from_columns(
        cls, at: Iterable[float], values: Iterable[float], totals: Iterable[float | None] | None = None
    ) -> TimeSeries:
        """Return the readings in chronological order, without those whose time or value isn't finite.

        Raise ValueError if the columns have different lengths.
        """
        columns: list[Iterable[float | None]] = [at, values] if totals is None else [at, values, totals]
        rows = np.array(list(zip(*columns, strict=True)), dtype=np.float64).reshape(-1, len(columns))
        rows = rows[np.isfinite(rows[:, :2]).all(axis=1)]
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return cls(rows[:, 0].copy(), rows[:, 1].copy(), None if totals is None else _totals_or_none(rows[:, 2].copy()))

    def __len__(self) -> int:
        """Return how many readings there are."""
        return len(self.at)

    def between(self, start: float, end: float) -> TimeSeries:
        """Return the readings from `start` up to, but not including, `end`."""
        first, after = np.searchsorted(self.at, [start, end])
        return self.slice(int(first), int(after))

    def slice(self, first: int, stop: int) -> TimeSeries:
        """Return the readings from index `first` up to, but not including, `stop`."""
        total = None if self.total is None else _totals_or_none(self.total[first:stop])
        return TimeSeries(self.at[first:stop], self.value[first:stop], total)

    @property
    def spacing(self) -> float:
        """The usual number of seconds from one reading to the next, or 0 if there are fewer than two."""
        return float(np.median(np.diff(self.at))) if len(self) > 1 else 0.0

    @property
    def span(self) -> float:
        """The time that the readings cover, in seconds, including the usual spacing after the last one."""
        return float(self.at[-1] - self.at[0]) + self.spacing if len(self) else 0.0


def to_time_series(values: Iterable[CheckValue]) -> TimeSeries:
    """Return checks' values as a time series."""
    rows = [(at.timestamp(), value, total) for at, value, total in values]
    return TimeSeries.from_columns(*zip(*rows, strict=True)) if rows else TimeSeries.from_columns([], [], [])


def _totals_or_none(totals: Floats) -> Floats | None:
    return totals if np.isfinite(totals).any() else None


def standardized_innovations(residual: Floats, at: Floats, *, phi: float, step: float, spacing: float) -> Floats:
    """Return how far each reading is from what the previous one predicts, in standard deviations.

    That's e = r − φᵏ·r₋₁ for readings k spacings apart, divided by its standard deviation in an AR(1) series,
    step·√((1−φ²ᵏ)/(1−φ²)). The first reading's prediction is 0.
    """
    apart = np.maximum(np.round(np.diff(at) / spacing), 1) if spacing else np.ones(max(len(at) - 1, 0))
    correlation = np.concatenate([[0.0], phi**apart])[: len(at)]
    before = np.concatenate([[0.0], residual[:-1]])[: len(at)]
    scale = step * np.sqrt((1 - correlation**2) / (1 - phi**2))
    return np.clip(np.nan_to_num(ratio(residual - correlation * before, scale)), -INNOVATION_LIMIT, INNOVATION_LIMIT)


def window_starts(at: Floats, length: float) -> Ints:
    """Return, for each reading, the index of the earliest reading less than `length` seconds before it."""
    return np.searchsorted(at, at - length, side="right")


def winsorize(values: Floats) -> Floats:
    """Return the values, with outliers pulled in to ±`OUTLIER_LIMIT` robust standard deviations around 0."""
    far = OUTLIER_LIMIT * MAD_TO_SIGMA * float(np.median(np.abs(values))) if len(values) else 0.0
    return np.clip(values, -far, far) if far > 0 else values


def sliding_sums(values: Floats, first: Ints) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[1:] - sums[first], dtype=np.float64)


def robust_deviation(values: Floats) -> float:
    """Return the standard deviation of the winsorized values around 0, or 0 if there are no values."""
    return float(np.mean(winsorize(values) ** 2) ** 0.5) if len(values) else 0.0


def lag1_correlation(series: Floats) -> Floats:
    """Return the debiased lag-1 correlation of series (…, n) with mean 0; pairs with a NaN don't count."""
    size = (~np.isnan(series)).sum(axis=-1)
    variance = ratio(np.nansum(series**2, axis=-1), size)
    return debias_correlation(ratio(mean_neighbor_product(series), variance), size)


def debias_correlation(phi: Floats, size: npt.ArrayLike) -> Floats:
    """Return an estimate of lag-1 correlation with its bias removed, clipped to the range 0 to `MAX_CORRELATION`.

    If the mean is estimated, too, an estimate from n values is too low by (1+3φ)/n (Kendall 1954; Marriott and Pope
    1954). Negative correlations become 0, since they would make the noise look smaller.
    """
    debiased: Floats = np.clip(np.nan_to_num(phi + (1 + 3 * phi) / np.maximum(size, 1)), 0.0, MAX_CORRELATION)
    return debiased


def long_run_deviation(variance: Floats, phi: Floats) -> Floats:
    """Return the long-run standard deviation of an AR(1) series: √(variance·(1+φ)/(1−φ))."""
    deviation: Floats = np.sqrt(variance * (1 + phi) / (1 - phi))
    return deviation


def student_quantile(sigma: npt.ArrayLike, degrees: npt.ArrayLike) -> Floats:
    """Return the quantile of Student's t that's as unlikely as `sigma` standard deviations of a normal variable.

    The expansion is Abramowitz and Stegun's 26.7.5. At 3 sigma, it's 0.7% low with 4 degrees of freedom and 0.1% low
    with 6.
    """
    x: Any = sigma  # untyped, because some versions of mypy take ArrayLike for never being a float
    x = x if isinstance(x, float) else np.asarray(x, dtype=np.float64)  # faster for floats
    v = np.maximum(np.asarray(degrees, dtype=np.float64), 1.0)
    quantile = x + sum(_horner(terms, x) / under / v**power for power, (terms, under) in enumerate(_EXPANSION, start=1))
    return np.asarray(quantile, dtype=np.float64)


def _horner(terms: list[int], x: Any) -> Any:
    """Return a polynomial's value at `x`. np.polyval would take longer than the rest of a verdict."""
    total = 0.0
    for term in terms:
        total = total * x + term
    return total


_EXPANSION: tuple[tuple[list[int], int], ...] = (
    ([1, 0, 1, 0], 4),
    ([5, 0, 16, 0, 3, 0], 96),
    ([3, 0, 19, 0, 17, 0, -15, 0], 384),
    ([79, 0, 776, 0, 1482, 0, -1920, 0, -945, 0], 92_160),
)


def mean_neighbor_product(series: Floats) -> Floats:
    """Return the mean product of neighbors; NaN if there are none."""
    products = series[..., 1:] * series[..., :-1]
    is_present = ~np.isnan(products)
    return ratio(np.where(is_present, products, 0.0).sum(axis=-1), is_present.sum(axis=-1))


def nan_median(values: Floats, axis: int) -> Floats:
    """Return the medians along an axis, ignoring NaN; NaN if there's nothing else."""
    ordered = np.sort(values, axis=axis)  # NaN comes last
    count = (~np.isnan(values)).sum(axis=axis, keepdims=True)
    sides = [
        np.take_along_axis(ordered, np.maximum(at, 0), axis) for at in ((count - 1) // 2, count // 2 - (count == 0))
    ]
    median: Floats = ((sides[0] + sides[1]) / 2).squeeze(axis)
    return median


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Return numerator ÷ denominator; 0 ÷ 0 is NaN, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # no days, or no variance: NaN is the answer
        quotient: Floats = np.asarray(np.divide(numerator, denominator), dtype=np.float64)
    return quotient
