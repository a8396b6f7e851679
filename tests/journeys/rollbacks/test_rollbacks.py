"""Rollbacks end to end: one message, edited as the rollback proceeds, and refusals for people without permission."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn, Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, message_text, running_app
from tests.support.registry.memory import MemoryRegistry


@pytest.fixture
def served(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """Run the bot with `churn`: v3 was in Production at the first poll, and v4 was promoted since."""
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    with running_app(slack, tmp_path, registry) as app:
        app.registrar.poll_registry()
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        assert app.bob.clicks(app.card(), "Approve").acked
        app.card(holds="is in Production")
        yield app


def test_a_rollback_restores_the_previous_version_with_one_message(served: RunningApp) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    message = served.card(holds="rolled back from v4 to v3")
    assert served.production() == [3]
    assert "✓ Moved  ·  ✓ Verified in MLflow" in message_text(message)
    assert "`v4` is blocked from rollbacks and requests" in message_text(message)
    answer = served.answer(served.bob, "Rolled back")
    assert "verified in MLflow" in answer
    assert f"p{message['ts'].replace('.', '')}|See the message>" in answer
    assert served.bob.thread(message)[1:] == []
    rollbacks = [
        one for one in served.bob.sees(CHANNEL) if "rolled back" in message_text(one) and not one["is_ephemeral"]
    ]
    assert len(rollbacks) == 1


def test_a_refused_person_sees_who_can_roll_back(served: RunningApp) -> None:
    served.alice.types(CHANNEL, '/model rollback churn --reason "?"')
    assert "Only people who can roll back" in served.answer(served.alice, "roll back")
    assert served.production() == [4]


def test_without_a_reason_a_form_asks_for_it(served: RunningApp) -> None:
    served.bob.types(CHANNEL, "/model rollback churn")
    served.bob.waits_for_modal()
    assert served.bob.submits({"reason": "accuracy fell"}) is None
    served.card(holds="rolled back from v4 to v3")
    assert served.production() == [3]


def test_a_bare_rollback_opens_a_form_for_everything(served: RunningApp) -> None:
    served.bob.types(CHANNEL, "/model rollback")
    served.bob.waits_for_modal()
    assert served.bob.submits({"model": "churn", "version": "v3", "reason": "accuracy fell"}) is None
    served.card(holds="rolled back from v4 to v3")
    assert served.production() == [3]


def test_the_form_shows_an_error_under_the_field(served: RunningApp) -> None:
    served.bob.types(CHANNEL, "/model rollback")
    served.bob.waits_for_modal()
    errors = served.bob.submits({"model": "churn", "version": "v1", "reason": "accuracy fell"})
    assert errors is not None
    assert "has never been in Production" in errors["model"]
    assert served.production() == [4]


def test_a_form_that_anyone_can_open_rolls_back_only_for_those_who_can(served: RunningApp) -> None:
    served.alice.types(CHANNEL, "/model rollback")
    served.alice.waits_for_modal()
    errors = served.alice.submits({"model": "churn", "reason": "accuracy fell"})
    assert errors is not None
    assert "Only people who can roll back" in errors["model"]
    assert served.production() == [4]


def test_people_who_cannot_roll_back_get_no_form(served: RunningApp) -> None:
    served.alice.types(CHANNEL, "/model rollback churn")
    assert "Only people who can roll back" in served.answer(served.alice, "roll back")


# v1 is archived, v2 is in Staging; neither was ever in Production. v5 is registered in the test.
NEVER_SERVED = pytest.mark.parametrize("version", [1, 2, 5], ids=["archived", "in Staging", "just registered"])
FORCE = pytest.mark.parametrize("flag", ["", " --force"], ids=["plain", "forced"])


@FORCE
@NEVER_SERVED
def test_a_version_that_never_served_needs_a_promotion(served: RunningApp, version: int, flag: str) -> None:
    assert isinstance(served.registry, MemoryRegistry)
    served.registry.add_version("churn", run_id=served.registry.add_run())
    served.bob.types(CHANNEL, f'/model rollback churn {version}{flag} --reason "it is better"')
    told = served.answer(served.bob, "has never been in Production")
    assert f'/model promote churn {version} production --reason "…"' in told
    assert served.production() == [4]


@FORCE
def test_a_version_that_was_rolled_back_as_bad_needs_unblocking_or_a_promotion(served: RunningApp, flag: str) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    served.card(holds="rolled back from v4 to v3")
    served.bob.types(CHANNEL, f'/model rollback churn 4{flag} --reason "it is better"')
    told = served.answer(served.bob, "blocked")
    assert '/model unblock churn 4 --reason "…"' in told
    assert '/model promote churn 4 production --reason "…"' in told
    assert served.production() == [3]


@NEVER_SERVED
def test_no_form_opens_for_a_version_that_never_served(served: RunningApp, version: int) -> None:
    served.bob.types(CHANNEL, f"/model rollback churn {version}")
    served.answer(served.bob, "has never been in Production")
    assert served.bob.modals() == []


def test_an_admin_can_roll_back_without_being_listed_in_the_rule(served: RunningApp) -> None:
    served.slack.person("dave").types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    served.card(holds="rolled back from v4 to v3")
    assert served.production() == [3]


def test_a_rollback_during_a_freeze_works_and_mentions_the_freeze(served: RunningApp) -> None:
    served.bob.types(CHANNEL, '/model freeze churn --reason "end of the quarter"')
    served.answer(served.bob, "Froze")
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    message = served.card(holds="rolled back from v4 to v3")
    goes_through = "People can still roll back."
    assert goes_through in message_text(message)
    assert served.production() == [3]


def test_undo_opens_a_request_once_the_version_is_unblocked(served: RunningApp) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    message = served.card(holds="rolled back from v4 to v3")
    assert served.alice.clicks(message, "Request v4 again…").acked
    served.alice.waits_for_modal()
    assert served.alice.submits() is None
    assert '/model unblock churn 4 --reason "…"' in served.answer(served.alice, "No request was opened")
    served.bob.types(CHANNEL, '/model unblock churn 4 --reason "it was the feature store"')
    served.answer(served.bob, "Unblocked")
    assert served.alice.clicks(message, "Request v4 again…").acked
    served.alice.waits_for_modal()
    assert served.alice.submits() is None
    served.card(holds="Promote churn v4 to Production?")
    assert served.production() == [3]


def test_a_version_is_unblocked_with_a_reason(served: RunningApp) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    served.card(holds="rolled back from v4 to v3")
    served.alice.types(CHANNEL, '/model unblock churn 4 --reason "mine"')
    served.answer(served.alice, "Only people who can roll back")
    served.bob.types(CHANNEL, '/model unblock churn 4 --reason "it was the feature store"')
    served.bob.waits_for(
        CHANNEL, lambda message: "unblocked `v4`" in message_text(message) and not message["is_ephemeral"]
    )


def test_the_command_s_earlier_name_still_unblocks(served: RunningApp) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    served.card(holds="rolled back from v4 to v3")
    served.bob.types(CHANNEL, '/model clear churn 4 --reason "it was the feature store"')
    served.bob.waits_for(
        CHANNEL, lambda message: "unblocked `v4`" in message_text(message) and not message["is_ephemeral"]
    )


def test_every_view_and_decision_shows_that_a_version_is_blocked(slack: LocalSlack, tmp_path: Path) -> None:
    registry = MemoryRegistry()
    registry.add_model("churn")
    for number, stage in ((1, Stage.PRODUCTION), (2, Stage.NONE)):
        registry.add_run(f"run{number}", metrics={"f1": 0.8 + number / 100})
        registry.add_version("churn", run_id=f"run{number}", stage=stage)
    rule = {"approvers": ["lead"], "override": ["admin"]}
    with running_app(slack, tmp_path, registry, policy=make_policy({"models": {"*": {"production": rule}}})) as app:
        app.registrar.poll_registry()
        app.alice.types(CHANNEL, "/model promote churn 2 production")
        assert app.bob.clicks(app.card(), "Approve").acked
        app.card(holds="is in Production")
        app.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
        app.card(holds="rolled back from v2 to v1")

        app.alice.types(CHANNEL, "/model show churn")
        assert "⛔ rolled back" in app.answer(app.alice, "2 versions")
        app.alice.types(CHANNEL, "/model show churn 2")
        assert '/model unblock churn 2 --reason "…"' in app.answer(app.alice, "`churn` `v2`")
        app.alice.types(CHANNEL, "/model best churn f1")
        assert "`v2` is blocked: rolled back" in app.answer(app.alice, "has the highest `f1`")
        app.alice.types(CHANNEL, "/model compare churn")
        compared = app.alice.waits_for_direct_message(lambda m: "v2 ⛔" in message_text(m))
        assert "accuracy fell." in message_text(compared)

        app.alice.types(CHANNEL, "/model promote churn 2 production")
        card = app.card(holds="churn v2 → Production is blocked after a rollback, unblock or override needed")
        assert "blocked, rolled back" in message_text(card)
        app.bob.opens_home()
        app.bob.waits_for_home(lambda view: "blocked, rolled back" in message_text(view))
        app.bob.types(CHANNEL, '/model unblock churn 2 --reason "it was the feature store"')
        app.bob.waits_for(
            CHANNEL, lambda message: "Promote churn v2" in message_text(message) and "⛔" not in message_text(message)
        )


def columns(*names: str) -> ModelPackage:
    return ModelPackage(signature=Signature(inputs=tuple(SignatureColumn(name=name, type="long") for name in names)))


def test_the_card_shows_breaking_changes_and_that_no_rollback_undoes_them(slack: LocalSlack, tmp_path: Path) -> None:
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.PRODUCTION, Stage.NONE])
    registry.add_package(registry.version("churn", 1), columns("age"))
    registry.add_package(registry.version("churn", 2), columns("age", "<!channel>"))
    with running_app(slack, tmp_path, registry) as app:
        app.registrar.poll_registry()
        app.alice.types(CHANNEL, "/model promote churn 2 production")
        card = app.card()
        assert "*Breaking for callers:* input `&lt;!channel&gt;` was added and is required" in message_text(card)
        undone = "No automatic rollback from this version to `v1`: its signature differs"
        assert undone in message_text(card)
