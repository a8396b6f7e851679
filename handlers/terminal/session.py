"""What the terminal's commands share: settings, services that use the local ledger, and the current operator."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.bootstrap.slack import fetch_profile
from bot.bootstrap.storage import policy_last_in_force
from bot.domain.core.actors import Caller, Operator, Person, Profile
from bot.domain.core.errors import SlackUnreachable
from bot.ports import UnsetSetting
from bot.registrar import Registrar
from bot.services.core.commands import Origin
from bot.settings import Settings

TERMINAL_ORIGIN = Origin(entry_point="terminal")


@dataclass(frozen=True, slots=True)
class TerminalSession:
    """The resources that a command uses."""

    settings: Settings
    registrar: Registrar
    show_status: Callable[[str], object] = lambda text: None  # shows on a terminal what the command is waiting for

    def caller(self) -> Caller:
        """Return the current operator's Slack profile if the policy's `operators` maps them; otherwise, their name.

        Uses the policy that's in effect now, since a command can wait for hours. If Slack is unreachable, only the
        policy's user IDs count, not its user groups. Raises LedgerUnavailable.
        """
        context = self.registrar.context
        if (in_force := policy_last_in_force(self.settings, context.ledger)) is not None:
            context.active_policy.replace(*in_force)
        me, policy = current_operator(), context.policy
        if (user := policy.operators.get(me.name)) is None:
            return me
        try:
            return replace(fetch_profile(self.settings, policy, user), operator=me.name)
        except SlackUnreachable:
            print("Can't read user groups from Slack; using only the user IDs in the policy.", file=sys.stderr)
            return Profile(person=Person("", user), operator=me.name)


def print_warning(unset: UnsetSetting) -> None:
    """Print a warning to standard error about the consequence of an unset setting."""
    print(f"Warning: {unset}", file=sys.stderr, flush=True)


def current_operator() -> Operator:
    """Return the current operator from the operating system, because the environment can be forged.

    Only on Windows, which has no `pwd` module, does the name come from the environment. A user without a name gets
    their number.
    """
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        return Operator(pwd.getpwuid(os.getuid()).pw_name)
    except ImportError:
        return Operator(getpass.getuser())
    except KeyError:  # in a container, the user often has no name
        return Operator(str(os.getuid()))
