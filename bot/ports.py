"""What the services need from the world, in our words. Every plug of a port passes the same contract suite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Protocol

from bot.domain.approvals import Request, RequestState, Vote
from bot.domain.ci import CiRun
from bot.domain.events import Event, Head, Link, Tag
from bot.domain.freezes import Freeze
from bot.domain.incidents import Incident, IncidentKind, Tripped
from bot.domain.looks import Finding, Look
from bot.domain.monitors import Answer, Measurement, Monitor, Point, Pushed, Standing, State
from bot.domain.monitors import Outcome as CheckOutcome
from bot.domain.moves import Move, MoveState
from bot.domain.people import Actor, Person, Profile
from bot.domain.policy import Policy, ServingProbe
from bot.domain.registry import Logged, ModelInfo, Package, RunInfo, Stage, VersionInfo
from bot.domain.rollbacks import Bar
from bot.domain.serving import Serving


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the time in UTC, with its zone."""
        ...


class Registry(Protocol):
    """The model registry. Every method may raise RegistryUnreachable and RegistryRefused.

    Prompts share MLflow's tables; no method ever returns or touches one (UnknownModel). The writes take one request
    where the model was read within the last minute, and one more where it was not. A name with both kinds of quotes
    is an UnknownModel.
    """

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name holds `text` (any case), sorted by name. One request a page of 1,000."""
        ...

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases. Raises UnknownModel. One request."""
        ...

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version of the model, newest number first, without aliases; none for an unknown model.

        One request.
        """
        ...

    def version(self, name: str, number: int) -> VersionInfo:
        """Return one version with its aliases. Raises UnknownModel and UnknownVersion. One request."""
        ...

    def runs(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that are there, deleted ones too, by id.

        One request for each 1,000 ids, and one more where the experiments are not known yet.
        """
        ...

    def in_production(self, names: Collection[str]) -> dict[str, VersionInfo]:
        """Return the version in Production of each of these models that has one, of several the highest number.

        Without aliases. One request a page of 1,000 models; without stages one more for each model.
        """
        ...

    def metrics(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, Logged]]:
        """Return the newest point of each metric of the runs that are there, by run and name. Requests as for `runs`.

        MLflow's newest is the one of the highest step, and among those the latest.
        """
        ...

    def monitoring_runs(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the ids of the runs whose tags name one of these models and versions, by these; no deleted ones.

        One request, and one more for the experiments where something was not found in those we know.
        """
        ...

    def points(self, run_id: str, metric: str) -> list[Logged]:
        """Return every point of a run's metric, oldest first; none where there is none. A request for each 25,000."""
        ...

    def package(self, version: VersionInfo) -> Package | None:
        """Return what lies beside the version's files, or None where no MLmodel does. A few requests."""
        ...

    def register(
        self, name: str, run_id: str, *, artifact: str = "", description: str = "", tags: Mapping[str, str]
    ) -> VersionInfo:
        """Make the next version out of a run; a model that is not there is made first.

        `artifact` names one of the run's logged models where it has several. It is not sent again by itself after an
        unknown result: look for a version with this run first. Raises UnknownRun, and BadInput where the run logged
        several models and `artifact` names none of them.
        """
        ...

    def set_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set the version's tags, or with None take one away. Raises UnknownVersion. One request a tag."""
        ...

    def describe(self, name: str, version: int | None, text: str) -> None:
        """Write the description of a version, or with None of the model. Raises UnknownVersion. One request."""
        ...

    def drop_alias(self, name: str, alias: str) -> None:
        """Let `alias` name nothing; fine where it did not. One request."""
        ...

    def transition(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Move the version to `stage`. With `archive_existing` whoever holds Staging or Production is archived.

        There is no instant without a holder. Raises UnknownVersion. One request where the server can do both at once.
        """
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` name the version. Raises UnknownVersion. One request."""
        ...


class AskState(Enum):
    """What has become of something that a person asked for."""

    DRAFT = "draft"  # a modal is open
    WAITING = "waiting"  # committed; the registry has not been read yet
    OPENED = "opened"  # a request came of it
    DONE = "done"  # it was done, and read back
    REFUSED = "refused"  # the rules or the registry's facts said no


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What somebody asked for, written down before the registry is read. `where` is the channel it came from.

    `command` is what `commands.load` reads. A request that comes of it has the same id. `key` is the caller's own
    word for it: a second ask with the same one is none; `digest` is of what was sent. `error` is the class of what
    stood against it, and `outcome` the sentence.
    """

    id: str
    caller: Actor
    command: dict[str, Any]
    where: str
    at: datetime
    state: AskState = AskState.WAITING
    request: str | None = None
    attempts: int = 0
    not_before: datetime | None = None
    ci: CiRun | None = None
    key: str | None = None
    digest: str | None = None
    error: str | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What a version in the registry has to say, written down with the change that it tells of.

    `tags` to set, or with None to take away; `line` to add to the description; `alias` to take from the version if
    it still names it. Those of one version are written in order.
    """

    id: str
    model: str
    version: int
    tags: Mapping[str, str | None] = field(default_factory=dict)
    line: str = ""
    alias: str = ""
    number: int = 0
    attempts: int = 0
    lane: str = ""  # whose thread hears that it is written


class NoteKind(Enum):
    """What is to be told in Slack."""

    CARD = "card"  # the request's one message, drawn from its present state
    NOTICE = "notice"  # the one message of a finding, drawn from its present state
    SAID = "said"  # a sentence in a channel
    NEWS = "news"  # a line in the card's thread
    DIRECT = "direct"  # a message to one person
    ROLLBACK = "rollback"  # the one message of a rollback that a person made, drawn from its present state
    INCIDENT = "incident"  # the one message of an incident, drawn from its present state
    CHART = "chart"  # a picture in the thread of the lane's message
    EVENT = "event"  # a signed event to an endpoint of the serving side; no message at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One row of the outbox. `key` is unique for ever; rows of one `lane` are delivered in order."""

    key: str
    lane: str
    kind: NoteKind
    to: str  # a channel, or a user for a direct message; for news the lane's card or notice says where
    data: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    attempts: int = 0
    was_tried: bool = False  # an earlier try may have reached Slack
    created_at: datetime | None = None
    claimed_until: datetime | None = None  # until when nobody else delivers it


@dataclass(frozen=True, slots=True)
class Posting:
    """Where something stands in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait, and since when the longest does; None where none does, or nobody knows."""

    number: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is not finished at one moment, for whoever watches from outside. What is not named is none."""

    requests: Mapping[RequestState, Waiting]  # those that have not ended, since they were opened
    asks: Waiting  # written down; the registry has not been read yet
    moves: Mapping[MoveState, Waiting]  # intended and executing, since they were intended
    notes: Mapping[NoteKind, Waiting]  # the outbox, since they were written
    copies: int  # what versions in the registry have to say yet
    incidents: Mapping[IncidentKind, Waiting]  # open ones, since they were opened
    breakers: int  # tripped ones
    monitors: Mapping[State, int]  # neither paused nor removed ones
    overdue: Waiting  # checks whose time has come, since it had
    events: int  # of the audit


@dataclass(frozen=True, slots=True)
class Batch:
    """Checks of one source that are made together: whose they are, and their monitors and slots."""

    source: str
    owner: str
    slots: tuple[tuple[str, int], ...]


class Dispatcher(Protocol):
    """Lets batches of checks be made by somebody: a thread of ours, or a worker on another machine."""

    def use(self, work: Callable[[Batch], None]) -> None:
        """Let `work` make the batches that this process takes. It never raises, and is called for several at once."""
        ...

    def open(self) -> None:
        """Begin to take batches."""
        ...

    def dispatch(self, batches: Sequence[Batch]) -> None:
        """Let these be made soon; it does not wait for them. Raises LedgerUnavailable: then none is made."""
        ...

    def close(self) -> None:
        """Take nothing new, and wait a moment for what is being made."""
        ...


class Ledger(Protocol):
    """Our database: the truth for decisions. Opening either raises LedgerUnavailable within its time limit."""

    def write(self) -> AbstractContextManager[Writing]:
        """Open one transaction; it commits when the block ends and rolls back when it raises."""
        ...

    def read(self) -> AbstractContextManager[Reading]:
        """Open one consistent reading."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Reading(Protocol):
    """What can be asked of the ledger."""

    def request(self, request_id: str) -> Request:
        """Return the request. Raises UnknownRequest."""
        ...

    def requests(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[RequestState] = (),
        requester: Actor | None = None,
        most: int = 100,
    ) -> list[Request]:
        """Return requests, newest first; `states` empty means any."""
        ...

    def open_request(self, model: str, target: Stage) -> Request | None:
        """Return the request of this model and target that has not ended, if there is one."""
        ...

    def expired(self, now: datetime) -> list[str]:
        """Return the ids of pending requests whose time is over."""
        ...

    def votes(self, request_id: str) -> list[Vote]:
        """Return the votes on a request in the order in which they were cast."""
        ...

    def move(self, move_id: str) -> Move:
        """Return the move. Raises KeyError."""
        ...

    def moves(
        self, model: str, *, stage: Stage | None = None, before: str | None = None, until: datetime | None = None,
        most: int = 50,
    ) -> list[Move]:  # fmt: skip
        """Return the finished and unfinished moves of a model, newest first; only those into or out of `stage`.

        Those before the move with the id `before`. With `until` those up to that time, and some that followed.
        """
        ...

    def first_move(self, model: str, stage: Stage) -> Move | None:
        """Return the first move that put a version of the model into the stage."""
        ...

    def models_with_moves(self, states: Sequence[MoveState]) -> list[str]:
        """Return the models that have moves in these states."""
        ...

    def ask(self, ask_id: str) -> Ask:
        """Return what was asked. Raises KeyError."""
        ...

    def ask_with_key(self, caller: Actor, key: str) -> Ask | None:
        """Return what the caller asked for with this key."""
        ...

    def waiting_asks(self, now: datetime) -> list[str]:
        """Return the ids of asks that wait and whose time has come, oldest first."""
        ...

    def look(self, model: str) -> Look | None:
        """Return how the model looked when the registry was read last."""
        ...

    def looks(self) -> dict[str, Look]:
        """Return how every model looked, by its name."""
        ...

    def finding(self, finding_id: str) -> Finding:
        """Return a finding. Raises UnknownRequest."""
        ...

    def due_copies(self, now: datetime, most: int = 100) -> list[Copy]:
        """Return what has to be written to versions: of each version that which comes first, if it is due."""
        ...

    def posting(self, key: str) -> Posting | None:
        """Return where the message with this key stands in Slack."""
        ...

    def posting_of(self, note: Note) -> Posting | None:
        """Return where a note's message stands in Slack."""
        ...

    def is_waiting(self, note: Note) -> bool:
        """Tell whether a note is neither delivered nor given up."""
        ...

    def due_notes(self, now: datetime, most: int = 100, *, kinds: Collection[NoteKind] = ()) -> list[Note]:
        """Return the undelivered notes: of each lane those before the first that has to wait, in order.

        Only those of `kinds`, where any are named; the notes of one lane go out by one way.
        """
        ...

    def links(self, *, model: str | None = None, after: int = 0, most: int = 1000) -> list[Link]:
        """Return audit events as they stand in the chain, oldest first."""
        ...

    def latest(
        self,
        *,
        model: str | None = None,
        tags: Sequence[Tag] = (),
        since: datetime | None = None,
        before: int | None = None,
        most: int = 50,
    ) -> list[Link]:
        """Return audit events, newest first: of a model, of these tags, since a time, before a number."""
        ...

    def head(self) -> Head:
        """Return where the audit chain ends."""
        ...

    def backlog(self, now: datetime) -> Backlog:
        """Return what is not finished. However much has ended, it costs no more."""
        ...

    def freezes(self) -> list[Freeze]:
        """Return the freezes that nobody has lifted, oldest first; one whose time is over may be among them."""
        ...

    def bars(self, model: str) -> list[Bar]:
        """Return the bars of a model that nobody has cleared, oldest first."""
        ...

    def rollbacks(self, since: datetime) -> list[Move]:
        """Return the rollbacks that were intended since then, newest first; those that came to nothing included."""
        ...

    def monitors(self, model: str | None = None) -> list[Monitor]:
        """Return the monitors that are not removed, by model and name."""
        ...

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor, a removed one too. Raises UnknownRequest."""
        ...

    def standings(self) -> dict[str, Standing]:
        """Return where the monitors stand, by their ids."""
        ...

    def standing(self, monitor_id: str) -> Standing:
        """Return where a monitor stands; one that was never checked at its beginning."""
        ...

    def due_monitors(self, now: datetime, most: int = 1000) -> list[tuple[Monitor, Standing]]:
        """Return the monitors whose check is due, the longest due first; neither paused nor removed ones.

        One that somebody is checking at this moment is none of them.
        """
        ...

    def claimed(self, batch: Batch, now: datetime) -> list[tuple[Monitor, Standing]]:
        """Return those of a batch whose claim holds, the longest due first."""
        ...

    def measurements(
        self, monitor_id: str, *, since: datetime | None = None, move: str | None = None, most: int = 100
    ) -> list[Measurement]:
        """Return the finished checks of a monitor, newest first; those of one term only, where `move` names it."""
        ...

    def series(
        self, monitor_id: str, *, since: datetime, until: datetime, move: str | None = None, but: str | None = None,
        without: Collection[int] = (),
    ) -> list[Point]:  # fmt: skip
        """Return the values of a monitor's checks after `since` and up to `until`, oldest first.

        Those of one term, where `move` names it; those of every other term, where `but` does; never of the versions
        in `without`.
        """
        ...

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[Pushed]:
        """Return what was pushed of metrics (model and name), after `since` and up to `until`, oldest first.

        The times are the readings' own.
        """
        ...

    def call(self, client: str, key: str) -> Call | None:
        """Return what was answered to a call with this key before."""
        ...

    def incident(self, incident_id: str) -> Incident:
        """Return an incident. Raises UnknownRequest."""
        ...

    def incidents(self, *, model: str | None = None, is_open: bool = False, most: int = 100) -> list[Incident]:
        """Return incidents, newest first; open ones only, where `is_open`."""
        ...

    def breakers(self) -> list[Tripped]:
        """Return the breakers that are tripped."""
        ...

    def serving(self, move: str) -> Serving | None:
        """Return what the serving side was asked after a move."""
        ...

    def serving_of(self, model: str) -> Serving | None:
        """Return what the serving side of a model was asked last."""
        ...

    def due_servings(self, now: datetime) -> list[Serving]:
        """Return the questions to the serving side that are to be asked (again) now."""
        ...


class Writing(Reading, Protocol):
    """One transaction."""

    def lock_request(self, request_id: str) -> Request:
        """Return the request, locked until the transaction ends. Raises UnknownRequest."""
        ...

    def add_request(self, request: Request) -> None:
        """Insert it. Raises AlreadyOpen where one for this model and target has not ended."""
        ...

    def save_request(self, request: Request) -> None:
        """Write its present state."""
        ...

    def add_vote(self, vote: Vote) -> bool:
        """Insert it; return False where this person has voted on this request already."""
        ...

    def take_vote(self, request_id: str, voter: Person) -> bool:
        """Take the person's vote away, the audit keeps it; return False where there is none."""
        ...

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert it."""
        ...

    def save_freeze(self, freeze: Freeze) -> None:
        """Write its present state."""
        ...

    def add_bar(self, bar: Bar) -> bool:
        """Insert it; return False where it is there already."""
        ...

    def save_bar(self, bar: Bar) -> None:
        """Write its present state."""
        ...

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert it; return False where the model has one of this name."""
        ...

    def save_monitor(self, monitor: Monitor) -> None:
        """Write its present state."""
        ...

    def save_standings(self, standings: Sequence[Standing]) -> None:
        """Write where monitors stand now."""
        ...

    def save_standing(self, standing: Standing) -> None:
        """Write where a monitor stands now."""
        ...

    def claim_slots(self, slots: Mapping[tuple[str, int], datetime], owner: str, now: datetime) -> set[tuple[str, int]]:
        """Take checks, each until its time; return those that are neither done nor somebody else's."""
        ...

    def finish_slots(self, checks: Sequence[Measurement], owner: str) -> set[tuple[str, int]]:
        """Write what claimed checks came to; return which of them were the owner's still. The others are left."""
        ...

    def add_readings(self, pushed: Sequence[Pushed]) -> int:
        """Insert what was pushed, but for what is there already; return how many are new."""
        ...

    def add_call(self, call: Call) -> bool:
        """Remember what was answered; return False where this key has an answer already."""
        ...

    def sweep(self, *, measurements: datetime, readings: datetime) -> int:
        """Throw away checks, and readings and calls, that are older than that; return how many rows."""
        ...

    def add_incident(self, incident: Incident) -> bool:
        """Insert it; return False where one of this model, source and kind is open."""
        ...

    def save_incident(self, incident: Incident) -> None:
        """Write its present state."""
        ...

    def trip(self, breaker: Tripped) -> bool:
        """Trip a breaker; return False where it is tripped already."""
        ...

    def reset_breaker(self, model: str) -> bool:
        """Reset a breaker; return False where it is not tripped."""
        ...

    def save_serving(self, serving: Serving) -> bool:
        """Write what the serving side said; return False where the question had its end already."""
        ...

    def claim_serving(self, serving: Serving, until: datetime) -> bool:
        """Take a due question for oneself until then; return False where somebody else has it, or it has its end."""
        ...

    def add_move(self, move: Move) -> bool:
        """Insert it; return False where a move with this id is there already."""
        ...

    def claim_move(self, model: str, owner: str, now: datetime, until: datetime) -> Move | None:
        """Take the model's oldest move that is intended and due, or executing with an owner whose lease is over.

        Return it as executing, or None where there is none or the model is held by another owner.
        """
        ...

    def release_move(self, move: Move, not_before: datetime) -> bool:
        """Give a claimed move back as intended, to be tried again at `not_before`.

        Return False where it was taken over since `move` was claimed: then nothing was changed.
        """
        ...

    def finish_move(self, move: Move) -> None:
        """Write its end state and let go of the model. Raises AlreadyDecided where it was taken over or has ended."""
        ...

    def disown(self, owner: str) -> None:
        """End the leases of an owner that is known to be gone."""
        ...

    def owners(self) -> list[str]:
        """Return who holds models now."""
        ...

    def add_ask(self, ask: Ask) -> bool:
        """Insert it; return False where its caller has asked with this key before."""
        ...

    def claim_ask(self, ask_id: str, now: datetime, until: datetime) -> bool:
        """Take a waiting ask whose time has come for oneself until then; return False where somebody else has."""
        ...

    def save_ask(self, ask: Ask) -> None:
        """Write its present state."""
        ...

    def save_look(self, look: Look) -> None:
        """Write down how the model looks now."""
        ...

    def forget_look(self, model: str) -> None:
        """Forget a model that the registry has no more."""
        ...

    def add_finding(self, finding: Finding) -> bool:
        """Insert it; return False where it is there already."""
        ...

    def save_finding(self, finding: Finding) -> None:
        """Write its present state."""
        ...

    def add_copy(self, copy: Copy) -> None:
        """Let something be written to a version; an id that is there already is left as it is."""
        ...

    def claim_copy(self, copy: Copy, now: datetime, until: datetime) -> bool:
        """Take a due row for oneself until then; return False where somebody else has."""
        ...

    def copied(self, copy: Copy, *, why: str = "") -> None:
        """Take it out of the queue; `why` says why it was given up."""
        ...

    def postpone_copy(self, copy: Copy, until: datetime, why: str) -> None:
        """Try it again at `until`."""
        ...

    def add_note(self, note: Note) -> None:
        """Put it into the outbox, from now unless it says since when; a key that is there already is left as it is."""
        ...

    def claim_note(self, note: Note, owner: str, now: datetime, until: datetime) -> Note | None:
        """Take a note to deliver it until then, and remember that this has begun: a lost answer is looked for.

        Return it as it is to be delivered, or None where somebody else has taken or delivered it.
        """
        ...

    def delivered(self, note: Note, posting: Posting | None) -> bool:
        """Take it out of the queue, and remember where it stands: cards and notices by their lane, all else by key.

        Return False, as those below, where it was taken over since it was claimed: then nothing is written.
        """
        ...

    def postpone(self, note: Note, until: datetime, why: str) -> bool:
        """Try it again at `until`."""
        ...

    def drop(self, note: Note, why: str) -> bool:
        """Give it up: Slack will never take it."""
        ...

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name; they go one after the other from here to their ends."""
        ...

    def is_free(self, name: str) -> bool:
        """Lock a name unless another transaction holds it: then return False at once."""
        ...

    def take_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Hold a name across transactions; return False where somebody else does. One's own is made longer."""
        ...

    def give_lease(self, name: str, owner: str) -> None:
        """Let it go, if it is the owner's."""
        ...

    def append(self, event: Event) -> None:
        """Add an event to the audit chain."""
        ...


class Observer(Protocol):
    """Whoever counts what happens in this process. No method waits for anything, nor raises."""

    def committed(self, events: Sequence[Event]) -> None:
        """Count the audit events of one transaction, which has just been committed."""
        ...

    def asked_registry(self, operation: str, seconds: float, error: str = "") -> None:
        """Count one question to the registry; `error` is the class of what went wrong, if anything did."""
        ...

    def slack_failed(self, code: str) -> None:
        """Count a call of Slack that failed, by Slack's own name of the error."""
        ...

    def checked(self, outcome: CheckOutcome, delay: timedelta | None) -> None:
        """Count a monitor's finished check; `delay` is from when it was due, None for one out of turn."""
        ...


class Unobserved:
    """The observer that counts nothing."""

    def committed(self, events: Sequence[Event]) -> None:
        """Count nothing."""

    def asked_registry(self, operation: str, seconds: float, error: str = "") -> None:
        """Count nothing."""

    def slack_failed(self, code: str) -> None:
        """Count nothing."""

    def checked(self, outcome: CheckOutcome, delay: timedelta | None) -> None:
        """Count nothing."""


UNOBSERVED: Final = Unobserved()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a monitor asks a source: the points of `query` after `since` and up to `until`, of the model's version.

    `source` is the source's name in the policy. `since` is the beginning of the version's term at the earliest.
    """

    monitor: str
    source: str
    model: str
    version: int
    query: str
    since: datetime
    until: datetime
    timeout: timedelta = timedelta(seconds=10)


class MetricSource(Protocol):
    """Where measurements come from. New kinds are plug-ins: the entry points `registrar.sources`, by their type."""

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer to each query, in order; what many ask is asked once.

        What goes wrong with one query is its answer's ERROR. May raise Unreachable or Misconfigured where it goes
        wrong for all of them; it keeps to the queries' time limits.
        """
        ...

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return the points that it still knows, about one every `step`, for a backtest; older versions' included."""
        ...


class ServingProbes(Protocol):
    """The serving side, asked which version it serves."""

    def version(self, probe: ServingProbe, model: str) -> str:
        """Return the version that it reports, as text. Raises Unreachable with a sentence that says why not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An answered call of the HTTP API that carried an Idempotency-Key. `digest` is of what was sent."""

    client: str
    key: str
    digest: str
    status: int
    answer: str
    at: datetime


class Outcome(Enum):
    """What became of one delivery."""

    DELIVERED = "delivered"
    LATER = "later"  # try again after `wait`
    UNKNOWN = "unknown"  # the answer was lost: look for the key before trying again
    NEVER = "never"  # Slack refuses it for good


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of one delivery, with where it stands or why not. `is_new`: it was posted, not edited or found."""

    outcome: Outcome
    posting: Posting | None = None
    wait: timedelta = timedelta(0)
    why: str = ""
    is_new: bool = False


class Notifier(Protocol):
    """Whoever tells people: Slack."""

    def deliver(self, note: Note) -> Delivery:
        """Deliver one note. Never raises for what Slack answers.

        After `note.claimed_until` somebody else may be delivering it, so then nothing is sent any more.
        """
        ...

    def take_back(self, posting: Posting) -> None:
        """Delete a message of ours that is there twice, if that can be done."""
        ...


class PolicyFile(Protocol):
    """Where the policy is written down."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def has_changed(self) -> bool:
        """Tell whether it may have changed since this was asked last; yes at the first time."""
        ...

    def text(self) -> str:
        """Return its text. Raises Misconfigured where it cannot be read."""
        ...

    def parse(self, text: str) -> Policy:
        """Return the policy that a text means. Raises Misconfigured with every fault."""
        ...


class AnchorFile(Protocol):
    """A file that lines can only be added to."""

    def append(self, path: str, line: str) -> None:
        """Add the line, its end included, and let it reach the disk. Raises Misconfigured."""
        ...


class Directory(Protocol):
    """Who people are, as Slack tells it now (at most 60 s old)."""

    def profile(self, person: Person) -> Profile:
        """Return the person's standing and user groups. Raises SlackUnreachable when it cannot be learnt."""
        ...

    def members(self, ids: Sequence[str]) -> list[str]:
        """Return the users behind user and user group ids, sorted; of what Slack does not tell now, nobody."""
        ...

    def names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return what people see in place of user and user group ids; what Slack does not tell is left out."""
        ...
