"""From the promote command to an open request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot.domain.commands.parser import load_command, parse_command
from bot.domain.commands.promotions import Promote
from bot.domain.core.actors import Automation, Client
from bot.domain.core.errors import (
    AlreadyOpen,
    BadInput,
    Refused,
    RegistryUnreachable,
    UnknownModel,
    UnknownRequest,
    UnknownVersion,
)
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage, VersionInfo
from tests.support.services.bench import ALICE, BOB, GUEST, STRANGER, Bench


def test_a_promote_command_opens_a_request(bench: Bench) -> None:
    request = bench.open('promote churn 4 production --reason "better f1"')
    assert (request.model, request.version, request.target) == ("churn", 4, Stage.PRODUCTION)
    assert (request.from_stage, request.incumbent, request.reason) == (Stage.NONE, 3, "better f1")
    assert (request.state, request.requester) == (RequestState.PENDING, ALICE.person)


def test_the_policy_sets_the_number_of_approvals_and_the_expiry(bench: Bench) -> None:
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    assert request.required == 2
    assert request.expires_at - request.opened_at == timedelta(days=7)


def test_the_card_is_in_the_outbox_when_the_request_is_open(bench: Bench) -> None:
    bench.open()
    assert [(note.kind.value, note.to) for note in bench.notes()] == [("card", "#ml-models")]


def test_the_command_and_the_opening_are_audited(bench: Bench) -> None:
    bench.open()
    assert bench.tags() == ["person:promotion:asked", "registrar:request:opened"]


def test_the_audit_log_records_the_rule_in_force(bench: Bench) -> None:
    bench.open()
    assert bench.events()[-1].evidence["rule"]["approvers"] == ["lead"]


@pytest.mark.parametrize(
    ("word", "version"), [("4", 4), ("v4", 4), ("2.1.0", 5), ("@fresh", 4), ("staging", 2), ("latest", 5)]
)
def test_a_version_is_found_by_each_kind_of_name(bench: Bench, word: str, version: int) -> None:
    bench.registry.add_version("churn", tags={"semver": "2.1.0"})
    bench.registry.set_alias("churn", "fresh", 4)
    assert bench.open(f"promote churn {word} production").version == version


def test_the_version_s_semver_is_stored(bench: Bench) -> None:
    bench.registry.add_version("churn", tags={"semver": "2.1.0"})
    assert bench.open("promote churn 5 production").semver == "2.1.0"


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_a_second_request_names_the_open_one(bench: Bench) -> None:
    first = bench.open()
    with pytest.raises(AlreadyOpen, match=rf"Request {first.id} for v4 .* still open. Run /model approve {first.id}"):
        bench.open("promote churn 2 production", BOB)


def test_a_refused_second_request_is_audited(bench: Bench) -> None:
    bench.open()
    with pytest.raises(AlreadyOpen):
        bench.open()
    assert bench.tags()[-1] == "person:promotion:refused"


def test_a_new_request_must_wait_for_an_approved_transition(bench: Bench) -> None:
    first = bench.approved()
    with pytest.raises(AlreadyOpen, match=f"{first.id} .* is in progress"):
        bench.open("promote churn 2 production")


def test_staging_and_production_can_each_have_an_open_request(bench: Bench) -> None:
    bench.open("promote churn 4 production")
    assert bench.open("promote churn 4 staging").state is RequestState.PENDING


def test_an_ended_request_can_be_requested_again(bench: Bench) -> None:
    bench.reject(bench.open())
    assert bench.open().state is RequestState.PENDING


def test_opening_a_command_twice_opens_one_request(bench: Bench) -> None:
    ask = bench.ask()
    assert bench.open_ask(ask.id) == bench.open_ask(ask.id)


def test_two_threads_open_a_command_once(bench: Bench) -> None:
    ask = bench.ask()
    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(lambda _: bench.open_ask(ask.id), range(8)))
    assert len({request.id for request in opened}) == 1
    assert bench.tags() == ["person:promotion:asked", "registrar:request:opened"]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["staging", "production"])
def test_a_version_cannot_be_requested_for_its_current_stage(bench: Bench, stage: str) -> None:
    with pytest.raises(BadInput, match=r"is already in (Staging|Production)"):
        bench.open(f"promote churn {stage} {stage}")


def test_the_only_production_version_cannot_be_requested_for_staging(bench: Bench) -> None:
    with pytest.raises(BadInput, match="would leave Production empty"):
        bench.open("promote churn 3 staging")


def test_an_archived_version_can_be_requested(bench: Bench) -> None:
    assert bench.open("promote churn 1 production").from_stage is Stage.ARCHIVED


def test_an_unknown_model_gets_the_closest_name_as_a_suggestion(bench: Bench) -> None:
    with pytest.raises(UnknownModel, match=r"no model “chrun”\. Did you mean “churn”"):
        bench.open("promote chrun 4 production")


def test_an_unknown_model_without_a_similar_name_gets_no_suggestion(bench: Bench) -> None:
    with pytest.raises(UnknownModel, match=r"no model “xyzzy”\.$"):
        bench.open("promote xyzzy 4 production")


def test_a_prompt_is_not_a_model(bench: Bench) -> None:
    bench.registry.add_model("greeting", versions=1, is_prompt=True)
    with pytest.raises(UnknownModel):
        bench.open("promote greeting 1 production")


def test_an_unknown_version_is_answered_with_the_existing_ones(bench: Bench) -> None:
    with pytest.raises(UnknownVersion, match="v4, v3, v2, v1"):
        bench.open("promote churn 9 production")


@pytest.mark.parametrize("model", ["unruled", "empty"])
def test_a_request_without_approvers_in_the_policy_is_refused(bench: Bench, model: str) -> None:
    bench.policy.models["empty"] = bench.policy.models["unruled"]
    bench.registry.add_model(model, versions=1)
    with pytest.raises(Refused, match=r"lists no approvers .* Add some to registrar\.yml"):
        bench.open(f"promote {model} 1 production")


def test_a_version_that_is_not_ready_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    unready = [VersionInfo(model="churn", version=4, stage=Stage.NONE, status="PENDING_REGISTRATION")]
    monkeypatch.setattr(bench.registry, "versions", lambda name: unready)
    with pytest.raises(Refused, match="isn't ready: MLflow reports PENDING_REGISTRATION"):
        bench.open()


def test_a_refusal_is_audited_with_its_reason(bench: Bench) -> None:
    with pytest.raises(UnknownVersion):
        bench.open("promote churn 9 production")
    last = bench.events()[-1]
    assert (last.tag.value, last.actor, last.model) == ("person:promotion:refused", ALICE.person, "churn")
    assert "has no version" in last.why


# -- who can request ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [GUEST, STRANGER, Client("unknown")], ids=["guest", "stranger", "unknown program"])
def test_a_caller_without_permission_is_refused_and_audited(bench: Bench, who: Client) -> None:
    with pytest.raises(Refused):
        bench.ask(who=who)
    assert bench.tags() == ["person:promotion:refused"]


def test_an_automation_can_request(bench: Bench) -> None:
    assert bench.open(who=Automation("monitor")).requester == Automation("monitor")


# -- an unreachable registry -------------------------------------------------------------------------------------------


def test_a_command_is_queued_without_the_registry(bench: Bench) -> None:
    bench.registry.is_down = True
    assert bench.ask().id


def test_a_queued_command_waits_for_the_registry(bench: Bench) -> None:
    ask = bench.ask()
    bench.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        bench.open_ask(ask.id)
    assert bench.tags() == ["person:promotion:asked"]


def test_a_queued_command_is_opened_when_the_registry_is_back(bench: Bench) -> None:
    ask = bench.ask()
    bench.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        bench.open_ask(ask.id)
    bench.registry.is_down = False
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.tags()[-1] == "registrar:request:opened"


def test_an_unreachable_registry_is_retried_with_backoff(bench: Bench) -> None:
    bench.ask()
    bench.registry.is_down = True
    for _ in range(60):
        bench.clock.advance(minutes=1)
        bench.errands.execute_due()
    bench.registry.is_down = False
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.tags()[-1] == "registrar:request:opened"


def test_a_waiting_requester_is_told_about_a_later_refusal(bench: Bench) -> None:
    bench.ask("promote churn 9 production")
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert "has no version" in bench.told("direct")


def test_a_command_that_cannot_be_opened_does_not_block_the_next(bench: Bench) -> None:
    bench.ask("promote churn 9 production")
    bench.ask("promote churn 4 production")
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.tags()[-1] == "registrar:request:opened"


# -- forms -------------------------------------------------------------------------------------------------------------


def test_a_draft_records_where_it_was_opened(bench: Bench) -> None:
    assert bench.errands.get_draft(bench.errands.create_draft(ALICE, {}, channel="C42")).where == "C42"


def test_a_draft_is_never_opened_by_the_clock(bench: Bench) -> None:
    bench.errands.create_draft(ALICE, {}, channel="C42")
    bench.clock.advance(days=1)
    bench.errands.execute_due()
    assert bench.tags() == []


def test_a_form_that_no_one_opened_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownRequest, match="Open it again"):
        bench.errands.get_draft("rnever")


def test_a_queued_command_is_read_back_as_typed(bench: Bench) -> None:
    text = "promote churn @champion staging --keep-existing --reason 'it is “good”'"
    command = parse_command(text)
    assert isinstance(command, Promote)
    assert load_command(bench.ask(text).command) == command
