"""Executes the terminal's commands. Importing this takes seconds, so help and completion don't."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext, suppress
from typing import Any

from rich.console import Console

from bot.bootstrap.build import build_for_terminal
from bot.bootstrap.storage import NullLedger, open_existing_ledger, open_ledger, policy_last_in_force
from bot.domain.commands.base import Command
from bot.domain.commands.catalog import COMMANDS
from bot.domain.commands.queries import Compare, FindBest, Validate
from bot.domain.core.errors import BadInput, LedgerUnavailable, Misconfigured, Refused, RegistrarError
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import product
from bot.policy_file import load_policy
from bot.ports import Ledger
from bot.settings import Settings, read_settings
from handlers.terminal import changes, monitors, queries, remote
from handlers.terminal.command_line.grammar import Invocation, OutputFormat
from handlers.terminal.output import console
from handlers.terminal.output.command_output import CommandOutput, to_terminal_sentence
from handlers.terminal.session import TerminalSession, print_warning


def execute(invocation: Invocation) -> int:
    """Execute the command, print its output in the selected format, and return the exit code.

    Raises BadInput, Refused, RegistryRefused, Misconfigured, RegistryUnreachable, LedgerUnavailable, BotUnreachable.
    """
    settings, kind = read_settings(), type(invocation.command)
    if settings.bot_url and kind not in _REGISTRY_COMMANDS | _LEDGER_OPTIONAL_COMMANDS:
        answer = _execute_remotely(settings, invocation)
    else:
        answer = _execute_locally(settings, invocation)
    console.write_output(answer.text)
    return answer.exit_code


def _execute_remotely(settings: Settings, invocation: Invocation) -> CommandOutput:
    """Let the bot execute the command over HTTP; for what only a person can do, say where to do it."""
    kind = type(invocation.command)
    if kind in remote.HANDLERS:
        with (
            Console(stderr=True).status("Asking the bot…") as status,
            closing(remote.BotClient(settings, status.update)) as bot,
        ):
            return remote.HANDLERS[kind](bot, invocation.command, invocation.output_format)
    is_in_slack = invocation.command.verb in COMMANDS
    destination = say(
        "`{url}` is set, so this is no terminal of the bot's machine. Type {slack}{here} there.",
        url=Code("REGISTRAR_URL"),
        here=Code(f"registrar {invocation.command.verb}"),
        slack=say("{command} in Slack, or ", command=Code(f"/model {invocation.command.verb}")) if is_in_slack else "",
    )
    if kind in _LEDGER_QUERIES:
        raise BadInput(say("The ledger that tells this is the bot's. {where}", where=destination))
    raise Refused(say("A program may not do this; a person has to. {where}", where=destination))


def _execute_locally(settings: Settings, invocation: Invocation) -> CommandOutput:
    kind = type(invocation.command)
    with ExitStack() as stack:
        ledger = _open_ledger(settings, kind)
        stack.callback(ledger.close)
        policy = _find_policy(settings, kind, ledger)
        status = stack.enter_context(Console(stderr=True).status(f"Asking {product().name}…"))  # on a screen only
        registrar = stack.enter_context(closing(build_for_terminal(settings, policy, ledger, warn=print_warning)))
        # otherwise, the commands that this process records would count as pending when someone copies the ledger
        if kind in changes.HANDLERS:
            registrar.context.startup_check.has_passed()
        try:
            return _handler_for(kind)(
                TerminalSession(settings, registrar, status.update), invocation.command, invocation.output_format
            )
        except RegistrarError as error:
            error.sentence = to_terminal_sentence(error.sentence)
            raise


def _handler_for(command_type: type[Command]) -> Callable[[TerminalSession, Any, OutputFormat], CommandOutput]:
    """Return what does it. Only who compares waits for pandas."""
    if command_type in _REGISTRY_COMMANDS or command_type is Validate:
        from handlers.terminal import comparisons

        return comparisons.HANDLERS[command_type]
    return (queries.HANDLERS | changes.HANDLERS | monitors.HANDLERS)[command_type]


def _open_ledger(settings: Settings, command_type: type[Command]) -> Ledger:
    """Return the ledger: created for commands that write, an existing one for those that only read; else a null one."""
    if settings.bot_url and command_type in _REGISTRY_COMMANDS | _LEDGER_OPTIONAL_COMMANDS:
        return remote.RemoteLedger(settings)
    if command_type in _REGISTRY_COMMANDS:
        with suppress(Misconfigured):
            return open_existing_ledger(settings)
        return NullLedger()
    if command_type in _LEDGER_OPTIONAL_COMMANDS:
        return open_existing_ledger(settings)
    if command_type not in _LEDGER_QUERIES:
        return open_ledger(settings)
    from bot.ledger import SqlLedger

    ledger = SqlLedger(settings.ledger_url)
    try:
        ledger.require_current()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _find_policy(settings: Settings, command_type: type[Command], ledger: Ledger) -> Policy:
    """Return the policy in force: what the bot on this ledger put in force last, else the file's.

    An edit that hasn't settled doesn't count here either. If a command needs no policy and there's none, it's an empty
    one. Raises Misconfigured and LedgerUnavailable.
    """
    with suppress(LedgerUnavailable) if command_type in _LEDGER_OPTIONAL_COMMANDS else nullcontext():
        if (in_force := policy_last_in_force(settings, ledger)) is not None:
            return in_force[0]
    is_free = (
        command_type
        in _REGISTRY_COMMANDS | _COMMANDS_WITHOUT_RULES | _LEDGER_QUERIES | changes.POLICY_OPTIONAL_COMMANDS
    )
    if not is_free or settings.policy.exists():
        return load_policy(settings.policy)
    if "policy" in settings.model_fields_set:  # they think that it is there
        print(say("There is no policy file {path}; going on without.", path=Code(settings.policy)), file=sys.stderr)
    return Policy(models={})


_REGISTRY_COMMANDS: frozenset[type[Command]] = frozenset(
    {Compare, FindBest}
)  # these need MLflow, and show more beside a ledger
_COMMANDS_WITHOUT_RULES: frozenset[type[Command]] = (
    frozenset(queries.HANDLERS) - queries.LEDGER_COMMANDS
)  # of these the policy says nothing
_LEDGER_OPTIONAL_COMMANDS: frozenset[type[Command]] = _COMMANDS_WITHOUT_RULES | {
    Validate
}  # these look into a ledger where there is one
_LEDGER_QUERIES: frozenset[type[Command]] = (
    queries.LEDGER_COMMANDS | monitors.LEDGER_COMMANDS
)  # these only look, at the ledger
