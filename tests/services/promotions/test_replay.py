"""A replay derives what was decided from the facts in the audit log, with the policy of that day."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Profile
from bot.domain.core.agent import Agent
from bot.domain.promotions.replay import ReplayStep
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn
from bot.services.promotions.queries import replay_request
from tests.support.replay.random_decisions import RandomDecisions, parse, take_policy
from tests.support.services.approvals import AGENT_OF_BOB, AGENT_OF_NO_ONE, open_by_agent
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, Bench, second_bench
from tests.support.services.gates import ACCURATE, FRAUD, NO_WORSE, events, measure, override_gates, run_transition

SEEDS = int(os.environ.get("REGISTRAR_REPLAYED_SEEDS", "3"))  # a hundred decisions each
DECISIONS_PER_SEED = 100
MAX_EVENT_BYTES = 16_000


def steps_of(bench: Bench, request_id: str) -> list[ReplayStep]:
    with bench.ledger.read() as reading:
        return replay_request(reading, request_id, parse)


def differences(bench: Bench, request_id: str) -> list[str]:
    return [str(step.sentence) for step in steps_of(bench, request_id) if step.agrees is False]


def unrecorded(bench: Bench, request: Request) -> set[str]:
    return {str(step.name) for step in steps_of(bench, request.id) if step.agrees is None}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_decisions_are_derived_as_they_were_recorded(bench: Bench, seed: int) -> None:
    decisions, ends = RandomDecisions(bench, seed), set[str]()
    for number in range(DECISIONS_PER_SEED):
        if (request := decisions.decide(f"model{number}")) is not None:
            assert differences(bench, request) == []
            ends |= {step.recorded for step in steps_of(bench, request) if step.agrees and str(step.name) == "Result"}
    assert "done" in ends


def test_every_step_of_a_promotion_agrees(fraud: Bench) -> None:
    take_policy(fraud, gates=[ACCURATE, NO_WORSE], required=2)
    request = fraud.open(FRAUD)
    for who in (BOB, CAROL):
        fraud.approve(request, who)
    assert run_transition(fraud, request).state is RequestState.DONE
    steps = steps_of(fraud, request.id)
    assert {step.agrees for step in steps} == {True}
    assert [f"{step.name}: {step.recorded}" for step in steps if not str(step.name).startswith("Policy")] == [
        "Permission of slack:T1/UALICE to ask: member",
        "Gate “accuracy ≥ 0.85” when it was opened: 0.9, passed",
        "Gate “f1 at most 0.01 worse than the incumbent” when it was opened: 0.8 (0 vs v1), passed",
        "Required approvals: 2",
        "Permission of slack:T1/UBOB to approve: approver",
        "Permission of slack:T1/UCAROL to approve: approver",
        "Approvals: slack:T1/UBOB, slack:T1/UCAROL",
        "Gate “accuracy ≥ 0.85” right before the transition: 0.9, passed",
        "Gate “f1 at most 0.01 worse than the incumbent” right before the transition: 0.8 (0 vs v1), passed",
        "Permission of slack:T1/UBOB to approve: approver",
        "Permission of slack:T1/UCAROL to approve: approver",
        "Result: done",
    ]


def test_an_overridden_gate_and_a_break_glass_promotion_agree(fraud: Bench) -> None:
    take_policy(fraud, gates=[ACCURATE], override=["admin"])
    measure(fraud, 2, accuracy=0.8)
    overridden = fraud.open(FRAUD)
    override_gates(fraud, overridden)
    fraud.approve(overridden)
    assert run_transition(fraud, overridden).state is RequestState.DONE
    urgent = fraud.do("promote churn 4 production --break-glass --reason outage", DAVE).request
    assert urgent is not None
    assert fraud.state(urgent) is RequestState.DONE
    for request in (overridden, urgent):
        assert {step.agrees for step in steps_of(fraud, request.id)} == {True}


@pytest.mark.parametrize("agent", [AGENT_OF_BOB, AGENT_OF_NO_ONE], ids=["known person", "unknown person"])
def test_every_step_of_an_agent_s_request_agrees(fraud: Bench, agent: Agent) -> None:
    take_policy(fraud, approvers=["UBOB", "UCAROL", "UDAVE"])
    request = open_by_agent(fraud, agent, FRAUD)
    for who in (CAROL, DAVE)[: request.required]:
        fraud.approve(request, who)
    assert run_transition(fraud, request).state is RequestState.DONE
    assert {step.agrees for step in steps_of(fraud, request.id)} == {True}


def test_a_policy_that_changed_later_doesn_t_change_the_verdict(fraud: Bench) -> None:
    take_policy(fraud, gates=[ACCURATE])
    request = fraud.open(FRAUD)
    fraud.approve(request)
    run_transition(fraud, request)
    take_policy(fraud, approvers=["UALICE"], gates=[{"metric": "accuracy", "at_least": 0.99}], required=2)
    assert {step.agrees for step in steps_of(fraud, request.id)} == {True}


def test_a_policy_that_changed_in_between_is_why_the_request_is_outdated(fraud: Bench) -> None:
    take_policy(fraud, gates=[ACCURATE])
    request = fraud.open(FRAUD)
    take_policy(fraud, gates=[NO_WORSE])
    fraud.request_upkeep.end_outdated()
    result = steps_of(fraud, request.id)[-1]
    assert (result.recorded, result.derived) == ("stale", "stale")


def test_a_policy_that_isn_t_in_the_audit_log_leaves_the_verdict_open(fraud: Bench) -> None:
    request = fraud.open(FRAUD)
    fraud.approve(request)
    assert unrecorded(fraud, request) >= {"Policy", "Required approvals", "Approvals", "State"}
    assert differences(fraud, request.id) == []


def test_a_voter_who_became_a_guest_is_derived_to_have_lapsed(fraud: Bench) -> None:
    take_policy(fraud, required=2)
    request = fraud.open(FRAUD)
    fraud.approve(request, BOB)
    fraud.directory.become(BOB, is_guest=True)
    fraud.approve(request, CAROL)
    [lapsed] = [step for step in steps_of(fraud, request.id) if step.recorded == "guest"]
    assert lapsed.agrees
    assert differences(fraud, request.id) == []


def test_facts_of_a_promotion_that_another_process_finishes_aren_t_recorded(fraud: Bench) -> None:
    take_policy(fraud)
    request = fraud.open(FRAUD)
    fraud.approve(request)
    fraud.registry.after = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fraud.moves.execute_due("fraud")
    fraud.clock.advance(minutes=2)
    second_bench(fraud).moves.execute_due("fraud")
    assert fraud.state(request) is RequestState.DONE
    assert unrecorded(fraud, request) == {"Result"}


def test_signatures_that_are_too_large_aren_t_recorded(fraud: Bench) -> None:
    wide = Signature(inputs=tuple(SignatureColumn(name=f"column{at}", type="double") for at in range(5000)))
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, ModelPackage(signature=wide))
    take_policy(fraud, gates=[{"signature": "compatible"}, ACCURATE])
    request = fraud.open(FRAUD)
    [opened] = events(fraud, EventTag.REQUEST_OPENED)
    assert len(json.dumps(opened.evidence)) < MAX_EVENT_BYTES
    name = "Gate “signature accepts what the incumbent accepts” when it was opened"
    assert unrecorded(fraud, request) == {name, "State"}


def test_facts_name_no_one(fraud: Bench) -> None:
    take_policy(fraud)
    request = fraud.open(FRAUD, replace(ALICE, name="Alice Liddell"))
    fraud.approve(request, replace(BOB, name="Bob Tanaka"))
    run_transition(fraud, request)
    facts = [json.dumps(event.evidence["facts"]) for event in fraud.events() if "facts" in event.evidence]
    assert len(facts) == 5
    assert not any("Liddell" in text or "Tanaka" in text for text in facts)


@pytest.mark.parametrize("who", [BOB, replace(BOB, operator="bob")], ids=["slack", "terminal"])
def test_recording_facts_reads_nothing_more(fraud: Bench, who: Profile) -> None:
    take_policy(fraud, gates=[ACCURATE])
    before = fraud.registry.request_counts.copy()
    request = fraud.open(FRAUD)
    opening = fraud.registry.request_counts - before
    fraud.approve(request, who)
    assert fraud.registry.request_counts - before == opening
    assert fraud.directory.asked == []
