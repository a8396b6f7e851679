"""The monitor's rules on simulated months: how often each fires without a cause, and how soon it sees a real drop."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.domain.rules import HALF_FULL, Floats, Usual, margin, needed, radius, usual

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
SEED = 20_260_504
MEAN, SD = 0.90, 0.0095  # of an accuracy that is measured every five minutes
EVERY = 5  # minutes
HOUR, DAY = 12, 288  # readings
WEEK, MONTH = 7 * DAY, 30 * DAY
CHUNK = 100  # months that are played at once: as many as fit in the processor's cache
HORIZON = 3 * DAY  # a drop that nobody sees for so long was not seen
DROPS = (0.01, 0.02, 0.03, 0.05)
MIN_EFFECT, SIGMA, ALPHA = 0.02, 3.0, 0.01

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """What months look like. `delay` is how many minutes after its time a reading is taken; 0: labels are at once."""

    phi: float  # lag-1 correlation of the readings
    season: float = 0.0  # how far the day's swing goes to each side, in the unit of the metric
    tails: float = 0.0  # degrees of freedom of Student's t; 0 is a normal distribution
    delay: float = 0.0

    @property
    def labelled(self) -> float:
        """Return the part of the labels that is there when a reading is taken: half of them come within 14 minutes."""
        return 1 - float(np.exp(-self.delay / LABELS)) if self.delay else 1.0


LABELS = 20.0  # minutes: the mean of the exponential distribution of how late a label is


@dataclass(frozen=True)
class Months:
    """A chunk of months: the baseline's readings (months, week) and those since the promotion, NaN where missing."""

    baseline: Floats
    live: Floats


def play(world: World, rng: np.random.Generator, months: int, length: int) -> Months:
    """Return so many months: a week of baseline, then `length` readings, with nothing wrong.

    The noise is an AR(1) series, its shocks normal or of Student's t with the same standard deviation. The day's swing
    is two waves with other phases in each month. Late labels: the baseline is complete, while of the live readings
    each is taken once, when `labelled` of its labels are there. So many readings are there at all, and they are
    noisier as if so many labels made them up.
    """
    warm = 200 if world.phi else 0
    total = warm + WEEK + length
    shape = (total, months)
    shocks = rng.standard_t(world.tails, shape) if world.tails else rng.standard_normal(shape)
    shocks *= SD * (1 - world.phi**2) ** 0.5 / ((world.tails / (world.tails - 2)) ** 0.5 if world.tails else 1)
    if world.phi:
        for at in range(1, total):
            shocks[at] += world.phi * shocks[at - 1]
    values = MEAN + shocks[warm:].T
    if world.season:
        clock = 2 * np.pi * np.arange(WEEK + length) / DAY
        first, second = rng.uniform(0, 2 * np.pi, (2, months, 1))
        values = values + world.season * (np.sin(clock + first) + 0.5 * np.sin(2 * clock + second))
    baseline, live = values[:, :WEEK].copy(), values[:, WEEK:].copy()
    if world.delay:
        live += rng.standard_normal(live.shape) * SD * (1 / world.labelled - 1) ** 0.5
        live[rng.random(live.shape) > world.labelled] = np.nan
    return Months(baseline, live)


# -- the rules ---------------------------------------------------------------------------------------------------------

Rule = Callable[[Months], Bools]  # (months, readings): it acts once that reading was taken


def blocks_rule(window: int = HOUR, times: int = 2, gross: float = 0.0) -> Rule:
    """Return the rule that Registrar ships: blocks of so many readings, so many in a row."""

    def fires(months: Months) -> Bools:
        worse, much = block_verdicts(months, window, gross)
        acts = in_a_row(worse, times) | much
        fired = np.zeros(months.live.shape, dtype=np.bool_)
        fired[:, window - 1 : acts.shape[1] * window : window] = acts
        return fired

    return fires


def block_verdicts(months: Months, window: int = HOUR, gross: float = 0.0) -> tuple[Bools, Bools]:
    """Tell of each block whether it is worse, and whether it is so by `gross` times both bounds."""
    found = baseline_of(months, window)
    cut = months.live[:, : months.live.shape[1] // window * window].reshape(len(months.live), -1, window)
    counts = (~np.isnan(cut)).sum(axis=-1)
    means = np.nansum(cut, axis=-1) / np.maximum(counts, 1)
    slots = np.arange(counts.shape[1]) % (DAY // window)
    least, _ = needed(found, slots, points=counts, size=window, min_effect=MIN_EFFECT, sigma=SIGMA)
    gaps, full = found.expected[:, slots] - means, counts >= HALF_FULL * window
    return (gaps > least) & full, (gaps > gross * least) & full & (gross > 0)


def baseline_of(months: Months, window: int) -> Usual:
    """Return what the baselines say of blocks of so many readings."""
    grid = months.baseline.reshape(len(months.baseline), 7, -1, window).mean(axis=-1)
    slots = np.arange(WEEK) % DAY // window
    return usual(grid, points=months.baseline, slots=slots, size=window)


def sequential_rule(months: Months) -> Bools:
    """Tell when `sequential` acts, which is at its first verdict."""
    found = baseline_of(months, HOUR)
    slot = np.arange(months.live.shape[1]) % DAY // HOUR
    there = ~np.isnan(months.live)
    counts = np.maximum(there.cumsum(axis=1), 1)
    gaps = np.where(there, found.expected[:, slot] - months.live, 0.0).cumsum(axis=1) / counts
    expected = np.where(there, found.expected[:, slot], 0.0).cumsum(axis=1) / counts
    if there.all():
        counts = counts[:1]
    in_slot = there[: len(counts), :, None] & (slot[:, None] == np.arange(DAY // HOUR))
    shares = in_slot.cumsum(axis=1) / counts[..., None]
    off = margin(found, counts, shares, size=HOUR, alpha=ALPHA)
    return np.asarray(gaps > np.maximum(off, MIN_EFFECT * expected), dtype=np.bool_)


# Those that are not shipped.


def plain_sequence(months: Months) -> Bools:
    """Tell when a confidence sequence acts that takes readings as independent, and the baseline's mean as the truth."""
    counts = np.arange(1, months.live.shape[1] + 1)
    mean, sd = months.baseline.mean(axis=1, keepdims=True), months.baseline.std(axis=1, keepdims=True)
    gaps = mean - months.live.cumsum(axis=1) / counts
    return np.asarray(gaps > np.maximum(sd * radius(counts, alpha=ALPHA, tuned_for=24), MIN_EFFECT * mean), np.bool_)


def single(months: Months) -> Bools:
    """Tell which readings are 2 % worse than the baseline's mean."""
    return np.asarray(months.live < (1 - MIN_EFFECT) * months.baseline.mean(axis=1, keepdims=True), dtype=np.bool_)


def three_of_five(months: Months) -> Bools:
    """Tell when three of the last five readings were 2 % worse."""
    sums = np.cumsum(single(months), axis=1)
    sums[:, 5:] = sums[:, 5:] - sums[:, :-5]
    return np.asarray(sums >= 3, dtype=np.bool_)


def sliding(months: Months) -> Bools:
    """Tell when the mean of the last hour was 2 % worse at three checks in a row."""
    sums = np.cumsum(months.live, axis=1)
    means = np.full(sums.shape, np.nan)
    means[:, HOUR - 1] = sums[:, HOUR - 1] / HOUR
    means[:, HOUR:] = (sums[:, HOUR:] - sums[:, :-HOUR]) / HOUR
    return in_a_row(means < (1 - MIN_EFFECT) * months.baseline.mean(axis=1, keepdims=True), 3)


def hard_limit(below: float) -> Rule:
    """Return the fast path: two readings in a row below a fixed bound, so far below the mean."""
    return lambda months: in_a_row(months.live <= (1 - below) * MEAN, 2)


def in_a_row(worse: Bools, times: int) -> Bools:
    """Tell where so many in a row are worse."""
    found = worse.copy()
    for back in range(1, times):
        found[:, back:] &= worse[:, :-back]
        found[:, :back] = False
    return found
