"""A second, simple implementation of the expected behavior, which the state machine compares with the services.

It never uses the code under test to decide who can do something or how votes count. People are names, stages are
MLflow's words, and a request's key is the ID of the command that opened it. Where the services raise an error, the
model raises one of the same class.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from bot.domain.core.errors import (
    AlreadyDecided,
    BadInput,
    Refused,
    RegistrarError,
    RegistryRefused,
    UnknownVersion,
    Unreachable,
)
from bot.services.transitions.executor import BACKOFF, FROZEN_RETRY_DELAY, LEASE, MAX_TRIES
from tests.state_machine.records import (
    ALIASES,
    CLOCK,
    NOT_BLOCKED,
    PRODUCTION,
    AskRecord,
    InternalFault,
    Request,
    TransitionRecord,
)
from tests.state_machine.request_model import RequestModel


class Model(RequestModel):
    """The expected state of the ledger, the registry, and the processes."""

    # -- transitions -----------------------------------------------------------------------------------------------

    def run(self, process: str, model: str) -> str:
        """Run the due transitions of a registered model in one process."""
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
            except InternalFault:
                self.left.setdefault(process, []).append((move, claim))
                raise

    def restart(self, process: str, *, is_known_dead: bool) -> None:
        """Restart a process. If the old one is known to be dead, release its leases."""
        self.left.pop(process, None)
        self.known = {key: at for key, at in self.known.items() if key[0] != process}
        for move in [move for moves in self.moves.values() for move in moves]:
            if is_known_dead and move.state == "executing" and move.owner == process:
                move.until = None

    def _claim(self, process: str, model: str) -> TransitionRecord | None:
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

    def _is_dealt_with(self, move: TransitionRecord, claim: int) -> bool:
        try:
            end = self._make_back(move, claim) if move.is_back else self._make(move, claim)
        except Unreachable:
            self._release(move, claim, BACKOFF.first)
            return False
        except RegistrarError:
            end = "failed"
        if end == "frozen":
            self._release(move, claim, FROZEN_RETRY_DELAY)
        elif _is_ours(move, claim):  # otherwise, another process has it or has ended it
            move.state = "stale" if end == "expired" else end
            move.request.state, move.ended = end, self.now
            if move.is_back:
                self._end_back(move)
            else:
                tag = {"done": "registrar:version:moved"}.get(end, f"registrar:request:{end}")
                self._tell(tag, CLOCK if end in {"stale", "expired"} else move.by, move.request.ask.id)
        return True

    def _release(self, move: TransitionRecord, claim: int, pause: timedelta) -> None:
        if _is_ours(move, claim):
            move.state, move.request.state = "intended", "approved"
            due = self.now + pause
            move.not_before = due if move.began or move.is_back else min(due, move.request.expires)

    def _make(self, move: TransitionRecord, claim: int) -> str:
        ask = move.request.ask
        model, version, target = ask.model, ask.version, ask.target
        if not move.began and self.now >= move.request.expires:
            return "expired"
        for _ in range(MAX_TRIES):
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

    def _is_applied(self, move: TransitionRecord, claim: int, step: str) -> bool:
        """Move the version unless it's already in the stage, then set the alias. Return whether both are read back."""
        ask = move.request.ask
        _check_is_ours(move, claim)
        move.began = True
        if step == "move":
            with self.asking("transition", ask.model):
                self._put(ask.model, ask.version, ask.target, archive=not ask.keep)
            _check_is_ours(move, claim)
        return self._is_read_back(ask, has_alias=self._name(ask.model, ask.version, ALIASES[ask.target]))

    def _make_back(self, move: TransitionRecord, claim: int) -> str:
        request = move.request
        model, version = request.ask.model, request.ask.version
        for _ in range(MAX_TRIES):
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

    def _end_back(self, move: TransitionRecord) -> None:
        """Record how a rollback ended. If it's done, block the version that it replaced."""
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
        """Unblock a version that was rolled back. Raise Refused without permission, or BadInput if it isn't blocked."""
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
        """Read the registry. Return the next step, and which version each number identifies."""
        model = request.ask.model
        with self.asking("versions", model):
            step, made = self._step(request), dict(self.made[model])
        if made:
            with self.asking("model", model):
                pass
        return step, made

    def _is_still_let_pass(self, move: TransitionRecord, claim: int) -> bool:
        """Return whether the request is still current, and its override and enough approvals still count."""
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
            return "name"  # already in the stage: by an earlier attempt, or moved by someone
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

    def _is_read_back(self, ask: AskRecord, has_alias: bool) -> bool:
        is_alone = not ask.keep and not ask.is_back
        with self.asking("model" if is_alone else "version", ask.model):
            if not is_alone and ask.version not in self.stages[ask.model]:
                raise UnknownVersion("")
            is_named = self.aliases[ask.model].get(ALIASES[ask.target]) == ask.version
            held = self.holders(ask.model, ask.target)
        is_there = held[:1] == [ask.version] if is_alone else ask.version in held
        return is_there and (is_named or not has_alias)


def _is_ours(move: TransitionRecord, claim: int) -> bool:
    """Return whether the process with this claim still owns the transition: no other process has taken it over."""
    return move.attempts == claim and move.state == "executing"


def _check_is_ours(move: TransitionRecord, claim: int) -> None:
    if not _is_ours(move, claim):
        raise AlreadyDecided("")


def _pause(claim: int) -> timedelta:
    doubled: int = 2 ** min(claim - 1, 10)
    return min(BACKOFF.first * doubled, BACKOFF.limit)
