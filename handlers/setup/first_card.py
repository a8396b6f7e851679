"""The first card, which setup posts to the person at the keyboard, and what a click on it means. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, ButtonElement

from bot.slack.core.blocks import Message, build_message, section

APPROVE = "setup_approve"
EVENT_TYPE = "registrar_setup"  # of the card's metadata, which says whose card it is, and whether it's approved


@dataclass(frozen=True, slots=True)
class FirstCard:
    """A card in Slack. `ts`: its timestamp, which is its ID in the channel."""

    channel: str
    ts: str
    is_approved: bool


def setup_id(host: str, folder: str) -> str:
    """Return the ID of this folder's setup, by which a second run finds the first one's card."""
    return hashlib.sha256(f"{host}\n{folder}".encode()).hexdigest()[:16]


def pending_message(identifier: str) -> Message:
    """Return the card with its button, which carries only the setup's ID."""
    text = "Registrar can reach you. Approve this card to finish setup. It doesn't change any model."
    button = ButtonElement(text="Approve", action_id=APPROVE, value=identifier, style="primary")
    return build_message(text, [section(text), ActionsBlock(elements=[button])])


def approved_message() -> Message:
    """Return the card after its approval, without a button."""
    text = "Approved. Setup is complete."
    return build_message(text, [section(text)])


def metadata(identifier: str, *, is_approved: bool) -> dict[str, Any]:
    """Return the card's metadata, in the format of chat.postMessage."""
    return {"event_type": EVENT_TYPE, "event_payload": {"id": identifier, "is_approved": is_approved}}


def find_card(messages: Iterable[Mapping[str, Any]], channel: str, identifier: str) -> FirstCard | None:
    """Return a setup's newest card in a conversation with the bot; None if there's none. `messages`: newest first."""
    for message in messages:
        told = message.get("metadata") or {}
        payload = told.get("event_payload") or {}
        is_card = told.get("event_type") == EVENT_TYPE and payload.get("id") == identifier
        if is_card and message.get("bot_id"):
            return FirstCard(channel, str(message["ts"]), bool(payload.get("is_approved")))
    return None


def click_problem(payload: Mapping[str, Any], card: FirstCard, identifier: str, user: str) -> str | None:
    """Return why a click doesn't count as this user's approval of this card; None if it does."""
    actions = payload.get("actions") or [{}]
    place = payload.get("container") or {}
    is_this_card = (place.get("channel_id"), place.get("message_ts")) == (card.channel, card.ts)
    if payload.get("type") != "block_actions" or actions[0].get("action_id") != APPROVE:
        return "Someone used the app. It can answer once `registrar run` is running."
    if actions[0].get("value") != identifier or not is_this_card:
        return "Someone clicked the button of another setup's card."
    if (payload.get("user") or {}).get("id") != user:
        return "Someone else clicked the button. Only you can approve this card."
    return None
