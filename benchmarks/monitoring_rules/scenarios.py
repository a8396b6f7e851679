"""Months of other shapes, slow decay, the aims of the default rule, and its peers on simulated months."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.monitoring_rules import detectors, simulated_tables
from benchmarks.monitoring_rules import months as simulation
from benchmarks.monitoring_rules.detectors import Rule
from benchmarks.monitoring_rules.months import DAY, HOUR, MEAN, MONTH, Months, World, play
from benchmarks.monitoring_rules.peers import (
    PEERS,
    TARGETS,
    Drop,
    Floats,
    Ints,
    Peer,
    Stretch,
    caught,
    false_rate,
    tuned,
)
from benchmarks.monitoring_rules.simulated_tables import false_months, minutes_to_catch
from benchmarks.monitoring_rules.tables import bounded, dice, minutes, most, note, quantile, table

DEFAULT: Rule = detectors.default_rule

# -- months of other shapes --------------------------------------------------------------------------------------------

SHAPES: dict[str, World] = {
    "a different offset each day, sd 0.5 points": World(0.7, days=21, daily=0.005),
    "nights (22 to 6) twice as noisy": World(0.7, days=21, nights=2),
    "k right of 2,000 requests": World(0.7, days=21, of=2_000),
}
DECAYS: dict[str, World] = {
    "plain": World(0.7, days=21),
    "a different offset each day, sd 0.5 points": World(0.7, days=21, daily=0.005),
}
LOSSES = (0.005, 0.01, 0.02)  # of the mean, in a week
DECAYING = 100  # months of each kind
PATIENCE = 60  # days after which an undetected decay counts as missed


def shapes_table(months: int, seed: int, *, runs: int = simulated_tables.RUNS) -> str:
    """Return the table of the default for days, weeks, and nights with a shape that its noise doesn't model."""
    rows = []
    for at, (kind, world) in enumerate(SHAPES.items()):
        false = false_months(world, {"it": DEFAULT}, months, seed + 70 + at)["it"]
        drops = (0.10, 0.05, 0.03)
        found = [
            minutes_to_catch(world, {"it": DEFAULT}, drop, runs, seed + 80 + at, day=7, spread=7)["it"]
            for drop in drops
        ]
        rows.append([kind, bounded(false, months), *(f"{minutes(each)} / {minutes(each, 0.9)}" for each in found)])
        note(f"shapes: {rows[-1]}")
    said = (
        f"{dice(seed)}, φ = 0.7, a baseline of 21 days, {months:,} months of each kind, and {runs} drops at a random "
        "minute of the second week; minutes, median / 90th percentile:"
    )
    return f"{said}\n\n{table(['months', 'false rollbacks', 'detects 10%', '5%', '3%'], rows)}"


def decay_table(seed: int, *, runs: int = DECAYING) -> str:
    """Return the table of days until the default detects a version that gets worse from its first day on."""
    rows = []
    for at, (kind, world) in enumerate(DECAYS.items()):
        row = [kind]
        for loss in LOSSES:
            days = days_to_see(world, DEFAULT, loss, runs, seed + 90 + at)
            medians = [quantile(days, part) for part in (0.5, 0.9)]
            row.append(" / ".join(f"{each:.0f}" if np.isfinite(each) else f"> {PATIENCE}" for each in medians))
        rows.append(row)
    said = f"{dice(seed)}, φ = 0.7, a frozen baseline of 21 days, {runs} months; days, median / 90th percentile:"
    return f"{said}\n\n{table(['months', *(f'loses {100 * loss:g}% a week' for loss in LOSSES)], rows)}"


def days_to_see(world: World, rule: Rule, loss: float, runs: int, seed: int) -> Floats:
    """Return the days until the rule acts on a metric that loses this share of its mean each week; else infinity."""
    taken = []
    for rng, some in simulated_tables.chunks(runs, seed):
        played = play(world, rng, some, PATIENCE * DAY)
        lost = loss * MEAN * np.arange(PATIENCE * DAY) / simulation.WEEK
        worse = replace(played, live=played.live - lost)
        begins = np.zeros(some, dtype=np.int64)
        taken.append(
            (simulated_tables.first_acts(rule, worse, begins, horizons=range(DAY, PATIENCE * DAY, 2 * DAY)) + 1) / DAY
        )
    return np.concatenate(taken)


# -- the aims ----------------------------------------------------------------------------------------------------------

QUIET: dict[str, tuple[World, float]] = {  # with the upper bound of months with an act, per hundred
    **{
        f"{kind}, φ = {phi:g}": (replace(world, phi=phi), 0.2)
        for phi in (0.0, 0.7)
        for kind, world in {
            "plain": World(0),
            "daily swing": World(0, season=0.008),
            "weekends 1 point lower": World(0, days=21, weekend=0.01),
            "weekends 3 points lower": World(0, days=21, weekend=0.03),
            "late labels": World(0, delay=30),
            "k right of 2,000 requests": World(0, of=2_000),
        }.items()
    },
    "heavy tails (t, 3), φ = 0.7": (World(0.7, tails=3), 0.4),
    "heavy tails (t, 3), φ = 0.9": (World(0.9, tails=3), 2.5),
}
SOON: dict[str, tuple[World, dict[float, float]]] = {  # drops on day 33, with the limit for the median, in minutes
    "plain": (World(0.7, days=21), {0.05: 65, 0.10: 35, 0.03: 220}),
    "heavy tails (t, 3)": (World(0.7, days=21, tails=3), {0.05: 65, 0.10: 35, 0.03: 220}),
    "weekends 3 points lower": (World(0.7, days=21, weekend=0.03), {0.05: 65, 0.10: 35, 0.03: 220}),
    "k right of 2,000 requests": (World(0.7, days=21, of=2_000), {0.05: 65, 0.10: 35, 0.03: 220}),
    "one day of the baseline with 4 hours at −10%": (World(0.7, days=21, incident=4), {0.05: 130}),
}
LATE, LATER = World(0.7, days=21, delay=30), 40  # minutes that late labels can add to their delay
LATE_DAY = 33


def aims_tables(months: int, seed: int, *, runs: int = simulated_tables.RUNS) -> str:
    """Return the tables of the default's aims, and whether they're met."""
    rows = []
    for at, (kind, (world, limit)) in enumerate(QUIET.items()):
        false = false_months(world, {"it": DEFAULT}, months, seed + 100 + at)["it"]
        told = _met(100 * most(false, months) <= limit) if 100 * most(0, months) <= limit else "too few months to tell"
        rows.append([kind, f"≤ {limit:g}%", bounded(false, months), told])
        note(f"aims: {rows[-1]}")
    quiet = table(["months", "upper bound on false rollbacks", "false rollbacks", ""], rows)
    rows = []
    for at, (kind, world, drop, limit) in enumerate(_speeds(runs, seed + 140)):
        found = quantile(_on_day(world, drop, runs, seed + 120 + at))
        rows.append([kind, f"{100 * drop:g}%", f"≤ {limit:,.0f}", minutes(found), _met(found <= limit)])
        note(f"aims: {rows[-1]}")
    soon = table(["months, φ = 0.7", "drop", "median minutes", "measured", ""], rows)
    said = (
        f"{dice(seed)}, {months:,} months of each kind. {runs} drops at a random minute of day {LATE_DAY}; late "
        f"labels may add their delay and {LATER} minutes:"
    )
    return "\n\n".join([said, quiet, soon])


def _speeds(runs: int, seed: int) -> Iterator[tuple[str, World, float, float]]:
    """Yield months, a drop, and the minutes that it may take: with late labels, by how long it takes without."""
    for kind, (world, limits) in SOON.items():
        for drop, limit in limits.items():
            yield kind, world, drop, limit
    at_once = quantile(_on_day(replace(LATE, delay=0), 0.05, runs, seed))
    yield "late labels", LATE, 0.05, at_once + LATE.delay + LATER


def _on_day(world: World, drop: float, runs: int, seed: int) -> Floats:
    return minutes_to_catch(world, {"it": DEFAULT}, drop, runs, seed, day=LATE_DAY)["it"]


def _met(is_met: bool) -> str:
    return "met" if is_met else "**not met**"


# -- peers on simulated months -----------------------------------------------------------------------------------------

PLAYED = 150  # months for tuning, and as many for measuring
SIMULATED: dict[str, World] = {
    "plain": World(0.7),
    "daily swing": World(0.7, season=0.008),
    "heavy tails (t, 3)": World(0.7, tails=3),
}
DROPS = (0.05, 0.03)


@dataclass(frozen=True)
class Played:
    """Months with nothing wrong, and the same with each drop from the reading `begins` of each month on."""

    quiet: Months
    begins: Ints
    dropped: dict[float, Months]

    @classmethod
    def of(cls, world: World, months: int, seed: int) -> Played:
        """Simulate this many months, with drops at a random time in the second week."""
        rng = np.random.default_rng(seed)
        quiet = play(world, rng, months, MONTH)
        begins = rng.integers(simulation.WEEK, 2 * simulation.WEEK, months)
        after = np.arange(MONTH) >= begins[:, None]
        return cls(quiet, begins, {drop: replace(quiet, live=quiet.live - drop * MEAN * after) for drop in DROPS})

    def drops(self, drop: float) -> list[Drop]:
        """Return the months with a drop, as peers take them."""
        return [
            Drop(it, begins) for it, begins in zip(stretches(self.dropped[drop]), self.begins.tolist(), strict=True)
        ]


def stretches(months: Months) -> list[Stretch]:
    """Return months as peers take them: they begin at midnight, and the weeks have no shape."""
    before, after = (np.arange(each.shape[1]) // HOUR % 24 for each in (months.baseline, months.live))
    days = months.live.shape[1] / DAY
    return [
        Stretch(baseline, live, before, after, HOUR, days)
        for baseline, live in zip(months.baseline, months.live, strict=True)
    ]


def peers_table(seed: int, *, months: int = PLAYED, peers: Mapping[str, Peer] = PEERS) -> str:
    """Return the table of the default and its peers on the same months; peers are tuned on others of the same kind."""
    rows: dict[tuple[str, str], list[str]] = {}
    for at, (kind, world) in enumerate(SIMULATED.items()):
        early, late = (Played.of(world, months, seed + 150 + 2 * at + which) for which in (0, 1))
        quietly = DEFAULT(late.quiet)
        before = np.where(quietly.any(axis=1), quietly.argmax(axis=1), MONTH)
        mine = {drop: _first(late, drop, before) for drop in DROPS}
        rows.setdefault(("**Registrar's `default`**", "(not tuned)"), []).extend(_told(before, mine, late))
        for name, peer in peers.items():
            it = tuned(peer, stretches(early.quiet), early.drops(DROPS[1]), TARGETS)[-1]
            quiet = it.acts(stretches(late.quiet))
            acts = {drop: it.acts(stretches(each)) for drop, each in late.dropped.items()}
            for n, wanted in enumerate(TARGETS):
                told = _told(quiet[:, n], {drop: each[:, n] for drop, each in acts.items()}, late)
                rows.setdefault((name, f"{wanted:g}"), []).extend(told)
            note(f"peers, {kind}: {it.called(name)}, settings {it.settings.round(1)}")
    head = ["rule", "tuned for"]
    for kind in SIMULATED:
        head += [f"{kind}: false alarms in 30 days", *(f"{100 * drop:g}% worse" for drop in DROPS)]
    said = (
        f"{dice(seed)}, φ = 0.7, a baseline of 7 days, {months} months for measuring and {months} for tuning, each "
        "also with a drop at a random time of the second week. Share of drops detected within a day, and the median "
        "minutes until detection. Peers have times of day leveled if that made them better:"
    )
    return f"{said}\n\n{table(head, [[*name, *row] for name, row in rows.items()])}"


def _first(played: Played, drop: float, before: Ints) -> Ints:
    """Return the reading at which the default first acts; `before` has its first acts with nothing wrong."""
    after = simulated_tables.first_acts(DEFAULT, played.dropped[drop], played.begins)
    return np.where(before < played.begins, before, np.minimum(after, MONTH)).astype(np.int64)


def _told(quiet: Ints, dropped: Mapping[float, Ints], played: Played) -> list[str]:
    """Return the false alarms of these first acts, and the detections of each drop."""
    told = [f"{false_rate(quiet[:, None], stretches(played.quiet))[0]:.2f}"]
    return [*told, *(caught(acts, played.drops(drop)).told(per_hour=60) for drop, acts in dropped.items())]
