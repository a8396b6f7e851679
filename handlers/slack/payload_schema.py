"""Schemas for the parts of Slack's payloads that Bolt or a listener reads; anything else is rejected.

Payloads are signed by Slack or come over Slack's own connection, but they're still validated, because a field of the
wrong type would make a listener fail halfway through.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.domain.core.errors import BadInput


def _require_encodable(text: str) -> str:
    text.encode()  # half a character can't be stored; the error is a ValueError
    return text


SlackText = Annotated[str, AfterValidator(_require_encodable)]


class _Payload(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Identified(_Payload):
    id: SlackText


class _User(_Identified):
    team_id: SlackText | None = None


class _Option(_Payload):
    value: SlackText | None = None


class _ResponseUrl(_Payload):
    response_url: SlackText


class _InputValue(_Payload):
    value: SlackText | None = None
    selected_option: _Option | None = None


class _State(_Payload):
    values: dict[SlackText, dict[SlackText, _InputValue]] | None = None


class _Action(_Payload):
    action_id: SlackText
    block_id: SlackText | None = None
    selected_option: _Option | None = None


class _Message(_Payload):
    ts: SlackText | None = None
    thread_ts: SlackText | None = None


class _View(_Payload):
    id: SlackText
    type: SlackText
    callback_id: SlackText | None = None
    private_metadata: SlackText | None = None
    state: _State | None = None
    team_id: SlackText | None = None
    app_installed_team_id: SlackText | None = None


class _Link(_Payload):
    url: SlackText


class _Event(_Payload):
    type: SlackText
    subtype: SlackText | None = None
    user: SlackText | None = None
    team: SlackText | None = None
    channel: SlackText | None = None
    channel_type: SlackText | None = None
    ts: SlackText | None = None
    thread_ts: SlackText | None = None
    text: SlackText | None = None
    bot_id: SlackText | None = None
    message_ts: SlackText | None = None  # of a message with links
    source: SlackText | None = None  # where the links are: in a message, or in one that's being written
    links: list[_Link] | None = None


class _Authorization(_Payload):
    team_id: SlackText | None = None
    enterprise_id: SlackText | None = None
    user_id: SlackText | None = None
    is_enterprise_install: bool | None = None


class _InteractivePayload(_Payload):
    """The fields that a slash command or an interaction can contain."""

    team: _Identified | None = None
    enterprise: _Identified | None = None
    channel: _Identified | None = None
    response_url: SlackText | None = None
    trigger_id: SlackText | None = None
    is_enterprise_install: bool | Literal["true", "false"] | None = None
    authorizations: None = None


class _SlashCommand(_InteractivePayload):
    command: SlackText
    team_id: SlackText
    user_id: SlackText
    channel_id: SlackText | None = None
    text: SlackText | None = None


class _Interaction(_InteractivePayload):
    user: _User

    @model_validator(mode="after")
    def _require_workspace(self) -> _Interaction:
        if not self.user.team_id and self.team is None:
            raise ValueError("missing workspace")
        return self


class _BlockActions(_Interaction):
    type: Literal["block_actions"]
    actions: Annotated[list[_Action], Field(min_length=1)]
    message: _Message | None = None
    view: _View | None = None


class _BlockSuggestion(_Interaction):
    type: Literal["block_suggestion"]
    action_id: SlackText
    block_id: SlackText
    value: SlackText
    view: _View | None = None


class _ViewEvent(_Interaction):
    type: Literal["view_submission", "view_closed"]
    view: _View
    response_urls: Annotated[list[_ResponseUrl], Field(max_length=1)] | None = None  # Bolt breaks on more


class _Block(_Payload):
    block_id: SlackText | None = None


class _WholeMessage(_Message):
    blocks: list[_Block] | None = None


class _MessageShortcut(_Interaction):
    type: Literal["message_action"]
    callback_id: SlackText
    message: _WholeMessage


class _EventCallback(_Payload):
    type: Literal["event_callback"]
    team_id: SlackText | None = None
    is_ext_shared_channel: bool | None = None
    event: _Event
    authorizations: list[_Authorization] | None = None
    is_enterprise_install: bool | None = None


class _UrlVerification(_Payload):
    type: Literal["url_verification"]
    challenge: SlackText


class _SslCheck(_Payload):
    ssl_check: SlackText


def validate_payload(payload: object) -> None:
    """Raise BadInput unless the payload is one that Slack sends to this app."""
    try:
        _model_for(payload).model_validate(payload)
    except ValidationError:  # not chained: it repeats the payload
        raise BadInput("This isn't a valid Slack payload.") from None


_MODEL_BY_TYPE: dict[str, type[_Payload]] = {
    "block_actions": _BlockActions,
    "block_suggestion": _BlockSuggestion,
    "view_submission": _ViewEvent,
    "view_closed": _ViewEvent,
    "message_action": _MessageShortcut,
    "event_callback": _EventCallback,
    "url_verification": _UrlVerification,
}


def _model_for(payload: object) -> type[_Payload]:
    if not isinstance(payload, dict):
        return _SslCheck  # accepts only objects
    if "command" in payload:
        return _SlashCommand
    if "ssl_check" in payload:
        return _SslCheck
    return _MODEL_BY_TYPE.get(str(payload.get("type")), _BlockActions)  # accepts only its own type
