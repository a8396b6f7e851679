"""The model's command queue: which commands it accepts, and how they run later."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.core.errors import (
    AlreadyOpen,
    BadInput,
    GateFailed,
    Refused,
    RegistrarError,
    UnknownVersion,
    Unreachable,
)
from bot.services.core.command_queue import ATTEMPT_LEASE, BACKOFF
from bot.services.transitions.loadability import CACHE_TTL
from tests.state_machine.records import (
    ADMINS,
    ARCHIVED,
    MAY_ASK,
    MEMBERS,
    PRODUCTION,
    SAME_PERSON,
    AskRecord,
    DriftRecord,
    InternalFault,
    Request,
    Rule,
    TransitionRecord,
)
from tests.state_machine.registry_model import RegistryModel


class QueueModel(RegistryModel):
    """Commands of people and programs, and their outcomes when the registry responds."""

    # -- commands --------------------------------------------------------------------------------------------------

    def may_ask(self, who: str) -> bool:
        """Return whether this caller can request promotions. Guests, strangers, and bots can't."""
        return who in MAY_ASK - self.gone

    def ask(self, ask: AskRecord) -> str:
        """Queue a command."""
        self.asks[ask.id] = ask
        ask.not_before = self.now + ATTEMPT_LEASE
        self._tell("person:registry:asked" if ask.is_back else "person:promotion:asked", ask.who, f"ask:{ask.id}")
        return "asked"

    def refuse_to_ask(self, who: str, tag: str = "person:promotion:refused") -> str:
        """Record that a command was refused, and raise Refused."""
        self._tell(tag, who, "ask:")
        raise Refused("")

    def may_roll_back(self, who: str, model: str) -> bool:
        """Return whether this caller can roll back: admins, Production approvers, and monitors can."""
        person = SAME_PERSON.get(who, who)
        is_here = who != person or who in MEMBERS - self.gone
        return who == "monitor" or (is_here and person in ADMINS | self.rules[model, PRODUCTION].approvers)

    def carry_out(self, ask_id: str, process: str) -> str:
        """Run a queued command: open its request, or plan its rollback. Raise an error if it can't."""
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
        """Run the queued commands that are due, oldest first, until the registry stops responding."""
        due = [ask for ask in self.asks.values() if ask.waits and ask.not_before <= self.now]
        for ask in sorted(due, key=lambda one: one.at):
            try:
                self.carry_out(ask.id, process)
            except Unreachable:
                break
            except RegistrarError:
                pass
            except InternalFault:
                self._postpone(ask)
        return "tried"

    def _open(self, ask: AskRecord) -> None:
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
        if failed and not rule.override - {ask.who, SAME_PERSON.get(ask.who, ask.who)}:
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

    def _roll_back(self, ask: AskRecord, process: str) -> None:
        """Plan a rollback to a version that served before, unless it's blocked or in Production."""
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
        move = TransitionRecord(back, by=ask.who)
        self.moves[model].append(move)
        self.past[model].append(move)

    def _served(self, model: str, version: int) -> list[TransitionRecord | DriftRecord]:
        """Return a version's transitions to Production, unless the last poll found another version under its number."""
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
        """Return whether a rollback can't target this version: it never served, was replaced, or is blocked."""
        return (model, version) in self.bars or not self._served(model, version)

    def _look_at_files(self, process: str, model: str, version: int, incumbent: int | None) -> None:
        """Read a version's run and files, unless this process read them recently."""
        known = self.known.get((process, model, version, incumbent))
        if known is not None and timedelta(0) <= self.now - known < CACHE_TTL:
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

    def open_request(self, model: str, target: str) -> Request | None:
        """Return the open request for a model and target, or None."""
        states = {"pending", "approved", "executing"}
        found = [one for one in self.requests.values() if (one.ask.model, one.ask.target) == (model, target)]
        return next((one for one in found if one.state in states), None)

    def _postpone(self, ask: AskRecord) -> None:
        if ask.waits:
            ask.not_before = self.now + BACKOFF.first
            ask.attempts += 1
