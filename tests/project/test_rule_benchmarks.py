"""The comparison of the monitor's rules with others: the modules in `benchmarks/`."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from river.drift import PageHinkley
from scipy.stats import mannwhitneyu

from benchmarks.monitoring_rules import counts, figures, peers, real_series, scenarios
from benchmarks.monitoring_rules import months as simulation
from benchmarks.monitoring_rules.peers import FOR_BINARY, PEERS, Drop, Stretch, caught, false_rate, first_acts, tuned
from benchmarks.monitoring_rules.tables import bounded, most
from bot.domain.monitoring.rules.time_series import DAY
from tests.support.paths import ROOT

DROP = 300  # the reading of `stretch` from which it's worse
STRICT = {
    "EWMA chart": 10.0,
    "chunks ± k sd": 6.0,
    "Mann-Whitney": 5.0,
    "mSPRT": 20.0,
    "CUSUM": 30.0,
    "Page-Hinkley": 100.0,
    "ADWIN": 8.0,
    "DDM": 5.0,
}


def stretch(*, drop: float = 0.0, is_binary: bool = False, seed: int = 0) -> Stretch:
    """Return a week of readings and two days of live ones, five minutes apart."""
    dice = np.random.default_rng(seed)
    before, live = dice.normal(10, 1, 2_016), dice.normal(10, 1, 576) - drop * (np.arange(576) >= DROP)
    if is_binary:
        before, live = (before > 8.7).astype(float), (live > 8.7).astype(float)
    return Stretch(before, live, np.arange(2_016) // 12 % 24, np.arange(576) // 12 % 24, 12, 2.0)


# -- peers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PEERS, *FOR_BINARY])
def test_each_peer_acts_on_a_large_drop_and_not_before_it(name: str) -> None:
    peer, is_binary = (PEERS | FOR_BINARY)[name], name in FOR_BINARY
    quiet, dropped = (stretch(drop=drop, is_binary=is_binary) for drop in (0, 3))
    acts = first_acts(peer, [quiet, dropped], settings=np.array([STRICT[name]]))[:, 0].tolist()
    assert acts[0] == 576
    assert DROP <= acts[1] < DROP + 100


@pytest.mark.parametrize("name", PEERS)
def test_a_larger_setting_never_acts_sooner(name: str) -> None:
    acts = first_acts(PEERS[name], [stretch(drop=1.0)])[0]
    assert (np.diff(acts) >= 0).all()


def test_mann_whitney_s_z_matches_scipy() -> None:
    it = stretch(drop=1.0)
    found = mannwhitneyu(
        it.live[-peers.RANKED :], it.before, alternative="less", method="asymptotic", use_continuity=False
    )
    assert peers.mann_whitney(it)[-1] == pytest.approx(-NormalDist().inv_cdf(float(found.pvalue)), rel=1e-6)


def test_page_hinkley_matches_river() -> None:
    it = stretch(drop=0.5, seed=3)
    mean, spread = it.before.mean(), it.before.std()
    theirs: Any = PageHinkley(threshold=25.0, mode="up", min_instances=0)
    for _ in it.before:  # its mean is that of the baseline, its sums are near their beginning
        theirs._x_mean.update(0.0)
    acts = []
    for at, value in enumerate(it.live):
        theirs.update((mean - value) / spread)
        if theirs.drift_detected:
            acts.append(at)
    assert first_acts(PEERS["Page-Hinkley"], [it], settings=np.array([25.0]))[0, 0] == acts[0]


def test_a_daily_swing_is_leveled() -> None:
    it = stretch()
    swing = np.sin(np.arange(24))
    level = replace(it, before=it.before + swing[it.slots_before], live=it.live + swing[it.slots]).leveled()
    assert level.live == pytest.approx(it.leveled().live)


# -- how good they are -------------------------------------------------------------------------------------------------


def test_false_alarms_are_counted_by_the_time_watched() -> None:
    acts = np.array([[576], [287]])  # one never, one after the first of two days
    assert false_rate(acts, [stretch(), stretch()])[0] == pytest.approx(30 / 3)


def test_a_drop_is_caught_within_a_day_and_not_before_it() -> None:
    drops = [Drop(stretch(), 100)] * 4
    found = caught(np.array([99, 100, 387, 388]), drops)
    assert found.hours.tolist() == [np.inf, pytest.approx(1 / 12), 24.0, np.inf]
    assert found.told() == "50% · 12.0"


def test_tuned_peers_stay_within_the_target_rate() -> None:
    quiet = [stretch(seed=seed) for seed in range(30)]
    drops = [Drop(stretch(seed=seed, drop=1.0), DROP) for seed in range(30)]
    rates = (0.6, 5.0)
    for it in tuned(PEERS["EWMA chart"], quiet, drops, rates):
        found = false_rate(it.acts(quiet), quiet)
        assert (found <= rates).all()
        assert it.settings[0] > it.settings[1]


# -- real series -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wind() -> list[real_series.Case]:
    return real_series.cases("wind", real_series.LEVELS["wind"], most=4)


def test_a_case_has_21_days_before_its_14() -> None:
    for case in real_series.cases("power-right", real_series.ANSWERS["power-right"], most=3):
        assert case.before.at[-1] < case.start <= case.live.at[0]
        assert case.start - case.before.at[0] <= 21 * DAY
        assert case.live.at[-1] - case.start < 14 * DAY


def test_a_step_changes_nothing_before_it(wind: list[real_series.Case]) -> None:
    changed, begins = real_series.stepped(wind[0], 6, in_sd=True, rng=np.random.default_rng(1))
    by = wind[0].live.value - changed.live.value
    assert not by[:begins].any()
    assert by[begins:].std() == pytest.approx(0, abs=1e-9)
    assert by[-1] > 0
    assert real_series.FIRST * 24 <= begins < (real_series.WATCHED - 1) * 24


def test_errors_grow_where_lower_is_better() -> None:
    case = real_series.cases("traffic-error", real_series.LEVELS["traffic-error"], most=2)[0]
    changed, begins = real_series.stepped(case, 0.20, in_sd=False, rng=np.random.default_rng(1))
    assert changed.live.value[begins] == pytest.approx(case.live.value[begins] + 0.20 * case.before.value.mean())
    assert changed.stretch.live[begins] < case.stretch.live[begins]


def test_a_replay_from_a_drop_matches_the_complete_replay() -> None:
    case = real_series.cases("appliances", real_series.LEVELS["appliances"], most=2)[1]
    changed, begins = real_series.stepped(case, 6, in_sd=True, rng=np.random.default_rng(2))
    whole = real_series.registrar(changed)
    assert begins <= whole < begins + 6 * 24
    assert real_series.registrar(changed, since=begins, days=1) == whole


def test_the_tables_of_real_series_have_a_row_for_each_rule(wind: list[real_series.Case]) -> None:
    change = partial(real_series.stepped, size=20, in_sd=True)
    group = real_series.Group(
        {"wind": real_series.LEVELS["wind"]},
        {"20 sd": lambda case, rng: change(case, rng=rng)},
        "20 sd",
        {"EWMA chart": PEERS["EWMA chart"]},
    )
    caption, rules_table, _better, _, by_series = real_series.tables(group, 5, most=4)
    assert f"{len(wind) // 2} stretches" in caption
    assert rules_table.splitlines()[2].startswith(f"| {real_series.OURS} | (not tuned) |")
    assert "| EWMA chart | 0.15 |" in rules_table
    assert "| wind |" in by_series


# -- simulated months --------------------------------------------------------------------------------------------------


def test_nights_have_the_configured_noise() -> None:
    months = simulation.play(simulation.World(0, nights=3), np.random.default_rng(1), 80, simulation.DAY)
    hour = np.arange(simulation.DAY) // simulation.HOUR
    is_night = (hour >= 22) | (hour < 6)
    assert months.live[:, is_night].std() / months.live[:, ~is_night].std() == pytest.approx(3, rel=0.1)


def test_each_day_has_its_own_offset() -> None:
    months = simulation.play(simulation.World(0, daily=0.005), np.random.default_rng(1), 40, simulation.DAY)
    days = months.baseline.reshape(40, 7, simulation.DAY).mean(axis=-1)
    assert days.std() == pytest.approx(0.005, rel=0.15)


def test_counts_are_as_noisy_as_other_readings() -> None:
    months = simulation.play(simulation.World(0.7, of=2_000), np.random.default_rng(1), 4, simulation.DAY)
    right = months.live * 2_000
    assert right == pytest.approx(np.round(right))
    assert months.baseline.std() == pytest.approx(simulation.SD, rel=0.05)


def test_a_faster_decay_is_found_sooner() -> None:
    slow, quick = (scenarios.days_to_see(simulation.World(0), scenarios.DEFAULT, loss, 2, 1) for loss in (0.02, 0.10))
    assert (quick < slow).all()


def test_peers_run_in_simulated_months() -> None:
    text = scenarios.peers_table(1, months=2, peers={"CUSUM": PEERS["CUSUM"]})
    default, *others = [line.split(" | ") for line in text.splitlines()[4:]]
    assert default[:2] == ["| **Registrar's `default`**", "(not tuned)"]
    assert [row[:2] for row in others] == [["| CUSUM", f"{rate:g}"] for rate in peers.TARGETS]
    assert {len(row) for row in (default, *others)} == {2 + 3 * len(scenarios.SIMULATED)}


# -- the tables --------------------------------------------------------------------------------------------------------


def test_no_act_in_3000_months_is_at_most_a_tenth_of_a_percent() -> None:
    assert most(0, 3_000) == pytest.approx(1 - 0.05 ** (1 / 3_000))
    assert most(3, 3) == 1
    assert bounded(1, 3_000) == "1 (≤ 0.16%)"


def test_each_table_has_its_place_in_the_page() -> None:
    page = figures.PAGE.read_text(encoding="utf-8")
    assert [part for part in figures.parts() if page.count(f"<!-- figures: {part} -->") != 1] == []


def test_the_statistics_page_shows_measured_values() -> None:
    measured = figures.PAGE.read_text(encoding="utf-8")
    shown = (ROOT / "docs" / "explanation" / "statistics.md").read_text(encoding="utf-8")
    excerpts = re.findall(r"<!-- excerpt: (\w+) -->\n(.+?)\n<!-- end -->", shown, flags=re.DOTALL)
    assert [part for part, _ in excerpts] == ["choices", "choices", "counts", "decay"]
    for part, excerpt in excerpts:
        table = measured.partition(f"<!-- figures: {part} -->")[2].partition("<!-- end -->")[0]
        assert cells(excerpt) <= cells(table)


def cells(text: str) -> set[tuple[str, str, str]]:
    """Return a table's values, each with the names of its row and its column."""
    head, _, *rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {(name, column, value) for name, *values in rows for column, value in zip(head[1:], values, strict=True)}


def test_a_table_is_written_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "rules.md"
    page.write_text("a\n<!-- figures: it -->\nold\n<!-- end -->\nb\n", encoding="utf-8")
    monkeypatch.setattr(figures, "PAGE", page)
    figures.write("it", "new")
    assert page.read_text(encoding="utf-8") == "a\n<!-- figures: it -->\nnew\n<!-- end -->\nb\n"


# -- counts ------------------------------------------------------------------------------------------------------------


def test_a_hundred_requests_a_day_show_a_fifth_worse_within_a_day_and_a_half() -> None:
    assert np.median(counts.hours_to_catch(counts.HUNDRED, 100, 5)) < 36
    assert counts.false_months(counts.HUNDRED, 100, 5) == 0


@pytest.mark.parametrize("kind", counts.KINDS)
def test_simulated_counts_have_the_configured_share(kind: str) -> None:
    traffic = counts.KINDS[kind]
    played = counts.play(traffic, np.random.default_rng(2), 20, 14)
    usual = traffic.bad + traffic.weekend * 2 / 7
    assert played.bad.sum() / played.total.sum() == pytest.approx(usual, rel=0.1)
    assert played.total.mean() == pytest.approx(traffic.each, rel=0.05)


def test_the_table_of_counts_has_a_row_for_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "KINDS", {"few": counts.HUNDRED})
    caption, _, shown = counts.counts_table(10, 3, runs=10).partition("\n\n")
    assert caption.startswith("Seed 3, ")
    assert shown.splitlines()[2].startswith("| few | ")
