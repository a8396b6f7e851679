"""What all services share: ports, policy, and process state."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from bot.domain.core.errors import RegistrarError, Unreachable
from bot.domain.policy.pending_edit import PendingPolicyEdit
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import ModelPackage, RunInfo, Stage, VersionInfo
from bot.domain.registry.model_card import logged_algorithm
from bot.ports import (
    NO_DIRECTORY,
    NO_LINKS,
    NO_OBSERVER,
    Claim,
    Clock,
    Directory,
    ExperimentTracker,
    Ledger,
    ModelRegistry,
    Observer,
    PassportSigner,
    RegistryLinks,
)
from bot.services.core.registry_availability import RegistryAvailability
from bot.services.core.startup_check import StartupCheck

_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that look alike
FLAVORS_WITH_ESTIMATOR = {"sklearn", "xgboost", "lightgbm"}  # flavors whose files name the estimator class
CHAMPION, CHALLENGER = "champion", "challenger"  # the aliases of Production and Staging


def short_id() -> str:
    """Return a new ID that a person can type: "r" and five random characters."""
    return "r" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(5))


class ActivePolicy:
    """The policy in effect and its revision, which are replaced together, and a pending edit of the file, if any."""

    def __init__(self, policy: Policy, revision: str = "") -> None:
        self._current = (policy, revision)
        self.pending_edit: PendingPolicyEdit | None = None

    @property
    def policy(self) -> Policy:
        """The policy in effect."""
        return self._current[0]

    @property
    def revision(self) -> str:
        """A hash of the policy's text."""
        return self._current[1]

    def current(self) -> Policy:
        """Return the policy in effect, for services that need only that."""
        return self._current[0]

    def user_groups(self) -> frozenset[str]:
        """Return all user groups in the active policy."""
        return self._current[0].user_groups()

    def replace(self, policy: Policy, revision: str) -> None:
        """Put another policy into effect."""
        self._current = (policy, revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The ports and the policy.

    `owner` identifies this process in leases. Pending work is executed only once `startup_check` has passed. `signer`
    returns the current signer of passports, or None if there's no key; it can raise Misconfigured. Passports are valid
    for `passport_lifetime`.
    """

    ledger: Ledger
    registry: ModelRegistry
    tracker: ExperimentTracker
    active_policy: ActivePolicy
    clock: Clock
    owner: str
    champion: str = CHAMPION
    challenger: str = CHALLENGER
    new_id: Callable[[], str] = field(default=short_id)
    observer: Observer = NO_OBSERVER
    directory: Directory = NO_DIRECTORY
    links: RegistryLinks = NO_LINKS
    signer: Callable[[], PassportSigner | None] = field(default=lambda: None)
    passport_lifetime: timedelta = timedelta(days=365)
    startup_check: StartupCheck = field(default_factory=StartupCheck)
    availability: RegistryAvailability = field(default_factory=RegistryAvailability)  # of the registry

    def __post_init__(self) -> None:
        self.ledger.set_operator_ids(lambda: self.policy.operators)

    @property
    def policy(self) -> Policy:
        """The policy in effect."""
        return self.active_policy.policy

    def claim(self, lease: timedelta) -> Claim:
        """Return a claim by this process that starts now and lasts for `lease`."""
        now = self.clock.now()
        return Claim(self.owner, now, now + lease)

    def package(self, version: VersionInfo) -> ModelPackage | None:
        """Return a version's model package, or None if it has none or the registry refuses to return it.

        Raises Unreachable.
        """
        try:
            return self.tracker.package(version)
        except Unreachable:
            raise
        except RegistrarError:
            return None

    def algorithm(self, version: VersionInfo, run: RunInfo, package: ModelPackage | None) -> str | None:
        """Return a version's algorithm: as it was logged or, if it wasn't, the estimator class in its files.

        None if neither is known. Raises Unreachable.
        """
        logged = logged_algorithm(version, run)
        if logged or package is None or not FLAVORS_WITH_ESTIMATOR & set(package.flavors):
            return logged
        try:
            return self.tracker.estimator_class(version)
        except Unreachable:
            raise
        except RegistrarError:
            return None

    @property
    def aliases(self) -> dict[Stage, str]:
        """The alias of each stage that has one."""
        return {Stage.PRODUCTION: self.champion, Stage.STAGING: self.challenger}
