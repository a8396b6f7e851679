"""Counts on simulated months: how often the detector has a false rollback, and how soon it detects a real drop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.monitoring_rules.tables import bounded, dice, note, quantile, share, table
from bot.domain.monitoring.rules.proportions import CountDetector, build_detector, summarize_counts, update_evidence
from bot.domain.monitoring.rules.time_series import Floats, Ints
from bot.domain.policy.effect_size import MinimumEffect

MINUTES = 1_440
CHUNK = 100
MONTH = 30
HORIZON = 7  # days: a drop that isn't detected by then counts as missed
MIN_EFFECT = MinimumEffect(0.02)
FAIL_AFTER = 2


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What months of counts look like: readings `every` so many minutes, with so many cases `each`, of which `bad` are.

    `is_random`: cases arrive as in a Poisson process. `alike` is the correlation of neighboring cases, where a reading
    is one case (a Markov chain). `wander` is the standard deviation of the share of bad cases from one reading to the
    next, an AR(1) series of correlation `phi`; `season` is how far its daily swing goes to each side, `weekend` by how
    much it's higher on Saturdays and Sundays. `days` is how long the baseline is.
    """

    every: int
    each: float
    bad: float
    worse: float  # the share of bad cases after a drop
    higher_is_better: bool = True
    is_random: bool = False
    alike: float = 0.0
    wander: float = 0.0
    phi: float = 0.7
    season: float = 0.0
    weekend: float = 0.0
    days: int = 7

    @property
    def per_day(self) -> int:
        """Return the number of readings per day."""
        return MINUTES // self.every


@dataclass(frozen=True)
class Played:
    """Counts of bad cases and of all, (months, readings); all begin at midnight, and some day of the week."""

    bad: Floats
    total: Floats
    rest: Floats  # (readings): 1 on weekends


def play(traffic: Traffic, rng: np.random.Generator, months: int, days: int, drop: Ints | None = None) -> Played:
    """Return this many months of this many days; from the reading `drop` (months) on, as many are bad as after it."""
    size = days * traffic.per_day
    at = np.arange(size)
    rest = (at // traffic.per_day % 7 >= 5).astype(np.float64)
    share = np.full((months, size), traffic.bad) + traffic.weekend * rest
    if traffic.season:
        share += traffic.season * np.sin(2 * np.pi * (at / traffic.per_day + rng.random((months, 1))))
    if traffic.wander:
        share += _wander(traffic, rng, months, size)
    if drop is not None:
        share += (traffic.worse - traffic.bad) * (at >= drop[:, None])
    share = np.clip(share, 0, 1)
    total = rng.poisson(traffic.each, share.shape) if traffic.is_random else np.full(share.shape, round(traffic.each))
    bad = _chain(traffic, rng, share) if traffic.alike else rng.binomial(total, share)
    return Played(bad.astype(np.float64), total.astype(np.float64), rest)


def _wander(traffic: Traffic, rng: np.random.Generator, months: int, size: int) -> Floats:
    shocks = rng.standard_normal((size, months)) * traffic.wander
    shocks[1:] *= (1 - traffic.phi**2) ** 0.5
    for at in range(1, size):
        shocks[at] += traffic.phi * shocks[at - 1]
    return shocks.T


def _chain(traffic: Traffic, rng: np.random.Generator, share: Floats) -> Floats:
    dice, found = rng.random(share.shape), np.empty(share.shape)
    found[:, 0] = dice[:, 0] < share[:, 0]
    for at in range(1, share.shape[1]):
        found[:, at] = dice[:, at] < (1 - traffic.alike) * share[:, at] + traffic.alike * found[:, at - 1]
    return found


def detector_of(traffic: Traffic, before: Played) -> CountDetector:
    """Return the detector for these baselines."""
    day = np.arange(before.bad.shape[1]) // traffic.per_day
    found = summarize_counts(before.bad, before.total, day, before.rest)
    value = 1 - found.share if traffic.higher_is_better else found.share
    return build_detector(
        found.share,
        found.trials,
        dispersion=found.dispersion,
        distance=MIN_EFFECT.absolute_distance(value),
        readings=(before.total > 0).sum(axis=-1),
        days=traffic.days,
        fail_after=FAIL_AFTER,
    )


def acts(by: CountDetector, live: Played) -> Floats:
    """Return the index of the reading at which each month's monitor fails; infinite if it never does."""
    evidence, first = np.zeros(by.bad_case_gain.shape), np.full(len(live.bad), np.inf)
    for at in range(live.bad.shape[1]):
        there = live.total[:, at] > 0
        after, together = update_evidence(evidence, live.bad[:, at], live.total[:, at], by)
        evidence = np.where(there[:, None], after, evidence)
        first = np.where(there & (together >= by.threshold) & np.isinf(first), at, first)
    return first


def false_months(traffic: Traffic, months: int, seed: int) -> int:
    """Return in how many months it acts although nothing is wrong."""
    found = 0
    for rng, some in _chunks(months, seed):
        by = detector_of(traffic, play(traffic, rng, some, traffic.days))
        found += int(np.isfinite(acts(by, play(traffic, rng, some, MONTH))).sum())
    return found


def hours_to_catch(traffic: Traffic, runs: int, seed: int, day: int = 3) -> Floats:
    """Return the hours from each lasting drop, at any reading of a day, to the act; infinite where it isn't seen.

    What has acted before the drop hasn't seen it.
    """
    found = []
    for rng, some in _chunks(runs, seed):
        by = detector_of(traffic, play(traffic, rng, some, traffic.days))
        drop = rng.integers(day * traffic.per_day, (day + 1) * traffic.per_day, some)
        after = acts(by, play(traffic, rng, some, day + 1 + HORIZON, drop)) - drop + 1
        found.append(np.where((after > 0) & (after <= HORIZON * traffic.per_day), after * traffic.every / 60, np.inf))
    return np.concatenate(found)


def _chunks(months: int, seed: int) -> list[tuple[np.random.Generator, int]]:
    return [(np.random.default_rng([seed, at]), min(CHUNK, months - at)) for at in range(0, months, CHUNK)]


# -- the page ----------------------------------------------------------------------------------------------------------

HUNDRED = Traffic(every=60, each=100 / 24, bad=0.1, worse=0.28, is_random=True)
KINDS: dict[str, Traffic] = {
    "100 requests a day, 10% wrong, read every hour; then 28%": HUNDRED,
    "the same, a baseline of 21 days": replace(HUNDRED, days=21),
    "the same, read every 5 minutes": replace(HUNDRED, every=5, each=100 / 288, days=21),
    "the same, weekends 3 points worse": replace(HUNDRED, days=21, weekend=0.03),
    "100 requests every 5 minutes, 0.1% errors; then 0.3%": Traffic(
        every=5, each=100, bad=0.001, worse=0.003, higher_is_better=False
    ),
    "1,000 requests every 5 minutes, 10% wrong; then 14.5%": Traffic(every=5, each=1_000, bad=0.1, worse=0.145),
    "the same, a wandering share (φ = 0.7, sd 0.95 points)": Traffic(
        every=5, each=1_000, bad=0.1, worse=0.145, wander=0.0095
    ),
    "the same, a daily swing of 0.8 points": Traffic(every=5, each=1_000, bad=0.1, worse=0.145, season=0.008),
    "one case every 30 minutes, 15% wrong, correlated neighbors (0.2); then 43%": Traffic(
        every=30, each=1, bad=0.15, worse=0.43, alike=0.2, days=21
    ),
    "one case every 30 minutes, 20% wrong, correlated neighbors (0.3); then 46%": Traffic(
        every=30, each=1, bad=0.2, worse=0.464, alike=0.3, days=21
    ),
}


def counts_table(months: int, seed: int, *, runs: int = 400) -> str:
    """Return the table of the detector alone on months of counts: without blocks and the scan."""
    rows = []
    for at, (kind, traffic) in enumerate(KINDS.items()):
        false, found = false_months(traffic, months, seed + 100 + at), hours_to_catch(traffic, runs, seed + 120 + at)
        hours = [quantile(found, part) for part in (0.5, 0.9)]
        rows.append(
            [
                kind,
                bounded(false, months),
                share(int(np.isfinite(found).sum()), runs),
                " / ".join(f"{each:,.1f}" if np.isfinite(each) else "> 7d" for each in hours),
            ]
        )
        note(f"counts: {rows[-1]}")
    said = (
        f"{dice(seed)}, {months:,} months of each kind with a baseline of 7 days unless stated otherwise, and {runs} "
        "drops at a random reading of the fourth day; hours, median / 90th percentile:"
    )
    return f"{said}\n\n{table(['counts', 'false rollbacks', 'detected within 7 days', 'hours'], rows)}"
