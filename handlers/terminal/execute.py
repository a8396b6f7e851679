"""Executes the terminal's commands. Importing this module takes seconds, so help and completion don't."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing, nullcontext, suppress

from rich.console import Console

from bot.bootstrap.build import build_for_terminal
from bot.bootstrap.storage import (
    NullLedger,
    open_current_ledger,
    open_existing_ledger,
    open_ledger,
    policy_last_in_force,
)
from bot.domain.commands import monitoring
from bot.domain.commands.base import Command, QueryCommand
from bot.domain.commands.catalog import COMMANDS
from bot.domain.core.errors import BadInput, LedgerUnavailable, Misconfigured, Refused, RegistrarError
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import product
from bot.policy_file import load_policy
from bot.ports import Ledger
from bot.settings import Settings, read_settings
from handlers.terminal import changes, comparisons, monitors, queries, remote
from handlers.terminal.command_line.grammar import Invocation
from handlers.terminal.output import console
from handlers.terminal.output.command_output import CommandOutput, to_terminal_sentence
from handlers.terminal.session import TERMINAL_ORIGIN, TerminalSession, current_operator, print_warning

RENDERERS = queries.RENDERERS | comparisons.RENDERERS | monitors.RENDERERS


def execute(invocation: Invocation) -> int:
    """Execute the command, print its output in the selected format, and return the exit code.

    Raises BadInput, Refused, RegistryRefused, Misconfigured, RegistryUnreachable, LedgerUnavailable, BotUnreachable.
    """
    settings = read_settings()
    is_remote = bool(settings.bot_url) and not _reads_registry(invocation.command)
    output = _execute_remotely(settings, invocation) if is_remote else _execute_locally(settings, invocation)
    console.write_output(output.text)
    return output.exit_code


def _reads_registry(command: Command) -> bool:
    """Return whether a command reads the registry directly. It doesn't need a ledger, but shows more with one."""
    return isinstance(command, QueryCommand) and not command.needs_ledger


def _execute_remotely(settings: Settings, invocation: Invocation) -> CommandOutput:
    """Have the bot execute the command over HTTP.

    If its API doesn't offer the command, raises BadInput or Refused, which say where else to run it.
    """
    command = invocation.command
    if (ask_bot := remote.HANDLERS.get(type(command))) is not None:
        with (
            Console(stderr=True).status("Asking the bot…") as status,
            closing(remote.BotClient(settings, status.update)) as bot,
        ):
            return ask_bot(bot, command, invocation.output_format)
    in_slack = say("{command} in Slack, or ", command=Code(f"/model {command.verb}"))
    destination = say(
        "{url} is set, so this terminal isn't on the bot's machine. Run {slack}{here} there.",
        url=Code("REGISTRAR_URL"),
        here=Code(f"registrar {command.verb}"),
        slack=in_slack if command.verb in COMMANDS else "",
    )
    if isinstance(command, QueryCommand):
        raise BadInput(say("This needs the bot's ledger. {where}", where=destination))
    raise Refused(say("Only a person can do this. {where}", where=destination))


def _execute_locally(settings: Settings, invocation: Invocation) -> CommandOutput:
    command = invocation.command
    with ExitStack() as stack:
        ledger = _open_ledger(settings, command)
        stack.callback(ledger.close)
        policy = _find_policy(settings, command, ledger)
        status = stack.enter_context(Console(stderr=True).status(f"Asking {product().name}…"))  # on a screen only
        registrar = stack.enter_context(closing(build_for_terminal(settings, policy, ledger, warn=print_warning)))
        session = TerminalSession(settings, registrar, status.update)
        try:
            if isinstance(command, QueryCommand):
                view = registrar.commands.execute(current_operator(), command, TERMINAL_ORIGIN).view
                return RENDERERS[type(command)](session, command, view, invocation.output_format)
            # Otherwise, what this process records would count as pending if someone copies the ledger. Monitor commands
            # leave nothing pending, so they don't wait for the registry.
            if invocation.group != monitoring.GROUP:
                registrar.context.startup_check.has_passed()
            return changes.execute_change(session, command, invocation.output_format)
        except RegistrarError as error:
            error.sentence = to_terminal_sentence(error.sentence)
            raise


def _open_ledger(settings: Settings, command: Command) -> Ledger:
    """Return the ledger for a command.

    For a change, a SQLite ledger is created or upgraded if necessary. A query of the ledger requires an existing,
    current one. A query of the registry gets the bot's ledger over HTTP if REGISTRAR_URL is set; otherwise, the
    existing ledger, or else a null one. Raises Misconfigured and LedgerUnavailable.
    """
    if _reads_registry(command):
        if settings.bot_url:
            return remote.RemoteLedger(settings)
        with nullcontext() if command.needs_policy else suppress(Misconfigured):  # gates depend on the ledger
            return open_existing_ledger(settings)
        return NullLedger()
    return open_current_ledger(settings) if isinstance(command, QueryCommand) else open_ledger(settings)


def _find_policy(settings: Settings, command: Command, ledger: Ledger) -> Policy:
    """Return the policy in effect: the last one that a bot applied on this ledger, or else the policy file's.

    An edit that hasn't settled isn't in effect yet. If there's no policy and the command doesn't need one, returns an
    empty one. Raises Misconfigured and LedgerUnavailable.
    """
    with suppress(LedgerUnavailable) if _reads_registry(command) else nullcontext():
        if (in_force := policy_last_in_force(settings, ledger)) is not None:
            return in_force[0]
    if command.needs_policy or settings.policy.exists():
        return load_policy(settings.policy)
    if "policy" in settings.model_fields_set:  # they expect it to exist
        print(say("No policy file at {path}; continuing without one.", path=Code(settings.policy)), file=sys.stderr)
    return Policy(models={})
