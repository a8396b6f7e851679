"""Whoever only sees MLflow sees in the tags what the ledger says."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.registry import Stage
from tests.services.bench import ALICE, BOB, CAROL, Bench


def tags(bench: Bench, version: int = 4) -> Mapping[str, str]:
    bench.mirror.write()
    return bench.registry.version("churn", version).tags


def test_an_open_request_is_seen(bench: Bench) -> None:
    bench.open("promote churn 4 production --reason 'better f1'")
    assert dict(tags(bench)) == {
        "approval_status": "production_requested", "requester": "UALICE", "production_requester": "UALICE",
        "request_reason": "better f1", "request_date": "2026-05-04T12:00:00+00:00",
    }  # fmt: skip


def test_a_promotion_is_seen_with_who_approved(bench: Bench) -> None:
    bench.approved()
    bench.moves.run("churn")
    seen = tags(bench)
    assert seen["approval_status"] == "approved_production"
    assert seen["approver"] == seen["production_approver"] == seen["promoted_by"] == "UBOB"
    assert seen["production_date"] == seen["promotion_date"] == seen["approval_date"] == "2026-05-04T12:00:00+00:00"


def test_a_promotion_is_added_to_the_description_once(bench: Bench) -> None:
    bench.registry.describe("churn", 4, "wider trees")
    request = bench.approved()
    bench.moves.run("churn")
    for _ in range(2):
        bench.mirror.write()
    line = f"Promoted to Production by UBOB on 2026-05-04 (request {request.id})"
    assert bench.registry.version("churn", 4).description == f"wider trees\n{line}"


def test_several_approvers_are_comma_joined(bench: Bench) -> None:
    bench.registry.add("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request, BOB)
    bench.approve(request, CAROL)
    bench.moves.run("two")
    bench.mirror.write()
    assert bench.registry.version("two", 1).tags["approver"] == "UBOB,UCAROL"


def test_a_rejection_is_seen(bench: Bench) -> None:
    bench.reject(bench.open())
    assert tags(bench)["approval_status"] == "rejected"


def test_what_ended_without_a_move_puts_the_former_status_back(bench: Bench) -> None:
    bench.registry.set_tags("churn", 4, {"approval_status": "approved_staging"})
    bench.open()
    bench.mirror.write()
    bench.clock.turn(hours=25)
    bench.requests.expire()
    assert tags(bench)["approval_status"] == "approved_staging"


def test_what_had_no_status_before_has_none_again(bench: Bench) -> None:
    request = bench.open()
    bench.mirror.write()
    bench.requests.cancel(ALICE, request.id, origin="slack")
    assert "approval_status" not in tags(bench)


def test_tags_wait_for_a_registry_that_is_away(bench: Bench) -> None:
    bench.open()
    bench.registry.down = True
    assert bench.mirror.write() == 0
    bench.registry.down = False
    assert bench.mirror.write() == 0  # its time has not come
    bench.clock.turn(minutes=5)
    assert tags(bench)["approval_status"] == "production_requested"


def test_a_version_that_is_gone_holds_up_nobody(bench: Bench) -> None:
    bench.open("promote churn 4 production")
    bench.registry.delete_version("churn", 4)
    bench.open("promote churn 1 staging")
    assert tags(bench, 1)["approval_status"] == "staging_requested"


def test_the_champion_is_moved_and_the_challenger_let_go(bench: Bench) -> None:
    bench.registry.set_alias("churn", "challenger", 2)
    bench.approved("promote churn 2 production")
    bench.moves.run("churn")
    bench.mirror.write()
    assert dict(bench.registry.model("churn").aliases) == {"champion": 2}


def test_a_move_costs_three_requests_and_one_for_its_facts(bench: Bench) -> None:
    bench.approved()
    bench.registry.requests.clear()
    bench.moves.run("churn")
    assert dict(bench.registry.requests) == {"versions": 1, "transition": 1, "set_alias": 1, "model": 1}


def test_a_move_that_keeps_the_former_holder_costs_no_more(bench: Bench) -> None:
    bench.approved("promote churn 1 production --keep-existing")
    bench.registry.requests.clear()
    bench.moves.run("churn")
    assert sum(bench.registry.requests.values()) == 4
    assert bench.registry.holders(stage=Stage.PRODUCTION) == [3, 1]
