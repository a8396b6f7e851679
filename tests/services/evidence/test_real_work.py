"""Reports about what the services themselves record."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.commands.parser import parse_command
from bot.domain.evidence.controls import Control
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from tests.support.ledger.evidence import evidence, exceptions
from tests.support.ledger.populated_ledger import open_bench, populate
from tests.support.replay.random_decisions import take_policy
from tests.support.services.approvals import AGENT_OF_BOB, open_by_agent
from tests.support.services.bench import BOB, CAROL, DAVE, Bench

SINCE = "2020-01-01T00:00:00.000000+00:00"


def report(bench: Bench, **options: Any) -> dict[str, Any]:
    return evidence(bench.ledger, since=SINCE, **options)


def kinds(bench: Bench) -> list[str]:
    return [kind for kind, _ in exceptions(report(bench))]


def promote(bench: Bench) -> None:
    request = bench.approved()
    bench.moves.execute_due(request.model)


def test_a_promotion_is_traced_from_request_to_registry(bench: Bench) -> None:
    bench.watch.poll()
    promote(bench)
    bench.watch.poll()
    found = report(bench)
    [baseline, change] = found["population"]
    [sampled] = [one for one in found["sample"]["changes"] if one["trace"]]
    assert found["exceptions"] == []
    assert (baseline["cause"], baseline["is_baseline"]) == ("observed", True)
    assert (change["before"], change["version"], change["cause"]) == (3, 4, "promotion")
    assert (change["requested_by"], change["approved_by"]) == ("slack:T1/UALICE", ["slack:T1/UBOB"])
    assert sampled["id"] == change["id"]
    assert [vote["is_requester"] for vote in sampled["trace"]["votes"]] == [False]


def test_a_change_in_mlflow_is_an_exception(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.watch.poll()
    assert "outside_registrar" in kinds(bench)


def test_an_emptied_production_is_an_exception(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 3, Stage.ARCHIVED)
    bench.watch.poll()
    [*_, change] = report(bench)["population"]
    assert (change["before"], change["version"]) == (3, None)


def test_an_alias_moved_in_mlflow_is_an_exception(bench: Bench) -> None:
    promote(bench)
    bench.watch.poll()
    bench.registry.set_alias("churn", "champion", 1)
    bench.watch.poll()
    assert kinds(bench) == ["alias_outside_registrar"]


def test_another_alias_moved_in_mlflow_is_not_an_exception(bench: Bench) -> None:
    promote(bench)
    bench.watch.poll()
    bench.registry.set_alias("churn", "blue", 1)
    bench.watch.poll()
    assert kinds(bench) == []


def test_a_break_glass_promotion_is_an_exception_once_its_review_is_late(bench: Bench) -> None:
    request = bench.open('promote churn 4 production --break-glass --reason "down"', DAVE)
    bench.moves.execute_due("churn")
    assert kinds(bench) == []
    bench.clock.advance(days=4)
    bench.execute(CAROL, parse_command(f'review {request.id} --reason "fine"'))  # type: ignore[arg-type]
    assert kinds(bench) == ["break_glass_late_review"]


def test_an_approval_by_the_person_that_the_agent_acted_for_is_an_exception(bench: Bench) -> None:
    take_policy(bench, requester_may_approve=True)
    request = open_by_agent(bench, AGENT_OF_BOB)
    bench.approve(request, BOB)
    bench.moves.execute_due("churn")
    assert "self_approval" in kinds(bench)


def test_votes_and_rollbacks_are_interventions_of_people(bench: Bench) -> None:
    bench.watch.poll()
    promote(bench)
    bench.do('rollback churn --reason "slow"', BOB)
    found = report(bench, control=Control.EU_AI_ACT_OVERSIGHT)["details"]["interventions"]
    assert [(one["did"], one["by"]) for one in found] == [
        ("voted approve", "slack:T1/UBOB"),
        ("rolled back", "slack:T1/UBOB"),
    ]


def test_a_rollback_is_a_change_but_not_an_exception(bench: Bench) -> None:
    bench.watch.poll()
    promote(bench)
    bench.do('rollback churn --reason "slow"', BOB)
    assert {change["cause"] for change in report(bench)["population"]} == {"observed", "promotion", "rollback"}
    assert kinds(bench) == []


def test_a_withdrawn_approval_does_not_count(bench: Bench) -> None:
    bench.registry.add_model("two", versions=[Stage.NONE])
    request = bench.open("promote two 1 production")
    bench.approve(request, BOB)
    bench.withdraw(request, BOB)
    for who in (CAROL, BOB):
        bench.approve(request, who)
    bench.moves.execute_due("two")
    [change] = report(bench)["population"]
    assert change["approved_by"] == ["slack:T1/UCAROL", "slack:T1/UBOB"]


@pytest.mark.parametrize("model", [None, "churn"])
def test_a_ledger_with_every_kind_of_row_can_be_reported_on(ledger: SqlLedger, model: str | None) -> None:
    populate(open_bench(ledger))
    found = evidence(ledger, since=SINCE, model=model)
    assert set(exceptions(found)) == {("outside_registrar", "churn")}
    assert found["completeness"]["unreadable_events"] == []
