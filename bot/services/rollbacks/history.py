"""Read Production history: which version served when, and who decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.promotions.votes import counting_approvals
from bot.domain.registry.model import (
    Stage,
)
from bot.domain.rollbacks.history import Timeline, TimeWindow, periods_in_window, resolve_window
from bot.domain.rollbacks.rollback_targets import ServingPeriod, serving_periods
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY
from bot.domain.transitions.transition import Transition, transition_time
from bot.ports import LedgerReader
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context
from bot.services.registry.queries import RegistryQueries

MAX_CHART_PERIODS = 50  # serving periods in a chart
TRANSITIONS_PAGE_SIZE = 100  # transitions on the first page; the total doubles with each page


class ProductionHistory:
    """The ledger's record of which versions were in Production, and when."""

    def __init__(self, context: Context, queries: RegistryQueries) -> None:
        self._context = context
        self._queries = queries

    def handlers(self) -> QueryHandlers:
        """Return the handler for `history`."""
        return {ShowHistory: self.timeline}

    def serving_periods(self, name: str, limit: int) -> list[ServingPeriod]:
        """Return the last `limit` serving periods, newest first. Raises UnknownModel."""
        return list(self.timeline(ShowHistory(model=name, last=limit)).periods)

    def timeline(self, command: ShowHistory) -> Timeline:
        """Return which versions were in Production: the latest ones, or those in a time window.

        Reads only the ledger, or also the registry if the ledger doesn't know the model. Raises UnknownModel and
        BadInput.
        """
        now = self._context.clock.now()
        window = None if command.at is None else resolve_window(command.at, now)
        with self._context.ledger.read() as reader:
            limit = command.last if window is None else MAX_CHART_PERIODS
            # Newest first; more than `limit` if there are that many.
            recent = _read_periods(reader, command.model, lambda found: len(found) > limit)
            periods = recent if window is None else _periods_around(reader, command.model, window)
            first = reader.first_transition(command.model, Stage.PRODUCTION)
            first_snapshot = reader.registry_snapshot(REGISTRY_SEEN_KEY)
            shown = tuple(periods[: command.last]) if window is None else periods_in_window(periods, window)
            requests = {
                period.started_by.request: reader.request(period.started_by.request)
                for period in shown
                if period.started_by.request
            }
            approvers = {
                request: tuple(vote.voter for vote in counting_approvals(reader.votes(request))) for request in requests
            }
            is_known = bool(reader.transitions(command.model, stage=Stage.PRODUCTION, limit=1))
        if not is_known:
            self._queries.model_and_versions(command.model)
        times = [transition_time(first)] if first else []
        times += [first_snapshot.at] if first_snapshot else []
        return Timeline(
            model=command.model,
            periods=shown,
            now=now,
            watched_since=min(times, default=None),
            requests=requests,
            approvers=approvers,
            chart_periods=tuple(recent[:limit]),
            has_older=window is None and len(periods) > len(shown),
            window=window,
            **_neighbors(periods, window),
        )


def _periods_around(reader: LedgerReader, model: str, requested: TimeWindow) -> list[ServingPeriod]:
    """Return serving periods, newest first: from just after the window to the last one that started before it."""
    end = requested.end or requested.start
    periods = _read_periods(reader, model, lambda periods: _reaches_back_to(periods, requested.start), until=end)
    if sum(period.since > end for period in periods) < 2:
        # The newest period here ends when the next one starts, so there must be one in between.
        return _read_periods(reader, model, lambda periods: _reaches_back_to(periods, requested.start))
    return periods


def _reaches_back_to(periods: Sequence[ServingPeriod], time: datetime) -> bool:
    """Return whether a period other than the oldest started at or before `time`.

    The oldest doesn't count, because it may have started earlier than the ledger shows.
    """
    return len(periods) > 1 and periods[-2].since <= time


def _read_periods(
    reader: LedgerReader, model: str, is_enough: Callable[[list[ServingPeriod]], bool], until: datetime | None = None
) -> list[ServingPeriod]:
    """Return serving periods, newest first.

    Reads pages of transitions until `is_enough` returns True or there are no more.
    """
    transitions: list[Transition] = []
    while True:
        limit = max(
            TRANSITIONS_PAGE_SIZE, len(transitions)
        )  # doubles each time, so long histories aren't processed many times over
        before_id = transitions[-1].id if transitions else None
        page = reader.transitions(model, stage=Stage.PRODUCTION, limit=limit, before_id=before_id, until=until)
        transitions += page
        periods = serving_periods(transitions)
        if is_enough(periods) or len(page) < limit:
            return periods


def _neighbors(periods: Sequence[ServingPeriod], requested: TimeWindow | None) -> dict[str, ServingPeriod | None]:
    """Return the periods around the window; empty if there's no window.

    `before` is the last period that started at or before the window's start, and `after` is the first that started
    after the window's end.
    """
    if requested is None:
        return {}
    end = requested.end or requested.start
    return {
        "before": next((period for period in periods if period.since <= requested.start), None),
        "after": next((period for period in reversed(periods) if period.since > end), None),
    }
