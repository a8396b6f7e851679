"""Checks for Slack: tokens, scopes, the policy's channels and people, cards, Socket Mode, and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.domain.core.sentence import say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot
from bot.domain.registry.model import Stage
from bot.domain.registry.signature_changes import CallerChange, CallerEffect, CallerImpact
from bot.settings import Settings
from bot.slack.core.client import error_code
from bot.slack.promotions import request_card
from handlers.doctor.check import Diagnosis, DoctorCheck, failure, ok
from handlers.doctor.clock import check_clock
from handlers.doctor.slack.channels import check_channels
from handlers.doctor.slack.connection import check_connection, check_scopes, check_token
from handlers.doctor.slack.people import check_groups, check_people
from handlers.doctor.slack.workspace import (
    TOKEN_LOCATIONS,
    WorkspaceProbe,
    call_slack,
    open_workspace,
    require_policy,
    require_workspace,
)
from handlers.manifest import MANIFEST


def slack_checks(
    settings: Settings,
    policy: Policy | None,
    *,
    live: bool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    manifest: Path = MANIFEST,
) -> list[DoctorCheck]:
    """Return the checks for Slack. `now` returns the current time. `manifest`: the file with the required scopes."""
    space = open_workspace(settings, now)
    away = "Check SLACK_API_URL, and that this machine can reach the internet (proxy, firewall)."
    return [
        DoctorCheck(
            "Slack token",
            lambda: check_token(settings, space),
            f"Copy SLACK_BOT_TOKEN again from {TOKEN_LOCATIONS['SLACK_BOT_TOKEN']}, or fix SLACK_API_URL.",
        ),
        DoctorCheck("Slack scopes", lambda: check_scopes(require_workspace(space), manifest)),
        DoctorCheck("Slack channels", lambda: check_channels(require_workspace(space), require_policy(policy)), away),
        DoctorCheck(
            "Slack people", lambda: check_people(require_workspace(space), require_policy(policy)), away, timeout=20
        ),
        DoctorCheck("Slack groups", lambda: check_groups(require_workspace(space), require_policy(policy)), away),
        DoctorCheck("Slack cards", lambda: check_largest_card(require_workspace(space)), away),
        DoctorCheck("Slack connection", lambda: check_connection(settings, live=live), away),
        DoctorCheck("clock", lambda: _check_slack_clock(require_workspace(space))),
    ]


def check_largest_card(workspace: WorkspaceProbe) -> Iterator[Diagnosis]:
    """Check whether Slack would accept the bot's largest card, without posting it."""
    blocks = request_card.request_card(largest_request(), []).blocks
    try:
        call_slack(workspace.client, lambda: workspace.client.blocks_validate(blocks=blocks))
    except SlackApiError as error:
        if not error_code(error).startswith("invalid_"):
            raise
        yield failure(
            "Slack cards",
            f"Slack rejects the bot's largest card ({error_code(error)}).",
            "This is a bug in Registrar. Please report it.",
        )
        return
    yield ok("Slack cards", "Slack accepts the bot's largest card.")


def largest_request() -> Request:
    """Return a request that fills its card as much as possible."""
    now, text = datetime(2026, 1, 1, tzinfo=UTC), "m<&>" * 60
    figures = {f"{text}{at}": 1 / 3 for at in range(20)}
    gates = tuple(GateResult(name=f"{text}{at}", bound=text, value=text, passed=False, note=text) for at in range(20))
    change = CallerChange(CallerEffect.BREAKS, say("{it}", it=text))
    callers = CallerImpact(changes=(change,) * 5, no_rollback=change.sentence)
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
        seen=RequestSnapshot(
            metrics=figures, against=figures, validation=figures, gates=gates, policy="0" * 12, callers=callers
        ),
    )


def _check_slack_clock(workspace: WorkspaceProbe) -> Iterable[Diagnosis]:
    us = workspace.identity()
    return [check_clock("Slack", us.date, us.answered_at)]
