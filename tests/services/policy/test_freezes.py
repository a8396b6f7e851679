"""Freezing Production: who may, what it stops, and what goes on afterwards."""

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
def test_who_may_freezes_and_the_audit_and_the_channel_have_it(bench: Bench, who: Caller) -> None:
    freeze(bench, who)
    [event] = [event for event in bench.events() if event.tag is EventTag.FROZEN]
    assert (event.model, event.why, event.evidence["all"]) == ("churn", "audit", False)
    assert "froze Production of “churn”" in bench.told("said:frozen")


@pytest.mark.parametrize("who", [ALICE, GUEST, STRANGER], ids=["member", "guest", "stranger"])
def test_who_may_not_changes_nothing_and_is_in_the_audit(bench: Bench, who: Caller) -> None:
    with pytest.raises(Refused):
        freeze(bench, who)
    assert bench.freezing.active_freeze("churn") is None
    assert bench.tags() == [EventTag.PERMISSION_REFUSED.value]


def test_while_it_holds_nobody_approves_and_everything_else_goes_on(bench: Bench) -> None:
    freeze(bench)
    request = bench.open()
    with pytest.raises(Refused, match="is frozen by @UBOB"):
        bench.approve(request)
    assert bench.state(request) is RequestState.PENDING
    assert bench.reject(request).request.state is RequestState.REJECTED


def test_while_it_holds_nobody_lets_gates_pass_for_that_would_decide(bench: Bench) -> None:
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    assert request.seen is not None
    failed = GateResult(name="f1", bound="≥ 1", value="0.5", passed=False)
    with bench.ledger.write() as tx:
        tx.save_request(replace(request, seen=replace(request.seen, gates=(failed,))))
    bench.approve(request, BOB)
    bench.approve(request, CAROL)
    freeze(bench, model="two")
    with pytest.raises(Refused, match="is frozen by @UBOB"):
        bench.override(request, DAVE, "known")
    assert bench.state(request) is RequestState.PENDING
    unfreeze(bench, model="two")
    assert bench.override(request, DAVE, "known").request.state is (RequestState.APPROVED)


def test_staging_is_never_frozen(bench: Bench) -> None:
    freeze(bench, model=None)
    assert bench.approved("promote churn 4 staging").state is RequestState.APPROVED
    bench.moves.execute_due("churn")
    assert bench.registry.holders(stage=Stage.STAGING) == [4]


def test_what_was_approved_before_waits_and_is_made_afterwards(bench: Bench) -> None:
    request = bench.approved()
    freeze(bench)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [3]
    assert bench.state(request) is RequestState.APPROVED
    assert bench.move(request).state is TransitionState.INTENDED
    assert "Approved, and not moved yet. Production of “churn” is frozen" in bench.told(f"news:{request.id}:frozen")
    unfreeze(bench)
    bench.clock.advance(seconds=10)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4]
    assert bench.state(request) is RequestState.DONE


def test_what_waits_for_a_freeze_does_not_hold_up_what_goes_to_staging(bench: Bench) -> None:
    frozen, free = bench.approved("promote churn 4 production"), bench.approved("promote churn 1 staging")
    freeze(bench)
    bench.moves.execute_due("churn")
    assert [bench.state(frozen), bench.state(free)] == [RequestState.APPROVED, RequestState.DONE]


def test_a_move_that_was_cut_off_half_way_is_finished_whatever_is_frozen(bench: Bench) -> None:
    def lose_the_answer() -> None:
        raise RegistryUnreachable("The registry does not answer.")

    request = bench.approved()
    bench.registry.after = lose_the_answer
    bench.moves.execute_due("churn")
    freeze(bench)
    bench.clock.advance(minutes=1)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE
    assert bench.registry.model("churn").aliases["champion"] == 4


def test_a_freeze_ends_by_itself(bench: Bench) -> None:
    freeze(bench, until=timedelta(hours=1))
    bench.clock.advance(minutes=59)
    assert bench.freezing.active_freeze("churn")
    bench.clock.advance(minutes=1)
    assert bench.freezing.active_freeze("churn") is None


def test_one_model_s_freeze_stops_no_other(bench: Bench) -> None:
    bench.registry.add_model("fraud", versions=1)
    freeze(bench)
    assert bench.approved("promote fraud 1 production").state is RequestState.APPROVED


def test_lifting_one_model_s_freeze_leaves_that_of_all(bench: Bench) -> None:
    freeze(bench, model=None, reason="incident")
    freeze(bench)
    assert "It stays frozen all the same" in unfreeze(bench)
    assert bench.freezing.active_freeze("churn")
    unfreeze(bench, model=None)
    assert bench.freezing.active_freeze("churn") is None


def test_where_nothing_is_frozen_nothing_can_be_lifted(bench: Bench) -> None:
    with pytest.raises(BadInput, match="Nobody froze Production of “churn”"):
        unfreeze(bench)
    with pytest.raises(BadInput, match="No freeze of every model"):
        unfreeze(bench, model=None)


def test_who_may_not_unfreeze_lifts_nothing(bench: Bench) -> None:
    freeze(bench)
    with pytest.raises(Refused):
        unfreeze(bench, ALICE)
    assert bench.freezing.active_freeze("churn")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": ""}, "needs a reason"),
        ({"until": "2026-05-04T11:00"}, "is over already"),
        ({"until": timedelta(0)}, "is over already"),
        ({"until": timedelta(days=9_999_999)}, "longer than the calendar"),
        ({"everywhere": True}, "Name one model, or write freeze --all"),
    ],
    ids=str,
)
def test_what_makes_no_sense_gets_a_sentence(bench: Bench, fields: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        freeze(bench, **fields)  # type: ignore[arg-type]  # a reason among them
    assert bench.events() == []


def test_mending_production_waits_as_well(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.clock.advance(minutes=1)
    bench.watch.poll()
    [finding] = [one for one in bench.findings() if one.mend]
    freeze(bench)
    with pytest.raises(Refused, match="is frozen"):
        bench.tending.repair_stage(BOB, finding.id, origin="slack")


# -- cards follow the clock --------------------------------------------------------------------------------------------


def with_window(bench: Bench, cron: str) -> None:
    """Put a policy in force whose window begins so and lasts an hour."""
    window = {"cron": cron, "for": "1h", "reason": "audit"}
    bench.context.active_policy.replace(validate_policy(POLICY | {"freeze": [window]}), cron)


def redrawn(bench: Bench) -> list[str]:
    """Return why cards are drawn again, without the ids."""
    return [":".join(note.key.split(":")[2:4]) for note in bench.notes() if note.key.split(":")[2] == "freeze"]


def test_a_card_is_drawn_again_when_a_window_begins_and_when_it_ends(bench: Bench) -> None:
    with_window(bench, "0 13 * * *")  # the clock stands at 12:00
    bench.open()
    bench.open("promote churn 1 staging")
    counts = []
    for _ in range(5):
        counts.append(bench.freezing.redraw_cards())
        bench.clock.advance(minutes=30)
    assert counts == [0, 0, 1, 0, 1]
    assert len(redrawn(bench)) == 2


def test_a_card_is_drawn_again_when_a_freeze_runs_out(bench: Bench) -> None:
    freeze(bench, until="1h")
    bench.open()
    assert bench.freezing.redraw_cards() == 0
    bench.clock.advance(hours=1)
    assert [bench.freezing.redraw_cards(), bench.freezing.redraw_cards()] == [1, 0]


def test_what_people_freeze_and_unfreeze_is_not_drawn_twice(bench: Bench) -> None:
    bench.open()
    bench.freezing.redraw_cards()
    freeze(bench)
    assert bench.freezing.redraw_cards() == 0
    unfreeze(bench)
    assert bench.freezing.redraw_cards() == 0


def test_a_card_is_drawn_again_when_the_policy_gets_a_window_that_holds_now(bench: Bench) -> None:
    bench.open()
    bench.freezing.redraw_cards()
    with_window(bench, "0 12 * * *")
    assert bench.freezing.redraw_cards() == 1


def test_what_changed_while_the_bot_was_away_is_drawn_after_its_start_by_one_process(bench: Bench) -> None:
    with_window(bench, "0 13 * * *")
    bench.open()
    bench.clock.advance(hours=1)
    other = second_bench(bench)
    other.context.active_policy.replace(bench.context.policy, "same")
    assert (bench.freezing.redraw_cards(), other.freezing.redraw_cards()) == (1, 1)
    assert len(redrawn(bench)) == 1
