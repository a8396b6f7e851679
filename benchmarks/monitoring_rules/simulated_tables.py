"""The monitor's rules on simulated months: how often each fires without a cause, and how soon it detects a drop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.monitoring_rules.detectors import (
    Rule,
    blocks_rule,
    default_rule,
    hard_limit,
    in_a_row,
    plain_sequence,
    sequential_rule,
    single,
    sliding,
    three_of_five,
)
from benchmarks.monitoring_rules.months import (
    CHUNK,
    DAY,
    DROPS,
    EVERY,
    HORIZON,
    HOUR,
    MEAN,
    MONTH,
    Months,
    World,
    play,
)
from benchmarks.monitoring_rules.tables import bounded
from benchmarks.monitoring_rules.tables import dice as _dice
from benchmarks.monitoring_rules.tables import minutes as _minutes
from benchmarks.monitoring_rules.tables import note as _note
from benchmarks.monitoring_rules.tables import share as _share
from benchmarks.monitoring_rules.tables import table as _table
from bot.domain.monitoring.rules.time_series import Floats

# -- the rules ---------------------------------------------------------------------------------------------------------


# Those that are not shipped.


# -- playing -----------------------------------------------------------------------------------------------------------


def false_months(world: World, rules: Mapping[str, Rule], months: int, seed: int) -> dict[str, int]:
    """Return in how many months each rule acts although nothing is wrong."""
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
    """Yield how many months to simulate at once. Each chunk has its own seed, so short runs are part of longer ones."""
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
    "confidence sequence, assuming independent readings": plain_sequence(widened=False),
    "the same, widened, assuming an exact baseline mean": plain_sequence(widened=True),
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
    """Return the table behind the choice of the defaults, for these rules and simpler ones."""
    rules = OTHERS | SHIPPED
    false = {phi: false_months(World(phi), rules, RUNS, seed) for phi in (0.0, 0.7)}
    _note("first table: months without a cause are played")
    caught = {
        (day, drop): minutes_to_catch(World(0.7), rules, drop, RUNS, seed + 1, day=day)
        for day in (None, 7)
        for drop in DROPS
    }
    _note("first table: drops are played")
    head = ["rule", "months with a false rollback, φ = 0", "φ = 0.7"]
    head += [f"{100 * drop:g}% {when}" for when in ("with the promotion", "a week later") for drop in DROPS]
    rows = [
        [name, *(_share(false[phi][name], RUNS) for phi in false), *(_minutes(each[name]) for each in caught.values())]
        for name in rules
    ]
    said = f"{_dice(seed)}, {RUNS} months or drops for each value; drops at φ = 0.7, median minutes:"
    return f"{said}\n\n{_table(head, rows)}"


def harder_tables(months: int, seed: int) -> str:
    """Return the tables of `blocks` and `sequential` in harder months; the default has its own table, with its aims."""
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
    head = ["φ", "months", *(f"`{rule}`: false rollbacks" for rule in rules)]
    head += [f"`{rule}`: detects {drop}" for rule in rules for drop in ("5%", "3%")]
    said = (
        f"{_dice(seed)}, {months:,} months of each kind, {RUNS} drops for each time. Times are median minutes: a drop "
        "with the promotion · a drop at any time of the eighth day."
    )
    return f"{said}\n\n{_table(head, rows)}"


def weeks_table(months: int, seed: int) -> str:
    """Return the table of `default` and `blocks` for weekly patterns, long after a promotion, and after an incident."""
    rows, rules = [], {"default": default_rule, "blocks": blocks_rule()}
    for at, (kind, (world, day, spread)) in enumerate(WEEKS.items()):
        false = false_months(world, rules, months, seed + 50 + at)
        row = [kind, *(bounded(false[rule], months) for rule in rules)]
        for drop in (0.05, 0.10):
            found = minutes_to_catch(world, rules, drop, RUNS, seed + 60 + at, day=day, spread=spread)
            row += [f"{_minutes(found[rule])} / {_minutes(found[rule], 0.9)}" for rule in rules]
        rows.append(row)
        _note(f"weeks: {row}")
    head = ["at φ = 0.7", *(f"`{rule}`: false rollbacks" for rule in rules)]
    head += [f"`{rule}`: detects {drop}" for drop in ("5%", "10%") for rule in rules]
    said = (
        f"{_dice(seed)}, {months:,} months of each kind, and {RUNS} drops at a random minute; minutes, median / 90th "
        "percentile:"
    )
    return f"{said}\n\n{_table(head, rows)}"


def choices_table(months: int, seed: int) -> str:
    """Return the table of other settings of the same rules, in plain and in the hardest months."""
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
    head = ["rule", *(f"{kind}: false rollbacks" for kind in worlds)]
    head += [f"{kind}: detects 5% · 3%" for kind in worlds]
    rows = [
        [
            name,
            *(bounded(false[kind][name], months) for kind in worlds),
            *(" · ".join(_minutes(caught[kind, drop][name]) for drop in (0.05, 0.03)) for kind in worlds),
        ]
        for name in CHOICES
    ]
    said = f"{_dice(seed)}, {months:,} months and {RUNS} drops with the promotion; median minutes:"
    return f"{said}\n\n{_table(head, rows)}"
