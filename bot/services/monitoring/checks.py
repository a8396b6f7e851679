"""TODO bot.services.monitoring.checks"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.core.sentence import Code, Say, say
from bot.domain.monitoring.assessment import Verdict
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Answer, Measurement, Outcome, Reading
from bot.domain.monitoring.state import BLIND, Standing, State, Term
from bot.domain.monitoring.stored_baselines import FrozenBaseline, Kept
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import stretches
from bot.ports import Query
from bot.ports import Reading as Ledger

MOVES = 40  # of Production, that tell who serves now
Known = tuple[FrozenBaseline | None, FrozenBaseline | None]  # a monitor's baselines: frozen, and of its own days


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A check that is ours: the monitor, where it stands, and the claimed slot."""

    monitor: Monitor
    standing: Standing
    slot: int
    owner: str  # of the claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A check that was measured and judged, and is to be written down."""

    due: Due
    term: Term | None
    reading: Reading
    verdict: Verdict
    at: datetime
    baseline: FrozenBaseline | None = None  # that was made for this check, and isn't in the ledger yet
    own: Kept | None = None  # the same, of the version's own days

    @property
    def monitor(self) -> Monitor:
        """The monitor."""
        return self.due.monitor

    @property
    def has_failed(self) -> bool:
        """Tell whether the monitor stands as failed, with a reading that says so."""
        return self.verdict.outcome is Outcome.FAILED and self.verdict.standing.state is State.FAILED

    @property
    def goes_blind(self) -> bool:
        """Tell whether nothing is known of it, for so long that people are to hear of it."""
        return self.verdict.standing.state in BLIND

    @property
    def sees_again(self) -> bool:
        """Tell whether it's known again how the version does."""
        return self.verdict.before in BLIND and not self.goes_blind

    @property
    def is_told_late(self) -> bool:
        """Tell whether nobody was told so far that nothing is known: since the check before a silence has ended, or
        somebody has armed it.
        """
        before, armed = self.due.standing.at, self.monitor.armed_at
        if not self.goes_blind or before is None:
            return False
        return self.monitor.silence_ended(before, self.at) or (armed is not None and armed >= before)

    @property
    def is_blind_otherwise(self) -> bool:
        """Tell whether it can't judge for another reason than before."""
        before, now = self.due.standing.why, self.why
        return self.verdict.standing.state is State.CANT_JUDGE and (before is None or before.template != now.template)

    @property
    def why(self) -> Say:
        """Why the monitor stands as it does: of one that can't judge, the check itself may say something else."""
        return self.verdict.standing.why or self.verdict.why


class SourceBook(Protocol):
    """The sources that the policy names, by their names."""

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer to each query, in order. May raise Unreachable and Misconfigured."""
        ...

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return the points that the source still knows."""
        ...


def present_term(reading: Ledger, model: str) -> Term | None:
    """Return who is in Production now, as the ledger has it; None where nobody is."""
    served = stretches(reading.moves(model, stage=Stage.PRODUCTION, most=MOVES))
    if not served or served[0].until is not None:
        return None
    return Term(move=served[0].began.id, version=served[0].version, since=served[0].since)


def _from_the_future(term: Term) -> Say:
    return say(
        "{v} came into Production on {since}, which is yet to come: the clock was set back. Nothing is measured "
        "until then.",
        v=Code(f"v{term.version}"),
        since=term.since,
    )


def _delay(one: Checked) -> timedelta | None:
    """Return how long after its time a check was judged; None for one that was made before its time."""
    due = one.due.standing.next_at
    return one.at - due if due is not None and one.at >= due else None


def _measurement(one: Checked) -> Measurement:
    term = one.term
    has_value = one.reading.outcome is Outcome.OK
    return Measurement(
        monitor=one.due.monitor.id,
        slot=one.due.slot,
        at=one.at,
        revision=one.due.monitor.revision,
        version=term.version if term else None,
        move=term.move if term else None,
        outcome=one.verdict.outcome,
        value=one.reading.value if has_value else None,
        total=one.reading.total,
        points=one.reading.points,
        why=one.verdict.why,
    )


def _standing(one: Checked) -> Standing:
    next_at = one.monitor.next_check(one.at, one.due.slot)
    return replace(one.verdict.standing, slot=one.due.slot, next_at=next_at)


def _query(one: Due, term: Term, now: datetime) -> Query:
    since, until = span(one.monitor, one.standing, term, now)
    rule = one.monitor.rule
    return Query(
        monitor=one.monitor.id,
        source=rule.source,
        model=one.monitor.model,
        version=term.version,
        query=rule.query,
        of=rule.of,
        since=since,
        until=until,
        timeout=rule.timeout,
    )


def _due(monitor: Monitor, standing: Standing, owner: str) -> Due:
    return Due(monitor=monitor, standing=standing, slot=standing.slot + 1, owner=owner)


def _is_open(answer: Answer | None) -> bool:
    return answer is None or answer.outcome is Outcome.ERROR


def _longest(monitor: Monitor) -> timedelta:
    return monitor.rule.timeout * (1 + monitor.rule.retries)


def _by_source(due: Sequence[Due]) -> dict[str, list[Due]]:
    found: dict[str, list[Due]] = defaultdict(list)
    for one in due:
        found[one.monitor.rule.source].append(one)
    return found


def span(monitor: Monitor, standing: Standing, term: Term, now: datetime) -> tuple[datetime, datetime]:
    """Return from when and until when the source is asked: never before the version's term began.

    A threshold looks at its newest reading, or at its window where it has an aggregate; a rule against a baseline at
    what came since the check before.
    """
    rule = monitor.rule
    until = now - rule.label_delay
    if rule.is_threshold:
        back = rule.window if rule.aggregate not in {None, "last"} else 2 * rule.oldest
        return max(term.since, until - back), until
    last = standing.at - rule.label_delay if standing.at and standing.move == term.move else until - rule.every
    return max(term.since, min(last, until)), until
