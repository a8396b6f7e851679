"""Freezing Production: who can, what it stops, and what happens afterward."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Caller
from bot.domain.core.errors import BadInput, Refused, RegistryUnreachable
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import GateResult, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, POLICY, STRANGER, Bench, second_bench
from tests.support.services.freezes import freeze, unfreeze


@pytest.mark.parametrize("who", [BOB, DAVE], ids=["who may roll back", "admin"])
def test_a_freeze_by_someone_with_permission_is_recorded_and_announced(bench: Bench, who: Caller) -> None:
    freeze(bench, who)
    [event] = [event for event in bench.events() if event.tag is EventTag.FROZEN]
    assert (event.model, event.why, event.evidence["all"]) == ("churn", "audit", False)
    assert "froze “churn”" in bench.told("said:frozen")


@pytest.mark.parametrize("who", [ALICE, GUEST, STRANGER], ids=["member", "guest", "stranger"])
def test_a_freeze_by_someone_without_permission_is_refused_and_recorded(bench: Bench, who: Caller) -> None:
    with pytest.raises(Refused):
        freeze(bench, who)
    assert bench.freezing.active_freeze("churn") is None
    assert bench.tags() == [EventTag.PERMISSION_REFUSED.value]


def test_during_a_freeze_approving_is_refused_and_everything_else_works(bench: Bench) -> None:
    freeze(bench)
    request = bench.open()
    with pytest.raises(Refused, match="@UBOB froze Production"):
        bench.approve(request)
    assert bench.state(request) is RequestState.PENDING
    assert bench.reject(request).request.state is RequestState.REJECTED


def test_during_a_freeze_overriding_gates_is_refused(bench: Bench) -> None:
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    assert request.seen is not None
    failed = GateResult(name="f1", bound="≥ 1", value="0.5", passed=False)
    with bench.ledger.write() as tx:
        tx.save_request(replace(request, seen=replace(request.seen, gates=(failed,))))
    bench.approve(request, BOB)
    bench.approve(request, CAROL)
    freeze(bench, model="two")
    with pytest.raises(Refused, match="@UBOB froze Production"):
        bench.override(request, DAVE, "known")
    assert bench.state(request) is RequestState.PENDING
    unfreeze(bench, model="two")
    assert bench.override(request, DAVE, "known").request.state is (RequestState.APPROVED)


def test_staging_is_never_frozen(bench: Bench) -> None:
    freeze(bench, model=None)
    assert bench.approved("promote churn 4 staging").state is RequestState.APPROVED
    bench.moves.execute_due("churn")
    assert bench.registry.holders(stage=Stage.STAGING) == [4]


def test_a_transition_approved_before_a_freeze_waits_until_it_ends(bench: Bench) -> None:
    request = bench.approved()
    freeze(bench)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [3]
    assert bench.state(request) is RequestState.APPROVED
    assert bench.move(request).state is TransitionState.INTENDED
    assert bench.move(request).why.startswith("@UBOB froze Production for “churn”")
    assert f"card:{request.id}:frozen" in [note.key for note in bench.notes()]
    unfreeze(bench)
    bench.clock.advance(seconds=10)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4]
    assert bench.state(request) is RequestState.DONE


def test_a_transition_that_waits_for_a_freeze_does_not_delay_staging(bench: Bench) -> None:
    frozen, free = bench.approved("promote churn 4 production"), bench.approved("promote churn 1 staging")
    freeze(bench)
    bench.moves.execute_due("churn")
    assert [bench.state(frozen), bench.state(free)] == [RequestState.APPROVED, RequestState.DONE]


def test_an_interrupted_transition_is_finished_despite_a_freeze(bench: Bench) -> None:
    def lose_the_answer() -> None:
        raise RegistryUnreachable("The registry isn't responding.")

    request = bench.approved()
    bench.registry.after = lose_the_answer
    bench.moves.execute_due("churn")
    freeze(bench)
    bench.clock.advance(minutes=1)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE
    assert bench.registry.model("churn").aliases["champion"] == 4


def test_a_freeze_ends_at_its_end_time(bench: Bench) -> None:
    freeze(bench, until=timedelta(hours=1))
    bench.clock.advance(minutes=59)
    assert bench.freezing.active_freeze("churn")
    bench.clock.advance(minutes=1)
    assert bench.freezing.active_freeze("churn") is None


def test_a_freeze_of_one_model_stops_no_other_model(bench: Bench) -> None:
    bench.registry.add_model("fraud", versions=1)
    freeze(bench)
    assert bench.approved("promote fraud 1 production").state is RequestState.APPROVED


def test_unfreezing_one_model_keeps_the_freeze_of_all_models(bench: Bench) -> None:
    freeze(bench, model=None, reason="incident")
    freeze(bench)
    assert "It's still frozen" in unfreeze(bench)
    assert bench.freezing.active_freeze("churn")
    unfreeze(bench, model=None)
    assert bench.freezing.active_freeze("churn") is None


def test_unfreezing_without_a_freeze_is_refused(bench: Bench) -> None:
    with pytest.raises(BadInput, match="“churn” isn't frozen"):
        unfreeze(bench)
    with pytest.raises(BadInput, match="no freeze for all models"):
        unfreeze(bench, model=None)


def test_unfreezing_without_permission_is_refused(bench: Bench) -> None:
    freeze(bench)
    with pytest.raises(Refused):
        unfreeze(bench, ALICE)
    assert bench.freezing.active_freeze("churn")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": ""}, "needs a reason"),
        ({"until": "2026-05-04T11:00"}, "is in the past"),
        ({"until": timedelta(0)}, "is in the past"),
        ({"until": timedelta(days=9_999_999)}, "too far in the future"),
        ({"everywhere": True}, "Name one model, or freeze all models with --all"),
    ],
    ids=str,
)
def test_invalid_arguments_are_refused_with_a_reason(bench: Bench, fields: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        freeze(bench, **fields)  # type: ignore[arg-type]  # a reason among them
    assert bench.events() == []


def test_a_repair_of_production_waits_too(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.clock.advance(minutes=1)
    bench.watch.poll()
    [finding] = [one for one in bench.findings() if one.mend]
    freeze(bench)
    with pytest.raises(Refused, match="froze Production"):
        bench.tending.repair_stage(BOB, finding.id, origin="slack")


# -- redrawing cards over time -----------------------------------------------------------------------------------------


def with_window(bench: Bench, cron: str) -> None:
    """Put a policy into effect with a window that begins at `cron` and lasts an hour."""
    window = {"cron": cron, "for": "1h", "reason": "audit"}
    bench.context.active_policy.replace(validate_policy(POLICY | {"freeze": [window]}), cron)


def redrawn(bench: Bench) -> list[str]:
    """Return why cards are redrawn, without the ids."""
    return [":".join(note.key.split(":")[2:4]) for note in bench.notes() if note.key.split(":")[2] == "freeze"]


def test_a_card_is_redrawn_when_a_window_begins_and_ends(bench: Bench) -> None:
    with_window(bench, "0 13 * * *")  # the clock is at 12:00
    bench.open()
    bench.open("promote churn 1 staging")
    counts = []
    for _ in range(5):
        counts.append(bench.freezing.redraw_cards())
        bench.clock.advance(minutes=30)
    assert counts == [0, 0, 1, 0, 1]
    assert len(redrawn(bench)) == 2


def test_a_card_is_redrawn_when_a_freeze_expires(bench: Bench) -> None:
    freeze(bench, until="1h")
    bench.open()
    assert bench.freezing.redraw_cards() == 0
    bench.clock.advance(hours=1)
    assert [bench.freezing.redraw_cards(), bench.freezing.redraw_cards()] == [1, 0]


def test_a_freeze_by_a_person_redraws_cards_only_once(bench: Bench) -> None:
    bench.open()
    bench.freezing.redraw_cards()
    freeze(bench)
    assert bench.freezing.redraw_cards() == 0
    unfreeze(bench)
    assert bench.freezing.redraw_cards() == 0


def test_a_card_is_redrawn_when_the_policy_gets_an_active_window(bench: Bench) -> None:
    bench.open()
    bench.freezing.redraw_cards()
    with_window(bench, "0 12 * * *")
    assert bench.freezing.redraw_cards() == 1


def test_changes_while_the_bot_was_down_are_redrawn_at_startup_by_one_process(bench: Bench) -> None:
    with_window(bench, "0 13 * * *")
    bench.open()
    bench.clock.advance(hours=1)
    other = second_bench(bench)
    other.context.active_policy.replace(bench.context.policy, "same")
    assert (bench.freezing.redraw_cards(), other.freezing.redraw_cards()) == (1, 1)
    assert len(redrawn(bench)) == 1
