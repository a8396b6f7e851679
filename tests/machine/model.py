"""What has to happen, said a second time and as plainly as can be: the machine holds the services against this.

Nothing here asks the code under test whether somebody may do something or what votes add up to. People are names,
stages are MLflow's words, and a request is known by the ask that it came of. What the services say with an error, the
model says with an error of the same class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.errors import (
    AlreadyDecided,
    AlreadyOpen,
    BadInput,
    GateFailed,
    Refused,
    RegistrarError,
    RegistryRefused,
    RegistryUnreachable,
    UnknownVersion,
    Unreachable,
)
from bot.services.errands import ASK_RETRY, ASK_RETRY_MOST, FIRST_TRY
from bot.services.moves import FROZEN_PAUSE, LEASE, RETRY, RETRY_MOST, TRIES

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

ACCURACY, F1 = "accuracy", "f1"
AT_LEAST, MARGIN = 0.8, 0.01  # what the gates ask of the two metrics


class Died(BaseException):
    """The process is gone, in the middle of what it did."""


class Stumbled(Exception):
    """A bug of ours."""


@dataclass(frozen=True)
class Hand:
    """Somebody moves a version in MLflow, behind our back; None as `stage` deletes it."""

    model: str
    version: int
    stage: str | None
    archive: bool = True


@dataclass(frozen=True)
class Mishap:
    """What happens right before or after the next call of this name to the registry.

    `what`: the process dies, it stumbles over a bug, the answer is lost, the registry refuses, somebody moves a version
    by hand, or this process hangs until another one has taken over.
    """

    when: str
    call: str
    what: str | Hand


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

    @property
    def decides(self) -> tuple[object, ...]:
        """Return the part that decisions rest on: a request under another one is out of date."""
        return self.approvers, self.required, self.own, self.gates, self.override


@dataclass
class Ask:
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


@dataclass
class Request:
    """A request. `seen` are the version's figures when it was opened, `failed` the gates that it did not pass."""

    ask: Ask
    from_stage: str
    incumbent: int | None
    rule: Rule
    seen: dict[str, float]
    failed: frozenset[str]
    opened: datetime
    state: str = "pending"
    votes: dict[str, str] = field(default_factory=dict)
    overridden: bool = False
    reminded: int = 0

    @property
    def expires(self) -> datetime:
        """Return when its time is over."""
        return self.opened + self.rule.lives

    @property
    def approvals(self) -> int:
        """Return how many say yes."""
        return list(self.votes.values()).count("approve")


@dataclass
class Move:
    """A move that was decided. `attempts` counts the claims: who comes back late with an older number has lost it."""

    request: Request
    by: str
    state: str = "intended"
    attempts: int = 0
    owner: str = ""
    until: datetime | None = None
    not_before: datetime | None = None


@dataclass
class Freeze:
    """Production of one model, or with None of all, does not move."""

    model: str | None
    until: datetime | None
    lifted: bool = False


@dataclass(frozen=True)
class Look:
    """A model as the poll saw it last."""

    at: datetime
    stages: dict[int, str]
    aliases: dict[str, int]
    change: int


Told = tuple[str, str, str, object]  # an audit event: its tag, who, about what, and how many or whom


class Model:
    """Ledger, registry and processes, as they have to be."""

    def __init__(self, now: datetime, stages: dict[str, dict[int, str]]) -> None:
        self.now = now
        self.stages = stages
        self.aliases: dict[str, dict[str, int]] = {model: {} for model in stages}
        self.metrics: dict[tuple[str, int], dict[str, float]] = {}
        self.changes: Counter[str] = Counter()
        self.down = False
        self.rules: dict[tuple[str, str], Rule] = {}
        self.freezes: list[Freeze] = []
        self.asks: dict[str, Ask] = {}
        self.requests: dict[str, Request] = {}
        self.moves: dict[str, list[Move]] = {model: [] for model in stages}
        self.left: dict[str, list[tuple[Move, int]]] = {}  # by process: claimed, and dropped by a bug
        self.looks: dict[str, Look] = {}
        self.has_polled = False
        self.mishaps: list[Mishap] = []
        self.told: list[Told] = []
        self.overtake: Callable[[str], None] = lambda model: None

    # -- the registry ----------------------------------------------------------------------------------------------

    @contextmanager
    def asking(self, call: str, model: str) -> Iterator[None]:
        """Make one call to the registry, with what happens on the way."""
        self._happens("before", call, model)
        if self.down:
            raise RegistryUnreachable("")
        yield
        self._happens("after", call, model)

    def _happens(self, when: str, call: str, model: str) -> None:
        mishap = next((one for one in self.mishaps if (one.when, one.call) == (when, call)), None)
        if mishap:
            self.mishaps.remove(mishap)
            self._strike(mishap.what, model)

    def _strike(self, what: str | Hand, model: str) -> None:
        if isinstance(what, Hand):
            self.by_hand(what)
        elif what == "overtaken":
            self.overtake(model)
        else:
            raise strike(what)

    def holders(self, model: str, stage: str) -> list[int]:
        """Return who holds a stage, newest first."""
        return sorted((number for number, held in self.stages[model].items() if held == stage), reverse=True)

    def by_hand(self, hand: Hand) -> None:
        """Let somebody move or delete a version in MLflow; of one that is gone nothing comes."""
        if hand.version not in self.stages[hand.model]:
            return
        if hand.stage is None:
            del self.stages[hand.model][hand.version]
            names = self.aliases[hand.model]
            self.aliases[hand.model] = {alias: v for alias, v in names.items() if v != hand.version}
            self.changes[hand.model] += 1
        else:
            self._put(hand.model, hand.version, hand.stage, hand.archive)

    def _put(self, model: str, version: int, stage: str, archive: bool) -> None:
        if version not in self.stages[model]:
            raise UnknownVersion("")
        for other in self.holders(model, stage) if archive and stage in ALIASES else []:
            self.stages[model][other] = ARCHIVED
        self.stages[model][version] = stage
        self.changes[model] += 1

    def _fails(self, rule: Rule, model: str, version: int, incumbent: int | None, told: dict[str, float]) -> set[str]:
        """Return which gates fail; `told` are the asker's own results, which count where the run has none."""
        value = told | self.metrics[model, version]
        before = self.metrics[model, incumbent] if incumbent is not None else {}
        failed = set()
        if ACCURACY in rule.gates and value.get(ACCURACY, 0) < AT_LEAST:
            failed.add(ACCURACY)
        if F1 in rule.gates:
            is_worse = incumbent is not None and (F1 not in before or value.get(F1, 0) < before[F1] - MARGIN - 1e-9)
            if F1 not in value or is_worse:
                failed.add(F1)
        return failed

    # -- asking ----------------------------------------------------------------------------------------------------

    def may_ask(self, who: str) -> bool:
        """Tell whether somebody may ask for something; guests, strangers and bots may not."""
        return who in MAY_ASK

    def ask(self, ask: Ask) -> str:
        """Write down what somebody asks for."""
        self.asks[ask.id] = ask
        ask.not_before = self.now + FIRST_TRY
        self._tell("person:promotion:asked", ask.who, f"ask:{ask.id}")
        return "asked"

    def refuse_to_ask(self, who: str) -> str:
        """Refuse somebody who may not ask."""
        self._tell("person:promotion:refused", who, "ask:")
        raise Refused("")

    def carry_out(self, ask_id: str) -> str:
        """Open the request that was asked for, or say why not."""
        ask = self.asks[ask_id]
        if ask_id in self.requests:
            return "opened"
        try:
            self._open(ask)
        except Unreachable:
            self._postpone(ask)
            raise
        except RegistrarError:
            if ask.waits:
                ask.waits = False
                self._tell("person:promotion:refused", ask.who, f"ask:{ask.id}")
            raise
        return "opened"

    def carry_out_waiting(self) -> str:
        """Try again what waits and is due, in the order of asking, until the registry is found away."""
        due = [ask for ask in self.asks.values() if ask.waits and ask.not_before <= self.now]
        for ask in sorted(due, key=lambda one: one.at):
            try:
                self.carry_out(ask.id)
            except Unreachable:
                break
            except RegistrarError:
                pass
            except Stumbled:
                self._postpone(ask)
        return "tried"

    def _open(self, ask: Ask) -> None:
        model, rule = ask.model, self.rules[ask.model, ask.target]
        for call in ("model", "versions"):
            with self.asking(call, model):
                stages = dict(self.stages[model])
        if ask.version not in stages:
            raise UnknownVersion("")
        if not rule.approvers:
            raise Refused("")
        if stages[ask.version] in {ask.target, PRODUCTION}:
            raise BadInput("")
        incumbent = max((number for number, stage in stages.items() if stage == ask.target), default=None)
        with self.asking("runs", model):
            failed = self._fails(rule, model, ask.version, incumbent, ask.validation)
            seen = dict(self.metrics[model, ask.version])
        if failed and not rule.override:
            raise GateFailed("", {})
        if not ask.waits:
            raise Refused("")
        if self.open_request(model, ask.target):
            raise AlreadyOpen("")
        ask.waits = False
        self.requests[ask.id] = Request(
            ask=ask, from_stage=stages[ask.version], incumbent=incumbent, rule=rule, seen=seen,
            failed=frozenset(failed), opened=self.now,
        )  # fmt: skip
        self._tell("registrar:request:opened", ask.who, ask.id)

    def open_request(self, model: str, target: str) -> Request | None:
        """Return the one request of a model and target that has not ended."""
        states = {"pending", "approved", "executing"}
        found = [one for one in self.requests.values() if (one.ask.model, one.ask.target) == (model, target)]
        return next((one for one in found if one.state in states), None)

    def _postpone(self, ask: Ask) -> None:
        if ask.waits:
            ask.not_before = self.now + min(ASK_RETRY * 2**ask.attempts, ASK_RETRY_MOST)
            ask.attempts += 1

    # -- deciding --------------------------------------------------------------------------------------------------

    def vote(self, who: str, ask_id: str, choice: str) -> str:
        """Let somebody press Approve or Reject."""
        request = self._admit(who, choice, ask_id)
        if who in request.votes:
            raise self._refused(who, request)
        request.votes[who] = choice
        self._tell("person:request:voted", who, ask_id, request.approvals)
        if choice == "reject":
            self._end(request, "rejected", "registrar:request:rejected", who)
        else:
            self._decide(request)
        return request.state

    def withdraw(self, who: str, ask_id: str) -> str:
        """Let somebody take their vote back."""
        request = self._admit(who, "withdraw", ask_id)
        if who not in request.votes:
            raise self._refused(who, request)
        del request.votes[who]
        self._tell("person:request:withdrawn", who, ask_id, request.approvals)
        return request.state

    def override(self, who: str, ask_id: str) -> str:
        """Let somebody let the failed gates pass."""
        request = self._admit(who, "override", ask_id)
        if not request.failed or request.overridden:
            raise self._refused(who, request)
        request.overridden = True
        self._tell("person:request:overridden", who, ask_id)
        self._decide(request)
        return request.state

    def cancel(self, who: str, ask_id: str) -> str:
        """Let somebody take a request back."""
        request = self._admit(who, "cancel", ask_id)
        self._end(request, "cancelled", "person:request:cancelled", who)
        return request.state

    def _decide(self, request: Request) -> None:
        if request.approvals < request.rule.required or (request.failed and not request.overridden):
            return
        request.state, last = "approved", list(request.votes)[-1]
        self.moves[request.ask.model].append(Move(request, by=last))
        self._tell("registrar:request:approved", last, request.ask.id)

    def _admit(self, who: str, act: str, ask_id: str) -> Request:
        request = self.requests[ask_id]
        if who in OUTSIDERS:
            raise self._refused(who, request)
        if request.state == "pending" and self.now >= request.expires:
            self._end(request, "expired", "registrar:request:expired", CLOCK)
        elif request.state == "pending" and act in {"approve", "override"} and self._is_out_of_date(request):
            self._end(request, "stale", "registrar:request:stale", CLOCK)
        if request.state != "pending":
            raise self._refused(who, request, AlreadyDecided)
        if not self._may(who, act, request):
            raise self._refused(who, request)
        return request

    def _may(self, who: str, act: str, request: Request) -> bool:
        rule = self.rules[request.ask.model, request.ask.target]
        asked = who in {request.ask.who, SAME_PERSON.get(request.ask.who)}
        if act == "cancel":
            return (who in MEMBERS | PROGRAMS and asked) or who in ADMINS
        if who not in MEMBERS:
            return False
        if act == "withdraw":
            return True
        if act in {"approve", "override"} and request.ask.target == PRODUCTION and self.frozen(request.ask.model):
            return False
        if act == "override":
            return who in rule.override
        return who in rule.approvers and (rule.own or not asked)

    def _is_out_of_date(self, request: Request) -> bool:
        ask, look = request.ask, self.looks.get(request.ask.model)
        if self.rules[ask.model, ask.target].decides != request.rule.decides:
            return True
        if look is None or look.at <= request.opened or ask.keep:
            return False
        held = [number for number, stage in look.stages.items() if stage == ask.target]
        return look.stages.get(ask.version) != request.from_stage or max(held, default=None) != request.incumbent

    def _refused(self, who: str, request: Request, kind: type[Refused] = Refused) -> Refused:
        self._tell("person:request:refused", who, request.ask.id)
        return kind("")

    def _end(self, request: Request, state: str, tag: str, who: str) -> None:
        request.state = state
        self._tell(tag, who, request.ask.id)

    # -- the clock -------------------------------------------------------------------------------------------------

    def expire(self) -> str:
        """End what nobody decided in time."""
        late = [one for one in self.requests.values() if one.state == "pending" and self.now >= one.expires]
        for request in late:
            self._end(request, "expired", "registrar:request:expired", CLOCK)
        return str(len(late))

    def refresh(self) -> str:
        """End what the ledger knows to be out of date."""
        out = [one for one in self.requests.values() if one.state == "pending" and self._is_out_of_date(one)]
        for request in out:
            self._end(request, "stale", "registrar:request:stale", CLOCK)
        return str(len(out))

    def remind(self) -> str:
        """Remind whoever can decide and has not voted; each pause is twice as long as the one before."""
        count = 0
        for request in self.requests.values():
            rule = self.rules[request.ask.model, request.ask.target]
            if request.state != "pending" or rule.remind is None:
                continue
            if self.now < request.opened + rule.remind * (2 ** (request.reminded + 1) - 1):
                continue
            request.reminded, count = request.reminded + 1, count + 1
            asker = set() if rule.own else {request.ask.who}
            people = sorted(rule.approvers - set(request.votes) - asker)
            self._tell("registrar:request:reminded", CLOCK, request.ask.id, people)
        return str(count)

    def poll(self) -> str:
        """Look at every model that changed and is not being moved."""
        with self.asking("models", ""):
            pass
        for model in sorted(self.stages):
            before = self.looks.get(model)
            is_busy = any(move.state in {"intended", "executing"} for move in self.moves[model])
            if before and (before.change, before.aliases) == (self.changes[model], self.aliases[model]):
                continue
            if is_busy and (before or self.has_polled):
                continue
            with self.asking("versions", model):
                stages = dict(self.stages[model])
            self.looks[model] = Look(self.now, stages, dict(self.aliases[model]), self.changes[model])
        self.has_polled = True
        return "polled"

    # -- freezing --------------------------------------------------------------------------------------------------

    def frozen(self, model: str) -> bool:
        """Tell whether nothing of the model may move in Production now."""
        return any(self._is_active(one) for one in self.freezes if one.model in {None, model})

    def _is_active(self, freeze: Freeze) -> bool:
        return not freeze.lifted and (freeze.until is None or self.now < freeze.until)

    def freeze(self, who: str, model: str | None, lasts: timedelta | None) -> str:
        """Let somebody freeze Production."""
        self._admit_to_freezing(who, model)
        self.freezes.append(Freeze(model, self.now + lasts if lasts else None))
        self._tell("person:production:frozen", who, "freeze")
        return "frozen"

    def unfreeze(self, who: str, model: str | None) -> str:
        """Let somebody lift what was frozen under this name."""
        self._admit_to_freezing(who, model)
        lifted = [one for one in self.freezes if one.model == model and self._is_active(one)]
        if not lifted:
            raise BadInput("")
        for freeze in lifted:
            freeze.lifted = True
            self._tell("person:production:unfrozen", who, "freeze")
        return "unfrozen"

    def _admit_to_freezing(self, who: str, model: str | None) -> None:
        named = self.rules[model, PRODUCTION].approvers if model else LEADS
        if who not in MEMBERS or who not in ADMINS | named:
            self._tell("person:registry:refused", who, model or "registry")
            raise Refused("")

    # -- moving ----------------------------------------------------------------------------------------------------

    def run(self, process: str, model: str) -> str:
        """Let a process make the model's moves that are due."""
        for left, claim in self.left.pop(process, []):
            self._release(left, claim, _pause(claim))
        while (move := self._claim(process, model)) is not None:
            claim = move.attempts
            try:
                if not self._is_dealt_with(move, claim):
                    break
            except Stumbled:
                self.left.setdefault(process, []).append((move, claim))
                raise
        return "ran"

    def restart(self, process: str, *, is_known_dead: bool) -> None:
        """Start a process anew; whoever knows that the old one is gone ends its leases."""
        self.left.pop(process, None)
        for move in [move for moves in self.moves.values() for move in moves]:
            if is_known_dead and move.state == "executing" and move.owner == process:
                move.until = None

    def _claim(self, process: str, model: str) -> Move | None:
        held = next((move for move in self.moves[model] if move.state == "executing"), None)
        if held is not None:
            found = held if held.until is None or held.until <= self.now else None
        else:
            due = [one for one in self.moves[model] if one.not_before is None or one.not_before <= self.now]
            found = next((one for one in due if one.state == "intended"), None)
        if found is not None:
            found.state, found.request.state = "executing", "executing"
            found.owner, found.until, found.attempts = process, self.now + LEASE, found.attempts + 1
        return found

    def _is_dealt_with(self, move: Move, claim: int) -> bool:
        try:
            end = self._make(move, claim)
        except Unreachable:
            self._release(move, claim, _pause(claim))
            return False
        except RegistrarError:
            end = "failed"
        if end == "frozen":
            self._release(move, claim, FROZEN_PAUSE)
        elif _is_ours(move, claim):  # else another process has it, or has ended it
            move.state = move.request.state = end
            tag = {"done": "registrar:version:moved"}.get(end, f"registrar:request:{end}")
            self._tell(tag, CLOCK if end == "stale" else move.by, move.request.ask.id)
        return True

    def _release(self, move: Move, claim: int, pause: timedelta) -> None:
        if _is_ours(move, claim):
            move.state, move.request.state = "intended", "approved"
            move.not_before = self.now + pause

    def _make(self, move: Move, claim: int) -> str:
        ask = move.request.ask
        model, version, target = ask.model, ask.version, ask.target
        for _ in range(TRIES):
            with self.asking("versions", model):
                step = self._step(move.request)
            if step == "move" and target == PRODUCTION and self.frozen(model):
                return "frozen"
            if step == "move" and self._has_drifted(move.request):
                step = "stale"
            if step == "stale":
                return "stale"
            if step == "move":
                _check_is_ours(move, claim)
                with self.asking("transition", model):
                    self._put(model, version, target, archive=not ask.keep)
            _check_is_ours(move, claim)
            has_alias = self._name(model, version, ALIASES[target])
            if self._is_read_back(ask, has_alias):
                return "done"
        with self.asking("versions", model):
            held = self.holders(model, target)
        if version in held if ask.keep else held == [version]:
            return "done"
        raise RegistryRefused("")

    def _step(self, request: Request) -> str:
        ask, stage = request.ask, self.stages[request.ask.model].get(request.ask.version)
        held = self.holders(ask.model, ask.target)
        others = [number for number in held if number != ask.version]
        if stage == ask.target and (ask.keep or not others):
            return "name"  # it is there already: an earlier try got so far, or somebody did what was asked
        if stage not in {request.from_stage, ask.target}:
            return "stale"
        return "move" if max(others, default=None) == request.incumbent else "stale"

    def _has_drifted(self, request: Request) -> bool:
        ask, rule = request.ask, self.rules[request.ask.model, request.ask.target]
        if rule.decides != request.rule.decides:
            return True
        with self.asking("runs", ask.model):
            now = self.metrics[ask.model, ask.version]
            failed = self._fails(rule, ask.model, ask.version, request.incumbent, ask.validation)
        return now != request.seen or bool(failed - (request.failed if request.overridden else set()))

    def _name(self, model: str, version: int, alias: str) -> bool:
        try:
            with self.asking("set_alias", model):
                if version not in self.stages[model]:
                    raise UnknownVersion("")
                self.aliases[model][alias] = version
        except RegistryRefused:
            return False
        return True

    def _is_read_back(self, ask: Ask, has_alias: bool) -> bool:
        with self.asking("version" if ask.keep else "model", ask.model):
            if ask.keep and ask.version not in self.stages[ask.model]:
                raise UnknownVersion("")
            is_named = self.aliases[ask.model].get(ALIASES[ask.target]) == ask.version
            held = self.holders(ask.model, ask.target)
        is_there = ask.version in held if ask.keep else held[:1] == [ask.version]
        return is_there and (is_named or not has_alias)

    def _tell(self, tag: str, who: str, about: str, more: object = None) -> None:
        self.told.append((tag, who, about, more))


def strike(what: str) -> BaseException:
    """Return what is raised when this happens."""
    errors: dict[str, BaseException] = {
        "dies": Died(), "stumbles": Stumbled(), "away": RegistryUnreachable("It does not answer."),
        "refuses": RegistryRefused("It says no."),
    }  # fmt: skip
    return errors[what]


def _is_ours(move: Move, claim: int) -> bool:
    """Tell whether who made this claim still holds the move; nobody has it whom another process has taken over."""
    return move.attempts == claim and move.state == "executing"


def _check_is_ours(move: Move, claim: int) -> None:
    if not _is_ours(move, claim):
        raise AlreadyDecided("")


def _pause(claim: int) -> timedelta:
    doubled: int = 2 ** min(claim - 1, 10)
    return min(RETRY * doubled, RETRY_MOST)
