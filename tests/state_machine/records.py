"""The model's records: people, requests, transitions, and faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

STAGING, PRODUCTION, ARCHIVED, NONE = "Staging", "Production", "Archived", "None"
ALIASES = {PRODUCTION: "champion", STAGING: "challenger"}
CLOCK = "clock"  # the actor when a deadline passes

MEMBERS = frozenset({"alice", "bob", "carol", "dave", "erin"})  # full members of the home workspace
LEADS = frozenset({"bob", "carol", "guest", "robot"})  # the policy lists a guest and a bot, who still can't act
ADMINS = frozenset({"dave"})
OUTSIDERS = frozenset({"stranger", "robot"})  # a bob from another workspace, and a bot
SAME_PERSON = {"desk": "bob"}  # terminal users, from the policy's `operators`
PROGRAMS = frozenset({"ci"})
MAY_ASK = MEMBERS | PROGRAMS | frozenset({"desk", "monitor"})

ACCURACY, F1, NOT_BLOCKED = "accuracy", "f1", "not_blocked"
AT_LEAST, MARGIN = 0.8, 0.01  # thresholds of the two gates


class ProcessDied(BaseException):
    """The process died in the middle of its work."""


class InternalFault(Exception):
    """A bug in Registrar."""


@dataclass(frozen=True)
class ExternalChange:
    """Someone moves a version directly in MLflow, or deletes it if `stage` is None."""

    model: str
    version: int
    stage: str | None
    archive: bool = True


@dataclass(frozen=True)
class InjectedFault:
    """A fault right before or after the next registry call with this name.

    With `what`, the process dies, hits a bug, loses the response, or hangs until another process takes over. Or the
    registry refuses the call, or someone moves a version in MLflow.
    """

    when: str
    call: str
    what: str | ExternalChange


@dataclass(frozen=True)
class Rule:
    """The policy's rule for one model and target."""

    approvers: frozenset[str] = LEADS
    required: int = 1
    own: bool = False  # whether the requester can approve
    gates: tuple[str, ...] = ()
    override: frozenset[str] = frozenset()
    lives: timedelta = timedelta(hours=24)
    remind: timedelta | None = None

    def loosens(self, before: Rule) -> bool:
        """Return whether this rule allows more than the rule before."""
        if not self.approvers or not before.approvers:  # a rule without approvers allows nothing
            return bool(self.approvers)
        return bool(
            self.required < before.required
            or self.approvers - before.approvers
            or self.own > before.own
            or set(before.gates) - set(self.gates)
            or self.override - before.override
            or self.lives > before.lives
        )

    @property
    def decides(self) -> tuple[object, ...]:
        """Return the fields that decisions depend on. If they change, open requests are outdated."""
        return self.approvers, self.required, self.own, self.gates, self.override


@dataclass
class AskRecord:
    """A queued command that requests a promotion or a rollback."""

    id: str
    who: str
    model: str
    version: int
    target: str
    keep: bool
    validation: dict[str, float]
    at: datetime
    not_before: datetime
    waits: bool = True
    attempts: int = 0
    is_back: bool = False  # a rollback, not a promotion


@dataclass
class Request:
    """A request. `seen` has the version's metrics when it was opened, and `failed` the gates that failed.

    `made` and `incumbent_made` distinguish the version and the incumbent from later ones with the same numbers.
    """

    ask: AskRecord
    from_stage: str
    incumbent: int | None
    made: int
    incumbent_made: int | None
    rule: Rule
    seen: dict[str, float]
    failed: frozenset[str]
    opened: datetime
    state: str = "pending"
    votes: dict[str, str] = field(default_factory=dict)
    overridden: bool = False
    overrider: str = ""
    lapsed: set[str] = field(default_factory=set)
    reminded: int = 0

    @property
    def expires(self) -> datetime:
        """Return the time when it expires."""
        return self.opened + self.rule.lives

    def take_vote(self, who: str) -> None:
        """Remove a person's vote."""
        self.votes.pop(who, None)
        self.lapsed.discard(who)

    @property
    def approvals(self) -> int:
        """Return how many approvals count."""
        return len(self.approvers)

    @property
    def approvers(self) -> list[str]:
        """Return the people whose approvals count."""
        return [who for who, choice in self.votes.items() if choice == "approve" and who not in self.lapsed]


@dataclass
class TransitionRecord:
    """A decided transition. `attempts` counts the claims: a process with an older count has lost it."""

    request: Request
    by: str
    state: str = "intended"
    attempts: int = 0
    owner: str = ""
    until: datetime | None = None
    not_before: datetime | None = None
    began: bool = False
    ended: datetime | None = None

    @property
    def is_back(self) -> bool:
        """Return whether it's a rollback, which needs no approval."""
        return self.request.ask.is_back

    @property
    def is_begun(self) -> bool:
        """Return whether it can be partly applied in the registry now."""
        return self.state == "executing" or (self.state == "intended" and self.began)

    @property
    def version(self) -> int:
        """Return the number of the version that moves."""
        return self.request.ask.version

    @property
    def made(self) -> int:
        """Return which version moves, of all those that ever had this number."""
        return self.request.made

    @property
    def stages(self) -> tuple[str, str]:
        """Return the stages that the version moves from and to."""
        return self.request.from_stage, self.request.ask.target


@dataclass(frozen=True)
class DriftRecord:
    """An external change to Production that the poll found."""

    ended: datetime
    version: int
    stages: tuple[str, str]
    made: int | None
    state: str = "done"


@dataclass
class Freeze:
    """A freeze of Production for one model, or for all models if `model` is None."""

    model: str | None
    until: datetime | None
    lifted: bool = False


@dataclass(frozen=True)
class Observation:
    """A model as the last poll saw it."""

    at: datetime
    stages: dict[int, str]
    aliases: dict[str, int]
    change: int
    made: dict[int, int]


Told = tuple[str, str, str, object]  # an audit event: tag, actor, subject, and a count or names
