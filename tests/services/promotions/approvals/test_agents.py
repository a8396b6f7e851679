"""Self-review by agent: no one approves, alone, what an agent that acts for them requested, or overrides its gates."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.agent import Agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import AlreadyDecided, GateFailed, Refused, TooFewApprovers
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.approvers import describe_starter
from bot.domain.promotions.request import RequestState
from tests.support.services.approvals import AGENT_OF_ALICE, AGENT_OF_BOB, AGENT_OF_NO_ONE, open_by_agent
from tests.support.services.bench import BOB, CAROL, DAVE, POLICY, Bench
from tests.support.services.gates import ACCURATE, FRAUD, measure

GATES: dict[str, Any] = {"gates": [ACCURATE], "override": ["lead"], "requester_may_approve": True}
STARTED_BY_BOB = CiRun(repository="acme/churn", run="4711", actor="octocat", service="github", is_verified=True)
NO_ONE_IS_NAMED = (
    "The policy doesn't say who this agent acts for, so the request needs 2 approvals. "
    "To name them, set acts_for for the client."
)


def edit(bench: Bench, acts_for: str | None, people: dict[str, Any] | None = None, **rule: Any) -> Bench:
    """Activate a policy in which the client acts for this person, with this rule for Production."""
    client = {"may": ["request"]} | ({"acts_for": acts_for} if acts_for else {})
    policy = POLICY | {
        "clients": {"claude": client},
        "people": people or {},
        "models": {"*": {"production": {"approvers": ["lead", "UDAVE"], **rule}}},
    }
    bench.context.active_policy.replace(validate_policy(policy), "edited")
    return bench


# -- the person that the agent acts for --------------------------------------------------------------------------------


@pytest.mark.parametrize("now", ["UBOB", "UALICE", None], ids=["still", "someone else now", "no one now"])
def test_the_person_that_an_agent_acted_for_cannot_approve_its_request(bench: Bench, now: str | None) -> None:
    request = open_by_agent(edit(bench, "UBOB"), AGENT_OF_BOB)
    edit(bench, now)
    with pytest.raises(Refused) as error:
        bench.approve(request, BOB)
    assert str(error.value.sentence) == "This agent acts for you, so someone else has to decide: @UCAROL, @UDAVE."


def test_the_person_that_the_agent_acts_for_now_cannot_approve_it_either(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UALICE"), AGENT_OF_ALICE)
    edit(bench, "UBOB")
    with pytest.raises(Refused, match="This agent acts for you"):
        bench.approve(request, BOB)


def test_the_person_cannot_approve_what_the_client_requests_without_an_agent(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UBOB"), None)
    with pytest.raises(Refused, match="This agent acts for you"):
        bench.approve(request, BOB)


def test_someone_else_can_approve_it_alone(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UBOB"), AGENT_OF_BOB)
    assert bench.approve(request, CAROL).request.state is RequestState.APPROVED


def test_a_known_person_needs_no_ci_run_even_if_the_policy_lists_people(bench: Bench) -> None:
    edit(bench, "UBOB", {"github": {"octocat": "UCAROL"}})
    assert open_by_agent(bench, None).required == 1


def test_the_person_can_approve_if_requesters_can(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UBOB", requester_may_approve=True), AGENT_OF_BOB)
    assert bench.approve(request, BOB).request.state is RequestState.APPROVED


def test_the_person_can_cancel_the_request(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UBOB"), AGENT_OF_BOB)
    assert bench.cancel(request, BOB).state is RequestState.CANCELLED


def test_the_person_gets_no_invitation(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UBOB", tell_approvers="direct"), AGENT_OF_BOB)
    notified = {note.to for note in bench.notes() if note.key.startswith(f"direct:{request.id}")}
    assert notified == {"UCAROL", "UDAVE"}


def test_the_request_is_refused_if_only_the_person_can_approve(bench: Bench) -> None:
    edit(bench, "UBOB", approvers=["UBOB"])
    with pytest.raises(TooFewApprovers, match="besides @UBOB, no one can approve"):
        open_by_agent(bench, AGENT_OF_BOB)


def test_an_earlier_approval_lapses_once_the_agent_acts_for_its_voter(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UALICE", required=2), AGENT_OF_ALICE)
    bench.approve(request, BOB)
    edit(bench, "UBOB", required=2)
    counted = bench.approve(request, CAROL)
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)
    [lapse] = [event for event in bench.events() if event.tag is EventTag.VOTE_LAPSED]
    assert lapse.why == "@UBOB's approval no longer counts: its agent acts for them."


@pytest.mark.parametrize("agent", [AGENT_OF_BOB, None], ids=["an agent", "only the client"])
@pytest.mark.parametrize("now", ["UBOB", "UALICE"], ids=["still", "someone else now"])
def test_the_person_cannot_override_its_gates(fraud: Bench, agent: Agent | None, now: str) -> None:
    edit(fraud, "UBOB", **GATES)
    measure(fraud, 2, accuracy=0.83)
    request = open_by_agent(fraud, agent, text=FRAUD)
    edit(fraud, now if agent else "UBOB", **GATES)
    with pytest.raises(Refused) as error:
        fraud.override(request, BOB, "known")
    words = "This agent acts for you, so someone else has to override its gates: @UCAROL."
    assert str(error.value.sentence) == words


# -- no one knows who the agent acts for -------------------------------------------------------------------------------


def test_two_people_must_approve_if_no_one_knows_who_the_agent_acts_for(bench: Bench) -> None:
    request = open_by_agent(edit(bench, None), AGENT_OF_NO_ONE)
    assert bench.approve(request, BOB).request.state is RequestState.PENDING
    assert bench.approve(request, CAROL).request.state is RequestState.APPROVED


def test_the_client_needs_one_approval_without_an_agent(bench: Bench) -> None:
    assert open_by_agent(edit(bench, None), None).required == 1


def test_an_agent_in_a_ci_job_acts_for_whoever_started_it(bench: Bench) -> None:
    edit(bench, None, {"github": {"octocat": "UBOB"}})
    request = open_by_agent(bench, AGENT_OF_BOB, ci=STARTED_BY_BOB)
    assert request.required == 1
    with pytest.raises(Refused, match="This agent acts for you"):
        bench.approve(request, BOB)


def test_an_agent_in_a_ci_job_that_anyone_could_have_started_needs_two_approvals(bench: Bench) -> None:
    request = open_by_agent(edit(bench, None), AGENT_OF_NO_ONE, ci=STARTED_BY_BOB)
    assert request.required == 2


def test_a_request_is_refused_if_it_needs_more_approvals_than_there_are_approvers(bench: Bench) -> None:
    edit(bench, None, approvers=["UCAROL"])
    with pytest.raises(TooFewApprovers, match="add approvers for “churn”, or set acts_for for the agent's client"):
        open_by_agent(bench, AGENT_OF_NO_ONE)


def test_a_pending_request_of_a_client_whose_person_is_removed_keeps_its_recorded_person(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UBOB"), AGENT_OF_BOB)
    edit(bench, None)
    assert bench.approve(request, DAVE).request.state is RequestState.APPROVED


def test_a_pending_request_is_outdated_once_no_one_knows_who_the_agent_acts_for(bench: Bench) -> None:
    request = open_by_agent(edit(bench, "UBOB"), AGENT_OF_NO_ONE)
    edit(bench, None)
    with pytest.raises(AlreadyDecided) as error:
        bench.approve(request, CAROL)
    assert NO_ONE_IS_NAMED in str(error.value.sentence)


def test_a_request_with_failed_gates_is_refused_if_no_one_knows_who_the_agent_acts_for(fraud: Bench) -> None:
    edit(fraud, None, **GATES)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        open_by_agent(fraud, AGENT_OF_NO_ONE, text=FRAUD)


def test_no_one_can_override_the_gates_once_no_one_knows_who_the_agent_acts_for(fraud: Bench) -> None:
    edit(fraud, "UALICE", **GATES)
    measure(fraud, 2, accuracy=0.83)
    request = open_by_agent(fraud, AGENT_OF_NO_ONE, text=FRAUD)
    edit(fraud, None, **GATES)
    with pytest.raises(Refused) as error:
        fraud.override(request, BOB, "known")
    assert str(error.value.sentence) == (
        "The policy doesn't say who this agent acts for, so no one can override its gates. "
        "Set acts_for for the client, or request it in Slack."
    )


# -- what the card and the audit log say -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acts_for", "agent", "words"),
    [
        ("UBOB", AGENT_OF_BOB, "acting for @UBOB"),
        ("UALICE", AGENT_OF_BOB, "acting for @UBOB"),
        ("UBOB", AGENT_OF_NO_ONE, "acting for @UBOB"),
        ("UBOB", None, "acting for @UBOB"),
        (None, AGENT_OF_NO_ONE, "acting for someone the policy doesn't name"),
        (None, None, "None"),
    ],
)
def test_the_card_says_who_the_agent_acts_for(
    bench: Bench, acts_for: str | None, agent: Agent | None, words: str
) -> None:
    request = open_by_agent(edit(bench, acts_for), agent)
    assert str(describe_starter(request, bench.context.policy)) == words


def test_the_audit_log_records_the_agent(bench: Bench) -> None:
    open_by_agent(edit(bench, "UBOB"), AGENT_OF_BOB)
    recorded = [event.evidence["agent"] for event in bench.events() if "agent" in event.evidence]
    assert recorded == [{"name": "claude-code", "version": "2.1", "person": "UBOB"}] * 2
