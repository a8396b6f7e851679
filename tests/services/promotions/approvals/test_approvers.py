"""Who gets an invitation to a new request, and which requests are refused for too few approvers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Operator
from bot.domain.core.errors import TooFewApprovers
from bot.domain.core.sentence import links_in, unpack_sentence
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import RequestState
from bot.ports import NO_DIRECTORY, MessageKind, OutboxMessage
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, POLICY, Bench


def under(bench: Bench, **rule: Any) -> Bench:
    """Activate this rule for Production."""
    policy = POLICY | {"models": {"*": {"production": {"approvers": ["lead"], **rule}}}}
    bench.context.active_policy.replace(validate_policy(policy), "edited")
    return bench


def invitations(bench: Bench) -> list[OutboxMessage]:
    """Return the invitations in the outbox."""
    return [note for note in bench.notes() if note.kind is MessageKind.DIRECT and ":opened:" in note.key]


# -- invitations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [{}, {"tell_approvers": "mention"}, {"tell_approvers": "none"}], ids=str)
def test_no_one_gets_a_direct_message_unless_the_rule_says_so(bench: Bench, rule: dict[str, str]) -> None:
    under(bench, **rule).open()
    assert invitations(bench) == []


def test_each_approver_gets_one_invitation(bench: Bench) -> None:
    request = under(bench, tell_approvers="direct").open()
    assert [note.to for note in invitations(bench)] == ["UBOB", "UCAROL"]
    assert [note.key for note in invitations(bench)] == [
        f"direct:{request.id}:opened:U{who}" for who in ("BOB", "CAROL")
    ]
    sentences = [unpack_sentence(note.data["say"]) for note in invitations(bench)]
    assert {link.message for sentence in sentences for link in links_in(sentence)} == {request.id}
    assert "@UALICE requested “churn” v3 → v4 in Production." in bench.told(f"direct:{request.id}:opened")


def test_group_members_who_can_decide_get_an_invitation(bench: Bench) -> None:
    bench.directory.groups["SOPS"] = ["UBOB", "UDAVE", "UALICE"]
    bench.directory.become(DAVE, is_guest=True)
    under(bench, approvers=["lead", "SOPS"], tell_approvers="direct").open()
    assert [note.to for note in invitations(bench)] == ["UBOB", "UCAROL"]


def test_at_most_twenty_members_of_a_group_get_an_invitation(bench: Bench) -> None:
    bench.directory.groups["SOPS"] = [f"U{number:02}" for number in range(30)]
    under(bench, approvers=["SOPS"], tell_approvers="direct").open()
    assert [note.to for note in invitations(bench)] == [f"U{number:02}" for number in range(20)]


def test_the_requester_gets_no_invitation_even_if_they_can_approve(bench: Bench) -> None:
    under(bench, tell_approvers="direct", requester_may_approve=True)
    bench.open_ask(bench.ask(who=BOB).id)
    assert [note.to for note in invitations(bench)] == ["UCAROL"]


def test_no_group_member_gets_an_invitation_if_slack_cannot_list_the_group(bench: Bench) -> None:
    bench.directory.is_down = True
    under(bench, approvers=["SOPS", "UCAROL"], tell_approvers="direct").open()
    assert [note.to for note in invitations(bench)] == ["UCAROL"]


def test_a_break_glass_promotion_invites_no_one(bench: Bench) -> None:
    under(bench, tell_approvers="direct").do('promote churn 4 production --break-glass --reason "down"', DAVE)
    assert invitations(bench) == []


# -- too few approvers -------------------------------------------------------------------------------------------------


def refused(bench: Bench, who: Any = BOB) -> str:
    """Request a promotion that is refused; return the refusal."""
    with pytest.raises(TooFewApprovers) as error:
        bench.errands.execute(bench.ask(who=who).id)
    return str(error.value.sentence)


def test_a_request_with_one_of_two_needed_approvers_is_refused_and_audited(bench: Bench) -> None:
    said = refused(under(bench, required=2))
    assert "it needs 2 approvals, but besides you, only @UCAROL can approve" in said
    [event] = [one for one in bench.events() if one.tag is EventTag.PROMOTION_REFUSED]
    assert (event.why, event.evidence["error"]) == (said, "TooFewApprovers")
    assert EventTag.REQUEST_OPENED.value not in bench.tags()
    assert bench.notes() == []


def test_the_same_request_by_someone_else_is_opened(bench: Bench) -> None:
    assert under(bench, required=2).open().state is RequestState.PENDING


def test_the_operator_behind_the_terminal_is_the_same_person(bench: Bench) -> None:
    policy = POLICY | {
        "operators": {"bob": "UBOB"},
        "models": {"*": {"production": {"approvers": ["lead"], "required": 2}}},
    }
    bench.context.active_policy.replace(validate_policy(policy), "edited")
    assert "besides you, only @UCAROL" in refused(bench, Operator("bob"))


def test_a_deactivated_approver_does_not_count(bench: Bench) -> None:
    bench.directory.become(CAROL, is_deleted=True)
    assert "only @UBOB can approve" in refused(under(bench, required=2), ALICE)


def test_the_members_of_a_group_count(bench: Bench) -> None:
    bench.directory.groups["SOPS"] = ["UBOB", "UCAROL"]
    assert "besides you, only @UCAROL" in refused(under(bench, approvers=["SOPS"], required=2))
    bench.directory.groups["SOPS"] = ["UBOB", "UCAROL", "UDAVE"]
    assert bench.open().state is RequestState.PENDING


def test_a_request_is_opened_if_slack_cannot_list_the_group(bench: Bench) -> None:
    under(bench, approvers=["SOPS"], required=2)
    assert bench.open_ask(bench.ask(who=BOB).id).state is RequestState.PENDING


def test_a_request_is_opened_if_slack_is_down_and_the_rule_has_a_group(bench: Bench) -> None:
    bench.directory.is_down = True
    under(bench, approvers=["SOPS", "UBOB"], required=2)
    assert bench.open_ask(bench.ask(who=BOB).id).state is RequestState.PENDING


def test_a_process_without_slack_counts_the_listed_people(bench: Bench) -> None:
    alone = under(replace(bench, directory=NO_DIRECTORY), required=2)  # type: ignore[arg-type]  # as at a terminal
    with pytest.raises(TooFewApprovers):
        alone.open(who=BOB)


def test_a_break_glass_promotion_needs_no_approvers(bench: Bench) -> None:
    under(bench, required=50).do('promote churn 4 production --break-glass --reason "down"', DAVE)
    assert bench.registry.holders() == [4]
