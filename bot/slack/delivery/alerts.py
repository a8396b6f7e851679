"""Deliver incidents: post or edit the alert, and show its monitor's chart in the alert and in its thread."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.backoff import Backoff
from bot.domain.monitoring.incident import MonitorChart, monitors_of_incident
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.policy import Policy
from bot.ports import DeliveryOutcome, DeliveryResult, Ledger, MessageRef, OutboxMessage, read_monitor_chart
from bot.slack.core.answer import FileUpload, safe_file_name
from bot.slack.core.blocks import Message, build_message, section, with_picture
from bot.slack.core.client import CONNECTION_ERRORS, error_code, is_rate_limited, missing_scopes
from bot.slack.delivery.message_links import MessageLinks
from bot.slack.delivery.poster import SHORT_WAIT, MessagePoster
from bot.slack.delivery.publisher import (
    InvitationRequests,
    ReportMissingScopes,
    upload_file,
)
from bot.slack.monitoring import incident_card

log = logging.getLogger(__name__)

MAX_CHART_TRIES = 5  # to show a chart in an alert
CHART_BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=8))


@dataclass(frozen=True, slots=True)
class _IncidentMessage:
    """An incident's message as it should look now.

    `with_chart`: the same message with its chart; None if the chart isn't uploaded. `existing`: where the message is
    posted; None if it isn't yet. `details_command`: the words of the command that shows more details.
    """

    message: Message
    with_chart: Message | None
    existing: MessageRef | None
    is_chart_pending: bool
    details_command: list[str]


class AlertDelivery:
    """Delivers incidents and their charts. `report_missing_scopes` is called with any scopes missing for uploads."""

    def __init__(
        self,
        poster: MessagePoster,
        links: MessageLinks,
        client: WebClient,
        ledger: Ledger,
        policy: Callable[[], Policy],
        now: Callable[[], datetime],
        report_missing_scopes: ReportMissingScopes,
    ) -> None:
        self._poster = poster
        self._links = links
        self._client = client
        self._ledger = ledger
        self._policy = policy
        self._now = now
        self._report_missing_scopes = report_missing_scopes
        self._invitations = InvitationRequests()

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Post or edit an incident's message, including its chart if Slack accepts it."""
        alert = self._build_message(outbox_message.lane)
        if alert is None:
            return DeliveryResult(
                DeliveryOutcome.RETRY, retry_after=SHORT_WAIT, why="waiting for the message that it links to"
            )
        if alert.with_chart:
            try:
                return self._poster.post_or_edit(outbox_message, alert.with_chart, alert.existing)
            except SlackApiError as error:
                if is_rate_limited(error):
                    raise
                log.info("posting an alert without its chart (%s)", error_code(error))
        return self._poster.post_or_edit(outbox_message, alert.message, alert.existing, alert.details_command)

    def _build_message(self, incident_id: str) -> _IncidentMessage | None:
        """Return an incident's message as it should look now; None while the message that it links to is pending."""
        with self._ledger.read() as reading:
            incident, existing = reading.incident(incident_id), reading.message_ref(incident_id)
            monitors = monitors_of_incident(incident, reading.monitors(incident.model or None))
            serving = reading.serving_check(incident.rollback) if incident.rollback else None
            chart = reading.message_ref(incident.chart_key)
            cause = reading.message_ref(incident.ended_in) if incident.ended_in else None
            if incident.ended_in and cause is None and reading.is_pending(incident.ended_in):
                return None
            is_chart_pending = reading.is_pending(incident.chart_key)
        link = self._links.permalink(cause) if cause else ""
        message = incident_card.card(
            incident,
            monitors,
            serving=serving,
            now=self._now(),
            link=link,
            on_call=self._policy().on_call_ids(incident.model),
        )
        with_chart = (
            with_picture(message, chart.file, incident_card.chart_alt_text(incident)) if chart and chart.file else None
        )
        details_command = ["monitor", "list", *filter(None, [incident.model])]
        return _IncidentMessage(message, with_chart, existing, is_chart_pending, details_command)

    def _add_chart(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Show an incident's chart in its message as well as in the thread.

        Slack rejects a block with a file that it hasn't scanned yet, so this is retried for about 15 seconds, without
        delaying anything else. If the message changes in the meantime, it's built and edited again.
        """
        retry = DeliveryResult(
            DeliveryOutcome.RETRY, retry_after=CHART_BACKOFF.delay(outbox_message.attempts), why="its chart isn't ready"
        )
        alert = self._build_message(str(outbox_message.data["incident"]))
        if alert is None or alert.is_chart_pending:
            return retry
        if not (alert.with_chart and alert.existing):
            return DeliveryResult(DeliveryOutcome.DELIVERED)
        try:
            self._poster.require_lease(outbox_message)
            self._poster.edit(alert.existing, alert.with_chart)
        except SlackApiError as error:
            if outbox_message.attempts < MAX_CHART_TRIES or is_rate_limited(error):
                return retry
            log.info("an alert shows its chart only in its thread (%s)", error_code(error))
            return DeliveryResult(DeliveryOutcome.DELIVERED)
        return (
            DeliveryResult(DeliveryOutcome.DELIVERED)
            if self._build_message(str(outbox_message.data["incident"])) == alert
            else retry
        )

    def deliver_chart(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Upload a chart of an incident's first monitor to its thread, or add an uploaded chart to its message.

        It does the latter if `outbox_message.data` has `in_message`. A rejected upload doesn't delay the incident.
        """
        if "in_message" in outbox_message.data:
            return self._add_chart(outbox_message)
        with self._ledger.read() as reading:
            incident = reading.incident(str(outbox_message.data["incident"]))
            existing = reading.message_ref(outbox_message.lane)
            monitors = monitors_of_incident(incident, reading.monitors(incident.model or None))
            if existing is None:
                return DeliveryResult(DeliveryOutcome.REFUSED, why="its message was dropped")
            if not monitors:  # removed in the meantime: there's nothing to show, and nothing went wrong
                return DeliveryResult(DeliveryOutcome.DELIVERED, existing)
            monitor = monitors[0]
            chart = read_monitor_chart(reading, monitor, self._policy().metrics_for(monitor.model))
        if not chart.values:
            return DeliveryResult(DeliveryOutcome.DELIVERED, existing)
        name = chart_file_name(monitor, outbox_message.key)
        if outbox_message.was_tried and (file := self._poster.find_file(outbox_message, existing, name)):
            return DeliveryResult(DeliveryOutcome.DELIVERED, replace(existing, file=file))
        return self._upload(outbox_message, existing, draw_chart(chart, monitor, outbox_message.key))

    def _upload(self, outbox_message: OutboxMessage, existing: MessageRef, picture: FileUpload) -> DeliveryResult:
        """Upload a picture to an incident's thread.

        If the bot isn't in the channel, ask in the thread to be invited, once per channel. Report missing scopes.
        """
        self._poster.require_lease(outbox_message)
        try:
            file = upload_file(self._client, existing, picture)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            if is_rate_limited(error):
                raise
            log.warning("Slack rejected an incident's chart (%s)", error)
            if invitation := self._invitations.request_after(error, existing.channel):
                message = build_message(invitation, [section(invitation)])
                self._poster.post(outbox_message, existing.channel, message, thread=existing.ts)
            self._report_missing_scopes(missing_scopes(error))
            return DeliveryResult(DeliveryOutcome.DELIVERED, existing)
        return DeliveryResult(DeliveryOutcome.DELIVERED, replace(existing, file=file))


def chart_file_name(monitor: Monitor, key: str) -> str:
    """Return the file name for a monitor's chart in the message with this key; it's unique to that message."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    return f"{safe_file_name(monitor.model)}-{monitor.name}-{digest}.png"


def draw_chart(chart: MonitorChart, monitor: Monitor, key: str) -> FileUpload:
    """Return a monitor's chart as a file to upload for the message with this key."""
    from bot.slack.monitoring.chart import draw_readings, readings_alt_text

    title = f"{monitor.name}: latest readings"
    return FileUpload(chart_file_name(monitor, key), draw_readings(chart), title, readings_alt_text(chart))
