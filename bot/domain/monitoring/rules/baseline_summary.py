"""Summarizes readings by time of day into a baseline that's robust to incidents in them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan

import numpy as np

from bot.domain.monitoring.rules.baselines import (
    BASELINE_DAYS,
    MAX_DAYS,
    MIN_BLOCK_FILL,
    NO_WEEKEND_EFFECT,
    SCAN_WINDOWS,
    Baseline,
    BaselineArrays,
    WeekendEffect,
    day_length,
    period_length,
    weekend_fraction,
)
from bot.domain.monitoring.rules.time_series import (
    DAY,
    HOUR,
    MAD_TO_SIGMA,
    OUTLIER_LIMIT,
    ROUNDING,
    Floats,
    Ints,
    TimeSeries,
    debias_correlation,
    lag1_correlation,
    long_run_deviation,
    mean_neighbor_product,
    nan_median,
    ratio,
    robust_deviation,
    sliding_sums,
    standardized_innovations,
    window_starts,
    winsorize,
)

SMOOTHING_LIMIT = 2.0  # standard errors by which a time of day can differ from its neighbors and still be smoothed
NOISE_MARGIN = 1.8  # standard errors of the noise that are added to it
RECURRING_LIMIT = (
    2.5  # times the spread: how far off a mean must be, on most days or weekly, to be normal for the metric
)
NOISE_FACTOR_LIMIT = 3.0  # standard errors by which a time of day must be noisier than usual to count as noisier


def lookback(history: float) -> float:
    """Return the maximum length of a baseline in seconds: 21 days (see `day_length`), or `history` if that's longer."""
    return max(history, MAX_DAYS * day_length(history))


def summarize(points: TimeSeries, *, start: float, window: float, history: float) -> Baseline:
    """Return a baseline: a summary of the readings in blocks of `window` seconds, one of which begins at `start`.

    `history` is how many seconds of readings a comparison needs; it also determines how long a day is (`day_length`).
    Readings are summarized even if there are too few for a comparison; the rules then report that they can't reach a
    verdict.
    """
    day = day_length(history)
    weekend = NO_WEEKEND_EFFECT
    if day == DAY:
        hours = _cut_into_blocks(points, 0.0, HOUR, day)
        weekend = estimate_weekend_effect(hours.grid, weekend_fraction(hours.starts, HOUR))
    level = TimeSeries(points.at, points.value - weekend.offset * weekend_fraction(points.at, 0))
    cut = _cut_into_blocks(level, start, window, day)
    reach = round(day / 24 / window)  # smoothed over the blocks within an hour, or within 1/24 of a short day
    baseline = estimate_baseline(
        cut.grid, reach=reach, points=cut.points, cells=cut.cells, size=cut.size, weekend=weekend
    )
    slots = np.minimum(
        np.floor((level.at - start) % period_length(window, day) / window).astype(np.int64), len(baseline.same) - 1
    )
    apart = level.value - baseline.expected[slots]
    apart = np.where(np.abs(apart) > ROUNDING * np.abs(level.value), apart, 0.0)  # rounding errors are correlated
    filled = baseline.days[baseline.days > 0]
    spread = measure_variability(
        level.at,
        apart,
        window=window,
        days=float(filled.mean()) if filled.size else 0.0,
        period=period_length(window, day),
    )
    days = np.floor((level.at - start) / period_length(window, day))
    lows, highs = _recurring_extremes(spread, days, slots, len(baseline.same), period_length(window, day))
    low, high = np.quantile(points.value, [0.01, 0.99]).tolist() if len(points) else (nan, nan)
    if low == high and len(points):
        low, high = float(np.min(points.value)), float(np.max(points.value))
    return Baseline(
        covers=points.span,
        start=start,
        window=window,
        day=day,
        size=cut.size,
        low=low,
        high=high,
        weekend=weekend.offset.item(),
        weekend_worth=weekend.worth.item(),
        same=tuple(baseline.same.tolist()),
        days=tuple(baseline.days.tolist()),
        expected=tuple(baseline.expected.tolist()),
        worth=tuple(baseline.worth.tolist()),
        noise=baseline.noise.item(),
        degrees=baseline.degrees.item(),
        spacing=spread.spacing,
        phi=spread.phi,
        step=spread.step,
        spread=spread.spread,
        sizes=spread.sizes,
        steps=spread.steps,
        lows=lows,
        highs=highs,
        rough=_noise_factors(spread, apart, slots, len(baseline.same), max(round(day / 12 / window), 1)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlockGrid:
    grid: Floats  # (days, slots): the blocks' means
    starts: Floats  # (days, slots): when each begins
    size: float  # the usual number of readings of a block
    points: Floats  # the readings in blocks
    cells: Ints  # the block of each


def _cut_into_blocks(points: TimeSeries, start: float, window: float, day: float) -> _BlockGrid:
    """Cut readings into blocks of `window` seconds; the first time of day is that of `start`."""
    period = period_length(window, day)
    per_day = max(int(period / window + 1e-9), 1)
    which = np.floor((points.at - start) / period)
    slot = np.floor((points.at - start - which * period) / window)
    slot = np.clip(slot, 0, per_day).astype(np.int64)  # rounding can move a day's first reading out of it
    in_complete_block = slot < per_day  # if a day isn't a multiple of the window, the rest belongs to no block
    first = float(which[0]) if len(which) else 0.0
    cells = ((which - first).astype(np.int64) * per_day + slot)[in_complete_block]
    values = points.value[in_complete_block]
    rows = int(which[-1] - first) + 1 if len(which) else 1
    counts = np.bincount(cells, minlength=rows * per_day)
    size = float(np.median(counts[counts > 0])) if counts.any() else 1.0
    grid = ratio(np.bincount(cells, weights=values, minlength=rows * per_day), counts)
    grid[counts < max(MIN_BLOCK_FILL * size, 1)] = nan
    begins = start + (first + np.arange(rows))[:, None] * period + np.arange(per_day) * window
    return _BlockGrid(grid=grid.reshape(-1, per_day), starts=begins, size=size, points=values, cells=cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variability:
    """How single readings and their means vary. Except for `means`, the fields have the same names in `Baseline`."""

    spacing: float
    phi: float
    step: float
    spread: tuple[float, ...]
    sizes: tuple[float, ...]
    steps: tuple[float, ...]
    means: tuple[Floats, ...]  # by length: the mean residual up to each reading, NaN if there are too few


def measure_variability(
    at: Floats, residual: Floats, *, window: float, days: float, period: float = DAY
) -> Variability:
    """Return how readings, and means of each length in `SCAN_WINDOWS`, vary around their expected values.

    The expected values are means over `days` days of `period` seconds each, so they absorb 1/days of the variance of a
    reading, and k/days of the variance of a mean over k days. To limit the effect of old incidents, single readings,
    and means of each length, beyond `OUTLIER_LIMIT` robust standard deviations are pulled in. As in
    `estimate_baseline`, the spread is raised by `NOISE_MARGIN` of its standard errors, given how many independent means
    fit into the baseline. If fewer than two fit, the spread is infinite.
    """
    correction = days / (days - 1) if days > 1 else 1.0
    points = TimeSeries(at, residual)
    winsorized = winsorize(residual)
    phi = lag1_correlation(winsorized).item() if len(winsorized) > 1 else 0.0
    spacing = points.spacing
    follows = np.round(np.diff(at) / spacing) <= 1 if spacing else np.zeros(0, dtype=np.bool_)
    added = winsorize((residual[1:] - phi * residual[:-1])[follows])
    step = float((correction * np.mean(added**2)) ** 0.5) if len(added) else 0.0
    single = standardized_innovations(residual, at, phi=phi, step=step, spacing=spacing)
    spreads, sizes, steps, innovations = [], [], [], []
    for windows in SCAN_WINDOWS:
        length = windows * window
        first = window_starts(at, length)
        count = np.arange(1, len(at) + 1) - first
        size = float(np.median(count)) if len(at) else 1.0
        is_complete = (at - at[:1] >= length - spacing) & (count >= MIN_BLOCK_FILL * size)
        degrees = max(points.span / length, 1.0)
        means, sums = sliding_sums(residual, first) / count, sliding_sums(single, first) / np.sqrt(count)
        remaining_days = days - max(length / period, 1.0)  # of the days, what their own mean doesn't absorb
        if remaining_days > 0 and 2 * length <= points.span:
            spreads.append(
                (days / remaining_days) ** 0.5
                * (1 + NOISE_MARGIN / (2 * degrees) ** 0.5)
                * robust_deviation(means[is_complete])
            )
        else:
            spreads.append(inf)
        steps.append(max(robust_deviation(sums[is_complete]), 1.0))
        sizes.append(size)
        innovations.append(np.where(is_complete, means, nan))
    return Variability(
        spacing=spacing,
        phi=phi,
        step=step,
        spread=tuple(spreads),
        sizes=tuple(sizes),
        steps=tuple(steps),
        means=tuple(innovations),
    )


def _noise_factors(
    variability: Variability, residual: Floats, slots: Ints, count: int, reach: int
) -> tuple[float, ...]:
    """Return each time of day's noise, with `reach` neighbors on either side, as a multiple of the usual noise.

    It's 1 unless the readings there are noisier by more than `NOISE_FACTOR_LIMIT` standard errors. The squares of n
    readings have the correlation φ², so they're worth n·(1−φ²)/(1+φ²) independent ones.
    """
    squares = winsorize(residual) ** 2
    if not squares.any():
        return (1.0,) * count
    shifts = range(-min(reach, count // 2), min(reach, count // 2) + 1)
    sums, counts = (np.bincount(slots, weights=values, minlength=count) for values in (squares, np.ones_like(squares)))
    sums, counts = (np.sum([np.roll(values, turn) for turn in shifts], axis=0) for values in (sums, counts))
    factors = np.nan_to_num(ratio(sums, counts * squares.mean()), nan=1.0) ** 0.5
    error = ratio(0.5, counts * (1 - variability.phi**2) / (1 + variability.phi**2)) ** 0.5
    return tuple(np.where(factors > 1 + NOISE_FACTOR_LIMIT * error, factors, 1.0).tolist())


def _recurring_extremes(
    variability: Variability, days: Floats, slots: Ints, count: int, period: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the lows and highs that means of each length regularly reach at each time of day, flattened.

    `days` and `slots` give the position of each mean's last reading; `count` is the number of times of day. A low is
    the median of the days' lowest means or, if that's lower, the higher of two such means that are a week apart; highs
    mirror this. A nightly or weekly batch is normal for the metric, but since the spread leaves it out, it would
    otherwise count as a drop each time. Anything within `RECURRING_LIMIT` times the spread is noise and becomes 0.
    """
    cells = (days - days[:1]).astype(np.int64) * count + slots
    rows = int(days[-1] - days[0]) + 1 if len(days) else 1
    is_weekly = period == DAY and rows > BASELINE_DAYS
    extremes: list[list[float]] = []
    for sign in (-1, 1):
        flat: list[float] = []
        for means, spread in zip(variability.means, variability.spread, strict=True):
            far = np.full(rows * count, -inf)
            np.maximum.at(far, cells, np.where(np.isnan(means), -inf, sign * means))
            far = np.where(far > -inf, far, nan)
            # It may begin earlier or end later on another day.
            nearby = np.fmax(far, np.fmax(np.append(far[1:], nan), np.append(nan, far[:-1])))
            grid = nearby.reshape(-1, count)
            median_gap = np.nan_to_num(nan_median(grid, -2))
            if is_weekly:
                again = np.minimum(grid[BASELINE_DAYS:], grid[:-BASELINE_DAYS])
                median_gap = np.maximum(median_gap, np.where(np.isnan(again), -inf, again).max(axis=0))
            flat += np.where(median_gap > RECURRING_LIMIT * spread, sign * median_gap, 0.0).tolist()
        extremes.append(flat)
    return tuple(extremes[0]), tuple(extremes[1])


def estimate_baseline(
    grid: Floats,
    *,
    reach: int = 0,
    points: Floats | None = None,
    cells: Ints | None = None,
    size: float = 1.0,
    weekend: WeekendEffect = NO_WEEKEND_EFFECT,
) -> BaselineArrays:
    """Return the means and noise of a baseline's blocks.

    `grid` (…, days, slots) has the blocks' means, NaN if one is missing, with weekends already leveled by `weekend`.
    The expected values are smoothed over `reach` neighbors on each side. Incidents are pulled in first
    (`winsorize_blocks`). The noise is estimated in two ways, each with a weakness, and the larger estimate counts:

    - From the blocks: s², pooled over the times of day (a one-way analysis of variance, so each time of day costs a
      degree of freedom), times (1+ρ)/(1−ρ), where ρ is the correlation of neighbors. That's the long-run variance of an
      AR(1) series, which is what matters for the mean of many blocks. It's valid for noise of any shape, but there are
      few blocks.

    - From the single `points` (…, n), of which `size` make up a block: σ²·(1+φ)/(1−φ)/size, where φ is their lag-1
      correlation. There are many points, but the noise might not be AR(1). `cells` (n) has each point's block, as an
      index into the flattened grid. Subtracting the mean of the same hours reduces the points' variance and covariance
      by s²/days, which is added back.

    Correlated neighbors are worth less than independent ones, so the degrees of freedom ν are multiplied by
    (1−ρ²)/(1+ρ²) (Bartlett). The noise is raised by `NOISE_MARGIN` of its standard errors, each 1/√(2ν) times the
    noise, since false rollbacks happen after a baseline that was quieter than usual.
    """
    grid = winsorize_blocks(grid)
    is_present = ~np.isnan(grid)
    days = is_present.sum(axis=-2).astype(np.float64)
    same = ratio(np.where(is_present, grid, 0.0).sum(axis=-2), days)
    residual = grid - same[..., None, :]
    residual = np.where(np.abs(residual) <= ROUNDING * np.abs(same[..., None, :]), 0.0, residual)  # has no correlation
    degrees = np.maximum(days - 1, 0).sum(axis=-1)
    variance = ratio(np.nansum(residual**2, axis=(-2, -1)), degrees)
    alike = lag1_correlation(residual.reshape(*residual.shape[:-2], -1))
    noise = long_run_deviation(variance, alike)
    if points is not None and cells is not None and len(cells):
        taken = variance / np.maximum(days.max(axis=-1), 1)
        apart = points - same[..., cells % grid.shape[-1]]
        reach_of_points = OUTLIER_LIMIT * MAD_TO_SIGMA * nan_median(np.abs(apart), -1)[..., None]
        apart = np.where(reach_of_points > 0, np.clip(apart, -reach_of_points, reach_of_points), apart)
        spread = ratio(np.nansum(apart**2, axis=-1), (~np.isnan(apart)).sum(axis=-1)) + taken
        phi = debias_correlation(ratio(mean_neighbor_product(apart) + taken, spread), points.shape[-1])
        noise = np.fmax(noise, long_run_deviation(spread / size, phi))
    degrees = degrees * (1 - alike**2) / (1 + alike**2)
    noise = noise * (1 + NOISE_MARGIN / np.sqrt(2 * np.maximum(degrees, 1)))
    expected, worth = smooth_over_slots(same, days, noise, reach)
    return BaselineArrays(
        same=same, days=days, expected=expected, worth=worth, noise=noise, degrees=degrees, weekend=weekend
    )


def estimate_weekend_effect(grid: Floats, on_weekend: Floats) -> WeekendEffect:
    """Return the offset that levels the weekends in hourly means, `grid` (…, days, slots).

    `on_weekend` (days, slots) is the share of each hour that's on a weekend. The offset is the mean difference between
    hours on weekends and the weekdays' median at the same time of day. Differences beyond `OUTLIER_LIMIT` robust
    standard deviations are pulled in, since an incident on one Saturday isn't a weekend effect. If there are only
    weekends or only weekdays, nothing is leveled.
    """
    apart = grid - nan_median(np.where(on_weekend == 0, grid, nan), -2)[..., None, :]
    free = np.where(on_weekend == 1, apart, nan).reshape(*grid.shape[:-2], -1)
    center = nan_median(free, -1)
    spread = MAD_TO_SIGMA * nan_median(np.abs(apart - on_weekend * center[..., None, None]).reshape(free.shape), -1)
    inside = np.clip(free - center[..., None], -OUTLIER_LIMIT * spread[..., None], OUTLIER_LIMIT * spread[..., None])
    weekend_count = (~np.isnan(np.where(on_weekend == 0, apart, nan))).sum(axis=(-2, -1))
    weekday_count = (~np.isnan(free)).sum(axis=-1)
    offset = np.nan_to_num(center + ratio(np.nansum(inside, axis=-1), weekday_count))
    once = ratio(1, weekday_count) + ratio(1, np.maximum(weekend_count, 1))
    return WeekendEffect(offset, ratio(1, np.where(weekday_count > 0, once, 0)))


def winsorize_blocks(grid: Floats) -> Floats:
    """Return blocks (…, days, slots) winsorized by time of day, so that incidents are pulled in.

    A block farther than `OUTLIER_LIMIT` robust standard deviations from the median at its time of day is moved to that
    distance. The deviations of all times of day are pooled, like the noise, since one time of day has few days; the
    median of D values absorbs 1/D of the variance. If a deviation recurs at the same hour a week earlier or later, and
    is more than half as large then, it's a weekly pattern rather than an incident, and stays, since underestimated
    noise causes false rollbacks. If more than half of the blocks equal the median at their time of day, nothing is
    pulled in.
    """
    days = grid.shape[-2]
    if days < 2:
        return grid
    center = nan_median(grid, -2)[..., None, :]
    apart = grid - center
    spread = MAD_TO_SIGMA * nan_median(np.abs(apart).reshape(*grid.shape[:-2], -1), -1) * (days / (days - 1)) ** 0.5
    far = OUTLIER_LIMIT * spread[..., None, None]
    is_far = (np.abs(apart) > far) & (far > 0)
    if days > BASELINE_DAYS:
        week = np.zeros_like(apart)
        week[..., BASELINE_DAYS:, :] = np.nan_to_num(apart[..., :-BASELINE_DAYS, :])
        later = np.zeros_like(apart)
        later[..., :-BASELINE_DAYS, :] = np.nan_to_num(apart[..., BASELINE_DAYS:, :])
        sign = np.sign(apart)
        half = np.maximum(np.abs(apart), far) / 2  # noise that happens to be on the same side isn't a recurrence
        is_far &= ~((sign * week > half) | (sign * later > half))
    return np.where(is_far, center + np.clip(apart, -far, far), grid)


def smooth_over_slots(same: Floats, days: Floats, noise: Floats, reach: int) -> tuple[Floats, Floats]:
    """Return each time of day's mean, smoothed around the clock, and how many blocks it's then worth.

    The weights form a triangle over `reach` neighbors on each side, such as ¼ ½ ¼ for one. With weights w and days D, a
    mean is worth 1 ÷ Σ(w²/D) blocks, so seven days of one-hour blocks are worth 19. A time of day that differs from its
    neighbors by more than `SMOOTHING_LIMIT` times what noise explains, such as that of a nightly batch, keeps its own
    mean.
    """
    has_days = days > 0
    weights = np.convolve(np.ones(reach + 1), np.ones(reach + 1))
    turned = [(weight, turn) for turn, weight in enumerate(weights / weights.sum(), start=-reach)]
    value, once = np.where(has_days, same, 0.0), ratio(1, np.where(has_days, days, np.inf))
    total_weight = np.sum([weight * np.roll(has_days, turn, axis=-1) for weight, turn in turned], axis=0)
    smooth = ratio(np.sum([weight * np.roll(value, turn, axis=-1) for weight, turn in turned], axis=0), total_weight)
    worth = ratio(
        total_weight**2, np.sum([weight**2 * np.roll(once, turn, axis=-1) for weight, turn in turned], axis=0)
    )
    keeps = ~has_days | (np.abs(same - smooth) > SMOOTHING_LIMIT * noise[..., None] * np.sqrt(once))
    return np.where(keeps, same, smooth), np.where(keeps, days, worth)
