"""Simulated months of a metric: accuracy with noise, late labels, weekends, incidents, and drops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.domain.monitoring.rules.time_series import Floats
from bot.domain.policy.effect_size import MinimumEffect

SEED = 20_260_504
MEAN, SD = 0.90, 0.0095  # of an accuracy that is measured every five minutes
EVERY = 5  # minutes
HOUR, DAY = 12, 288  # readings
WEEK, MONTH = 7 * DAY, 30 * DAY
CHUNK = 100  # months simulated at once: as many as fit in the CPU cache
HORIZON = 3 * DAY  # a drop that isn't detected by then counts as missed
DROPS = (0.01, 0.02, 0.03, 0.05)
SATURDAY = 5  # of a week that begins on Monday, as the months' first one does
INCIDENT = 0.10
MIN_EFFECT, SIGMA, ALPHA = MinimumEffect(0.02), 3.0, 0.01
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """What months look like. `delay` is how many minutes after its time a reading is taken; 0: labels are at once.

    `days` is how long the baseline is, `weekend` by how much the metric is lower on Saturdays and Sundays, and
    `incident` how many hours of the baseline, at a random time, are 10% lower. `daily` is the standard deviation of
    what each day is off by, all day long, and `nights` how many times as noisy the hours from 22 to 6 are. With `of`,
    a reading is the part of so many requests that are right, each with a probability whose variance is half the usual
    one; with 2,000 requests, the variance of the readings is the usual one.
    """

    phi: float  # lag-1 correlation of the readings
    season: float = 0.0  # amplitude of the daily swing, in the metric's unit
    tails: float = 0.0  # degrees of freedom of Student's t; 0 is a normal distribution
    delay: float = 0.0
    days: int = 7
    weekend: float = 0.0
    incident: int = 0
    daily: float = 0.0
    nights: float = 1.0
    of: int = 0

    @property
    def labelled(self) -> float:
        """Return the share of labels that exist when a reading is taken: half of them arrive within 14 minutes."""
        return 1 - float(np.exp(-self.delay / LABELS)) if self.delay else 1.0


LABELS = 20.0  # minutes: the mean of the exponential distribution of how late a label is


@dataclass(frozen=True)
class Months:
    """A chunk of months: the baseline's readings (months, n) and those since the promotion, NaN where missing.

    `rest` (months, days) tells which days are a weekend, the baseline's and then the others; all begin at midnight.
    """

    baseline: Floats
    live: Floats
    rest: Floats

    @property
    def since_promotion(self) -> Floats:
        """Return which days since the promotion are weekends: (months, days)."""
        return self.rest[:, self.baseline.shape[1] // DAY :]


def play(world: World, rng: np.random.Generator, months: int, length: int) -> Months:
    """Return so many months: the baseline, then `length` readings, with nothing wrong.

    The noise is an AR(1) series, its shocks normal or of Student's t with the same standard deviation. The day's swing
    is two waves with other phases in each month. Late labels: the baseline is complete, while of the live readings
    each is taken once, when `labelled` of its labels are there. So many readings are there at all, and they are
    noisier as if so many labels made them up. The promotion comes on another day of the week in each month.
    """
    warm, before = 200 if world.phi else 0, world.days * DAY
    total = warm + before + length
    shape = (total, months)
    shocks = rng.standard_t(world.tails, shape) if world.tails else rng.standard_normal(shape)
    shocks *= SD * (1 - world.phi**2) ** 0.5 / ((world.tails / (world.tails - 2)) ** 0.5 if world.tails else 1)
    if world.phi:
        for at in range(1, total):
            shocks[at] += world.phi * shocks[at - 1]
    noise = shocks[warm:].T
    if world.nights != 1:
        is_night = (np.arange(before + length) // HOUR + 2) % 24 < 8
        noise = noise * np.where(is_night, world.nights, 1.0)
    if world.daily:
        days = rng.standard_normal((months, world.days + -(-length // DAY))) * world.daily
        noise = noise + np.repeat(days, DAY, axis=1)[:, : before + length]
    if world.of:
        right = np.clip(MEAN + noise * 0.5**0.5, 0, 1)
        noise = rng.binomial(world.of, right) / world.of - MEAN
    values = MEAN + noise
    if world.season:
        clock = 2 * np.pi * np.arange(before + length) / DAY
        first, second = rng.uniform(0, 2 * np.pi, (2, months, 1))
        values = values + world.season * (np.sin(clock + first) + 0.5 * np.sin(2 * clock + second))
    day = np.arange(months)[:, None] - world.days + np.arange(world.days + -(-length // DAY))
    rest = (day % 7 >= SATURDAY).astype(np.float64)
    if world.weekend:
        values = values - world.weekend * np.repeat(rest, DAY, axis=1)[:, : before + length]
    baseline, live = values[:, :before].copy(), values[:, before:].copy()
    if world.incident:
        begins = rng.integers(0, before - world.incident * HOUR, (months, 1))
        passed = np.arange(before) - begins
        baseline -= INCIDENT * MEAN * ((passed >= 0) & (passed < world.incident * HOUR))
    if world.delay:
        live += rng.standard_normal(live.shape) * SD * (1 / world.labelled - 1) ** 0.5
        live[rng.random(live.shape) > world.labelled] = np.nan
    return Months(baseline, live, rest)
