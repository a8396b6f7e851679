"""Counts: how many cases out of a total were bad, and how strong the evidence is. Pure; nothing here reads a clock.

If a reading has only a handful of cases, its share says little, and the median of twelve such shares says nothing.
Here, every case counts. A detector bets on each case being bad, at odds that are fair as long as no more are bad than
the baseline allows. Its capital is the evidence that more are bad. By chance, it grows a thousandfold in at most one in
a thousand tries, no matter when and how often it's checked (Waudby-Smith and Ramdas 2024; Ramdas, Grünwald, Vovk and
Shafer 2023). Capital below 1 is reset to 1, which makes it an e-detector: it detects a change whenever it happens, and
by chance passes a threshold c at most once in c tries on average (Shin, Ramdas and Rinaldo 2023).

The functions work for any number of series at once, along the first axes, so `make bench-rules` can run thousands of
months through them. docs/decisions/0038-counts.md lists the alternatives that were tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from math import exp, nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import say
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.evaluation import Deviation, undecided
from bot.domain.monitoring.rules.time_series import (
    MAD_TO_SIGMA,
    OUTLIER_LIMIT,
    Floats,
    Ints,
    TimeSeries,
    debias_correlation,
    nan_median,
    ratio,
)
from bot.domain.policy.effect_size import MinimumEffect

BET_ODDS = (1.5, 2.2, 3.3)  # the bets: the odds of a bad case are this many times what the null allows
NULL_MARGIN = 2.0  # standard errors of the baseline's share that the null allows for
DISPERSION_SHRINKAGE = 2.0  # squared standard errors that are subtracted from apparent overdispersion
MIN_DISPERSION_BLOCKS = 7  # blocks needed to measure dispersion
MONTHS_BETWEEN_FALSE_ALARMS = 48.0  # roughly, if as many cases are bad as the null just allows
DAYS_PER_MONTH = 30.0
MIN_EVIDENCE_THRESHOLD = 1_000.0  # the lowest threshold for evidence, no matter how rarely anything is bad


# -- the baseline ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSummary:
    """A summary of a baseline's counts. Arrays are (…) for several series."""

    share: Floats  # k of n, over all readings
    trials: Floats  # n, over all readings
    dispersion: Floats  # their long-run variance as a multiple of that of independent cases; at least 1
    typical_total: Floats  # n of a typical reading


def summarize_counts(count: Floats, total: Floats, day: Ints, on_weekend: npt.ArrayLike = 0.0) -> CountSummary:
    """Return a summary of counts: `count` out of `total` (…, readings), oldest first. Empty readings add nothing.

    `day` (readings) numbers the readings' days from 0, and `on_weekend` (readings) is 1 for readings on a weekend and 0
    for the others. Days far from the others are pulled in (`winsorize_days`), separately for weekends and weekdays.
    """
    on_weekend = np.broadcast_to(np.asarray(on_weekend, dtype=np.float64), day.shape)
    for free in (0.0, 1.0):
        is_same_kind = on_weekend == free
        if is_same_kind.any():
            count = count.copy()
            count[..., is_same_kind] = winsorize_days(
                count[..., is_same_kind], total[..., is_same_kind], np.unique(day[is_same_kind], return_inverse=True)[1]
            )
    share = ratio(count.sum(axis=-1), total.sum(axis=-1))
    return CountSummary(
        share=share,
        trials=total.sum(axis=-1),
        dispersion=estimate_dispersion(count, total, share),
        typical_total=nan_median(np.where(total > 0, total, nan), -1),
    )


def with_counts(baseline: Baseline, points: TimeSeries) -> Baseline:
    """Return the baseline. If its readings, `points`, are counts (with or without totals), add a summary of them."""
    series = count_series(points)
    if series is None:
        return baseline
    day = np.floor((series.at - series.at[0]) / baseline.day).astype(np.int64)
    summary = summarize_counts(series.count, series.total, day, baseline.on_weekend(series.at))
    return replace(
        baseline,
        share=summary.share.item(),
        trials=summary.trials.item(),
        each=summary.typical_total.item(),
        dispersion=summary.dispersion.item(),
        counted=float(len(series.at)),
    )


@dataclass(frozen=True, slots=True)
class CountSeries:
    """Readings that are counts: `count` out of `total` at time `at`, in seconds. All arrays are (readings)."""

    at: Floats
    count: Floats
    total: Floats


def count_series(points: TimeSeries) -> CountSeries | None:
    """Return the readings that are counts, without empty ones; None if there are none.

    Readings without a total are single cases if all are 0 or 1 and both occur.
    """
    total = points.total
    if total is None:
        is_single = np.isin(points.value, (0.0, 1.0)).all() and np.unique(points.value).size == 2
        return CountSeries(points.at, points.value, np.ones(len(points))) if is_single else None
    is_valid = (total > 0) & (points.value >= 0) & (points.value <= 1)
    if not is_valid.any():
        return None
    return CountSeries(points.at[is_valid], (points.value * total)[is_valid], total[is_valid])


def winsorize_days(count: Floats, total: Floats, day: Ints) -> Floats:
    """Return counts winsorized by day, so that incidents are pulled in.

    A day's count that's more than `OUTLIER_LIMIT` robust standard deviations from what the middle half of the days
    suggests is moved to that bound. The bound is Wilson's, which is valid even for a handful of cases: μ + √(w(μ(1−p) +
    w/4)) + w/2 with w = `OUTLIER_LIMIT`² times the dispersion. The rest of the total has a bound of the same form. If
    there are fewer than four days, nothing is pulled in. `day` (readings) numbers the days from 0, ascending, without
    gaps.
    """
    days = int(np.max(day, initial=-1)) + 1
    if days < 4:
        return count
    begins = np.searchsorted(day, np.arange(days))
    k, n = (np.add.reduceat(values, begins, axis=-1) for values in (count, total))
    order = np.argsort(np.where(n > 0, ratio(k, n), np.inf), axis=-1)[..., days // 4 : days - days // 4]
    share = ratio(*(np.take_along_axis(values, order, -1).sum(axis=-1) for values in (k, n)))[..., None]
    spread = MAD_TO_SIGMA * nan_median(np.abs(ratio(k - n * share, np.sqrt(n * share * (1 - share)))), -1)
    wide = OUTLIER_LIMIT**2 * np.maximum(np.nan_to_num(spread, posinf=1.0), 1.0)[..., None] ** 2
    most = n * share + np.sqrt(wide * (n * share * (1 - share) + wide / 4)) + wide / 2
    left = n * (1 - share) + np.sqrt(wide * (n * share * (1 - share) + wide / 4)) + wide / 2
    fewer = np.where(k > most, ratio(most, k), 1.0)[..., day]
    more = np.where(n - k > left, ratio(left, n - k), 1.0)[..., day]
    winsorized: Floats = total - (total - count * fewer) * more
    return winsorized


def estimate_dispersion(count: Floats, total: Floats, share: Floats) -> Floats:
    """Return the long-run variance of counts as a multiple of that of independent cases: (…), at least 1.

    Errors come in clusters, and a share drifts. That's measured as Σ(k−np)² ÷ Σnp(1−p) in blocks of 1, 2, 4, …
    consecutive readings, as long as there are at least `MIN_DISPERSION_BLOCKS`. For single readings, that's also
    multiplied by (1+φ)/(1−φ), where φ is the correlation of neighbors, since there are few long blocks. The largest
    result counts. What chance explains is subtracted first: of an excess x, x·(1 − `DISPERSION_SHRINKAGE`·se²/x²)
    remains, or 0 if that's negative (the positive part of James and Stein). Otherwise, counts of independent cases
    would nearly always seem dispersed, and verdicts would come later.
    """
    apart, whole = count - total * share[..., None], total
    variance, rarer = share * (1 - share), np.minimum(share, 1 - share)
    dispersion = np.ones(share.shape)
    while apart.shape[-1] >= MIN_DISPERSION_BLOCKS:
        blocks = apart.shape[-1]
        trials = whole.sum(axis=-1)
        excess = ratio((apart**2).sum(axis=-1), variance * trials * (1 - 1 / blocks)) - 1
        excess = _shrink(excess, np.sqrt((2 + ratio(blocks, trials * rarer)) / blocks))
        if whole is total:
            phi = ratio((apart[..., 1:] * apart[..., :-1]).sum(axis=-1), (apart**2).sum(axis=-1))
            phi = _shrink(debias_correlation(phi, blocks), np.full(share.shape, blocks**-0.5))
            dispersion = np.fmax(dispersion, (1 + excess) * (1 + phi) / (1 - phi))
        dispersion = np.fmax(dispersion, 1 + excess)
        even = blocks // 2 * 2
        apart, whole = (values[..., :even].reshape(*values.shape[:-1], -1, 2).sum(axis=-1) for values in (apart, whole))
    return dispersion


def _shrink(excess: Floats, error: Floats) -> Floats:
    shrunk: Floats = np.where(
        excess > 0, excess * np.maximum(1 - DISPERSION_SHRINKAGE * ratio(error, excess) ** 2, 0.0), 0.0
    )
    return shrunk


# -- the detector ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CountDetector:
    """Bets that the share of bad cases exceeds `null`. Shapes begin with (…) for several series."""

    null: Floats  # the largest share of bad cases that's no evidence
    bad_case_gain: Floats  # (…, bets): what a bad case adds to the log evidence
    good_case_gain: Floats  # (…, bets): what a good case adds; negative
    threshold: Floats  # log evidence at which it acts
    max_gain: Floats  # log evidence that one reading can add


def build_detector(
    baseline_share: npt.ArrayLike,
    trials: npt.ArrayLike,
    *,
    dispersion: npt.ArrayLike,
    distance: npt.ArrayLike,
    readings: npt.ArrayLike,
    days: float,
    fail_after: int,
) -> CountDetector:
    """Return the bets that the share of bad cases exceeds `baseline_share` by more than `distance`.

    `baseline_share` was measured in `trials` cases. The null is the larger of baseline_share + distance and the upper
    bound of Wilson's interval for trials ÷ dispersion independent cases, at `NULL_MARGIN` standard errors. Each bet is
    a likelihood ratio against the null, at one of the `BET_ODDS` times its odds; counts are divided by their dispersion
    (quasi-likelihood).

    A try is a reading, or a bad case if those are fewer. The threshold is the number of tries in
    `MONTHS_BETWEEN_FALSE_ALARMS` months, but at least `MIN_EVIDENCE_THRESHOLD`. `readings` is the number of readings in
    the `days` of the baseline. What one reading can add is capped, so it takes at least `fail_after` of them to reach
    the threshold. If no share can be that much worse, the null is 1 or more, and the bets are NaN.
    """
    p, spread = np.asarray(baseline_share, dtype=np.float64), np.asarray(dispersion, dtype=np.float64)
    half = ratio(NULL_MARGIN**2 * spread, 2 * np.asarray(trials, dtype=np.float64))
    highest = (p + half + np.sqrt(2 * half * p * (1 - p) + half**2)) / (1 + 2 * half)
    null = np.maximum(p + np.asarray(distance, dtype=np.float64), highest)
    tries = np.minimum(readings, null * np.asarray(trials, dtype=np.float64)) / days
    odds = ratio(null, 1 - null)[..., None] * np.array(BET_ODDS)
    bet = ratio(odds, 1 + odds)
    enough = np.log(np.maximum(MONTHS_BETWEEN_FALSE_ALARMS * DAYS_PER_MONTH * tries, MIN_EVIDENCE_THRESHOLD))
    return CountDetector(
        null=null,
        bad_case_gain=np.log(np.where(bet > 0, ratio(bet, null[..., None]), nan)) / spread[..., None],
        good_case_gain=np.log(np.where(bet < 1, ratio(1 - bet, 1 - null[..., None]), nan)) / spread[..., None],
        threshold=enough,
        max_gain=enough / fail_after,
    )


_cached_detector = lru_cache(maxsize=4096)(build_detector)  # a monitor's is the same at every check


def update_evidence(
    evidence: Floats, bad_count: Floats, total: Floats, detector: CountDetector
) -> tuple[Floats, Floats]:
    """Return each bet's log evidence after one more reading, (…, bets), and the combined log evidence, (…).

    The combined evidence is the mean of the bets' evidence, since the bets started equal. An excess over the threshold
    is subtracted from every bet; otherwise, the longer a failure lasts, the later its end would be detected.
    """
    gains = bad_count[..., None] * detector.bad_case_gain + (total - bad_count)[..., None] * detector.good_case_gain
    after = np.maximum(evidence, 0.0) + np.minimum(gains, detector.max_gain[..., None])
    top = after.max(axis=-1)
    together = top + np.log(np.exp(after - top[..., None]).mean(axis=-1))
    return after - np.maximum(together - detector.threshold, 0.0)[..., None], together


# -- one monitor -------------------------------------------------------------------------------------------------------


class GatheredEvidence(NamedTuple):
    """The evidence gathered by one monitor. The ledger stores it as a row of numbers."""

    bets: tuple[float, ...]  # the log evidence of each
    k: float  # how many
    n: float  # out of how many
    since: float  # seconds since the epoch: the first reading after there was no evidence

    @classmethod
    def from_row(cls, row: Sequence[float] | None, at: float) -> GatheredEvidence:
        """Return a row's evidence; start over at `at` if the row is empty, is from other bets, or has no evidence."""
        *bets, k, n, since = row if row is not None and len(row) == len(BET_ODDS) + 3 else (0.0,) * (len(BET_ODDS) + 3)
        if max(bets) <= 0:
            return cls((0.0,) * len(BET_ODDS), 0.0, 0.0, at)
        return cls(tuple(bets), k, n, since)

    @property
    def row(self) -> tuple[float, ...]:
        """The evidence as a row of numbers."""
        return *self.bets, self.k, self.n, self.since


@dataclass(frozen=True, slots=True, kw_only=True)
class CountResult:
    """The result of a check's count, and the evidence gathered so far."""

    deviation: Deviation
    is_recovered: bool  # nothing is left of the evidence
    evidence: tuple[float, ...] | None  # as `GatheredEvidence.row`


def judge_count(
    value: float,
    total: float | None,
    at: float,
    previous_evidence: Sequence[float] | None,
    baseline: Baseline,
    *,
    higher_is_better: bool,
    effect: MinimumEffect,
    fail_after: int,
) -> CountResult | None:
    """Evaluate a reading, given `previous_evidence`. `value` is the share of its `total` cases that was counted.

    Return None if this reading isn't a count, or if the baseline's readings aren't. The reading is worse if the
    evidence reaches the threshold, which takes at least `fail_after` readings. There's no verdict if no value can be
    worse by `effect`.
    """
    if not baseline.has_counts or (total is None and baseline.each > 1) or not 0 <= value <= 1:
        return None
    cases = 1.0 if total is None else total
    by = _cached_detector(
        1 - baseline.share if higher_is_better else baseline.share,
        baseline.trials,
        dispersion=baseline.dispersion,
        distance=effect.absolute_distance(baseline.share).item(),
        readings=baseline.counted,
        days=max(baseline.covers / baseline.day, 1.0),
        fail_after=fail_after,
    )
    if not by.null < 1:
        why = say(
            "The baseline is {usual}, so no value can be {effect} worse. Set a smaller effect.",
            usual=format_number(baseline.share),
            effect=str(effect),
        )
        impossible = undecided(value, why, Reason.EFFECT_MEANINGLESS)
        return CountResult(deviation=impossible, is_recovered=True, evidence=None)
    had = GatheredEvidence.from_row(previous_evidence, at)
    bad = (1 - value if higher_is_better else value) * cases
    bets, together = update_evidence(np.array(had.bets), np.array(bad), np.array(cases), by)
    now = GatheredEvidence(tuple(bets.tolist()), had.k + value * cases, had.n + cases, had.since)
    failed, share = bool(together >= by.threshold), now.k / now.n
    why = say(
        "{count} of {total} since {since} is {share} (usual: {usual}). Evidence that it's worse: "
        "{evidence} ({enough} needed to fail).",
        count=format_number(now.k),
        total=format_number(now.n),
        since=datetime.fromtimestamp(now.since, UTC),
        share=format_number(share),
        usual=format_number(baseline.share),
        evidence=format_number(round(exp(max(together.item(), 0.0)))),
        enough=format_number(round(exp(by.threshold.item()))),
    )
    judged = Deviation(
        is_worse=failed,
        value=share,
        bound=(1 - by.null if higher_is_better else by.null).item(),
        expected=baseline.share,
        gap=(baseline.share - share) * (1 if higher_is_better else -1),
        why=why,
    )
    return CountResult(deviation=judged, is_recovered=bool(together <= 0), evidence=now.row)
