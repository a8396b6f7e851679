"""What every service is given."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.domain.core.errors import RegistrarError, Unreachable
from bot.domain.policy.pending_edit import FileEdit
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Package, RunInfo, Stage, VersionInfo
from bot.domain.registry.model_card import algorithm_of
from bot.ports import NO_SLACK, UNOBSERVED, Clock, Directory, Ledger, Observer, Registry
from bot.services.core.registry_availability import Reach
from bot.services.core.startup_check import Gate

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that can be mistaken for another on a phone


ESTIMATORS = {"sklearn", "xgboost", "lightgbm"}  # the flavors whose files tell the class of a model
CHAMPION, CHALLENGER = "champion", "challenger"  # the aliases that go along with Production and Staging


def short_id() -> str:
    """Return a fresh id that a person can type: a letter and five more characters."""
    return "r" + "".join(secrets.choice(_LETTERS) for _ in range(5))


class Rules:
    """The policy in force and its revision, replaced together; and what the file says instead, where it differs."""

    def __init__(self, policy: Policy, revision: str = "") -> None:
        self._now = (policy, revision)
        self.edit: FileEdit | None = None

    @property
    def policy(self) -> Policy:
        """The policy that holds."""
        return self._now[0]

    @property
    def revision(self) -> str:
        """The word that tells its text from every other."""
        return self._now[1]

    def replace(self, policy: Policy, revision: str) -> None:
        """Put another policy in force."""
        self._now = (policy, revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The ports and the policy. `aliases` are the registry's names for the holders of the two stages.

    Whoever executes what was waiting asks the `gate` first.
    """

    ledger: Ledger
    registry: Registry
    rules: Rules
    clock: Clock
    owner: str  # this process, for leases
    champion: str = CHAMPION
    challenger: str = CHALLENGER
    new_id: Callable[[], str] = field(default=short_id)
    observer: Observer = UNOBSERVED
    directory: Directory = NO_SLACK
    gate: Gate = field(default_factory=Gate)
    reach: Reach = field(default_factory=Reach)  # of the registry

    def __post_init__(self) -> None:
        self.ledger.recognize(lambda: self.policy.operators)

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

    def algorithm(self, version: VersionInfo, run: RunInfo, package: Package | None) -> str | None:
        """Return what kind of model a version is: as somebody wrote it down, else the class that its files name.

        Raises Unreachable.
        """
        known = algorithm_of(version, run)
        if known or package is None or not ESTIMATORS & set(package.flavors):
            return known
        try:
            return self.registry.estimator(version)
        except Unreachable:
            raise
        except RegistrarError:
            return None

    @property
    def aliases(self) -> dict[Stage, str]:
        """The alias of each stage that has one."""
        return {Stage.PRODUCTION: self.champion, Stage.STAGING: self.challenger}
