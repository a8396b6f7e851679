"""Other common ways to detect a worse metric, compared with Registrar's rules at equal false alarm rates.

A peer takes the readings of a baseline and those since the promotion, and says at which of them it acts first, for
each of many settings of its one parameter. All of them know what a baseline is, and look for worse values only, where
`worse` is lower. To add one, write such a function and name it in `PEERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from river import drift
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RIVER: Any = drift  # untyped
WEIGHT = 0.1  # of the newest reading in an EWMA chart
SLACK = 0.5  # standard deviations that CUSUM tolerates: tuned for a shift of one
TOLERANCE, FORGETS = 0.005, 0.9999  # of Page and Hinkley's test, as in river
MIXED = 1.0  # standard deviation of the mixture of mSPRT, in those of a reading
FEWEST = 12  # readings of 0 and 1 that make up a chunk
RANKED = 24  # readings of the window whose ranks are compared
TARGETS = (0.05, 0.15, 0.5)  # false alarms in 30 days
MONTH = 30.0  # days
LATEST = 1.0  # day after which a drop that wasn't seen counts as missed


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was measured before a promotion and after it. Lower is worse.

    `slots` say to which time of the week each reading belongs, of those that a baseline may level: numbers from 0 on.
    `hour` is how many readings an hour has, `days` how long the readings after the promotion take.
    """

    before: Floats
    live: Floats
    slots_before: Ints
    slots: Ints
    hour: int
    days: float

    @property
    def is_binary(self) -> bool:
        """Return whether all readings are 0 or 1."""
        return bool(np.isin(self.before, (0, 1)).all())

    def leveled(self) -> Stretch:
        """Return the same, minus the baseline's mean at each time of the week."""
        most = int(np.concatenate([self.slots_before, self.slots]).max()) + 1
        counts = np.bincount(self.slots_before, minlength=most)
        sums = np.bincount(self.slots_before, weights=self.before, minlength=most)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), self.before.mean())
        return replace(self, before=self.before - means[self.slots_before], live=self.live - means[self.slots])


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to detect that a metric is worse. `acts` gives the index of its first act for each of its `settings`.

    Where it doesn't act, that's the number of readings. A larger setting acts more rarely.
    """

    acts: Callable[[Stretch, Floats], Ints]
    settings: Floats
    levels: bool = True  # whether it's also tried on readings whose times of the week are leveled


# -- by a statistic that acts when it passes a bound -------------------------------------------------------------------


def passes(statistic: Callable[[Stretch], Floats]) -> Callable[[Stretch, Floats], Ints]:
    """Return the first acts of what acts once its statistic, one for each live reading, is above the setting."""

    def acts(it: Stretch, settings: Floats) -> Ints:
        highest = np.maximum.accumulate(statistic(it))
        return np.asarray(np.searchsorted(highest, settings, side="right"), dtype=np.int64)

    return acts


def _standard(it: Stretch) -> Floats:
    """Return by how many of the baseline's standard deviations each live reading is worse."""
    spread = float(it.before.std())
    return (float(it.before.mean()) - it.live) / (spread or 1.0)


def ewma(it: Stretch) -> Floats:
    """Return an EWMA chart's distance from its center, in its standard deviations (Roberts 1959)."""
    mean = lfilter([WEIGHT], [1, WEIGHT - 1], _standard(it))
    passed = np.arange(1, len(it.live) + 1)
    found: Floats = mean / np.sqrt(WEIGHT / (2 - WEIGHT) * (1 - (1 - WEIGHT) ** (2 * passed)))
    return found


def chunks(it: Stretch) -> Floats:
    """Return by how many standard deviations of the baseline's chunks each live chunk is worse, at its last reading.

    A chunk is an hour, or `FEWEST` readings of 0 and 1.
    """
    size = max(it.hour, FEWEST if it.is_binary else 1)
    usual, now = _cut(it.before, size).mean(axis=1), _cut(it.live, size).mean(axis=1)
    return _at_ends((usual.mean() - now) / (float(usual.std()) or 1.0), size, len(it.live))


def mann_whitney(it: Stretch) -> Floats:
    """Return the z of Mann and Whitney's test of the last `RANKED` readings against the whole baseline, at each one.

    That is scipy's `mannwhitneyu(window, baseline, method="asymptotic", use_continuity=False)`, but ties are counted in
    the baseline alone.
    """
    size, many = RANKED, len(it.before)
    ordered = np.sort(it.before)
    below = np.searchsorted(ordered, it.live, side="left") + np.searchsorted(ordered, it.live, side="right")
    sums = np.concatenate([[0], np.cumsum(below)])
    ties = np.unique(ordered, return_counts=True)[1] / many
    spread = (size * many * (size + many + 1) / 12 * max(1 - float((ties**3).sum()), 1e-9)) ** 0.5
    found = np.full(len(it.live), -np.inf)
    found[size - 1 :] = (size * many - (sums[size:] - sums[:-size])) / 2 / spread
    return found


def msprt(it: Stretch) -> Floats:
    """Return the log of the mixture likelihood ratio of all live readings (Johari, Pekelis and Walsh 2017).

    The setting is log 1/α. Readings are taken as independent and normal, with the baseline's mean and variance.
    """
    sums, passed = np.cumsum(_standard(it)), np.arange(1, len(it.live) + 1)
    wide = 1 + passed * MIXED**2
    return np.where(sums > 0, MIXED**2 * sums**2 / (2 * wide) - np.log(wide) / 2, -np.inf)


def cusum(it: Stretch) -> Floats:
    """Return the one-sided cumulative sum in standard deviations (Page 1954)."""
    sums = np.cumsum(_standard(it) - SLACK)
    found: Floats = sums - np.minimum(np.minimum.accumulate(sums), 0)
    return found


def page_hinkley(it: Stretch) -> Floats:
    """Return what river's `PageHinkley` compares with its threshold, in standard deviations of the baseline.

    Its mean is that of all readings so far, those of the baseline included; its sum begins with the live ones.
    """
    worse = _standard(it)
    mean = np.cumsum(worse) / (len(it.before) + np.arange(1, len(worse) + 1))
    sums = lfilter([1], [1, -FORGETS], worse - mean - TOLERANCE)
    found: Floats = sums - np.minimum(np.minimum.accumulate(sums), 0)
    return found


def _cut(values: Floats, size: int) -> Floats:
    found: Floats = values[: len(values) // size * size].reshape(-1, size)
    return found


def _at_ends(of_each: Floats, size: int, length: int) -> Floats:
    """Return the value of each chunk at its last reading, and nothing between."""
    found = np.full(length, -np.inf)
    found[size - 1 : len(of_each) * size : size] = of_each
    return found


# -- river's detectors -------------------------------------------------------------------------------------------------


def adwin(it: Stretch, settings: Floats) -> Ints:
    """Return when ADWIN cuts its window and the newer part is worse (Bifet and Gavaldà 2007), for each -log10 of its δ.

    It's told the baseline first. Readings are scaled so that nearly all of the baseline's are between 0 and 1.
    """
    low, high = np.quantile(it.before, [0.01, 0.99])
    before, live = ((values - low) / ((high - low) or 1.0) for values in (it.before, it.live))
    return np.array([_adwin(before.tolist(), live.tolist(), float(setting)) for setting in settings], dtype=np.int64)


def _adwin(before: list[float], live: list[float], setting: float) -> int:
    detector = RIVER.ADWIN(delta=10.0**-setting)
    for value in before:
        detector.update(value)
    for at, value in enumerate(live):
        mean = detector.estimation
        detector.update(value)
        if detector.drift_detected and detector.estimation < mean:
            return at
    return len(live)


def ddm(it: Stretch, settings: Floats) -> Ints:
    """Return when river's DDM, whose drift threshold is the setting, says that errors are more (Gama and others 2004).

    It's told the baseline first.
    """
    before, live = (1 - it.before).tolist(), (1 - it.live).tolist()
    return np.array([_ddm(before, live, float(setting)) for setting in settings], dtype=np.int64)


def _ddm(before: list[float], live: list[float], setting: float) -> int:
    detector = RIVER.binary.DDM(drift_threshold=setting)
    for value in before:
        detector.update(value)
    for at, value in enumerate(live):
        detector.update(value)
        if detector.drift_detected:
            return at
    return len(live)


BOUNDS: Floats = np.geomspace(0.5, 1e6, 240)
PEERS: dict[str, Peer] = {
    "EWMA chart": Peer(passes(ewma), BOUNDS),
    "chunks ± k sd": Peer(passes(chunks), BOUNDS),
    "Mann-Whitney": Peer(passes(mann_whitney), BOUNDS),
    "mSPRT": Peer(passes(msprt), BOUNDS),
    "CUSUM": Peer(passes(cusum), BOUNDS),
    "Page-Hinkley": Peer(passes(page_hinkley), BOUNDS),
    "ADWIN": Peer(adwin, np.array([1, 2, 3, 4, 5, 6, 8, 16, 32, 64, 128], dtype=np.float64)),
}
FOR_BINARY: dict[str, Peer] = {"DDM": Peer(ddm, np.array([2, 3, 4, 5, 6, 8, 11, 15, 22, 40], np.float64), levels=False)}


# -- how good they are -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drop:
    """A stretch that's worse from the live reading `begins` on."""

    of: Stretch
    begins: int


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of drops: hours until each was seen, infinite where that took too long or didn't happen.

    A rule that acted before the drop hasn't seen it.
    """

    hours: Floats

    @property
    def share(self) -> float:
        """Return the share that was detected in time."""
        return float(np.isfinite(self.hours).mean())

    def told(self, *, per_hour: int = 1) -> str:
        """Return that share, and the median detection time, in hours or the given fraction of an hour."""
        in_time = self.hours[np.isfinite(self.hours)]
        median = f" · {per_hour * np.median(in_time):.{0 if per_hour > 1 else 1}f}" if len(in_time) else ""
        return f"{100 * self.share:.0f}%{median}"


def false_rate(acts: Ints, stretches: Sequence[Stretch]) -> Floats:
    """Return the false alarms in 30 days that these first acts (stretches, settings) come to: acts per time watched."""
    lengths = np.array([len(it.live) for it in stretches])[:, None]
    days = np.array([it.days for it in stretches])[:, None]
    watched = (np.minimum(acts + 1, lengths) / lengths * days).sum(axis=0)
    found: Floats = (acts < lengths).sum(axis=0) / watched * MONTH
    return found


def caught(acts: Ints, drops: Sequence[Drop], *, latest: float = LATEST) -> Caught:
    """Return what these first acts (drops) come to, where `latest` days is how long one may take."""
    of_day = np.array([len(it.of.live) / it.of.days for it in drops])
    begins, lengths = (np.array(each) for each in zip(*((it.begins, len(it.of.live)) for it in drops), strict=True))
    days = (acts - begins + 1) / of_day
    return Caught(np.where((acts >= begins) & (acts < lengths) & (days <= latest), 24 * days, np.inf))


@dataclass(frozen=True, slots=True)
class Tuned:
    """A peer with settings that came to the wanted rates of false alarms; NaN where none of its settings does."""

    peer: Peer
    is_leveled: bool
    settings: Floats

    def called(self, name: str) -> str:
        """Return the peer's name, with how it uses the readings."""
        return f"{name}, leveled" if self.is_leveled else name

    def acts(self, stretches: Iterable[Stretch]) -> Ints:
        """Return its first acts (stretches, settings); without a setting, it never acts."""
        return first_acts(self.peer, stretches, is_leveled=self.is_leveled, settings=self.settings)


def tuned(
    peer: Peer, quiet: Sequence[Stretch], drops: Sequence[Drop], rates: Sequence[float], *, latest: float = LATEST
) -> list[Tuned]:
    """Return a peer with the settings, each the lowest that does not act more often than wanted while it's quiet.

    It's as people use it; and also with leveled times of the week, where it then sees more of the drops.
    """
    found, seen = [], []
    for is_leveled in (False, True) if peer.levels else (False,):
        rate = false_rate(first_acts(peer, quiet, is_leveled=is_leveled), quiet)
        fit = [peer.settings[rate <= wanted] for wanted in rates]
        it = Tuned(peer, is_leveled, np.array([min(each.tolist(), default=np.nan) for each in fit]))
        acts = it.acts(drop.of for drop in drops)
        found.append(it)
        seen.append(sum(caught(column, drops, latest=latest).share for column in acts.T))
    return [it for it, share in zip(found, seen, strict=True) if not it.is_leveled or share > seen[0]]


def first_acts(
    peer: Peer, stretches: Iterable[Stretch], *, is_leveled: bool = False, settings: Floats | None = None
) -> Ints:
    """Return the first acts (stretches, settings); a NaN setting has none."""
    wanted = peer.settings if settings is None else settings
    known = ~np.isnan(wanted)
    rows = []
    for it in stretches:
        row = np.full(len(wanted), len(it.live))
        row[known] = peer.acts(it.leveled() if is_leveled else it, wanted[known])
        rows.append(row)
    return np.array(rows, dtype=np.int64).reshape(-1, len(wanted))
