"""Gates, overrides, withdrawn votes, freezes, reminders, Home, and the audit log, as people use them in Slack."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.gates import GATES, policy_with, registry_with_metrics
from tests.support.app.harness import audit_links, only_request, reply_to, type_and_read_reply
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until


@pytest.fixture
def clock() -> AdjustableClock:
    """The bot's clock."""
    return AdjustableClock()


@pytest.fixture
def gated(slack: LocalSlack, tmp_path: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """The bot under a policy with gates that an admin can override."""
    policy = policy_with(gates=GATES, override=["admin"], remind_after="4h")
    with running_app(slack, tmp_path, registry_with_metrics(), policy=policy, clock=clock) as app:
        yield app


@pytest.fixture
def strict(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot under a policy with gates that no one can override."""
    with running_app(slack, tmp_path, registry_with_metrics(), policy=policy_with(gates=GATES)) as app:
        yield app


def dave(app: RunningApp) -> Any:
    return app.slack.person("dave")


# -- gates -------------------------------------------------------------------------------------------------------------


def test_the_card_compares_metrics_with_production_and_details_show_every_gate(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    shown = message_text(card := gated.card())
    assert "2 of 2 gates pass · ⚠️ latency_ms +10%, worse · accuracy +3.4%" in shown
    assert "• accuracy  0.880 → *0.910*  (+3.4%, better)" in shown
    gated.bob.clicks(card, "Details")
    details = message_text(gated.bob.waits_for_modal())
    assert "✅ `accuracy` 0.91, required: ≥ 0.85" in details
    assert "✅ `latency_ms` 22 (+2 vs v3)" in details


def test_a_failed_gate_that_no_one_can_override_refuses_the_request(strict: RunningApp) -> None:
    answer = type_and_read_reply(strict.alice, "/model promote churn 5 production")
    assert "`accuracy` is 0.8, required: ≥ 0.85" in answer
    assert "/model validate churn 5" in answer
    assert audit_links(strict.ledger, EventTag.REQUEST_OPENED) == []
    [refused] = audit_links(strict.ledger, EventTag.PROMOTION_REFUSED)
    assert [gate["passed"] for gate in refused.event.evidence["seen"]["gates"]] == [False, False]


def test_a_failed_gate_blocks_until_an_admin_overrides_it(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 5 production")
    card = gated.card(holds="❌")
    assert "A failed gate still blocks it" in reply_to(gated.bob, lambda: gated.bob.clicks(card, "Approve"))
    assert gated.production() == [3]
    assert "doesn't let you override" in reply_to(gated.bob, lambda: gated.bob.clicks(card, "Override gates…"))
    dave(gated).clicks(card, "Override gates…")
    dave(gated).waits_for_modal()
    assert dave(gated).submits({"reason": "the incumbent is down"}) is None
    done = gated.card(holds="is in Production")
    assert "overridden by <@U0DAVE>: the incumbent is down" in message_text(done)
    assert gated.production() == [5]
    [event] = audit_links(gated.ledger, EventTag.GATES_OVERRIDDEN)
    assert event.event.evidence["by"]["roles"] == ["admin"]


def test_validating_opens_no_request(gated: RunningApp) -> None:
    assert "all 2 gates passed" in type_and_read_reply(gated.alice, "/model validate churn 4")
    assert "2 of 2 gates failed" in type_and_read_reply(gated.alice, "/model validate churn 5")
    assert audit_links(gated.ledger, EventTag.PROMOTION_REQUESTED) == []


def test_results_reported_by_the_requester_are_marked_and_mirrored(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production --validation recall=0.7")
    assert "Reported by requester: recall *0.700* (not measured)" in message_text(gated.card())
    gated.registrar.tag_writer.write_due()
    wait_until(lambda: gated.registry.version("churn", 4).tags.get("validation_recall") == "0.7")


# -- outdated requests -------------------------------------------------------------------------------------------------


def test_a_request_is_outdated_after_new_metrics_and_can_be_made_again(gated: RunningApp) -> None:
    assert isinstance(gated.registry, MemoryRegistry)
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    gated.registry.add_run("run4", metrics={"accuracy": 0.9, "latency_ms": 22.0})
    gated.bob.clicks(card, "Approve")
    stale = gated.card(holds="outdated")
    assert "`accuracy` was 0.91 and is 0.9" in message_text(stale).replace("accuracy was", "`accuracy` was")
    assert gated.production() == [3]
    gated.alice.clicks(stale, "Request again")
    gated.bob.clicks(gated.card(holds="Promote churn v4"), "Approve")
    gated.card(holds="is in Production")
    assert gated.production() == [4]


def test_a_change_of_production_in_mlflow_ends_the_request_at_the_next_poll(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.registry.transition_stage("churn", 2, Stage.PRODUCTION, archive_existing=True)
    gated.registrar.poll_registry()
    assert "Production has changed from v3 to v2" in message_text(gated.card(holds="outdated"))


# -- votes -------------------------------------------------------------------------------------------------------------


def test_a_vote_can_be_withdrawn_with_the_button_in_the_reply(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, registry_with_metrics(), policy=policy_with(required=2)) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        card = app.card()
        app.bob.clicks(card, "Approve")
        answer = app.bob.waits_for(CHANNEL, lambda m: m.get("is_ephemeral") and "(1 of 2)" in message_text(m))
        app.bob.clicks(answer, "Withdraw")
        assert "0 of 2" in app.answer(app.bob, "Withdrew your approval")
        app.card(holds="0 of 2")
        slack.person("carol").clicks(card, "Approve")
        app.card(holds="1 of 2")
        assert app.production() == [3]


def test_no_one_can_withdraw_a_vote_they_did_not_cast(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.alice.types(CHANNEL, f"/model withdraw {only_request(gated.ledger).id}")
    gated.answer(gated.alice, "You haven't voted")
    assert EventTag.VOTE_WITHDRAWN.value not in gated.audit()


# -- freezes -----------------------------------------------------------------------------------------------------------


def test_during_a_freeze_no_one_can_approve_and_the_refusal_says_why(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    assert "Froze `churn`" in type_and_read_reply(gated.bob, '/model freeze churn --reason "audit week"')
    gated.card(holds="❄️")
    refusal = reply_to(gated.bob, lambda: gated.bob.clicks(card, "Approve"))
    assert "<@U0BOB> froze Production for `churn` until further notice: audit week" in refusal
    assert gated.production() == [3]
    assert "unfroze" in type_and_read_reply(gated.bob, "/model unfreeze churn")
    gated.bob.clicks(card, "Approve")
    gated.card(holds="is in Production")


def test_freezing_without_permission_is_refused(gated: RunningApp) -> None:
    refusal = type_and_read_reply(gated.alice, "/model freeze churn --reason x")
    assert "Only people who can roll back can do this: <@U0BOB>, <@U0CAROL>" in refusal
    assert audit_links(gated.ledger, EventTag.FROZEN) == []


def test_an_admin_freezes_all_models_and_requesters_see_it(gated: RunningApp) -> None:
    type_and_read_reply(dave(gated), '/model freeze --all --until 2h --reason "incident 12"')
    assert "Warning: <@U0DAVE> froze Production for all models" in type_and_read_reply(
        gated.alice, "/model promote churn 4 production"
    )


# -- reminders ---------------------------------------------------------------------------------------------------------


def test_approvers_are_reminded_in_the_thread_and_not_directly(gated: RunningApp, clock: AdjustableClock) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    clock.advance(timedelta(hours=4, minutes=1))
    gated.registrar.send_reminders()
    [reminder] = gated.slack.wait_for(lambda: gated.alice.thread(card)[1:])
    assert "Still waiting for <@U0BOB>" in message_text(reminder)
    assert "after 4h 1m." in message_text(reminder)
    gated.registrar.send_reminders()
    assert gated.bob.direct_messages() == []
    assert len(audit_links(gated.ledger, EventTag.REMINDED)) == 1


# -- the policy and the audit log --------------------------------------------------------------------------------------


def test_the_policy_command_describes_the_rules(gated: RunningApp) -> None:
    answer = type_and_read_reply(gated.alice, "/model policy churn")
    assert "1 of `lead` (<@U0BOB>, <@U0CAROL>) must approve" in answer
    assert "`accuracy` ≥ 0.85" in answer


def test_the_audit_command_shows_who_did_what(gated: RunningApp) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.bob.clicks(gated.card(), "Approve")
    gated.card(holds="is in Production")
    answer = type_and_read_reply(gated.alice, "/model audit churn --since 1d")
    assert "<@U0BOB> voted approve" in answer
    assert "requested promotion of" in answer


# -- Home --------------------------------------------------------------------------------------------------------------


def test_home_shows_pending_requests_and_can_decide_them(gated: RunningApp) -> None:
    gated.registrar.poll_registry()
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.bob.opens_home()
    home = gated.bob.waits_for_home(lambda view: "Requested by <@U0ALICE>" in message_text(view))
    assert "⚪ `churn`  `v3`" in message_text(home)
    gated.bob.clicks(home, "Approve")
    gated.bob.waits_for_home(lambda view: "all caught up" in message_text(view))
    gated.card(holds="is in Production")
    gated.alice.opens_home()
    gated.alice.waits_for_home(lambda view: "v3` → `v4` in Production" in message_text(view))


def test_the_home_tab_of_a_stranger_says_why_it_is_empty(gated: RunningApp) -> None:
    gated.slack.change_person("alice", team_id="T0OTHER")
    gated.alice.opens_home()
    gated.alice.waits_for_home(lambda view: "Only members of this workspace" in message_text(view))
