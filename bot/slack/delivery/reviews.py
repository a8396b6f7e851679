"""Deliver an incident's review: one reply in the incident's thread, with its chart and a Markdown file."""

from __future__ import annotations

import logging
from collections.abc import Callable

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.monitoring.incident_review import review
from bot.domain.policy.policy import Policy
from bot.ports import DeliveryOutcome, DeliveryResult, Ledger, OutboxMessage, read_incident_facts, read_monitor_chart
from bot.slack.core.client import CONNECTION_ERRORS, is_rate_limited, missing_scopes
from bot.slack.delivery.alerts import draw_chart
from bot.slack.delivery.poster import MessagePoster
from bot.slack.delivery.publisher import ReportMissingScopes, upload_files
from bot.slack.monitoring.incident_review import review_file, review_message

log = logging.getLogger(__name__)


class ReviewDelivery:
    """Delivers incident reviews. `report_missing_scopes` is called with any scopes missing for file uploads."""

    def __init__(
        self,
        poster: MessagePoster,
        client: WebClient,
        ledger: Ledger,
        policy: Callable[[], Policy],
        report_missing_scopes: ReportMissingScopes,
    ) -> None:
        self._poster = poster
        self._client = client
        self._ledger = ledger
        self._policy = policy
        self._report_missing_scopes = report_missing_scopes

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Post a review as the comment on its files; if Slack rejects the files, post the review without them."""
        with self._ledger.read() as reading:
            thread = reading.message_ref(outbox_message.lane)
            facts = read_incident_facts(reading, outbox_message.lane)
            metrics = self._policy().metrics_for(facts.incident.model)
            chart = read_monitor_chart(reading, facts.monitors[0], metrics) if facts.monitors else None
        if thread is None:
            return DeliveryResult(DeliveryOutcome.REFUSED, why="its message was dropped")
        found = review(facts)
        markdown = review_file(found)
        if outbox_message.was_tried and self._poster.find_file(outbox_message, thread, markdown.name):
            return DeliveryResult(DeliveryOutcome.DELIVERED, thread)
        pictures = [draw_chart(chart, facts.monitors[0], outbox_message.key)] if chart and chart.values else []
        self._poster.require_lease(outbox_message)
        try:
            upload_files(self._client, thread, [*pictures, markdown], comment=review_message(found).text)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            is_unknown = not isinstance(error, SlackApiError)  # Slack might have accepted it: first, look for it
            if is_rate_limited(error) or (is_unknown and not outbox_message.was_tried):
                raise
            log.warning("Slack rejected a review's files (%s): posting it without them", error)
            self._report_missing_scopes(missing_scopes(error))
            return self._poster.post(outbox_message, thread.channel, review_message(found), thread=thread.ts)
        return DeliveryResult(DeliveryOutcome.DELIVERED, thread)
