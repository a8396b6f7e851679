"""Everyone involved in a promotion is named: all approvers, the overrider, and the operator at the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.promotions import Override
from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.actors import Operator, actor_id
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage, parse_version_ref
from bot.domain.rollbacks.history_messages import describe_entry
from bot.ledger import SqlLedger
from bot.ports import MessageKind
from bot.services.core.commands import Origin
from bot.slack.promotions.request_card import request_card
from tests.support.app.app_fixture import message_text
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, POLICY, Bench
from tests.support.services.fakes import FaultyRegistry, ManualClock

ANN_AT_THE_TERMINAL = replace(DAVE, operator="ann")  # as in the policy's `operators`
GATED: dict[str, Any] = {
    "approvers": ["lead"],
    "required": 2,
    "override": ["admin", "lead"],
    "gates": [{"metric": "f1", "at_least": 0.9}],
}


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Bench]:
    """Return a bench where `churn` needs two approvals and has a gate, and a webhook gets every transition."""
    ledger, registry = SqlLedger(sqlite_url), FaultyRegistry()
    registry.add_model("churn", versions=[Stage.NONE, Stage.NONE, Stage.PRODUCTION, Stage.NONE])
    policy = validate_policy(
        POLICY
        | {
            "models": {"*": {"production": GATED, "rollback": {"by": ["lead", "admin"]}}},
            "operators": {"ann": "UDAVE"},
            "notify": [{"url": "https://deploy.example/hook"}],
        }
    )
    yield Bench(ledger=ledger, registry=registry, clock=ManualClock(), policy=policy)
    ledger.close()


def promoted(bench: Bench, who: Any = ALICE) -> str:
    """Request v4, approve it twice, override its failed gate, and promote it; return the request's id.

    Ann overrides it at the terminal, or Carol if it's Ann's own request.
    """
    request = bench.open("promote churn 4 production --reason 'better f1'", who)
    bench.approve(request, CAROL)
    bench.approve(request, BOB)
    command = Override(request=request.id, reason="f1 isn't logged yet")
    overrider = CAROL if who == ANN_AT_THE_TERMINAL else ANN_AT_THE_TERMINAL
    bench.commands.execute(overrider, command, Origin(entry_point="terminal"))
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    return request.id


def history(bench: Bench) -> str:
    """Return how the current version got into Production."""
    found = bench.history.timeline(ShowHistory(model="churn"))
    return str(describe_entry(found.periods[0], found))


def event(bench: Bench) -> dict[str, Any]:
    """Return the webhook event about the last transition."""
    *_, last = (note for note in bench.notes() if note.kind is MessageKind.EVENT)
    found: dict[str, Any] = json.loads(last.data["body"])
    return found


def test_the_history_names_every_approver_and_the_override(bench: Bench) -> None:
    request = promoted(bench)
    assert history(bench) == (
        "promoted: requested by @UALICE, approved by @UCAROL, @UBOB, gates overridden by @UDAVE (f1 isn't logged yet), "
        f"request {request}: better f1"
    )


def test_the_event_names_every_approver_and_the_override(bench: Bench) -> None:
    promoted(bench)
    told = event(bench)
    assert (told["requester"], told["approvers"]) == ("slack:T1/UALICE", ["slack:T1/UCAROL", "slack:T1/UBOB"])
    assert (told["overridden_by"], told["override_reason"]) == ("slack:/UDAVE", "f1 isn't logged yet")


def test_the_approval_in_the_audit_log_names_every_approver(bench: Bench) -> None:
    promoted(bench)
    [approved] = [event for event in bench.events() if event.tag is EventTag.APPROVED]
    assert approved.evidence["approvers"] == ["slack:T1/UCAROL", "slack:T1/UBOB"]


def test_the_metadata_card_names_every_approver_as_deployer(bench: Bench) -> None:
    promoted(bench)
    found = bench.lookups.version_card("churn", parse_version_ref("4")).card
    assert (found.deployed_by, found.approver) == ("UCAROL,UBOB", "UCAROL,UBOB")


def test_an_operator_has_their_slack_name_in_tags_history_and_card(bench: Bench) -> None:
    request = promoted(bench, ANN_AT_THE_TERMINAL)
    assert bench.registry.version("churn", 4).tags["requester"] == "UDAVE"
    assert "requested by @UDAVE" in history(bench)
    with bench.ledger.read() as reading:
        found = request_card(reading.request(request), reading.votes(request))
    assert "Requested by <@UDAVE>" in message_text({"blocks": found.blocks})
    assert event(bench)["requester"] == "slack:/UDAVE"


def test_an_operator_has_their_slack_name_after_a_rollback(bench: Bench) -> None:
    bench.watch.poll()
    promoted(bench)
    bench.clock.advance(hours=1)
    bench.do("rollback churn 3 --reason 'latency doubled' --force", ANN_AT_THE_TERMINAL)
    bench.mirror.write_due()
    assert bench.registry.version("churn", 4).tags["rolled_back_by"] == "UDAVE"
    assert bench.registry.version("churn", 3).tags["restored_by"] == "UDAVE"
    assert "rolled back from v4 by @UDAVE" in history(bench)
    assert event(bench)["actor"] == "slack:/UDAVE"


def test_an_operator_s_request_is_answered_by_direct_message(bench: Bench) -> None:
    request = bench.open("promote churn 4 production", ANN_AT_THE_TERMINAL)
    bench.reject(request)
    [note] = [note for note in bench.notes() if note.kind is MessageKind.DIRECT]
    assert note.to == "UDAVE"


def test_an_operator_who_cancels_in_slack_gets_no_direct_message(bench: Bench) -> None:
    request = bench.open("promote churn 4 production", ANN_AT_THE_TERMINAL)
    bench.cancel(request, DAVE)
    assert [note for note in bench.notes() if note.kind is MessageKind.DIRECT] == []


def test_stored_values_name_the_operator(bench: Bench) -> None:
    request = bench.open("promote churn 4 production", ANN_AT_THE_TERMINAL)
    assert bench.now(request).requester == Operator("ann")
    bench.cancel(request, ANN_AT_THE_TERMINAL)
    promoted(bench)
    [overridden] = [event for event in bench.events() if event.tag is EventTag.GATES_OVERRIDDEN]
    assert actor_id(overridden.actor) == "operator:ann"


def test_an_operator_who_is_no_longer_in_the_policy_is_shown_by_name(bench: Bench) -> None:
    promoted(bench, ANN_AT_THE_TERMINAL)
    bench.context.active_policy.replace(bench.policy.model_copy(update={"operators": {}}), "other")
    assert "requested by ann" in history(bench)
