"""What has to happen, said a second time and as plainly as can be: the machine holds the services against this.

Nothing here asks the code under test whether somebody may do something or what votes add up to. People are names,
stages are MLflow's words, and a request is known by the ask that it came of. What the services say with an error, the
model says with an error of the same class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

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
from bot.services.errands import ASK_RETRY, FIRST_TRY
from bot.services.fitness import KNOWN_FOR
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

ACCURACY, F1, NOT_BLOCKED = "accuracy", "f1", "not_blocked"
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
    is_back: bool = False  # not a promotion is asked for, but the way back to a version that served


@dataclass
class Request:
    """A request. `seen` are the version's figures when it was opened, `failed` the gates that it did not pass.

    `made` and `incumbent_made` tell the version and the incumbent from others that get their numbers later.
    """

    ask: Ask
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
class Move:
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
class Found:
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
class Look:
    """A model as the poll saw it last."""

    at: datetime
    stages: dict[int, str]
    aliases: dict[str, int]
    change: int
    made: dict[int, int]


Told = tuple[str, str, str, object]  # an audit event: its tag, who, about what, and how many or whom


class Model:
    """Ledger, registry and processes, as they have to be."""

    def __init__(self, now: datetime, models: Sequence[str]) -> None:
        self.now = now
        self.stages: dict[str, dict[int, str]] = {model: {} for model in models}
        self.made: dict[str, dict[int, int]] = {model: {} for model in models}  # which one each version is
        self.highest: Counter[str] = Counter()
        self.number_made = 0
        self.aliases: dict[str, dict[str, int]] = {model: {} for model in models}
        self.metrics: dict[tuple[str, int], dict[str, float]] = {}
        self.changes: Counter[str] = Counter()
        self.down = False
        self.rules: dict[tuple[str, str], Rule] = {}
        self.gone: set[str] = set()  # whose account is deactivated
        # since when versions are blocked that were rolled back, and which versions these are
        self.bars: dict[tuple[str, int], tuple[datetime, int | None]] = {}
        self.known: dict[tuple[str, str, int, int | None], datetime] = {}  # by process: when a version was found fit
        self.freezes: list[Freeze] = []
        self.asks: dict[str, Ask] = {}
        self.requests: dict[str, Request] = {}
        self.moves: dict[str, list[Move]] = {model: [] for model in models}
        self.past: dict[str, list[Move | Found]] = {model: [] for model in models}
        self.left: dict[str, list[tuple[Move, int]]] = {}  # by process: claimed, and dropped by a bug
        self.looks: dict[str, Look] = {}
        self.has_polled = False
        self.mishaps: list[Mishap] = []
        self.told: list[Told] = []
        self.process = ""  # that makes moves now
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

    def add(self, model: str, stage: str, figures: dict[str, float]) -> None:
        """Let somebody register a version."""
        self.highest[model] += 1
        self.number_made += 1
        number = self.highest[model]
        self.stages[model][number], self.made[model][number] = stage, self.number_made
        self.metrics[model, number] = figures
        self.changes[model] += 1

    def clear(self, model: str) -> None:
        """Let somebody delete a model and create it again, without versions."""
        self.stages[model], self.made[model], self.aliases[model], self.highest[model] = {}, {}, {}, 0
        self.metrics = {key: figures for key, figures in self.metrics.items() if key[0] != model}
        self.changes[model] += 1

    def replace(self, model: str, version: int) -> None:
        """Let another version be found under a number; its figures are the same."""
        self.number_made += 1
        self.made[model][version] = self.number_made
        self.changes[model] += 1

    def swap(self, one: str, other: str) -> None:
        """Let somebody rename two models, so that each is found under the other's name."""
        names = {one: other, other: one}
        tables: list[dict[str, Any]] = [self.stages, self.made, self.aliases, self.highest]
        for table in tables:
            table[one], table[other] = table[other], table[one]
        self.metrics = {(names[model], number): figures for (model, number), figures in self.metrics.items()}
        self.changes.update([one, other])

    def by_hand(self, hand: Hand) -> None:
        """Let somebody move or delete a version in MLflow; of one that is gone nothing comes."""
        if hand.version not in self.stages[hand.model]:
            return
        if hand.stage is None:
            del self.stages[hand.model][hand.version], self.made[hand.model][hand.version]
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
        if self.is_blocked(model, version):
            failed.add(NOT_BLOCKED)
        return failed

    def is_blocked(self, model: str, version: int) -> bool:
        """Tell whether this version was rolled back as bad, and not another one that had its number."""
        _, out = self.bars.get((model, version), (None, 0))
        return out is None or out == self.made[model].get(version)

    # -- asking ----------------------------------------------------------------------------------------------------

    def may_ask(self, who: str) -> bool:
        """Tell whether somebody may ask for something; guests, strangers and bots may not."""
        return who in MAY_ASK - self.gone

    def ask(self, ask: Ask) -> str:
        """Write down what somebody asks for."""
        self.asks[ask.id] = ask
        ask.not_before = self.now + FIRST_TRY
        self._tell("person:registry:asked" if ask.is_back else "person:promotion:asked", ask.who, f"ask:{ask.id}")
        return "asked"

    def refuse_to_ask(self, who: str, tag: str = "person:promotion:refused") -> str:
        """Refuse somebody who may not ask."""
        self._tell(tag, who, "ask:")
        raise Refused("")

    def may_roll_back(self, who: str, model: str) -> bool:
        """Tell whether somebody may ask for the way back: admins, approvers for Production, and monitors."""
        person = SAME_PERSON.get(who, who)
        is_here = who != person or who in MEMBERS - self.gone
        return who == "monitor" or (is_here and person in ADMINS | self.rules[model, PRODUCTION].approvers)

    def carry_out(self, ask_id: str, process: str) -> str:
        """Open the request that was asked for, or say why not."""
        ask = self.asks[ask_id]
        if ask_id in self.requests:
            return "opened"
        try:
            if ask.is_back:
                self._roll_back(ask, process)
            else:
                self._open(ask)
        except Unreachable:
            self._postpone(ask)
            raise
        except RegistrarError:
            if ask.waits:
                ask.waits = False
                tag = "person:registry:failed" if ask.is_back else "person:promotion:refused"
                self._tell(tag, ask.who, f"ask:{ask.id}")
            raise
        return "opened"

    def carry_out_waiting(self, process: str) -> str:
        """Try again what waits and is due, in the order of asking, until the registry is found away."""
        due = [ask for ask in self.asks.values() if ask.waits and ask.not_before <= self.now]
        for ask in sorted(due, key=lambda one: one.at):
            try:
                self.carry_out(ask.id, process)
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
                stages, made = dict(self.stages[model]), dict(self.made[model])
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
            ask=ask,
            from_stage=stages[ask.version],
            incumbent=incumbent,
            rule=rule,
            seen=seen,
            failed=frozenset(failed),
            opened=self.now,
            made=made[ask.version],
            incumbent_made=made[incumbent] if incumbent else None,
        )
        self._tell("registrar:request:opened", ask.who, ask.id)

    def _roll_back(self, ask: Ask, process: str) -> None:
        """Write down the way back to a version that served, unless it is blocked or serves."""
        model, version = ask.model, ask.version
        if not ask.waits:
            raise Refused("")
        last = self.last(model)
        incumbent = last.version if last and last.stages[1] == PRODUCTION else None
        if not any(one.state == "done" and one.stages[1] == PRODUCTION for one in self.past[model]):
            for call in ("model", "versions"):
                with self.asking(call, model):
                    pass
            incumbent = max(self.holders(model, PRODUCTION), default=None)
        if version == incumbent:
            raise BadInput("")
        if self.is_no_target(model, version):
            raise Refused("")
        made = self._served(model, version)[-1].made
        self._look_at_files(process, model, version, incumbent)
        ask.waits = False
        back = Request(
            ask=ask,
            from_stage=ARCHIVED,
            incumbent=incumbent,
            rule=Rule(),
            seen={},
            failed=frozenset(),
            opened=self.now,
            made=made or 0,
            incumbent_made=None,
            state="approved",
        )
        move = Move(back, by=ask.who)
        self.moves[model].append(move)
        self.past[model].append(move)

    def _served(self, model: str, version: int) -> list[Move | Found]:
        """Return the moves that put a version into Production which is still there, as the last look has it."""
        look = self.looks.get(model)
        entries = [
            one
            for one in self.past[model]
            if one.state == "done" and one.ended and (one.version, one.stages[1]) == (version, PRODUCTION)
        ]
        return [
            one
            for one in entries
            if look is None or (one.ended and look.at < one.ended) or look.made.get(version) == one.made
        ]

    def is_no_target(self, model: str, version: int) -> bool:
        """Tell whether nothing goes back to a version: it never served, was replaced, or is blocked."""
        return (model, version) in self.bars or not self._served(model, version)

    def _look_at_files(self, process: str, model: str, version: int, incumbent: int | None) -> None:
        """Read run and files of a version, unless this process did so lately."""
        known = self.known.get((process, model, version, incumbent))
        if known is not None and timedelta(0) <= self.now - known < KNOWN_FOR:
            return
        with self.asking("version", model):
            if version not in self.stages[model]:
                raise UnknownVersion("")
        with self.asking("runs", model):
            pass
        if incumbent is not None:
            with self.asking("version", model):
                pass
        self.known[process, model, version, incumbent] = self.now

    def last(self, model: str) -> Move | Found | None:
        """Return what moved Production last, as far as the ledger knows."""
        past = [one for one in self.past[model] if one.state == "done" and PRODUCTION in one.stages]
        return past[-1] if past else None

    def open_request(self, model: str, target: str) -> Request | None:
        """Return the one request of a model and target that has not ended."""
        states = {"pending", "approved", "executing"}
        found = [one for one in self.requests.values() if (one.ask.model, one.ask.target) == (model, target)]
        return next((one for one in found if one.state in states), None)

    def _postpone(self, ask: Ask) -> None:
        if ask.waits:
            ask.not_before = self.now + ASK_RETRY
            ask.attempts += 1

    # -- deciding --------------------------------------------------------------------------------------------------

    def vote(self, who: str, ask_id: str, choice: str) -> str:
        """Let somebody press Approve or Reject."""
        request = self._admit(who, choice, ask_id)
        if choice == "approve" and request.approvals + 1 >= request.rule.required:
            self._lapse(request)
        if who in request.votes and who not in request.lapsed:
            raise self._refused(who, request)
        request.take_vote(who)
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
        request.take_vote(who)
        self._tell("person:request:withdrawn", who, ask_id, request.approvals)
        return request.state

    def override(self, who: str, ask_id: str) -> str:
        """Let somebody let the failed gates pass."""
        request = self._admit(who, "override", ask_id)
        if not request.failed or request.overridden:
            raise self._refused(who, request)
        request.overridden, request.overrider = True, who
        self._tell("person:request:overridden", who, ask_id)
        if request.approvals >= request.rule.required:
            self._lapse(request)
        self._decide(request)
        return request.state

    def cancel(self, who: str, ask_id: str) -> str:
        """Let somebody take a request back."""
        request = self._admit(who, "cancel", ask_id)
        self._end(request, "cancelled", "person:request:cancelled", who)
        return request.state

    def _lapse(self, request: Request) -> None:
        """Let the approvals of those no longer count who could not give them now."""
        for who in [one for one in request.approvers if not self._may(one, "reject", request)]:
            request.lapsed.add(who)
            self._tell("registrar:vote:lapsed", CLOCK, request.ask.id)

    def _decide(self, request: Request) -> None:
        if request.approvals < request.rule.required or (request.failed and not request.overridden):
            return
        request.state, last = "approved", request.approvers[-1]
        move = Move(request, by=last)
        self.moves[request.ask.model].append(move)
        self.past[request.ask.model].append(move)
        self._tell("registrar:request:approved", last, request.ask.id)

    def _admit(self, who: str, act: str, ask_id: str) -> Request:
        request = self.requests[ask_id]
        if who in OUTSIDERS | self.gone:
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
        if who in self.gone:
            return False
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
        if self._came_and_went(request):
            return True
        if look is None or look.at <= request.opened:
            return False
        if ask.version in look.stages and look.made[ask.version] != request.made:
            return True
        if ask.keep:
            return False
        held = [number for number, stage in look.stages.items() if stage == ask.target]
        return look.stages.get(ask.version) != request.from_stage or max(held, default=None) != request.incumbent

    def _came_and_went(self, request: Request) -> bool:
        """Tell whether what was moved since shows that the request rests on something else."""
        barred, _ = self.bars.get((request.ask.model, request.ask.version), (None, 0))
        if barred is not None and barred > request.opened:
            return True
        past = [one for one in self.past[request.ask.model] if one.state == "done" and one.ended is not None]
        return any(self._is_news(request, one) for one in past if one.ended and one.ended > request.opened)

    def _is_news(self, request: Request, one: Move | Found) -> bool:
        ask, now = request.ask, one.stages[1]
        if isinstance(one, Move):
            is_another = one.request is not request
            return is_another and (one.version == ask.version or (not ask.keep and ask.target in one.stages))
        if now == PRODUCTION and one.version == ask.version:
            return True
        if ask.keep or ask.target != PRODUCTION:
            return False
        return one.version != request.incumbent if now == PRODUCTION else request.incumbent is not None

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
            people = sorted(rule.approvers - (set(request.votes) - request.lapsed) - asker)
            self._tell("registrar:request:reminded", CLOCK, request.ask.id, people)
        return str(count)

    def poll(self) -> str:
        """Look at every model that changed and is not being moved."""
        with self.asking("models", ""):
            pass
        for model in sorted(self.stages):
            before = self.looks.get(model)
            is_first = before is None and not self.has_polled
            if before and (before.change, before.aliases) == (self.changes[model], self.aliases[model]):
                continue
            is_busy = any(one.is_begun for one in self.moves[model])
            if is_busy and not is_first:
                continue
            with self.asking("versions", model):
                look = Look(
                    self.now,
                    dict(self.stages[model]),
                    dict(self.aliases[model]),
                    self.changes[model],
                    dict(self.made[model]),
                )
            if not is_busy:
                found = self._observed(model, look)
                self.past[model] = found + self.past[model] if is_first else self.past[model] + found
            self.looks[model] = look
        self.has_polled = True
        return "polled"

    def _observed(self, model: str, look: Look) -> list[Move | Found]:
        """Return how Production changed behind our back."""
        held = sorted((number for number, stage in look.stages.items() if stage == PRODUCTION), reverse=True)
        last = self.last(model)
        known = last.version if last and last.stages[1] == PRODUCTION else None
        if last and known in held:
            if last.made == look.made[last.version]:
                return []
            held = [last.version]
        elif known is None:  # each of them serves; who the alias names does for sure
            named = look.aliases.get(ALIASES[PRODUCTION])
            held = sorted(held, key=lambda one: (one == named, one))
        elif not held:
            gone_to = look.stages.get(known, NONE)
            return [Found(self.now, known, (PRODUCTION, gone_to), look.made.get(known))]
        else:
            held = held[:1]
        return [Found(self.now, one, (NONE, PRODUCTION), look.made[one]) for one in held]

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
        if who not in MEMBERS - self.gone or who not in ADMINS | named:
            self._tell("person:registry:refused", who, model or "registry")
            raise Refused("")

    # -- moving ----------------------------------------------------------------------------------------------------

    def run(self, process: str, model: str) -> str:
        """Let a process make the model's moves that are due."""
        was, self.process = self.process, process
        try:
            self._run(process, model)
        finally:
            self.process = was
        return "ran"

    def _run(self, process: str, model: str) -> None:
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

    def restart(self, process: str, *, is_known_dead: bool) -> None:
        """Start a process anew; whoever knows that the old one is gone ends its leases."""
        self.left.pop(process, None)
        self.known = {key: at for key, at in self.known.items() if key[0] != process}
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
            end = self._make_back(move, claim) if move.is_back else self._make(move, claim)
        except Unreachable:
            self._release(move, claim, RETRY)
            return False
        except RegistrarError:
            end = "failed"
        if end == "frozen":
            self._release(move, claim, FROZEN_PAUSE)
        elif _is_ours(move, claim):  # else another process has it, or has ended it
            move.state = "stale" if end == "expired" else end
            move.request.state, move.ended = end, self.now
            if move.is_back:
                self._end_back(move)
            else:
                tag = {"done": "registrar:version:moved"}.get(end, f"registrar:request:{end}")
                self._tell(tag, CLOCK if end in {"stale", "expired"} else move.by, move.request.ask.id)
        return True

    def _release(self, move: Move, claim: int, pause: timedelta) -> None:
        if _is_ours(move, claim):
            move.state, move.request.state = "intended", "approved"
            due = self.now + pause
            move.not_before = due if move.began or move.is_back else min(due, move.request.expires)

    def _make(self, move: Move, claim: int) -> str:
        ask = move.request.ask
        model, version, target = ask.model, ask.version, ask.target
        if not move.began and self.now >= move.request.expires:
            return "expired"
        for _ in range(TRIES):
            step, made = self._facts(move.request)
            if step == "move" and target == PRODUCTION and self.frozen(model):
                return "frozen"
            if step == "move" and self._has_drifted(move.request, made):
                step = "stale"
            if step != "stale" and not move.began and not self._is_still_let_pass(move, claim):
                step = "stale"
            if step == "stale":
                return "stale"
            if self._is_applied(move, claim, step):
                return "done"
        with self.asking("versions", model):
            held = self.holders(model, target)
        if version in held if ask.keep else held == [version]:
            return "done"
        raise RegistryRefused("")

    def _is_applied(self, move: Move, claim: int, step: str) -> bool:
        """Move the stage unless it is there already, then the alias; tell whether that is read back."""
        ask = move.request.ask
        _check_is_ours(move, claim)
        move.began = True
        if step == "move":
            with self.asking("transition", ask.model):
                self._put(ask.model, ask.version, ask.target, archive=not ask.keep)
            _check_is_ours(move, claim)
        return self._is_read_back(ask, has_alias=self._name(ask.model, ask.version, ALIASES[ask.target]))

    def _make_back(self, move: Move, claim: int) -> str:
        request = move.request
        model, version = request.ask.model, request.ask.version
        for _ in range(TRIES):
            step = self._step_back(request)
            if step == "move":
                is_stopped = move.by == "monitor" and self.frozen(model)
                if is_stopped or self.is_no_target(model, version):
                    return "stale"
                self._look_at_files(self.process, model, version, request.incumbent)
            if step == "stale":
                return "stale"
            if self._is_applied(move, claim, step):
                return "done"
        with self.asking("versions", model):
            if self.holders(model, PRODUCTION) == [version]:
                return "done"
        raise RegistryRefused("")

    def _step_back(self, request: Request) -> str:
        model, version, incumbent = request.ask.model, request.ask.version, request.incumbent
        stages, made = self.stages[model], self.made[model]
        with suppress(UnknownVersion):
            if incumbent is not None and self._read(model, incumbent) == PRODUCTION:
                with self.asking("version", model):
                    if version not in stages:
                        raise UnknownVersion("")
                    return "move" if made[version] == request.made else "stale"
        with self.asking("versions", model):
            held = self.holders(model, PRODUCTION)
            if made.get(version) != request.made:
                return "stale"
            if incumbent in held or (incumbent is None and not held):
                return "move"
            return "name" if version in held else "stale"

    def _read(self, model: str, version: int) -> str:
        """Return the stage of one version."""
        with self.asking("version", model):
            if version not in self.stages[model]:
                raise UnknownVersion("")
            return self.stages[model][version]

    def _end_back(self, move: Move) -> None:
        """Write down how a rollback ended; what it took out is blocked."""
        tag, out = "registrar:version:not_moved", move.request.incumbent
        if move.state == "done":
            tag = "registrar:version:rolled_back"
            if out is not None:
                model = move.request.ask.model
                ends = [
                    one
                    for one in self.past[model]
                    if one.state == "done" and one.stages[1] == PRODUCTION and one.version == out
                ]
                self.bars[model, out] = self.now, ends[-1].made if ends else None
        self._tell(tag, move.by, f"rollback:{move.request.ask.id}")

    def unblock(self, who: str, model: str, version: int) -> str:
        """Let somebody say that a version may be gone back to again."""
        if not self.may_roll_back(who, model) or who == "monitor":
            self._tell("person:registry:refused", who, model)
            raise Refused("")
        if self.bars.pop((model, version), None) is None:
            raise BadInput("")
        for request in [one for one in self.requests.values() if one.state == "pending"]:
            if (request.ask.model, request.ask.version) == (model, version) and NOT_BLOCKED in request.failed:
                request.failed -= {NOT_BLOCKED}
                if self.now < request.expires:
                    self._decide(request)
        self._tell("person:version:cleared", who, f"{model} v{version}")
        return "cleared"

    def _facts(self, request: Request) -> tuple[str, dict[int, int]]:
        """Read the registry; return what is left to do, and which versions there are."""
        model = request.ask.model
        with self.asking("versions", model):
            step, made = self._step(request), dict(self.made[model])
        if made:
            with self.asking("model", model):
                pass
        return step, made

    def _is_still_let_pass(self, move: Move, claim: int) -> bool:
        """Tell whether nothing came and went, and whether those who let it pass could do so now."""
        request = move.request
        if self._came_and_went(request):
            return False
        rule = self.rules[request.ask.model, request.ask.target]
        if request.overridden and request.overrider not in rule.override - self.gone:
            return False
        if all(self._may(who, "reject", request) for who in request.approvers):
            return True
        _check_is_ours(move, claim)
        self._lapse(request)
        return request.approvals >= request.rule.required

    def _step(self, request: Request) -> str:
        ask, stage = request.ask, self.stages[request.ask.model].get(request.ask.version)
        if self.made[ask.model].get(ask.version) != request.made:
            return "stale"
        held = self.holders(ask.model, ask.target)
        others = [number for number in held if number != ask.version]
        if stage == ask.target and (ask.keep or not others):
            return "name"  # it is there already: an earlier try got so far, or somebody did what was asked
        if stage not in {request.from_stage, ask.target}:
            return "stale"
        return "move" if max(others, default=None) == request.incumbent else "stale"

    def _has_drifted(self, request: Request, made: dict[int, int]) -> bool:
        ask, rule = request.ask, self.rules[request.ask.model, request.ask.target]
        if rule.decides != request.rule.decides:
            return True
        with self.asking("runs", ask.model):
            now = self.metrics[ask.model, ask.version]
            failed = self._fails(rule, ask.model, ask.version, request.incumbent, ask.validation)
        is_another = request.incumbent is not None and made.get(request.incumbent) != request.incumbent_made
        return is_another or now != request.seen or bool(failed - (request.failed if request.overridden else set()))

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
        is_alone = not ask.keep and not ask.is_back
        with self.asking("model" if is_alone else "version", ask.model):
            if not is_alone and ask.version not in self.stages[ask.model]:
                raise UnknownVersion("")
            is_named = self.aliases[ask.model].get(ALIASES[ask.target]) == ask.version
            held = self.holders(ask.model, ask.target)
        is_there = held[:1] == [ask.version] if is_alone else ask.version in held
        return is_there and (is_named or not has_alias)

    def _tell(self, tag: str, who: str, about: str, more: object = None) -> None:
        self.told.append((tag, who, about, more))


def strike(what: str) -> BaseException:
    """Return what is raised when this happens."""
    errors: dict[str, BaseException] = {
        "dies": Died(),
        "stumbles": Stumbled(),
        "away": RegistryUnreachable("It does not answer."),
        "refuses": RegistryRefused("It says no."),
    }
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
