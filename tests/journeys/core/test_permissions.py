"""People without permission can't use any command, button, or form, and their attempts are audited."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Person
from bot.slack.commands import help_text
from bot.slack.monitoring import add_monitor_modal as monitor_modal
from bot.slack.promotions import modals, request_card
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import history as history_answer
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice
from localslack import LocalSlack, payloads
from tests.support.app.app_fixture import CHANNEL, add_churn, message_text, running_app
from tests.support.app.harness import (
    ALICE,
    BOB,
    audit_links,
    click,
    command,
    sent_texts,
    signed_client,
    type_and_read_reply,
)
from tests.support.registry.memory import MemoryRegistry
from tests.support.slack.front_door import CONNECTED, GONE, GUEST, LONE, MACHINE, VISITOR, FrontDoor, door, form
from tests.support.slack.payload_strategies import CHANGING, actor


@pytest.fixture(scope="module")
def bot(_workspace: LocalSlack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """The bot that all tests in this file share."""
    _workspace.heal()
    _workspace.deliver_to(None)
    _workspace.reset()
    with door(_workspace, tmp_path_factory.mktemp("bot")) as it:
        yield it


OUTSIDERS = {
    "of another workspace": (actor(VISITOR), "Only members of this workspace"),
    "of another workspace, whatever the payload says": (actor(CONNECTED), "Only members of this workspace"),
    "a guest": (actor(GUEST), "Guests can view, but can't request or decide"),
    "a guest of one channel": (actor(LONE), "Guests can view, but can't request or decide"),
    "a bot": (actor(MACHINE), "Bots and deactivated accounts can't use"),
    "deactivated": (actor(GONE), "Bots and deactivated accounts can't use"),
    "unknown": (payloads.Actor(id="U0NOBODY", name="nobody"), "Bots and deactivated accounts can't use"),
    "Slackbot": (payloads.Actor(id="USLACKBOT", name="slackbot"), "Bots and deactivated accounts can't use"),
}
TYPED = (
    "promote churn 2 staging",
    "register 0a1b2c3d churn",
    "describe churn 4 better",
    "tag churn 4 owner=ann",
    "archive churn 2",
    "approve REQUEST",
    "reject REQUEST --reason slow",
    "withdraw REQUEST",
    "override REQUEST --reason urgent",
    "cancel REQUEST",
    "freeze churn --reason now",
    "freeze --all --reason now",
    "unfreeze churn",
    "unfreeze --all",
    "promote",
    "reject REQUEST",
    "override REQUEST",
    "rollback churn --reason now",
    "rollback churn 2 --force --reason now",
    "rollback churn",
    "unblock churn 2 --reason fine",
    "monitor add churn f1 --source push --greater-than 0.8",
    "monitor add",
    "monitor edit churn accuracy --fail-after 5",
    "monitor pause churn accuracy",
    "monitor resume churn accuracy",
    "monitor remove churn accuracy",
    "monitor check churn accuracy",
    "monitor arm churn accuracy",
    "monitor silence churn accuracy 2h",
    "monitor unsilence churn accuracy",
    "monitor reset churn",
    "monitor reset --all",
)
PRESSED = (
    request_card.APPROVE,
    request_card.REJECT,
    request_card.OVERRIDE,
    request_card.WITHDRAW,
    request_card.REQUEST_AGAIN,
    request_card.REVIEW,
    request_card.CANCEL,
    request_card.ROLL_BACK,
    registry_answers.CONFIRM_ARCHIVE,
    help_text.MENU_PROMOTE,
    help_text.MENU_ROLLBACK,
    drift_notice.REQUEST_STAGING,
    drift_notice.REPAIR_STAGE,
)
FILLED_IN = (
    modals.PROMOTE,
    modals.REJECT,
    modals.OVERRIDE,
    modals.REVIEW,
    rollback_card.ROLLBACK,
    monitor_modal.MONITOR,
)
FIELDS = {"model": "churn", "version": "2", "to": "staging", "reason": "because"}

WATCHED = {"model": "churn", "name": "f1", "source": "push", "greater_than": "0.8", "every": "5m"}

Act = Callable[[FrontDoor, payloads.Actor], dict[str, Any]]


def _type(text: str) -> Act:
    return lambda bot, who: command(who, text.replace("REQUEST", bot.known[request_card.APPROVE]))


def _press(button: str) -> Act:
    return lambda bot, who: click(who, bot.known.get(button, bot.known[request_card.APPROVE]), button)


def _fill_in(callback: str) -> Act:
    drafts = {
        modals.PROMOTE: registry_answers.CONFIRM_ARCHIVE,
        rollback_card.ROLLBACK: callback,
        monitor_modal.MONITOR: callback,
    }
    draft = drafts.get(callback, request_card.APPROVE)
    fields = WATCHED if callback == monitor_modal.MONITOR else FIELDS
    return lambda bot, who: form(who, callback, bot.known[draft], fields)


ACTS = (
    {f"typing {text}": _type(text) for text in TYPED}
    | {f"pressing {button}": _press(button) for button in PRESSED}
    | {f"filling in {callback}": _fill_in(callback) for callback in FILLED_IN}
)


def heard(bot: FrontDoor, payload: dict[str, Any]) -> str:
    """Send a payload, and return every answer to it, immediate or later."""
    answer = bot.send(payload)
    said = answer.text + " ".join(sent_texts(bot.slack))
    bot.slack.forget_calls()
    return said


@pytest.mark.parametrize(("who", "sentence"), OUTSIDERS.values(), ids=OUTSIDERS)
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_someone_who_is_not_a_full_member_changes_nothing_is_told_why_and_is_audited(
    bot: FrontDoor, act: Act, who: payloads.Actor, sentence: str
) -> None:
    before, events = bot.kept(), len(audit_links(bot.ledger))
    assert sentence in heard(bot, act(bot, who))
    assert (bot.kept(), bot.alarm.rung()) == (before, [])
    [kept] = audit_links(bot.ledger)[events:]
    assert kept.event.actor == Person("T0OTHER" if who == actor(CONNECTED) else who.team_id, who.id)


def test_every_changing_command_is_tried_by_outsiders() -> None:
    typed = {" ".join(text.split()[:words]) for text in TYPED for words in (1, 2)}
    looking = {"monitor list", "monitor show", "monitor backtest", "monitor review"}
    assert {verb.verb for verb in CHANGING} - looking <= typed


READING = {
    "list": "2 models",
    "show churn": "`churn`: 5 versions",
    "show churn 4": "`churn` `v4`: no stage",
    "history churn": "`v3`  *serving now*",
    "requests": "1 open request",
    "policy churn": "Policy for `churn`",
    "audit churn": "Audit log for `churn`",
    "validate churn 4": "`churn` `v4` → Production: the gate failed.",
    "compare churn": "have no metrics",
    "best churn f1": "have no metrics",
}


@pytest.mark.parametrize("text", READING)
@pytest.mark.parametrize("who", ["of another workspace", "of another workspace, whatever the payload says", "a bot"])
def test_an_account_from_elsewhere_cannot_read(bot: FrontDoor, who: str, text: str) -> None:
    outsider, sentence = OUTSIDERS[who]
    assert sentence in heard(bot, command(outsider, text))


@pytest.mark.parametrize(("text", "shown"), READING.items(), ids=READING)
def test_a_guest_can_read(bot: FrontDoor, text: str, shown: str) -> None:
    events = len(audit_links(bot.ledger))
    assert shown in heard(bot, command(actor(GUEST), text))
    assert len(audit_links(bot.ledger)) == events  # a refusal would add one


@pytest.mark.parametrize(
    "button",
    [
        request_card.DETAILS,
        request_card.HISTORY,
        drift_notice.DETAILS,
        drift_notice.COMPARE,
        registry_answers.NEXT_PAGE,
        history_answer.POST_HERE,
    ],
)
def test_a_stranger_s_click_shows_nothing(bot: FrontDoor, button: str) -> None:
    other_values = {history_answer.POST_HERE: "history churn", request_card.HISTORY: bot.known[request_card.APPROVE]}
    value = bot.known.get(button, other_values.get(button, "list --page 2"))
    assert "Only members of this workspace" in heard(bot, click(actor(VISITOR), value, button))


def test_a_stranger_s_home_tab_shows_nothing(bot: FrontDoor) -> None:
    place = payloads.ChannelRef(id="D1", name="direct")
    said = heard(bot, payloads.app_home_opened(actor=actor(CONNECTED), place=place))
    assert "Only members of this workspace" in said
    assert "churn" not in said


def test_only_the_asked_person_can_answer_a_question(bot: FrontDoor) -> None:
    before, draft = bot.kept(), bot.known[registry_answers.CONFIRM_ARCHIVE]
    carol = payloads.Actor(id="U0CAROL", name="carol")  # can archive, but wasn't asked
    assert "Only the person who typed this command" in heard(bot, click(carol, draft, registry_answers.CONFIRM_ARCHIVE))
    assert bot.kept() == before
    assert audit_links(bot.ledger)[-1].event.actor == Person("T0LOCAL", "U0CAROL")


# -- one person in several workspaces ----------------------------------------------------------------------------------

TWO_OF_THREE = {"*": {"production": {"approvers": ["lead", "U0ALICE"], "required": 2}}}


def at_home(who: payloads.Actor) -> payloads.Actor:
    """Return the actor with their Enterprise Grid home workspace."""
    return replace(who, team_id="T0HOME")


def test_no_one_can_approve_their_own_request_from_another_workspace(slack: LocalSlack, tmp_path: Path) -> None:
    with door(slack, tmp_path, rules=TWO_OF_THREE) as bot:
        before, request = bot.kept(), bot.known[request_card.APPROVE]
        assert "your own request" in heard(bot, click(at_home(ALICE), request))
        assert bot.kept() == before


def test_no_one_can_vote_twice_from_another_workspace(slack: LocalSlack, tmp_path: Path) -> None:
    with door(slack, tmp_path, rules=TWO_OF_THREE) as bot:
        request = bot.known[request_card.APPROVE]
        assert "1 of 2" in heard(bot, command(BOB, f"approve {request}"))
        assert "You've already voted" in heard(bot, click(at_home(BOB), request))
        assert [vote.voter for vote in bot.kept().votes] == [Person("T0LOCAL", "U0BOB")]


def test_the_audit_log_names_one_person_whichever_workspace_they_act_from(slack: LocalSlack, tmp_path: Path) -> None:
    with door(slack, tmp_path, rules=TWO_OF_THREE) as bot:
        request = bot.known[request_card.APPROVE]
        heard(bot, click(at_home(BOB), request))
        heard(bot, command(BOB, f"withdraw {request}"))
        voted, withdrawn = audit_links(bot.ledger)[-2:]
        assert (voted.event.tag, withdrawn.event.tag) == (EventTag.VOTED, EventTag.VOTE_WITHDRAWN)
        assert voted.event.actor == withdrawn.event.actor == Person("T0LOCAL", "U0BOB")


# -- profiles are looked up again --------------------------------------------------------------------------------------

RULE = {"production": {"approvers": ["S0LEADS"]}}


class Watch:
    """A stopwatch that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


Change = Callable[[LocalSlack], object]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda slack: slack.set_group("S0LEADS", "leads", ["carol"]), "Only approvers can decide"),
        (lambda slack: slack.change_person("bob", is_restricted=True), "Guests can view"),
        (lambda slack: slack.change_person("bob", deleted=True), "Bots and deactivated accounts"),
        (lambda slack: slack.change_person("bob", team_id="T0OTHER"), "Only members of this workspace"),
        (lambda slack: slack.fail("users.info", "internal_error"), "Nothing changed"),
        (lambda slack: slack.fail("usergroups.list", "something_new"), "Nothing changed"),
        (lambda slack: slack.fail("usergroups.list", "missing_scope"), "Only approvers can decide"),
    ],
    ids=["out of the group", "a guest", "deactivated", "moved away", "users unknown", "groups unknown", "no groups"],
)
def test_rights_are_looked_up_again_after_a_minute(
    slack: LocalSlack, tmp_path: Path, change: Change, sentence: str
) -> None:
    watch = Watch()
    with door(slack, tmp_path, rules={"*": RULE}, monotonic=watch) as bot:
        request = bot.known[request_card.APPROVE]
        assert "Give a reason" in heard(bot, form(BOB, modals.REJECT, request, {"reason": ""}))
        heard(bot, click(BOB, request, request_card.REJECT))  # he can, and both of Slack's answers are now cached
        change(slack)
        watch.seconds += 60.1
        before = bot.kept()
        assert sentence in heard(bot, click(BOB, request))
        assert bot.kept() == before


# -- what Slack sees ---------------------------------------------------------------------------------------------------


def test_buttons_and_forms_hold_only_ids(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        for typed in ("promote churn 4 production --reason x", "archive churn 2", "promote churn"):
            app.alice.types(CHANNEL, f"/model {typed}")
        app.card()
        app.alice.waits_for_modal()
        app.bob.types(CHANNEL, "/model archive churn 2")
        app.bob.clicks(app.card(), "Reject")
        app.bob.waits_for_modal()
        app.bob.opens_home()
        app.bob.waits_for_home(lambda home: "Needs your review" in str(home))
        carried = list(_carried([call["args"] for call in slack.calls()]))
    assert len(carried) > 5
    assert [what for what in carried if not re.fullmatch(r"[a-z0-9]{4,32}", what)] == []


def _carried(part: Any) -> Iterator[str]:
    if isinstance(part, str) and part[:1] in ("{", "["):
        yield from _carried(json.loads(part))
    elif isinstance(part, dict):
        if part.get("type") == "button" and part.get("value"):
            yield part["value"]
        if part.get("private_metadata"):
            yield part["private_metadata"]
        for value in part.values():
            yield from _carried(value)
    elif isinstance(part, list):
        for one in part:
            yield from _carried(one)


def test_slack_links_no_names_and_fetches_no_pages(slack: LocalSlack, tmp_path: Path) -> None:
    registry = add_churn(MemoryRegistry())
    registry.add_version("churn", run_id=registry.add_run(metrics={"f1": 0.9}))
    with running_app(slack, tmp_path, registry, http=True) as app:
        slack.fail("files.getUploadURLExternal", "missing_scope", times=None)
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        app.bob.clicks(app.card(), "Approve")
        app.card(holds="is in Production")
        app.alice.waits_for_direct_message(lambda message: "Production" in message_text(message))
        type_and_read_reply(app.alice, "/model show churn")
        signed_client(app).send(command(ALICE, "show churn"))  # without an address for the answer
        slack.wait_for(lambda: slack.calls("chat.postEphemeral"))
        app.alice.types(CHANNEL, "/model compare churn")
        slack.wait_for(lambda: "files:write" in str(slack.calls("chat.postMessage")))
        calls = slack.calls()
    assert set(QUIET) <= {call["method"] for call in calls}
    assert [call for call in calls if call["method"] in QUIET and not _is_quiet(call)] == []


# Which of the three arguments each method accepts; edits and ephemeral messages aren't unfurled.
QUIET = {
    "chat.postMessage": ("parse", "unfurl_links", "unfurl_media"),
    "response_url": ("parse", "unfurl_links", "unfurl_media"),
    "chat.postEphemeral": ("parse",),
    "chat.update": ("parse",),
}


def _is_quiet(call: dict[str, Any]) -> bool:
    args = {name: str(call["args"].get(name)).lower() for name in QUIET[call["method"]]}
    return args.pop("parse") == "none" and set(args.values()) <= {"false", "0"}
