"""Monitors that agents propose: what's stored, who decides, and what never happens without a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Client
from bot.domain.core.agent import pack_agent
from bot.domain.core.errors import AlreadyDecided, BadInput, Refused, UnknownModel, UnknownRequest
from bot.domain.monitoring.proposals.proposal import ProposalState
from bot.domain.policy.parser import validate_policy
from bot.ports import QueuedCommandState
from bot.services.core.command_queue import IdempotencyKeyReused
from bot.services.monitoring.proposals import MAX_OPEN_PROPOSALS
from tests.support.monitoring.monitor_commands import ADD, LIVE
from tests.support.monitoring.proposals import AGENT, CLIENTS, OTHER_ROBOT, ROBOT, Proposals, proposals_on
from tests.support.services.bench import ALICE, BOB, CAROL, GUEST, POLICY, SLACK, STRANGER, bench_on

NAMED = ADD.replace("accuracy", "{}")

# -- proposing ---------------------------------------------------------------------------------------------------------


def test_a_proposal_adds_no_monitor(proposals: Proposals) -> None:
    proposals.open()
    assert proposals.monitors() == []


def test_a_proposal_is_stored_with_its_backtest_and_gets_a_card(proposals: Proposals) -> None:
    result = proposals.propose()
    found = proposals.now(result.proposal)
    assert (found.client, found.agent, found.state) == (ROBOT, AGENT, ProposalState.OPEN)
    assert result.backtest is not None
    assert str(found.backtest) == str(result.backtest.sentence)
    assert "in 30d" in str(found.backtest)
    assert proposals.cards() == ["opened"]


def test_a_proposal_is_audited_with_the_agent_the_rule_and_the_backtest(proposals: Proposals) -> None:
    queued = proposals.open()
    event = proposals.commands.event(EventTag.MONITOR_PROPOSED)
    assert (event.actor, event.origin, event.why) == (ROBOT, "mcp", "accuracy fell in May")
    assert (event.evidence["proposal"], event.evidence["agent"]) == (queued.id, pack_agent(AGENT))
    assert event.evidence["after"]["greater_than"] == 0.85
    assert event.evidence["backtest"]["firings"] == 0


def test_the_same_key_returns_the_first_proposal(proposals: Proposals) -> None:
    first = proposals.open()
    again = proposals.propose()
    assert (again.proposal, again.backtest) == (first, None)
    assert proposals.cards() == ["opened"]


def test_the_same_key_with_other_content_is_refused(proposals: Proposals) -> None:
    proposals.open()
    with pytest.raises(IdempotencyKeyReused):
        proposals.open(NAMED.format("other"))


def test_the_same_rule_with_another_key_returns_the_open_proposal(proposals: Proposals) -> None:
    first = proposals.open()
    assert proposals.open(key="k2") == first
    assert len([tag for tag in proposals.bench.tags() if tag == EventTag.MONITOR_PROPOSED.value]) == 1


def test_other_settings_are_refused_while_the_first_proposal_is_open(proposals: Proposals) -> None:
    first = proposals.open()
    with pytest.raises(Refused, match=f"Your proposal {first.id} of “churn” accuracy is still open"):
        proposals.open(ADD.replace("0.85", "0.9"), key="k2")


def test_other_settings_can_be_proposed_after_the_first_was_dismissed(proposals: Proposals) -> None:
    proposals.dismiss(proposals.open())
    assert proposals.open(ADD.replace("0.85", "0.9"), key="k2").state is QueuedCommandState.DRAFT


def test_a_model_has_a_limited_number_of_open_proposals(proposals: Proposals) -> None:
    for number in range(MAX_OPEN_PROPOSALS):
        proposals.open(NAMED.format(f"m{number}"), key=f"k{number}", client=[ROBOT, OTHER_ROBOT][number % 2])
    with pytest.raises(Refused, match="“churn” has 10 open proposals"):
        proposals.open(key="more")


def test_a_proposal_needs_a_reason(proposals: Proposals) -> None:
    with pytest.raises(BadInput, match="Enter a reason"):
        proposals.open(reason=" \u202e")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (ADD.replace("churn", "chrun"), UnknownModel),
        (ADD.replace("push", "pusch"), BadInput),
        (ADD + " --of predictions", BadInput),
    ],
)
def test_an_invalid_monitor_is_not_stored(proposals: Proposals, text: str, error: type[BadInput]) -> None:
    with pytest.raises(error):
        proposals.open(text)
    assert proposals.cards() == []


def test_a_taken_name_cannot_be_proposed(proposals: Proposals) -> None:
    proposals.commands.types(ADD)
    with pytest.raises(BadInput, match="already exists"):
        proposals.open()


def test_a_client_that_the_policy_does_not_name_proposes_nothing(proposals: Proposals) -> None:
    with pytest.raises(Refused):
        proposals.open(client=Client("stranger"))
    assert proposals.commands.event(EventTag.PERMISSION_REFUSED).origin == "mcp"


# -- deciding ----------------------------------------------------------------------------------------------------------


def test_whoever_adds_a_proposed_monitor_becomes_its_author(proposals: Proposals) -> None:
    queued = proposals.open()
    proposals.bench.clock.advance(hours=1)
    answer = proposals.accept(queued)
    monitor = proposals.commands.find()
    assert "Added “churn” accuracy" in str(answer)
    assert (monitor.created_by, monitor.created_at) == (BOB.person, proposals.bench.clock.now())
    assert proposals.commands.event(EventTag.MONITOR_ADDED).evidence["proposal"] == queued.id
    assert proposals.cards() == ["opened", "added"]


def test_a_proposed_automatic_rollback_is_not_armed(proposals: Proposals) -> None:
    proposals.accept(proposals.open(ADD.replace("notify", "auto")))
    monitor = proposals.commands.find()
    assert (monitor.is_armed, monitor.effective_action) == (False, "ask")


def test_a_frozen_model_does_not_stop_a_monitor(proposals: Proposals) -> None:
    queued = proposals.open()
    proposals.bench.execute(BOB, 'freeze churn --until 2h --reason "a release"')
    proposals.accept(queued)
    assert proposals.monitors() == ["accuracy"]


def test_the_source_is_the_one_on_the_card_even_if_the_default_has_changed(proposals: Proposals) -> None:
    queued = proposals.open(ADD.replace(" --source push", ""))
    policy = validate_policy(POLICY | {"clients": CLIENTS, "sources": {"live": LIVE}})
    proposals.bench.context.active_policy.replace(policy, "")
    proposals.accept(queued)
    assert proposals.commands.find().rule.source == "push"


def test_a_dismissed_proposal_adds_nothing_and_is_audited(proposals: Proposals) -> None:
    queued = proposals.open()
    proposals.dismiss(queued, CAROL)
    found = proposals.now(queued)
    assert (found.state, found.decided_by) == (ProposalState.DISMISSED, CAROL.person)
    assert proposals.commands.event(EventTag.MONITOR_DISMISSED).evidence["proposal"] == queued.id
    assert (proposals.monitors(), proposals.cards()) == ([], ["opened", "dismissed"])


@pytest.mark.parametrize("who", [ALICE, GUEST, STRANGER], ids=["a member", "a guest", "a stranger"])
@pytest.mark.parametrize("decision", ["accept", "dismiss"])
def test_only_people_who_can_add_a_monitor_decide(proposals: Proposals, who: object, decision: str) -> None:
    queued = proposals.open()
    with pytest.raises(Refused):
        getattr(proposals, decision)(queued, who)
    assert proposals.now(queued).state is ProposalState.OPEN
    assert proposals.commands.event(EventTag.PERMISSION_REFUSED).origin == "slack"
    assert proposals.monitors() == []


@pytest.mark.parametrize("decision", ["accept", "dismiss"])
def test_the_client_cannot_decide_on_its_own_proposal(proposals: Proposals, decision: str) -> None:
    queued = proposals.open()
    with pytest.raises(Refused, match="A person has to"):
        getattr(proposals, decision)(queued, ROBOT)
    assert proposals.now(queued).state is ProposalState.OPEN


@pytest.mark.parametrize("first", ["accept", "dismiss"])
@pytest.mark.parametrize("second", ["accept", "dismiss"])
def test_the_second_decision_says_who_made_the_first(proposals: Proposals, first: str, second: str) -> None:
    queued = proposals.open()
    getattr(proposals, first)(queued, BOB)
    before = proposals.bench.events()
    with pytest.raises(AlreadyDecided, match=r"(Added|Dismissed) by @UBOB"):
        getattr(proposals, second)(queued, CAROL)
    assert proposals.bench.events() == before


def test_a_name_that_was_taken_meanwhile_leaves_the_proposal_open(proposals: Proposals) -> None:
    queued = proposals.open()
    proposals.commands.types(ADD)
    with pytest.raises(BadInput, match="already exists"):
        proposals.accept(queued, CAROL)
    assert proposals.now(queued).state is ProposalState.OPEN


def test_a_source_that_was_removed_meanwhile_leaves_the_proposal_open(proposals: Proposals) -> None:
    policy = validate_policy(POLICY | {"clients": CLIENTS, "sources": {"live": LIVE}})
    proposals.bench.context.active_policy.replace(policy, "")
    queued = proposals.open(ADD.replace("push", "live"))
    proposals.bench.context.active_policy.replace(validate_policy(POLICY | {"clients": CLIENTS}), "")
    with pytest.raises(BadInput, match=r"isn.t a source"):
        proposals.accept(queued)
    assert (proposals.now(queued).state, proposals.monitors()) == (ProposalState.OPEN, [])


def run_at_once(task: Callable[[int], str]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(task, range(4)))


@pytest.fixture
def shared(ledger_url: str) -> Iterator[Proposals]:
    """Yield the service on SQLite and then on PostgreSQL."""
    bench = bench_on(ledger_url)
    yield proposals_on(bench)
    bench.ledger.close()


def test_one_of_several_simultaneous_proposals_is_stored(shared: Proposals) -> None:
    assert len(set(run_at_once(lambda number: shared.open(key=f"k{number % 2}").id))) == 1
    assert shared.cards() == ["opened"]


def test_one_of_several_simultaneous_decisions_counts(shared: Proposals) -> None:
    queued = shared.open()

    def decide(number: int) -> str:
        try:
            (shared.accept if number % 2 else shared.dismiss)(queued, [BOB, CAROL][number % 2])
        except AlreadyDecided:
            return "late"
        return "decided"

    assert sorted(run_at_once(decide)) == ["decided", "late", "late", "late"]
    is_added = shared.now(queued).state is ProposalState.ADDED
    assert shared.monitors() == (["accuracy"] if is_added else [])


# -- no other way ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [BOB, ROBOT], ids=["an approver", "the client"])
@pytest.mark.parametrize("use", ["get_own_draft", "use_draft"])
def test_no_form_uses_a_proposal(proposals: Proposals, who: object, use: str) -> None:
    queued = proposals.open()
    with pytest.raises(UnknownRequest):
        getattr(proposals.bench.errands, use)(who, queued.id)
    assert proposals.now(queued).state is ProposalState.OPEN


@pytest.mark.parametrize("who", [BOB, ROBOT], ids=["an approver", "the client"])
def test_no_form_submits_a_proposal(proposals: Proposals, who: object) -> None:
    queued = proposals.open()
    with pytest.raises(UnknownRequest):
        proposals.bench.errands.submit_draft(who, queued.id, origin="slack")  # type: ignore[arg-type]
    assert proposals.now(queued).state is ProposalState.OPEN


def test_no_form_changes_a_proposal(proposals: Proposals) -> None:
    queued = proposals.open()
    with pytest.raises(UnknownRequest):
        proposals.bench.errands.update_draft(ROBOT, queued.id, {"name": "other"})
    assert proposals.now(queued).monitor.name == "accuracy"


def test_the_queue_does_not_execute_a_proposal(proposals: Proposals) -> None:
    queued = proposals.open()
    proposals.bench.clock.advance(days=1)
    assert proposals.bench.errands.execute_due() == []
    with pytest.raises((Refused, BadInput)):
        proposals.bench.errands.execute(queued.id)
    assert (proposals.now(queued).state, proposals.monitors()) == (ProposalState.OPEN, [])


def test_canceling_a_proposal_as_a_command_changes_nothing(proposals: Proposals) -> None:
    queued = proposals.open()
    proposals.bench.errands.cancel(ROBOT, queued.id, origin="api")
    assert proposals.now(queued).state is ProposalState.OPEN


@pytest.mark.parametrize("decision", ["accept", "dismiss"])
def test_a_person_s_form_is_not_a_proposal(proposals: Proposals, decision: str) -> None:
    command = proposals.open().command
    draft = proposals.bench.errands.create_draft(BOB, command | {"name": "forged"}, channel=SLACK.channel)
    with pytest.raises(UnknownRequest, match="There's no proposed monitor"):
        getattr(proposals.service, decision)(BOB, draft, origin="slack")
    assert proposals.monitors() == []


def test_an_unknown_id_is_not_a_proposal(proposals: Proposals) -> None:
    with pytest.raises(UnknownRequest, match="There's no proposed monitor zzzz"):
        proposals.service.accept(BOB, "zzzz", origin="slack")


def test_a_decision_frees_a_place_for_another_proposal(proposals: Proposals) -> None:
    proposals.dismiss(proposals.open())
    proposals.bench.clock.advance(seconds=timedelta(hours=1).total_seconds())
    assert proposals.open(key="k2").id != proposals.open(NAMED.format("b"), key="k3").id
