"""Self-review by proxy: no one approves their own CI job alone, or overrides a failed gate on their own request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.parser import parse_command
from bot.domain.core.actors import Caller, Client, Operator, Person, Profile
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import AlreadyDecided, GateFailed, Refused, TooFewApprovers
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import Request, RequestState
from bot.services.core.commands import Origin
from tests.support.services.approvals import move_of
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, POLICY, Bench
from tests.support.services.gates import ACCURATE, FRAUD, measure, set_gates

CI, CHURN = Client("ci"), "promote churn 4 production"
OCTOCAT = CiRun(repository="acme/churn", run="4711", actor="octocat", service="github")
OCTOCAT_IS_BOB = {"github": {"octocat": "UBOB"}}
OCTOCAT_IS_ALICE = {"github": {"octocat": "UALICE"}}


def edit(bench: Bench, people: dict[str, Any], **rule: Any) -> Bench:
    """Activate a policy with these `people`, and this rule for Production."""
    production = {"approvers": ["lead", "UDAVE"], **rule}
    policy = POLICY | {
        "clients": {"ci": {"may": ["request"]}},
        "people": people,
        "models": {"*": {"production": production}},
    }
    bench.context.active_policy.replace(validate_policy(policy), "edited")
    return bench


def open_from_ci(
    bench: Bench, ci: CiRun = OCTOCAT, who: Caller = CI, text: str = "promote churn 4 production"
) -> Request:
    """Open a request from a CI run."""
    command = parse_command(text)
    assert command is not None
    queued = bench.commands.execute(who, command, Origin(entry_point="api", ci=ci)).queued
    assert queued is not None
    return bench.open_ask(queued.id)


def refusal(bench: Bench, request: Request, who: Profile = BOB) -> str:
    """Approve a request, and return the refusal."""
    with pytest.raises(Refused) as error:
        bench.approve(request, who)
    return str(error.value.sentence)


# -- whoever started the CI job ----------------------------------------------------------------------------------------


def test_the_person_who_started_the_job_cannot_approve_its_request(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB))
    assert refusal(bench, request) == "You started this CI job, so someone else has to decide: @UCAROL, @UDAVE."
    assert bench.state(request) is RequestState.PENDING


def test_someone_else_can_approve_it_alone(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB))
    assert bench.approve(request, CAROL).request.state is RequestState.APPROVED


def test_the_person_is_the_same_in_another_workspace(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB))
    assert "You started this CI job" in refusal(bench, request, Profile(person=Person("T2", "UBOB")))


@pytest.mark.parametrize("login", ["Octocat", "OCTOCAT"])
def test_logins_are_case_insensitive(bench: Bench, login: str) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB), replace(OCTOCAT, actor=login))
    assert "You started this CI job" in refusal(bench, request)


def test_a_login_belongs_to_one_service(bench: Bench) -> None:
    people = {"github": {"octocat": "UBOB"}, "gitlab": {"octocat": "UCAROL"}}
    request = open_from_ci(edit(bench, people), replace(OCTOCAT, service="gitlab"))
    assert "You started this CI job" in refusal(bench, request, CAROL)
    assert bench.approve(request, BOB).request.state is RequestState.APPROVED


def test_the_person_can_approve_if_requesters_can(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB, requester_may_approve=True))
    assert bench.approve(request).request.state is RequestState.APPROVED


def test_the_person_can_cancel_the_request_but_not_reject_it(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB))
    with pytest.raises(Refused, match="You started this CI job"):
        bench.reject(request, BOB)
    assert bench.cancel(request, BOB).state is RequestState.CANCELLED


def test_an_operator_s_job_counts_for_both_the_operator_and_its_starter(bench: Bench) -> None:
    edit(bench, OCTOCAT_IS_BOB)
    bench.context.active_policy.replace(bench.context.policy.model_copy(update={"operators": {"ann": "UDAVE"}}), "ann")
    request = open_from_ci(bench, who=Operator("ann"))
    assert "You started this CI job" in refusal(bench, request, BOB)
    assert "This is your own request" in refusal(bench, request, DAVE)


def test_the_request_is_refused_if_only_its_starter_can_approve(bench: Bench) -> None:
    edit(bench, OCTOCAT_IS_BOB, approvers=["UBOB"])
    with pytest.raises(TooFewApprovers, match="besides @UBOB, no one can approve"):
        open_from_ci(bench)


def test_the_starter_gets_no_invitation_or_reminder(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB, tell_approvers="direct", remind_after="1h"))
    bench.clock.advance(hours=1)
    bench.request_upkeep.remind_approvers(list)
    notified = {note.to for note in bench.notes() if note.key.startswith(f"direct:{request.id}")}
    assert notified == {"UCAROL", "UDAVE"}


# -- votes before an edit of `people` ----------------------------------------------------------------------------------


def test_an_earlier_approval_lapses_if_its_voter_turns_out_to_have_started_the_job(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_ALICE, required=2))
    bench.approve(request, BOB)
    edit(bench, OCTOCAT_IS_BOB, required=2)
    counted = bench.approve(request, CAROL)
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)
    [lapse] = [event for event in bench.events() if event.tag is EventTag.VOTE_LAPSED]
    assert lapse.why == "@UBOB's approval no longer counts: they started its CI job."


def test_an_approved_request_ends_if_its_approver_turns_out_to_have_started_the_job(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_ALICE))
    bench.approve(request, BOB)
    edit(bench, OCTOCAT_IS_BOB)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])


# -- no one knows who started the CI job -------------------------------------------------------------------------------


UNKNOWN_STARTERS = {
    "an unlisted login": replace(OCTOCAT, actor="hubot"),
    "a bot": replace(OCTOCAT, actor="dependabot[bot]"),
    "another service": replace(OCTOCAT, service="gitlab"),
    "no login": replace(OCTOCAT, actor=""),
    "no CI run": CiRun(),
}


@pytest.mark.parametrize("ci", UNKNOWN_STARTERS.values(), ids=UNKNOWN_STARTERS)
def test_two_people_must_approve_if_no_one_knows_who_started_the_job(bench: Bench, ci: CiRun) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB), ci)
    assert bench.approve(request, BOB).request.state is RequestState.PENDING
    assert bench.approve(request, CAROL).request.state is RequestState.APPROVED


def test_a_verified_starter_who_is_not_listed_needs_two_approvals_even_without_people(bench: Bench) -> None:
    assert open_from_ci(edit(bench, {}), replace(OCTOCAT, is_verified=True)).required == 2


def test_an_unverified_job_needs_one_approval_without_people(bench: Bench) -> None:
    assert open_from_ci(edit(bench, {})).required == 1


def test_an_unknown_starter_needs_one_more_approval_than_the_rule(bench: Bench) -> None:
    assert open_from_ci(edit(bench, OCTOCAT_IS_BOB, required=2), UNKNOWN_STARTERS["no login"]).required == 3


def test_whoever_reruns_their_own_job_cannot_be_one_of_the_two_who_approve_it(bench: Bench) -> None:
    edit(bench, OCTOCAT_IS_BOB, required=2)
    rerun = open_from_ci(bench, replace(OCTOCAT, actor="", is_verified=True))
    bench.approve(rerun, BOB)
    assert bench.approve(rerun, CAROL).request.state is RequestState.PENDING
    assert bench.approve(rerun, DAVE).request.state is RequestState.APPROVED


def test_one_approval_is_enough_if_requesters_can_approve(bench: Bench) -> None:
    edit(bench, OCTOCAT_IS_BOB, requester_may_approve=True)
    assert open_from_ci(bench, replace(OCTOCAT, actor="hubot")).required == 1


def test_the_request_is_refused_if_only_as_many_people_can_approve_as_the_rule_requires(bench: Bench) -> None:
    edit(bench, OCTOCAT_IS_BOB, approvers=["UBOB", "UCAROL"], required=2)
    with pytest.raises(TooFewApprovers, match="it needs 3 approvals, but only @UBOB and @UCAROL can approve"):
        open_from_ci(bench, UNKNOWN_STARTERS["no login"])


def test_a_person_s_request_needs_one_approval(bench: Bench) -> None:
    assert edit(bench, OCTOCAT_IS_BOB).open().required == 1


def test_the_request_is_refused_if_only_one_person_can_approve(bench: Bench) -> None:
    edit(bench, OCTOCAT_IS_BOB, approvers=["UCAROL"])
    with pytest.raises(TooFewApprovers, match="it needs 2 approvals, but only @UCAROL can approve"):
        open_from_ci(bench, replace(OCTOCAT, actor="hubot"))


@pytest.mark.parametrize("required", [1, 2])
def test_a_pending_request_is_outdated_once_no_one_knows_who_started_its_job(bench: Bench, required: int) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_BOB, required=required))
    edit(bench, {"github": {"hubot": "UBOB"}}, required=required)
    words = f"doesn't say who started this job, so the request needs {required + 1} approvals"
    with pytest.raises(AlreadyDecided, match=words):
        bench.approve(request, BOB)
    assert bench.state(request) is RequestState.STALE


def test_an_approved_request_ends_once_no_one_knows_who_started_its_job(bench: Bench) -> None:
    request = open_from_ci(edit(bench, OCTOCAT_IS_ALICE))
    bench.approve(request, BOB)
    edit(bench, {"github": {"hubot": "UBOB"}})
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert move_of(bench, request).why.startswith("The policy's people doesn't say who started this job")


def test_listing_the_starter_does_not_end_a_pending_request(bench: Bench) -> None:
    request = open_from_ci(edit(bench, {"github": {"hubot": "UBOB"}}))
    edit(bench, OCTOCAT_IS_BOB)
    bench.request_upkeep.end_outdated()
    assert bench.state(request) is RequestState.PENDING


def test_the_audit_log_says_who_started_the_job(bench: Bench) -> None:
    open_from_ci(edit(bench, OCTOCAT_IS_BOB), replace(OCTOCAT, is_verified=True))
    [opened] = [event for event in bench.events() if event.tag is EventTag.REQUEST_OPENED]
    assert opened.evidence["ci"] == {
        "repository": "acme/churn",
        "run": "4711",
        "actor": "octocat",
        "service": "github",
        "is_verified": True,
    }


# -- your own failed gate ----------------------------------------------------------------------------------------------


GATES: dict[str, Any] = {"gates": [ACCURATE], "override": ["lead"], "requester_may_approve": True}


def override_refusal(bench: Bench, request: Request, who: Caller = BOB) -> str:
    """Override a request's failed gates, and return the refusal."""
    with pytest.raises(Refused) as error:
        bench.override(request, who, "known")
    return str(error.value.sentence)


@pytest.mark.parametrize("may", [False, True], ids=["can't approve", "can approve"])
def test_no_one_can_override_a_failed_gate_on_their_own_request(fraud: Bench, may: bool) -> None:
    set_gates(fraud, ACCURATE, override=["lead"], requester_may_approve=may)
    measure(fraud, 2, accuracy=0.83)
    request = fraud.open(FRAUD, BOB)
    assert (
        override_refusal(fraud, request)
        == "This is your own request, so someone else has to override its gates: @UCAROL."
    )
    assert fraud.override(request, CAROL, "known").request.overridden_by == CAROL.person


@pytest.mark.parametrize(
    "who", [Profile(person=Person("T2", "UBOB")), Operator("bob")], ids=["another workspace", "the terminal"]
)
def test_the_requester_cannot_override_it_from_elsewhere(fraud: Bench, who: Caller) -> None:
    set_gates(fraud, ACCURATE, override=["lead"], requester_may_approve=True)
    policy = fraud.context.policy.model_copy(update={"operators": {"bob": "UBOB"}})
    fraud.context.active_policy.replace(policy, "with operators")
    measure(fraud, 2, accuracy=0.83)
    assert "This is your own request" in override_refusal(fraud, fraud.open(FRAUD, BOB), who)


def test_no_one_can_decide_on_the_request_of_an_operator_who_is_no_longer_listed(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, override=["lead"])
    unlisted, listed = fraud.context.policy, fraud.context.policy.model_copy(update={"operators": {"bob": "UBOB"}})
    fraud.context.active_policy.replace(listed, "with operators")
    measure(fraud, 2, accuracy=0.83)
    request = fraud.open(FRAUD, Operator("bob"))
    fraud.context.active_policy.replace(unlisted, "without operators")
    assert "doesn't map “bob”" in override_refusal(fraud, request)
    assert "doesn't map “bob”" in refusal(fraud, request)


def test_whoever_started_the_job_cannot_override_its_gates(fraud: Bench) -> None:
    edit(fraud, OCTOCAT_IS_BOB, **GATES)
    measure(fraud, 2, accuracy=0.83)
    request = open_from_ci(fraud, text=FRAUD)
    assert "You started this CI job, so someone else" in override_refusal(fraud, request)


def test_an_override_no_longer_counts_if_its_author_turns_out_to_have_started_the_job(fraud: Bench) -> None:
    edit(fraud, OCTOCAT_IS_ALICE, **GATES)
    measure(fraud, 2, accuracy=0.83)
    request = open_from_ci(fraud, text=FRAUD)
    fraud.approve(request, CAROL)
    fraud.override(request, BOB, "known")
    edit(fraud, OCTOCAT_IS_BOB, **GATES)
    fraud.moves.execute_due("fraud")
    assert fraud.state(request) is RequestState.STALE
    assert fraud.now(request).outcome == "The gate override no longer counts: they started its CI job."


def test_an_override_no_longer_counts_once_no_one_knows_who_started_the_job(fraud: Bench) -> None:
    edit(fraud, OCTOCAT_IS_ALICE, **GATES)
    measure(fraud, 2, accuracy=0.83)
    request = open_from_ci(fraud, text=FRAUD)
    fraud.approve(request, CAROL)
    fraud.override(request, BOB, "known")
    edit(fraud, {"github": {"hubot": "UALICE"}}, **GATES)
    fraud.moves.execute_due("fraud")
    assert fraud.state(request) is RequestState.STALE
    assert (
        fraud.now(request).outcome
        == "The gate override no longer counts: the policy doesn't say who started its CI job."
    )


@pytest.mark.parametrize("may", [False, True], ids=["can't approve", "can approve"])
def test_a_request_with_failed_gates_is_refused_if_no_one_knows_who_started_its_job(fraud: Bench, may: bool) -> None:
    edit(fraud, OCTOCAT_IS_BOB, **GATES | {"requester_may_approve": may})
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        open_from_ci(fraud, replace(OCTOCAT, actor="", is_verified=True), text=FRAUD)


def test_no_one_can_override_the_gates_of_a_pending_request_once_no_one_knows_who_started_its_job(fraud: Bench) -> None:
    edit(fraud, OCTOCAT_IS_ALICE, **GATES)
    measure(fraud, 2, accuracy=0.83)
    request = open_from_ci(fraud, text=FRAUD)
    edit(fraud, {"github": {"hubot": "UALICE"}}, **GATES)
    assert override_refusal(fraud, request) == (
        "The policy's people doesn't say who started this job, so no one can override its gates. "
        "Add them there, or request it in Slack."
    )


def test_a_request_that_only_its_requester_could_override_is_refused(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, override=["UBOB"])
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        fraud.open(FRAUD, BOB)
    assert fraud.open(FRAUD, ALICE).has_blocking_gates
