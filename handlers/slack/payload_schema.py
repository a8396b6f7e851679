"""What Slack's payloads look like, as far as Bolt or a listener reads them; nothing else gets past here.

It is signed by Slack, or came over Slack's own connection, and is looked at all the same: a part of another type would
break a listener half-way.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.domain.core.errors import BadInput


def _whole(text: str) -> str:
    text.encode()  # half a character can be written down nowhere; the error is a ValueError
    return text


Text = Annotated[str, AfterValidator(_whole)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Named(_Part):
    id: Text


class _User(_Named):
    team_id: Text | None = None


class _Option(_Part):
    value: Text | None = None


class _Address(_Part):
    response_url: Text


class _Field(_Part):
    value: Text | None = None
    selected_option: _Option | None = None


class _State(_Part):
    values: dict[Text, dict[Text, _Field]] | None = None


class _Action(_Part):
    action_id: Text
    block_id: Text | None = None


class _Message(_Part):
    ts: Text | None = None
    thread_ts: Text | None = None


class _View(_Part):
    id: Text
    type: Text
    callback_id: Text | None = None
    private_metadata: Text | None = None
    state: _State | None = None
    team_id: Text | None = None
    app_installed_team_id: Text | None = None


class _Event(_Part):
    type: Text
    subtype: Text | None = None
    user: Text | None = None
    channel: Text | None = None


class _Authorization(_Part):
    team_id: Text | None = None
    enterprise_id: Text | None = None
    user_id: Text | None = None
    is_enterprise_install: bool | None = None


class _Sent(_Part):
    """What every kind of payload may hold."""

    team: _Named | None = None
    enterprise: _Named | None = None
    channel: _Named | None = None
    response_url: Text | None = None
    trigger_id: Text | None = None
    is_enterprise_install: bool | Literal["true", "false"] | None = None
    authorizations: None = None


class _Command(_Sent):
    command: Text
    team_id: Text
    user_id: Text
    channel_id: Text | None = None
    text: Text | None = None


class _Interaction(_Sent):
    user: _User

    @model_validator(mode="after")
    def _says_whose_people_they_are(self) -> _Interaction:
        if not self.user.team_id and self.team is None:
            raise ValueError("no workspace")
        return self


class _Press(_Interaction):
    type: Literal["block_actions"]
    actions: Annotated[list[_Action], Field(min_length=1)]
    message: _Message | None = None
    view: _View | None = None


class _Form(_Interaction):
    type: Literal["view_submission", "view_closed"]
    view: _View
    response_urls: Annotated[list[_Address], Field(max_length=1)] | None = None  # Bolt breaks on more


class _Callback(_Part):
    type: Literal["event_callback"]
    team_id: Text | None = None
    event: _Event
    authorizations: list[_Authorization] | None = None
    is_enterprise_install: bool | None = None


class _Question(_Part):
    type: Literal["url_verification"]
    challenge: Text


class _Probe(_Part):
    ssl_check: Text


def check(payload: object) -> None:
    """Return for what Slack sends to this app. Raises BadInput for anything else."""
    try:
        _model_of(payload).model_validate(payload)
    except ValidationError:  # not chained: it repeats the payload
        raise BadInput("Slack sends nothing that looks like this.") from None


_KINDS: dict[str, type[_Part]] = {
    "block_actions": _Press,
    "view_submission": _Form,
    "view_closed": _Form,
    "event_callback": _Callback,
    "url_verification": _Question,
}


def _model_of(payload: object) -> type[_Part]:
    if not isinstance(payload, dict):
        return _Probe  # takes nothing but an object
    if "command" in payload:
        return _Command
    if "ssl_check" in payload:
        return _Probe
    return _KINDS.get(str(payload.get("type")), _Press)  # which takes no type but its own
