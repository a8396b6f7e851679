"""The executor runs a decided transition once, or doesn't run it and reports why."""

from __future__ import annotations

import pytest

from bot.domain.core.errors import RegistryRefused, RegistryUnreachable
from bot.domain.core.sentence import unpack_sentence
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ports import MessageKind
from tests.support.services.bench import CAROL, Bench
from tests.support.services.executor import refuses


def away() -> None:
    raise RegistryUnreachable("The registry isn't responding.")


# -- successful transitions --------------------------------------------------------------------------------------------


def test_a_decided_transition_is_done(bench: Bench, request_: Request) -> None:
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.registry.holders() == [4]


def test_the_former_holder_is_archived(bench: Bench, request_: Request) -> None:
    bench.moves.execute_due("churn")
    assert 3 in bench.registry.holders(stage=Stage.ARCHIVED)


def test_the_alias_follows_the_stage(bench: Bench, request_: Request) -> None:
    bench.moves.execute_due("churn")
    assert bench.registry.model("churn").aliases["champion"] == 4


def test_the_version_in_staging_is_the_challenger(bench: Bench) -> None:
    bench.approved("promote churn 4 staging")
    bench.moves.execute_due("churn")
    assert bench.registry.model("churn").aliases == {"champion": 3, "challenger": 4}


def test_the_audit_log_has_the_transition_with_before_and_after(bench: Bench, request_: Request) -> None:
    bench.moves.execute_due("churn")
    moved = bench.events()[-1]
    assert (moved.tag.value, moved.before, moved.after) == ("registrar:version:moved", "v3", "v4")


def test_the_card_and_the_requester_get_the_outcome(bench: Bench, request_: Request) -> None:
    bench.moves.execute_due("churn")
    assert {"card:done", "direct:done"} <= bench.keys()
    assert "news:" not in "".join(bench.keys())
    assert "verified in MLflow" in bench.told("direct")


def test_a_transition_is_done_once(bench: Bench, request_: Request) -> None:
    bench.moves.execute_due("churn")
    bench.moves.execute_due("churn")
    assert bench.registry.transitions == 1


def test_the_incumbent_stays_if_requested(bench: Bench) -> None:
    bench.approved("promote churn 4 production --keep-existing")
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4, 3]
    assert bench.registry.model("churn").aliases["champion"] == 4


def test_the_first_version_moves_into_an_empty_stage(bench: Bench) -> None:
    bench.registry.add_model("new", versions=1)
    bench.approved("promote new 1 production")
    bench.moves.execute_due("new")
    assert bench.registry.holders("new") == [1]


def news(bench: Bench) -> list[str]:
    return [str(unpack_sentence(note.data["say"])) for note in bench.notes() if note.kind is MessageKind.THREAD_REPLY]


def test_a_promotion_that_leaves_staging_empty_says_so(bench: Bench) -> None:
    bench.approved("promote churn 2 production")
    bench.registry.request_counts.clear()
    bench.moves.execute_due("churn")
    assert "Staging is empty now." in bench.told("direct")
    assert sum(bench.registry.request_counts.values()) == 5  # the same number as without it


def test_a_promotion_of_one_of_two_in_staging_does_not_mention_staging(bench: Bench) -> None:
    bench.registry.by_hand("churn", 1, Stage.STAGING, archive_existing=False)
    bench.approved("promote churn 2 production")
    bench.moves.execute_due("churn")
    assert "Staging is empty now." not in bench.told("direct")


def test_a_promotion_from_elsewhere_does_not_mention_staging(bench: Bench) -> None:
    bench.registry.by_hand("churn", 2, Stage.ARCHIVED)
    bench.approved("promote churn 4 production")
    bench.moves.execute_due("churn")
    assert "Staging is empty now." not in bench.told("direct")


def test_transitions_of_one_model_are_executed_in_order(bench: Bench) -> None:
    first, second = bench.approved("promote churn 4 staging"), bench.approved("promote churn 1 production")
    bench.moves.execute_due("churn")
    assert [bench.state(one) for one in (first, second)] == [RequestState.DONE, RequestState.DONE]


def test_models_with_unfinished_transitions_are_listed(bench: Bench, request_: Request) -> None:
    assert bench.moves.models_with_unfinished() == ["churn"]
    bench.moves.execute_due("churn")
    assert bench.moves.models_with_unfinished() == []


# -- outdated requests -------------------------------------------------------------------------------------------------


def test_another_incumbent_makes_the_request_outdated(bench: Bench, request_: Request) -> None:
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.STALE
    assert "has changed from v3 to v2" in bench.now(request_).outcome
    assert bench.registry.holders() == [2]


def test_an_archived_candidate_makes_the_request_outdated(bench: Bench, request_: Request) -> None:
    bench.registry.by_hand("churn", 4, Stage.ARCHIVED)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.STALE
    assert bench.registry.holders() == [3]


def test_a_deleted_candidate_makes_the_request_outdated(bench: Bench, request_: Request) -> None:
    bench.registry.delete_version("churn", 4)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.STALE
    assert "MLflow no longer has v4" in bench.now(request_).outcome


def test_people_are_told_that_the_request_is_outdated(bench: Bench, request_: Request) -> None:
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert "outdated, so nothing changed" in bench.told("direct")
    assert bench.tags()[-1] == "registrar:request:stale"


def test_a_version_moved_by_hand_completes_the_request(bench: Bench, request_: Request) -> None:
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.registry.transitions == 0
    assert bench.registry.model("churn").aliases["champion"] == 4


# -- a refusing registry -----------------------------------------------------------------------------------------------


def test_a_refusal_by_the_registry_ends_the_request_as_failed(bench: Bench, request_: Request) -> None:
    bench.registry.before = refuses
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.FAILED
    assert bench.now(request_).outcome == "The registry says no."


def test_people_are_told_that_the_transition_failed(bench: Bench, request_: Request) -> None:
    bench.registry.before = refuses
    bench.moves.execute_due("churn")
    assert "MLflow rejected the transition. The registry says no." in bench.told("direct")
    assert bench.tags()[-1] == "registrar:request:failed"


def test_a_registry_that_accepts_but_does_nothing_is_detected(bench: Bench, request_: Request) -> None:
    bench.registry.is_deaf = True
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.FAILED
    assert bench.tags()[-1] == "registrar:request:failed"


def test_an_immediate_revert_is_detected_by_reading_back(bench: Bench, request_: Request) -> None:
    bench.registry.after = lambda: bench.registry.by_hand("churn", 1, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.STALE
    assert bench.registry.holders() == [1]


def test_the_next_request_works_after_a_failure(bench: Bench, request_: Request) -> None:
    bench.registry.before = refuses
    bench.moves.execute_due("churn")
    again = bench.approved()
    bench.moves.execute_due("churn")
    assert bench.state(again) is RequestState.DONE


# -- an unavailable registry -------------------------------------------------------------------------------------------


def test_an_approved_transition_waits_for_the_registry(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.APPROVED
    assert bench.move(request_).state is TransitionState.INTENDED


def test_a_waiting_transition_says_what_for_and_redraws_the_card_once(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    for _ in range(5):
        bench.moves.execute_due("churn")
        bench.clock.advance(minutes=2)
    assert [note.key for note in bench.notes()].count(f"card:{request_.id}:waiting") == 1
    assert bench.moves_of()[0].why.startswith("MLflow isn't responding. I'll promote the version")


def test_the_transition_is_done_when_the_registry_is_back(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    bench.registry.is_down = False
    bench.clock.advance(minutes=2)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.registry.holders() == [4]


def test_an_outage_of_hours_loses_no_transition(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    for _ in range(60):
        bench.moves.execute_due("churn")
        bench.clock.advance(minutes=2)
    bench.registry.is_down = False
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE


def test_an_unavailable_registry_is_not_called_at_every_tick(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    bench.moves.execute_due("churn")
    assert bench.move(request_).attempts == 1


def test_a_transition_is_not_repeated_after_a_lost_response(bench: Bench, request_: Request) -> None:
    bench.registry.after = away
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.APPROVED
    bench.clock.advance(minutes=2)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.registry.transitions == 1
    assert bench.registry.model("churn").aliases["champion"] == 4


def test_the_executor_expires_requests_that_wait_for_the_registry(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    bench.clock.advance(days=3)
    assert bench.request_upkeep.expire_overdue() == 0


# -- several approvals -------------------------------------------------------------------------------------------------


def test_a_two_of_two_request_is_executed_after_the_second_approval(bench: Bench) -> None:
    bench.registry.add_model("two", versions=1)
    request = bench.approved("promote two 1 production")
    bench.moves.execute_due("two")
    assert bench.registry.holders("two") == []
    bench.approve(request, CAROL)
    bench.moves.execute_due("two")
    assert bench.registry.holders("two") == [1]


# -- the alias is refused ----------------------------------------------------------------------------------------------


def _refuse_aliases(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, alias: str, version: int) -> None:
        raise RegistryRefused("MLflow takes no alias of this name.")

    monkeypatch.setattr(bench.registry, "set_alias", refuse)


def test_a_refused_alias_does_not_fail_the_transition(
    bench: Bench, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse_aliases(bench, monkeypatch)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.registry.holders() == [4]


def test_people_are_told_that_the_alias_was_refused(
    bench: Bench, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse_aliases(bench, monkeypatch)
    bench.moves.execute_due("churn")
    assert "MLflow rejected the alias champion. MLflow takes no alias" in bench.now(request_).outcome
