"""The monitor's rules as functions of many simulated months at once, with simpler detectors for comparison."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.monitoring_rules.months import (
    ALPHA,
    DAY,
    EVERY,
    HOUR,
    MEAN,
    MIN_EFFECT,
    SIGMA,
    Bools,
    Months,
)
from bot.domain.monitoring.rules.baseline_summary import estimate_baseline, estimate_weekend_effect, summarize
from bot.domain.monitoring.rules.baselines import MIN_BLOCK_FILL, Baseline, BaselineArrays
from bot.domain.monitoring.rules.blocks import block_limits, judge_block
from bot.domain.monitoring.rules.default import BLOCK_CONFIRMATION
from bot.domain.monitoring.rules.scan_statistics import scan_lengths
from bot.domain.monitoring.rules.sequential import MIN_READINGS, confidence_margin, confidence_radius
from bot.domain.monitoring.rules.time_series import Floats, TimeSeries, debias_correlation, long_run_deviation

Rule = Callable[[Months], Bools]  # (months, readings): whether it acts at that reading


def blocks_rule(window: int = HOUR, times: int = 2, *, by_mean: bool = False, gross: float = 0.0) -> Rule:
    """Return the shipped rule: blocks of this many readings, this many in a row.

    What is not shipped: judging `by_mean` alone; with `gross`, a block that is worse by so many times what it
    takes acts alone.
    """

    def fires(months: Months) -> Bools:
        acts = in_a_row(worse_blocks(months, window, by_mean=by_mean), times)
        if gross:
            acts |= worse_blocks(months, window, factor=gross)
        fired = np.zeros(months.live.shape, dtype=np.bool_)
        fired[:, window - 1 : acts.shape[1] * window : window] = acts
        return fired

    return fires


def worse_blocks(months: Months, window: int = HOUR, *, by_mean: bool = False, factor: float = 1.0) -> Bools:
    """Return which blocks are worse, or worse by `factor` times the limit."""
    found = baseline_of(months, window)
    cut = months.live[:, : months.live.shape[1] // window * window].reshape(len(months.live), -1, window)
    counts = (~np.isnan(cut)).sum(axis=-1)
    at, per_day = np.arange(counts.shape[1]), DAY // window
    rest = months.since_promotion[:, at // per_day]
    least = block_limits(
        found, at % per_day, points=counts, size=window, effect=MIN_EFFECT, sigma=SIGMA, on_weekend=rest
    )
    gaps = least.expected[:, :, None] - cut
    worse: Bools = (counts >= MIN_BLOCK_FILL * window) & (_means(gaps) > factor * least.mean)
    if not by_mean:
        nth = (~np.isnan(gaps)).cumsum(axis=-1)
        worse &= _middles(gaps, counts) > factor * least.median
        worse &= _means(np.where(nth > counts[..., None] // 2, gaps, np.nan)) > factor * least.last_half
    return worse


def _means(values: Floats) -> Floats:
    """Return the means of existing values; 0 if there are none."""
    found: Floats = np.nansum(values, axis=-1) / np.maximum((~np.isnan(values)).sum(axis=-1), 1)
    return found


def _middles(cut: Floats, counts: npt.NDArray[np.intp]) -> Floats:
    """Return the medians of existing values; sorting moves NaN to the end."""
    ordered = np.sort(cut, axis=-1)
    sides = [
        np.take_along_axis(ordered, np.maximum(at, 0)[..., None], -1)
        for at in ((counts - 1) // 2, counts // 2 - (counts == 0))
    ]
    found: Floats = (sides[0] + sides[1])[..., 0] / 2
    return found


def baseline_of(months: Months, window: int) -> BaselineArrays:
    """Return the baselines' summary for blocks of this many readings."""
    count, readings = len(months.baseline), months.baseline.shape[1]
    hours = months.baseline.reshape(count, -1, DAY // HOUR, HOUR).mean(axis=-1)
    rest = np.broadcast_to(months.rest[:, : readings // DAY, None], hours.shape)
    weekend = estimate_weekend_effect(hours, rest)
    level = months.baseline - weekend.offset[:, None] * np.repeat(rest[:, :, 0], DAY, axis=1)
    grid = level.reshape(count, -1, DAY // window, window).mean(axis=-1)
    cells = np.arange(readings) // window
    return estimate_baseline(grid, reach=round(HOUR / window), points=level, cells=cells, size=window, weekend=weekend)


def scan_rule(months: Months) -> Bools:
    """Return at which readings the scan finds a worse mean, with the shipped function, month by month."""
    return np.array([_scan(months, month) for month in range(len(months.live))])


def _scan(months: Months, month: int) -> Bools:
    some, there, summary = _summarized(months, month)
    found = np.zeros(len(there), dtype=np.bool_)
    for one in scan_lengths(some, summary, higher_is_better=True, effect=MIN_EFFECT, sigma=SIGMA):
        found[there] |= one.is_worse
    return found


def _summarized(months: Months, month: int) -> tuple[TimeSeries, Bools, Baseline]:
    """Return a month's readings, which of them exist, and the shipped summary of its baseline."""
    baseline, live = points_of(months, month)
    there = ~np.isnan(live.value)
    summary = summarize(baseline, start=float(live.at[0]), window=HOUR * EVERY * 60, history=7 * 86_400)
    return TimeSeries(live.at[there], live.value[there]), there, summary


def confirmed_blocks(months: Months) -> Bools:
    """Return which blocks are worse and confirmed by their single readings."""
    worse = worse_blocks(months)
    for month in np.flatnonzero(worse.any(axis=1)):
        some, _, summary = _summarized(months, int(month))
        begins = some.at[0] - some.at[0] % (HOUR * EVERY * 60)
        for number in np.flatnonzero(worse[month]):
            start = begins + float(number) * HOUR * EVERY * 60
            block = some.between(start, start + HOUR * EVERY * 60)
            judged = judge_block(
                block,
                start,
                summary,
                history=7 * 86_400.0,
                higher_is_better=True,
                effect=MIN_EFFECT,
                sigma=SIGMA,
                confirmation=BLOCK_CONFIRMATION,
            )
            worse[month, number] = bool(judged.is_worse)
    return worse


def points_of(months: Months, month: int) -> tuple[TimeSeries, TimeSeries]:
    """Return one month's readings with their times: of the baseline, and since the promotion (NaN where missing)."""
    before, after = months.baseline.shape[1], months.live.shape[1]
    monday = 4 + 7 * 2_900  # days since 1970: the first day of 1970 was a Thursday
    sunday = int(np.flatnonzero(np.diff(months.rest[month]) < 0)[0])
    first = 86_400.0 * (monday + (6 - sunday) % 7)
    at = first + EVERY * 60.0 * np.arange(before + after)
    return TimeSeries(at[:before], months.baseline[month]), TimeSeries(at[before:], months.live[month])


def default_rule(months: Months) -> Bools:
    """Return when `default` acts: at the second failure in a row, counting the scan and blocks together."""
    scans, worse = scan_rule(months), confirmed_blocks(months)
    length = months.live.shape[1]
    ends = np.arange(HOUR - 1, length, HOUR)[: worse.shape[1]]
    acts = np.zeros(scans.shape, dtype=np.bool_)
    for month, hits in enumerate(scans):
        is_block, is_bad = np.zeros(length, dtype=np.bool_), hits.copy()
        is_block[ends] = True
        is_bad[ends] |= worse[month]
        bad = 0
        for at in np.flatnonzero(is_bad | is_block):
            bad = bad + 1 if is_bad[at] else 0
            acts[month, at] = is_bad[at] and bad >= 2
    return acts


def sequential_rule(months: Months) -> Bools:
    """Return when `sequential` acts: at its second verdict in a row."""
    found, length = baseline_of(months, HOUR), months.live.shape[1]
    slot = np.arange(length) % DAY // HOUR
    free = np.repeat(months.since_promotion, DAY, axis=1)[:, :length]
    there = ~np.isnan(months.live)
    counts = np.maximum(there.cumsum(axis=1), 1)
    level = found.same[:, slot] + free * found.weekend.offset[:, None]
    apart = np.where(there, level - months.live, 0.0)
    gaps, worst = apart.cumsum(axis=1), np.maximum.accumulate(np.where(there, apart, -np.inf), axis=1)
    expected = np.where(there, level, 0.0).cumsum(axis=1) / counts
    rest = np.where(there, free, 0.0).cumsum(axis=1) / counts
    if there.all():
        counts = counts[:1]
    in_slot = there[: len(counts), :, None] & (slot[:, None] == np.arange(DAY // HOUR))
    shares = in_slot.cumsum(axis=1) / counts[..., None]
    off = confidence_margin(found, counts, shares, size=HOUR, alpha=ALPHA, on_weekend=rest)
    passed = there.cumsum(axis=1)
    least = np.maximum(off, MIN_EFFECT.absolute_distance(expected))
    worse = (passed >= MIN_READINGS) & (gaps > passed * least) & (gaps - worst > (passed - 1) * least)
    return in_a_row(np.asarray(worse, dtype=np.bool_), 2)


def plain_sequence(*, widened: bool) -> Rule:
    """Return a confidence sequence that excludes 0, around the baseline's mean as if that were the truth.

    Not widened, it takes readings as independent.
    """

    def fires(months: Months) -> Bools:
        counts = np.arange(1, months.live.shape[1] + 1)
        rest = months.baseline - months.baseline.mean(axis=1, keepdims=True)
        variance, phi = (rest**2).mean(axis=1), np.zeros(len(rest))
        if widened:
            phi = debias_correlation((rest[:, 1:] * rest[:, :-1]).mean(axis=1) / variance, rest.shape[1])
        gaps = months.baseline.mean(axis=1, keepdims=True) - months.live.cumsum(axis=1) / counts
        off = long_run_deviation(variance, phi)[:, None] * confidence_radius(counts, alpha=ALPHA, tuned_for=2 * HOUR)
        return np.asarray(gaps > off, dtype=np.bool_)

    return fires


def single(months: Months) -> Bools:
    """Return which readings are 2% worse than the baseline's mean."""
    return np.asarray(
        months.live < (1 - MIN_EFFECT.amount) * months.baseline.mean(axis=1, keepdims=True), dtype=np.bool_
    )


def three_of_five(months: Months) -> Bools:
    """Return when three of the last five readings were 2% worse."""
    sums = np.cumsum(single(months), axis=1)
    sums[:, 5:] = sums[:, 5:] - sums[:, :-5]
    return np.asarray(sums >= 3, dtype=np.bool_)


def sliding(months: Months) -> Bools:
    """Return when the mean of the last hour was 2% worse at three checks in a row."""
    sums = np.cumsum(months.live, axis=1)
    means = np.full(sums.shape, np.nan)
    means[:, HOUR - 1] = sums[:, HOUR - 1] / HOUR
    means[:, HOUR:] = (sums[:, HOUR:] - sums[:, :-HOUR]) / HOUR
    return in_a_row(means < (1 - MIN_EFFECT.amount) * months.baseline.mean(axis=1, keepdims=True), 3)


def hard_limit(below: float) -> Rule:
    """Return the fast path: two readings in a row below a fixed bound, this far below the mean."""
    return lambda months: in_a_row(months.live <= (1 - below) * MEAN, 2)


def in_a_row(worse: Bools, times: int) -> Bools:
    """Return where this many in a row are worse."""
    found = worse.copy()
    for back in range(1, times):
        found[:, back:] &= worse[:, :-back]
        found[:, :back] = False
    return found
