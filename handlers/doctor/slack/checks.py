"""Slack: the tokens, the scopes, the channels and people that the policy names, our cards, Socket Mode, the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.domain.core.sentence import say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import Request
from bot.domain.promotions.snapshot import GateResult, Seen
from bot.domain.registry.model import Stage
from bot.domain.registry.signature_changes import CallerChange, Effect, ForCallers
from bot.settings import Settings
from bot.slack.core.api_errors import error_of
from bot.slack.promotions import request_card
from handlers.doctor.check import Check
from handlers.doctor.clock import clock
from handlers.doctor.diagnosis import Finding, ok, wrong
from handlers.doctor.slack.channels import channels
from handlers.doctor.slack.connection import connection
from handlers.doctor.slack.people import groups, people
from handlers.doctor.slack.tokens import scopes, token
from handlers.doctor.slack.workspace import WHERE, Workspace, _needed, _of, _space, asked
from handlers.manifest import MANIFEST


def checks(
    settings: Settings,
    policy: Policy | None,
    *,
    live: bool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    manifest: Path = MANIFEST,
) -> list[Check]:
    """Return the looks at Slack. `now` is our clock, `manifest` says which scopes there have to be."""
    space = _space(settings, now)
    away = "Look at SLACK_API_URL, and whether this machine reaches the internet (proxy, firewall)."
    return [
        Check(
            "Slack token",
            lambda: token(settings, space),
            f"Copy SLACK_BOT_TOKEN again, from {WHERE['SLACK_BOT_TOKEN']}; or mend SLACK_API_URL.",
        ),
        Check("Slack scopes", lambda: scopes(_needed(space), manifest)),
        Check("Slack channels", lambda: channels(_needed(space), _of(policy)), away),
        Check("Slack people", lambda: people(_needed(space), _of(policy)), away, seconds=20),
        Check("Slack groups", lambda: groups(_needed(space), _of(policy)), away),
        Check("Slack cards", lambda: card(_needed(space)), away),
        Check("Slack connection", lambda: connection(settings, live=live), away),
        Check("clock", lambda: _clock(_needed(space))),
    ]


# -- tokens and scopes -------------------------------------------------------------------------------------------------


# -- channels ----------------------------------------------------------------------------------------------------------


# -- people ------------------------------------------------------------------------------------------------------------


# -- cards -------------------------------------------------------------------------------------------------------------


def card(space: Workspace) -> Iterator[Finding]:
    """Yield whether Slack would take the largest card that we make; nothing is posted."""
    space.must_know_us()
    blocks = request_card.card(largest_request(), []).blocks
    try:
        asked(space.client, lambda: space.client.blocks_validate(blocks=blocks))
    except SlackApiError as error:
        if not error_of(error).startswith("invalid_"):
            raise
        yield wrong(
            "Slack cards",
            f"Slack does not take our largest card ({error_of(error)}).",
            "That is a fault of ours: tell whoever maintains Registrar.",
        )
        return
    yield ok("Slack cards", "Slack takes our cards, the largest one too.")


def largest_request() -> Request:
    """Return a request that fills its card as far as one can."""
    now, text = datetime(2026, 1, 1, tzinfo=UTC), "m<&>" * 60
    figures = {f"{text}{at}": 1 / 3 for at in range(20)}
    gates = tuple(GateResult(name=f"{text}{at}", bound=text, value=text, passed=False, note=text) for at in range(20))
    change = CallerChange(Effect.BREAKS, say("{it}", it=text))
    callers = ForCallers(changes=(change,) * 5, way_back=change.says)
    return Request(
        id="r4k7q",
        model=text,
        version=999_999_999,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        incumbent=999_999_998,
        requester=Person("T0", "U0"),
        reason=text * 20,
        required=50,
        opened_at=now,
        expires_at=now + timedelta(days=7),
        semver=text,
        keep_existing=True,
        breaks_glass=True,
        seen=Seen(metrics=figures, against=figures, validation=figures, gates=gates, policy="0" * 12, callers=callers),
    )


# -- how Slack reaches us ----------------------------------------------------------------------------------------------


def _clock(space: Workspace) -> Iterable[Finding]:
    us = space.must_know_us()
    return [clock("Slack", us.date, us.at)]
