"""What can be asked of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.audit.events import Head, Link, Tag
from bot.domain.core.actors import Actor
from bot.domain.monitoring.incident import Incident, Tripped
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Check, Measured, Measurement, Pushed
from bot.domain.monitoring.state import Standing
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions.drift import Finding, Look
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.serving_check import Serving
from bot.domain.transitions.transition import Move, MoveState
from bot.ports.records import (
    Ask,
    Backlog,
    Batch,
    Call,
    Copy,
    Held,
    Note,
    NoteKind,
    Posting,
    Progress,
)


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

    def to_review(self, model: str | None = None, most: int = 1000) -> list[Request]:
        """Return the requests that were moved without approvals and need a review, those due first."""
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
        self,
        model: str,
        *,
        stage: Stage | None = None,
        before: str | None = None,
        until: datetime | None = None,
        most: int = 50,
    ) -> list[Move]:
        """Return the finished and unfinished moves of a model, newest first; only those into or out of `stage`.

        Those before the move with the id `before`. With `until` those up to that time, and some that followed.
        """
        ...

    def first_move(self, model: str, stage: Stage) -> Move | None:
        """Return the first move that put a version of the model into the stage."""
        ...

    def entries(self, model: str, version: int) -> list[Move]:
        """Return the finished moves that put this version into Production, newest first: the last 100."""
        ...

    def models_with_moves(self, states: Sequence[MoveState]) -> list[str]:
        """Return the models that have moves in these states."""
        ...

    def models_with_expired_moves(self, now: datetime) -> list[str]:
        """Return the models that have a move to be made whose request expired before anything was moved."""
        ...

    def ask(self, ask_id: str) -> Ask:
        """Return what was asked. Raises KeyError."""
        ...

    def ask_with_key(self, caller: Actor, key: str) -> Ask | None:
        """Return what the caller asked for with this key."""
        ...

    def waiting_asks(self, now: datetime) -> list[str]:
        """Return the ids of asks that wait and whose time has come, oldest first; none that are held."""
        ...

    def look(self, model: str) -> Look | None:
        """Return how the model looked when the registry was read last."""
        ...

    def seen_as(self, name: str) -> str | None:
        """Return the model that the poll has seen by this name in another letter case, and not in this one."""
        ...

    def looks(self) -> dict[str, Look]:
        """Return how every model looked, by its name."""
        ...

    def finding(self, finding_id: str) -> Finding:
        """Return a finding. Raises UnknownRequest."""
        ...

    def due_copies(self, now: datetime, most: int = 100) -> list[Copy]:
        """Return what has to be written to versions: of each version that which comes first, if it is due.

        A version whose first one is held waits with all that came later: the order stays.
        """
        ...

    def copies(self, model: str, *, version: int | None = None, since: int = 0) -> list[Copy]:
        """Return what was ever to be written to the model's versions, or to one, written or not, oldest first.

        From the number `since` on.
        """
        ...

    def first_unwritten(self, model: str) -> int:
        """Return the number of the first copy that isn't written to the model's versions yet, else of the next one."""
        ...

    def hold(self) -> Hold | None:
        """Return the active hold."""
        ...

    def holds(self, most: int = 20) -> list[Hold]:
        """Return holds, newest first; lifted ones too."""
        ...

    def held(self) -> Held:
        """Return what the active hold covers: everything that waited when it was opened or widened."""
        ...

    def is_held(self, request_id: str) -> bool:
        """Tell whether the active hold covers a request."""
        ...

    def models_waiting(self) -> list[str]:
        """Return the models that have open requests, unfinished moves, or tags still to be written."""
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

    def progress(self, note: Note) -> Progress | None:
        """Return a note's progress; None if it was never added."""
        ...

    def due_notes(
        self, now: datetime, most: int = 100, *, kinds: Collection[NoteKind] = (), to: str | None = None
    ) -> list[Note]:
        """Return the undelivered notes: of each lane those before the first that has to wait, in order.

        Only those of `kinds`, where any are named, and those for `to`; the notes of one lane go out by one way.
        """
        ...

    def next_note(self, now: datetime, *, kinds: Collection[NoteKind]) -> datetime | None:
        """Return when the first undelivered note that has to wait can be tried; None if none has to."""
        ...

    def waited_for(self, kind: NoteKind) -> list[str]:
        """Return for whom there are undelivered notes of this kind, due or not, sorted."""
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
        self,
        monitor_id: str,
        *,
        since: datetime | None = None,
        move: str | None = None,
        revision: int = 1,
        most: int = 100,
    ) -> list[Measurement]:
        """Return the finished checks of a monitor, newest first.

        Those of one term only, where `move` names it; by this revision of it or a later one.
        """
        ...

    def series(
        self,
        monitor: Monitor,
        *,
        since: datetime,
        until: datetime,
        move: str | None = None,
        but: str | None = None,
        without: Collection[int] = (),
    ) -> list[Measured]:
        """Return the values of a monitor's checks after `since` and up to `until`, oldest first, with their totals.

        None of before it was changed to measure something else. Those of one term, where `move` names it; those of
        every other term, where `but` does; never of the versions in `without`.
        """
        ...

    def checks(self, monitor: Monitor, *, since: datetime, until: datetime) -> list[Check]:
        """Return a monitor's finished checks after `since` and up to `until`, oldest first.

        None of before it was changed to measure something else.
        """
        ...

    def baselines(self, monitors: Collection[str], *, own: bool = False) -> dict[str, FrozenBaseline]:
        """Return the baselines that monitors have, by their ids; of which term, and by which rule, they say themselves.

        They're those of before the terms; where `own`, those of the versions' own days.
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
