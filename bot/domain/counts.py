"""Counts: how many of how many were bad, and what that's evidence of. Pure; nothing here reads a clock.

Where a reading is a handful of cases, its share says next to nothing, and the middle one of twelve such shares says
nothing at all. Here every single case counts. A detector bets on each one being bad, at odds that are fair as long as
no more are bad than the baseline allows. Its capital is the evidence that more are: it's multiplied by a thousand once
in a thousand tries at most, whenever and however often one looks (Waudby-Smith and Ramdas 2024; Ramdas, Grünwald, Vovk
and Shafer 2023). Capital below 1 is made 1 again, which makes it an e-detector: it looks for a change at any time, and
a threshold c is passed once in c tries at most, on average (Shin, Ramdas and Rinaldo 2023).

The functions take any number of series at once: series lie along the first axes, so that `make bench-rules` plays
thousands of months through them. docs/decisions/0038-counts.md has what else was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import exp, nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bot.domain.baselines import FAR, NORMAL, Baseline, Floats, Ints, Points, corrected, median, ratio
from bot.domain.effects import Effect
from bot.domain.numbers import number
from bot.domain.rules import Judged
from bot.domain.text import say

ODDS = (1.5, 2.2, 3.3)  # what is bet on: the odds of a bad case are so many times what the null allows
SURE = 2.0  # standard errors of the baseline's share that the null allows for
SHRUNK = 2.0  # so many squared standard errors are taken from what seems to be overdispersion
FEWEST = 7  # blocks that say how dispersed counts are
MONTHS = 48.0  # between two false alarms where as many are bad as the null just allows, or so
DAYS_OF_MONTH = 30.0
LEAST = 1_000.0  # what evidence must reach, however rarely anything is bad


# -- the baseline ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a baseline's counts were like. Several series: (…)."""

    share: Floats  # k of n, over all readings
    trials: Floats  # n, over all readings
    dispersion: Floats  # how many times the variance of independent cases theirs is, in the long run; at least 1
    each: Floats  # n of the usual reading


def counted(count: Floats, total: Floats, day: Ints, rest: npt.ArrayLike = 0.0) -> Counted:
    """Return what counts of so many of so many, (…, readings), were like; oldest first, without empty readings.

    `day` (readings) numbers their days from 0, and `rest` (readings) says which are on a weekend. Days far from the
    others are pulled in (`steady`), those of weekends among themselves.
    """
    rest = np.broadcast_to(np.asarray(rest, dtype=np.float64), day.shape)
    for free in (0.0, 1.0):
        some = rest == free
        if some.any():
            count = count.copy()
            count[..., some] = steady(count[..., some], total[..., some], np.unique(day[some], return_inverse=True)[1])
    share = ratio(count.sum(axis=-1), total.sum(axis=-1))
    return Counted(share=share, trials=total.sum(axis=-1), dispersion=dispersion(count, total, share),
                   each=median(np.where(total > 0, total, nan), -1))  # fmt: skip


def with_counts(baseline: Baseline, points: Points) -> Baseline:
    """Return a baseline that also has what its readings counted, if they did: `points`, with or without totals."""
    some = counts_of(points)
    if some is None:
        return baseline
    day = np.floor((some.at - some.at[0]) / baseline.day).astype(np.int64)
    found = counted(some.count, some.total, day, baseline.rest(some.at))
    return replace(baseline, share=found.share.item(), trials=found.trials.item(), each=found.each.item(),
                   dispersion=found.dispersion.item(), counted=float(len(some.at)))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Some:
    """Readings that counted something: `count` of `total` at a time, in seconds. All are (readings)."""

    at: Floats
    count: Floats
    total: Floats


def counts_of(points: Points) -> Some | None:
    """Return the readings that are counts, without empty ones; None where there are none.

    Readings without a total that are all 0 or 1, and some of both, are single cases.
    """
    total = points.total
    if total is None:
        is_single = np.isin(points.value, (0.0, 1.0)).all() and np.unique(points.value).size == 2
        return Some(points.at, points.value, np.ones(len(points))) if is_single else None
    there = (total > 0) & (points.value >= 0) & (points.value <= 1)
    if not there.any():
        return None
    return Some(points.at[there], (points.value * total)[there], total[there])


def steady(count: Floats, total: Floats, day: Ints) -> Floats:
    """Return counts with incidents pulled in: winsorized by day.

    A day's count beyond `FAR` robust standard deviations of what the middle half of the days lets expect counts as if
    it were just there. The bound is Wilson's, which holds for a handful of cases, too: μ + √(w(μ(1−p) + w/4)) + w/2
    with w = `FAR`² times the dispersion; and the same for what is left of the total. Of fewer than four days, none is
    pulled in.
    """
    days = int(np.max(day, initial=-1)) + 1
    if days < 4:
        return count
    member = (day[:, None] == np.arange(days)).astype(np.float64)
    k, n = count @ member, total @ member
    order = np.argsort(np.where(n > 0, ratio(k, n), np.inf), axis=-1)[..., days // 4 : days - days // 4]
    share = ratio(*(np.take_along_axis(some, order, -1).sum(axis=-1) for some in (k, n)))[..., None]
    spread = NORMAL * median(np.abs(ratio(k - n * share, np.sqrt(n * share * (1 - share)))), -1)
    wide = FAR**2 * np.maximum(np.nan_to_num(spread, posinf=1.0), 1.0)[..., None] ** 2
    most = n * share + np.sqrt(wide * (n * share * (1 - share) + wide / 4)) + wide / 2
    left = n * (1 - share) + np.sqrt(wide * (n * share * (1 - share) + wide / 4)) + wide / 2
    fewer = np.where(k > most, ratio(most, k), 1.0) @ member.T
    more = np.where(n - k > left, ratio(left, n - k), 1.0) @ member.T
    found: Floats = total - (total - count * fewer) * more
    return found


def dispersion(count: Floats, total: Floats, share: Floats) -> Floats:
    """Return how many times the variance of independent cases that of counts is in the long run: (…), at least 1.

    Errors come in clusters, and a share wanders. That's measured in blocks of 1, 2, 4, … consecutive readings while
    there are `FEWEST`: Σ(k−np)² ÷ Σnp(1−p). In single readings, times (1+φ)/(1−φ), with φ the correlation of neighbors:
    blocks that are long enough are few. The largest is taken. Of each, what chance explains is taken away: x·(1 −
    `SHRUNK`·se²/x²) remains of an excess x, nothing where that's below 0 (the positive part of James and Stein). If
    nothing were, counts of independent cases would nearly always seem dispersed, and be judged later.
    """
    apart, whole = count - total * share[..., None], total
    variance, rarer = share * (1 - share), np.minimum(share, 1 - share)
    found = np.ones(share.shape)
    while apart.shape[-1] >= FEWEST:
        blocks = apart.shape[-1]
        trials = whole.sum(axis=-1)
        excess = ratio((apart**2).sum(axis=-1), variance * trials * (1 - 1 / blocks)) - 1
        excess = _shrunk(excess, np.sqrt((2 + ratio(blocks, trials * rarer)) / blocks))
        if whole is total:
            phi = ratio((apart[..., 1:] * apart[..., :-1]).sum(axis=-1), (apart**2).sum(axis=-1))
            phi = _shrunk(corrected(phi, blocks), np.full(share.shape, blocks**-0.5))
            found = np.fmax(found, (1 + excess) * (1 + phi) / (1 - phi))
        found = np.fmax(found, 1 + excess)
        even = blocks // 2 * 2
        apart, whole = (some[..., :even].reshape(*some.shape[:-1], -1, 2).sum(axis=-1) for some in (apart, whole))
    return found


def _shrunk(excess: Floats, error: Floats) -> Floats:
    found: Floats = np.where(excess > 0, excess * np.maximum(1 - SHRUNK * ratio(error, excess) ** 2, 0.0), 0.0)
    return found


# -- the detector ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Bets against a share of bad cases. Several series: (…)."""

    null: Floats  # the largest share of bad cases that's no evidence
    lost: Floats  # (…, bets): what a bad case adds to the log evidence
    won: Floats  # (…, bets): what a good case does; below 0
    enough: Floats  # log evidence at which it acts
    most: Floats  # log evidence that one reading can add


def detector(
    usual: npt.ArrayLike, trials: npt.ArrayLike, *, dispersion: npt.ArrayLike, distance: npt.ArrayLike,
    readings: npt.ArrayLike, days: float, fail_after: int,
) -> Detector:  # fmt: skip
    """Return the bets against `usual`, a share of bad cases of so many trials, being worse by more than `distance`.

    The null is the larger of usual + distance and the upper bound of Wilson's interval at `SURE` standard errors, of
    trials ÷ dispersion independent cases. Each bet is a likelihood ratio against one of the `ODDS`; counts are divided
    by their dispersion (quasi-likelihood).

    It tries as often as there are readings, or bad cases if there are fewer, and takes as much evidence as there are
    tries in `MONTHS` months, at least `LEAST`. `readings` is how many there were in the `days` of the baseline. One
    reading adds so little that it takes `fail_after` of them. Where nothing can be worse by so much, the null is 1 or
    more, and the bets are NaN.
    """
    p, spread = np.asarray(usual, dtype=np.float64), np.asarray(dispersion, dtype=np.float64)
    half = ratio(SURE**2 * spread, 2 * np.asarray(trials, dtype=np.float64))
    highest = (p + half + np.sqrt(2 * half * p * (1 - p) + half**2)) / (1 + 2 * half)
    null = np.maximum(p + np.asarray(distance, dtype=np.float64), highest)
    tries = np.minimum(readings, null * np.asarray(trials, dtype=np.float64)) / days
    odds = ratio(null, 1 - null)[..., None] * np.array(ODDS)
    bet = ratio(odds, 1 + odds)
    enough = np.log(np.maximum(MONTHS * DAYS_OF_MONTH * tries, LEAST))
    return Detector(
        null=null, lost=np.log(np.where(bet > 0, ratio(bet, null[..., None]), nan)) / spread[..., None],
        won=np.log(np.where(bet < 1, ratio(1 - bet, 1 - null[..., None]), nan)) / spread[..., None],
        enough=enough, most=enough / fail_after,
    )  # fmt: skip


def gathered(evidence: Floats, bad: Floats, total: Floats, by: Detector) -> tuple[Floats, Floats]:
    """Return the log evidence of each bet, (…, bets), after one more reading, and that of all together, (…).

    All together is the mean of the bets, which started alike. What it has beyond what it takes is taken from every bet:
    else the end of a failure would be seen the later, the longer it has lasted.
    """
    gains = bad[..., None] * by.lost + (total - bad)[..., None] * by.won
    after = np.maximum(evidence, 0.0) + np.minimum(gains, by.most[..., None])
    top = after.max(axis=-1)
    together = top + np.log(np.exp(after - top[..., None]).mean(axis=-1))
    return after - np.maximum(together - by.enough, 0.0)[..., None], together


# -- one monitor -------------------------------------------------------------------------------------------------------


class Gathered(NamedTuple):
    """What one monitor has gathered, as the ledger keeps it: numbers in a row."""

    bets: tuple[float, ...]  # the log evidence of each
    k: float  # so many
    n: float  # of so many
    since: float  # since when, in seconds: the first reading since there was no evidence

    @classmethod
    def of(cls, row: Sequence[float] | None, at: float) -> Gathered:
        """Return what's in a row; what begins at `at` where nothing is, or nothing that these bets gathered."""
        *bets, k, n, since = row if row is not None and len(row) == len(ODDS) + 3 else (0.0,) * (len(ODDS) + 3)
        if max(bets) <= 0:
            return cls((0.0,) * len(ODDS), 0.0, 0.0, at)
        return cls(tuple(bets), k, n, since)

    @property
    def row(self) -> tuple[float, ...]:
        """The same as numbers in a row."""
        return *self.bets, self.k, self.n, self.since


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a check's count came to, and what has been gathered with it."""

    judged: Judged
    is_recovered: bool  # nothing is left of the evidence
    evidence: tuple[float, ...] | None  # as `Gathered.row`


def weigh(
    value: float, total: float | None, at: float, before: Sequence[float] | None, baseline: Baseline, *,
    higher_is_better: bool, effect: Effect, fail_after: int,
) -> Weighed | None:  # fmt: skip
    """Judge a reading of `total` cases, a share `value` of which were counted, with what was gathered `before`.

    None where this reading, or those of the baseline, are no counts. It's worse where the evidence has passed what it
    takes, which needs `fail_after` readings. It can't be told where nothing can be worse by `effect`.
    """
    if not baseline.is_counted or (total is None and baseline.each > 1) or not 0 <= value <= 1:
        return None
    cases = 1.0 if total is None else total
    usual = 1 - baseline.share if higher_is_better else baseline.share
    by = detector(
        usual, baseline.trials, dispersion=baseline.dispersion, distance=effect.distance(baseline.share),
        readings=baseline.counted, days=max(baseline.covers / baseline.day, 1.0),
        fail_after=fail_after,
    )  # fmt: skip
    if not by.null < 1:
        why = say("The baseline has {usual}, and nothing is worse than that by {effect}. Set a smaller effect.",
                  usual=number(baseline.share), effect=str(effect))  # fmt: skip
        return Weighed(judged=Judged(is_worse=None, value=value, bound=nan, why=why), is_recovered=True, evidence=None)
    had = Gathered.of(before, at)
    bad = (1 - value if higher_is_better else value) * cases
    bets, together = gathered(np.array(had.bets), np.array(bad), np.array(cases), by)
    now = Gathered(tuple(bets.tolist()), had.k + value * cases, had.n + cases, had.since)
    failed, share = bool(together >= by.enough), now.k / now.n
    why = say("{count} of {total} since {since} is {share}, where {usual} is usual. The evidence that it's worse is "
              "{evidence}; {enough} is enough.", count=number(now.k), total=number(now.n),
              since=datetime.fromtimestamp(now.since, UTC), share=number(share), usual=number(baseline.share),
              evidence=number(round(exp(max(together.item(), 0.0)))), enough=number(round(exp(by.enough.item()))),
              )  # fmt: skip
    judged = Judged(
        is_worse=failed, value=share, bound=(1 - by.null if higher_is_better else by.null).item(),
        expected=baseline.share, gap=(baseline.share - share) * (1 if higher_is_better else -1), why=why,
    )  # fmt: skip
    return Weighed(judged=judged, is_recovered=bool(together <= 0), evidence=now.row)
