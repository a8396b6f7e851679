"""Registrar's default and its peers on real series (benchmarks/series): false alarms, and drops that are added.

From many times on, each series is watched for two weeks as after a promotion, with the 21 days before as its baseline.
First nothing is changed: what acts then is a false alarm, whatever the series did. Then it's made worse at a random
time, and what acts within a day has caught it. Peers are tuned on the first half of these times, and all are measured
on the second; Registrar's default is the one that's shipped, through the very replay that a backtest is.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.monitoring_rules.peers import (
    FOR_BINARY,
    LATEST,
    PEERS,
    TARGETS,
    Caught,
    Drop,
    Floats,
    Ints,
    Peer,
    Stretch,
    caught,
    false_rate,
    tuned,
)
from benchmarks.monitoring_rules.tables import dice, note, table
from bot.domain.monitoring.monitor import FrozenBaseline, Monitor, ProductionTerm
from bot.domain.monitoring.readings import CheckOutcome, RecordedCheck
from bot.domain.monitoring.rules.baseline_choice import baseline_key, summarize_for_rule
from bot.domain.monitoring.rules.time_series import DAY, HOUR, TimeSeries
from bot.domain.policy.monitor_config import MonitorConfig
from bot.services.monitoring.backtests import replay

SERIES = Path(__file__).parents[1] / "series"
WATCHED, BEFORE = 14, 21  # days
STARTS = 36  # of each series at most, half of them for tuning
FIRST = 3  # days after the promotion at which a drop comes at the earliest
TICK = timedelta(microseconds=1)
WARM = timedelta(hours=12)  # what's replayed before a drop: longer than any window that the rule looks at
WARM_ANSWERS = timedelta(days=3)  # the same of answers, whose evidence goes back farther
COMPLETE = 0.8  # of the readings: stretches and baselines that lack more are left out


@dataclass(frozen=True, slots=True)
class Series:
    """A bundled series: how often it's read, and which direction is worse."""

    minutes: int
    higher_is_better: bool = True


LEVELS: dict[str, Series] = {
    "voltage": Series(5),
    "glucose": Series(5),
    "appliances": Series(10),
    "power": Series(15),
    "electricity": Series(60),
    "occupancy": Series(60),
    "traffic": Series(60),
    "wind": Series(60),
    "traffic-error": Series(60, higher_is_better=False),
}
ANSWERS: dict[str, Series] = {
    "appliances-right": Series(10),
    "power-right": Series(15),
    "air-right": Series(60),
}
STEPS: dict[str, tuple[float, bool]] = {  # how large, and whether that's in sd of hourly means; else a part of the mean
    "3 sd": (3, True),
    "6 sd": (6, True),
    "5%": (0.05, False),
    "10%": (0.10, False),
    "20%": (0.20, False),
}
FLIPS = (0.10, 0.20, 0.33)  # of the right answers that become wrong
WEEK = 7.0  # days: how long rules can take to detect wrong answers


@dataclass(frozen=True, slots=True)
class Case:
    """One time from which a series is watched. `stretch` has its values, turned so that lower is worse."""

    name: str
    start: float  # seconds since the epoch, a midnight
    before: TimeSeries
    live: TimeSeries
    stretch: Stretch

    @property
    def series(self) -> Series:
        """How the series is read."""
        return (LEVELS | ANSWERS)[self.name]


def load(name: str) -> TimeSeries:
    """Return a bundled series."""
    lines = gzip.decompress((SERIES / f"{name}.csv.gz").read_bytes()).decode().splitlines()
    at, value = np.array([line.split(",") for line in lines], dtype=np.float64).T
    return TimeSeries.from_columns(at, value)


def cases(name: str, series: Series, *, most: int = STARTS) -> list[Case]:
    """Return the times from which a series is watched, oldest first: at midnight, equally far apart."""
    points = load(name)
    begin, end = points.at[0] + BEFORE * DAY, points.at[-1] - WATCHED * DAY
    every = max((end - begin) / most, 7.0 * DAY)
    starts = np.ceil(np.arange(begin, end, every) / DAY) * DAY
    found = []
    for start in starts.tolist():
        before, live = points.between(start - BEFORE * DAY, start), points.between(start, start + WATCHED * DAY)
        per_day = DAY / (60 * series.minutes)
        if min(len(before) / BEFORE, len(live) / WATCHED) >= COMPLETE * per_day:
            found.append(Case(name, start, before, live, _stretch(before, live, series)))
    return found


def _stretch(before: TimeSeries, live: TimeSeries, series: Series) -> Stretch:
    sign = 1 if series.higher_is_better else -1
    return Stretch(
        sign * before.value, sign * live.value, _slots(before.at), _slots(live.at), round(60 / series.minutes), WATCHED
    )


def _slots(at: Floats) -> Ints:
    """Return the hour of the day, weekends apart: January 1, 1970, was a Thursday."""
    return np.asarray(at // HOUR % 24 + 24 * ((at // DAY + 3) % 7 >= 5), dtype=np.int64)


# -- what is added -----------------------------------------------------------------------------------------------------


def stepped(case: Case, size: float, *, in_sd: bool, rng: np.random.Generator) -> tuple[Case, int]:
    """Return a case that's worse from a random reading on, and which reading that is.

    It's worse by so many standard deviations that the baseline's hourly means have around those of their hour, or by
    so large a part of the baseline's mean.
    """
    it, begins = case.stretch, _begins(case, rng)
    by = size * (_spread(case.before) if in_sd else abs(float(it.before.mean())))
    return _changed(case, np.where(np.arange(len(it.live)) >= begins, it.live - by, it.live)), begins


def flipped(case: Case, part: float, *, rng: np.random.Generator) -> tuple[Case, int]:
    """Return a case in which, from a random reading on, so large a part of the right answers is wrong."""
    it, begins = case.stretch, _begins(case, rng, latest=WEEK)
    wrong = (np.arange(len(it.live)) >= begins) & (rng.random(len(it.live)) < part)
    return _changed(case, np.where(wrong, 0.0, it.live)), begins


def _begins(case: Case, rng: np.random.Generator, *, latest: float = LATEST) -> int:
    first, last = (case.start + days * DAY for days in (FIRST, WATCHED - latest))
    return int(rng.integers(*np.searchsorted(case.live.at, [first, last])))


def _changed(case: Case, live: Floats) -> Case:
    sign = 1 if case.series.higher_is_better else -1
    return replace(case, live=TimeSeries(case.live.at, sign * live), stretch=replace(case.stretch, live=live))


def _spread(before: TimeSeries) -> float:
    """Return the standard deviation of hourly means around those of the same hour of the day."""
    hours = (before.at // HOUR).astype(np.int64)
    which, back = np.unique(hours, return_inverse=True)
    means = np.bincount(back, weights=before.value) / np.bincount(back)
    of_day = which % 24
    usual = np.bincount(of_day, weights=means, minlength=24) / np.maximum(np.bincount(of_day, minlength=24), 1)
    return float((means - usual[of_day]).std())


# -- Registrar's rule --------------------------------------------------------------------------------------------------


def registrar(case: Case, *, since: int = 0, days: float = WATCHED) -> int:
    """Return the reading with which Registrar's default rule fails first, or how many readings there are.

    Checks are replayed from the reading `since` on and for so many days. It's the rule with all its defaults but the
    direction and how often it's checked.
    """
    rule = MonitorConfig(
        name=case.name,
        source="push",
        rule="default",
        every=timedelta(minutes=case.series.minutes),
        direction="higher" if case.series.higher_is_better else "lower",
    )
    start = datetime.fromtimestamp(case.start, UTC)
    monitor = Monitor(id=case.name, model="m", rule=rule, created_at=start)
    term = ProductionTerm(transition_id="now", version=2, since=start)
    stored = FrozenBaseline(
        monitor=monitor.id,
        move=term.transition_id,
        key=baseline_key(rule, monitor.measured_from),
        since=start,
        until=start,
        made_at=start,
        summary=summarize_for_rule(rule, term, case.before),
    )
    times = [datetime.fromtimestamp(at, UTC) for at in case.live.at.tolist()]
    begin, end = times[since], times[since] + timedelta(days=days)
    warm = begin - (WARM_ANSWERS if case.stretch.is_binary else WARM)
    read = [(at, value) for at, value in zip(times, case.live.value.tolist(), strict=True) if warm <= at <= end]
    checks = [RecordedCheck(at, term.transition_id, term.version, CheckOutcome.OK, value, 1) for at, value in read]
    found = replay(monitor, [term], checks, since=begin - TICK, until=end, stored=stored)
    return times.index(found.firings[0].at) if found.firings else len(times)


# -- the tables --------------------------------------------------------------------------------------------------------

OURS = "**Registrar's `default`**"
MIDDLE = 0.15  # of `TARGETS`
Change = Callable[[Case, np.random.Generator], tuple[Case, int]]


def steps() -> dict[str, Change]:
    """Return the changes that make levels worse."""
    return {name: partial(_step, size=size, in_sd=in_sd) for name, (size, in_sd) in STEPS.items()}


def flips() -> dict[str, Change]:
    """Return the changes that make answers worse."""
    return {f"{100 * part:g}%": partial(_flip, part=part) for part in FLIPS}


def _step(case: Case, rng: np.random.Generator, *, size: float, in_sd: bool) -> tuple[Case, int]:
    return stepped(case, size, in_sd=in_sd, rng=rng)


def _flip(case: Case, rng: np.random.Generator, *, part: float) -> tuple[Case, int]:
    return flipped(case, part, rng=rng)


@dataclass(frozen=True)
class Group:
    """Series that are read alike, and what makes them worse. Rules are tuned on the drops called `tunes`."""

    series: Mapping[str, Series]
    changes: Mapping[str, Change]
    tunes: str
    peers: Mapping[str, Peer]
    latest: float = LATEST  # days within which a drop must be detected


GROUPS = (Group(LEVELS, steps(), "6 sd", PEERS), Group(ANSWERS, flips(), "33%", PEERS | FOR_BINARY, WEEK))


@dataclass(frozen=True)
class Half:
    """The times from which a group's series are watched, and the same with each change."""

    cases: list[Case]
    changed: dict[str, list[tuple[Case, int]]]

    @classmethod
    def of(cls, cases: list[Case], changes: Mapping[str, Change], seed: int) -> Half:
        """Return these cases with all changes; each change has its own random generator."""
        changed = {}
        for at, (name, change) in enumerate(changes.items()):
            rng = np.random.default_rng([seed, at])
            changed[name] = [change(case, rng) for case in cases]
        return cls(cases, changed)

    @property
    def quiet(self) -> list[Stretch]:
        """The stretches with nothing changed."""
        return [case.stretch for case in self.cases]

    def drops(self, change: str) -> list[Drop]:
        """Return the stretches with a change."""
        return [Drop(case.stretch, begins) for case, begins in self.changed[change]]


def halves(group: Group, seed: int, *, most: int = STARTS) -> tuple[Half, Half]:
    """Return the earlier half of the times of each series, for tuning, and the later one, for measuring."""
    early: list[Case] = []
    late: list[Case] = []
    for name, series in group.series.items():
        found = cases(name, series, most=most)
        early += found[: len(found) // 2]
        late += found[len(found) // 2 :]
    return Half.of(early, group.changes, seed), Half.of(late, group.changes, seed + 1)


@dataclass(frozen=True)
class Score:
    """What a rule did on the half on which all are measured: the first acts of each case."""

    rule: str
    wanted: float  # false alarms in 30 days that it was tuned for; NaN where it wasn't tuned
    quiet: Ints  # with nothing changed
    changed: dict[str, Ints]

    def false(self, half: Half) -> float:
        """Return its false alarms in 30 days."""
        return float(false_rate(self.quiet[:, None], half.quiet)[0])

    def caught(self, half: Half, change: str, *, latest: float, series: str | None = None) -> Caught:
        """Return the outcomes of a kind of drop, for one series if it's given."""
        some = [at for at, case in enumerate(half.cases) if series in {None, case.name}]
        drops = half.drops(change)
        return caught(self.changed[change][some], [drops[at] for at in some], latest=latest)


def ours(group: Group, half: Half) -> Score:
    """Return the default rule's score."""
    quiet = [registrar(case) for case in half.cases]
    changed = {
        change: np.array(
            [
                before if before < begins else registrar(case, since=begins, days=group.latest)
                for before, (case, begins) in zip(quiet, drops, strict=True)
            ]
        )
        for change, drops in half.changed.items()
    }
    return Score(OURS, np.nan, np.array(quiet), changed)


def theirs(group: Group, early: Half, late: Half, rates: Sequence[float]) -> list[Score]:
    """Return the peers' scores, each tuned for these rates; a rate might have no setting."""
    found = []
    for name, peer in group.peers.items():
        for it in tuned(peer, early.quiet, early.drops(group.tunes), rates, latest=group.latest):
            quiet = it.acts(late.quiet)
            changed = {change: it.acts(drop.of for drop in late.drops(change)) for change in group.changes}
            found += [
                Score(it.called(name), wanted, quiet[:, at], {change: acts[:, at] for change, acts in changed.items()})
                for at, wanted in enumerate(rates)
                if not np.isnan(it.settings[at])
            ]
            note(f"real series: {it.called(name)}, settings {it.settings.round(1)}")
    return found


def real_tables(seed: int, *, most: int = STARTS) -> str:
    """Return the tables of Registrar's default and its peers on real series, tuned on other times of the series."""
    return "\n\n".join(text for group in GROUPS for text in tables(group, seed, most=most))


def tables(group: Group, seed: int, *, most: int = STARTS) -> Iterable[str]:
    """Yield the tables of the default and its peers on a group's series, and the same by series."""
    early, late = halves(group, seed, most=most)
    mine = ours(group, late)
    note("real series: the default is measured")
    rates = sorted({*TARGETS, max(round(mine.false(late), 2), *TARGETS)})
    scores = [mine, *theirs(group, early, late, rates)]
    span = "a day" if group.latest == LATEST else f"{group.latest:g} days"
    yield (
        f"{dice(seed)}; {len(group.series)} series. All rules are measured on {len(late.cases)} stretches; peers "
        f"were tuned on {len(early.cases)} earlier ones. Share of drops detected within {span}, and the median hours "
        "until detection. A rule that acted before a drop doesn't count as having detected it:"
    )
    head = ["rule", "tuned for", "false alarms in 30 days", *(f"{change} worse" for change in group.changes)]
    yield table(head, [_row(score, group, late) for score in scores])
    yield _better(scores, group, late)
    middle = [score for score in scores if score is mine or score.wanted == MIDDLE]
    yield f"By series, {group.tunes} worse, with peers tuned for {MIDDLE:g} false alarms in 30 days:"
    yield table(
        ["series", "the default's false alarms in 30 days", *(score.rule for score in middle)],
        [_of_series(series, group, late, middle) for series in group.series],
    )


def _better(scores: Sequence[Score], group: Group, half: Half) -> str:
    """Return which peers detected more, with no more false alarms than the default."""
    mine, *others = scores
    fair = [score for score in others if score.false(half) <= mine.false(half)]
    told = []
    for change in group.changes:
        share = mine.caught(half, change, latest=group.latest).share
        better = [score.rule for score in fair if score.caught(half, change, latest=group.latest).share > share]
        told.append(f"{change} worse: {', '.join(dict.fromkeys(better)) or 'none'}")
    known = "Peers that, at one of these rates, detected more than the default with no more false alarms"
    return f"{known}: {'; '.join(told)}."


def _row(score: Score, group: Group, half: Half) -> list[str]:
    wanted = "(not tuned)" if np.isnan(score.wanted) else f"{score.wanted:g}"
    seen = [score.caught(half, change, latest=group.latest).told() for change in group.changes]
    return [score.rule, wanted, f"{score.false(half):.2f}", *seen]


def _of_series(series: str, group: Group, half: Half, scores: Sequence[Score]) -> list[str]:
    mine = [at for at, case in enumerate(half.cases) if case.name == series]
    quiet = [half.quiet[at] for at in mine]
    false = float(false_rate(scores[0].quiet[mine][:, None], quiet)[0])
    seen = [score.caught(half, group.tunes, latest=group.latest, series=series) for score in scores]
    return [series, f"{false:.2f}", *(each.told() for each in seen)]
