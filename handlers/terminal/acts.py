"""What the terminal's verbs do. Importing this takes seconds: only who acts does."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bot.bootstrap import NoLedger, Terminal, build_for_terminal, ledger_beside, open_ledger
from bot.domain import gates
from bot.domain.commands import Best, Command, Compare, Register, Validate
from bot.domain.comparison import to_csv
from bot.domain.comparison_words import best_sentence, sentence
from bot.domain.errors import LedgerUnavailable, RegistrarError, RegistryUnreachable
from bot.domain.events import Event, Tag
from bot.domain.people import Operator
from bot.domain.policy import Policy
from bot.domain.text import Code, Say, say
from bot.policy_file import load_policy
from bot.ports import Ask, Ledger
from bot.services.errands import Done
from bot.settings import Settings, read_settings
from handlers.terminal import documents, screen, tables
from handlers.terminal.grammar import Asked, Form


@dataclass(frozen=True, slots=True)
class Answer:
    """What to print, and how to end."""

    text: str
    code: int = 0


def act(asked: Asked) -> int:
    """Do what was asked for, print the answer in the form that was asked for, and return the exit code.

    Raises BadInput, Refused, RegistryRefused, Misconfigured, RegistryUnreachable and LedgerUnavailable.
    """
    settings = read_settings()
    policy = load_policy(settings.policy) if isinstance(asked.command, Validate) else _policy(settings)
    with Console(stderr=True).status("Asking MLflow…"):  # on a screen only
        terminal = build_for_terminal(settings, policy, _ledger(settings, asked.command))
        with closing(terminal):
            answer = _ACTS[type(asked.command)](terminal, asked.command, asked.form)
    screen.write(answer.text)
    return answer.code


def operator() -> Operator:
    """Return whoever sits here, by the operating system's word: the environment could say anything."""
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        return Operator(pwd.getpwuid(os.getuid()).pw_name)
    except ImportError:
        return Operator(getpass.getuser())
    except KeyError:  # in a container the user often has no name
        return Operator(str(os.getuid()))


def _ledger(settings: Settings, command: Command) -> Ledger:
    """Return the ledger for what writes into it, the one that is there for what would like to look into it."""
    if isinstance(command, Register):
        return open_ledger(settings)
    return ledger_beside(settings) if isinstance(command, Validate) else NoLedger()


def _policy(settings: Settings) -> Policy:
    """Return the policy, an empty one where there is no file. Raises Misconfigured for a broken one."""
    if settings.policy.exists():
        return load_policy(settings.policy)
    if "policy" in settings.model_fields_set:  # they think that it is there
        print(say("There is no policy file {path}; going on without.", path=Code(settings.policy)), file=sys.stderr)
    return Policy(models={})


# -- looking -----------------------------------------------------------------------------------------------------------


def _compare(terminal: Terminal, command: Compare, form: Form) -> Answer:
    found = terminal.comparisons.compare(command)
    if form is Form.JSON:
        return Answer(_json(documents.comparison(found, sentence(found))))
    if form is Form.CSV:
        return Answer(to_csv(found))
    return Answer(screen.draw(lambda width: tables.comparison(found, width)))


def _best(terminal: Terminal, command: Best, form: Form) -> Answer:
    winner = terminal.comparisons.best(command)
    said = best_sentence(winner)
    if form is Form.JSON:
        return Answer(_json(documents.best(winner, said)))
    return Answer(documents.best_csv(winner, said) if form is Form.CSV else f"{said}\n")


def _validate(terminal: Terminal, command: Validate, form: Form) -> Answer:
    version, seen = terminal.lookups.validate(command)
    said, code = gates.seen_sentence(version, command.to, seen), 1 if seen.failed else 0
    if form is Form.JSON:
        return Answer(_json(documents.validated(version, command.to.value, seen, said)), code)
    return Answer(screen.draw(lambda _: tables.gates(seen, said)), code)


# -- registering -------------------------------------------------------------------------------------------------------


def _register(terminal: Terminal, command: Register, form: Form) -> Answer:
    # MLflow is loaded first, which takes seconds: a running bot takes up whatever is written down and not done soon.
    with suppress(RegistrarError):
        terminal.registry.versions(command.model)
    ask = terminal.errands.ask(operator(), command, where="", origin="terminal")
    said = _carry_out(terminal, ask).answer or say("Registered.")
    if form is not Form.JSON:
        return Answer(f"{said}\n")
    return Answer(_json(documents.registered(_event(terminal.ledger, ask), ask.id, said)))


def _carry_out(terminal: Terminal, ask: Ask) -> Done:
    """Do what was written down. Raises what stands against it; of what does not answer also what becomes of it."""
    try:
        return terminal.errands.carry_out(ask.id)
    except RegistryUnreachable as error:
        raise RegistryUnreachable(_later(error.sentence, "MLflow", ask)) from error
    except LedgerUnavailable as error:  # whose own sentence says that nothing was recorded: the ask was
        raise LedgerUnavailable(_later(say("Registrar's ledger fell silent."), "it", ask)) from error


def _later(why: Say, who: str, ask: Ask) -> Say:
    return say(
        "{why} What you asked for is written down ({ask}): do not ask again, the bot does it as soon as {who} answers.",
        why=why, ask=Code(ask.id), who=who,
    )  # fmt: skip


def _event(ledger: Ledger, ask: Ask) -> Event:
    """Return the audit's event of what came of the ask: the version made of the run since it was asked for."""
    model, run, after, is_asked = str(ask.command["model"]), ask.command["run_id"], 0, False
    with ledger.read() as reading:
        while links := reading.links(model=model, after=after):
            for event in (link.event for link in links):
                is_asked = is_asked or event.subject == f"ask:{ask.id}"
                if is_asked and event.tag is Tag.REGISTERED and event.evidence.get("run") == run:
                    return event
            after = links[-1].number
    raise LookupError(f"nothing was registered for {ask.id}")


def _json(document: dict[str, object]) -> str:
    return documents.to_json(document, screen.encoding())


_ACTS: dict[type[Command], Callable[[Terminal, Any, Form], Answer]] = {
    Register: _register, Compare: _compare, Best: _best, Validate: _validate,
}  # fmt: skip
