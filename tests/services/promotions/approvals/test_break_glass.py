"""Break glass: what it bypasses, what it doesn't change, and its review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.audit import ShowAudit
from bot.domain.commands.parser import build_command
from bot.domain.commands.promotions import Review
from bot.domain.core.actors import Caller, Person, Profile
from bot.domain.core.errors import AlreadyDecided, BadInput, GateFailed, Refused
from bot.domain.core.sentence import unpack_sentence
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.break_glass_messages import review_overdue_announcement
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.ports import MessageKind
from bot.services.core.outbox_messages import card_link
from bot.services.home.home import Homes
from bot.services.home.statuses import ModelStatuses
from bot.slack.commands.rendering import render
from bot.slack.core.answer import RenderContext
from bot.slack.home.view import home_view
from bot.slack.promotions.request_card import request_card
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, POLICY, Bench
from tests.support.services.freezes import freeze

EMERGENCY = 'promote churn 2 production --break-glass --reason "v3 is down"'


def test_a_break_glass_promotion_ends_the_pending_request(bench: Bench) -> None:
    pending = bench.open()
    bench.do(EMERGENCY, DAVE)
    assert bench.state(pending) is RequestState.STALE
    assert bench.registry.holders() == [2]


def test_a_break_glass_promotion_does_not_end_an_executing_request(bench: Bench) -> None:
    moving = bench.approved()

    def break_the_glass() -> None:
        with pytest.raises(Refused, match=moving.id):
            bench.do(EMERGENCY, DAVE)
        assert bench.state(moving) is RequestState.EXECUTING

    bench.registry.before = break_the_glass
    bench.moves.execute_due("churn")
    assert bench.state(moving) is RequestState.DONE
    assert bench.registry.holders() == [4]


def test_a_break_glass_promotion_does_not_end_an_approved_request(bench: Bench) -> None:
    approved = bench.approved()
    with pytest.raises(Refused, match=approved.id):
        bench.do(EMERGENCY, DAVE)
    assert bench.state(approved) is RequestState.APPROVED
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4]


def test_a_break_glass_promotion_ignores_a_freeze(bench: Bench) -> None:
    freeze(bench)
    request = bench.do(EMERGENCY, DAVE).request
    assert request is not None
    assert bench.state(request) is RequestState.DONE
    assert bench.registry.holders() == [2]


def test_a_break_glass_promotion_ignores_gates_that_no_one_can_override(bench: Bench) -> None:
    gated = {"*": {"production": {"approvers": ["lead"], "gates": [{"metric": "accuracy", "at_least": 0.85}]}}}
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": gated}), "gated")
    with pytest.raises(GateFailed):
        bench.open("promote churn 2 production")
    bench.do(EMERGENCY, DAVE)
    assert bench.registry.holders() == [2]


def test_the_channel_is_alerted_and_the_card_shows_the_decision(bench: Bench) -> None:
    request = bench.open(EMERGENCY, DAVE)
    assert {f"said:glass:{request.id}", f"card:{request.id}:approved"} <= {note.key for note in bench.notes()}


def test_the_audit_log_says_who_broke_glass_and_why(bench: Bench) -> None:
    bench.do(EMERGENCY, DAVE)
    [event] = [event for event in bench.events() if event.tag is EventTag.BROKE_GLASS]
    assert (event.actor, event.why, event.before, event.after) == (DAVE.person, "v3 is down", "pending", "approved")


def test_an_ordinary_request_ends_no_other_request(bench: Bench) -> None:
    pending = bench.open()
    with pytest.raises(Refused):
        bench.open("promote churn 2 production", ALICE)
    assert bench.state(pending) is RequestState.PENDING


# -- the review --------------------------------------------------------------------------------------------------------


@pytest.fixture
def moved(bench: Bench) -> Request:
    """Return Dave's completed break-glass request."""
    request = bench.do(EMERGENCY, DAVE).request
    assert request is not None
    return bench.now(request)


def review(bench: Bench, request: Request, who: Caller = BOB, reason: str = "it was right") -> Request:
    """Review a request."""
    return bench.decide(who, Review(request=request.id, reason=reason)).request


def people(ids: Sequence[str]) -> list[str]:
    """Return the ids: there are no groups here."""
    return list(ids)


def of_review(bench: Bench, request: Request) -> list[tuple[str, str]]:
    """Return the outbox messages about the review: recipient and text."""
    found = [note for note in bench.notes() if "review" in note.key and note.kind is not MessageKind.CARD]
    return [(note.to, str(unpack_sentence(note.data["say"]))) for note in found]


def shown(request: Request) -> str:
    """Return the request's card as text."""
    return str(request_card(request, []).blocks)


def test_a_break_glass_promotion_is_to_be_reviewed_within_three_days(bench: Bench, moved: Request) -> None:
    assert moved.needs_review
    assert moved.review_due == bench.clock.now() + timedelta(days=3)
    assert "Review due by" in shown(moved)
    assert "request_review" in shown(moved)  # the button
    assert "Someone else needs to review it by" in bench.told(f"said:glass:{moved.id}")


def test_the_policy_sets_the_review_deadline(bench: Bench) -> None:
    rule = {"approvers": ["lead"], "review_within": "6h"}
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": {"*": {"production": rule}}}), "quick")
    request = bench.do(EMERGENCY, DAVE).request
    assert request is not None
    assert request.review_due == bench.clock.now() + timedelta(hours=6)


@pytest.mark.parametrize("who", [BOB, CAROL])
def test_a_review_by_another_approver_is_on_the_card_and_in_the_audit_log_and_told_to_the_requester(
    bench: Bench, moved: Request, who: Profile
) -> None:
    reviewed = review(bench, moved, who)
    assert (reviewed.reviewed_by, reviewed.review_reason, reviewed.needs_review) == (who.person, "it was right", False)
    assert "Reviewed by" in shown(reviewed)
    assert "request_review" not in shown(reviewed)
    [(to, said)] = of_review(bench, moved)
    assert to == "UDAVE"
    outcome = "reviewed your break-glass promotion of “churn” v3 → v2 in Production: it was right."
    assert said.startswith(f"@{who.person.user} {outcome}")
    event = bench.events()[-1]
    assert (event.tag, event.actor, event.why) == (EventTag.REVIEWED, who.person, "it was right")
    assert event.evidence["is_late"] is False


def test_another_admin_can_review_it(bench: Bench) -> None:
    bench.context.active_policy.replace(
        validate_policy(POLICY | {"roles": {"lead": ["UBOB"], "admin": ["UDAVE", "UEVE"]}}), "two"
    )
    request = bench.do(EMERGENCY, DAVE).request
    assert request is not None
    eve = replace(DAVE, person=Person("T1", "UEVE"))
    assert review(bench, request, eve).reviewed_by == eve.person


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (DAVE, "someone else"),
        (ALICE, "Only approvers and admins"),
        (GUEST, "Guests"),
        (replace(BOB, is_deleted=True), "deactivated"),
        (replace(BOB, is_home=False), "members of this workspace"),
    ],
)
def test_a_refused_review_says_why_and_is_audited(bench: Bench, moved: Request, who: Profile, why: str) -> None:
    with pytest.raises(Refused, match=why):
        review(bench, moved, who)
    assert bench.now(moved).needs_review
    assert bench.events()[-1].tag is EventTag.REQUEST_COMMAND_REFUSED


def test_the_person_who_broke_glass_cannot_review_it_from_the_terminal(bench: Bench, moved: Request) -> None:
    bench.context.active_policy.replace(validate_policy(POLICY | {"operators": {"dave": "UDAVE"}}), "operators")
    with pytest.raises(Refused, match="someone else"):
        review(bench, moved, Profile(person=Person("", "UDAVE"), operator="dave"))
    assert bench.now(moved).needs_review


def test_a_second_review_is_refused(bench: Bench, moved: Request) -> None:
    review(bench, moved, BOB)
    with pytest.raises(AlreadyDecided, match="already reviewed this"):
        review(bench, moved, CAROL, "no, it was wrong")
    assert bench.now(moved).review_reason == "it was right"


def test_a_review_needs_a_reason(bench: Bench, moved: Request) -> None:
    with pytest.raises(BadInput, match="needs a reason"):
        review(bench, moved, reason="")
    assert bench.now(moved).needs_review


def test_an_approved_promotion_needs_no_review(bench: Bench) -> None:
    request = bench.approved()
    bench.moves.execute_due("churn")
    with pytest.raises(Refused, match="didn't break glass"):
        review(bench, request, CAROL)


def test_a_promotion_in_progress_cannot_be_reviewed(bench: Bench) -> None:
    request = bench.open(EMERGENCY, DAVE)
    with pytest.raises(Refused, match="isn't done yet"):
        review(bench, request)


def test_a_promotion_that_was_not_made_cannot_be_reviewed(bench: Bench) -> None:
    request = bench.open(EMERGENCY, DAVE)
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.STALE
    assert not bench.now(request).needs_review
    with pytest.raises(Refused, match="ended without a promotion"):
        review(bench, request)


def test_reviewers_are_reminded_once_a_day_before(bench: Bench, moved: Request) -> None:
    bench.clock.advance(days=2, seconds=-1)
    assert bench.reviews.remind_reviewers(people) == 0
    bench.clock.advance(seconds=1)
    assert bench.reviews.remind_reviewers(people) == 1
    assert bench.reviews.remind_reviewers(people) == 0
    [(_, said)] = of_review(bench, moved)
    assert "Waiting for @UBOB, @UCAROL" in said
    assert f"/model review {moved.id}" in said


def test_a_short_deadline_s_reminder_comes_halfway(bench: Bench) -> None:
    rule = {"approvers": ["lead"], "review_within": "6h"}
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": {"*": {"production": rule}}}), "quick")
    bench.do(EMERGENCY, DAVE)
    bench.clock.advance(hours=3, seconds=-1)
    assert bench.reviews.remind_reviewers(people) == 0
    bench.clock.advance(seconds=1)
    assert bench.reviews.remind_reviewers(people) == 1


def test_an_overdue_review_is_announced_once(bench: Bench, moved: Request) -> None:
    bench.clock.advance(days=2)
    bench.reviews.remind_reviewers(people)
    bench.clock.advance(days=1)
    assert [bench.reviews.remind_reviewers(people) for _ in range(3)] == [1, 0, 0]
    card = card_link(moved, "#ml-models", "See the card")
    assert [said for to, said in of_review(bench, moved) if to] == [str(review_overdue_announcement(moved, card))]
    assert bench.events()[-1].tag is EventTag.REVIEW_OVERDUE
    assert "Overdue since" in shown(bench.now(moved))
    bench.clock.advance(days=1)
    assert bench.reviews.remind_reviewers(people) == 0
    assert review(bench, moved).reviewed_by == BOB.person
    assert bench.events()[-1].evidence["is_late"] is True


def test_after_days_offline_only_the_overdue_message_is_sent(bench: Bench, moved: Request) -> None:
    bench.clock.advance(days=9)
    assert [bench.reviews.remind_reviewers(people) for _ in range(2)] == [1, 0]
    assert bench.now(moved).review_reminded == 2


def test_no_one_is_reminded_after_the_review(bench: Bench, moved: Request) -> None:
    review(bench, moved)
    bench.clock.advance(days=9)
    assert bench.reviews.remind_reviewers(people) == 0


def test_a_break_glass_promotion_by_an_older_release_can_be_reviewed_without_a_reminder(
    bench: Bench, moved: Request
) -> None:
    with bench.ledger.write() as tx:
        tx.save_request(replace(moved, review_due=None))
    bench.clock.advance(days=9)
    assert bench.reviews.remind_reviewers(people) == 0
    with bench.ledger.read() as reading:
        assert reading.requests_to_review() == []
    assert review(bench, moved).reviewed_by == BOB.person


def test_home_shows_it_to_people_who_can_review_it(bench: Bench, moved: Request) -> None:
    homes = Homes(bench.context, ModelStatuses(bench.context))
    assert [one.id for one in homes.view_for(BOB).reviews] == [moved.id]
    assert list(homes.view_for(DAVE).reviews) == []
    assert list(homes.view_for(ALICE).reviews) == []
    assert "broke glass" in str(home_view(homes.view_for(BOB)))
    review(bench, moved)
    assert list(homes.view_for(BOB).reviews) == []


def test_the_audit_log_counts_unreviewed_promotions(bench: Bench, moved: Request) -> None:
    ask = build_command(ShowAudit, {"model": "churn"})
    links, said = bench.execute(BOB, ask).view
    assert str(said) == f"Unreviewed break-glass promotions: 1, 0 overdue ({moved.id})."
    answer = render(ask, (links, said), RenderContext(now=bench.clock.now()))
    assert "Unreviewed break-glass promotions: 1" in str(answer.message.blocks)
    bench.clock.advance(days=3)
    assert "1, 1 overdue" in str(bench.execute(BOB, ask).view[1])
    review(bench, moved)
    assert bench.execute(BOB, ask).view[1] is None


def test_the_new_key_does_not_change_an_old_policy_s_fingerprints(bench: Bench) -> None:
    """The fingerprint in requests from the previous release."""
    assert bench.policy.fingerprint("churn", Stage.PRODUCTION) == "2f542119ef1a1af3"
