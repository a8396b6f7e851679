"""Gates at the opening and right before the move, overrides, votes taken back, reminders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bot.domain.approvals import Request, RequestState
from bot.domain.errors import AlreadyDecided, GateFailed, Refused, RegistryRefused, RegistryUnreachable
from bot.domain.events import Event, Tag
from bot.domain.people import Caller
from bot.domain.policy import read_policy
from bot.domain.registry import Column, Package, Signature, Stage, VersionInfo
from bot.ports import NoteKind
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, POLICY, Bench, beside

ACCURATE: Mapping[str, Any] = {"metric": "accuracy", "at_least": 0.85}
NO_WORSE: Mapping[str, Any] = {"metric": "f1", "not_worse_than_incumbent_by": 0.01}
STAGED: Mapping[str, Any] = {"in_staging_for": "24h"}
FRAUD = "promote fraud 2 production"
SIGNATURE = Signature(inputs=(Column(name="age", type="long"),))
GOOD = {"accuracy": 0.9, "f1": 0.8}


def hold(bench: Bench, *gates: Mapping[str, Any], **production: Any) -> None:
    """Let these gates and this rule hold for Production of every model."""
    rule = {"approvers": ["lead"], "gates": list(gates)} | production
    models = {"*": {"staging": {"approvers": ["lead"]}, "production": rule}}
    bench.context.rules.replace(read_policy(POLICY | {"models": models}), "edited")


def measure(bench: Bench, version: int, **metrics: float) -> None:
    """Let a version of `fraud` have these metrics."""
    bench.registry.add_run(f"run{version}", metrics=metrics)


@pytest.fixture
def fraud(bench: Bench) -> Bench:
    """Return the bench with a model `fraud`: v1 in Production, v2 besides, both measured and equally good."""
    bench.registry.add("fraud")
    for version, stage in ((1, Stage.PRODUCTION), (2, Stage.NONE)):
        measure(bench, version, **GOOD)
        bench.registry.add_version("fraud", stage=stage, run_id=f"run{version}")
    return bench


@pytest.fixture
def blocked(fraud: Bench) -> Request:
    """Return an open request whose version is not accurate enough; an admin may let it pass."""
    hold(fraud, ACCURATE, override=["admin"])
    measure(fraud, 2, accuracy=0.83)
    return fraud.open(FRAUD)


def let_pass(bench: Bench, request: Request, who: Caller = DAVE, reason: str = "known") -> Request:
    return bench.requests.override(who, request.id, reason=reason, origin="slack").request


def withdraw(bench: Bench, request: Request, who: Caller = BOB) -> int:
    return bench.requests.withdraw(who, request.id, origin="slack").approvals


def moved(bench: Bench, request: Request) -> Request:
    """Make the move of an approved request, and return how it ended."""
    bench.moves.run(request.model)
    return bench.now(request)


def events(bench: Bench, tag: Tag) -> list[Event]:
    return [event for event in bench.events() if event.tag is tag]


# -- at the opening ----------------------------------------------------------------------------------------------------


def test_a_failed_gate_that_nobody_may_let_pass_opens_nothing(fraud: Bench) -> None:
    hold(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed, match=r"accuracy is 0\.83"):
        fraud.open(FRAUD)
    with fraud.ledger.read() as reading:
        assert reading.requests() == []


def test_what_was_seen_of_a_refused_version_is_in_the_audit(fraud: Bench) -> None:
    hold(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        fraud.open(FRAUD)
    [refused] = events(fraud, Tag.ASK_REFUSED)
    assert refused.evidence["seen"]["metrics"] == {"accuracy": 0.83}
    assert [gate["passed"] for gate in refused.evidence["seen"]["gates"]] == [False]


def test_a_failed_gate_that_somebody_may_let_pass_opens_a_blocked_request(fraud: Bench, blocked: Request) -> None:
    assert blocked.is_blocked
    assert fraud.state(blocked) is RequestState.PENDING


def test_what_a_request_was_opened_on_is_kept_with_it_and_in_the_audit(fraud: Bench) -> None:
    hold(fraud, ACCURATE, NO_WORSE)
    request = fraud.open(FRAUD)
    assert request.seen is not None
    assert (request.seen.metrics, request.seen.against, request.seen.policy) == (GOOD, GOOD, "edited")
    [opened] = events(fraud, Tag.OPENED)
    assert [gate["name"] for gate in opened.evidence["seen"]["gates"]] == ["accuracy", "f1"]


def test_an_asker_s_own_result_counts_where_the_run_has_none(fraud: Bench) -> None:
    hold(fraud, ACCURATE)
    measure(fraud, 2)
    request = fraud.open(f"{FRAUD} --validation accuracy=0.92")
    assert request.seen is not None
    assert [(gate.passed, gate.note) for gate in request.seen.gates] == [(True, "the asker's own validation")]


def test_an_asker_s_own_result_replaces_no_figure_of_the_run(fraud: Bench) -> None:
    hold(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        fraud.open(f"{FRAUD} --validation accuracy=0.92")


def test_files_that_the_registry_refuses_count_as_missing(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(version: VersionInfo) -> Package:
        if version.version == 2:
            raise RegistryRefused("Nobody may read that folder.")
        return Package(signature=SIGNATURE)

    hold(fraud, {"signature": "compatible"})
    monkeypatch.setattr(fraud.registry, "package", package)
    with pytest.raises(GateFailed, match="signature is missing"):
        fraud.open(FRAUD)


def test_files_that_do_not_come_now_are_waited_for(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(version: VersionInfo) -> Package:
        raise RegistryUnreachable("The files do not come.")

    hold(fraud, {"signature": "compatible"})
    ask = fraud.ask(FRAUD)
    monkeypatch.setattr(fraud.registry, "package", package)
    with pytest.raises(RegistryUnreachable):
        fraud.open_ask(ask.id)
    assert fraud.tags() == [Tag.ASKED.value]


def test_without_the_registry_the_gates_are_looked_at_later(fraud: Bench) -> None:
    hold(fraud, ACCURATE)
    ask = fraud.ask(FRAUD)
    fraud.registry.down = True
    with pytest.raises(RegistryUnreachable):
        fraud.open_ask(ask.id)
    fraud.registry.down = False
    assert fraud.open_ask(ask.id).seen is not None


# -- letting gates pass ------------------------------------------------------------------------------------------------


def test_approvals_do_not_decide_what_is_blocked(fraud: Bench, blocked: Request) -> None:
    assert fraud.approve(blocked, BOB).request.state is RequestState.PENDING
    assert fraud.approve(blocked, CAROL).request.state is RequestState.PENDING
    assert fraud.moves_of("fraud") == []


def test_letting_the_gates_pass_decides_what_has_its_approvals(fraud: Bench, blocked: Request) -> None:
    fraud.approve(blocked)
    decided = let_pass(fraud, blocked)
    assert (decided.state, decided.decided_by) == (RequestState.APPROVED, BOB.person)
    assert moved(fraud, decided).state is RequestState.DONE


def test_letting_the_gates_pass_is_no_approval(fraud: Bench, blocked: Request) -> None:
    assert let_pass(fraud, blocked).state is RequestState.PENDING
    assert fraud.approve(blocked).request.state is RequestState.APPROVED


def test_who_let_which_gates_pass_and_why_is_in_the_audit(fraud: Bench, blocked: Request) -> None:
    let_pass(fraud, blocked, reason="measured on old data")
    [event] = events(fraud, Tag.OVERRIDDEN)
    assert (event.actor, event.why) == (DAVE.person, "measured on old data")
    assert [gate["value"] for gate in event.evidence["gates"]] == ["0.83"]


def test_card_and_thread_hear_that_the_gates_were_let_pass(fraud: Bench, blocked: Request) -> None:
    let_pass(fraud, blocked)
    assert {"card:overridden", "news:overridden"} <= fraud.keys()


@pytest.mark.parametrize("who", [ALICE, BOB], ids=["requester", "approver"])
def test_whom_the_policy_does_not_name_lets_nothing_pass(fraud: Bench, blocked: Request, who: Caller) -> None:
    with pytest.raises(Refused, match="does not let you pass a failed gate"):
        let_pass(fraud, blocked, who)
    assert fraud.now(blocked).is_blocked
    assert fraud.events()[-1].tag is Tag.VOTE_REFUSED


def test_where_no_gate_failed_there_is_nothing_to_let_pass(fraud: Bench) -> None:
    hold(fraud, ACCURATE, override=["admin"])
    request = fraud.open(FRAUD)
    with pytest.raises(Refused, match="No gate of request"):
        let_pass(fraud, request)


def test_an_override_doesn_t_replace_the_approvals_that_are_missing(fraud: Bench) -> None:
    hold(fraud, ACCURATE, override=["admin"], required=2)
    measure(fraud, 2, accuracy=0.83)
    request = fraud.open(FRAUD)
    fraud.approve(request)
    assert let_pass(fraud, request).state is RequestState.PENDING
    assert fraud.approve(request, CAROL).request.state is RequestState.APPROVED


def test_an_overridden_request_was_decided_by_its_last_approver(fraud: Bench) -> None:
    hold(fraud, ACCURATE, override=["admin"], required=2)
    measure(fraud, 2, accuracy=0.83)
    request = fraud.open(FRAUD)
    fraud.approve(request, BOB)
    fraud.approve(request, CAROL)
    assert let_pass(fraud, request).decided_by == CAROL.person


def test_a_refused_withdrawal_and_a_refused_override_are_in_the_audit(fraud: Bench, blocked: Request) -> None:
    with pytest.raises(Refused):
        withdraw(fraud, blocked)
    with pytest.raises(Refused):
        let_pass(fraud, blocked, ALICE)
    assert [event.evidence["act"] for event in events(fraud, Tag.VOTE_REFUSED)] == ["withdraw", "override"]


def test_gates_are_let_pass_once(fraud: Bench, blocked: Request) -> None:
    let_pass(fraud, blocked)
    with pytest.raises(Refused, match="No gate of request"):
        let_pass(fraud, blocked)
    assert len(events(fraud, Tag.OVERRIDDEN)) == 1


def test_letting_gates_pass_comes_too_late_where_it_was_rejected(fraud: Bench, blocked: Request) -> None:
    fraud.reject(blocked)
    with pytest.raises(AlreadyDecided):
        let_pass(fraud, blocked)


# -- votes taken back --------------------------------------------------------------------------------------------------


@pytest.fixture
def two(bench: Bench) -> Request:
    """Return an open request that needs two approvals and has Bob's."""
    bench.registry.add("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request)
    return request


def test_a_vote_taken_back_does_not_count(bench: Bench, two: Request) -> None:
    assert withdraw(bench, two) == 0
    assert bench.approve(two, CAROL).request.state is RequestState.PENDING


def test_who_took_a_vote_back_can_vote_again(bench: Bench, two: Request) -> None:
    withdraw(bench, two)
    bench.approve(two, CAROL)
    assert bench.approve(two, BOB).request.state is RequestState.APPROVED


def test_the_audit_keeps_the_vote_and_that_it_was_taken_back(bench: Bench, two: Request) -> None:
    withdraw(bench, two)
    assert [event.tag for event in bench.events()][-2:] == [Tag.VOTED, Tag.WITHDRAWN]
    assert bench.events()[-1].evidence["approvals"] == 0


def test_nobody_takes_back_another_s_vote(bench: Bench, two: Request) -> None:
    with pytest.raises(Refused, match="You have not voted"):
        withdraw(bench, two, CAROL)
    with bench.ledger.read() as reading:
        assert [vote.voter for vote in reading.votes(two.id)] == [BOB.person]


def test_a_vote_is_not_taken_back_after_the_decision(bench: Bench, two: Request) -> None:
    bench.approve(two, CAROL)
    with pytest.raises(AlreadyDecided):
        withdraw(bench, two)
    assert bench.state(two) is RequestState.APPROVED


def test_a_vote_taken_back_does_not_decide_when_the_gates_are_let_pass(fraud: Bench, blocked: Request) -> None:
    fraud.approve(blocked)
    withdraw(fraud, blocked)
    assert let_pass(fraud, blocked).state is RequestState.PENDING


# -- right before the move ---------------------------------------------------------------------------------------------


def approved(bench: Bench, *gates: Mapping[str, Any], **production: Any) -> Request:
    """Return an approved request for `fraud` under these gates; its move is not made yet."""
    hold(bench, *gates, **production)
    return bench.approved(FRAUD)


def test_what_is_as_it_was_is_moved(fraud: Bench) -> None:
    assert moved(fraud, approved(fraud, ACCURATE, NO_WORSE)).state is RequestState.DONE


def test_a_version_that_was_measured_anew_is_not_moved(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.95, f1=0.8)
    ended = moved(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome == "v2 was measured anew since this was asked: accuracy was 0.9 and is 0.95."
    assert fraud.registry.holders("fraud") == [1]


def test_an_incumbent_that_got_better_makes_a_gate_fail(fraud: Bench) -> None:
    request = approved(fraud, NO_WORSE)
    measure(fraud, 1, f1=0.95)
    ended = moved(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome.startswith("A gate does not pass any more: f1 is 0.8 (-0.15 against v1)")


def test_an_incumbent_s_live_figures_may_change_where_every_gate_still_passes(fraud: Bench) -> None:
    request = approved(fraud, NO_WORSE)
    measure(fraud, 1, f1=0.79, load=3)
    assert moved(fraud, request).state is RequestState.DONE


def test_a_field_of_the_card_that_was_taken_away_is_missed(fraud: Bench) -> None:
    fraud.registry.set_tags("fraud", 2, {"owner": "risk"})
    request = approved(fraud, {"card": ["owner"]})
    fraud.registry.set_tags("fraud", 2, {"owner": None})
    ended = moved(fraud, request)
    assert ended.state is RequestState.STALE
    assert "metadata card is missing: owner" in ended.outcome


def test_a_field_that_the_model_s_own_tags_fill_is_looked_up_there(bench: Bench) -> None:
    bench.registry.add("fraud", versions=[Stage.PRODUCTION, Stage.NONE], tags={"owner": "risk"})
    assert moved(bench, approved(bench, {"card": ["owner"]})).state is RequestState.DONE


def test_an_incumbent_moved_by_hand_ends_it(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    ended = moved(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome == "Production held v1 when this was asked and holds no version now."


def test_an_edited_rule_ends_it_without_a_look_at_the_figures(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    hold(fraud, ACCURATE, NO_WORSE)
    fraud.registry.requests.clear()
    ended = moved(fraud, request)
    assert ended.state is RequestState.STALE
    assert "rule for Production was changed" in ended.outcome
    assert fraud.registry.requests["runs"] == 0


def test_an_edit_of_what_decides_nothing_ends_nothing(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    hold(fraud, ACCURATE, expires_after="1h", remind_after="5m")
    assert moved(fraud, request).state is RequestState.DONE


def test_a_gate_that_was_let_pass_may_fail_again(fraud: Bench, blocked: Request) -> None:
    let_pass(fraud, blocked)
    fraud.approve(blocked)
    assert moved(fraud, blocked).state is RequestState.DONE


def test_another_gate_that_begins_to_fail_was_not_let_pass(fraud: Bench) -> None:
    measure(fraud, 2, accuracy=0.83, f1=0.8)
    hold(fraud, ACCURATE, NO_WORSE, override=["admin"])
    request = fraud.open(FRAUD)
    let_pass(fraud, request)
    fraud.approve(request)
    measure(fraud, 1, f1=0.95)
    ended = moved(fraud, request)
    assert ended.state is RequestState.STALE
    assert "f1 is 0.8" in ended.outcome


def test_a_signature_is_read_again_before_the_move(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, Package(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    assert fraud.registry.requests["package"] == 2
    assert moved(fraud, request).state is RequestState.DONE
    assert fraud.registry.requests["package"] == 4


def test_a_version_whose_signature_has_changed_since_the_approval_is_not_moved(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, Package(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    fraud.registry.add_package(
        fraud.registry.version("fraud", request.version),
        Package(signature=Signature(inputs=(Column(name="other", type="string"),), outputs=SIGNATURE.outputs)),
    )
    assert moved(fraud, request).state is RequestState.STALE


def test_a_version_whose_mlmodel_file_has_gone_since_the_approval_is_not_moved(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, Package(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    fraud.registry.remove_package(fraud.registry.version("fraud", request.version))
    ended = moved(fraud, request)
    assert (ended.state, "no MLmodel file" in ended.outcome) == (RequestState.STALE, True)


@pytest.mark.parametrize("number", [0, 200], ids=lambda number: f"{number} more versions")
def test_before_the_move_the_registry_is_asked_three_times_at_any_number_of_versions(fraud: Bench, number: int) -> None:
    for version in range(3, 3 + number):
        measure(fraud, version, **GOOD)
        fraud.registry.add_version("fraud", run_id=f"run{version}")
    request = approved(fraud, ACCURATE, NO_WORSE, {"card": ["metrics"]})
    fraud.registry.requests.clear()
    asked: list[int] = []
    fraud.registry.before = lambda: asked.append(fraud.registry.requests.total())
    assert moved(fraud, request).state is RequestState.DONE
    assert asked == [3]  # versions, the model, the runs


# -- time in Staging ---------------------------------------------------------------------------------------------------


@pytest.fixture
def at_hand(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return the bench whose registry goes by the hand clock, too; what goes to Production has been staged for 24 h."""
    monkeypatch.setattr(fraud.registry, "_now", fraud.clock.now)
    hold(fraud, STAGED)
    return fraud


def test_time_in_staging_counts_from_our_move_whatever_was_written_since(at_hand: Bench) -> None:
    at_hand.approved("promote fraud 2 staging")
    at_hand.moves.run("fraud")
    at_hand.clock.turn(hours=20)
    at_hand.registry.describe("fraud", 2, "better")
    at_hand.clock.turn(hours=4)
    assert at_hand.open(FRAUD).from_stage is Stage.STAGING


def test_a_minute_too_little_in_staging_is_too_little(at_hand: Bench) -> None:
    at_hand.approved("promote fraud 2 staging")
    at_hand.moves.run("fraud")
    at_hand.clock.turn(hours=23, minutes=59)
    with pytest.raises(GateFailed, match="time in Staging"):
        at_hand.open(FRAUD)


def test_of_what_others_put_into_staging_the_registry_tells_since_when(at_hand: Bench) -> None:
    at_hand.registry.by_hand("fraud", 2, Stage.STAGING)
    at_hand.clock.turn(hours=23)
    with pytest.raises(GateFailed, match="time in Staging"):
        at_hand.open(FRAUD)
    at_hand.clock.turn(hours=1)
    assert at_hand.open(FRAUD).state is RequestState.PENDING


def test_what_is_not_in_staging_has_spent_no_time_there(at_hand: Bench) -> None:
    with pytest.raises(GateFailed, match="not in Staging"):
        at_hand.open(FRAUD)


# -- reminders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def reminding(bench: Bench) -> Bench:
    """Return the bench whose policy reminds after an hour, of requests that need two of Bob, Carol and Alice."""
    hold(bench, approvers=["lead", "UALICE"], required=2, remind_after="1h")
    return bench


def people(ids: Sequence[str]) -> list[str]:
    """Return the users behind these ids: there are no groups here."""
    return list(ids)


def reminded(bench: Bench) -> list[str]:
    """Return whom reminders on their way go to, sorted."""
    return sorted(note.to for note in bench.notes() if note.kind is NoteKind.DIRECT and ":reminder:" in note.key)


def test_who_can_decide_is_reminded_and_not_who_asked(reminding: Bench) -> None:
    reminding.open()
    reminding.clock.turn(hours=1)
    assert reminding.requests.remind(people) == 1
    assert reminded(reminding) == ["UBOB", "UCAROL"]


def test_of_a_large_group_twenty_people_are_reminded(reminding: Bench) -> None:
    reminding.open()
    reminding.clock.turn(hours=1)
    reminding.requests.remind(lambda _: [f"U{number:02}" for number in range(30)])
    assert reminded(reminding) == [f"U{number:02}" for number in range(20)]


def test_who_voted_is_not_reminded(reminding: Bench) -> None:
    reminding.approve(reminding.open())
    reminding.clock.turn(hours=1)
    reminding.requests.remind(people)
    assert reminded(reminding) == ["UCAROL"]


def test_who_asked_is_reminded_where_they_may_decide(bench: Bench) -> None:
    hold(bench, approvers=["lead", "UALICE"], requester_may_approve=True, remind_after="1h")
    bench.open()
    bench.clock.turn(hours=1)
    bench.requests.remind(people)
    assert reminded(bench) == ["UALICE", "UBOB", "UCAROL"]


def test_each_pause_is_twice_as_long_as_the_one_before(reminding: Bench) -> None:
    reminding.open()
    hours = []
    for hour in range(1, 20):
        reminding.clock.turn(hours=1)
        hours += [hour] * reminding.requests.remind(people)
    assert hours == [1, 3, 7, 15]


def test_two_processes_remind_once_at_the_same_moment(reminding: Bench) -> None:
    other, counts = beside(reminding), []
    other.context.rules.replace(reminding.context.policy, "edited")

    def while_the_other_reminds(ids: Sequence[str]) -> list[str]:
        counts.append(other.requests.remind(people))
        return people(ids)

    reminding.open()
    reminding.clock.turn(hours=1)
    assert reminding.requests.remind(while_the_other_reminds) == 0
    assert counts == [1]
    assert reminded(reminding) == ["UBOB", "UCAROL"]


def test_whom_was_reminded_of_is_in_the_audit(reminding: Bench) -> None:
    reminding.open()
    reminding.clock.turn(hours=1)
    reminding.requests.remind(people)
    [event] = events(reminding, Tag.REMINDED)
    assert event.evidence["people"] == ["UBOB", "UCAROL"]


def test_what_was_decided_reminds_nobody(reminding: Bench) -> None:
    reminding.reject(reminding.open())
    reminding.clock.turn(hours=1)
    assert reminding.requests.remind(people) == 0


def test_nobody_is_reminded_where_the_policy_says_nothing_of_it(bench: Bench) -> None:
    bench.open()
    bench.clock.turn(hours=20)
    assert bench.requests.remind(people) == 0


# -- ended by what the ledger knows ------------------------------------------------------------------------------------


def test_a_click_on_what_the_ledger_knows_to_be_out_of_date_ends_it(fraud: Bench) -> None:
    hold(fraud, ACCURATE)
    request = fraud.open(FRAUD)
    hold(fraud, NO_WORSE)
    with pytest.raises(AlreadyDecided, match="rule for Production was changed"):
        fraud.approve(request)
    assert fraud.state(request) is RequestState.STALE


def test_overriding_the_gates_of_an_outdated_request_ends_it(fraud: Bench, blocked: Request) -> None:
    fraud.clock.turn(minutes=1)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    fraud.watch.poll()
    with pytest.raises(AlreadyDecided):
        let_pass(fraud, blocked)
    assert fraud.state(blocked) is RequestState.STALE
    assert events(fraud, Tag.OVERRIDDEN) == []


def test_an_incumbent_that_the_poll_found_moved_ends_what_waits(fraud: Bench) -> None:
    request = fraud.open(FRAUD)
    fraud.clock.turn(minutes=1)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    fraud.watch.poll()
    assert fraud.requests.refresh() == 1
    assert fraud.state(request) is RequestState.STALE


def test_taking_a_vote_back_and_rejecting_need_no_fresh_facts(fraud: Bench) -> None:
    hold(fraud, ACCURATE, required=2)
    request = fraud.open(FRAUD)
    fraud.approve(request)
    hold(fraud, NO_WORSE, required=2)
    assert withdraw(fraud, request) == 0
    assert fraud.reject(request).request.state is RequestState.REJECTED
