"""From asking to an open request."""

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


def test_what_was_asked_for_becomes_a_request(bench: Bench) -> None:
    request = bench.open('promote churn 4 production --reason "better f1"')
    assert (request.model, request.version, request.target) == ("churn", 4, Stage.PRODUCTION)
    assert (request.from_stage, request.incumbent, request.reason) == (Stage.NONE, 3, "better f1")
    assert (request.state, request.requester) == (RequestState.PENDING, ALICE.person)


def test_the_policy_says_how_many_and_how_long(bench: Bench) -> None:
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    assert request.required == 2
    assert request.expires_at - request.opened_at == timedelta(days=7)


def test_the_card_is_on_its_way_when_the_request_is_open(bench: Bench) -> None:
    bench.open()
    assert [(note.kind.value, note.to) for note in bench.notes()] == [("card", "#ml-models")]


def test_asking_and_opening_are_in_the_audit(bench: Bench) -> None:
    bench.open()
    assert bench.tags() == ["person:promotion:asked", "registrar:request:opened"]


def test_the_audit_keeps_the_rule_that_held(bench: Bench) -> None:
    bench.open()
    assert bench.events()[-1].evidence["rule"]["approvers"] == ["lead"]


@pytest.mark.parametrize(
    ("word", "version"), [("4", 4), ("v4", 4), ("2.1.0", 5), ("@fresh", 4), ("staging", 2), ("latest", 5)]
)
def test_a_version_is_found_however_it_is_named(bench: Bench, word: str, version: int) -> None:
    bench.registry.add_version("churn", tags={"semver": "2.1.0"})
    bench.registry.set_alias("churn", "fresh", 4)
    assert bench.open(f"promote churn {word} production").version == version


def test_the_semver_of_the_version_is_kept(bench: Bench) -> None:
    bench.registry.add_version("churn", tags={"semver": "2.1.0"})
    assert bench.open("promote churn 5 production").semver == "2.1.0"


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_a_second_request_says_which_is_open(bench: Bench) -> None:
    first = bench.open()
    with pytest.raises(AlreadyOpen, match=rf"Request {first.id} for v4 .* still open: approve {first.id}"):
        bench.open("promote churn 2 production", BOB)


def test_a_second_request_is_refused_in_the_audit(bench: Bench) -> None:
    bench.open()
    with pytest.raises(AlreadyOpen):
        bench.open()
    assert bench.tags()[-1] == "person:promotion:refused"


def test_while_an_approved_move_is_made_the_next_has_to_wait(bench: Bench) -> None:
    first = bench.approved()
    with pytest.raises(AlreadyOpen, match=f"{first.id} .* is approved and being made"):
        bench.open("promote churn 2 production")


def test_staging_and_production_are_asked_for_apart(bench: Bench) -> None:
    bench.open("promote churn 4 production")
    assert bench.open("promote churn 4 staging").state is RequestState.PENDING


def test_after_the_end_it_can_be_asked_again(bench: Bench) -> None:
    bench.reject(bench.open())
    assert bench.open().state is RequestState.PENDING


def test_opening_twice_opens_once(bench: Bench) -> None:
    ask = bench.ask()
    assert bench.open_ask(ask.id) == bench.open_ask(ask.id)


def test_whoever_asked_and_the_clock_open_it_once_together(bench: Bench) -> None:
    ask = bench.ask()
    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(lambda _: bench.open_ask(ask.id), range(8)))
    assert len({request.id for request in opened}) == 1
    assert bench.tags() == ["person:promotion:asked", "registrar:request:opened"]


# -- what stands against it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["staging", "production"])
def test_a_version_cannot_be_asked_to_where_it_is(bench: Bench, stage: str) -> None:
    with pytest.raises(BadInput, match=r"is in (Staging|Production) already"):
        bench.open(f"promote churn {stage} {stage}")


def test_what_serves_in_production_cannot_be_asked_to_staging(bench: Bench) -> None:
    with pytest.raises(BadInput, match="would leave nobody there"):
        bench.open("promote churn 3 staging")


def test_an_archived_version_can_be_asked_back(bench: Bench) -> None:
    assert bench.open("promote churn 1 production").from_stage is Stage.ARCHIVED


def test_an_unknown_model_is_answered_with_the_nearest(bench: Bench) -> None:
    with pytest.raises(UnknownModel, match=r"no model “chrun”\. Did you mean “churn”"):
        bench.open("promote chrun 4 production")


def test_a_model_like_no_other_is_only_unknown(bench: Bench) -> None:
    with pytest.raises(UnknownModel, match=r"no model “xyzzy”\.$"):
        bench.open("promote xyzzy 4 production")


def test_a_prompt_is_no_model(bench: Bench) -> None:
    bench.registry.add_model("greeting", versions=1, is_prompt=True)
    with pytest.raises(UnknownModel):
        bench.open("promote greeting 1 production")


def test_an_unknown_version_is_answered_with_those_there_are(bench: Bench) -> None:
    with pytest.raises(UnknownVersion, match="v4, v3, v2, v1"):
        bench.open("promote churn 9 production")


@pytest.mark.parametrize("model", ["unruled", "empty"])
def test_where_nobody_may_decide_nothing_can_be_asked_for(bench: Bench, model: str) -> None:
    bench.policy.models["empty"] = bench.policy.models["unruled"]
    bench.registry.add_model(model, versions=1)
    with pytest.raises(Refused, match=r"Add approvers to registrar\.yml"):
        bench.open(f"promote {model} 1 production")


def test_a_version_that_is_not_ready_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    unready = [VersionInfo(model="churn", version=4, stage=Stage.NONE, status="PENDING_REGISTRATION")]
    monkeypatch.setattr(bench.registry, "versions", lambda name: unready)
    with pytest.raises(Refused, match="not ready: MLflow says PENDING_REGISTRATION"):
        bench.open()


def test_what_was_refused_is_in_the_audit_with_its_reason(bench: Bench) -> None:
    with pytest.raises(UnknownVersion):
        bench.open("promote churn 9 production")
    last = bench.events()[-1]
    assert (last.tag.value, last.actor, last.model) == ("person:promotion:refused", ALICE.person, "churn")
    assert "has no version" in last.why


# -- who may ask -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [GUEST, STRANGER, Client("unknown")], ids=["guest", "stranger", "unknown program"])
def test_who_may_not_ask_is_refused_and_the_audit_says_so(bench: Bench, who: Client) -> None:
    with pytest.raises(Refused):
        bench.ask(who=who)
    assert bench.tags() == ["person:promotion:refused"]


def test_an_automation_may_ask(bench: Bench) -> None:
    assert bench.open(who=Automation("monitor")).requester == Automation("monitor")


# -- a registry that is away -------------------------------------------------------------------------------------------


def test_asking_needs_no_registry(bench: Bench) -> None:
    bench.registry.is_down = True
    assert bench.ask().id


def test_what_was_asked_for_waits_for_the_registry(bench: Bench) -> None:
    ask = bench.ask()
    bench.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        bench.open_ask(ask.id)
    assert bench.tags() == ["person:promotion:asked"]


def test_when_the_registry_is_back_the_request_is_opened(bench: Bench) -> None:
    ask = bench.ask()
    bench.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        bench.open_ask(ask.id)
    bench.registry.is_down = False
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.tags()[-1] == "registrar:request:opened"


def test_a_registry_that_is_away_for_hours_is_asked_now_and_then(bench: Bench) -> None:
    bench.ask()
    bench.registry.is_down = True
    for _ in range(60):
        bench.clock.advance(minutes=1)
        bench.errands.execute_due()
    bench.registry.is_down = False
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.tags()[-1] == "registrar:request:opened"


def test_who_has_to_wait_is_told_what_stands_against_it(bench: Bench) -> None:
    bench.ask("promote churn 9 production")
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert "has no version" in bench.told("direct")


def test_one_that_cannot_be_opened_does_not_hold_the_next(bench: Bench) -> None:
    bench.ask("promote churn 9 production")
    bench.ask("promote churn 4 production")
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.tags()[-1] == "registrar:request:opened"


# -- forms -------------------------------------------------------------------------------------------------------------


def test_a_draft_remembers_where_it_was_opened(bench: Bench) -> None:
    assert bench.errands.get_draft(bench.errands.create_draft(ALICE, {}, channel="C42")).where == "C42"


def test_a_draft_is_never_opened_by_the_clock(bench: Bench) -> None:
    bench.errands.create_draft(ALICE, {}, channel="C42")
    bench.clock.advance(days=1)
    bench.errands.execute_due()
    assert bench.tags() == []


def test_a_form_that_nobody_opened_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownRequest, match="open it again"):
        bench.errands.get_draft("rnever")


def test_what_is_written_down_is_read_as_it_was_typed(bench: Bench) -> None:
    text = "promote churn @champion staging --keep-existing --reason 'it is “good”'"
    command = parse_command(text)
    assert isinstance(command, Promote)
    assert load_command(bench.ask(text).command) == command
