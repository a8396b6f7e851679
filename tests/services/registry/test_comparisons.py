"""Comparing asks the registry a few times, whatever the number of versions, and remembers what hardly changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.domain.commands.parser import build_command
from bot.domain.commands.registry import Compare, FindBest
from bot.domain.core.errors import UnknownModel
from bot.domain.registry.model import RunInfo, Stage
from tests.support.services.bench import Bench


@pytest.fixture
def fraud(bench: Bench) -> Bench:
    """Twelve versions of `fraud`; f1 rises with the number, v3 is in Production."""
    bench.registry.add_model("fraud")
    for number in range(1, 13):
        bench.registry.add_run(f"run{number}", metrics={"f1": number / 100, "latency_ms": 40 + number})
        bench.registry.add_version("fraud", run_id=f"run{number}")
    bench.registry.transition_stage("fraud", 3, Stage.PRODUCTION, archive_existing=True)
    bench.registry.request_counts.clear()
    return bench


def found(bench: Bench, *versions: str, **more: object) -> list[int]:
    command = build_command(Compare, {"model": "fraud", "versions": list(versions), **more})
    return bench.comparisons.compare(command).versions


def test_all_versions_come_newest_first_as_numbers(fraud: Bench) -> None:
    assert found(fraud) == list(range(12, 0, -1))


def test_it_costs_two_requests(fraud: Bench) -> None:
    found(fraud)
    assert dict(fraud.registry.request_counts) == {"versions": 1, "runs": 1}


def test_a_second_time_only_what_serves_is_asked_for_again(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found(fraud)
    asked: list[list[str]] = []
    read = fraud.registry.runs

    def runs(ids: Sequence[str]) -> dict[str, RunInfo]:
        asked.append(list(ids))
        return read(ids)

    monkeypatch.setattr(fraud.registry, "runs", runs)
    found(fraud)
    assert asked == [["run3"]]


def test_metrics_that_were_added_to_what_serves_are_seen(fraud: Bench) -> None:
    found(fraud)
    fraud.registry.add_run("run3", metrics={"f1": 0.99})
    command = build_command(Compare, {"model": "fraud", "versions": ["4"]})
    assert fraud.comparisons.compare(command).best["f1"] == 3


def test_a_run_that_goes_on_is_asked_for_again(fraud: Bench) -> None:
    fraud.registry.add_run("run4", status="RUNNING", metrics={"f1": 0.1})
    found(fraud, "4")
    fraud.registry.add_run("run4", metrics={"f1": 0.98})
    command = build_command(Compare, {"model": "fraud", "versions": ["4"]})
    assert fraud.comparisons.compare(command).best["f1"] == 4


def test_named_versions_come_with_the_one_in_production(fraud: Bench) -> None:
    assert found(fraud, "7", "latest") == [12, 7, 3]


def test_the_newest_n_come_with_the_one_in_production(fraud: Bench) -> None:
    assert found(fraud, last=2) == [12, 11, 3]


def test_a_typo_gets_the_nearest_model(fraud: Bench) -> None:
    with pytest.raises(UnknownModel, match="Did you mean “fraud”"):
        fraud.comparisons.compare(build_command(Compare, {"model": "fruad"}))


def test_the_best_is_named_whatever_the_case(fraud: Bench) -> None:
    best = fraud.comparisons.best(build_command(FindBest, {"model": "fraud", "metric": "f1"}))
    assert (best.version, best.value) == (12, 0.12)
    lowest = fraud.comparisons.best(build_command(FindBest, {"model": "fraud", "metric": "f1", "lowest": True}))
    assert lowest.version == 1


def test_the_policy_says_which_way_is_better(fraud: Bench) -> None:
    assert fraud.comparisons.best(build_command(FindBest, {"model": "fraud", "metric": "latency_ms"})).version == 1
