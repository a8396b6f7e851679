"""Where the terminal's verbs stand: the settings, the services over the ledger beside, and who sits here."""

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
from bot.registrar import Registrar
from bot.settings import Settings, UnsetSetting


@dataclass(frozen=True, slots=True)
class TerminalSession:
    """What a verb works with."""

    settings: Settings
    registrar: Registrar
    show_status: Callable[[str], object] = lambda text: None  # says on a screen what is waited for

    def caller(self) -> Caller:
        """Return who sits here: as the policy's `operators` maps them and Slack knows them, else by name alone.

        The policy is the one in force at this moment: whoever waits for hours can't decide by an earlier one. Where
        Slack is away the policy's ids decide; what a user group may do then waits. Raises LedgerUnavailable.
        """
        context = self.registrar.context
        if (in_force := policy_last_in_force(self.settings, context.ledger)) is not None:
            context.active_policy.replace(*in_force)
        me, policy = current_operator(), context.policy
        user = policy.operators.get(me.name)
        if user is None:
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
    """Return whoever sits here, by the operating system's word: the environment could say anything."""
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        return Operator(pwd.getpwuid(os.getuid()).pw_name)
    except ImportError:
        return Operator(getpass.getuser())
    except KeyError:  # in a container the user often has no name
        return Operator(str(os.getuid()))
