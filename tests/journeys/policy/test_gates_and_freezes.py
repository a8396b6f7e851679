"""Gates, overrides, votes taken back, freezes, reminders, Home and the audit: by people, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.registry.model import Stage
from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.gates import GATES, policy_with, registry_with_metrics
from tests.support.app.harness import audit_links, only_request, reply_to, type_and_read_reply
from tests.support.waiting import wait_until


@pytest.fixture
def clock() -> AdjustableClock:
    """The bot's clock."""
    return AdjustableClock()


@pytest.fixture
def gated(slack: LocalSlack, tmp_path: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """The bot under a policy with gates that an admin may let pass."""
    policy = policy_with(gates=GATES, override=["admin"], remind_after="4h")
    with running_app(slack, tmp_path, registry_with_metrics(), policy=policy, clock=clock) as app:
        yield app


@pytest.fixture
def strict(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot under a policy with gates that nobody may let pass."""
    with running_app(slack, tmp_path, registry_with_metrics(), policy=policy_with(gates=GATES)) as app:
        yield app


def dave(app: RunningApp) -> Any:
    return app.slack.person("dave")


# -- gates -------------------------------------------------------------------------------------------------------------


def test_the_card_shows_figures_against_the_incumbent_and_every_gate(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    shown = message_text(gated.card())
    assert "`accuracy` 0.91 (+0.03 better)" in shown.replace("`0.91`", "0.91")
    assert "✅ `accuracy` 0.91, wanted: ≥ 0.85" in shown
    assert "✅ `latency_ms` 22 (+2 against v3)" in shown


def test_a_version_that_fails_a_gate_which_nobody_may_let_pass_is_not_asked_for(strict: RunningApp) -> None:
    answer = type_and_read_reply(strict.alice, "/model promote churn 5 production")
    assert "`accuracy` is 0.8, wanted: ≥ 0.85" in answer
    assert "/model validate churn 5" in answer
    assert audit_links(strict.ledger, EventTag.REQUEST_OPENED) == []
    [refused] = audit_links(strict.ledger, EventTag.PROMOTION_REFUSED)
    assert [gate["passed"] for gate in refused.event.evidence["seen"]["gates"]] == [False, False]


def test_a_failed_gate_blocks_until_whom_the_policy_names_lets_it_pass(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 5 production")
    card = gated.card(holds="❌")
    assert "a gate failed" in reply_to(gated.bob, lambda: gated.bob.clicks(card, "Approve"))
    assert gated.production() == [3]
    assert "does not let you pass" in reply_to(gated.bob, lambda: gated.bob.clicks(card, "Let gates pass…"))
    dave(gated).clicks(card, "Let gates pass…")
    dave(gated).waits_for_modal()
    assert dave(gated).submits({"reason": "the incumbent is down"}) is None
    done = gated.card(holds="is in Production")
    assert "let pass by <@U0DAVE>: the incumbent is down" in message_text(done)
    assert gated.production() == [5]
    [event] = audit_links(gated.ledger, EventTag.GATES_OVERRIDDEN)
    assert event.event.evidence["by"]["roles"] == ["admin"]


def test_validating_asks_for_nothing(gated: RunningApp) -> None:
    assert "all 2 gates pass" in type_and_read_reply(gated.alice, "/model validate churn 4")
    assert "2 of 2 gates fail" in type_and_read_reply(gated.alice, "/model validate churn 5")
    assert audit_links(gated.ledger, EventTag.PROMOTION_REQUESTED) == []


def test_an_asker_s_own_results_are_shown_as_theirs_and_mirrored(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production --validation recall=0.7")
    assert "own validation: `recall` `0.7`" in message_text(gated.card())
    gated.registrar.tag_writer.write_due()
    wait_until(lambda: gated.registry.version("churn", 4).tags.get("validation_recall") == "0.7")


# -- out of date -------------------------------------------------------------------------------------------------------


def test_a_request_whose_version_was_measured_anew_is_out_of_date_and_can_be_asked_for_again(gated: RunningApp) -> None:
    assert isinstance(gated.registry, MemoryRegistry)
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    gated.registry.add_run("run4", metrics={"accuracy": 0.9, "latency_ms": 22.0})
    gated.bob.clicks(card, "Approve")
    stale = gated.card(holds="out of date")
    assert "`accuracy` was 0.91 and is 0.9" in message_text(stale).replace("accuracy was", "`accuracy` was")
    assert gated.production() == [3]
    gated.alice.clicks(stale, "Ask again")
    gated.bob.clicks(gated.card(holds="Promote churn v4"), "Approve")
    gated.card(holds="is in Production")
    assert gated.production() == [4]


def test_an_incumbent_that_somebody_moved_in_mlflow_ends_the_request_at_the_next_look(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.registry.transition_stage("churn", 2, Stage.PRODUCTION, archive_existing=True)
    gated.registrar.poll_registry()
    assert "Production held v3 when this was asked and holds v2 now" in message_text(gated.card(holds="out of date"))


# -- votes -------------------------------------------------------------------------------------------------------------


def test_a_vote_can_be_taken_back_by_the_button_under_its_answer(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, registry_with_metrics(), policy=policy_with(required=2)) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        card = app.card()
        app.bob.clicks(card, "Approve")
        answer = app.bob.waits_for(
            CHANNEL, lambda m: m.get("is_ephemeral") and "is recorded: 1 of 2" in message_text(m)
        )
        app.bob.clicks(answer, "Take it back")
        assert "0 of 2" in app.answer(app.bob, "is taken back")
        app.card(holds="0 of 2")
        slack.person("carol").clicks(card, "Approve")
        app.card(holds="1 of 2")
        assert app.production() == [3]


def test_nobody_takes_back_what_they_did_not_vote(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.alice.types(CHANNEL, f"/model withdraw {only_request(gated.ledger).id}")
    gated.answer(gated.alice, "You have not voted")


# -- freezes -----------------------------------------------------------------------------------------------------------


def test_while_production_is_frozen_nobody_approves_and_everybody_reads_why(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    assert "is frozen, and the channel is told" in type_and_read_reply(
        gated.bob, '/model freeze churn --reason "audit week"'
    )
    gated.card(holds="❄️")
    refusal = reply_to(gated.bob, lambda: gated.bob.clicks(card, "Approve"))
    assert "is frozen by <@U0BOB>, until somebody lifts it: audit week" in refusal
    assert gated.production() == [3]
    assert "lifted the freeze" in type_and_read_reply(gated.bob, "/model unfreeze churn")
    gated.bob.clicks(card, "Approve")
    gated.card(holds="is in Production")


def test_who_may_not_freeze_hears_so(gated: RunningApp) -> None:
    refusal = type_and_read_reply(gated.alice, "/model freeze churn --reason x")
    assert "Only those who may roll back can do this: <@U0BOB>, <@U0CAROL>" in refusal
    assert audit_links(gated.ledger, EventTag.FROZEN) == []


def test_an_admin_freezes_every_model_and_who_asks_reads_it(gated: RunningApp) -> None:
    type_and_read_reply(dave(gated), '/model freeze --all --until 2h --reason "incident 12"')
    assert "Mind: Production of every model is frozen" in type_and_read_reply(
        gated.alice, "/model promote churn 4 production"
    )


# -- reminders ---------------------------------------------------------------------------------------------------------


def test_who_can_decide_is_reminded_in_the_thread_and_directly(gated: RunningApp, clock: AdjustableClock) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    clock.advance(timedelta(hours=4, minutes=1))
    gated.registrar.send_reminders()
    assert "has waited for 4h 1m" in message_text(gated.bob.waits_for_direct_message())
    gated.slack.wait_for(lambda: any("Still waiting" in message_text(message) for message in gated.alice.thread(card)))
    gated.registrar.send_reminders()
    assert len(audit_links(gated.ledger, EventTag.REMINDED)) == 1


# -- the rules and the trail -------------------------------------------------------------------------------------------


def test_the_policy_is_told_in_words(gated: RunningApp) -> None:
    answer = type_and_read_reply(gated.alice, "/model policy churn")
    assert "one of `lead` (<@U0BOB>, <@U0CAROL>) has to approve" in answer
    assert "`accuracy` ≥ 0.85" in answer


def test_the_audit_of_a_model_tells_who_did_what(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.bob.clicks(gated.card(), "Approve")
    gated.card(holds="is in Production")
    answer = type_and_read_reply(gated.alice, "/model audit churn --since 1d")
    assert "<@U0BOB> voted approve" in answer
    assert "asked to promote" in answer


# -- Home --------------------------------------------------------------------------------------------------------------


def test_home_shows_what_waits_and_decides_it(gated: RunningApp) -> None:
    gated.registrar.poll_registry()
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.bob.opens_home()
    home = gated.bob.waits_for_home(lambda view: "asked by <@U0ALICE>" in message_text(view))
    assert "Production `v3`" in message_text(home)
    gated.bob.clicks(home, "Approve")
    gated.bob.waits_for_home(lambda view: "Nothing. You are free" in message_text(view))
    gated.card(holds="is in Production")
    gated.alice.opens_home()
    gated.alice.waits_for_home(lambda view: "v3` → `v4` in Production" in message_text(view))


def test_a_stranger_s_home_says_why_it_is_empty(gated: RunningApp) -> None:
    gated.slack.change_person("alice", team_id="T0OTHER")
    gated.alice.opens_home()
    gated.alice.waits_for_home(lambda view: "Only members of this workspace" in message_text(view))
