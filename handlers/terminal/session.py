"""What the terminal's commands share: the settings, the services over the local ledger, and the current operator."""

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
    """What a command works with."""

    settings: Settings
    registrar: Registrar
    show_status: Callable[[str], object] = lambda text: None  # shows on a terminal what we're waiting for

    def caller(self) -> Caller:
        """Return the current operator: mapped by the policy's `operators` and looked up in Slack, else by name alone.

        The policy is the one in force at this moment: after hours of waiting, no one can decide by an earlier one. If
        Slack is unreachable, the policy's user ids count; permissions of user groups then wait. Raises
        LedgerUnavailable.
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
            print("Slack does not answer who is in which user group; going by the policy's ids alone.", file=sys.stderr)
            return Profile(person=Person("", user), operator=me.name)


def print_warning(unset: UnsetSetting) -> None:
    """Say on standard error what follows from a setting that isn't set."""
    print(f"Warning: {unset}", file=sys.stderr, flush=True)


def current_operator() -> Operator:
    """Return the current operator according to the operating system: the environment could be forged."""
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        return Operator(pwd.getpwuid(os.getuid()).pw_name)
    except ImportError:
        return Operator(getpass.getuser())
    except KeyError:  # in a container the user often has no name
        return Operator(str(os.getuid()))
