"""Most polls of a large registry read only what was updated, and find the same as reading everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bot.domain.core.errors import RegistryRefused, RegistryUnreachable
from bot.domain.registry.model import Stage
from bot.domain.transitions.polling import LISTED_PER_READ, SWEEP_SECONDS
from tests.support.services.bench import Bench, bench_on

MANY = 3 * LISTED_PER_READ + 10  # models, so that reading three of them is cheaper than listing all


def fill(bench: Bench) -> Bench:
    """Add many models, and poll them for the first time; the registry follows the test's clock."""
    bench.registry._now = bench.clock.now
    churn = bench.registry._models["churn"]
    churn.updated_at = churn.created_at = bench.clock.now()
    for number in churn.versions:
        bench.registry.replace_version("churn", number, created_at=bench.clock.now())
    bench.clock.advance(hours=1)
    for number in range(MANY):
        bench.registry.add_model(f"m{number:03}", versions=1)
        bench.clock.advance(seconds=1)
    bench.watch.poll()
    bench.clock.advance(minutes=2)
    bench.watch.poll()  # by now, nothing else can have been updated before the first poll
    bench.clock.advance(minutes=1)
    bench.registry.request_counts.clear()
    return bench


@pytest.fixture
def large(bench: Bench) -> Bench:
    return fill(bench)


def test_a_quiet_poll_is_one_request_and_one_for_each_watched_model(large: Bench) -> None:
    assert large.watch.poll() == 0
    assert large.registry.request_counts == {"recently_updated": 1, "model": 1}  # churn has a version in Production


def test_an_updated_model_takes_one_more_request(large: Bench) -> None:
    large.registry.add_version("m007")
    assert large.watch.poll() == 1
    assert large.registry.request_counts == {"recently_updated": 1, "model": 1, "versions": 1}


def test_the_alias_of_a_version_in_production_is_read_at_every_poll(large: Bench) -> None:
    large.registry.set_alias("churn", "champion", 1)
    assert large.watch.poll() == 1


def test_another_alias_is_found_by_the_next_sweep(large: Bench) -> None:
    large.registry.set_alias("m007", "canary", 1)
    assert large.watch.poll() == 0
    large.clock.advance(seconds=SWEEP_SECONDS)
    assert large.watch.poll() == 1


def test_a_deleted_model_with_a_version_in_production_is_found_at_once(large: Bench) -> None:
    large.registry.delete_model("churn")
    assert large.watch.poll() == 1
    assert large.watch.poll() == 0


def test_another_deleted_model_is_found_by_the_next_sweep(large: Bench) -> None:
    large.registry.delete_model("m007")
    assert large.watch.poll() == 0
    large.clock.advance(seconds=SWEEP_SECONDS)
    assert large.watch.poll() == 1


def test_a_model_that_a_page_skipped_is_not_reported_as_deleted(large: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [model for model in large.registry.models() if model.name not in {"m007", "m008"}]
    large.registry.delete_model("m008")
    with monkeypatch.context() as patch:
        patch.setattr(large.registry, "models", lambda: listed)
        large.clock.advance(seconds=SWEEP_SECONDS)
        assert large.watch.poll() == 1
    assert [found.model for found in large.findings()] == ["m008"]


def test_a_change_that_becomes_visible_late_is_found(large: Bench) -> None:
    large.registry.add_version("m001")
    before = large.clock.now()
    large.clock.advance(seconds=30)
    large.registry.add_version("m002")
    large.registry._models["m001"].updated_at = before - timedelta(seconds=20)
    large.watch.poll()
    large.registry.add_version("m003")
    large.registry._models["m003"].updated_at = large.clock.now() - timedelta(seconds=50)
    assert large.watch.poll() == 1


def test_after_a_failed_poll_everything_is_read(large: Bench) -> None:
    large.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        large.watch.poll()
    large.registry.is_down = False
    large.registry.set_alias("m007", "canary", 1)
    assert large.watch.poll() == 1


def test_a_registry_that_can_t_sort_models_is_read_completely(large: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(since: object) -> None:
        raise RegistryRefused("This registry can't sort models.")

    monkeypatch.setattr(large.registry, "recently_updated", refuse)
    large.registry.set_alias("m007", "canary", 1)
    assert large.watch.poll() == 1


def test_a_model_that_changed_during_our_transition_is_read_again(large: Bench) -> None:
    large.registry.add_model("promoted", versions=[Stage.PRODUCTION, Stage.NONE])
    large.watch.poll()
    large.clock.advance(minutes=5)
    large.approved("promote promoted 2 production")
    found: list[int] = []

    def poll_during() -> None:
        large.registry.add_version("promoted")
        found.append(large.watch.poll())

    large.registry.after = poll_during
    large.moves.execute_due("promoted")
    large.clock.advance(minutes=5)
    assert (found, large.watch.poll()) == ([0], 1)


def test_files_that_moved_are_reported_for_the_whole_registry(large: Bench) -> None:
    large.registry.move_files("memory:/", "s3://new/")
    assert large.watch.poll() == 1
    with large.ledger.read() as reader:
        assert reader.active_hold()


def test_the_versions_of_many_models_are_listed_together(bench: Bench) -> None:
    for number in range(MANY):
        bench.registry.add_model(f"m{number:03}", versions=2)
    bench.registry.request_counts.clear()
    bench.watch.poll()
    assert bench.registry.request_counts == {"models": 1, "all_versions": 1}


def test_the_new_versions_of_many_models_share_one_message(large: Bench) -> None:
    for number in range(12):
        large.registry.add_version(f"m{number:03}")
    assert large.watch.poll() == 12
    assert large.watch.poll() == 0
    assert [note.key.split(":")[0] for note in large.notes()] == ["said"]
    assert large.told("said").startswith("12 models have new versions: m000 v2, m001 v2")


def test_the_new_versions_of_a_few_models_have_a_message_each(large: Bench) -> None:
    for number in range(5):
        large.registry.add_version(f"m{number:03}")
    large.watch.poll()
    assert [found.model for found in large.findings()] == [f"m{number:03}" for number in range(5)]


# Random histories


def change(random: Random, bench: Bench) -> None:
    """Change the registry at random, as people do in MLflow."""
    registry, models = bench.registry, bench.registry._models
    name = random.choice(sorted(models))
    numbers = sorted(models[name].versions)
    actions: list[Callable[[], Any]] = [lambda: registry.add_version(name)]
    if numbers:
        number = random.choice(numbers)
        actions += [
            lambda: registry.by_hand(name, number, random.choice([*Stage]), archive_existing=random.random() < 0.5),
            lambda: registry.set_alias(name, random.choice(["champion", "challenger", "canary"]), number),
            lambda: registry.delete_version(name, number),
            lambda: registry.delete_model(name),
            lambda: registry.rename_model(name, f"{name}x"),
        ]
    random.choice(actions)()


def leave_alone(bench: Bench) -> None:
    """Let the next poll decide what to read."""


def swept_only(bench: Bench) -> None:
    """Read everything at each poll."""
    bench.watch._cursor = None


@pytest.fixture
def twins(sqlite_url: str, tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    """Two benches whose registries change in the same way."""
    copy = shutil.copy(sqlite_url.removeprefix("sqlite:///"), tmp_path / "second.db")
    pair = bench_on(sqlite_url), bench_on(f"sqlite:///{copy}")
    yield pair
    for each in pair:
        each.ledger.close()


@pytest.mark.parametrize("seed", range(8))
def test_polls_and_a_sweep_leave_the_same_snapshots_as_sweeps_alone(twins: tuple[Bench, Bench], seed: int) -> None:
    snapshots = []
    for bench, before_poll in zip(twins, (leave_alone, swept_only), strict=True):
        fill(bench)
        random = Random(seed)  # noqa: S311 - test data
        for _ in range(30):
            for _ in range(random.randrange(4)):
                change(random, bench)
                bench.clock.advance(seconds=random.randrange(40))
            before_poll(bench)
            bench.watch.poll()
            bench.clock.advance(seconds=1)
        swept_only(bench)
        bench.watch.poll()
        with bench.ledger.read() as reader:
            snapshots.append(
                {
                    name: (snapshot.stages, snapshot.aliases, snapshot.marks)
                    for name, snapshot in reader.registry_snapshots().items()
                }
            )
    assert snapshots[0] == snapshots[1]


@pytest.mark.parametrize("seed", range(8))
def test_each_poll_finds_every_change_of_versions(bench: Bench, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - test data
    fill(bench)
    for _ in range(30):
        for _ in range(random.randrange(4)):
            change(random, bench)
            bench.clock.advance(seconds=random.randrange(40))
        bench.watch.poll()
        bench.clock.advance(seconds=1)
        with bench.ledger.read() as reader:
            snapshots = reader.registry_snapshots()
        for name, model in bench.registry._models.items():
            assert snapshots[name].stages == {number: each.stage for number, each in model.versions.items()}
