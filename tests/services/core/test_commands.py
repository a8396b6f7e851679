"""The dispatcher checks permission before a handler runs, and every command has a handler."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pytest

from bot.bootstrap.build import build_registrar
from bot.domain.audit.events import EventTag
from bot.domain.commands.base import Change, Command, QueryCommand, RegistryChange
from bot.domain.commands.catalog import COMMANDS
from bot.domain.commands.help import Help
from bot.domain.commands.parser import parse_command
from bot.domain.core.actors import Automation, Client, Operator
from bot.domain.core.errors import Refused
from bot.domain.policy.parser import validate_policy
from bot.ledger import SqlLedger
from bot.ports import NO_DIRECTORY
from bot.services.core.commands import CommandDispatcher, Origin
from bot.services.core.context import ActivePolicy
from bot.settings import Settings
from bot.slack.commands.rendering import RENDERERS
from handlers.terminal import comparisons, monitors, queries
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.opened import opened
from tests.support.services.bench import GUEST, POLICY, STRANGER, Bench

EXAMPLES = {name: parse_command(command.example) for name, command in COMMANDS.items() if command is not Help}
CHECKED = [command for command in EXAMPLES.values() if command and command.required_permission is not None]


def fail(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the handler ran")


class AnyCommand(dict[Any, Any]):
    """Handlers of all commands, which must not run."""

    def __missing__(self, command: Any) -> Any:
        return fail


@pytest.mark.parametrize("command", CHECKED, ids=lambda command: command.verb)
def test_a_stranger_is_refused_and_audited_before_any_handler_runs(bench: Bench, command: Command) -> None:
    dispatcher = CommandDispatcher(bench.gatekeeper, bench.errands.submit, AnyCommand(), AnyCommand())
    with pytest.raises(Refused, match="Only members of this workspace"):
        dispatcher.execute(STRANGER, command, Origin(entry_point="slack"))
    [event] = bench.events()
    assert event.actor == STRANGER.person
    assert event.tag in {
        EventTag.PERMISSION_REFUSED,
        EventTag.PROMOTION_REFUSED,
        EventTag.REGISTRY_CHANGE_REFUSED,
    }


@pytest.mark.parametrize("caller", [GUEST, Automation("monitor"), Client("ci"), Operator("root")], ids=str)
def test_only_people_with_the_permission_freeze(bench: Bench, caller: Any) -> None:
    dispatcher = CommandDispatcher(bench.gatekeeper, bench.errands.submit, AnyCommand(), AnyCommand())
    freeze = EXAMPLES["freeze"]
    assert freeze is not None
    with pytest.raises(Refused):
        dispatcher.execute(caller, freeze, Origin(entry_point="api"))


def test_every_command_has_one_handler_and_every_query_its_renderers(tmp_path: Path) -> None:
    settings = Settings(REGISTRAR_HOME=tmp_path)
    policy = ActivePolicy(validate_policy(POLICY))
    with closing(SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        registrar = build_registrar(
            settings,
            policy,
            ledger=ledger,
            registry=opened(MemoryRegistry()),
            notifier=None,
            directory=NO_DIRECTORY,
        )
        handled: dict[type[Command], Mapping[Any, object]] = {
            QueryCommand: registrar.commands._queries,
            Change: registrar.commands._changes,
            RegistryChange: registrar.command_queue._handlers,
        }
        registrar.close()
    classes = {command for command in COMMANDS.values() if command is not Help}
    for base, handlers in handled.items():
        assert {command for command in classes if issubclass(command, base)} == set(handlers)
    wanted = {command for command in classes if issubclass(command, QueryCommand)}
    assert wanted <= set(RENDERERS)
    in_terminal = {*comparisons.RENDERERS, *monitors.RENDERERS, *queries.RENDERERS}
    assert {command.__name__ for command in wanted - in_terminal} == {"ShowAudit", "ShowPolicy"}  # it has its own
