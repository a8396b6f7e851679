"""What the terminal's verbs do. Importing this takes seconds: only who acts does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from rich.console import Console

from bot.bootstrap import NoLedger, build_for_terminal, ledger_beside, open_ledger
from bot.domain import gates
from bot.domain.commands import Best, Command, Compare, Validate
from bot.domain.comparison import to_csv
from bot.domain.comparison_words import best_sentence, sentence
from bot.domain.errors import BadInput, Refused
from bot.domain.policy import Policy
from bot.domain.text import Code, say
from bot.ledger import SqlLedger
from bot.policy_file import load_policy
from bot.ports import Ledger
from bot.settings import Settings, read_settings
from handlers.terminal import asking, documents, looking, remote, screen, tables, watching
from handlers.terminal.answer import Answer, as_json, drawn
from handlers.terminal.counter import Counter
from handlers.terminal.grammar import Asked, Form


def act(asked: Asked) -> int:
    """Do what was asked for, print the answer in the form that was asked for, and return the exit code.

    Raises BadInput, Refused, RegistryRefused, Misconfigured, RegistryUnreachable, LedgerUnavailable, BotUnreachable.
    """
    settings, kind = read_settings(), type(asked.command)
    if settings.bot_url and kind not in _REGISTRY | _BESIDE:
        answer = _over_http(settings, asked)
    else:
        answer = _beside(settings, asked)
    screen.write(answer.text)
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
    where = say(
        "`{url}` is set, so this is no terminal of the bot's machine. Type {slack} in Slack, or {here} there.",
        url=Code("REGISTRAR_URL"), slack=Code(f"/model {asked.command.verb}"),
        here=Code(f"registrar {asked.command.verb}"),
    )  # fmt: skip
    if kind in _LEDGER:
        raise BadInput(say("The ledger that tells this is the bot's. {where}", where=where))
    raise Refused(say("A program may not do this; a person has to. {where}", where=where))


def _beside(settings: Settings, asked: Asked) -> Answer:
    kind = type(asked.command)
    is_free = kind in _REGISTRY | _UNRULED | _LEDGER | asking.WITHOUT_POLICY
    policy = _policy(settings, is_needed=not is_free)
    with (
        Console(stderr=True).status("Asking MLflow…") as status,  # on a screen only
        closing(build_for_terminal(settings, policy, _ledger(settings, kind))) as registrar,
    ):
        return _ACTS[kind](Counter(settings, registrar, status.update), asked.command, asked.form)


def _ledger(settings: Settings, kind: type[Command]) -> Ledger:
    """Return the ledger for what writes into it; that which is there for what only looks; none where none is needed."""
    if kind in _REGISTRY:
        return NoLedger()
    if kind in _BESIDE:
        return ledger_beside(settings)
    if kind not in _LEDGER:
        return open_ledger(settings)
    ledger = SqlLedger(settings.ledger_url)
    try:
        ledger.require()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _policy(settings: Settings, *, is_needed: bool) -> Policy:
    """Return the policy, an empty one where there is no file and none is needed. Raises Misconfigured."""
    if is_needed or settings.policy.exists():
        return load_policy(settings.policy)
    if "policy" in settings.model_fields_set:  # they think that it is there
        print(say("There is no policy file {path}; going on without.", path=Code(settings.policy)), file=sys.stderr)
    return Policy(models={})


def _compare(counter: Counter, command: Compare, form: Form) -> Answer:
    found = counter.registrar.comparisons.compare(command)
    if form is Form.JSON:
        return as_json(documents.comparison(found, sentence(found)))
    if form is Form.CSV:
        return Answer(to_csv(found))
    return drawn(lambda width: tables.comparison(found, width))


def _best(counter: Counter, command: Best, form: Form) -> Answer:
    winner = counter.registrar.comparisons.best(command)
    said = best_sentence(winner)
    if form is Form.JSON:
        return as_json(documents.best(winner, said))
    return Answer(documents.best_csv(winner, said) if form is Form.CSV else f"{said}\n")


def _validate(counter: Counter, command: Validate, form: Form) -> Answer:
    version, seen = counter.registrar.lookups.validate(command)
    said, code = gates.seen_sentence(version, command.to, seen), 1 if seen.failed else 0
    if form is Form.JSON:
        return as_json(documents.validated(version, command.to.value, seen, said), code)
    return drawn(lambda _: tables.gates(seen, said), code)


_REGISTRY: frozenset[type[Command]] = frozenset({Compare, Best})  # these need MLflow and nothing else
_UNRULED: frozenset[type[Command]] = frozenset(looking.ACTS) - looking.LEDGER  # of these the policy says nothing
_BESIDE: frozenset[type[Command]] = _UNRULED | {Validate}  # these look into a ledger where there is one
_LEDGER: frozenset[type[Command]] = looking.LEDGER | watching.LEDGER  # these only look, at the ledger

_ACTS: dict[type[Command], Callable[[Counter, Any, Form], Answer]] = {
    Compare: _compare, Best: _best, Validate: _validate, **looking.ACTS, **asking.ACTS, **watching.ACTS,
}  # fmt: skip
