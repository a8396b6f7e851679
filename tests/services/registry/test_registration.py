"""A run is registered once, the version gets a semver with reasons, and the channel is notified."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Operator
from bot.domain.core.errors import Busy, Refused, RegistryRefused, RegistryUnreachable, UnknownRun, UnknownVersion
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn, Stage
from bot.ports import Claim
from bot.services.registry import registration
from tests.support.services.bench import ALICE, GUEST, Bench, second_bench

INTEGER = Signature(
    inputs=(SignatureColumn(name="tenure", type="integer"),), outputs=(SignatureColumn(name="p", type="double"),)
)
STRING = Signature(
    inputs=(SignatureColumn(name="tenure", type="string"),), outputs=(SignatureColumn(name="p", type="double"),)
)


@pytest.fixture
def bench_with_runs(bench: Bench) -> Bench:
    """Return a bench with `fraud` v1 (run `old`) in Production, and unregistered runs `new` and `newer`."""
    bench.registry.add_run("old", metrics={"f1": 0.8}, params={"C": "1"})
    for run in ("new", "newer"):
        bench.registry.add_run(run, metrics={"f1": 0.9}, params={"C": "1"})
    bench.registry.add_model("fraud")
    first = bench.registry.register_version("fraud", "old", tags={"semver": "1.4.0"})
    bench.registry.transition_stage("fraud", 1, Stage.PRODUCTION, archive_existing=True)
    bench.registry.add_package(first, ModelPackage(flavors=("sklearn",), signature=INTEGER))
    return bench


def test_the_first_version_is_1_0_0(bench: Bench) -> None:
    bench.registry.add_run("run1", metrics={"f1": 0.9})
    done = bench.do("register run1 brand_new --description 'wider trees' --tag owner=ann --tag use_case=retention")
    version = bench.registry.version("brand_new", 1)
    assert version.semver == "1.0.0"
    assert (version.description, version.tags["owner"], version.tags["use_case"]) == ("wider trees", "ann", "retention")
    assert "Registered v1 of “brand_new” as 1.0.0" in str(done.answer)


def test_a_breaking_signature_is_a_major_bump_and_names_the_input(bench_with_runs: Bench) -> None:
    bench = bench_with_runs
    made = bench.registry.register_version  # the package exists as soon as the version does

    def register(*args: str, **kwargs: object) -> object:
        version = made(*args, **kwargs)  # type: ignore[arg-type]  # passed on as given
        bench.registry.add_package(version, ModelPackage(flavors=("sklearn",), signature=STRING))
        return version

    bench.registry.register_version = register  # type: ignore[method-assign, assignment]
    done = bench.do("register new fraud")
    assert bench.registry.version("fraud", 2).semver == "2.0.0"
    assert "input tenure changed from integer to string" in str(done.answer)


def test_a_different_model_class_is_a_major_bump(bench_with_runs: Bench) -> None:
    bench = bench_with_runs
    bench.registry.add_estimator(bench.registry.version("fraud", 1), "LogisticRegression")
    made = bench.registry.register_version

    def register(*args: str, **kwargs: object) -> object:
        version = made(*args, **kwargs)  # type: ignore[arg-type]  # passed on as given
        bench.registry.add_package(version, ModelPackage(flavors=("sklearn",), signature=INTEGER))
        bench.registry.add_estimator(version, "RandomForestClassifier")
        return version

    bench.registry.register_version = register  # type: ignore[method-assign, assignment]
    done = bench.do("register new fraud")
    assert bench.registry.version("fraud", 2).semver == "2.0.0"
    assert "algorithm changed from LogisticRegression to RandomForestClassifier" in str(done.answer)


def test_a_person_can_choose_the_bump(bench_with_runs: Bench) -> None:
    bench_with_runs.do("register new fraud --bump minor")
    assert bench_with_runs.registry.version("fraud", 2).semver == "1.5.0"


def test_an_earlier_version_of_the_same_run_is_mentioned(bench_with_runs: Bench) -> None:
    assert "v1 was registered from the same run" in str(bench_with_runs.do("register old fraud").answer)


def test_an_unknown_run_changes_nothing(bench: Bench) -> None:
    with pytest.raises(UnknownRun, match="no run “nope”"):
        bench.do("register nope fraud")
    assert bench.registry.models("fraud") == []
    assert bench.events()[-1].tag is EventTag.REGISTRY_CHANGE_REFUSED


def test_a_deleted_run_is_refused(bench: Bench) -> None:
    bench.registry.add_run("gone", is_deleted=True)
    with pytest.raises(UnknownRun, match="deleted"):
        bench.do("register gone fraud")


def test_a_registration_waits_for_another_process_that_registers_the_same_model(
    bench_with_runs: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "LOCK_TIMEOUT", 0.0)
    bench, other = bench_with_runs, second_bench(bench_with_runs)
    now = bench.clock.now()
    with bench.ledger.write() as tx:
        tx.acquire_lease("register:fraud", Claim(other.owner, now, now + timedelta(seconds=60)))
    with pytest.raises(Busy, match="being registered right now"):
        bench.do("register new fraud")
    assert [one.version for one in bench.registry.versions("fraud")] == [1]
    bench.clock.advance(seconds=61)  # the other process has died
    bench.errands.execute_due()
    assert [one.version for one in bench.registry.versions("fraud")] == [2, 1]


def test_only_one_of_two_processes_executes_a_registration(bench_with_runs: Bench) -> None:
    bench, other = bench_with_runs, second_bench(bench_with_runs)
    bench.ask("register new fraud")
    bench.clock.advance(seconds=16)  # the process that recorded it has died
    assert [len(one.errands.execute_due()) for one in (bench, other)] == [1, 0]
    assert [one.version for one in bench.registry.versions("fraud")] == [2, 1]


def test_a_lost_response_does_not_create_a_second_version(bench: Bench) -> None:
    bench.registry.add_run("run1")
    ask = bench.ask("register run1 fraud")
    made = bench.registry.register_version

    def register(*args: str, **kwargs: object) -> object:
        bench.registry.register_version = made  # type: ignore[method-assign]
        made(*args, **kwargs)  # type: ignore[arg-type]  # passed on as given
        raise RegistryUnreachable("no answer")

    bench.registry.register_version = register  # type: ignore[method-assign, assignment]
    with pytest.raises(RegistryUnreachable):
        bench.errands.execute(ask.id)
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert [one.semver for one in bench.registry.versions("fraud")] == ["1.0.0"]
    assert "Registered v1" in bench.told("direct:ask")


def hold_up(bench: Bench, call: str, meanwhile: Callable[[], object]) -> None:
    """Run something right before the registry's next `call`, as can happen while MLflow is slow."""
    real = getattr(bench.registry, call)

    def late(*args: object, **kwargs: object) -> object:
        setattr(bench.registry, call, real)
        meanwhile()
        return real(*args, **kwargs)

    setattr(bench.registry, call, late)


def lose_the_answer(bench: Bench, call: str) -> None:
    """Make the registry's next `call` take effect but lose its response."""
    real = getattr(bench.registry, call)

    def lost(*args: object, **kwargs: object) -> None:
        setattr(bench.registry, call, real)
        real(*args, **kwargs)
        raise RegistryUnreachable("no answer")

    setattr(bench.registry, call, lost)


@pytest.mark.parametrize("call", ["register_version", "set_tags"])
def test_a_semver_stays_if_the_response_to_writing_it_is_lost(bench_with_runs: Bench, call: str) -> None:
    bench = bench_with_runs
    ask = bench.ask("register new fraud")
    lose_the_answer(bench, call)
    with pytest.raises(RegistryUnreachable):
        bench.errands.execute(ask.id)
    after_that = bench.do("register newer fraud --bump major").answer
    bench.registry.transition_stage(
        "fraud", 3, Stage.PRODUCTION, archive_existing=True
    )  # a different base and highest semver
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    semvers = {one.version: one.semver for one in bench.registry.versions("fraud")}
    assert semvers[1] == "1.4.0"
    assert semvers[2] != semvers[3]
    assert f"as {semvers[3]}" in str(after_that)
    assert f"as {semvers[2]}" in bench.told("direct:ask")
    if call == "set_tags":  # the semver was assigned before the other version's
        assert (semvers[2], semvers[3]) == ("1.4.1", "2.0.0")


def test_a_retry_that_overtakes_a_slow_attempt_keeps_the_semver(bench_with_runs: Bench) -> None:
    bench, other = bench_with_runs, second_bench(bench_with_runs)
    ask = bench.ask("register new fraud")

    def overtake() -> None:
        bench.clock.advance(seconds=91)  # the lease has expired, and the next attempt is due
        assert len(other.errands.execute_due()) == 1
        other.do("register newer fraud --bump major")

    hold_up(bench, "set_tags", overtake)
    bench.errands.execute(ask.id)
    assert [(one.version, one.semver) for one in bench.registry.versions("fraud")] == [
        (3, "2.0.0"),
        (2, "1.4.1"),
        (1, "1.4.0"),
    ]
    assert [event.evidence["semver"] for event in bench.events() if event.tag is EventTag.REGISTERED] == [
        "1.4.1",
        "2.0.0",
    ]


def test_two_processes_never_assign_the_same_semver(bench_with_runs: Bench) -> None:
    bench, other = bench_with_runs, second_bench(bench_with_runs)
    ask = bench.ask("register new fraud")

    def overtake() -> None:
        bench.clock.advance(seconds=91)  # the lease has expired, so the other process doesn't wait
        other.do("register newer fraud")

    hold_up(bench, "package", overtake)
    with pytest.raises(Busy):
        bench.errands.execute(ask.id)
    bench.clock.advance(seconds=10)
    bench.errands.execute_due()
    assert [(one.version, one.semver) for one in bench.registry.versions("fraud")] == [
        (3, "1.4.1"),
        (2, "1.4.2"),
        (1, "1.4.0"),
    ]


def test_a_recorded_semver_is_never_given_to_another_version(bench_with_runs: Bench) -> None:
    bench = bench_with_runs
    ask = bench.ask("register new fraud")

    def break_down() -> None:
        raise RegistryUnreachable("no answer")

    hold_up(bench, "set_tags", break_down)
    with pytest.raises(RegistryUnreachable):
        bench.errands.execute(ask.id)
    bench.do("register newer fraud")
    assert bench.registry.version("fraud", 3).semver == "1.4.2"
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.registry.version("fraud", 2).semver == "1.4.1"


def test_the_reasons_stay_with_the_semver(bench_with_runs: Bench) -> None:
    bench = bench_with_runs
    ask = bench.ask("register new fraud --bump minor")
    lose_the_answer(bench, "set_tags")
    with pytest.raises(RegistryUnreachable):
        bench.errands.execute(ask.id)
    bench.registry.transition_stage("fraud", 1, Stage.ARCHIVED, archive_existing=False)
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    [registered] = [event for event in bench.events() if event.tag is EventTag.REGISTERED]
    assert "minor bump requested" in registered.why
    assert f"as 1.5.0: {registered.why}" in bench.told("direct:ask")


def test_a_version_deleted_before_the_retry_is_not_recreated(bench_with_runs: Bench) -> None:
    bench = bench_with_runs
    ask = bench.ask("register new fraud")
    lose_the_answer(bench, "set_tags")
    with pytest.raises(RegistryUnreachable):
        bench.errands.execute(ask.id)
    bench.registry.delete_version("fraud", 2)
    with pytest.raises(UnknownVersion, match="v2 of “fraud” was registered, but MLflow no longer has it"):
        bench.errands.execute(ask.id)
    assert [one.version for one in bench.registry.versions("fraud")] == [1]


def test_the_helper_tag_is_removed_after_registration(bench_with_runs: Bench) -> None:
    bench = bench_with_runs
    bench.do("register new fraud")
    assert "registrar.ask" in bench.registry.version("fraud", 2).tags
    bench.mirror.write_due()
    assert dict(bench.registry.version("fraud", 2).tags) == {"semver": "1.4.1"}


def test_the_helper_tag_stays_while_a_retry_can_need_it(bench_with_runs: Bench) -> None:
    bench = bench_with_runs
    ask = bench.ask("register new fraud")
    lose_the_answer(bench, "register_version")
    with pytest.raises(RegistryUnreachable):
        bench.errands.execute(ask.id)
    bench.mirror.write_due()
    assert bench.registry.version("fraud", 2).tags["registrar.ask"] == ask.id


def test_the_channel_is_notified_once_with_the_person(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.add_run("run1")
    bench.do("register run1 churn")
    bench.watch.poll()
    [found] = bench.findings()
    assert (found.versions, found.by) == ((5,), ALICE.person)


def test_the_channel_gets_the_semver(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.add_run("run1")
    bench.do("register run1 churn")
    assert str(bench.findings()[0].lines[0]) == "Semver 1.0.0"


def test_a_poll_during_registration_does_not_announce_the_version(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.add_run("run1")
    set_tags = bench.registry.set_tags

    def look_first(*args: object) -> None:
        bench.watch.check_model("churn")  # as if MLflow's webhook reported a new version
        set_tags(*args)  # type: ignore[arg-type]  # passed on as given

    bench.registry.set_tags = look_first  # type: ignore[method-assign, assignment]
    bench.do("register run1 churn")
    [found] = bench.findings()
    assert (found.by, str(found.lines[0])) == (ALICE.person, "Semver 1.0.0")


def test_a_version_whose_registration_failed_later_is_announced_by_the_poll(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.add_run("run1")

    def refuse(*args: object) -> None:
        bench.watch.check_model("churn")
        raise RegistryRefused("no tags here")

    bench.registry.set_tags = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(RegistryRefused):
        bench.do("register run1 churn")
    bench.watch.poll()
    [found] = bench.findings()
    assert (found.versions, found.by) == ((5,), None)


def test_a_registration_is_audited(bench: Bench) -> None:
    bench.registry.add_run("run1")
    bench.do("register run1 churn")
    asked, registered = bench.events()[-2:]
    assert (asked.tag, registered.tag) == (EventTag.REGISTRY_CHANGE_REQUESTED, EventTag.REGISTERED)
    assert registered.evidence["semver"] == "1.0.0"


def test_a_terminal_user_can_register(bench: Bench) -> None:
    bench.registry.add_run("run1")
    bench.do("register run1 churn", who=Operator("ann"))
    assert len(bench.registry.versions("churn")) == 5


def test_a_guest_cannot_register(bench: Bench) -> None:
    with pytest.raises(Refused, match="Guests can view"):
        bench.do("register run1 churn", who=GUEST)
    assert len(bench.registry.versions("churn")) == 4
