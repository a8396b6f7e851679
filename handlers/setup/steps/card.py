"""The step that posts the first card, and waits for its approval over Socket Mode."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bot.bootstrap.slack import slack_client
from bot.domain.core.errors import Misconfigured, SlackUnreachable
from bot.policy_file import load_policy
from bot.settings import Settings, read_settings
from bot.slack.core.client import POST_OPTIONS, error_code
from handlers.doctor.check import CheckSkippedError
from handlers.doctor.slack.workspace import CALL_TIMEOUT
from handlers.setup.first_card import (
    FirstCard,
    approved_message,
    click_problem,
    find_card,
    metadata,
    pending_message,
    setup_id,
)
from handlers.setup.steps.policy import choose_user
from handlers.setup.steps.slack_tokens import bot_identity, socket_mode_url
from handlers.setup.steps.step import SetupState, SetupStep, StepPendingError
from handlers.setup.workspace import WorkspaceLists, ask_slack
from handlers.terminal.session import current_operator

OTHERS_CONNECTED = (
    "Another process is connected with this app token, and Slack could send your click to it. Stop that process."
)


def _check_card(state: SetupState) -> str:
    if not state.user:
        raise StepPendingError
    card = _find_card(_client(), state.user)
    if card is None or not card.is_approved:
        raise StepPendingError
    return "First card: approved."


def _ask_for_approval(state: SetupState) -> None:
    settings, client = read_settings(), _client()
    if not state.user:
        _ask_user(state, settings)
    card = _find_card(client, state.user) or _post_card(client, state.user)
    if card.is_approved:
        return
    state.prompts.say("I sent you a direct message in Slack. To finish, click Approve there.")
    with closing(_clicks(settings, client)) as clicks:
        for payload in clicks:
            # Checked again at the click: the policy and the card could have changed since the card was posted.
            state.user = load_policy(settings.policy).operators.get(current_operator().name, state.user)
            now = _find_card(client, state.user)
            if now is None or now.is_approved:
                return
            if problem := click_problem(payload, now, _setup_id(), state.user):
                state.prompts.problem(problem)
                continue
            _mark_approved(client, now)
            return


def _ask_user(state: SetupState, settings: Settings) -> None:
    user = choose_user(state, WorkspaceLists(settings, bot_identity(settings).team))
    state.user = user.id
    line = f"operators: {{{json.dumps(current_operator().name)}: {user.id}}}"
    state.prompts.notice(f"{settings.policy} doesn't say who you are. Add this line: {line}")


# -- the card ----------------------------------------------------------------------------------------------------------


def _client() -> WebClient:
    return slack_client(read_settings(), timeout=CALL_TIMEOUT)


def _setup_id() -> str:
    return setup_id(socket.gethostname(), str(Path.cwd()))


def _find_card(client: WebClient, user: str) -> FirstCard | None:
    channel = _call(client, client.conversations_open, users=user)["channel"]["id"]
    history = _call(client, client.conversations_history, channel=channel, limit=100, include_all_metadata=True)
    return find_card(history["messages"], channel, _setup_id())


def _post_card(client: WebClient, user: str) -> FirstCard:
    channel = _call(client, client.conversations_open, users=user)["channel"]["id"]
    message, about = pending_message(_setup_id()), metadata(_setup_id(), is_approved=False)
    posted = _call(
        client,
        client.chat_postMessage,
        channel=channel,
        text=message.text,
        blocks=message.blocks,
        metadata=about,
        **POST_OPTIONS,
    )
    return FirstCard(channel, str(posted["ts"]), is_approved=False)


def _mark_approved(client: WebClient, card: FirstCard) -> None:
    message, about = approved_message(), metadata(_setup_id(), is_approved=True)
    _call(
        client,
        client.chat_update,
        channel=card.channel,
        ts=card.ts,
        text=message.text,
        blocks=message.blocks,
        metadata=about,
    )


def _call(client: WebClient, method: Callable[..., Any], **arguments: Any) -> Any:
    """Return Slack's answer. Raises Misconfigured and SlackUnreachable."""
    try:
        return ask_slack(client, partial(method, **arguments))
    except SlackApiError as error:
        raise Misconfigured(f"Slack refused {method.__name__.replace('_', '.')} ({error_code(error)}).") from error


# -- clicks ------------------------------------------------------------------------------------------------------------


def _clicks(settings: Settings, client: WebClient) -> Generator[dict[str, Any]]:
    """Yield the payloads that Slack sends, acknowledging each one; reconnect if Slack closes the connection.

    Raises SlackUnreachable, including if another process is connected.
    """
    token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    is_first = True
    while True:
        message: dict[str, Any] = {}
        try:
            with connect(socket_mode_url(client, token), open_timeout=CALL_TIMEOUT, close_timeout=1) as connection:
                for text in connection:
                    message = json.loads(text)
                    if "envelope_id" in message:
                        connection.send(json.dumps({"envelope_id": message["envelope_id"]}))
                        yield message.get("payload") or {}
                    elif is_first and _has_others(message):
                        raise SlackUnreachable(OTHERS_CONNECTED)
                    elif message.get("type") == "disconnect":
                        break
                    is_first = False  # after that, Slack can still count the connection that it closed
        except (OSError, WebSocketException, ValueError, SlackApiError, CheckSkippedError) as error:
            raise SlackUnreachable("Slack's Socket Mode connection broke.") from error
        if not message:
            raise SlackUnreachable("Slack closed the Socket Mode connection.")


def _has_others(message: dict[str, Any]) -> bool:
    """Return whether Slack's first message counts other connections, or says that Slack accepts no more of them."""
    return int(message.get("num_connections", 1)) > 1 or message.get("reason") == "too_many_websockets"


CARD_STEP = SetupStep(_check_card, _ask_for_approval)
