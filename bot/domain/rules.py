"""The monitor's rules: numbers and times in, a verdict with its reason out. Pure; nothing here reads a clock.

A verdict that moves Production may come from noise but once in years, so the noise is measured and not assumed: the
baseline is cut into blocks as long as the one that is judged, a block is compared with those at the same hours of past
days, and what such blocks differ by among themselves is the noise. docs/decisions/0016 has what else was tried, and
docs/rules.md what it comes to.

The functions that `blocks` and `sequential` are made of (`usual`, `limits`, `radius`, …) take any number of series at
once: series lie along the first axes, so that `make bench-rules` plays thousands of months through these very rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, inf, isfinite, nan
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from bot.domain.durations import show_duration
from bot.domain.effects import Effect
from bot.domain.numbers import number
from bot.domain.text import Code, Say, say, short

HOUR = 3_600.0
DAY = 24 * HOUR
DAYS = 7  # of a baseline: every day of the week once
MIN_BASELINE = DAYS * DAY
MOSTLY = 0.99  # of MIN_BASELINE: checks have jitter, and the first one is never at the very start
MIN_DAYS = 5  # of those, at the hours that are judged: an outage on one day must not end the comparison
HALF_FULL = 0.5  # of the usual number of points: a block with fewer is incomplete and says nothing
STILL = 0.85  # of what makes a block worse: what its last half must be worse by
SHARP = 2.0  # standard errors by which a time of day may differ from its neighbours and still be smoothed
FEWEST = 6  # readings of a confidence sequence: it counts on means being nearly normal
TUNED_FOR = 2  # hours after which the confidence sequence is narrowest: bad versions are bad at once
ROUNDING = 1e-12  # of a value: what floating point may add or lose
MOST_ALIKE = 0.98  # correlation beyond which noise cannot be told from drift

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """A metric's readings: seconds since the epoch in UTC, ascending, and finite values. Made by `Points.of`."""

    at: Floats
    value: Floats

    @classmethod
    def of(cls, at: Iterable[float], values: Iterable[float]) -> Points:
        """Return the readings by time, without those that are no finite number.

        Raises ValueError where there are not as many times as values.
        """
        pairs = np.array(list(zip(at, values, strict=True)), dtype=np.float64).reshape(-1, 2)
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        return cls(pairs[:, 0].copy(), pairs[:, 1].copy())

    def __len__(self) -> int:
        """Return how many readings there are."""
        return len(self.at)

    def between(self, start: float, end: float) -> Points:
        """Return the readings from `start` on and before `end`."""
        first, after = np.searchsorted(self.at, [start, end])
        return Points(self.at[first:after], self.value[first:after])

    @property
    def spacing(self) -> float:
        """Return the usual seconds from one reading to the next; 0 where there are fewer than two."""
        return float(np.median(np.diff(self.at))) if len(self) > 1 else 0.0

    @property
    def span(self) -> float:
        """Return the seconds that the readings cover, the last one for as long as the others."""
        return float(self.at[-1] - self.at[0]) + self.spacing if len(self) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a rule found. Where it could not be told, what is not known is NaN."""

    is_worse: bool | None  # None: cannot be told
    value: float
    bound: float  # where worse begins
    expected: float = nan  # what the baseline has; NaN for a threshold
    effect: float = nan  # how much worse, as a part of what is expected; below 0 is better
    noise: float = nan  # how many sigmas worse
    why: Say


# -- a fixed bound -----------------------------------------------------------------------------------------------------


def threshold(value: float, *, greater_than: float | None = None, less_than: float | None = None) -> Judged:
    """Judge a value by bounds that must hold; a value that equals one of them fails.

    A value that is no finite number cannot be told. Raises ValueError unless there is a bound, and a number between
    both where there are two.
    """
    low, high = -inf if greater_than is None else greater_than, inf if less_than is None else less_than
    if not low < high or (low, high) == (-inf, inf):
        raise ValueError("a threshold needs greater_than, less_than, or both with room between them")
    bound = high if low == -inf or (high != inf and abs(value - high) < abs(value - low)) else low
    if not isfinite(value):
        return Judged(is_worse=None, value=value, bound=bound, why=say("There is no value."))
    way = "greater" if bound == low else "less"
    is_worse = not low < value < high
    template = f"{{value}} is not {way} than {{bound}}." if is_worse else f"{{value}} is {way} than {{bound}}."
    return Judged(is_worse=is_worse, value=value, bound=bound,
                  why=say(template, value=number(value), bound=number(bound)))  # fmt: skip


# -- what is usual -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What a baseline has at each time of day. Several series lie along the first axes."""

    same: Floats  # (…, slots): the mean of the blocks at the same time of day; NaN where there is none
    days: Floats  # (…, slots): how many they are
    expected: Floats  # (…, slots): the same, smoothed
    worth: Floats  # (…, slots): how many independent blocks have a mean as certain as that
    noise: Floats  # (…): the standard deviation of a block, in the long run
    degrees: Floats  # (…): how many independent blocks `noise` was estimated from


def usual(
    grid: Floats, *, reach: int = 0, points: Floats | None = None, slots: Ints | None = None, size: float = 1.0
) -> Usual:
    """Return what a baseline says of its blocks.

    `grid` (…, days, slots) has the blocks' values, NaN where one is missing; what is expected is smoothed over so many
    neighbours as `reach` says. The noise is measured twice, and the larger is taken, since each has a weakness:

    - From the blocks: s², pooled over the times of day (a one-way analysis of variance, so each time of day costs a
      degree of freedom), times (1+ρ)/(1−ρ) with ρ the correlation of neighbours: the long-run variance of an AR(1)
      series, i.e. what the mean of many blocks would have. It holds for noise of every shape, but there are few
      blocks.
    - From the single `points` (…, n), of which `size` make up a block: σ²·(1+φ)/(1−φ)/size, with φ their lag-1
      correlation. There are many, but noise may be of another shape than AR(1). `slots` (n) has the time of day of
      each. Taking away the mean of the same hours takes s²/days from their variance and from their covariance;
      it is added again.

    Neighbours that resemble each other are worth less than independent ones: the degrees of freedom ν are those of
    Bartlett, times (1−ρ²)/(1+ρ²). The noise is taken one standard error of itself higher, 1/√(2ν) of it: what acts
    without a cause does so after a baseline that was quieter than usual.
    """
    there = ~np.isnan(grid)
    days = there.sum(axis=-2).astype(np.float64)
    same = _ratio(np.where(there, grid, 0.0).sum(axis=-2), days)
    rest = grid - same[..., None, :]
    degrees = np.maximum(days - 1, 0).sum(axis=-1)
    variance = _ratio(np.nansum(rest**2, axis=(-2, -1)), degrees)
    alike = lag1(rest.reshape(*rest.shape[:-2], -1))
    noise = long_run(variance, alike)
    if points is not None and slots is not None:
        taken = variance / np.maximum(days.max(axis=-1), 1)
        apart = points - same[..., slots]
        spread = _ratio(np.nansum(apart**2, axis=-1), (~np.isnan(apart)).sum(axis=-1)) + taken
        phi = corrected(_ratio(_next_to(apart) + taken, spread), points.shape[-1])
        noise = np.fmax(noise, long_run(spread / size, phi))
    degrees = degrees * (1 - alike**2) / (1 + alike**2)
    noise = noise * (1 + 1 / np.sqrt(2 * np.maximum(degrees, 1)))
    expected, worth = smoothed(same, days, noise, reach)
    return Usual(same=same, days=days, expected=expected, worth=worth, noise=noise, degrees=degrees)


def smoothed(same: Floats, days: Floats, noise: Floats, reach: int) -> tuple[Floats, Floats]:
    """Return the means of the times of day smoothed around the clock, and how many blocks each is then worth.

    The weights are a triangle over so many neighbours on each side as `reach` says: ¼ ½ ¼ with one. Weights w and
    days D make a mean worth 1 ÷ Σ(w²/D) blocks: seven days of one-hour blocks are worth 19. A time of day that differs
    from its neighbours by more than `SHARP` times what the noise explains keeps its own mean: a nightly batch stays
    where it is.
    """
    known = days > 0
    weights = np.convolve(np.ones(reach + 1), np.ones(reach + 1))
    turned = [(weight, turn) for turn, weight in enumerate(weights / weights.sum(), start=-reach)]
    value, once = np.where(known, same, 0.0), _ratio(1, np.where(known, days, np.inf))
    whole = np.sum([weight * np.roll(known, turn, axis=-1) for weight, turn in turned], axis=0)
    smooth = _ratio(np.sum([weight * np.roll(value, turn, axis=-1) for weight, turn in turned], axis=0), whole)
    worth = _ratio(whole**2, np.sum([weight**2 * np.roll(once, turn, axis=-1) for weight, turn in turned], axis=0))
    keeps = ~known | (np.abs(same - smooth) > SHARP * noise[..., None] * np.sqrt(once))
    return np.where(keeps, same, smooth), np.where(keeps, days, worth)


def reach_of(window: float) -> int:
    """Return over how many blocks of `window` seconds to smooth on each side: those within an hour."""
    return round(HOUR / window)


def lag1(series: Floats) -> Floats:
    """Return the correlation of neighbours in series of mean 0 (…, n); pairs in which one is NaN do not count."""
    size = (~np.isnan(series)).sum(axis=-1)
    variance = _ratio(np.nansum(series**2, axis=-1), size)
    return corrected(_ratio(_next_to(series), variance), size)


def corrected(phi: Floats, size: npt.ArrayLike) -> Floats:
    """Return an estimate of lag-1 correlation without its bias, in 0 … `MOST_ALIKE`.

    A series of n values whose mean is estimated, too, shows (1+3φ)/n too little (Kendall 1954; Marriott and Pope
    1954). What is below 0 is taken as 0, since it would make the noise look smaller.
    """
    found: Floats = np.clip(np.nan_to_num(phi + (1 + 3 * phi) / np.maximum(size, 1)), 0.0, MOST_ALIKE)
    return found


def long_run(variance: Floats, phi: Floats) -> Floats:
    """Return the long-run standard deviation of an AR(1) series: √(variance·(1+φ)/(1−φ))."""
    found: Floats = np.sqrt(variance * (1 + phi) / (1 - phi))
    return found


def student(sigma: npt.ArrayLike, degrees: npt.ArrayLike) -> Floats:
    """Return the quantile of Student's t as unlikely as `sigma` standard deviations are for a normal variable.

    The expansion is Abramowitz and Stegun's 26.7.5; with 4 degrees of freedom it is 3 % low at 3 sigma, with 6 and
    more it is exact to 1 %.
    """
    x, v = np.asarray(sigma, dtype=np.float64), np.maximum(np.asarray(degrees, dtype=np.float64), 1.0)
    found: Floats = x + sum(
        np.polyval(np.array(terms, dtype=np.float64), x) / under / v**power
        for power, (terms, under) in enumerate(_EXPANSION, start=1)
    )
    return found


_EXPANSION: tuple[tuple[list[int], int], ...] = (
    ([1, 0, 1, 0], 4),
    ([5, 0, 16, 0, 3, 0], 96),
    ([3, 0, 19, 0, 17, 0, -15, 0], 384),
    ([79, 0, 776, 0, 1482, 0, -1920, 0, -945, 0], 92_160),
)


def _next_to(series: Floats) -> Floats:
    """Return the mean product of neighbours; NaN where there are none."""
    products = series[..., 1:] * series[..., :-1]
    there = ~np.isnan(products)
    return _ratio(np.where(there, products, 0.0).sum(axis=-1), there.sum(axis=-1))


def _ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):  # no days, or no variance: NaN is the answer
        found: Floats = np.asarray(np.divide(above, below), dtype=np.float64)
    return found


# -- one block against the same hours of past days ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a block must exceed to be worse, as distances from what is expected: all of the first three."""

    mean: Floats  # by its mean: both the effect and the noise
    most: Floats  # by the middle one of its readings, hence by most of them: the effect alone
    last: Floats  # by the mean of the last half of its readings
    noise: Floats  # one sigma


def limits(
    usual: Usual, slots: Ints, *, points: npt.ArrayLike, size: float, min_effect: Effect | float, sigma: float
) -> Limits:
    """Return what blocks must exceed to be called worse.

    `slots` (m) has the blocks' times of day, `points` (…, m) their number of readings, where `size` is usual. The
    noise is that of the difference of a block and of a mean that is worth D others, s·√(1+1/D), a prediction interval,
    with Student's t in the place of the normal distribution since s is estimated. Blocks that lack readings are
    noisier: √(size/points), as if one stretch of them were missing, which errs on the safe side.

    A single shock moves the means of two blocks where it comes between them and dies away slowly. Therefore most
    readings of a block must show the effect, too, which costs a real drop nothing, and its last half must still be
    about as bad: what recovers by itself is no reason to act.
    """
    few = np.sqrt(np.maximum(size / np.maximum(points, 1), 1.0))
    wide = student(sigma, usual.degrees) / sigma
    noise = (usual.noise * wide)[..., None] * np.sqrt(1 + _ratio(1, usual.worth[..., slots])) * few
    expected = usual.expected[..., slots]
    effect = np.maximum(_as_effect(min_effect).distance(expected), ROUNDING * np.abs(expected))
    mean = np.maximum(effect, sigma * noise)
    return Limits(mean=mean, most=effect, last=STILL * mean, noise=noise)


def _as_effect(least: Effect | float) -> Effect:
    return least if isinstance(least, Effect) else Effect(least)


def blocks(
    block: Points,
    baseline: Points,
    *,
    window: float,
    higher_is_better: bool,
    min_effect: Effect | float,
    sigma: float,
    how: str = "mean",
    history: float = MIN_BASELINE,
) -> Judged:
    """Judge one complete block against the blocks at the same hours of past days.

    It is worse where it is worse than expected by more than `min_effect`, as a part of what is expected, and by more
    than `sigma` times the noise; of a mean, most readings must be worse by `min_effect`, too, and the last half must
    not be recovering (`limits`). How many blocks in a row it takes is not decided here. `window` is the block's length
    in seconds, and `how` what it is summarized by.
    Readings of the baseline that are not before the block are left out. Times of day are UTC: where clocks change,
    the hours differ by one for as long as the baseline is older.

    `history` is how many seconds the baseline must cover; a seventh of it counts as a day, so that a demo or a test can
    live a week in minutes. It cannot be told where the baseline is shorter, where fewer than `MIN_DAYS` have readings
    at these hours, or where the block has less than `HALF_FULL` of the usual number of readings. Expecting exactly 0,
    every effect is infinite, and the noise alone decides. Raises ValueError for an unknown `how`, and for a window or
    sigma that is not above 0.
    """
    check_aggregate(how)
    min_effect = _as_effect(min_effect)
    if not (window > 0 and sigma > 0 and min_effect.amount >= 0):
        raise ValueError("window and sigma must be above 0, and min_effect not below")
    if not len(block):
        return _cannot_tell(nan, say("The window has no readings."))
    value = aggregate(block.value, how, seconds=window)
    start = float(block.at[0] + block.at[-1] - window) / 2  # in the middle, so that jitter moves none out of its block
    before = baseline.between(-inf, min(start, float(block.at[0])))
    if before.span < MOSTLY * history:
        return _cannot_tell(value, _too_short(before, history))
    cut = _cut(before, start, window, how, history / DAYS)
    if len(block) < HALF_FULL * cut.size:
        return _cannot_tell(value, say("The window has {n} readings, and {usual} are usual: it is not complete.",
                                       n=len(block), usual=number(cut.size)))  # fmt: skip
    single = cut.points if how == "mean" else None
    found = usual(cut.grid, reach=reach_of(window), points=single, slots=cut.slots, size=cut.size)
    if found.days[0] < MIN_DAYS:
        return _cannot_tell(value, say("Only {n} past days have readings at these hours, and {least} are needed.",
                                       n=int(found.days[0]), least=MIN_DAYS))  # fmt: skip
    least = limits(found, np.array([0]), points=len(block), size=cut.size, min_effect=min_effect, sigma=sigma)
    expected, sign = float(found.expected[0]), 1 if higher_is_better else -1
    but = _excuse((expected - block.value) * sign, least) if how == "mean" else ""
    return _against(value, expected, least.mean.item(), least.noise.item(), higher_is_better, but=but,
                    by=say("{least} and {sigma} σ", least=str(min_effect).replace("%", " %"),
                           sigma=number(sigma)))  # fmt: skip


def _excuse(gaps: Floats, least: Limits) -> str:
    """Return why a block is not worse although its mean is; empty where nothing speaks for it."""
    if not np.median(gaps) > least.most.item():
        return "but most of its readings are not"
    return "" if gaps[len(gaps) // 2 :].mean() > least.last.item() else "but it is recovering"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    grid: Floats  # (days, slots): the blocks' values
    size: float  # the usual number of readings of a block
    points: Floats  # the readings that lie in those blocks
    slots: Ints  # the time of day of each


def _cut(points: Points, start: float, window: float, how: str, day: float) -> _Cut:
    """Cut readings into blocks of `window` seconds, so that the first time of day is the one of `start`."""
    period = day * ceil(window / day)
    per_day = int(period // window)
    which = np.floor((points.at - start) / period)
    slot = np.minimum(np.floor((points.at - start - which * period) / window), per_day).astype(np.int64)
    whole = slot < per_day  # what is left of a day that is no multiple of the window belongs to no block
    place = ((which - which[0]).astype(np.int64) * per_day + slot)[whole]
    values, slots = points.value[whole], slot[whole]
    cells = (int(which[-1] - which[0]) + 1) * per_day
    counts = np.bincount(place, minlength=cells)
    size = float(np.median(counts[counts > 0])) if counts.any() else 1.0
    grid = _aggregated(values, place, counts, how, window)
    grid[counts < max(HALF_FULL * size, 1)] = nan
    return _Cut(grid=grid.reshape(-1, per_day), size=size, points=values, slots=slots)


def _aggregated(values: Floats, place: Ints, counts: npt.NDArray[np.intp], how: str, window: float) -> Floats:
    if how == "mean":  # the usual one, a hundred times quicker
        return _ratio(np.bincount(place, weights=values, minlength=len(counts)), counts)
    parts = np.split(values, np.cumsum(counts)[:-1])
    return np.array([aggregate(part, how, seconds=window) for part in parts], dtype=np.float64)


# -- the mean since the promotion --------------------------------------------------------------------------------------


def radius(points: npt.ArrayLike, *, alpha: float, tuned_for: float) -> Floats:
    """Return how far the mean of so many readings may be off, in standard deviations, at all times together.

    This is the normal mixture of Robbins (1970), in the form of Howard, Ramdas, McAuliffe and Sekhon (2021) and of
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024):

        √(2(nρ²+1)/(n²ρ²) · log(√(nρ²+1)/α)),  ρ² = (−2·log α + log(−2·log α) + 1)/tuned_for

    With probability 1−α the mean never leaves it, however often one looks; it leaves on the bad side with about α/2.
    It is narrowest after `tuned_for` readings.
    """
    n = np.asarray(points, dtype=np.float64)
    spent = -2 * np.log(alpha)
    rho = (spent + np.log(spent) + 1) / tuned_for
    found: Floats = np.sqrt(2 * (n * rho + 1) / (n**2 * rho) * np.log(np.sqrt(n * rho + 1) / alpha))
    return found


def margin(usual: Usual, points: npt.ArrayLike, shares: Floats, *, size: float, alpha: float) -> Floats:
    """Return how far the mean of readings may be from what is expected of them without a cause: (…, t).

    `points` (t) says how many readings there are, and `shares` (t, slots) how they spread over the times of day. One
    reading has, in the long run, √size times the noise of a block. Half of α is spent on the sequence (`radius` is
    two-sided, and one side counts), half on the baseline, whose mean at these times of day has the variance
    noise²·Σ share²/days: a plain bound, since the baseline is looked at once.
    """
    z = NormalDist().inv_cdf(1 - alpha / 2)
    wide = (usual.noise * student(z, usual.degrees) / z)[..., None]
    days = np.maximum(usual.days, 1)
    base = np.sqrt((shares**2 @ (1 / days)[..., None])[..., 0])
    tuned = radius(points, alpha=alpha, tuned_for=max(TUNED_FOR * size, 1.0))
    found: Floats = wide * (np.sqrt(size) * tuned + z * base)
    return found


def sequential(
    recent: Points, baseline: Points, *, alpha: float, min_effect: Effect | float, higher_is_better: bool,
    history: float = MIN_BASELINE,
) -> Judged:  # fmt: skip
    """Judge the mean of all readings since the promotion (or since somebody armed it) by a confidence sequence.

    It is worse where it is worse than expected by more than `min_effect`, as a part of what is expected, and where
    the sequence excludes that it is not worse at all. One may look as often as one likes: that it ever calls worse
    what is not has about the probability `alpha` for each promotion. A drop that comes long after the promotion is
    diluted by the good time before it: then `blocks` is quicker.

    What is expected is the mean at the same hours (UTC) of past days, each reading having its own hour; those at
    hours that fewer than `MIN_DAYS` have do not count. It cannot be told where the baseline is shorter than `history`
    (seconds, as for `blocks`), or where fewer than `FEWEST` readings count. Raises ValueError for an alpha outside of
    0 … 0.5.
    """
    min_effect = _as_effect(min_effect)
    if not (0 < alpha < 0.5 and min_effect.amount >= 0):
        raise ValueError("alpha must lie between 0 and 0.5, and min_effect must not be below 0")
    if len(recent) < FEWEST:
        few = say("There are {n} readings, and {least} are needed.", n=len(recent), least=FEWEST)
        return _cannot_tell(aggregate(recent.value, "mean"), few)
    before = baseline.between(-inf, float(recent.at[0]))
    day = history / DAYS
    if before.span < MOSTLY * history:
        return _cannot_tell(float(recent.value.mean()), _too_short(before, history))
    window = day / 24 if before.spacing <= day / 24 else day
    cut = _cut(before, 0.0, window, "mean", day)
    found = usual(cut.grid, points=cut.points, slots=cut.slots, size=cut.size)
    # A day need not be a whole number of windows in floating point: what is left over belongs to the last one.
    slots = np.minimum(np.floor(recent.at % day / window).astype(np.int64), len(found.days) - 1)
    known = found.days[slots] >= MIN_DAYS
    values, slots = recent.value[known], slots[known]
    if len(values) < FEWEST:
        return _cannot_tell(float(recent.value.mean()), say("The past days have too few readings at these hours."))
    shares = np.bincount(slots, minlength=len(found.days)) / len(values)
    off = margin(found, np.array([len(values)]), shares[None, :], size=cut.size, alpha=alpha).item()
    expected = float(found.same[slots].mean())
    deviation = float(found.noise) * (cut.size / len(values)) ** 0.5
    return _against(
        float(values.mean()), expected, max(off, min_effect.distance(expected).item(), ROUNDING * abs(expected)),
        deviation, higher_is_better,
        by=say("{least} and {off}, which noise explains", least=str(min_effect).replace("%", " %"), off=number(off)),
    )  # fmt: skip


# -- telling -----------------------------------------------------------------------------------------------------------


def _against(
    value: float, expected: float, least: float, noise: float, higher_is_better: bool, *, by: Say, but: str = ""
) -> Judged:
    sign = 1 if higher_is_better else -1
    gap = (expected - value) * sign
    nothing = ROUNDING * max(abs(value), abs(expected))
    gap = gap if abs(gap) > nothing else 0.0
    effect, sigmas = _part(gap, abs(expected)), _part(gap, noise if noise > nothing else 0.0)
    is_far = gap > least
    far = f"more than {{by}}{', ' + but if but else ''}" if is_far else "not by more than {by}"
    template = f"{{value}}, where {{expected}} is usual, is {{effect}} % {{way}} ({{sigmas}} σ): {far}."
    why = say(template, value=number(value), expected=number(expected), effect=number(abs(100 * effect), 3),
              way="better" if gap < 0 else "worse", sigmas=number(abs(sigmas), 3), by=by)  # fmt: skip
    return Judged(is_worse=is_far and not but, value=value, bound=expected - sign * least, expected=expected,
                  effect=effect, noise=sigmas, why=why)  # fmt: skip


def _part(gap: float, of: float) -> float:
    """Return gap ÷ of; infinite where `of` is 0 and there is a gap."""
    if gap == 0 or of > 0:
        return gap / of if gap else 0.0
    return inf if gap > 0 else -inf


def _cannot_tell(value: float, why: Say) -> Judged:
    return Judged(is_worse=None, value=value, bound=nan, why=why)


def _too_short(baseline: Points, history: float) -> Say:
    covers, needed = (show_duration(timedelta(seconds=span)) for span in (baseline.span, history))
    return say("The baseline covers {covers}, and {needed} are needed.", covers=covers, needed=needed)


# -- one number of many ------------------------------------------------------------------------------------------------


def check_aggregate(name: str) -> None:
    """Raise ValueError where there is no such aggregate, with those that there are."""
    if name not in _PLAIN and not _PERCENTILE.fullmatch(name):
        known = [Code(each) for each in _PLAIN] + [Code("p50"), "…", Code("p99")]
        raise ValueError(str(say("There is no aggregate {name}; there is: {known}.", name=Code(short(name, 40)),
                                 known=known)))  # fmt: skip


def aggregate(values: npt.ArrayLike, how: str, *, seconds: float | None = None) -> float:
    """Return one number for readings in the order of their times; NaN where there is none.

    `p50` … `p99` are percentiles between which numpy interpolates. `rate` is events per second: each reading counts
    the events since the one before it, so it is their sum by `seconds`, the length of the window. A counter that only
    grows must be differenced by the source (Prometheus has `rate` and `increase` for it). Raises ValueError where
    there is no such aggregate, or where `rate` has no `seconds`.
    """
    check_aggregate(how)
    found = np.asarray(values, dtype=np.float64)
    if not found.size:
        return nan
    if how == "rate":
        if seconds is None or seconds <= 0:
            raise ValueError("a rate needs the length of its window")
        return float(found.sum()) / seconds
    if how == "last":
        return float(found[-1])
    return float(found.mean() if how == "mean" else np.percentile(found, int(how[1:])))


_PLAIN = ("mean", "last", "rate")
_PERCENTILE = re.compile(r"p[5-9]\d")
