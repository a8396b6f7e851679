"""Rights that end between a vote and its move: no approval outlives the right to give it, and none lasts forever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.approvals import Request, RequestState
from bot.domain.commands import FreezeModel, Unblock, UnfreezeModel
from bot.domain.errors import Refused, RegistryUnreachable, SlackNotConnected
from bot.domain.events import Event, Tag
from bot.domain.evidence import GateResult
from bot.domain.moves import Move, MoveState
from bot.domain.parsing import build
from bot.domain.people import Person, Profile
from bot.domain.policy import read_policy
from bot.domain.registry import Stage
from bot.ports import NO_SLACK
from bot.services.gating import Gating
from bot.services.moves import Moves
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, POLICY, Bench

GONE = {"is_deleted": True}
GROUPED = {"two*": {"production": {"approvers": ["SLEADS"], "required": 2}}}
BOB_THE_LEAD, CAROL_THE_LEAD = (replace(who, groups=frozenset({"SLEADS"})) for who in (BOB, CAROL))


@pytest.fixture
def two(bench: Bench) -> Request:
    """Return an open request that needs two approvals."""
    bench.registry.add("two", versions=1)
    return bench.open("promote two 1 production")


def blocked(bench: Bench, request: Request) -> Request:
    """Let a gate of the request have failed."""
    assert request.seen is not None
    failed = GateResult(name="f1", bound="≥ 1", value="0.5", passed=False)
    changed = replace(request, seen=replace(request.seen, gates=(failed,)))
    with bench.ledger.write() as tx:
        tx.save_request(changed)
    return changed


def freeze(bench: Bench, model: str = "churn") -> None:
    bench.freezing.freeze(BOB, build(FreezeModel, {"model": model, "reason": "audit"}), origin="slack")


def unfreeze(bench: Bench, model: str = "churn") -> None:
    bench.freezing.unfreeze(BOB, build(UnfreezeModel, {"model": model}), origin="slack")
    bench.clock.turn(seconds=10)


def approvals(bench: Bench, request: Request) -> dict[str, str]:
    """Return who approved, each with the rule by which that no longer counts."""
    with bench.ledger.read() as reading:
        return {vote.voter.user: vote.lapsed for vote in reading.votes(request.id)}


def move_of(bench: Bench, request: Request) -> Move:
    [move] = [move for move in bench.moves_of(request.model) if move.request == request.id]
    return move


def lapses(bench: Bench) -> list[Event]:
    return [event for event in bench.events() if event.tag is Tag.LAPSED]


def glass(bench: Bench) -> Request:
    """Let an admin break the glass for churn v4; the move is written down and not made yet."""
    return bench.open('promote churn 4 production --break-glass --reason "fraud"', DAVE)


# -- when the approvals would be complete ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [(GONE, "deactivated"), ({"is_guest": True}, "guest"), ({"is_bot": True}, "bot"), ({"is_home": False}, "stranger")],
    ids=["deactivated", "a guest", "a bot", "elsewhere"],
)
def test_whoever_lost_their_account_since_voting_does_not_count(
    bench: Bench, two: Request, change: dict[str, bool], rule: str
) -> None:
    bench.approve(two)
    bench.directory.become(BOB, **change)
    counted = bench.approve(two, CAROL)
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)
    assert approvals(bench, two) == {"UBOB": rule, "UCAROL": ""}


def test_whoever_left_the_group_of_approvers_since_voting_does_not_count(bench: Bench) -> None:
    bench.context.rules.replace(read_policy(POLICY | {"models": POLICY["models"] | GROUPED}), "grouped")
    bench.registry.add("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request, BOB_THE_LEAD)
    bench.directory.become(BOB_THE_LEAD, groups=frozenset())
    assert bench.approve(request, CAROL_THE_LEAD).request.state is RequestState.PENDING
    assert approvals(bench, request)["UBOB"] == "not an approver"


def test_an_approval_that_lapsed_is_in_the_audit_and_the_thread(bench: Bench, two: Request) -> None:
    bench.approve(two)
    bench.directory.become(BOB, **GONE)
    bench.approve(two, CAROL)
    [event] = lapses(bench)
    assert (event.subject, event.evidence["voter"], event.evidence["rule"]) == (two.id, "UBOB", "deactivated")
    assert bench.told(f"news:{two.id}:lapsed") == "@UBOB's approval no longer counts: the account is deactivated."


def test_a_third_approver_completes_what_a_lapsed_approval_left_open(bench: Bench, two: Request) -> None:
    rules = POLICY["models"] | {"two*": {"production": {"approvers": ["lead", "UDAVE"], "required": 2}}}
    bench.context.rules.replace(read_policy(POLICY | {"models": rules}), "three")
    bench.requests.refresh()
    request = bench.open("promote two 1 production")
    bench.approve(request)
    bench.directory.become(BOB, **GONE)
    bench.approve(request, CAROL)
    bench.approve(request, DAVE)
    bench.moves.run("two")
    assert bench.state(request) is RequestState.DONE
    assert next(event for event in bench.events() if event.tag is Tag.APPROVED).actor == DAVE.person


def test_whoever_can_approve_again_votes_again(bench: Bench, two: Request) -> None:
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
    counted = bench.requests.override(DAVE, two.id, reason="known", origin="slack")
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)


def test_slack_is_asked_only_when_approvals_could_be_complete(bench: Bench, two: Request) -> None:
    bench.approve(two)
    assert bench.directory.asked == []
    bench.approve(two, CAROL)
    assert bench.directory.asked == [["UBOB"]]


def test_slack_is_never_asked_under_the_lock_of_a_request(bench: Bench, two: Request) -> None:
    def writes_meanwhile() -> None:
        with bench.ledger.write() as tx:
            tx.lock_request(two.id)

    bench.approve(two)
    bench.directory.meanwhile = writes_meanwhile
    assert bench.approve(two, CAROL).request.state is RequestState.APPROVED
    bench.directory.meanwhile = writes_meanwhile
    bench.moves.run("two")
    assert bench.state(two) is RequestState.DONE


def test_a_vote_that_arrives_while_slack_is_asked_is_checked_before_the_move(bench: Bench, two: Request) -> None:
    blocked(bench, two)
    bench.approve(two)

    def carol_votes_and_leaves() -> None:
        bench.approve(two, CAROL)
        bench.directory.become(CAROL, **GONE)

    bench.directory.meanwhile = carol_votes_and_leaves
    with bench.ledger.write() as tx:
        tx.save_request(replace(tx.request(two.id), required=1))
    bench.requests.override(DAVE, two.id, reason="known", origin="slack")
    with bench.ledger.write() as tx:
        tx.save_request(replace(tx.request(two.id), required=2))
    bench.moves.run("two")
    assert (bench.state(two), bench.registry.holders("two")) == (RequestState.STALE, [])


# -- right before the move ---------------------------------------------------------------------------------------------


def test_a_request_ends_whose_approver_is_gone_before_the_move(bench: Bench) -> None:
    request = bench.approved()
    bench.directory.become(BOB, **GONE)
    bench.moves.run("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert bench.now(request).outcome == "0 of 1 approvals still count."
    assert approvals(bench, request) == {"UBOB": "deactivated"}
    assert [event.subject for event in lapses(bench)] == [request.id]


def test_an_approval_too_many_can_lapse(bench: Bench, two: Request) -> None:
    rules = POLICY["models"] | {"two*": {"production": {"approvers": ["lead"], "override": ["admin"]}}}
    bench.context.rules.replace(read_policy(POLICY | {"models": rules}), "one")
    bench.requests.refresh()
    request = blocked(bench, bench.open("promote two 1 production"))
    bench.approve(request)
    bench.approve(request, CAROL)
    bench.requests.override(DAVE, request.id, reason="known", origin="slack")
    bench.directory.become(BOB, **GONE)
    bench.moves.run("two")
    assert (bench.state(request), bench.registry.holders("two")) == (RequestState.DONE, [1])
    assert approvals(bench, request) == {"UBOB": "deactivated", "UCAROL": ""}
    bench.mirror.write()
    assert bench.registry.version("two", 1).tags["approver"] == "UCAROL"


@pytest.mark.parametrize("role", ["lead", "admin"], ids=["an approver", "who overrode the gate"])
def test_a_request_ends_when_a_role_loses_whoever_let_it_pass(bench: Bench, two: Request, role: str) -> None:
    blocked(bench, two)
    bench.approve(two)
    bench.approve(two, CAROL)
    bench.requests.override(DAVE, two.id, reason="known", origin="slack")
    bench.context.rules.replace(read_policy(POLICY | {"roles": POLICY["roles"] | {role: ["UEVE"]}}), "another")
    bench.moves.run("two")
    assert (bench.state(two), bench.registry.holders("two")) == (RequestState.STALE, [])


def test_a_request_ends_when_whoever_overrode_its_gate_is_gone(bench: Bench, two: Request) -> None:
    blocked(bench, two)
    bench.approve(two)
    bench.approve(two, CAROL)
    bench.requests.override(DAVE, two.id, reason="known", origin="slack")
    bench.directory.become(DAVE, **GONE)
    bench.moves.run("two")
    assert bench.registry.holders("two") == []
    assert bench.now(two).outcome == "The override of its failed gates no longer counts: the account is deactivated."


def test_the_glass_is_not_broken_by_someone_whose_account_is_gone(bench: Bench) -> None:
    request = glass(bench)
    bench.directory.become(DAVE, **GONE)
    bench.moves.run("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert "can no longer do that: the account is deactivated." in bench.now(request).outcome


def test_the_glass_is_not_broken_by_someone_who_is_no_admin_anymore(bench: Bench) -> None:
    request = glass(bench)
    bench.context.rules.replace(read_policy(POLICY | {"roles": POLICY["roles"] | {"admin": ["UEVE"]}}), "another")
    bench.moves.run("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])


def test_the_glass_is_broken_during_a_freeze(bench: Bench) -> None:
    freeze(bench)
    request = glass(bench)
    bench.moves.run("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.DONE, [4])


def test_a_vote_from_the_terminal_counts_for_the_same_person(bench: Bench) -> None:
    request = bench.approve(bench.open(), Profile(person=Person("", "UBOB"), operator="bob")).request
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.DONE


def test_a_version_moved_by_hand_gets_no_alias_from_approvals_that_lapsed(bench: Bench) -> None:
    request = bench.approved()
    bench.directory.become(BOB, **GONE)
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.STALE
    assert bench.registry.model("churn").aliases["champion"] == 3


def test_what_has_begun_is_finished_whoever_left_meanwhile(bench: Bench) -> None:
    def lost() -> None:
        raise RegistryUnreachable("The answer is lost.")

    request = bench.approved()
    bench.registry.after = lost
    bench.moves.run("churn")
    bench.directory.become(BOB, **GONE)
    bench.clock.turn(days=9)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.DONE
    assert bench.registry.model("churn").aliases["champion"] == 4


# -- while Slack doesn't answer ----------------------------------------------------------------------------------------


def test_a_move_waits_for_slack_and_is_made_afterward(bench: Bench) -> None:
    request = bench.approved()
    bench.directory.is_down = True
    bench.moves.run("churn")
    assert (bench.state(request), move_of(bench, request).state) == (RequestState.APPROVED, MoveState.INTENDED)
    assert bench.registry.holders() == [3]
    assert "Slack can't confirm the approvers" in bench.told(f"news:{request.id}:waiting-for-slack")
    bench.directory.is_down = False
    bench.clock.turn(seconds=2)
    bench.moves.run("churn")
    assert bench.registry.holders() == [4]


def test_the_thread_hears_once_that_a_move_waits_for_slack(bench: Bench) -> None:
    bench.approved()
    bench.directory.is_down = True
    for _ in range(3):
        bench.moves.run("churn")
        bench.clock.turn(minutes=1)
    assert [note.key.split(":")[-1] for note in bench.notes() if "waiting-for-slack" in note.key] == [
        "waiting-for-slack",
        "waiting-for-slack",
    ]  # the card and the thread


def test_a_rollback_does_not_wait_for_slack(bench: Bench) -> None:
    with_history(bench)
    bench.approved("promote churn 4 production")
    bench.directory.is_down = True
    bench.moves.run("churn")
    bench.do('rollback churn --reason "bad figures"', BOB)
    assert bench.registry.holders() == [3]


def with_history(bench: Bench) -> None:
    """Let v1 have taken Production from v3, so that there is a version to go back to."""
    bench.watch.poll()
    bench.approved("promote churn 1 production")
    bench.moves.run("churn")
    bench.clock.turn(days=2)


def test_the_second_vote_counts_while_slack_is_down_and_the_move_decides(bench: Bench, two: Request) -> None:
    bench.approve(two)
    bench.directory.become(BOB, **GONE)
    bench.directory.is_down = True
    assert bench.approve(two, CAROL).request.state is RequestState.APPROVED
    bench.moves.run("two")
    assert bench.registry.holders("two") == []
    bench.directory.is_down = False
    bench.clock.turn(seconds=2)
    bench.moves.run("two")
    assert (bench.state(two), bench.registry.holders("two")) == (RequestState.STALE, [])


def test_a_terminal_without_slack_leaves_the_move_to_the_bot(bench: Bench) -> None:
    request = bench.approved()
    alone = replace(bench.context, directory=NO_SLACK, owner="desk:3:c")
    Moves(alone, Gating(alone), bench.fitness).run("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.APPROVED, [3])
    assert not [note for note in bench.notes() if "waiting" in note.key]
    bench.moves.run("churn")
    assert bench.registry.holders() == [4]


def test_without_slack_nobody_is_known() -> None:
    with pytest.raises(SlackNotConnected):
        NO_SLACK.profiles_now([BOB.person])


# -- approvals expire --------------------------------------------------------------------------------------------------


def test_an_approved_request_that_waits_in_a_freeze_expires(bench: Bench) -> None:
    request = bench.approved()
    freeze(bench)
    for _ in range(3):
        bench.moves.run("churn")
        bench.clock.turn(hours=10)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.EXPIRED
    unfreeze(bench)
    bench.moves.run("churn")
    assert bench.registry.holders() == [3]


def test_an_approved_request_expires_while_the_registry_is_down(bench: Bench) -> None:
    request = bench.approved()
    bench.registry.down = True
    bench.moves.run("churn")
    bench.clock.turn(days=400)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.EXPIRED
    assert move_of(bench, request).state is MoveState.STALE
    bench.registry.down = False
    bench.moves.run("churn")
    assert bench.registry.holders() == [3]


def test_an_approval_that_nobody_carried_out_is_not_carried_out_400_days_later(bench: Bench) -> None:
    request = bench.approved()
    bench.clock.turn(days=400)
    bench.moves.run("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.EXPIRED, [3])


def test_people_read_that_it_was_approved_and_not_moved_in_time(bench: Bench) -> None:
    request = bench.approved()
    bench.clock.turn(hours=24)
    bench.moves.run("churn")
    assert "expired: it was approved, but not moved by" in bench.told("direct")
    assert {"card:expired", "news:expired", "direct:expired"} <= bench.keys()
    expired = bench.events()[-1]
    assert (expired.tag, expired.subject) == (Tag.EXPIRED, request.id)


def test_a_waiting_move_is_due_no_later_than_its_request_expires(bench: Bench) -> None:
    request = bench.approved()
    bench.clock.turn(hours=23, minutes=59, seconds=57)
    freeze(bench)
    bench.moves.run("churn")
    bench.clock.turn(seconds=3)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.EXPIRED


def test_a_broken_glass_expires_as_well(bench: Bench) -> None:
    request = glass(bench)
    bench.registry.down = True
    bench.moves.run("churn")
    bench.clock.turn(days=2)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.EXPIRED


# -- what came and went ------------------------------------------------------------------------------------------------


def came_and_went(bench: Bench, version: int) -> None:
    """Let a version be moved to Production in MLflow, and v3 be put back because that one is bad."""
    bench.clock.turn(minutes=1)
    bench.registry.by_hand("churn", version, Stage.PRODUCTION)
    bench.watch.poll()
    bench.clock.turn(minutes=1)
    bench.do('rollback churn 3 --reason "bad figures"', BOB)
    assert bench.registry.holders() == [3]


def test_an_approved_version_that_served_and_was_rolled_back_meanwhile_is_not_moved(bench: Bench) -> None:
    bench.watch.poll()
    for version in (4, 3):  # v4 served, and v3 took over from it
        bench.approved(f"promote churn {version} production")
        bench.moves.run("churn")
        bench.clock.turn(days=2)
    request = bench.approved("promote churn 4 production")
    freeze(bench)
    bench.moves.run("churn")
    bench.clock.turn(minutes=1)
    bench.do('rollback churn 4 --reason "bad figures"', BOB)  # v4 serves for a minute, and is worse
    bench.clock.turn(minutes=1)
    unblock = build(Unblock, {"model": "churn", "version": "3", "reason": "v4 is worse"})
    bench.rollbacks.unblock(BOB, unblock, origin="slack")
    bench.do('rollback churn 3 --reason "worse figures"', BOB)
    assert bench.registry.version("churn", 4).stage is request.from_stage
    unfreeze(bench)
    bench.moves.run("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert "after this was requested" in bench.now(request).outcome


def test_a_click_finds_what_came_and_went_before_the_next_poll(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production")
    came_and_went(bench, 1)
    with pytest.raises(Refused):
        bench.approve(request, CAROL)
    assert bench.state(request) is RequestState.STALE


def test_another_version_that_came_and_went_is_found_too(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production")
    came_and_went(bench, 4)
    assert bench.requests.refresh() == 1
    assert bench.state(request) is RequestState.STALE


def test_next_to_an_incumbent_that_stays_other_versions_come_and_go(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production --keep-existing")
    came_and_went(bench, 4)
    assert bench.requests.refresh() == 0
    bench.approve(request, CAROL)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.DONE


def test_what_is_found_far_back_counts_as_well(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production")
    came_and_went(bench, 4)
    pattern = bench.moves_of()[0]
    with bench.ledger.write() as tx:
        for number in range(120):
            later: dict[str, Any] = {"intended_at": bench.clock.now(), "finished_at": bench.clock.now()}
            tx.add_move(replace(pattern, id=f"other:{number}", version=2, state=MoveState.FAILED, **later))
    assert bench.requests.refresh() == 1
    assert bench.state(request) is RequestState.STALE


def test_the_moves_before_a_request_are_none_of_its_news(bench: Bench) -> None:
    bench.watch.poll()
    came_and_went(bench, 4)
    bench.clock.turn(minutes=1)
    request = bench.approved("promote churn 1 production")
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.DONE


def test_a_poll_that_finds_late_what_the_request_knew_ends_nothing(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    request = bench.open()
    bench.clock.turn(minutes=1)
    bench.watch.poll()
    bench.approve(request)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.DONE


def test_alice_is_asked_about_only_if_she_let_something_pass(bench: Bench) -> None:
    bench.approve(bench.open(who=ALICE))
    bench.moves.run("churn")
    assert all("UALICE" not in asked for asked in bench.directory.asked)
