"""MLflow's tags show what the ledger says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.core.errors import RegistryRefused
from bot.domain.promotions.request import Request, RequestSnapshot
from bot.domain.registry.model import Stage
from tests.support.services.bench import ALICE, BOB, CAROL, Bench


def tags(bench: Bench, version: int = 4) -> Mapping[str, str]:
    bench.mirror.write_due()
    return bench.registry.version("churn", version).tags


def test_the_tags_show_an_open_request(bench: Bench) -> None:
    bench.open("promote churn 4 production --reason 'better f1'")
    assert dict(tags(bench)) == {
        "approval_status": "production_requested",
        "requester": "UALICE",
        "production_requester": "UALICE",
        "request_reason": "better f1",
        "request_date": "2026-05-04T12:00:00+00:00",
    }


def test_the_tags_show_a_promotion_and_its_approvers(bench: Bench) -> None:
    bench.approved()
    bench.moves.execute_due("churn")
    seen = tags(bench)
    assert seen["approval_status"] == "approved_production"
    assert seen["approver"] == seen["production_approver"] == seen["promoted_by"] == "UBOB"
    assert seen["production_date"] == seen["promotion_date"] == seen["approval_date"] == "2026-05-04T12:00:00+00:00"


def test_a_promotion_to_staging_has_no_date_of_a_promotion_to_production(bench: Bench) -> None:
    request = bench.open("promote churn 4 staging")
    bench.approve(request)
    bench.moves.execute_due("churn")
    assert dict(tags(bench)) == {
        "approval_status": "approved_staging",
        "requester": "UALICE",
        "request_date": "2026-05-04T12:00:00+00:00",
        "approver": "UBOB",
        "approval_date": "2026-05-04T12:00:00+00:00",
    }


def test_a_promotion_is_added_to_the_description_once(bench: Bench) -> None:
    bench.registry.set_description("churn", 4, "wider trees")
    request = bench.approved()
    bench.moves.execute_due("churn")
    for _ in range(2):
        bench.mirror.write_due()
    line = f"Promoted to Production by UBOB on 2026-05-04 (request {request.id})"
    assert bench.registry.version("churn", 4).description == f"wider trees\n{line}"


def test_several_approvers_are_separated_by_commas(bench: Bench) -> None:
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request, BOB)
    bench.approve(request, CAROL)
    bench.moves.execute_due("two")
    bench.mirror.write_due()
    assert bench.registry.version("two", 1).tags["approver"] == "UBOB,UCAROL"


def test_the_tags_show_a_rejection(bench: Bench) -> None:
    bench.reject(bench.open())
    assert tags(bench)["approval_status"] == "rejected"


def test_a_request_without_a_transition_restores_the_former_status(bench: Bench) -> None:
    bench.registry.set_tags("churn", 4, {"approval_status": "approved_staging"})
    bench.open()
    bench.mirror.write_due()
    bench.clock.advance(hours=25)
    bench.request_upkeep.expire_overdue()
    assert tags(bench)["approval_status"] == "approved_staging"


def test_a_version_without_a_former_status_has_none_again(bench: Bench) -> None:
    request = bench.open()
    bench.mirror.write_due()
    bench.cancel(request, ALICE)
    assert "approval_status" not in tags(bench)


ALL = "promote churn 4 production --reason 'better f1' --validation f1=0.92"
MINE = {"requester": "ann", "validation_f1": "0.5", "owner": "ann", "approval_status": "approved_staging"}


def refuse() -> None:
    raise RegistryRefused("MLflow says no.")


def end(bench: Bench, request: Request, how: str) -> None:
    """End a request in one of the ways without a transition."""
    if how == "cancelled":
        bench.cancel(request, ALICE)
    elif how == "expired":
        bench.clock.advance(hours=25)
        bench.request_upkeep.expire_overdue()
    elif how == "stale":
        bench.registry.by_hand("churn", 1, Stage.PRODUCTION)
        bench.approve(request)
        bench.moves.execute_due("churn")
    else:
        bench.registry.before = refuse
        bench.approve(request)
        bench.moves.execute_due("churn")
    assert bench.state(request).value == how


@pytest.mark.parametrize("before", [{}, MINE], ids=["none before", "some before"])
@pytest.mark.parametrize("how", ["cancelled", "expired", "stale", "failed"])
def test_a_request_without_a_transition_restores_the_tags(bench: Bench, how: str, before: Mapping[str, str]) -> None:
    bench.registry.set_tags("churn", 4, before)
    request = bench.open(ALL)
    assert tags(bench)["validation_f1"] == "0.92"
    end(bench, request, how)
    assert dict(tags(bench)) == before


def test_a_request_that_ends_before_its_tags_are_written_leaves_none(bench: Bench) -> None:
    bench.cancel(bench.open(ALL), ALICE)
    assert dict(tags(bench)) == {}


def test_a_request_opened_before_the_former_tags_are_gone_does_not_restore_them(bench: Bench) -> None:
    first = bench.open(ALL)
    bench.mirror.write_due()
    bench.cancel(first, ALICE)
    second = bench.open("promote churn 4 production --reason again")
    assert dict(tags(bench))["request_reason"] == "again"
    assert "validation_f1" not in tags(bench)
    bench.cancel(second, ALICE)
    assert dict(tags(bench)) == {}


def test_former_tags_removed_while_the_next_request_opens_are_not_restored(
    bench: Bench,
) -> None:
    first = bench.open(ALL)
    bench.mirror.write_due()
    bench.cancel(first, ALICE)
    look, gating = bench.gate_checks.take_snapshot, bench.gate_checks

    def slow(*args: Any, **kwargs: Any) -> RequestSnapshot:
        bench.mirror.write_due()  # after the version was read, with the tags of the first request
        return look(*args, **kwargs)

    gating.take_snapshot = slow  # type: ignore[method-assign]
    second = bench.open("promote churn 4 production")
    bench.cancel(second, ALICE)
    assert dict(tags(bench)) == {}


@pytest.mark.parametrize("order", ["first in, first out", "last in, first out"])
def test_two_requests_for_one_version_restore_its_tags(bench: Bench, order: str) -> None:
    bench.registry.set_tags("churn", 4, MINE)
    to_staging = bench.open("promote churn 4 staging --reason 'try it'")
    bench.clock.advance(seconds=1)
    to_production = bench.open(ALL)
    bench.clock.advance(seconds=1)
    both = [to_staging, to_production]
    one, other = both if order == "first in, first out" else reversed(both)
    bench.cancel(one, ALICE)
    left = dict(tags(bench))
    assert left["request_reason"] == other.reason
    assert left["approval_status"] == f"{other.target.value.lower()}_requested"
    bench.cancel(other, ALICE)
    assert dict(tags(bench)) == MINE


def test_a_late_end_does_not_change_a_promotion_s_tags(bench: Bench) -> None:
    request = bench.approved(ALL)
    to_staging = bench.open("promote churn 4 staging")
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    bench.clock.advance(days=8)
    bench.request_upkeep.expire_overdue()
    assert bench.state(to_staging).value == "expired"
    seen = tags(bench)
    assert (seen["approval_status"], seen["approver"]) == ("approved_production", "UBOB")
    assert (seen["requester"], seen["request_reason"]) == ("UALICE", request.reason)


def test_a_rejection_keeps_the_request_s_tags(bench: Bench) -> None:
    bench.reject(bench.open(ALL))
    assert (tags(bench)["approval_status"], tags(bench)["requester"]) == ("rejected", "UALICE")


def test_the_status_is_restored_for_a_request_from_an_older_release(bench: Bench) -> None:
    bench.registry.set_tags("churn", 4, MINE)
    request = bench.open(ALL)
    assert request.seen is not None
    with bench.ledger.write() as tx:
        tx.save_request(replace(request, seen=replace(request.seen, former={})))
    bench.cancel(request, ALICE)
    left = tags(bench)
    assert (left["approval_status"], left["requester"]) == ("approved_staging", "UALICE")


def test_tags_wait_for_an_unavailable_registry(bench: Bench) -> None:
    bench.open()
    bench.registry.is_down = True
    assert bench.mirror.write_due() == 0
    bench.registry.is_down = False
    assert bench.mirror.write_due() == 0  # it isn't due yet
    bench.clock.advance(minutes=5)
    assert tags(bench)["approval_status"] == "production_requested"


def test_a_deleted_version_does_not_block_other_updates(bench: Bench) -> None:
    bench.open("promote churn 4 production")
    bench.registry.delete_version("churn", 4)
    bench.open("promote churn 1 staging")
    assert tags(bench, 1)["approval_status"] == "staging_requested"


def test_a_promotion_moves_the_champion_and_removes_the_challenger(bench: Bench) -> None:
    bench.registry.set_alias("churn", "challenger", 2)
    bench.approved("promote churn 2 production")
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    assert dict(bench.registry.model("churn").aliases) == {"champion": 2}


def test_a_transition_takes_three_requests_and_two_for_its_facts(bench: Bench) -> None:
    bench.approved()
    bench.registry.request_counts.clear()
    bench.moves.execute_due("churn")
    assert dict(bench.registry.request_counts) == {"versions": 1, "transition": 1, "set_alias": 1, "model": 2}


def test_a_transition_that_keeps_the_former_holder_takes_no_more_requests(bench: Bench) -> None:
    bench.approved("promote churn 1 production --keep-existing")
    bench.registry.request_counts.clear()
    bench.moves.execute_due("churn")
    assert sum(bench.registry.request_counts.values()) == 5
    assert bench.registry.holders(stage=Stage.PRODUCTION) == [3, 1]
