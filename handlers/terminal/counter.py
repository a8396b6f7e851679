"""Where the terminal's verbs stand: the settings, the services over the ledger beside, and who sits here."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.bootstrap import as_slack_knows
from bot.domain.errors import SlackUnreachable
from bot.domain.people import Caller, Operator, Person, Profile
from bot.registrar import Registrar
from bot.settings import Settings


@dataclass(frozen=True, slots=True)
class Counter:
    """What a verb works with."""

    settings: Settings
    registrar: Registrar
    status: Callable[[str], object] = lambda text: None  # says on a screen what is waited for

    def caller(self) -> Caller:
        """Return who sits here: as the policy's `operators` maps them and Slack knows them, else by name alone.

        Where Slack is away the policy's ids decide; what a user group may do then waits.
        """
        me, policy = operator(), self.registrar.context.policy
        user = policy.operators.get(me.name)
        if user is None:
            return me
        try:
            return replace(as_slack_knows(self.settings, policy, user), operator=me.name)
        except SlackUnreachable:
            print("Slack does not answer who is in which user group; going by the policy's ids alone.", file=sys.stderr)
            return Profile(person=Person("", user), operator=me.name)


def operator() -> Operator:
    """Return whoever sits here, by the operating system's word: the environment could say anything."""
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        return Operator(pwd.getpwuid(os.getuid()).pw_name)
    except ImportError:
        return Operator(getpass.getuser())
    except KeyError:  # in a container the user often has no name
        return Operator(str(os.getuid()))
