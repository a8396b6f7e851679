"""What's normal for a metric: a baseline's readings, summarized by time of day. Pure; nothing here reads a clock.

Noise must cause a rollback no more than once in several years, so it's measured, not assumed. The baseline is cut into
blocks as long as the evaluated one, and the noise is how much blocks at the same time of day differ. If an old incident
counted as noise, a monitor would miss later failures, so blocks far from the others at their time of day are pulled in.
Weekends are leveled with one offset. docs/decisions/0016 and 0035 list the alternatives that were tried, and
docs/reference/rule-benchmarks.md has the results.

`BaselineArrays` holds any number of series at once, along the first axes, so `make bench-rules` can evaluate thousands
of months together.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from math import ceil, inf
from typing import Any, Self

import numpy as np

from bot.domain.monitoring.rules.time_series import DAY, Floats, Ints, TimeSeries
from bot.domain.policy.effect_size import MinimumEffect

BASELINE_DAYS = 7  # days that a baseline needs: every day of the week once
MIN_BASELINE_SECONDS = BASELINE_DAYS * DAY
MAX_DAYS = 3 * BASELINE_DAYS  # the most days of a baseline: weekends need two or three
MIN_COVERAGE = (
    0.99  # share of its days that a baseline must cover: checks have jitter, and the first is never at the very start
)
MIN_DAYS = 5  # days with readings at the evaluated hours: an outage on one day must not end the comparison
MIN_BLOCK_FILL = 0.5  # share of the usual number of readings; a block with fewer is incomplete and isn't used
SCAN_WINDOWS = (
    0.5,
    1.0,
    2.0,
    4.0,
    8.0,
)  # the lengths of a scan's means, in windows (bot/domain/monitoring/rules/scan_statistics.py)
ONE_WINDOW_INDEX = SCAN_WINDOWS.index(1.0)
SPARSE_COUNT = 5.0  # counts are sparse if a usual reading has fewer cases of the rarer outcome
STUCK_NOISE_SHARE = 0.1  # share of the earlier noise; with less, a version isn't really being measured
FIRST_SATURDAY = 2 * DAY  # since the epoch: 1 January 1970 was a Thursday


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A metric's readings by time of day, summarized into everything the rules need. Times are in seconds, UTC.

    A period is cut into blocks of `window` seconds, starting at `start`; a period is a day, or as many whole days as a
    block needs. A monitor with a shorter history, such as the demo's, has shorter days. Means, noise, and `weekend` are
    in the metric's unit.
    """

    covers: float  # seconds of readings
    start: float  # when a block of the first time of day begins, on any one day
    window: float
    day: float  # seconds that count as a day
    size: float  # the usual number of readings of a block
    low: float  # `low` to `high` has all readings except the most extreme 1% at each end
    high: float
    weekend: float  # by how much blocks on Saturdays and Sundays are higher
    weekend_worth: (
        float  # how many independent blocks have a mean as certain as the offset; infinite if nothing is leveled
    )
    same: tuple[float, ...]  # by time of day: the mean of the blocks; NaN if there are none
    days: tuple[float, ...]  # how many blocks
    expected: tuple[float, ...]  # the same, smoothed
    worth: tuple[float, ...]  # how many independent blocks have a mean as certain as that
    noise: float  # the long-run standard deviation of a block
    degrees: float  # how many independent blocks `noise` was estimated from
    # About single readings and, by the lengths in `SCAN_WINDOWS`, their means; a baseline from before scans has none.
    spacing: float = 0.0  # the usual seconds from one reading to the next
    phi: float = 0.0  # the correlation of neighbors
    step: float = 0.0  # the standard deviation of what a reading adds to φ times the one before
    spread: tuple[float, ...] = ()  # the standard deviation of means of that length
    sizes: tuple[float, ...] = ()  # the usual number of readings in that length
    steps: tuple[float, ...] = ()  # the spread of sums of what readings add ÷ that of independent ones; at least 1
    # By length and time of day, flattened: how far below and above the expected value such means regularly are.
    lows: tuple[float, ...] = ()  # at most 0
    highs: tuple[float, ...] = ()  # at least 0
    rough: tuple[float, ...] = ()  # by time of day: the noise of readings as a multiple of the usual noise; at least 1

    @property
    def level(self) -> float:
        """The mean expected value on a weekday."""
        return float(np.nanmean(self.expected))

    # About counts; without any, `trials` is 0.
    share: float = 0.0  # k of n, over all readings
    trials: float = 0.0  # n, over all readings
    counted: float = 0.0  # readings
    each: float = 0.0  # n of a typical reading
    dispersion: float = 1.0  # their long-run variance as a multiple of that of independent cases

    @property
    def period(self) -> float:
        """Seconds after which the blocks repeat."""
        return period_length(self.window, self.day)

    @property
    def has_counts(self) -> bool:
        """Whether its readings are counts."""
        return self.trials > 0

    @property
    def is_sparse(self) -> bool:
        """Whether its readings count so few cases that a single reading's share says little."""
        return self.has_counts and self.each * min(self.share, 1 - self.share) < SPARSE_COUNT

    @cached_property
    def arrays(self) -> BaselineArrays:
        """The same values as arrays."""
        return BaselineArrays(
            same=np.array(self.same),
            days=np.array(self.days),
            expected=np.array(self.expected),
            worth=np.array(self.worth),
            noise=np.array(self.noise),
            degrees=np.array(self.degrees),
            weekend=WeekendEffect(np.array(self.weekend), np.array(self.weekend_worth)),
        )

    def slot_at(self, at: float) -> int:
        """Return the time of day, as a block index, of the block nearest to the one that begins at `at`."""
        later, last = (at - self.start) % self.period, (len(self.same) - 1) * self.window
        if later <= last:
            return round(later / self.window)
        return 0 if self.period - later < later - last else len(self.same) - 1

    def slots_at(self, at: Floats) -> Ints:
        """Return each reading's time of day, as a block index."""
        slots = np.floor((at - self.start) % self.period / self.window).astype(np.int64)
        return np.minimum(
            slots, len(self.same) - 1
        )  # if a day isn't a whole number of windows, the last one gets the rest

    def expected_at(self, at: Floats) -> Floats:
        """Return the expected value of a reading at each time; NaN at times of day that the baseline doesn't cover."""
        expected: Floats = self.arrays.expected[self.slots_at(at)] + self.on_weekend(at) * self.weekend
        return expected

    def on_weekend(self, at: Floats) -> Floats:
        """Return 1 for each time on a weekend, else 0. Shortened days, as in the demo, have no weekends."""
        return weekend_fraction(at, 0) if self.day == DAY else np.zeros_like(at)


def is_better(candidate: Baseline, current: Baseline, higher_is_better: bool, effect: MinimumEffect) -> bool:
    """Return whether a baseline is better than another one with the same blocks.

    It must be better by more than half the effect and by more than the noise, which is three standard errors of the
    difference between the two means. A baseline with too few days at a time of day that the other covers isn't better.
    Neither is one with almost no noise if the other has some, because a source that repeats itself isn't measuring.
    """
    new, old = candidate.arrays, current.arrays
    has_enough_days = old.days >= MIN_DAYS
    if (
        not has_enough_days.any()
        or (new.days[has_enough_days] < MIN_DAYS).any()
        or candidate.noise < STUCK_NOISE_SHARE * current.noise
    ):
        return False
    gain = (new.expected - old.expected)[has_enough_days].mean().item() * (1 if higher_is_better else -1)
    error = (
        (candidate.noise**2 / new.days[has_enough_days].sum()) + (current.noise**2 / old.days[has_enough_days].sum())
    ) ** 0.5
    return bool(gain > max(3 * error, effect.absolute_distance(old.expected[has_enough_days]).mean() / 2))


def dump_baseline(baseline: Baseline) -> str:
    """Return a baseline as JSON; `load_baseline` reads it."""
    return json.dumps({key: _to_json(value) for key, value in asdict(baseline).items()}, separators=(",", ":"))


@lru_cache(maxsize=1024)  # each check reads its monitor's
def load_baseline(text: str) -> Baseline:
    """Return the baseline that `dump_baseline` wrote; fields from a later version of Registrar are ignored."""
    data, field_names = json.loads(text), {field.name for field in fields(Baseline)}
    return Baseline(**{key: _from_json(value) for key, value in data.items() if key in field_names})


def _to_json(value: float | tuple[float, ...]) -> object:
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return value if np.isfinite(value) else str(value)  # JSON has neither NaN nor infinity


def _from_json(value: Any) -> Any:
    return tuple(map(float, value)) if isinstance(value, list) else float(value)


def day_length(history: float) -> float:
    """Return how many seconds count as a day for a baseline of `history` seconds. In the demo, a week lasts minutes."""
    return min(history / BASELINE_DAYS, DAY)


def weekend_fraction(starts: Floats, length: float) -> Floats:
    """Return what share of the `length` seconds after each start is on a weekend (UTC); 0 or 1 if `length` is 0."""
    span = length or 1.0
    fraction: Floats = (_weekend_seconds_until(starts + span) - _weekend_seconds_until(starts)) / span
    return fraction


def _weekend_seconds_until(at: Floats) -> Floats:
    weeks, rest = np.divmod(at - FIRST_SATURDAY, 7 * DAY)
    seconds: Floats = weeks * 2 * DAY + np.minimum(rest, 2 * DAY)
    return seconds


def period_length(window: float, day: float) -> float:
    return day * ceil(window / day)


@dataclass(frozen=True, slots=True)
class WeekendEffect:
    """How much higher a metric is on Saturdays and Sundays, and how certain that is.

    Arrays are (…) for several series.
    """

    offset: Floats
    worth: Floats  # how many independent blocks have a mean as certain as that


NO_WEEKEND_EFFECT = WeekendEffect(np.zeros(()), np.array(np.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineArrays:
    """A baseline's means and noise, as in `Baseline`. Several series are along the first axes."""

    same: Floats  # (…, slots)
    days: Floats  # (…, slots)
    expected: Floats  # (…, slots)
    worth: Floats  # (…, slots)
    noise: Floats  # (…)
    degrees: Floats  # (…)
    weekend: WeekendEffect


@dataclass(slots=True)
class Tally:
    """The readings since a promotion: how many there are at each of a baseline's times of day, and their sum.

    Readings at hours covered by fewer than `MIN_DAYS` of the baseline's days don't count.
    """

    baseline: Baseline
    higher_is_better: bool
    slot_counts: Ints  # (slots)
    value_sum: float = 0.0
    worst_gap: float = -inf  # by how much the worst of them is worse than expected
    weekend_count: float = 0.0  # how many of them are from weekends
    reading_count: int = 0  # all readings, including those that don't count

    @classmethod
    def from_series(cls, points: TimeSeries, baseline: Baseline, *, higher_is_better: bool) -> Self:
        """Return the tally of all these readings."""
        tally = cls(baseline, higher_is_better, np.zeros(len(baseline.same), dtype=np.int64))
        tally.add(points)
        return tally

    def add(self, points: TimeSeries) -> None:
        """Add more readings to the tally."""
        self.reading_count += len(points)
        slots = self.baseline.slots_at(points.at)
        has_enough_days = self.baseline.arrays.days[slots] >= MIN_DAYS
        slots, values, rest = (
            slots[has_enough_days],
            points.value[has_enough_days],
            self.baseline.on_weekend(points.at[has_enough_days]),
        )
        expected = self.baseline.arrays.same[slots] + rest * self.baseline.weekend
        gaps = (expected - values) * (1 if self.higher_is_better else -1)
        self.slot_counts += np.bincount(slots, minlength=len(self.slot_counts))
        self.value_sum += float(values.sum())
        self.weekend_count += float(rest.sum())
        self.worst_gap = max(self.worst_gap, float(np.max(gaps, initial=-inf)))
