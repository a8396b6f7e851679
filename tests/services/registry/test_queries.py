"""Lookups of models, versions, requests, and history return complete answers and change nothing."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from bot.domain.commands.parser import parse_command
from bot.domain.commands.registry import ListModels
from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.errors import FilesUnreachable, Refused, UnknownModel, UnknownRequest
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import ModelPackage, Stage, parse_version_ref
from bot.domain.rollbacks.history import TimeWindow, periods_in_window
from bot.domain.rollbacks.history_messages import describe_production_at
from bot.domain.rollbacks.rollback_targets import serving_periods
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger.stores import transitions as transition_store
from bot.services.core.access import AccessControl
from bot.services.rollbacks import history
from tests.support.services.bench import ALICE, BOB, GUEST, STRANGER, Bench


def promote(bench: Bench, version: int) -> None:
    """Put a version into Production, one minute after the previous change."""
    bench.clock.advance(minutes=1)
    bench.approved(f"promote churn {version} production")
    bench.moves.execute_due("churn")


def test_models_are_found_by_a_part_of_their_name(bench: Bench) -> None:
    bench.registry.add_model("fraud")
    assert [model.name for model in bench.lookups.handlers()[ListModels](ListModels(text="RAU"))] == ["fraud"]


def test_a_model_is_shown_with_versions_newest_first_and_their_aliases(bench: Bench) -> None:
    view = bench.lookups.model_view("churn")
    assert [(one.version, one.aliases) for one in view.versions] == [(4, ()), (3, ("champion",)), (2, ()), (1, ())]


def test_a_model_is_shown_with_its_open_requests(bench: Bench) -> None:
    waiting = bench.open()
    bench.reject(bench.open("promote churn 4 staging"))
    assert bench.lookups.model_view("churn").requests == [waiting]


def test_one_version_is_shown(bench: Bench) -> None:
    shown = bench.lookups.version("churn", parse_version_ref("production"))
    assert (shown.version, shown.aliases) == (3, ("champion",))


def test_a_card_shows_who_deployed_the_version(bench: Bench) -> None:
    promote(bench, 4)
    card = bench.lookups.version_card("churn", parse_version_ref("production")).card
    assert (card.deployed_by, card.deployment_date) == ("UBOB", bench.clock.now())


@pytest.mark.parametrize(
    ("flavor", "tags", "said"),
    [
        ("sklearn", {}, "LogisticRegression"),
        ("sklearn", {"estimator_name": "Lasso"}, "Lasso"),
        ("pytorch", {}, None),
    ],
)
def test_a_card_takes_an_unlogged_algorithm_from_the_files(
    bench: Bench, flavor: str, tags: dict[str, str], said: str | None
) -> None:
    bench.registry.add_run("run1", tags=tags)
    version = bench.registry.register_version("churn", "run1", tags={})
    bench.registry.add_package(version, ModelPackage(flavors=(flavor,)))
    bench.registry.add_estimator(version, "LogisticRegression")
    bench.registry.request_counts.clear()
    assert bench.lookups.version_card("churn", parse_version_ref("5")).card.algorithm == said
    assert bench.registry.request_counts["estimator"] == (said == "LogisticRegression")


def test_an_unreadable_model_file_leaves_out_only_the_algorithm(bench: Bench) -> None:
    bench.registry.add_run("run1", params={"C": "1"})
    version = bench.registry.register_version("churn", "run1", tags={})
    bench.registry.add_package(version, ModelPackage(flavors=("sklearn",)))

    def refuse(version: object) -> None:
        raise FilesUnreachable("the download timed out")

    bench.registry.estimator_class = refuse  # type: ignore[method-assign]
    found = bench.lookups.version_card("churn", parse_version_ref("5")).card
    assert (found.algorithm, found.framework, dict(found.hyperparameters)) == (None, "sklearn", {"C": "1"})


def test_a_card_names_no_one_for_a_change_made_in_mlflow(bench: Bench) -> None:
    bench.watch.poll()
    card = bench.lookups.version_card("churn", parse_version_ref("production")).card
    assert (card.deployed_by, card.deployment_date) == (None, None)


def test_an_unknown_model_suggests_the_closest_name(bench: Bench) -> None:
    with pytest.raises(UnknownModel, match="Did you mean “churn”"):
        bench.lookups.model_view("chrn")


def test_open_requests_are_listed_newest_first(bench: Bench) -> None:
    first = bench.open("promote churn 4 staging")
    bench.clock.advance(minutes=1)
    second = bench.open("promote churn 4 production")
    assert [one.id for one, _ in bench.execute(BOB, "requests").view] == [second.id, first.id]


def test_requests_of_one_model_are_listed(bench: Bench) -> None:
    bench.open()
    assert bench.execute(BOB, "requests fraud").view == []


def test_a_request_is_shown_with_its_votes(bench: Bench) -> None:
    request = bench.approved()
    [(listed, votes)] = bench.execute(BOB, "requests churn").view
    assert (listed.id, [vote.voter for vote in votes]) == (request.id, [BOB.person])


def test_an_unknown_request_id_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownRequest, match="Request “rnever” doesn't exist"), bench.ledger.read() as reading:
        reading.request("rnever")


# -- history -----------------------------------------------------------------------------------------------------------


def test_history_shows_versions_and_when_they_ended(bench: Bench) -> None:
    bench.watch.poll()
    promote(bench, 4)
    promote(bench, 2)
    terms = bench.history.serving_periods("churn", 10)
    assert [(term.started_by.version, term.ended_by and term.ended_by.version) for term in terms] == [
        (2, None),
        (4, 2),
        (3, 4),
    ]


def test_a_repair_does_not_start_a_new_period(bench: Bench) -> None:
    promote(bench, 4)
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.registry.by_hand("churn", 3, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    finding = next(one for one in bench.findings() if one.mend)
    assert finding.mend == 4
    bench.tending.repair_stage(BOB, finding.id, origin="slack")
    bench.moves.execute_due("churn")
    assert [(term.started_by.version, term.started_by.kind) for term in bench.history.serving_periods("churn", 10)] == [
        (4, TransitionKind.PROMOTION)
    ]


def test_history_shows_what_served_before_registrar(bench: Bench) -> None:
    bench.watch.poll()
    [term] = bench.history.serving_periods("churn", 10)
    assert term.started_by.kind is TransitionKind.OBSERVED


def test_history_shows_an_empty_production(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.registry.by_hand("churn", 3, Stage.ARCHIVED)
    bench.watch.poll()
    [term] = bench.history.serving_periods("churn", 10)
    assert term.ended_by is not None


def test_history_ignores_staging(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.approved("promote churn 4 staging")
    bench.moves.execute_due("churn")
    assert [term.started_by.version for term in bench.history.serving_periods("churn", 10)] == [3]


def test_history_leaves_out_unfinished_transitions(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.approved()
    bench.registry.delete_version("churn", 4)
    bench.moves.execute_due("churn")
    assert [term.started_by.version for term in bench.history.serving_periods("churn", 10)] == [3]


def test_history_has_the_requested_length(bench: Bench) -> None:
    bench.watch.poll()
    promote(bench, 4)
    assert len(bench.history.serving_periods("churn", 1)) == 1


def test_history_of_a_model_without_one_is_empty(bench: Bench) -> None:
    bench.registry.add_model("new", versions=1)
    assert bench.history.serving_periods("new", 10) == []


def test_history_of_an_unknown_model_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownModel):
        bench.history.serving_periods("xyzzy", 10)


def test_history_remains_after_the_model_is_deleted(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.is_down = True
    assert len(bench.history.serving_periods("churn", 10)) == 1


def at(bench: Bench, typed: str) -> str:
    command = parse_command(f"history churn --at {typed}")
    assert isinstance(command, ShowHistory)
    return str(describe_production_at(bench.history.timeline(command)))


def test_the_version_at_a_time_is_reported(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(hours=26)
    promote(bench, 4)
    bench.clock.advance(days=2)
    assert "v3 of “churn” was in Production at 2026-05-05 00:00 UTC" in at(bench, "2026-05-05T00:00")
    assert at(bench, "2026-05-05").startswith("Production of “churn” on 5 May 2026 (UTC): v3, then v4 from")
    assert at(bench, "2026-05-06") == "v4 of “churn” was in Production all day on 6 May 2026 (UTC)."
    assert at(bench, "2026-05-03").startswith(
        "No record: Registrar has been watching “churn” only since 2026-05-04 12:00"
    )


def test_a_promotion_in_the_history_comes_with_its_request(bench: Bench) -> None:
    promote(bench, 4)
    found = bench.history.timeline(ShowHistory(model="churn"))
    [request] = found.requests.values()
    assert found.periods[0].started_by.request == request.id


def test_a_model_that_was_never_in_production_has_no_version_at_a_time(bench: Bench) -> None:
    bench.registry.add_model("new", versions=1)
    bench.watch.poll()
    bench.clock.advance(days=1)
    found = bench.history.timeline(ShowHistory(model="new", at=bench.clock.now()))
    assert str(describe_production_at(found)).startswith("No version of “new” was in Production at")


# -- permissions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [ALICE, GUEST], ids=["member", "guest"])
def test_members_and_guests_can_read(bench: Bench, who: object) -> None:
    AccessControl(bench.context).require_permission(who, Permission.READ, model="churn", origin="slack")  # type: ignore[arg-type]  # a Profile
    assert bench.tags() == []


def test_outsiders_cannot_read_and_the_refusal_is_audited(bench: Bench) -> None:
    with pytest.raises(Refused, match="Only members of this workspace"):
        AccessControl(bench.context).require_permission(STRANGER, Permission.READ, model="churn", origin="slack")
    assert bench.tags() == ["person:registry:refused"]


# -- long histories ----------------------------------------------------------------------------------------------------

CAUSES = (TransitionKind.PROMOTION, TransitionKind.ROLLBACK, TransitionKind.REPAIR, TransitionKind.OBSERVED)


def long_life(bench: Bench, seed: int, number: int = 60) -> list[Transition]:
    """Add many transitions of all kinds into and out of Production of `churn`; return them newest first."""
    dice = random.Random(seed)  # noqa: S311 - dice for a test
    made: list[Transition] = []
    with bench.ledger.write() as tx:
        for at in range(number):
            then = bench.clock.now() - timedelta(hours=number - at)
            into = dice.random() < 0.8
            state = dice.choice([TransitionState.DONE] * 4 + [TransitionState.FAILED])
            move = Transition(
                id=f"old-{at}",
                kind=dice.choice(CAUSES) if into else TransitionKind.OBSERVED,
                model="churn",
                version=dice.randint(1, 3),
                from_stage=Stage.STAGING if into else Stage.PRODUCTION,
                target=Stage.PRODUCTION if into else Stage.ARCHIVED,
                expected_incumbent=None,
                actor=BOB.person,
                intended_at=then,
                state=state,
                finished_at=then + timedelta(minutes=dice.randint(0, 50)) if state is TransitionState.DONE else None,
            )
            tx.add_transition(move)
            made.insert(0, move)
    return made


@pytest.mark.parametrize("seed", range(8))
def test_a_long_history_read_in_pages_has_the_same_answers(
    bench: Bench, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "TRANSITIONS_PAGE_SIZE", 3)
    monkeypatch.setattr(transition_store, "CONTEXT_ROWS", 2)
    transition_store.select_transitions.cache_clear()
    whole = serving_periods(long_life(bench, seed))
    for last in (1, 2, 5, 50):
        found = bench.history.timeline(ShowHistory(model="churn", last=last))
        assert (found.periods, found.has_older) == (tuple(whole[:last]), len(whole) > last)
        assert found.watched_since == whole[-1].since
    for hours in range(0, 70, 2):
        at = bench.clock.now() - timedelta(hours=hours, minutes=7)
        found = bench.history.timeline(ShowHistory(model="churn", at=at))
        assert found.periods == periods_in_window(whole, TimeWindow(at))
        assert found.before == next((one for one in whole if one.since <= at), None)
        assert found.after == next((one for one in reversed(whole) if one.since > at), None)
    transition_store.select_transitions.cache_clear()
