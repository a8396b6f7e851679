"""The Home tab at Slack's limits, and what a newcomer sees."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.domain.audit.events import ChainedEvent, EventTag
from bot.domain.core.sentence import say
from bot.domain.home.home_content import HomeView, OwnRequest, PendingRequest
from bot.domain.monitoring.incident import Incident, IncidentKind, IncidentStatus
from bot.domain.monitoring.model_status import ModelStatus, StageHolder
from bot.domain.monitoring.monitor import MonitorState, MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import VersionInfo
from bot.domain.transitions.transition import StageEntry
from bot.ports import MessageRef, RegistryLinks
from bot.services.home import home
from bot.slack.home.view import home_view, message_link
from localslack import blocks as slack_blocks
from tests.support.domain.monitors import a_monitor
from tests.support.ledger.records import a_freeze, a_request, a_transition, an_event

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
MAX_VIEW_BYTES = 250_000
LONG, REASON = "m&" * 120, "<!channel> because & " * 45
EMPTY = HomeView(
    to_decide=(),
    to_decide_more=0,
    reviews=(),
    incidents=(),
    incidents_more=0,
    own_requests=(),
    statuses=(),
    global_freezes=(),
    expected_false_rollbacks=None,
    recent_events=(),
    policy_notice=None,
)


def text_of(view: dict[str, Any]) -> str:
    return json.dumps(view, ensure_ascii=False)


def a_status(number: int) -> ModelStatus:
    """Return a model with everything that a row can have."""
    state = MonitorState(monitor="m1", state=MonitorStatus.FAILED, at=NOW, since=NOW, value=0.5)
    holder = StageHolder(version=1_000_000, entry=StageEntry(transition=a_transition(), semver="1000.1000.1000"))
    return ModelStatus(
        model=f"{LONG}{number}",
        production=(holder,) * 4,
        staging=(holder,) * 4,
        freeze=ActiveFreeze(say("Frozen."), NOW, REASON + str(number)),
        monitors=(MonitorRow(a_monitor(name="m" * 60), state),) * 9,
    )


def an_incident(number: int) -> Incident:
    return Incident(
        id=f"i{number}",
        kind=IncidentKind.FAILED,
        model=LONG,
        source="push",
        version=3,
        move="m1",
        monitors=("m" * 60,) * 20,
        opened_at=NOW,
        since=NOW,
        lines=(),
        doing=IncidentStatus.NOTIFIED,
    )


def full_view(models: int) -> HomeView:
    """Return a Home tab that's as full as it can be."""
    request = a_request(model=LONG, reason=REASON)
    ended = a_request(model=LONG, state=RequestState.REJECTED, outcome=REASON, decided_at=NOW)
    requests = [a_request(model=LONG, reason=REASON) for _ in range(20)]
    return HomeView(
        to_decide=[
            PendingRequest(request=one, verdict=say("{why}", why=REASON), block=None, is_frozen=True)
            for one in requests[: home.MAX_TO_DECIDE]
        ],
        to_decide_more=90,
        reviews=[a_request(model=LONG, reason=REASON, review_due=NOW) for _ in range(home.MAX_REVIEWS)],
        incidents=[an_incident(number) for number in range(home.MAX_UNATTENDED)],
        incidents_more=90,
        own_requests=[
            *[OwnRequest(request=request, waiting=say("{why}", why=REASON))] * home.MAX_OWN_REQUESTS,
            *[OwnRequest(request=ended)] * home.MAX_OWN_REQUESTS,
        ],
        statuses=[a_status(number) for number in range(models)],
        global_freezes=[a_freeze(model=None, reason=REASON)] * 9,
        expected_false_rollbacks=None,
        recent_events=[ChainedEvent(number=1, event=an_event(tag=EventTag.REJECTED, why=REASON), previous="", hash="")]
        * home.MAX_RECENT_EVENTS,
        policy_notice=say("{why}", why=REASON),
        links={one.id: "https://acme.slack.com/archives/C0123456789/p1234567890123456" for one in requests},
    )


def test_the_fullest_home_tab_is_within_slack_s_limits() -> None:
    links = RegistryLinks(version=lambda version: f"https://mlflow.example/{LONG}/{version.version}")
    view = home_view(full_view(models=1000), links)
    assert slack_blocks.view_problems(view, lambda file: False, "home") == []
    assert len(json.dumps(view).encode()) < MAX_VIEW_BYTES


def test_a_hundred_models_are_shown_and_the_others_are_counted() -> None:
    models = [ModelStatus(model=f"model-{number:03}", production=(StageHolder(version=1),)) for number in range(130)]
    view = text_of(home_view(replace(EMPTY, statuses=models)))
    assert "`model-099`" in view
    assert "`model-100`" not in view
    assert "30 more: `/model status --page 6`" in view


def test_a_newcomer_reads_what_to_do_first() -> None:
    view = text_of(home_view(EMPTY))
    assert "You're all caught up." in view
    assert "To start, register a run's model: `/model register RUN_ID MODEL`" in view
    assert "Recent activity" not in view


def test_a_version_links_to_its_page_in_the_registry() -> None:
    def page(version: VersionInfo) -> str:
        return f"https://mlflow.example/{version.model}/{version.version}"

    models = [ModelStatus(model="churn", production=(StageHolder(version=7),))]
    shown = replace(EMPTY, statuses=models)
    assert "`churn`  <https://mlflow.example/churn/7|v7>" in text_of(home_view(shown, RegistryLinks(version=page)))


def test_a_message_s_link_is_built_without_asking_slack() -> None:
    ref = MessageRef("C0123", "1777000000.000100")
    assert message_link("https://acme.slack.com/", ref) == "https://acme.slack.com/archives/C0123/p1777000000000100"
    assert message_link("", ref) == ""
