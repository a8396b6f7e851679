"""A terminal that is not beside the bot: what changes something goes over the bot's HTTP API, as the token's client."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any, NoReturn, cast
from urllib.parse import quote

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from bot.bootstrap.storage import NoLedger
from bot.domain.commands.base import Command
from bot.domain.commands.changes import Register
from bot.domain.commands.requests import Cancel, Promote
from bot.domain.core import errors
from bot.domain.core.actors import Automation
from bot.domain.core.ci_run import ci_around, pack_ci
from bot.domain.core.errors import (
    BotUnreachable,
    LedgerUnavailable,
    Misconfigured,
    NoLedgerHere,
    Refused,
    RegistrarError,
)
from bot.domain.core.sentence import Code, say
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions.transition import Move
from bot.ports import Reading
from bot.settings import Settings
from handlers.terminal.command_line.commands import PromoteHere
from handlers.terminal.command_line.grammar import Form
from handlers.terminal.output.command_output import Answer, as_json, told
from handlers.terminal.waiting import follow, summed_up

GLANCE = 5.0  # seconds for what is only shown beside something else
CALL = 30.0  # seconds for one call; opening a request waits for MLflow a little
AGAIN_FOR = 60.0  # seconds for which a call is tried again that got no answer; its key opens nothing twice


class Bot:
    """The bot, over HTTP. `status` says on a screen what is waited for."""

    def __init__(
        self, settings: Settings, status: Callable[[str], object] = lambda text: None, *, timeout: float = CALL
    ) -> None:
        self.status = status
        if settings.bot_token is None:
            raise Misconfigured(
                say(
                    "{url} is set, and {token} is not. It is the token of a client that the bot's policy names.",
                    url=Code("REGISTRAR_URL"),
                    token=Code("REGISTRAR_TOKEN"),
                )
            )
        self._url = (settings.bot_url or "").rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise Misconfigured(say("{url} must begin with http:// or https://.", url=Code("REGISTRAR_URL")))
        token = settings.bot_token.get_secret_value()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Misconfigured(say("{token} holds what no token can.", token=Code("REGISTRAR_TOKEN")))
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=timeout)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, key: str = "") -> dict[str, Any]:
        """Call once and return the answer.

        Raises BotUnreachable, Misconfigured for a token that is refused, and what stands against it as the bot said.
        """
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise BotUnreachable(say("The bot does not answer at {url}.", url=Code(self._url))) from error
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.is_success and isinstance(said, dict):
            return said
        raise self._refusal(answer, said if isinstance(said, dict) else {})

    def patiently(self, method: str, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Call, again and again for a minute where nothing answers: with the same key nothing is done twice."""
        again = Retrying(
            retry=retry_if_exception_type(BotUnreachable),
            stop=stop_after_delay(AGAIN_FOR),
            wait=wait_exponential(0.5, max=5),
            reraise=True,
        )
        return again(self.call, method, path, body, key)

    def _refusal(self, answer: httpx.Response, said: dict[str, Any]) -> RegistrarError:
        why = str(said.get("error") or f"The bot answered {answer.status_code} {answer.reason_phrase}.")
        if answer.status_code >= 500:
            return BotUnreachable(why)
        if answer.status_code == 401:
            return Misconfigured(say("{why} Look at {token}.", why=why, token=Code("REGISTRAR_TOKEN")))
        if answer.status_code == 404 and not said:
            return Misconfigured(say("{url} is no Registrar that takes requests.", url=Code(self._url)))
        kind = getattr(errors, str(said.get("kind") or ""), None)
        if isinstance(kind, type) and issubclass(kind, RegistrarError) and kind is not errors.GateFailed:
            return kind(why)
        return errors.BadInput(why) if answer.status_code in {404, 413, 415, 422} and not kind else Refused(why)


class BotsLedger(NoLedger):
    """What a terminal away from the bot can know of its ledger: which versions are blocked, as the API tells it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """Yield a view of the ledger that knows blocks; whatever else it's asked for raises LedgerUnavailable."""
        yield cast(Reading, _Blocks(self._settings))


class _Blocks:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> NoReturn:
        raise LedgerUnavailable("The ledger is the bot's.")

    def bars(self, model: str) -> list[Bar]:
        try:
            with closing(Bot(self._settings, timeout=GLANCE)) as bot:
                found = bot.call("GET", f"/v1/models/{quote(model, safe='')}/blocks")["blocks"]
        except RegistrarError as error:
            raise NoLedgerHere(error.sentence) from error
        return [
            Bar(
                id="",
                model=model,
                version=one["version"],
                move="",
                at=datetime.fromisoformat(one["at"]),
                by=Automation("bot"),
                reason=one["reason"],
            )
            for one in found
        ]

    def entries(self, model: str, version: int) -> list[Move]:
        return []  # the API doesn't tell what was rolled back: the number counts


def _promote(bot: Bot, command: PromoteHere, form: Form) -> Answer:
    if command.approver or command.break_glass:
        raise Refused("A program never approves. A person does it in Slack, or at the terminal of the bot's machine.")
    ci = ci_around(os.environ)
    key = command.key_in(ci) or secrets.token_urlsafe(18)
    body = {
        "model": command.model,
        "version": str(command.version),
        "to": command.to.value,
        "reason": command.reason,
        "keep_existing": command.keep_existing,
        "validation": command.results(),
        "ci": pack_ci(ci),
    }
    document = bot.patiently("POST", "/v1/requests", body, key)
    if not command.wait:
        return summed_up(document, form)
    path = f"/v1/requests/{document['id']}"
    document, code = follow(lambda: bot.call("GET", path), document, command.timeout, bot.status)
    if form is Form.JSON:
        return as_json(document, code)
    return Answer(f"{document['sentence']}\n", code)


def _register(bot: Bot, command: Register, form: Form) -> Answer:
    body = {key: value for key, value in command.dump().items() if key != "verb" and value not in (None, "", [])}
    body["ci"] = pack_ci(ci_around(os.environ))
    said = bot.patiently("POST", "/v1/versions", body, secrets.token_urlsafe(18))
    if "version" not in said:  # MLflow is slow or away: the bot goes on
        print(said["sentence"], file=sys.stderr)
        return as_json(said, 3) if form is Form.JSON else Answer("", 3)
    return as_json(said) if form is Form.JSON else Answer(f"{said['sentence']}\n")


def _cancel(bot: Bot, command: Cancel, form: Form) -> Answer:
    why = {"reason": command.reason} if command.reason else None
    document = bot.call("DELETE", f"/v1/requests/{command.request}", why)
    if form is Form.JSON:
        return as_json(document)
    return told(str(document["sentence"]), form)


ACTS: dict[type[Command], Callable[[Bot, Any, Form], Answer]] = {
    PromoteHere: _promote,
    Promote: _promote,
    Register: _register,
    Cancel: _cancel,
}
