"""Rights that are revoked between a vote and its transition: such approvals no longer count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import RegistryUnreachable, SlackNotConnected
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import GateResult, Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ports import NO_DIRECTORY, MessageKind
from bot.services.promotions.gate_checks import GateChecks
from bot.services.transitions.completion import Completion
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.preconditions import Preconditions
from tests.support.registry.files import no_changes, no_entry_hook
from tests.support.services.approvals import freeze, glass, move_of
from tests.support.services.bench import BOB, CAROL, DAVE, POLICY, Bench

GONE = {"is_deleted": True}


GROUPED = {"two*": {"production": {"approvers": ["SLEADS"], "required": 2}}}


BOB_THE_LEAD, CAROL_THE_LEAD = (replace(who, groups=frozenset({"SLEADS"})) for who in (BOB, CAROL))


@pytest.fixture
def two(bench: Bench) -> Request:
    """Return an open request that needs two approvals."""
    bench.registry.add_model("two", versions=1)
    return bench.open("promote two 1 production")


def blocked(bench: Bench, request: Request) -> Request:
    """Return the request with a failed gate."""
    assert request.seen is not None
    failed = GateResult(name="f1", bound="≥ 1", value="0.5", passed=False)
    changed = replace(request, seen=replace(request.seen, gates=(failed,)))
    with bench.ledger.write() as tx:
        tx.save_request(changed)
    return changed


def approvals(bench: Bench, request: Request) -> dict[str, str]:
    """Return the approvers, each with the rule by which their approval lapsed."""
    with bench.ledger.read() as reading:
        return {vote.voter.user: vote.lapsed for vote in reading.votes(request.id)}


def lapses(bench: Bench) -> list[Event]:
    return [event for event in bench.events() if event.tag is EventTag.VOTE_LAPSED]


# -- when the last approval is given -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [(GONE, "deactivated"), ({"is_guest": True}, "guest"), ({"is_bot": True}, "bot"), ({"is_home": False}, "stranger")],
    ids=["deactivated", "a guest", "a bot", "elsewhere"],
)
def test_an_approval_by_a_deactivated_account_does_not_count(
    bench: Bench, two: Request, change: dict[str, bool], rule: str
) -> None:
    bench.approve(two)
    bench.directory.become(BOB, **change)
    counted = bench.approve(two, CAROL)
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)
    assert approvals(bench, two) == {"UBOB": rule, "UCAROL": ""}


def test_an_approval_by_someone_who_left_the_group_does_not_count(bench: Bench) -> None:
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": POLICY["models"] | GROUPED}), "grouped")
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request, BOB_THE_LEAD)
    bench.directory.become(BOB_THE_LEAD, groups=frozenset())
    assert bench.approve(request, CAROL_THE_LEAD).request.state is RequestState.PENDING
    assert approvals(bench, request)["UBOB"] == "not an approver"


def test_a_lapsed_approval_is_in_the_audit_log_and_redraws_the_card(bench: Bench, two: Request) -> None:
    bench.approve(two)
    bench.directory.become(BOB, **GONE)
    bench.approve(two, CAROL)
    [event] = lapses(bench)
    assert (event.subject, event.evidence["voter"], event.evidence["rule"]) == (two.id, "UBOB", "deactivated")
    assert event.why == "@UBOB's approval no longer counts: the account is deactivated."
    assert "card:lapsed" in "".join(bench.keys())


def test_a_third_approver_replaces_a_lapsed_approval(bench: Bench, two: Request) -> None:
    rules = POLICY["models"] | {"two*": {"production": {"approvers": ["lead", "UDAVE"], "required": 2}}}
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": rules}), "three")
    bench.request_upkeep.end_outdated()
    request = bench.open("promote two 1 production")
    bench.approve(request)
    bench.directory.become(BOB, **GONE)
    bench.approve(request, CAROL)
    bench.approve(request, DAVE)
    bench.moves.execute_due("two")
    assert bench.state(request) is RequestState.DONE
    assert next(event for event in bench.events() if event.tag is EventTag.APPROVED).actor == DAVE.person


def test_someone_whose_approval_lapsed_can_vote_again_later(bench: Bench, two: Request) -> None:
    bench.approve(two)
    bench.directory.become(BOB, **GONE)
    bench.approve(two, CAROL)
    bench.directory.become(BOB, is_deleted=False)
    assert bench.approve(two).request.state is RequestState.APPROVED


def test_an_override_does_not_complete_a_request_with_a_lapsed_approval(bench: Bench, two: Request) -> None:
    blocked(bench, two)
    bench.approve(two)
    bench.approve(two, CAROL)
    bench.directory.become(CAROL, **GONE)
    counted = bench.override(two, DAVE, "known")
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)


def test_slack_is_called_only_if_the_approvals_could_be_complete(bench: Bench, two: Request) -> None:
    bench.approve(two)
    assert bench.directory.asked == []
    bench.approve(two, CAROL)
    assert bench.directory.asked == [["UBOB"]]


def test_slack_is_never_called_while_a_request_is_locked(bench: Bench, two: Request) -> None:
    def writes_meanwhile() -> None:
        with bench.ledger.write() as tx:
            tx.lock_request(two.id)

    bench.approve(two)
    bench.directory.meanwhile = writes_meanwhile
    assert bench.approve(two, CAROL).request.state is RequestState.APPROVED
    bench.directory.meanwhile = writes_meanwhile
    bench.moves.execute_due("two")
    assert bench.state(two) is RequestState.DONE


def test_a_vote_during_the_lookup_is_checked_before_the_transition(bench: Bench, two: Request) -> None:
    blocked(bench, two)
    bench.approve(two)

    def carol_votes_and_leaves() -> None:
        bench.approve(two, CAROL)
        bench.directory.become(CAROL, **GONE)

    bench.directory.meanwhile = carol_votes_and_leaves
    with bench.ledger.write() as tx:
        tx.save_request(replace(tx.request(two.id), required=1))
    bench.override(two, DAVE, "known")
    with bench.ledger.write() as tx:
        tx.save_request(replace(tx.request(two.id), required=2))
    bench.moves.execute_due("two")
    assert (bench.state(two), bench.registry.holders("two")) == (RequestState.STALE, [])


# -- right before the transition ---------------------------------------------------------------------------------------


def test_a_request_ends_if_its_approver_is_gone_before_the_transition(bench: Bench) -> None:
    request = bench.approved()
    bench.directory.become(BOB, **GONE)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert bench.now(request).outcome == "0 of 1 approvals still count."
    assert approvals(bench, request) == {"UBOB": "deactivated"}
    assert [event.subject for event in lapses(bench)] == [request.id]


def test_a_surplus_approval_can_lapse(bench: Bench, two: Request) -> None:
    rules = POLICY["models"] | {"two*": {"production": {"approvers": ["lead"], "override": ["admin"]}}}
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": rules}), "one")
    bench.request_upkeep.end_outdated()
    request = blocked(bench, bench.open("promote two 1 production"))
    bench.approve(request)
    bench.approve(request, CAROL)
    bench.override(request, DAVE, "known")
    bench.directory.become(BOB, **GONE)
    bench.moves.execute_due("two")
    assert (bench.state(request), bench.registry.holders("two")) == (RequestState.DONE, [1])
    assert approvals(bench, request) == {"UBOB": "deactivated", "UCAROL": ""}
    bench.mirror.write_due()
    assert bench.registry.version("two", 1).tags["approver"] == "UCAROL"


@pytest.mark.parametrize("role", ["lead", "admin"], ids=["an approver", "who overrode the gate"])
def test_a_request_ends_if_the_approver_or_overrider_loses_their_role(bench: Bench, two: Request, role: str) -> None:
    blocked(bench, two)
    bench.approve(two)
    bench.approve(two, CAROL)
    bench.override(two, DAVE, "known")
    bench.context.active_policy.replace(
        validate_policy(POLICY | {"roles": POLICY["roles"] | {role: ["UEVE"]}}), "another"
    )
    bench.moves.execute_due("two")
    assert (bench.state(two), bench.registry.holders("two")) == (RequestState.STALE, [])


def test_a_request_ends_if_its_overrider_is_gone(bench: Bench, two: Request) -> None:
    blocked(bench, two)
    bench.approve(two)
    bench.approve(two, CAROL)
    bench.override(two, DAVE, "known")
    bench.directory.become(DAVE, **GONE)
    bench.moves.execute_due("two")
    assert bench.registry.holders("two") == []
    assert bench.now(two).outcome == "The gate override no longer counts: the account is deactivated."


def test_a_deactivated_admin_cannot_break_glass(bench: Bench) -> None:
    request = glass(bench)
    bench.directory.become(DAVE, **GONE)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert "can no longer do that: the account is deactivated." in bench.now(request).outcome


def test_a_former_admin_cannot_break_glass(bench: Bench) -> None:
    request = glass(bench)
    bench.context.active_policy.replace(
        validate_policy(POLICY | {"roles": POLICY["roles"] | {"admin": ["UEVE"]}}), "another"
    )
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])


def test_glass_can_be_broken_during_a_freeze(bench: Bench) -> None:
    freeze(bench)
    request = glass(bench)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.DONE, [4])


def test_a_vote_from_the_terminal_counts_for_the_same_person(bench: Bench) -> None:
    request = bench.approve(bench.open(), Profile(person=Person("", "UBOB"), operator="bob")).request
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE


def test_a_version_moved_by_hand_gets_no_alias_from_approvals_that_lapsed(bench: Bench) -> None:
    request = bench.approved()
    bench.directory.become(BOB, **GONE)
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.STALE
    assert bench.registry.model("churn").aliases["champion"] == 3


def test_an_executing_transition_is_finished_whoever_left_meanwhile(bench: Bench) -> None:
    def lost() -> None:
        raise RegistryUnreachable("The answer is lost.")

    request = bench.approved()
    bench.registry.after = lost
    bench.moves.execute_due("churn")
    bench.directory.become(BOB, **GONE)
    bench.clock.advance(days=9)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE
    assert bench.registry.model("churn").aliases["champion"] == 4


# -- while Slack isn't responding --------------------------------------------------------------------------------------


def test_a_transition_waits_for_slack(bench: Bench) -> None:
    request = bench.approved()
    bench.directory.is_down = True
    bench.moves.execute_due("churn")
    assert (bench.state(request), move_of(bench, request).state) == (RequestState.APPROVED, TransitionState.INTENDED)
    assert bench.registry.holders() == [3]
    assert move_of(bench, request).why.startswith("Slack can't confirm the approvers")
    bench.directory.is_down = False
    bench.clock.advance(seconds=2)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4]


def test_a_transition_that_waits_for_slack_redraws_the_card_once(bench: Bench) -> None:
    bench.approved()
    bench.directory.is_down = True
    for _ in range(3):
        bench.moves.execute_due("churn")
        bench.clock.advance(minutes=1)
    [note] = [note for note in bench.notes() if "waiting-for-slack" in note.key]
    assert note.kind is MessageKind.CARD


def test_a_rollback_does_not_wait_for_slack(bench: Bench) -> None:
    with_history(bench)
    bench.approved("promote churn 4 production")
    bench.directory.is_down = True
    bench.moves.execute_due("churn")
    bench.do('rollback churn --reason "bad metrics"', BOB)
    assert bench.registry.holders() == [3]


def with_history(bench: Bench) -> None:
    """Move v1 to Production, so that a rollback to v3 is possible."""
    bench.watch.poll()
    bench.approved("promote churn 1 production")
    bench.moves.execute_due("churn")
    bench.clock.advance(days=2)


def test_the_second_vote_counts_while_slack_is_down_and_is_checked_at_the_transition(
    bench: Bench, two: Request
) -> None:
    bench.approve(two)
    bench.directory.become(BOB, **GONE)
    bench.directory.is_down = True
    assert bench.approve(two, CAROL).request.state is RequestState.APPROVED
    bench.moves.execute_due("two")
    assert bench.registry.holders("two") == []
    bench.directory.is_down = False
    bench.clock.advance(seconds=2)
    bench.moves.execute_due("two")
    assert (bench.state(two), bench.registry.holders("two")) == (RequestState.STALE, [])


def test_a_terminal_without_slack_leaves_the_transition_to_the_bot(bench: Bench) -> None:
    request = bench.approved()
    alone = replace(bench.context, directory=NO_DIRECTORY, owner="desk:3:c")
    TransitionExecutor(
        alone,
        Preconditions(alone, GateChecks(alone, bench.lookups), bench.fitness, no_changes),
        Completion(alone, no_entry_hook),
    ).execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.APPROVED, [3])
    assert not [note for note in bench.notes() if "waiting" in note.key]
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4]


def test_without_slack_no_one_can_be_looked_up() -> None:
    with pytest.raises(SlackNotConnected):
        NO_DIRECTORY.current_profiles([BOB.person])
