"""The monitor's rules on simulated months: how often each fires without a cause, and how soon it sees a real drop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.tables import bounded
from benchmarks.tables import dice as _dice
from benchmarks.tables import minutes as _minutes
from benchmarks.tables import note as _note
from benchmarks.tables import share as _share
from benchmarks.tables import table as _table
from bot.domain.monitoring.rules.baseline_summary import estimate_baseline, estimate_weekend_effect, summarize
from bot.domain.monitoring.rules.baselines import MIN_BLOCK_FILL, Baseline, BaselineArrays
from bot.domain.monitoring.rules.evaluation import BLOCK_CONFIRMATION
from bot.domain.monitoring.rules.scans import scan_lengths
from bot.domain.monitoring.rules.statistics import (
    MIN_READINGS,
    block_limits,
    confidence_margin,
    confidence_radius,
    judge_block,
)
from bot.domain.monitoring.rules.time_series import Floats, TimeSeries, debias_correlation, long_run_deviation
from bot.domain.policy.effect_size import MinimumEffect

SEED = 20_260_504
MEAN, SD = 0.90, 0.0095  # of an accuracy that is measured every five minutes
EVERY = 5  # minutes
HOUR, DAY = 12, 288  # readings
WEEK, MONTH = 7 * DAY, 30 * DAY
CHUNK = 100  # months that are played at once: as many as fit in the processor's cache
HORIZON = 3 * DAY  # a drop that nobody sees for so long was not seen
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
    season: float = 0.0  # how far the day's swing goes to each side, in the unit of the metric
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
        """Return the part of the labels that is there when a reading is taken: half of them come within 14 minutes."""
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
        """Tell which days since the promotion are a weekend: (months, days)."""
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


# -- the rules ---------------------------------------------------------------------------------------------------------

Rule = Callable[[Months], Bools]  # (months, readings): it acts once that reading was taken


def blocks_rule(window: int = HOUR, times: int = 2, *, by_mean: bool = False, gross: float = 0.0) -> Rule:
    """Return the rule that Registrar ships: blocks of so many readings, so many in a row.

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
    """Tell which blocks are worse, or worse by `factor` times what it takes."""
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
    """Return the means of what is there; 0 where nothing is."""
    found: Floats = np.nansum(values, axis=-1) / np.maximum((~np.isnan(values)).sum(axis=-1), 1)
    return found


def _middles(cut: Floats, counts: npt.NDArray[np.intp]) -> Floats:
    """Return the medians of what is there: sorting moves NaN to the end."""
    ordered = np.sort(cut, axis=-1)
    sides = [
        np.take_along_axis(ordered, np.maximum(at, 0)[..., None], -1)
        for at in ((counts - 1) // 2, counts // 2 - (counts == 0))
    ]
    found: Floats = (sides[0] + sides[1])[..., 0] / 2
    return found


def baseline_of(months: Months, window: int) -> BaselineArrays:
    """Return what the baselines say of blocks of so many readings."""
    count, readings = len(months.baseline), months.baseline.shape[1]
    hours = months.baseline.reshape(count, -1, DAY // HOUR, HOUR).mean(axis=-1)
    rest = np.broadcast_to(months.rest[:, : readings // DAY, None], hours.shape)
    weekend = estimate_weekend_effect(hours, rest)
    level = months.baseline - weekend.offset[:, None] * np.repeat(rest[:, :, 0], DAY, axis=1)
    grid = level.reshape(count, -1, DAY // window, window).mean(axis=-1)
    cells = np.arange(readings) // window
    return estimate_baseline(grid, reach=round(HOUR / window), points=level, cells=cells, size=window, weekend=weekend)


def scan_rule(months: Months) -> Bools:
    """Tell as of which readings the scan finds a worse mean: through the shipped function, month by month."""
    return np.array([_scan(months, month) for month in range(len(months.live))])


def _scan(months: Months, month: int) -> Bools:
    some, there, summary = _summarized(months, month)
    found = np.zeros(len(there), dtype=np.bool_)
    for one in scan_lengths(some, summary, higher_is_better=True, effect=MIN_EFFECT, sigma=SIGMA):
        found[there] |= one.is_worse
    return found


def _summarized(months: Months, month: int) -> tuple[TimeSeries, Bools, Baseline]:
    """Return a month's readings, which of them are there, and the shipped summary of its baseline."""
    baseline, live = points_of(months, month)
    there = ~np.isnan(live.value)
    summary = summarize(baseline, start=float(live.at[0]), window=HOUR * EVERY * 60, history=7 * 86_400)
    return TimeSeries(live.at[there], live.value[there]), there, summary


def confirmed_blocks(months: Months) -> Bools:
    """Tell which blocks are worse, and are confirmed by what their single readings add."""
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
    """Tell when `default` acts: at its second failure in a row, of the scan's and of the blocks' taken together."""
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
    """Tell when `sequential` acts, which is at its second verdict in a row."""
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


# Those that are not shipped.


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
    """Tell which readings are 2% worse than the baseline's mean."""
    return np.asarray(
        months.live < (1 - MIN_EFFECT.amount) * months.baseline.mean(axis=1, keepdims=True), dtype=np.bool_
    )


def three_of_five(months: Months) -> Bools:
    """Tell when three of the last five readings were 2% worse."""
    sums = np.cumsum(single(months), axis=1)
    sums[:, 5:] = sums[:, 5:] - sums[:, :-5]
    return np.asarray(sums >= 3, dtype=np.bool_)


def sliding(months: Months) -> Bools:
    """Tell when the mean of the last hour was 2% worse at three checks in a row."""
    sums = np.cumsum(months.live, axis=1)
    means = np.full(sums.shape, np.nan)
    means[:, HOUR - 1] = sums[:, HOUR - 1] / HOUR
    means[:, HOUR:] = (sums[:, HOUR:] - sums[:, :-HOUR]) / HOUR
    return in_a_row(means < (1 - MIN_EFFECT.amount) * months.baseline.mean(axis=1, keepdims=True), 3)


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


# -- playing -----------------------------------------------------------------------------------------------------------


def false_months(world: World, rules: Mapping[str, Rule], months: int, seed: int) -> dict[str, int]:
    """Return in how many of so many months each rule acts, with nothing wrong."""
    acted = dict.fromkeys(rules, 0)
    for rng, some in chunks(months, seed):
        played = play(world, rng, some, MONTH)
        for name, rule in rules.items():
            acted[name] += int(rule(played).any(axis=1).sum())
    return acted


def minutes_to_catch(
    world: World, rules: Mapping[str, Rule], drop: float, runs: int, seed: int, *, day: int | None, spread: int = 1
) -> dict[str, Floats]:
    """Return the minutes from each lasting drop to the act; infinite where it isn't seen within the horizon.

    The drop comes with the first reading (bad versions are bad at once) where `day` is None; else at any time of that
    day after the promotion, or of one of so many days as `spread` says.
    """
    taken: dict[str, list[Floats]] = {name: [] for name in rules}
    for rng, some in chunks(runs, seed):
        before = (day or 0) * DAY
        played = play(world, rng, some, before + (0 if day is None else spread * DAY) + HORIZON)
        begins = before + (np.zeros(some, dtype=np.int64) if day is None else rng.integers(0, spread * DAY, some))
        after = np.arange(played.live.shape[1]) >= begins[:, None]
        dropped = replace(played, live=played.live - drop * MEAN * after)
        for name, rule in rules.items():
            passed = (first_acts(rule, dropped, begins) - begins + 1) * EVERY
            taken[name].append(np.where(passed <= HORIZON * EVERY, passed + world.delay, np.inf))
    return {name: np.concatenate(each) for name, each in taken.items()}


def first_acts(
    rule: Rule, months: Months, begins: npt.NDArray[np.int64], *, horizons: Iterable[int] = (DAY // 2, HORIZON)
) -> Floats:
    """Return the reading at which the rule acts first, of those from `begins` (months) on; infinite where it doesn't.

    A rule looks back only, and takes longest where everything is worse. So months are played until so many readings
    after the day of `begins`, and those in which it hasn't acted until the next horizon.
    """
    found = np.full(len(begins), np.inf)
    for day in np.unique(begins // DAY).tolist():
        left = np.flatnonzero(begins // DAY == day)
        for horizon in horizons:
            length = (day + 1) * DAY + horizon
            some = Months(months.baseline[left], months.live[left, :length], months.rest[left])
            acts = rule(some) & (np.arange(some.live.shape[1]) >= begins[left, None])
            seen = acts.any(axis=1)
            found[left[seen]] = acts.argmax(axis=1)[seen]
            left = left[~seen]
            if not len(left):
                break
    return found


def chunks(months: int, seed: int) -> Iterable[tuple[np.random.Generator, int]]:
    """Yield how many months to play at once, each chunk with dice of its own: a run of fewer is a part of a longer."""
    for at in range(0, months, CHUNK):
        yield np.random.default_rng([seed, at]), min(CHUNK, months - at)


# -- the tables --------------------------------------------------------------------------------------------------------

SHIPPED: dict[str, Rule] = {
    "**`default`**": default_rule,
    "**`blocks`**": blocks_rule(),
    "**`sequential`**": sequential_rule,
}
OTHERS: dict[str, Rule] = {
    "2% worse, one check": single,
    "2% worse, three in a row": lambda months: in_a_row(single(months), 3),
    "2% worse, three of five": three_of_five,
    "mean of the last hour 2% worse, three in a row": sliding,
    "confidence sequence, readings taken as independent": plain_sequence(widened=False),
    "the same, widened, the baseline's mean taken as the truth": plain_sequence(widened=True),
}
CHOICES: dict[str, Rule] = {
    "`default`": default_rule,
    "`blocks`": blocks_rule(),
    "`blocks`, `fail_after: 3`": blocks_rule(times=3),
    "`blocks`, `window: 30m`": blocks_rule(HOUR // 2),
    "`blocks`, `window: 30m`, `fail_after: 3`": blocks_rule(HOUR // 2, 3),
    "`sequential`": sequential_rule,
    "`hard_limit` 5% below the mean": hard_limit(0.05),
    "`hard_limit` 10% below the mean": hard_limit(0.10),
    "not shipped: `blocks` by the mean alone": blocks_rule(by_mean=True),
    "not shipped: `blocks`, and 1.75 × both acts alone": blocks_rule(gross=1.75),
}
KINDS: dict[str, World] = {
    "plain": World(0),
    "daily swing": World(0, season=0.008),
    "heavy tails (t, 4)": World(0, tails=4),
    "heavy tails (t, 3)": World(0, tails=3),
    "late labels": World(0, delay=30),
    "all together": World(0, season=0.008, tails=3, delay=30),
}
PHIS = (0.0, 0.7, 0.9)
WEEKS: dict[str, tuple[World, int, int]] = {  # with the day of the drop, and over how many days it's spread
    "a baseline of 7 days": (World(0.7), 7, 7),
    "a baseline of 21 days": (World(0.7, days=21), 7, 7),
    "21 days; the drop comes on day 33": (World(0.7, days=21), 33, 1),
    "21 days; weekends 1 point lower": (World(0.7, days=21, weekend=0.01), 7, 7),
    "21 days; weekends 3 points lower": (World(0.7, days=21, weekend=0.03), 7, 7),
    "7 days; weekends 3 points lower": (World(0.7, weekend=0.03), 7, 7),
    "7 days, one of them with 4 hours at −10%": (World(0.7, incident=4), 7, 7),
    "21 days, one of them with 4 hours at −10%": (World(0.7, days=21, incident=4), 7, 7),
}
RUNS = 400  # of each drop, and of the months of the first table


def first_table(seed: int) -> str:
    """Return the table that the defaults were chosen by, of these rules and of simpler ones."""
    rules = OTHERS | SHIPPED
    false = {phi: false_months(World(phi), rules, RUNS, seed) for phi in (0.0, 0.7)}
    _note("first table: months without a cause are played")
    caught = {
        (day, drop): minutes_to_catch(World(0.7), rules, drop, RUNS, seed + 1, day=day)
        for day in (None, 7)
        for drop in DROPS
    }
    _note("first table: drops are played")
    head = ["rule", "acts in a month without a cause, φ = 0", "φ = 0.7"]
    head += [f"{100 * drop:g}% {when}" for when in ("with the promotion", "a week later") for drop in DROPS]
    rows = [
        [name, *(_share(false[phi][name], RUNS) for phi in false), *(_minutes(each[name]) for each in caught.values())]
        for name in rules
    ]
    said = f"{_dice(seed)}, {RUNS} months or drops for each figure; drops at φ = 0.7, median minutes:"
    return f"{said}\n\n{_table(head, rows)}"


def harder_tables(months: int, seed: int) -> str:
    """Return what `blocks` and `sequential` do in harder months; the default has a table of its own, with its aims."""
    rows = []
    rules = {"blocks": blocks_rule(), "sequential": sequential_rule}
    for phi in PHIS:
        for at, (kind, of) in enumerate(KINDS.items()):
            world = replace(of, phi=phi)
            false = false_months(world, rules, months, seed + 10 + at)
            caught = {
                (day, drop): minutes_to_catch(world, rules, drop, RUNS, seed + 20 + at, day=day)
                for drop in (0.05, 0.03)
                for day in (None, 7)
            }
            times = [
                f"{_minutes(caught[None, drop][rule])} · {_minutes(caught[7, drop][rule])}"
                for rule in rules
                for drop in (0.05, 0.03)
            ]
            rows.append([f"{phi:g}", kind, *(bounded(false[rule], months) for rule in rules), *times])
            _note(f"harder months: φ = {phi:g}, {kind}: {false}")
    head = ["φ", "months", *(f"`{rule}` acts without a cause" for rule in rules)]
    head += [f"`{rule}` sees {drop}" for rule in rules for drop in ("5%", "3%")]
    said = (
        f"{_dice(seed)}, {months:,} months of each kind, {RUNS} drops for each time. Times are median minutes: a drop "
        "that comes with the promotion · one at any time of the eighth day."
    )
    return f"{said}\n\n{_table(head, rows)}"


def weeks_table(months: int, seed: int) -> str:
    """Return what `default` and `blocks` do where weeks have a shape, long after a promotion, after an incident."""
    rows, rules = [], {"default": default_rule, "blocks": blocks_rule()}
    for at, (kind, (world, day, spread)) in enumerate(WEEKS.items()):
        false = false_months(world, rules, months, seed + 50 + at)
        row = [kind, *(bounded(false[rule], months) for rule in rules)]
        for drop in (0.05, 0.10):
            found = minutes_to_catch(world, rules, drop, RUNS, seed + 60 + at, day=day, spread=spread)
            row += [f"{_minutes(found[rule])} / {_minutes(found[rule], 0.9)}" for rule in rules]
        rows.append(row)
        _note(f"weeks: {row}")
    head = ["at φ = 0.7", *(f"`{rule}` acts without a cause" for rule in rules)]
    head += [f"`{rule}` sees {drop}" for drop in ("5%", "10%") for rule in rules]
    said = (
        f"{_dice(seed)}, {months:,} months of each kind, and {RUNS} drops at a random minute; minutes, median / nine "
        "in ten:"
    )
    return f"{said}\n\n{_table(head, rows)}"


def choices_table(months: int, seed: int) -> str:
    """Return what other settings of the same rules cost and win, in plain months and in the hardest."""
    worlds = {
        "plain, φ = 0.7": World(0.7),
        "all, φ = 0.7": replace(KINDS["all together"], phi=0.7),
        "all, φ = 0.9": replace(KINDS["all together"], phi=0.9),
    }
    false, caught = {}, {}
    for at, (kind, world) in enumerate(worlds.items()):
        false[kind] = false_months(world, CHOICES, months, seed + 30 + at)
        for drop in (0.05, 0.03):
            caught[kind, drop] = minutes_to_catch(world, CHOICES, drop, RUNS, seed + 40 + at, day=None)
        _note(f"choices: {kind}")
    head = ["rule", *(f"{kind}: acts without a cause" for kind in worlds)]
    head += [f"{kind}: sees 5% · 3%" for kind in worlds]
    rows = [
        [
            name,
            *(bounded(false[kind][name], months) for kind in worlds),
            *(" · ".join(_minutes(caught[kind, drop][name]) for drop in (0.05, 0.03)) for kind in worlds),
        ]
        for name in CHOICES
    ]
    said = f"{_dice(seed)}, {months:,} months and {RUNS} drops, which come with the promotion; median minutes:"
    return f"{said}\n\n{_table(head, rows)}"
