"""What the terminal's verbs do. Importing this takes seconds: only who acts does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext, suppress
from typing import Any

from rich.console import Console

from bot.bootstrap.build import build_for_terminal
from bot.bootstrap.storage import NoLedger, ledger_beside, open_ledger, policy_beside
from bot.domain.commands.base import Command
from bot.domain.commands.catalog import VERBS
from bot.domain.commands.queries import Best, Compare, Validate
from bot.domain.core.errors import BadInput, LedgerUnavailable, Misconfigured, Refused, RegistrarError
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.policy_file import load_policy
from bot.ports import Ledger
from bot.settings import Settings, read_settings
from handlers.terminal import changes, monitors, queries, remote
from handlers.terminal.command_line.grammar import Asked, Form
from handlers.terminal.output import console
from handlers.terminal.output.command_output import Answer, here
from handlers.terminal.session import Counter, warn


def act(asked: Asked) -> int:
    """Do what was asked for, print the answer in the form that was asked for, and return the exit code.

    Raises BadInput, Refused, RegistryRefused, Misconfigured, RegistryUnreachable, LedgerUnavailable, BotUnreachable.
    """
    settings, kind = read_settings(), type(asked.command)
    if settings.bot_url and kind not in _REGISTRY | _BESIDE:
        answer = _over_http(settings, asked)
    else:
        answer = _beside(settings, asked)
    console.write(answer.text)
    return answer.code


def _over_http(settings: Settings, asked: Asked) -> Answer:
    """Let the bot do it, wherever it is; of what only a person may do there, say where it is done."""
    kind = type(asked.command)
    if kind in remote.ACTS:
        with (
            Console(stderr=True).status("Asking the bot…") as status,
            closing(remote.Bot(settings, status.update)) as bot,
        ):
            return remote.ACTS[kind](bot, asked.command, asked.form)
    is_in_slack = asked.command.verb in VERBS
    where = say(
        "`{url}` is set, so this is no terminal of the bot's machine. Type {slack}{here} there.",
        url=Code("REGISTRAR_URL"),
        here=Code(f"registrar {asked.command.verb}"),
        slack=say("{command} in Slack, or ", command=Code(f"/model {asked.command.verb}")) if is_in_slack else "",
    )
    if kind in _LEDGER:
        raise BadInput(say("The ledger that tells this is the bot's. {where}", where=where))
    raise Refused(say("A program may not do this; a person has to. {where}", where=where))


def _beside(settings: Settings, asked: Asked) -> Answer:
    kind = type(asked.command)
    with ExitStack() as opened:
        ledger = _ledger(settings, kind)
        opened.callback(ledger.close)
        policy = _policy(settings, kind, ledger)
        status = opened.enter_context(Console(stderr=True).status("Asking MLflow…"))  # on a screen only
        registrar = opened.enter_context(closing(build_for_terminal(settings, policy, ledger, warn=warn)))
        if kind in changes.ACTS:  # else what this verb writes down would count as waiting when somebody moves it
            registrar.context.gate.is_open()
        try:
            return _acts(kind)(Counter(settings, registrar, status.update), asked.command, asked.form)
        except RegistrarError as error:
            error.sentence = here(error.sentence)
            raise


def _acts(kind: type[Command]) -> Callable[[Counter, Any, Form], Answer]:
    """Return what does it. Only who compares waits for pandas."""
    if kind in _REGISTRY or kind is Validate:
        from handlers.terminal import comparisons

        return comparisons.ACTS[kind]
    return (queries.ACTS | changes.ACTS | monitors.ACTS)[kind]


def _ledger(settings: Settings, kind: type[Command]) -> Ledger:
    """Return the ledger for what writes into it; that which is there for what only looks; none where none is needed."""
    if settings.bot_url and kind in _REGISTRY | _BESIDE:
        return remote.BotsLedger(settings)
    if kind in _REGISTRY:
        with suppress(Misconfigured):
            return ledger_beside(settings)
        return NoLedger()
    if kind in _BESIDE:
        return ledger_beside(settings)
    if kind not in _LEDGER:
        return open_ledger(settings)
    from bot.ledger import SqlLedger

    ledger = SqlLedger(settings.ledger_url)
    try:
        ledger.require_current()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _policy(settings: Settings, kind: type[Command], ledger: Ledger) -> Policy:
    """Return the policy in force: what the bot on this ledger put in force last, else the file's.

    An edit that hasn't settled counts here no more than in Slack. Where no policy is needed and there is none, it's an
    empty one. Raises Misconfigured and LedgerUnavailable.
    """
    with suppress(LedgerUnavailable) if kind in _BESIDE else nullcontext():
        if (in_force := policy_beside(settings, ledger)) is not None:
            return in_force[0]
    is_free = kind in _REGISTRY | _UNRULED | _LEDGER | changes.WITHOUT_POLICY
    if not is_free or settings.policy.exists():
        return load_policy(settings.policy)
    if "policy" in settings.model_fields_set:  # they think that it is there
        print(say("There is no policy file {path}; going on without.", path=Code(settings.policy)), file=sys.stderr)
    return Policy(models={})


_REGISTRY: frozenset[type[Command]] = frozenset({Compare, Best})  # these need MLflow, and show more beside a ledger
_UNRULED: frozenset[type[Command]] = frozenset(queries.ACTS) - queries.LEDGER  # of these the policy says nothing
_BESIDE: frozenset[type[Command]] = _UNRULED | {Validate}  # these look into a ledger where there is one
_LEDGER: frozenset[type[Command]] = queries.LEDGER | monitors.LEDGER  # these only look, at the ledger
