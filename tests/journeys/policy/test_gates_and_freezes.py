"""Gates, overrides, votes taken back, freezes, reminders, Home and the audit: by people, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.events import Tag
from bot.domain.registry import Stage
from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, TurnedClock, World, running, said
from tests.support.app.gates import GATES, policy_with, with_figures
from tests.support.app.harness import hears, links, the_request, types_and_hears
from tests.support.waiting import wait_until


@pytest.fixture
def clock() -> TurnedClock:
    """The bot's clock."""
    return TurnedClock()


@pytest.fixture
def gated(slack: LocalSlack, tmp_path: Path, clock: TurnedClock) -> Iterator[World]:
    """The bot under a policy with gates that an admin may let pass."""
    policy = policy_with(gates=GATES, override=["admin"], remind_after="4h")
    with running(slack, tmp_path, with_figures(), policy=policy, clock=clock) as world:
        yield world


@pytest.fixture
def strict(slack: LocalSlack, tmp_path: Path) -> Iterator[World]:
    """The bot under a policy with gates that nobody may let pass."""
    with running(slack, tmp_path, with_figures(), policy=policy_with(gates=GATES)) as world:
        yield world


def dave(world: World) -> Any:
    return world.slack.person("dave")


# -- gates -------------------------------------------------------------------------------------------------------------


def test_the_card_shows_figures_against_the_incumbent_and_every_gate(gated: World) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    shown = said(gated.card())
    assert "`accuracy` 0.91 (+0.03 better)" in shown.replace("`0.91`", "0.91")
    assert "✅ `accuracy` 0.91, wanted: ≥ 0.85" in shown
    assert "✅ `latency_ms` 22 (+2 against v3)" in shown


def test_a_version_that_fails_a_gate_which_nobody_may_let_pass_is_not_asked_for(strict: World) -> None:
    answer = types_and_hears(strict.alice, "/model promote churn 5 production")
    assert "`accuracy` is 0.8, wanted: ≥ 0.85" in answer
    assert "/model validate churn 5" in answer
    assert links(strict.ledger, Tag.OPENED) == []
    [refused] = links(strict.ledger, Tag.ASK_REFUSED)
    assert [gate["passed"] for gate in refused.event.evidence["seen"]["gates"]] == [False, False]


def test_a_failed_gate_blocks_until_whom_the_policy_names_lets_it_pass(gated: World) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 5 production")
    card = gated.card(holds="❌")
    assert "a gate failed" in hears(gated.bob, lambda: gated.bob.clicks(card, "Approve"))
    assert gated.production() == [3]
    assert "does not let you pass" in hears(gated.bob, lambda: gated.bob.clicks(card, "Let gates pass…"))
    dave(gated).clicks(card, "Let gates pass…")
    dave(gated).waits_for_modal()
    assert dave(gated).submits({"reason": "the incumbent is down"}) is None
    done = gated.card(holds="is in Production")
    assert "let pass by <@U0DAVE>: the incumbent is down" in said(done)
    assert gated.production() == [5]
    [event] = links(gated.ledger, Tag.OVERRIDDEN)
    assert event.event.evidence["by"]["roles"] == ["admin"]


def test_validating_asks_for_nothing(gated: World) -> None:
    assert "all 2 gates pass" in types_and_hears(gated.alice, "/model validate churn 4")
    assert "2 of 2 gates fail" in types_and_hears(gated.alice, "/model validate churn 5")
    assert links(gated.ledger, Tag.ASKED) == []


def test_an_asker_s_own_results_are_shown_as_theirs_and_mirrored(gated: World) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production --validation recall=0.7")
    assert "own validation: `recall` `0.7`" in said(gated.card())
    gated.registrar.mirror.write()
    wait_until(lambda: gated.registry.version("churn", 4).tags.get("validation_recall") == "0.7")


# -- out of date -------------------------------------------------------------------------------------------------------


def test_a_request_whose_version_was_measured_anew_is_out_of_date_and_can_be_asked_for_again(gated: World) -> None:
    assert isinstance(gated.registry, MemoryRegistry)
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    gated.registry.add_run("run4", metrics={"accuracy": 0.9, "latency_ms": 22.0})
    gated.bob.clicks(card, "Approve")
    stale = gated.card(holds="out of date")
    assert "`accuracy` was 0.91 and is 0.9" in said(stale).replace("accuracy was", "`accuracy` was")
    assert gated.production() == [3]
    gated.alice.clicks(stale, "Ask again")
    gated.bob.clicks(gated.card(holds="Promote churn v4"), "Approve")
    gated.card(holds="is in Production")
    assert gated.production() == [4]


def test_an_incumbent_that_somebody_moved_in_mlflow_ends_the_request_at_the_next_look(gated: World) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.registry.transition("churn", 2, Stage.PRODUCTION, archive_existing=True)
    gated.registrar.poll()
    assert "Production held v3 when this was asked and holds v2 now" in said(gated.card(holds="out of date"))


# -- votes -------------------------------------------------------------------------------------------------------------


def test_a_vote_can_be_taken_back_by_the_button_under_its_answer(slack: LocalSlack, tmp_path: Path) -> None:
    with running(slack, tmp_path, with_figures(), policy=policy_with(required=2)) as world:
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        card = world.card()
        world.bob.clicks(card, "Approve")
        answer = world.bob.waits_for(CHANNEL, lambda m: m.get("is_ephemeral") and "is recorded: 1 of 2" in said(m))
        world.bob.clicks(answer, "Take it back")
        assert "0 of 2" in world.answer(world.bob, "is taken back")
        world.card(holds="0 of 2")
        slack.person("carol").clicks(card, "Approve")
        world.card(holds="1 of 2")
        assert world.production() == [3]


def test_nobody_takes_back_what_they_did_not_vote(gated: World) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.alice.types(CHANNEL, f"/model withdraw {the_request(gated.ledger).id}")
    gated.answer(gated.alice, "You have not voted")


# -- freezes -----------------------------------------------------------------------------------------------------------


def test_while_production_is_frozen_nobody_approves_and_everybody_reads_why(gated: World) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    assert "is frozen, and the channel is told" in types_and_hears(
        gated.bob, '/model freeze churn --reason "audit week"'
    )
    gated.card(holds="❄️")
    refusal = hears(gated.bob, lambda: gated.bob.clicks(card, "Approve"))
    assert "is frozen by <@U0BOB>, until somebody lifts it: audit week" in refusal
    assert gated.production() == [3]
    assert "lifted the freeze" in types_and_hears(gated.bob, "/model unfreeze churn")
    gated.bob.clicks(card, "Approve")
    gated.card(holds="is in Production")


def test_who_may_not_freeze_hears_so(gated: World) -> None:
    refusal = types_and_hears(gated.alice, "/model freeze churn --reason x")
    assert "Only those who may roll back can do this: <@U0BOB>, <@U0CAROL>" in refusal
    assert links(gated.ledger, Tag.FROZEN) == []


def test_an_admin_freezes_every_model_and_who_asks_reads_it(gated: World) -> None:
    types_and_hears(dave(gated), '/model freeze --all --until 2h --reason "incident 12"')
    assert "Mind: Production of every model is frozen" in types_and_hears(
        gated.alice, "/model promote churn 4 production"
    )


# -- reminders ---------------------------------------------------------------------------------------------------------


def test_who_can_decide_is_reminded_in_the_thread_and_directly(gated: World, clock: TurnedClock) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    card = gated.card()
    clock.turn(timedelta(hours=4, minutes=1))
    gated.registrar.remind()
    assert "has waited for 4h 1m" in said(gated.bob.waits_for_direct_message())
    gated.slack.wait_for(lambda: any("Still waiting" in said(message) for message in gated.alice.thread(card)))
    gated.registrar.remind()
    assert len(links(gated.ledger, Tag.REMINDED)) == 1


# -- the rules and the trail -------------------------------------------------------------------------------------------


def test_the_policy_is_told_in_words(gated: World) -> None:
    answer = types_and_hears(gated.alice, "/model policy churn")
    assert "one of `lead` (<@U0BOB>, <@U0CAROL>) has to approve" in answer
    assert "`accuracy` ≥ 0.85" in answer


def test_the_audit_of_a_model_tells_who_did_what(gated: World) -> None:
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.bob.clicks(gated.card(), "Approve")
    gated.card(holds="is in Production")
    answer = types_and_hears(gated.alice, "/model audit churn --since 1d")
    assert "<@U0BOB> voted approve" in answer
    assert "asked to promote" in answer


# -- Home --------------------------------------------------------------------------------------------------------------


def test_home_shows_what_waits_and_decides_it(gated: World) -> None:
    gated.registrar.poll()
    gated.alice.types(CHANNEL, "/model promote churn 4 production")
    gated.card()
    gated.bob.opens_home()
    home = gated.bob.waits_for_home(lambda view: "asked by <@U0ALICE>" in said(view))
    assert "Production `v3`" in said(home)
    gated.bob.clicks(home, "Approve")
    gated.bob.waits_for_home(lambda view: "Nothing. You are free" in said(view))
    gated.card(holds="is in Production")
    gated.alice.opens_home()
    gated.alice.waits_for_home(lambda view: "v3` → `v4` in Production" in said(view))


def test_a_stranger_s_home_says_why_it_is_empty(gated: World) -> None:
    gated.slack.change_person("alice", team_id="T0OTHER")
    gated.alice.opens_home()
    gated.alice.waits_for_home(lambda view: "Only members of this workspace" in said(view))
