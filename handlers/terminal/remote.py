"""A terminal that isn't on the bot's machine. It makes changes through the bot's HTTP API, as a client."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any, NoReturn, cast
from urllib.parse import quote

import httpx2
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from bot.bootstrap.storage import NullLedger
from bot.domain.commands.base import Command, results_by_metric
from bot.domain.commands.promotions import Cancel
from bot.domain.commands.registry import Register
from bot.domain.core import errors
from bot.domain.core.actors import Automation
from bot.domain.core.ci_run import CiRun, detect_ci_run, pack_ci_run
from bot.domain.core.errors import (
    BotUnreachable,
    LedgerUnavailable,
    Misconfigured,
    NoLedgerHere,
    Refused,
    RegistrarError,
)
from bot.domain.core.sentence import Code, say
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.transition import Transition
from bot.ports import LedgerReader
from bot.settings import Settings
from handlers.terminal.command_line.terminal_only_commands import PromoteFromTerminal
from handlers.terminal.output.command_output import CommandOutput, OutputFormat, json_output
from handlers.terminal.waiting import document_output, wait_until_final

BLOCKS_TIMEOUT = 5.0  # seconds to wait for optional details
CALL_TIMEOUT = 30.0  # seconds for one call; opening a request waits briefly for MLflow
RETRY_SECONDS = 60.0  # seconds to retry a call without an answer; its idempotency key prevents duplicates


class BotClient:
    """A client for the bot's HTTP API. `show_status` shows on a terminal what the command is waiting for."""

    def __init__(
        self,
        settings: Settings,
        show_status: Callable[[str], object] = lambda text: None,
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> None:
        self.show_status = show_status
        self._variable, self._read_token = token_source(settings, os.environ)
        self._url = bot_address(settings)
        self._client = httpx2.Client(timeout=timeout)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, key: str = "") -> dict[str, Any]:
        """Make one call and return the answer.

        `key` is its idempotency key. Raises BotUnreachable, Misconfigured for a rejected token, and any refusal that
        the bot answered with.
        """
        headers = {"Authorization": f"Bearer {self._read_token()}"} | ({"Idempotency-Key": key} if key else {})
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise BotUnreachable(say("The bot isn't responding at {url}.", url=Code(self._url))) from error
        document: dict[str, Any] = {}
        with suppress(ValueError, TypeError):  # no JSON, or no object
            document = dict(answer.json())
        if answer.is_success and document:
            return document
        raise self._refusal_error(answer, document)

    def call_with_retries(self, method: str, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Make a call, retrying for a minute while the bot is unreachable. `key` keeps it from being done twice."""
        retrying = Retrying(
            retry=retry_if_exception_type(BotUnreachable),
            stop=stop_after_delay(RETRY_SECONDS),
            wait=wait_exponential(0.5, max=5),
            reraise=True,
        )
        return retrying(self.call, method, path, body, key)

    def _refusal_error(self, response: httpx2.Response, body: dict[str, Any]) -> RegistrarError:
        why = str(body.get("error") or f"The bot responded with {response.status_code} {response.reason_phrase}.")
        if response.status_code >= 500:
            return BotUnreachable(why)
        if response.status_code == 401:
            variable = self._variable
            return Misconfigured(say("{why} Check {token}.", why=why, token=Code(variable)) if variable else why)
        if response.status_code == 404 and not body:
            return Misconfigured(say("{url} isn't a Registrar server that accepts requests.", url=Code(self._url)))
        kind = getattr(errors, str(body.get("kind") or ""), None)
        if isinstance(kind, type) and issubclass(kind, RegistrarError) and kind is not errors.GateFailed:
            return kind(why)
        return errors.BadInput(why) if response.status_code in {404, 413, 415, 422} and not kind else Refused(why)


def bot_address(settings: Settings) -> str:
    """Return the bot's address, without a trailing slash. Raises Misconfigured."""
    url = (settings.bot_url or "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise Misconfigured(say("{url} must start with http:// or https://.", url=Code("REGISTRAR_URL")))
    return url


def token_source(settings: Settings, environ: Mapping[str, str]) -> tuple[str, Callable[[], str]]:
    """Return the token's variable, and a function that returns a token for a call.

    GitHub's ID tokens have no variable, so it's empty. Raises Misconfigured if there's no token, or if it has
    characters that a token can't have.
    """
    variable = "REGISTRAR_TOKEN" if settings.bot_token else "REGISTRAR_ID_TOKEN"
    if given := settings.bot_token or settings.id_token:
        token = given.get_secret_value()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Misconfigured(say("{token} has characters that a token can't have.", token=Code(variable)))
        return variable, lambda: token
    if url := environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"):
        secret = environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
        return "", lambda: _request_id_token(url, secret, settings.audience)
    if environ.get("GITHUB_ACTIONS") == "true":
        raise Misconfigured(
            say(
                "This job can't get an ID token. Add {permission} to its {permissions}, or set {token}.",
                permission=Code("id-token: write"),
                permissions=Code("permissions"),
                token=Code("REGISTRAR_TOKEN"),
            )
        )
    raise Misconfigured(
        say(
            "{url} is set, but {token} isn't. Set it to the token of a client in the bot's policy.",
            url=Code("REGISTRAR_URL"),
            token=Code("REGISTRAR_TOKEN"),
        )
    )


def _request_id_token(url: str, secret: str, audience: str) -> str:
    """Return a new ID token for this GitHub Actions job. Raises BotUnreachable."""
    address = httpx2.URL(url).copy_merge_params({"audience": audience})
    try:
        answer = httpx2.get(address, headers={"Authorization": f"Bearer {secret}"}, timeout=CALL_TIMEOUT)
        return str(answer.raise_for_status().json()["value"])
    except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
        raise BotUnreachable("GitHub didn't issue an ID token.") from error


class RemoteLedger(NullLedger):
    """The part of the bot's ledger that the API returns: which versions are blocked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @contextmanager
    def read(self) -> Iterator[LedgerReader]:
        """Yield a reader that can read rollback blocks; anything else raises LedgerUnavailable."""
        yield cast(LedgerReader, self)

    def __getattr__(self, name: str) -> NoReturn:
        raise LedgerUnavailable("This needs the bot's ledger.")

    def rollback_blocks(self, model: str) -> list[RollbackBlock]:
        """Return a model's blocked versions. Raises NoLedgerHere."""
        try:
            with closing(BotClient(self._settings, timeout=BLOCKS_TIMEOUT)) as bot:
                documents = bot.call("GET", f"/v1/models/{quote(model, safe='')}/blocks")["blocks"]
        except RegistrarError as error:
            raise NoLedgerHere(error.sentence) from error
        return [_rollback_block(model, document) for document in documents]

    def production_entries(self, model: str, version: int) -> list[Transition]:
        """Return an empty list: the API doesn't return version identities, so a block applies to a version number."""
        return []


def _rollback_block(model: str, document: Mapping[str, Any]) -> RollbackBlock:
    """Return the rollback block that the bot's document describes, with placeholders for the fields it lacks."""
    return RollbackBlock(
        id="",
        model=model,
        version=document["version"],
        move="",
        at=datetime.fromisoformat(document["at"]),
        by=Automation("bot"),
        reason=document["reason"],
    )


def _request_body(command: PromoteFromTerminal, ci: CiRun) -> dict[str, Any]:
    return {
        "model": command.model,
        "version": str(command.version),
        "to": command.to.value,
        "reason": command.reason,
        "keep_existing": command.keep_existing,
        "validation": results_by_metric(command.validation),
        "ci": pack_ci_run(ci),
    }


def _promote(bot: BotClient, command: PromoteFromTerminal, output_format: OutputFormat) -> CommandOutput:
    if command.approver or command.break_glass:
        raise Refused("Only a person can approve or break glass: in Slack, or in a terminal on the bot's machine.")
    ci = detect_ci_run(os.environ)
    key = command.idempotency_key_for(ci) or secrets.token_urlsafe(18)
    document = bot.call_with_retries("POST", "/v1/requests", _request_body(command, ci), key)
    if not command.wait:
        return document_output(document, output_format)
    path = f"/v1/requests/{document['id']}"
    document, code = wait_until_final(lambda: bot.call("GET", path), document, command.timeout, bot.show_status)
    return document_output(document, output_format, code)


def _register(bot: BotClient, command: Register, output_format: OutputFormat) -> CommandOutput:
    body = {key: value for key, value in command.dump().items() if key != "verb" and value not in (None, "", [])}
    body["ci"] = pack_ci_run(detect_ci_run(os.environ))
    document = bot.call_with_retries("POST", "/v1/versions", body, secrets.token_urlsafe(18))
    if "version" not in document:  # MLflow is slow or unreachable: the bot continues
        print(document["sentence"], file=sys.stderr)
        return json_output(document, 3) if output_format is OutputFormat.JSON else CommandOutput("", 3)
    return document_output(document, output_format, 0)


def _cancel(bot: BotClient, command: Cancel, output_format: OutputFormat) -> CommandOutput:
    why = {"reason": command.reason} if command.reason else None
    return document_output(bot.call("DELETE", f"/v1/requests/{command.request}", why), output_format, 0)


HANDLERS: dict[type[Command], Callable[[BotClient, Any, OutputFormat], CommandOutput]] = {
    PromoteFromTerminal: _promote,
    Register: _register,
    Cancel: _cancel,
}
