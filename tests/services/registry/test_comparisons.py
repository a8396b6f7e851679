"""A comparison sends a few registry requests for any number of versions, and caches runs that rarely change."""

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
    """Return a bench with twelve versions of `fraud`: f1 rises with the number, and v3 is in Production."""
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


def test_a_comparison_costs_two_requests(fraud: Bench) -> None:
    found(fraud)
    assert dict(fraud.registry.request_counts) == {"versions": 1, "runs": 1}


def test_a_second_comparison_reads_only_runs_of_stages_again(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found(fraud)
    asked: list[list[str]] = []
    read = fraud.registry.runs

    def runs(ids: Sequence[str]) -> dict[str, RunInfo]:
        asked.append(list(ids))
        return read(ids)

    monkeypatch.setattr(fraud.registry, "runs", runs)
    found(fraud)
    assert asked == [["run3"]]


def test_new_metrics_of_a_staged_version_are_seen(fraud: Bench) -> None:
    found(fraud)
    fraud.registry.add_run("run3", metrics={"f1": 0.99})
    command = build_command(Compare, {"model": "fraud", "versions": ["4"]})
    assert fraud.comparisons.compare(command).best["f1"] == 3


def test_a_running_run_is_read_again(fraud: Bench) -> None:
    fraud.registry.add_run("run4", status="RUNNING", metrics={"f1": 0.1})
    found(fraud, "4")
    fraud.registry.add_run("run4", metrics={"f1": 0.98})
    command = build_command(Compare, {"model": "fraud", "versions": ["4"]})
    assert fraud.comparisons.compare(command).best["f1"] == 4


def test_named_versions_are_compared_with_production(fraud: Bench) -> None:
    assert found(fraud, "7", "latest") == [12, 7, 3]


def test_the_newest_n_versions_are_compared_with_production(fraud: Bench) -> None:
    assert found(fraud, last=2) == [12, 11, 3]


def test_a_typo_suggests_the_closest_model(fraud: Bench) -> None:
    with pytest.raises(UnknownModel, match="Did you mean “fraud”"):
        fraud.comparisons.compare(build_command(Compare, {"model": "fruad"}))


def test_the_highest_or_lowest_value_is_found(fraud: Bench) -> None:
    best = fraud.comparisons.best(build_command(FindBest, {"model": "fraud", "metric": "f1"}))
    assert (best.version, best.value) == (12, 0.12)
    lowest = fraud.comparisons.best(build_command(FindBest, {"model": "fraud", "metric": "f1", "lowest": True}))
    assert lowest.version == 1


def test_the_policy_sets_the_direction(fraud: Bench) -> None:
    assert fraud.comparisons.best(build_command(FindBest, {"model": "fraud", "metric": "latency_ms"})).version == 1
