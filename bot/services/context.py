"""What every service is given."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.domain.errors import RegistrarError, Unreachable
from bot.domain.policy import Policy
from bot.domain.registry import Package, Stage, VersionInfo
from bot.ports import UNOBSERVED, Clock, Ledger, Observer, Registry

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that can be mistaken for another on a phone


CHAMPION, CHALLENGER = "champion", "challenger"  # the aliases that go along with Production and Staging


def short_id() -> str:
    """Return a fresh id that a person can type: a letter and five more characters."""
    return "r" + "".join(secrets.choice(_LETTERS) for _ in range(5))


class Rules:
    """The policy that holds now, and its revision. An edited file is put in place of the one before at one stroke."""

    def __init__(self, policy: Policy, revision: str = "") -> None:
        self._now = (policy, revision)

    @property
    def policy(self) -> Policy:
        """The policy that holds."""
        return self._now[0]

    @property
    def revision(self) -> str:
        """The word that tells its text from every other."""
        return self._now[1]

    def replace(self, policy: Policy, revision: str) -> None:
        """Let another policy hold from now on."""
        self._now = (policy, revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The ports and the policy. `aliases` are the registry's names for the holders of the two stages."""

    ledger: Ledger
    registry: Registry
    rules: Rules
    clock: Clock
    owner: str  # this process, for leases
    champion: str = CHAMPION
    challenger: str = CHALLENGER
    new_id: Callable[[], str] = field(default=short_id)
    observer: Observer = UNOBSERVED

    @property
    def policy(self) -> Policy:
        """The policy that holds now."""
        return self.rules.policy

    def package(self, version: VersionInfo) -> Package | None:
        """Return what lies beside a version's files; files that the registry refuses to give count as missing.

        Raises Unreachable.
        """
        try:
            return self.registry.package(version)
        except Unreachable:
            raise
        except RegistrarError:
            return None

    @property
    def aliases(self) -> dict[Stage, str]:
        """The alias of each stage that has one."""
        return {Stage.PRODUCTION: self.champion, Stage.STAGING: self.challenger}
