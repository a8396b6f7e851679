"""What's usual of a metric: the readings of a baseline, summarized by time of day. Pure; nothing here reads a clock.

A verdict that moves Production may come from noise only once in years, so the noise is measured, not assumed: the
baseline is cut into blocks as long as the one that is judged, and what blocks at the same time of day differ by among
themselves is the noise. An old incident must not pass for noise, or a monitor would be blind after it: blocks far from
the others at their time of day are pulled in. Weekends are leveled by one offset. docs/decisions/0016 and 0035 have
what else was tried, and docs/rules.md what it comes to.

`usual` takes any number of series at once: series lie along the first axes, so that `make bench-rules` plays thousands
of months through it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from math import ceil, inf, nan
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.domain.policy.effect_size import Effect

HOUR = 3_600.0
DAY = 24 * HOUR
DAYS = 7  # of a baseline: every day of the week once
MIN_BASELINE = DAYS * DAY
MOST_DAYS = 3 * DAYS  # of a baseline, where there are so many: weekends need two or three
MOSTLY = 0.99  # of the days a baseline must cover: checks have jitter, and the first one is never at the very start
MIN_DAYS = 5  # of those, at the hours that are judged: an outage on one day must not end the comparison
HALF_FULL = 0.5  # of the usual number of readings: a block with fewer is incomplete and says nothing
SHARP = 2.0  # standard errors by which a time of day may differ from its neighbors and still be smoothed
MOST_ALIKE = 0.98  # correlation beyond which noise can't be told from drift
FAR = 3.0  # robust standard deviations from the other days at the same time: what lies beyond is pulled in
SURE = 1.8  # standard errors of the noise that are added to it
NORMAL = 1 / NormalDist().inv_cdf(0.75)  # 1.4826: a normal variable's standard deviation, in median absolute deviations
SCANNED = (
    0.5,
    1.0,
    2.0,
    4.0,
    8.0,
)  # windows: the lengths of the means that a scan looks at (bot/domain/monitoring/rules/scans.py)
ONE = SCANNED.index(1.0)
CLIP = 3.0  # standard deviations: what one reading may add, however wild it is
SPARSE = 5.0  # of the rarer of two outcomes: counts with fewer in a usual reading are sparse
RECURRING = 2.5  # times the spread: how far off a mean must be, on most days or weekly, to be normal for the metric
CERTAIN = 3.0  # standard errors by which a time of day must be noisier than usual to count as noisier
STUCK = 0.1  # of the noise that was there before: with less, a version isn't really being measured
ROUNDING = 1e-12  # of a value: what floating point may add or lose
SATURDAY = 2 * DAY  # of the first week of 1970, which began on a Thursday

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """A metric's readings: seconds since the epoch in UTC, ascending, and finite values. Made by `Points.of`.

    For counts, a value is a proportion and `total` is what it's out of, NaN for a reading that isn't a count. If no
    reading is one, `total` is None.
    """

    at: Floats
    value: Floats
    total: Floats | None = None

    @classmethod
    def of(cls, at: Iterable[float], values: Iterable[float], totals: Iterable[float | None] | None = None) -> Points:
        """Return the readings by time, without those that are no finite number.

        Raises ValueError where there are not as many times as values, or as totals.
        """
        columns: list[Iterable[float | None]] = [at, values] if totals is None else [at, values, totals]
        rows = np.array(list(zip(*columns, strict=True)), dtype=np.float64).reshape(-1, len(columns))
        rows = rows[np.isfinite(rows[:, :2]).all(axis=1)]
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return cls(rows[:, 0].copy(), rows[:, 1].copy(), None if totals is None else _some(rows[:, 2].copy()))

    def __len__(self) -> int:
        """Return how many readings there are."""
        return len(self.at)

    def between(self, start: float, end: float) -> Points:
        """Return the readings from `start` on and before `end`."""
        first, after = np.searchsorted(self.at, [start, end])
        return self.part(int(first), int(after))

    def part(self, first: int, after: int) -> Points:
        """Return the readings from number `first` on and before number `after`."""
        total = None if self.total is None else _some(self.total[first:after])
        return Points(self.at[first:after], self.value[first:after], total)

    @property
    def spacing(self) -> float:
        """Return the usual seconds from one reading to the next; 0 where there are fewer than two."""
        return float(np.median(np.diff(self.at))) if len(self) > 1 else 0.0

    @property
    def span(self) -> float:
        """Return the seconds that the readings cover, the last one for as long as the others."""
        return float(self.at[-1] - self.at[0]) + self.spacing if len(self) else 0.0


def _some(totals: Floats) -> Floats | None:
    return totals if np.isfinite(totals).any() else None


# -- a frozen baseline -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a metric's readings were like, by time of day: all that the rules need of them. Times are seconds in UTC.

    A period is cut into blocks of `window` seconds that begin at `start`; a period is a day, or as many whole days as a
    block needs. A monitor with a shorter history (a demo's) has shorter days. Means, noise, and `weekend` are in the
    unit of the metric.
    """

    covers: float  # seconds of readings
    start: float  # when a block of the first time of day begins, on any day
    window: float
    day: float  # seconds that count as a day
    size: float  # the usual number of readings of a block
    low: float  # the readings lie between these two, but for one in a hundred at each end
    high: float
    weekend: float  # by how much blocks on Saturdays and Sundays are higher
    weekend_worth: (
        float  # how many independent blocks have a mean as certain as that; infinite where nothing is leveled
    )
    same: tuple[float, ...]  # by time of day: the mean of the blocks; NaN where there is none
    days: tuple[float, ...]  # how many blocks
    expected: tuple[float, ...]  # the same, smoothed
    worth: tuple[float, ...]  # how many independent blocks have a mean as certain as that
    noise: float  # the standard deviation of a block, in the long run
    degrees: float  # how many independent blocks `noise` was estimated from
    # About single readings and, by the lengths in `SCANNED`, their means; a baseline from before scans has none.
    spacing: float = 0.0  # the usual seconds from one reading to the next
    phi: float = 0.0  # the correlation of neighbors
    step: float = 0.0  # the standard deviation of what a reading adds to φ times the one before
    spread: tuple[float, ...] = ()  # the standard deviation of means of that length
    sizes: tuple[float, ...] = ()  # the usual number of readings in that length
    steps: tuple[float, ...] = ()  # the spread of sums of what readings add, over that of independent ones; at least 1
    # By length and time of day, flattened: how far below and above what's expected such means regularly are.
    lows: tuple[float, ...] = ()  # at most 0
    highs: tuple[float, ...] = ()  # at least 0
    rough: tuple[float, ...] = ()  # by time of day: the noise of readings as a multiple of the usual noise; at least 1

    @property
    def level(self) -> float:
        """The mean of what's expected on a weekday."""
        return float(np.nanmean(self.expected))

    # About counts; without any, `trials` is 0.
    share: float = 0.0  # k of n, over all readings
    trials: float = 0.0  # n, over all readings
    counted: float = 0.0  # readings
    each: float = 0.0  # n of a typical reading
    dispersion: float = 1.0  # their long-run variance as a multiple of that of independent cases

    @property
    def period(self) -> float:
        """Seconds after which the same block comes again."""
        return _period(self.window, self.day)

    @property
    def is_counted(self) -> bool:
        """Tell whether its readings are counts."""
        return self.trials > 0

    @property
    def is_sparse(self) -> bool:
        """Tell whether its readings count so few cases that the share of a single one says little."""
        return self.is_counted and self.each * min(self.share, 1 - self.share) < SPARSE

    @cached_property
    def usual(self) -> Usual:
        """The same as arrays."""
        return Usual(
            same=np.array(self.same),
            days=np.array(self.days),
            expected=np.array(self.expected),
            worth=np.array(self.worth),
            noise=np.array(self.noise),
            degrees=np.array(self.degrees),
            weekend=Weekend(np.array(self.weekend), np.array(self.weekend_worth)),
        )

    def slot(self, at: float) -> int:
        """Return the time of day, counted in blocks, of the block nearest to the one that begins at `at`."""
        later, last = (at - self.start) % self.period, (len(self.same) - 1) * self.window
        if later <= last:
            return round(later / self.window)
        return 0 if self.period - later < later - last else len(self.same) - 1

    def slots(self, at: Floats) -> Ints:
        """Return the times of day, counted in blocks, in which readings lie."""
        found = np.floor((at - self.start) % self.period / self.window).astype(np.int64)
        return np.minimum(
            found, len(self.same) - 1
        )  # a day need not be a whole number of windows: the last has the rest

    def expected_at(self, at: Floats) -> Floats:
        """Return what's expected of a reading at each time; NaN at a time of day that no day has."""
        found: Floats = self.usual.expected[self.slots(at)] + self.rest(at) * self.weekend
        return found

    def rest(self, at: Floats) -> Floats:
        """Return 1 for each time that's on a weekend that counts as one, else 0."""
        return weekend_share(at, 0) if self.day == DAY else np.zeros_like(at)


def is_better(one: Baseline, other: Baseline, higher_is_better: bool, effect: Effect) -> bool:
    """Tell whether a baseline is better than another of the same blocks: by half the effect, and beyond the noise.

    The noise is that of both means together; it takes three standard errors. A baseline with too few days at a time of
    day that the other has isn't better, nor is one with almost no noise where there was some: a source that repeats
    itself isn't measuring.
    """
    mine, theirs = one.usual, other.usual
    known = theirs.days >= MIN_DAYS
    if not known.any() or (mine.days[known] < MIN_DAYS).any() or one.noise < STUCK * other.noise:
        return False
    gain = (mine.expected - theirs.expected)[known].mean().item() * (1 if higher_is_better else -1)
    error = ((one.noise**2 / mine.days[known].sum()) + (other.noise**2 / theirs.days[known].sum())) ** 0.5
    return bool(gain > max(3 * error, effect.distance(theirs.expected[known]).mean() / 2))


def dump_baseline(it: Baseline) -> str:
    """Return a baseline as JSON; `load_baseline` reads it."""
    return json.dumps({key: _json(value) for key, value in asdict(it).items()}, separators=(",", ":"))


@lru_cache(maxsize=1024)  # each check reads its monitor's
def load_baseline(text: str) -> Baseline:
    """Return the baseline that `dump_baseline` wrote; fields of a later Registrar are left out."""
    said, known = json.loads(text), {one.name for one in fields(Baseline)}
    return Baseline(**{key: _from_json(value) for key, value in said.items() if key in known})


def _json(value: float | tuple[float, ...]) -> object:
    if isinstance(value, tuple):
        return [_json(one) for one in value]
    return value if np.isfinite(value) else str(value)  # JSON has neither NaN nor infinity


def _from_json(value: Any) -> Any:
    return tuple(map(float, value)) if isinstance(value, list) else float(value)


def day_of(history: float) -> float:
    """Return the seconds that count as a day where a baseline needs `history` seconds: a demo's week takes minutes."""
    return min(history / DAYS, DAY)


def lookback(history: float) -> float:
    """Return from how many seconds a baseline is made where there is so much: 21 days, or as much as it needs."""
    return max(history, MOST_DAYS * day_of(history))


def summarize(points: Points, *, start: float, window: float, history: float) -> Baseline:
    """Return a baseline's summary, for blocks of `window` seconds, one of which begins at `start`.

    `history` is how many seconds of readings a comparison needs; it says how long a day is (`day_of`). Readings that
    are too few for a comparison are summarized, too: the rules say that they can't judge.
    """
    day = day_of(history)
    weekend = NO_WEEKEND
    if day == DAY:
        hours = _cut(points, 0.0, HOUR, day)
        weekend = weekend_offset(hours.grid, weekend_share(hours.starts, HOUR))
    level = Points(points.at, points.value - weekend.offset * weekend_share(points.at, 0))
    cut = _cut(level, start, window, day)
    reach = round(day / 24 / window)  # smoothed over the blocks within an hour, or within the 24th of a short day
    found = usual(cut.grid, reach=reach, points=cut.points, cells=cut.cells, size=cut.size, weekend=weekend)
    slots = np.minimum(
        np.floor((level.at - start) % _period(window, day) / window).astype(np.int64), len(found.same) - 1
    )
    apart = level.value - found.expected[slots]
    apart = np.where(np.abs(apart) > ROUNDING * np.abs(level.value), apart, 0.0)  # rounding resembles itself
    spread = spread_of(level.at, apart, window=window, days=_mean_of(found.days), period=_period(window, day))
    days = np.floor((level.at - start) / _period(window, day))
    lows, highs = _recurring(spread, days, slots, len(found.same), _period(window, day))
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
        same=tuple(found.same.tolist()),
        days=tuple(found.days.tolist()),
        expected=tuple(found.expected.tolist()),
        worth=tuple(found.worth.tolist()),
        noise=found.noise.item(),
        degrees=found.degrees.item(),
        spacing=spread.spacing,
        phi=spread.phi,
        step=spread.step,
        spread=spread.spread,
        sizes=spread.sizes,
        steps=spread.steps,
        lows=lows,
        highs=highs,
        rough=_rough(spread, apart, slots, len(found.same), max(round(day / 12 / window), 1)),
    )


def _mean_of(days: Floats) -> float:
    return float(days[days > 0].mean()) if days.any() else 0.0


def weekend_share(starts: Floats, length: float) -> Floats:
    """Return which part of `length` seconds from each start on is Saturday or Sunday (UTC); of 0 seconds, 0 or 1."""
    span = length or 1.0
    found: Floats = (_weekends_until(starts + span) - _weekends_until(starts)) / span
    return found


def _weekends_until(at: Floats) -> Floats:
    weeks, rest = np.divmod(at - SATURDAY, 7 * DAY)
    found: Floats = weeks * 2 * DAY + np.minimum(rest, 2 * DAY)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    grid: Floats  # (days, slots): the blocks' means
    starts: Floats  # (days, slots): when each begins
    size: float  # the usual number of readings of a block
    points: Floats  # the readings that lie in blocks
    cells: Ints  # the block of each


def _period(window: float, day: float) -> float:
    return day * ceil(window / day)


def _cut(points: Points, start: float, window: float, day: float) -> _Cut:
    """Cut readings into blocks of `window` seconds, so that the first time of day is the one of `start`."""
    period = _period(window, day)
    per_day = max(int(period / window + 1e-9), 1)
    which = np.floor((points.at - start) / period)
    slot = np.floor((points.at - start - which * period) / window)
    slot = np.clip(slot, 0, per_day).astype(np.int64)  # rounding puts a reading at its day's very start before it
    whole = slot < per_day  # what is left of a day that is no multiple of the window belongs to no block
    first = float(which[0]) if len(which) else 0.0
    cells = ((which - first).astype(np.int64) * per_day + slot)[whole]
    values = points.value[whole]
    rows = int(which[-1] - first) + 1 if len(which) else 1
    counts = np.bincount(cells, minlength=rows * per_day)
    size = float(np.median(counts[counts > 0])) if counts.any() else 1.0
    grid = ratio(np.bincount(cells, weights=values, minlength=rows * per_day), counts)
    grid[counts < max(HALF_FULL * size, 1)] = nan
    begins = start + (first + np.arange(rows))[:, None] * period + np.arange(per_day) * window
    return _Cut(grid=grid.reshape(-1, per_day), starts=begins, size=size, points=values, cells=cells)


# -- the spread of single readings, and of means of any length ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How single readings and their means vary: the fields of the same names in `Baseline`."""

    spacing: float
    phi: float
    step: float
    spread: tuple[float, ...]
    sizes: tuple[float, ...]
    steps: tuple[float, ...]
    means: tuple[Floats, ...]  # by length: the mean residual up to each reading, NaN where there are too few


def spread_of(at: Floats, residual: Floats, *, window: float, days: float, period: float = DAY) -> Spread:
    """Return how readings vary around what's expected of them, and how means of each length in `SCANNED` do.

    `days` is how many days, of `period` seconds, the expected values are means of: they absorb 1/days of the variance,
    and k/days of that of a mean of k days. Old incidents are pulled in: single readings, and means of each length,
    beyond `FAR` robust standard deviations. As in `usual`, the spread is taken `SURE` standard errors higher, for as
    many independent means as fit into the baseline. If fewer than two fit, the spread is infinite.
    """
    taken = days / (days - 1) if days > 1 else 1.0
    points = Points(at, residual)
    near = winsorized(residual)
    phi = lag1(near).item() if len(near) > 1 else 0.0
    spacing = points.spacing
    follows = np.round(np.diff(at) / spacing) <= 1 if spacing else np.zeros(0, dtype=np.bool_)
    added = winsorized((residual[1:] - phi * residual[:-1])[follows])
    step = float((taken * np.mean(added**2)) ** 0.5) if len(added) else 0.0
    single = steps_of(residual, at, phi=phi, step=step, spacing=spacing)
    spreads, sizes, steps, found = [], [], [], []
    for windows in SCANNED:
        length = windows * window
        first = sliding_start(at, length)
        count = np.arange(1, len(at) + 1) - first
        size = float(np.median(count)) if len(at) else 1.0
        whole = (at - at[:1] >= length - spacing) & (count >= HALF_FULL * size)
        degrees = max(points.span / length, 1.0)
        means, sums = _sliding(residual, first) / count, _sliding(single, first) / np.sqrt(count)
        left = days - max(length / period, 1.0)  # of the days, what their own mean doesn't absorb
        if left > 0 and 2 * length <= points.span:
            spreads.append((days / left) ** 0.5 * (1 + SURE / (2 * degrees) ** 0.5) * _robust(means[whole]))
        else:
            spreads.append(inf)
        steps.append(max(_robust(sums[whole]), 1.0))
        sizes.append(size)
        found.append(np.where(whole, means, nan))
    return Spread(
        spacing=spacing,
        phi=phi,
        step=step,
        spread=tuple(spreads),
        sizes=tuple(sizes),
        steps=tuple(steps),
        means=tuple(found),
    )


def _rough(it: Spread, residual: Floats, slots: Ints, count: int, reach: int) -> tuple[float, ...]:
    """Return the noise at each time of day as a multiple of the usual noise, with `reach` neighbors on either side.

    It's 1 unless they're noisier by `CERTAIN` standard errors. Of n readings, whose squares have the correlation φ²,
    n·(1−φ²)/(1+φ²) are independent.
    """
    near = winsorized(residual) ** 2
    if not near.any():
        return (1.0,) * count
    turns = range(-min(reach, count // 2), min(reach, count // 2) + 1)
    sums, there = (np.bincount(slots, weights=one, minlength=count) for one in (near, np.ones_like(near)))
    sums, there = (np.sum([np.roll(one, turn) for turn in turns], axis=0) for one in (sums, there))
    found = np.nan_to_num(ratio(sums, there * near.mean()), nan=1.0) ** 0.5
    error = ratio(0.5, there * (1 - it.phi**2) / (1 + it.phi**2)) ** 0.5
    return tuple(np.where(found > 1 + CERTAIN * error, found, 1.0).tolist())


def _recurring(
    it: Spread, days: Floats, slots: Ints, count: int, period: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return how low and how high means of each length regularly are at each time of day, flattened.

    `days` and `slots` say where each mean's last reading lies, and `count` how many times of day there are. It's the
    median of the days' lowest, or the higher one of two that are a week apart, if that's lower: a nightly or weekly
    batch is normal for the metric, and since the spread leaves it out, it would otherwise be a drop each time. Anything
    within `RECURRING` times the spread is noise and becomes 0.
    """
    cells = (days - days[:1]).astype(np.int64) * count + slots
    rows = int(days[-1] - days[0]) + 1 if len(days) else 1
    is_weekly = period == DAY and rows > DAYS
    found: list[list[float]] = []
    for sign in (-1, 1):
        flat: list[float] = []
        for means, spread in zip(it.means, it.spread, strict=True):
            far = np.full(rows * count, -inf)
            np.maximum.at(far, cells, np.where(np.isnan(means), -inf, sign * means))
            far = np.where(far > -inf, far, nan)
            near = np.fmax(far, np.fmax(np.append(far[1:], nan), np.append(nan, far[:-1])))  # it may begin earlier
            grid = near.reshape(-1, count)
            often = np.nan_to_num(median(grid, -2))
            if is_weekly:
                again = np.minimum(grid[DAYS:], grid[:-DAYS])
                often = np.maximum(often, np.where(np.isnan(again), -inf, again).max(axis=0))
            flat += np.where(often > RECURRING * spread, sign * often, 0.0).tolist()
        found.append(flat)
    return tuple(found[0]), tuple(found[1])


def steps_of(residual: Floats, at: Floats, *, phi: float, step: float, spacing: float) -> Floats:
    """Return what each reading adds to what the one before predicts, in standard deviations, clipped at `CLIP`.

    That's e = r − φᵏ·r₋₁ for readings k spacings apart, divided by its standard deviation in an AR(1) series,
    step·√((1−φ²ᵏ)/(1−φ²)). The first reading has none before it.
    """
    apart = np.maximum(np.round(np.diff(at) / spacing), 1) if spacing else np.ones(max(len(at) - 1, 0))
    kept = np.concatenate([[0.0], phi**apart])[: len(at)]
    before = np.concatenate([[0.0], residual[:-1]])[: len(at)]
    scale = step * np.sqrt((1 - kept**2) / (1 - phi**2))
    return np.clip(np.nan_to_num(ratio(residual - kept * before, scale)), -CLIP, CLIP)


def sliding_start(at: Floats, length: float) -> Ints:
    """Return for each reading the first one that is less than `length` seconds before it."""
    return np.searchsorted(at, at - length, side="right")


def winsorized(values: Floats) -> Floats:
    """Return values around 0, with those beyond `FAR` robust standard deviations pulled in to that bound."""
    far = FAR * NORMAL * float(np.median(np.abs(values))) if len(values) else 0.0
    return np.clip(values, -far, far) if far > 0 else values


def _sliding(values: Floats, first: Ints) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[1:] - sums[first], dtype=np.float64)


def _robust(values: Floats) -> float:
    """Return the standard deviation around 0 of winsorized values; 0 where there are none."""
    return float(np.mean(winsorized(values) ** 2) ** 0.5) if len(values) else 0.0


# -- what is usual -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weekend:
    """By how much a metric is higher on Saturdays and Sundays, and how certain that is. Several series: (…)."""

    offset: Floats
    worth: Floats  # how many independent blocks have a mean as certain as that


NO_WEEKEND = Weekend(np.zeros(()), np.array(np.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """A baseline's means and noise, as in `Baseline`. Several series lie along the first axes."""

    same: Floats  # (…, slots)
    days: Floats  # (…, slots)
    expected: Floats  # (…, slots)
    worth: Floats  # (…, slots)
    noise: Floats  # (…)
    degrees: Floats  # (…)
    weekend: Weekend


def usual(
    grid: Floats,
    *,
    reach: int = 0,
    points: Floats | None = None,
    cells: Ints | None = None,
    size: float = 1.0,
    weekend: Weekend = NO_WEEKEND,
) -> Usual:
    """Return what a baseline says of its blocks.

    `grid` (…, days, slots) has the blocks' means, NaN where one is missing; weekends are leveled already, by `weekend`.
    What is expected is smoothed over so many neighbors as `reach` says. Incidents are pulled in first (`pulled_in`).
    The noise is measured twice, and the larger is taken, since each has a weakness:

    - From the blocks: s², pooled over the times of day (a one-way analysis of variance, so each time of day costs a
      degree of freedom), times (1+ρ)/(1−ρ) with ρ the correlation of neighbors: the long-run variance of an AR(1)
      series, i.e. what the mean of many blocks would have. It holds for noise of every shape, but there are few
      blocks.
    - From the single `points` (…, n), of which `size` make up a block: σ²·(1+φ)/(1−φ)/size, with φ their lag-1
      correlation. There are many, but noise may be of another shape than AR(1). `cells` (n) has the block of each, as
      an index into the grid laid flat. Taking away the mean of the same hours takes s²/days from their variance and
      from their covariance; it is added again.

    Neighbors that resemble each other are worth less than independent ones: the degrees of freedom ν are those of
    Bartlett, times (1−ρ²)/(1+ρ²). The noise is taken `SURE` standard errors of itself higher, 1/√(2ν) of it: what acts
    without a cause does so after a baseline that was quieter than usual.
    """
    grid = pulled_in(grid)
    there = ~np.isnan(grid)
    days = there.sum(axis=-2).astype(np.float64)
    same = ratio(np.where(there, grid, 0.0).sum(axis=-2), days)
    residual = grid - same[..., None, :]
    residual = np.where(np.abs(residual) <= ROUNDING * np.abs(same[..., None, :]), 0.0, residual)  # has no correlation
    degrees = np.maximum(days - 1, 0).sum(axis=-1)
    variance = ratio(np.nansum(residual**2, axis=(-2, -1)), degrees)
    alike = lag1(residual.reshape(*residual.shape[:-2], -1))
    noise = long_run(variance, alike)
    if points is not None and cells is not None and len(cells):
        taken = variance / np.maximum(days.max(axis=-1), 1)
        apart = points - same[..., cells % grid.shape[-1]]
        reach_of_points = FAR * NORMAL * median(np.abs(apart), -1)[..., None]
        apart = np.where(reach_of_points > 0, np.clip(apart, -reach_of_points, reach_of_points), apart)
        spread = ratio(np.nansum(apart**2, axis=-1), (~np.isnan(apart)).sum(axis=-1)) + taken
        phi = corrected(ratio(_next_to(apart) + taken, spread), points.shape[-1])
        noise = np.fmax(noise, long_run(spread / size, phi))
    degrees = degrees * (1 - alike**2) / (1 + alike**2)
    noise = noise * (1 + SURE / np.sqrt(2 * np.maximum(degrees, 1)))
    expected, worth = smoothed(same, days, noise, reach)
    return Usual(same=same, days=days, expected=expected, worth=worth, noise=noise, degrees=degrees, weekend=weekend)


def weekend_offset(grid: Floats, rest: Floats) -> Weekend:
    """Return what levels the weekends of hourly means (…, days, slots), of which `rest` says which are a weekend.

    The offset is the mean of the weekends' hours, each beside the median of the weekdays' at its time of day, with
    those beyond `FAR` pulled in: an incident on one Saturday is no weekend. Where there is no weekend or nothing else,
    there is nothing to level.
    """
    apart = grid - median(np.where(rest == 0, grid, nan), -2)[..., None, :]
    free = np.where(rest == 1, apart, nan).reshape(*grid.shape[:-2], -1)
    center = median(free, -1)
    spread = NORMAL * median(np.abs(apart - rest * center[..., None, None]).reshape(free.shape), -1)
    inside = np.clip(free - center[..., None], -FAR * spread[..., None], FAR * spread[..., None])
    many, few = (~np.isnan(np.where(rest == 0, apart, nan))).sum(axis=(-2, -1)), (~np.isnan(free)).sum(axis=-1)
    offset = np.nan_to_num(center + ratio(np.nansum(inside, axis=-1), few))
    return Weekend(offset, ratio(1, np.where(few > 0, ratio(1, few) + ratio(1, np.maximum(many, 1)), 0)))


def pulled_in(grid: Floats) -> Floats:
    """Return blocks (…, days, slots) with incidents pulled in: winsorized by time of day.

    A block farther than `FAR` robust standard deviations from the median at its time of day counts as if it were just
    there. The deviations of all times of day are pooled, as the noise is, since a time of day alone has few days; the
    median of D values takes 1/D of the variance with it. What came back at the same hour a week before or after, at
    least half as far away, is no incident but the week's own shape, and stays: nothing but noise that is too small
    makes a monitor act without a cause. Where more than half of the blocks are equal, nothing is pulled in.
    """
    days = grid.shape[-2]
    if days < 2:
        return grid
    center = median(grid, -2)[..., None, :]
    apart = grid - center
    spread = NORMAL * median(np.abs(apart).reshape(*grid.shape[:-2], -1), -1) * (days / (days - 1)) ** 0.5
    far = FAR * spread[..., None, None]
    is_far = (np.abs(apart) > far) & (far > 0)
    if days > DAYS:
        week = np.zeros_like(apart)
        week[..., DAYS:, :] = np.nan_to_num(apart[..., :-DAYS, :])
        later = np.zeros_like(apart)
        later[..., :-DAYS, :] = np.nan_to_num(apart[..., DAYS:, :])
        sign = np.sign(apart)
        half = np.maximum(np.abs(apart), far) / 2  # noise that happens to lie on the same side is no return
        is_far &= ~((sign * week > half) | (sign * later > half))
    return np.where(is_far, center + np.clip(apart, -far, far), grid)


def smoothed(same: Floats, days: Floats, noise: Floats, reach: int) -> tuple[Floats, Floats]:
    """Return the means of the times of day smoothed around the clock, and how many blocks each is then worth.

    The weights are a triangle over so many neighbors on each side as `reach` says: ¼ ½ ¼ with one. Weights w and
    days D make a mean worth 1 ÷ Σ(w²/D) blocks: seven days of one-hour blocks are worth 19. A time of day that differs
    from its neighbors by more than `SHARP` times what the noise explains keeps its own mean: a nightly batch stays
    where it is.
    """
    known = days > 0
    weights = np.convolve(np.ones(reach + 1), np.ones(reach + 1))
    turned = [(weight, turn) for turn, weight in enumerate(weights / weights.sum(), start=-reach)]
    value, once = np.where(known, same, 0.0), ratio(1, np.where(known, days, np.inf))
    whole = np.sum([weight * np.roll(known, turn, axis=-1) for weight, turn in turned], axis=0)
    smooth = ratio(np.sum([weight * np.roll(value, turn, axis=-1) for weight, turn in turned], axis=0), whole)
    worth = ratio(whole**2, np.sum([weight**2 * np.roll(once, turn, axis=-1) for weight, turn in turned], axis=0))
    keeps = ~known | (np.abs(same - smooth) > SHARP * noise[..., None] * np.sqrt(once))
    return np.where(keeps, same, smooth), np.where(keeps, days, worth)


def lag1(series: Floats) -> Floats:
    """Return the correlation of neighbors in series of mean 0 (…, n); pairs in which one is NaN do not count."""
    size = (~np.isnan(series)).sum(axis=-1)
    variance = ratio(np.nansum(series**2, axis=-1), size)
    return corrected(ratio(_next_to(series), variance), size)


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

    The expansion is Abramowitz and Stegun's 26.7.5; with 4 degrees of freedom it is 0.7% low at 3 sigma, with 6 it is
    0.1% low.
    """
    x = sigma if isinstance(sigma, float) else np.asarray(sigma, dtype=np.float64)  # a float's polynomials are quicker
    v = np.maximum(np.asarray(degrees, dtype=np.float64), 1.0)
    found = x + sum(_horner(terms, x) / under / v**power for power, (terms, under) in enumerate(_EXPANSION, start=1))
    return np.asarray(found, dtype=np.float64)


def _horner(terms: list[int], x: Any) -> Any:
    """Return a polynomial's value, as np.polyval does, which takes longer than all the rest of a verdict."""
    found = 0.0
    for term in terms:
        found = found * x + term
    return found


_EXPANSION: tuple[tuple[list[int], int], ...] = (
    ([1, 0, 1, 0], 4),
    ([5, 0, 16, 0, 3, 0], 96),
    ([3, 0, 19, 0, 17, 0, -15, 0], 384),
    ([79, 0, 776, 0, 1482, 0, -1920, 0, -945, 0], 92_160),
)


def _next_to(series: Floats) -> Floats:
    """Return the mean product of neighbors; NaN where there are none."""
    products = series[..., 1:] * series[..., :-1]
    there = ~np.isnan(products)
    return ratio(np.where(there, products, 0.0).sum(axis=-1), there.sum(axis=-1))


def median(values: Floats, axis: int) -> Floats:
    """Return the medians along an axis of what is there; NaN where nothing is."""
    ordered = np.sort(values, axis=axis)  # NaN comes last
    count = (~np.isnan(values)).sum(axis=axis, keepdims=True)
    sides = [
        np.take_along_axis(ordered, np.maximum(at, 0), axis) for at in ((count - 1) // 2, count // 2 - (count == 0))
    ]
    found: Floats = ((sides[0] + sides[1]) / 2).squeeze(axis)
    return found


def ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> Floats:
    """Return above ÷ below; NaN, not a warning, where nothing is divided by nothing."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # no days, or no variance: NaN is the answer
        found: Floats = np.asarray(np.divide(above, below), dtype=np.float64)
    return found
