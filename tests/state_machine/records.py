"""Records of the model: people, requests, transitions, and what can happen to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

STAGING, PRODUCTION, ARCHIVED, NONE = "Staging", "Production", "Archived", "None"
ALIASES = {PRODUCTION: "champion", STAGING: "challenger"}
CLOCK = "clock"  # who acts when a time is over

MEMBERS = frozenset({"alice", "bob", "carol", "dave", "erin"})  # full members of the home workspace
LEADS = frozenset({"bob", "carol", "guest", "robot"})  # the policy names two who may not act all the same
ADMINS = frozenset({"dave"})
OUTSIDERS = frozenset({"stranger", "robot"})  # another workspace's bob, and a bot: they hear nothing
SAME_PERSON = {"desk": "bob"}  # who sits at the bot's own machine, as the policy's `operators` says
PROGRAMS = frozenset({"ci"})
MAY_ASK = MEMBERS | PROGRAMS | frozenset({"desk", "monitor"})

ACCURACY, F1, NOT_BLOCKED = "accuracy", "f1", "not_blocked"
AT_LEAST, MARGIN = 0.8, 0.01  # what the gates ask of the two metrics


class ProcessDied(BaseException):
    """The process is gone, in the middle of what it did."""


class InternalFault(Exception):
    """A bug of ours."""


@dataclass(frozen=True)
class ExternalChange:
    """Somebody moves a version in MLflow, behind our back; None as `stage` deletes it."""

    model: str
    version: int
    stage: str | None
    archive: bool = True


@dataclass(frozen=True)
class InjectedFault:
    """What happens right before or after the next call of this name to the registry.

    `what`: the process dies, it stumbles over a bug, the answer is lost, the registry refuses, somebody moves a version
    by hand, or this process hangs until another one has taken over.
    """

    when: str
    call: str
    what: str | ExternalChange


@dataclass(frozen=True)
class Rule:
    """What the policy says of one model and target."""

    approvers: frozenset[str] = LEADS
    required: int = 1
    own: bool = False  # may the requester approve
    gates: tuple[str, ...] = ()
    override: frozenset[str] = frozenset()
    lives: timedelta = timedelta(hours=24)
    remind: timedelta | None = None

    def loosens(self, before: Rule) -> bool:
        """Tell whether this lets more pass than the rule before."""
        if not self.approvers or not before.approvers:  # nothing passes where nobody can approve
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
        """Return the part that decisions rest on: a request under another one is out of date."""
        return self.approvers, self.required, self.own, self.gates, self.override


@dataclass
class AskRecord:
    """Somebody asked for a promotion."""

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
    is_back: bool = False  # not a promotion is asked for, but the way back to a version that served


@dataclass
class Request:
    """A request. `seen` are the version's figures when it was opened, `failed` the gates that it did not pass.

    `made` and `incumbent_made` tell the version and the incumbent from others that get their numbers later.
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
        """Return when its time is over."""
        return self.opened + self.rule.lives

    def take_vote(self, who: str) -> None:
        """Forget what somebody voted."""
        self.votes.pop(who, None)
        self.lapsed.discard(who)

    @property
    def approvals(self) -> int:
        """Return how many say yes."""
        return len(self.approvers)

    @property
    def approvers(self) -> list[str]:
        """Return whose approvals count."""
        return [who for who, choice in self.votes.items() if choice == "approve" and who not in self.lapsed]


@dataclass
class TransitionRecord:
    """A move that was decided. `attempts` counts the claims: who comes back late with an older number has lost it."""

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
        """Tell whether it is a rollback; nobody had to approve its request."""
        return self.request.ask.is_back

    @property
    def is_begun(self) -> bool:
        """Tell whether the registry may hold half of it now."""
        return self.state == "executing" or (self.state == "intended" and self.began)

    @property
    def version(self) -> int:
        """Return what is moved."""
        return self.request.ask.version

    @property
    def made(self) -> int:
        """Return which of all versions it moves that ever had this number."""
        return self.request.made

    @property
    def stages(self) -> tuple[str, str]:
        """Return from where to where."""
        return self.request.from_stage, self.request.ask.target


@dataclass(frozen=True)
class DriftRecord:
    """A change of Production that the poll found."""

    ended: datetime
    version: int
    stages: tuple[str, str]
    made: int | None
    state: str = "done"


@dataclass
class Freeze:
    """Production of one model, or with None of all, does not move."""

    model: str | None
    until: datetime | None
    lifted: bool = False


@dataclass(frozen=True)
class Observation:
    """A model as the poll saw it last."""

    at: datetime
    stages: dict[int, str]
    aliases: dict[str, int]
    change: int
    made: dict[int, int]


Told = tuple[str, str, str, object]  # an audit event: its tag, who, about what, and how many or whom
