"""What somebody tried, and what must not come of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.approvals import RequestState
from bot.domain.errors import BadInput, Misconfigured, Refused
from bot.domain.policy import Policy, read_policy
from bot.domain.registry import Stage, check_model_name
from bot.services.moves import Moves
from tests.services.bench import BOB, CAROL, POLICY, STRANGER, Bench


def under(bench: Bench, production: dict[str, object]) -> Bench:
    """Return the bench as it is after a restart with another rule for Production."""
    models = POLICY["models"] | {"*": {"production": production}}
    return replace_policy(bench, read_policy(POLICY | {"models": models}))


def replace_policy(bench: Bench, policy: Policy) -> Bench:
    return Bench(ledger=bench.ledger, registry=bench.registry, clock=bench.clock, policy=policy)


def test_a_rule_that_asks_for_more_now_holds_for_open_requests(bench: Bench) -> None:
    request = bench.open()
    stricter = under(bench, {"approvers": ["lead"], "required": 2})
    assert stricter.approve(request, BOB).request.state is RequestState.PENDING
    assert stricter.approve(request, CAROL).request.state is RequestState.APPROVED


def test_a_rule_that_asks_for_less_now_does_not(bench: Bench) -> None:
    bench.registry.add("two", versions=1)
    request = bench.open("promote two 1 production")
    laxer = replace_policy(bench, read_policy(POLICY | {"models": {"*": {"production": {"approvers": ["lead"]}}}}))
    assert laxer.approve(request, BOB).request.state is RequestState.PENDING


def test_the_vote_of_somebody_who_is_named_no_more_does_not_count(bench: Bench) -> None:
    bench.registry.add("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request, BOB)
    models = {"two": {"production": {"approvers": ["UCAROL", "UDAVE"], "required": 2}}}
    without_bob = replace_policy(bench, read_policy(POLICY | {"models": models}))
    assert without_bob.approve(request, CAROL).request.state is RequestState.PENDING


def test_a_pattern_s_brackets_are_letters_where_a_model_is_called_so() -> None:
    rules = {"*": {"channel": "#lax"}, "fraud[eu]": {"channel": "#strict"}}
    assert read_policy({"models": rules}).channel_for("fraud[eu]") == "#strict"


def test_a_model_s_own_name_wins_over_a_longer_pattern() -> None:
    rules = {"churn*": {"channel": "#lax"}, "churn": {"channel": "#strict"}}
    assert read_policy({"models": rules}).channel_for("churn") == "#strict"


@pytest.mark.parametrize("unseen", ["\u200b", "\u200d", "\u3164", "\ufe0f", "\u202e", "\u2060"])
def test_a_model_cannot_pass_for_another_by_characters_that_nobody_sees(unseen: str) -> None:
    with pytest.raises(BadInput, match="nobody sees"):
        check_model_name(f"churn{unseen}")


@pytest.mark.parametrize("name", ["churn ❤️", "👩‍🔬 lab", "☁️"])
def test_an_emoji_in_a_name_is_seen(name: str) -> None:
    assert check_model_name(name) == name


def test_a_clock_that_was_set_back_makes_the_poll_find_nothing(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.turn(hours=-1)
    bench.approve(bench.open())
    bench.moves.run("churn")
    assert bench.watch.poll() == 0


def test_a_model_that_cannot_be_looked_at_hides_no_other(bench: Bench) -> None:
    bench.registry.add("!'\"", versions=[Stage.PRODUCTION])
    assert bench.watch.poll() == 1
    assert bench.moves_of()[0].version == 3


def test_an_ask_with_a_fault_of_ours_holds_no_other_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.registry.add("two", versions=1)
    bench.ask()
    other = bench.ask("promote two 1 production")
    bench.clock.turn(minutes=1)
    real = bench.lookups.model_and_versions

    def breaks(name: str) -> object:
        if name == "churn":
            raise OverflowError("nobody foresaw this")
        return real(name)

    monkeypatch.setattr(bench.lookups, "model_and_versions", breaks)
    bench.errands.carry_out_waiting()
    with bench.ledger.read() as reading:
        assert reading.ask(other.id).request is not None


def test_an_ask_that_was_refused_is_not_opened_afterwards(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = bench.ask("promote churn 9 production")
    real = bench.lookups.model_and_versions

    def refused_meanwhile(name: str) -> object:
        found = real(name)
        monkeypatch.undo()
        with pytest.raises(BadInput):
            bench.open_ask(ask.id)
        bench.registry.add_version("churn")
        return found[0], [replace(found[1][0], version=9)]

    monkeypatch.setattr(bench.lookups, "model_and_versions", refused_meanwhile)
    with pytest.raises(Refused, match="refused a moment ago"):
        bench.open_ask(ask.id)
    assert "registrar:request:opened" not in bench.tags()


def test_a_refusal_and_its_news_are_one_change(bench: Bench) -> None:
    bench.ask("promote churn 9 production")
    bench.clock.turn(minutes=1)
    bench.errands.carry_out_waiting()
    assert "has no version v9" in bench.told("direct:ask")


def test_an_alias_that_somebody_else_keeps_moving_makes_a_moved_stage_no_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bench.approved()
    monkeypatch.setattr(bench.registry, "set_alias", lambda name, alias, version: None)
    Moves(bench.context).run("churn")
    assert bench.state(request) is RequestState.DONE
    assert "somebody else moves it" in bench.now(request).outcome


def test_a_stranger_opens_no_form(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.errands.draft(STRANGER, {}, where="C1")


@pytest.mark.parametrize(
    "rule", [{"required": True}, {"expires_after": "9999999d"}, {"gates": [{"metric": "f1", "at_most": float("inf")}]}]
)
def test_a_rule_that_would_break_later_is_refused_at_once(rule: dict[str, object]) -> None:
    with pytest.raises(Misconfigured):
        read_policy({"models": {"*": {"production": {"approvers": ["UBOB"]} | rule}}})


def test_a_role_cannot_stand_for_somebody_s_id() -> None:
    with pytest.raises(Misconfigured, match="called like a Slack id"):
        read_policy({"roles": {"UBOB": ["UEVE"]}, "models": {}})
