"""The checklist, derived from facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION, Actor, Client, Operator, Person, actor_id
from bot.slack.core.blocks import to_mrkdwn
from handlers.demo.checklist import BrokenVersion, DemoFacts, Step, build_checklist, obstacle
from handlers.demo.checklist_message import checklist_message
from tests.support.app.app_fixture import make_policy
from tests.support.domain.requests import REQUEST as ANY_REQUEST

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ALICE, BOB = Person("T1", "U0ALICE"), Person("T1", "U0BOB")
POLICY = make_policy({"operators": {"ann": "U0ALICE"}})
REQUEST = replace(ANY_REQUEST, requester=ALICE)


def facts_of(**facts: Any) -> DemoFacts:
    return DemoFacts(policy=POLICY, **facts)


def event(tag: EventTag, actor: Actor = ALICE, after: float = 0.0, moved: str = "", **evidence: object) -> Event:
    """Return an event about a request of v4 for Production; `after`: seconds after it was broken."""
    about = {"version": 4, "target": "Production", "requester": actor_id(ALICE)} | evidence
    before, _, now = moved.partition(" → ")
    return Event(
        at=NOW + timedelta(seconds=after), actor=actor, tag=tag, subject="r1", before=before, after=now, evidence=about
    )


OPENED, APPROVED = event(EventTag.REQUEST_OPENED), event(EventTag.APPROVED, BOB)
REFUSED = event(EventTag.REQUEST_COMMAND_REFUSED, act="approve")
PROMOTED = facts_of(events=(OPENED, REFUSED, APPROVED), production=4, since=NOW, targets=[3])
BROKEN = replace(PROMOTED, broken=BrokenVersion(4, NOW, "U0ALICE"))
ALERT = event(EventTag.MONITOR_FAILED, MONITOR_AUTOMATION, 18.2, moved=" → v4", doing="intent")


def rolled_back(*events: Event) -> DemoFacts:
    """Return the facts after these events, which put v3 into Production again."""
    return replace(
        BROKEN, events=(*BROKEN.events, *events), production=3, since=NOW + timedelta(seconds=20), targets=[]
    )


def rollback(actor: Actor, after: float) -> Event:
    return event(EventTag.ROLLED_BACK, actor, after, moved="v4 → v3")


def told(facts: DemoFacts, step: Step) -> str:
    return to_mrkdwn(build_checklist(facts).done[step])


def test_at_first_only_the_request_can_be_done() -> None:
    start = facts_of(production=3)
    assert build_checklist(start).done == {}
    assert build_checklist(start).next_step is Step.REQUEST
    assert "No request is pending" in str(obstacle(Step.APPROVAL, start))
    assert "First promote one: `/model promote churn 4 production`" in told_obstacle(Step.BREAK, start)
    assert str(obstacle(Step.ROLLBACK, start)) == "Nothing is broken. Click Break it first."


def told_obstacle(step: Step, facts: DemoFacts) -> str:
    found = obstacle(step, facts)
    return to_mrkdwn(found) if found else ""


def test_a_request_ticks_its_step_and_offers_the_refusal() -> None:
    pending = facts_of(events=[OPENED], request=REQUEST, production=3)
    assert told(pending, Step.REQUEST) == "<@U0ALICE> requested v4."
    assert build_checklist(pending).next_step is Step.REFUSAL
    assert told_obstacle(Step.REQUEST, pending) == "That's already done."
    assert "Approve request" in told_obstacle(Step.BREAK, pending)


def test_a_canceled_request_has_to_be_opened_again() -> None:
    canceled = facts_of(events=[OPENED, REFUSED], production=3)
    checklist = build_checklist(canceled)
    assert set(checklist.done) == {Step.REFUSAL}
    assert checklist.next_step is Step.REQUEST


@pytest.mark.parametrize(
    "refused",
    [
        event(EventTag.REQUEST_COMMAND_REFUSED, BOB, act="approve"),
        event(EventTag.REQUEST_COMMAND_REFUSED, act="reject"),
    ],
    ids=["someone else's request", "another command"],
)
def test_another_refusal_is_not_the_one_of_the_story(refused: Event) -> None:
    assert build_checklist(facts_of(events=[OPENED, refused], request=REQUEST)).next_step is Step.REFUSAL


def test_a_request_from_the_terminal_is_refused_to_the_same_person() -> None:
    operator = actor_id(Operator("ann"))
    refused = event(EventTag.REQUEST_COMMAND_REFUSED, act="approve", requester=operator)
    assert Step.REFUSAL in build_checklist(facts_of(events=[OPENED, refused], request=REQUEST)).done


def test_no_one_can_approve_their_own_request_if_a_program_made_it() -> None:
    facts = facts_of(events=[OPENED], request=replace(ANY_REQUEST, requester=Client("ci")))
    assert "A program made this request" in told_obstacle(Step.REFUSAL, facts)


def test_a_step_that_was_skipped_is_not_offered_any_more() -> None:
    skipped = replace(PROMOTED, events=(OPENED, APPROVED))
    assert build_checklist(skipped).next_step is None
    assert build_checklist(skipped).can_break


def test_v4_is_not_requested_twice() -> None:
    assert "v4 is already in Production" in told_obstacle(Step.REQUEST, facts_of(production=4))


def test_after_the_approval_it_can_be_broken() -> None:
    assert told(PROMOTED, Step.APPROVAL) == "<@U0BOB> approved v4."
    assert obstacle(Step.BREAK, PROMOTED) is None


def test_what_is_broken_is_not_broken_twice() -> None:
    checklist = build_checklist(BROKEN)
    assert told(BROKEN, Step.BREAK) == "<@U0ALICE> broke v4."
    assert not checklist.can_break
    assert checklist.next_step is Step.ROLLBACK
    assert "is falling" in str(checklist.status)
    assert told_obstacle(Step.BREAK, BROKEN) == "v4 is already broken."
    assert obstacle(Step.ROLLBACK, BROKEN) is None


def test_nothing_is_broken_if_no_one_would_notice() -> None:
    assert "No monitor" in told_obstacle(Step.BREAK, replace(PROMOTED, is_monitored=False))


def test_nothing_is_broken_if_nothing_serves() -> None:
    assert "No version is in Production" in told_obstacle(Step.BREAK, replace(PROMOTED, production=None))


def test_after_a_rollback_v4_has_to_be_unblocked_first() -> None:
    restored = replace(rolled_back(ALERT, rollback(MONITOR_AUTOMATION, 20.6)), blocked=[4])
    assert '/model unblock churn 4 --reason "fixed"' in told_obstacle(Step.BREAK, restored)


def test_registrar_wins() -> None:
    facts = rolled_back(ALERT, rollback(MONITOR_AUTOMATION, 20.6))
    assert told(facts, Step.ROLLBACK) == "Registrar rolled back to v3 after 21 s."
    assert build_checklist(facts).next_step is Step.HISTORY
    assert build_checklist(facts).can_break


def test_a_person_wins() -> None:
    assert (
        told(rolled_back(rollback(BOB, 9.1)), Step.ROLLBACK)
        == "<@U0BOB> rolled back to v3 after 9 s, before Registrar."
    )


def test_a_person_who_waits_for_the_alert_did_not_win() -> None:
    asked = replace(ALERT, evidence={"doing": "awaiting human"})
    waiting = replace(BROKEN, events=(*BROKEN.events, asked))
    assert str(build_checklist(waiting).status).startswith("The monitor failed after 18 s.")
    sentence = "Registrar raised the alert after 18 s, and <@U0BOB> rolled back to v3 after 40 s."
    assert told(rolled_back(asked, rollback(BOB, 40.0)), Step.ROLLBACK) == sentence


def test_another_promotion_replaces_the_broken_version() -> None:
    facts = rolled_back(event(EventTag.TRANSITION_DONE, BOB, 12.0, moved="v4 → v5"))
    assert str(build_checklist(facts).status) == "v5 replaced v4 after 12 s."
    assert Step.ROLLBACK not in build_checklist(facts).done


def test_a_version_that_is_promoted_again_is_not_broken_any_more() -> None:
    again = replace(BROKEN, since=NOW + timedelta(minutes=5))
    assert again.broken_now is None
    assert obstacle(Step.BREAK, again) is None


def test_an_earlier_rollback_does_not_count() -> None:
    earlier = replace(BROKEN, events=(rollback(BOB, -60.0), *BROKEN.events))
    assert Step.ROLLBACK not in build_checklist(earlier).done


def test_the_message_says_when_everything_is_done() -> None:
    everything = replace(rolled_back(rollback(BOB, 9.1)), reader="U0BOB")
    message = checklist_message(build_checklist(everything))
    assert message.text == "Try Registrar: done"
    assert "⬜" not in str(message.blocks)
    assert "Break it again" in str(message.blocks)
    assert "Do it for me" not in str(message.blocks)
