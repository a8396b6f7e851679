"""Forged and malformed input over HTTP breaks nothing, decides nothing, and mentions no one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.commands.base import Command
from bot.domain.commands.parser import parse_command
from bot.domain.core.errors import BadInput
from bot.slack.commands import help_text, query_modal
from bot.slack.core.blocks import unescape
from bot.slack.monitoring import add_monitor_modal as monitor_modal
from bot.slack.monitoring import answers as monitoring_answers
from bot.slack.monitoring import incident_card, proposal_card
from bot.slack.promotions import modals, request_card
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import history as history_answer
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice
from localslack import LocalSlack, payloads
from localslack.signing import signature
from tests.support.app.harness import ALICE, BOB, click, command
from tests.support.slack.front_door import MODEL, OUTSIDERS, FrontDoor, door, form
from tests.support.slack.message_parts import objects
from tests.support.slack.payload_strategies import ANYTHING, CHANGING, actor, mangled, typed
from tests.support.slack.worst_case_messages import every_message

BUTTONS = (
    request_card.APPROVE,
    request_card.REJECT,
    request_card.DETAILS,
    request_card.OVERRIDE,
    request_card.WITHDRAW,
    request_card.REQUEST_AGAIN,
    request_card.REVIEW,
    request_card.CANCEL,
    request_card.ROLL_BACK,
    request_card.HISTORY,
    request_card.OPEN_REGISTRY,
    help_text.MENU_PROMOTE,
    help_text.MENU_REQUESTS,
    help_text.MENU_MODELS,
    help_text.MENU_HELP,
    help_text.MENU_COMPARE,
    help_text.MENU_HISTORY,
    help_text.MENU_MONITORS,
    help_text.MENU_ROLLBACK,
    help_text.OPEN_FORM,
    registry_answers.CONFIRM_ARCHIVE,
    registry_answers.CANCEL_ARCHIVE,
    registry_answers.PREVIOUS_PAGE,
    registry_answers.NEXT_PAGE,
    drift_notice.DETAILS,
    drift_notice.COMPARE,
    drift_notice.REQUEST_STAGING,
    drift_notice.REPAIR_STAGE,
    history_answer.POST_HERE,
    rollback_card.UNDO_ROLLBACK,
    monitoring_answers.ADD,
    monitoring_answers.SHOW,
    monitoring_answers.CHECK,
    monitoring_answers.PAUSE,
    monitoring_answers.RESUME,
    monitoring_answers.SILENCE,
    monitoring_answers.UNSILENCE,
    monitoring_answers.BACKTEST,
    monitoring_answers.CHART,
    proposal_card.ADD,
    proposal_card.DISMISS,
    incident_card.ACKNOWLEDGE,
    incident_card.SILENCE,
    incident_card.DETAILS,
    incident_card.UNDO,
    incident_card.ROLL_BACK,
)
FORMS = (
    modals.PROMOTE,
    modals.REJECT,
    modals.OVERRIDE,
    modals.REVIEW,
    modals.DETAILS,
    rollback_card.ROLLBACK,
    monitor_modal.MONITOR,
    query_modal.QUERY,
    "nobody's",
)

OUTSIDE = [actor(one) for one in OUTSIDERS]


@pytest.fixture(scope="module")
def bot(_workspace: LocalSlack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """The bot that all tests in this file share."""
    _workspace.heal()
    _workspace.deliver_to(None)
    _workspace.reset()
    with door(_workspace, tmp_path_factory.mktemp("bot")) as it:
        yield it


# Every run uses the same examples; `FORGED=2000` tries 2,000 others.
MANY = os.environ.get("FORGED")
fuzzed = settings(
    max_examples=int(MANY or 40),
    derandomize=not MANY,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def problems(bot: FrontDoor, answer: Any) -> list[Any]:
    """Return what the input caused: logged errors, a server error, or foreign markup."""
    server_error = [answer.status_code] if answer.status_code >= 500 else []
    return [*bot.alarm.rung(), *server_error, *bot.markup(answer)]


def means(text: str) -> type[Command] | None:
    """Return the command of a typed text, or None if the grammar can't read it."""
    try:
        command = parse_command(unescape(text))
    except BadInput:
        return None
    return type(command) if command else None


def test_every_button_of_every_message_is_forged(bot: FrontDoor) -> None:
    parts = [part for _, message in every_message("plain") for part in objects(message.blocks)]
    assert set(BUTTONS) >= {part["action_id"] for part in parts if "action_id" in part} | set(bot.known) - set(FORMS)


# -- commands ----------------------------------------------------------------------------------------------------------


@fuzzed
@given(st.data())
def test_any_text_by_a_member_breaks_and_decides_nothing(bot: FrontDoor, data: st.DataObject) -> None:
    text = typed(data.draw, bot.ids)
    before = bot.kept()
    assert problems(bot, bot.send(command(ALICE, text))) == []
    after = bot.kept()
    assert after.decided == before.decided
    if means(text) not in CHANGING:
        assert after == before


@fuzzed
@given(st.data(), st.sampled_from(OUTSIDE))
def test_any_text_by_an_outsider_changes_nothing(bot: FrontDoor, data: st.DataObject, who: payloads.Actor) -> None:
    text = typed(data.draw, bot.ids)
    before = bot.kept()
    assert problems(bot, bot.send(command(who, text))) == []
    assert bot.kept() == before


@fuzzed
@given(st.data())
def test_a_malformed_command_breaks_nothing(bot: FrontDoor, data: st.DataObject) -> None:
    whole = command(ALICE, f"approve {bot.known[request_card.APPROVE]}")
    before = bot.kept()
    broken = urlencode(mangled(data.draw, whole), errors="surrogatepass")
    assert problems(bot, bot.signed(broken.encode())) == []
    assert bot.kept().decided == before.decided


# -- clicks ------------------------------------------------------------------------------------------------------------


@fuzzed
@given(st.data(), st.sampled_from(BUTTONS), st.sampled_from([ALICE, *OUTSIDE]))
def test_a_malformed_click_breaks_and_decides_nothing(
    bot: FrontDoor, data: st.DataObject, button: str, who: payloads.Actor
) -> None:
    press = click(who, bot.known.get(button, ""), button)
    before = bot.kept()
    assert problems(bot, bot.send(mangled(data.draw, press))) == []
    after = bot.kept()
    assert after.decided == before.decided
    if who is not ALICE:
        assert after == before


@fuzzed
@given(st.data(), st.sampled_from(BUTTONS))
def test_an_approver_s_click_with_a_forged_value_changes_nothing(
    bot: FrontDoor, data: st.DataObject, button: str
) -> None:
    value = data.draw(st.one_of(ANYTHING, st.from_regex(r"[a-z0-9]{4,16}", fullmatch=True)))
    if str(value) in bot.known.values():
        return
    before = bot.kept()
    assert problems(bot, bot.send(click(BOB, value, button))) == []
    assert bot.kept() == before


@fuzzed
@given(st.data(), st.text(max_size=30))
def test_a_click_on_a_forged_button_changes_nothing(bot: FrontDoor, data: st.DataObject, name: str) -> None:
    if name in BUTTONS:
        return
    before = bot.kept()
    assert problems(bot, bot.send(mangled(data.draw, click(BOB, bot.known[request_card.APPROVE], f"x{name}")))) == []
    assert bot.kept() == before


# -- forms -------------------------------------------------------------------------------------------------------------


FIELDS = {"model": MODEL, "version": "2", "to": "staging", "reason": "because"}


@fuzzed
@given(st.data(), st.sampled_from(FORMS), st.sampled_from([ALICE, *OUTSIDE]))
def test_a_malformed_form_breaks_and_decides_nothing(
    bot: FrontDoor, data: st.DataObject, callback: str, who: payloads.Actor
) -> None:
    metadata = bot.known[registry_answers.CONFIRM_ARCHIVE if callback == modals.PROMOTE else request_card.APPROVE]
    whole = form(who, callback, metadata, FIELDS)
    before = bot.kept()
    assert problems(bot, bot.send(mangled(data.draw, whole))) == []
    after = bot.kept()
    assert after.decided == before.decided
    if who is not ALICE:
        assert after == before


@fuzzed
@given(
    st.sampled_from(FORMS), st.text(max_size=40), st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text(max_size=30))
)
def test_an_approver_s_form_with_forged_metadata_changes_nothing(
    bot: FrontDoor, callback: str, metadata: str, fields: dict[str, str]
) -> None:
    if metadata in bot.known.values():
        return
    before = bot.kept()
    assert problems(bot, bot.send(form(BOB, callback, metadata, FIELDS | fields))) == []
    assert bot.kept() == before


# -- other requests ----------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(
    [
        "application/x-www-form-urlencoded",
        "application/json",
        "application/json; charset=utf-16",
        "text/plain",
        "",
        "x",
        "multipart/form-data; boundary=x",
    ]
)
BEGINNINGS = (b"payload=", b"{", b"command=%2Fmodel&", b"[", b"ssl_check=1", b"payload=%7B", b"[" * 100_000)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda start, rest: start + rest, st.sampled_from(BEGINNINGS), st.binary(max_size=60)),
    ANYTHING.map(lambda value: json.dumps(value).encode()),
    ANYTHING.map(lambda value: b"payload=" + json.dumps(value).encode()),
)


@fuzzed
@given(BODIES, KINDS)
def test_a_signed_body_with_any_bytes_changes_nothing(bot: FrontDoor, body: bytes, kind: str) -> None:
    before = bot.kept()
    assert problems(bot, bot.signed(body, kind)) == []
    assert bot.kept() == before


@fuzzed
@given(st.data(), st.sampled_from(["app_home_opened", "message", "app_mention", "reaction_added", "nothing"]))
def test_an_event_of_any_kind_changes_nothing(bot: FrontDoor, data: st.DataObject, kind: str) -> None:
    event = {
        "type": kind,
        "user": "U0BOB",
        "channel": "C0MLMODELS",
        "tab": "home",
        "text": "<@U0LOCALAPP> approve",
        "ts": "1.0",
        "event_ts": "1.0",
    }
    before = bot.kept()
    whole = payloads.event_callback(event, event_id="Ev1", event_time=1)
    assert problems(bot, bot.send(mangled(data.draw, whole))) == []
    assert bot.kept() == before


HEADER = st.binary(max_size=40).filter(lambda raw: not set(raw) & set(b"\r\n\0"))


@fuzzed
@given(HEADER, HEADER)
def test_headers_with_any_bytes_are_not_a_signature(bot: FrontDoor, stamp: bytes, signed: bytes) -> None:
    body, _ = payloads.as_http_body(click(BOB, bot.known[request_card.APPROVE]))
    headers = [(b"x-slack-request-timestamp", stamp), (b"x-slack-signature", signed)]
    before = bot.kept()
    answer = bot.post(body, headers)
    assert problems(bot, answer) == []
    assert (answer.status_code, bot.kept()) == (401, before)


@fuzzed
@given(st.text(max_size=20))
def test_any_invalid_timestamp_is_refused_even_if_signed(bot: FrontDoor, stamp: str) -> None:
    if stamp.isascii() and stamp.isdigit():
        return
    body, _ = payloads.as_http_body(click(BOB, bot.known[request_card.APPROVE]))
    raw = stamp.encode("latin-1", "replace")
    headers = [(b"x-slack-request-timestamp", raw), (b"x-slack-signature", signature(bot.secret, body, stamp).encode())]
    answer = bot.post(body, headers)
    assert problems(bot, answer) == []
    assert answer.status_code == 401


@fuzzed
@given(st.binary(max_size=100), HEADER, HEADER, HEADER)
def test_a_webhook_with_any_bytes_is_refused(
    bot: FrontDoor, body: bytes, delivery: bytes, stamp: bytes, signed: bytes
) -> None:
    headers = [(b"x-mlflow-delivery-id", delivery), (b"x-mlflow-timestamp", stamp), (b"x-mlflow-signature", signed)]
    answer = bot.post(body, headers, "/v1/mlflow/webhook")
    assert problems(bot, answer) == []
    assert answer.status_code == 401


# -- last, because it can decide requests ------------------------------------------------------------------------------


@fuzzed
@given(st.data())
def test_any_text_by_an_approver_breaks_nothing(bot: FrontDoor, data: st.DataObject) -> None:
    assert problems(bot, bot.send(command(BOB, typed(data.draw, bot.ids)))) == []
