"""Deliver the outbox through Slack: build each message as it should look now, and post or edit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.sentence import Channel, Code, Sentence, say, unpack_sentence
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import MAX_NOTIFIED, pending_approvers, waiting_for_approvers
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import current_blocks
from bot.ports import SYSTEM_CLOCK, DeliveryOutcome, DeliveryResult, Ledger, MessageKind, MessageRef, OutboxMessage
from bot.slack.core.blocks import sentence_message
from bot.slack.core.client import CONNECTION_ERRORS, delivery_for_error, is_posting_restricted
from bot.slack.delivery.alerts import AlertDelivery
from bot.slack.delivery.poster import SHORT_WAIT, LeaseExpiring, MessagePoster, keep_latest
from bot.slack.delivery.publisher import ReportMissingScopes
from bot.slack.promotions import request_card
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice

MAX_CARD_WAIT = timedelta(minutes=1)  # how long an invitation waits for the card that it links to
# Admins are notified if Slack rejects one of these. Others, in threads or to one person, are only logged.
_REPORTED_KINDS = {
    MessageKind.CARD: "a request's card",
    MessageKind.NOTICE: "a notice",
    MessageKind.CHANNEL_MESSAGE: "a message",
    MessageKind.ROLLBACK: "a rollback message",
    MessageKind.INCIDENT: "an alert",
}
_RESTRICTED_HINT = say(
    " Only some people can post there. Give me permission, or choose another channel in {file}.",
    file=Code("registrar.yml"),
)


class SlackNotifier:
    """Delivers outbox messages through Slack's Web API. The client must not retry automatically: that posts twice.

    `policy` returns the active policy, `display_names` the names of people and groups by ID. `notify_admins` gets what
    only admins can fix, with a key for each problem; `report_missing_scopes` gets the scopes that the app is missing.
    """

    def __init__(
        self,
        client: WebClient,
        ledger: Ledger,
        policy: Callable[[], Policy],
        now: Callable[[], datetime] = SYSTEM_CLOCK.now,
        display_names: Callable[[Sequence[str]], Mapping[str, str]] = lambda _: {},
        notify_admins: Callable[[str, Sentence], object] = lambda key, sentence: None,
        report_missing_scopes: ReportMissingScopes = lambda missing: None,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._now = now
        self._display_names = display_names
        self._notify_admins = notify_admins
        self._cards: dict[str, MessageRef] = {}  # the latest cards by request, perhaps not recorded yet
        self._poster = MessagePoster(client, now, notify_admins)
        alerts = AlertDelivery(self._poster, client, ledger, now, report_missing_scopes)
        self._deliver_kind: dict[MessageKind, Callable[[OutboxMessage], DeliveryResult]] = {
            MessageKind.CARD: self._deliver_card,
            MessageKind.NOTICE: self._deliver_drift_notice,
            MessageKind.ROLLBACK: self._deliver_rollback,
            MessageKind.INCIDENT: alerts.deliver,
            MessageKind.CHART: alerts.deliver_chart,
            MessageKind.THREAD_REPLY: self._deliver_thread_reply,
            MessageKind.DIRECT: self._deliver_sentence,
            MessageKind.CHANNEL_MESSAGE: self._deliver_sentence,
        }

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Deliver one message: see the port."""
        if outbox_message.kind not in self._deliver_kind:  # an event: bot/webhook_sender.py delivers those
            return DeliveryResult(DeliveryOutcome.REFUSED, why="Slack doesn't accept events")
        try:
            return self._deliver_kind[outbox_message.kind](outbox_message)
        except LeaseExpiring:
            return DeliveryResult(
                DeliveryOutcome.RETRY, why="it took too long, so another process might be delivering it"
            )
        except SlackApiError as error:
            delivery = delivery_for_error(error)
            if delivery.outcome is DeliveryOutcome.REFUSED:
                self._report_refused(outbox_message, delivery.why)
            return delivery
        except CONNECTION_ERRORS as error:
            return DeliveryResult(DeliveryOutcome.UNKNOWN, why=f"{type(error).__name__}: {error}")

    def channel_id(self, name: str) -> str:
        """Return a channel's ID by its name: see the port."""
        return self._poster.channel_id(name)

    def delete_message(self, message_ref: MessageRef) -> None:
        """Delete a duplicate: see the port."""
        self._poster.delete_message(message_ref)

    def _deliver_card(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            request, votes = reading.request(outbox_message.lane), reading.votes(outbox_message.lane)
            existing, freezes = reading.message_ref(outbox_message.lane), reading.freezes()
            blocks = current_blocks(
                reading.rollback_blocks(request.model),
                partial(reading.production_entries, request.model),
                {request.version: request.identity},
            )
        policy = self._policy()
        freeze = (
            active_freeze(request.model, freezes, policy, self._now()) if request.target is Stage.PRODUCTION else None
        )
        message = request_card.request_card(
            request,
            votes,
            directions=policy.directions_for(request.model),
            freeze=freeze,
            waiting_for=self._waiting_sentence(request, votes, policy)
            if request.state is RequestState.PENDING
            else None,
            block=blocks.get(request.version),
        )
        details_command = ["show", request.model, str(request.version)]
        delivery = self._poster.post_or_edit(outbox_message, message, existing, details_command)
        if delivery.message_ref:
            self._cards[outbox_message.lane] = delivery.message_ref
            keep_latest(self._cards)
        return delivery

    def _waiting_sentence(self, request: Request, votes: Sequence[Vote], policy: Policy) -> Sentence | None:
        """Return who still has to approve: mentioned if the policy says so, else by name, which notifies no one.

        None if the request has all approvals and no gate blocks it: then it's only waiting to be decided.
        """
        pending = pending_approvers(request, votes, policy)
        rule = policy.rules_for(request.model).rule(request.target)
        if not (pending.missing_approvals or request.has_blocking_gates):
            return None
        is_mention = rule is None or rule.tell_approvers == "mention"
        return waiting_for_approvers(pending, None if is_mention else self._display_names(pending.ids[:MAX_NOTIFIED]))

    def _deliver_sentence(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Post a sentence. An invitation to approve includes a link to the card, unless the card is overdue."""
        sentence, request_id = unpack_sentence(outbox_message.data["say"]), outbox_message.data.get("card")
        message = sentence_message(sentence)
        if request_id:
            with self._ledger.read() as reading:
                card_ref = reading.message_ref(request_id) or self._cards.get(request_id)
                progress = reading.delivery_progress(str(outbox_message.data["after"]))
            is_late = outbox_message.created_at is not None and self._now() >= outbox_message.created_at + MAX_CARD_WAIT
            if card_ref is None and progress and progress.is_waiting and not (progress.why and is_late):
                wait = max(SHORT_WAIT, progress.not_before - self._now()) if progress.not_before else SHORT_WAIT
                return DeliveryResult(DeliveryOutcome.RETRY, retry_after=wait, why="its card isn't posted yet")
            link = self._poster.permalink(card_ref) if card_ref else None
            message = request_card.approval_invitation(request_id, sentence, link)
        return self._poster.post(outbox_message, outbox_message.to, message)

    def _deliver_drift_notice(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            notice, existing = reading.drift_notice(outbox_message.lane), reading.message_ref(outbox_message.lane)
        message = drift_notice.drift_message(notice)
        return self._poster.post_or_edit(outbox_message, message, existing, ["show", notice.model])

    def _deliver_rollback(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            transition, existing = reading.transition(outbox_message.lane), reading.message_ref(outbox_message.lane)
            serving = reading.serving_check(outbox_message.lane)
            freeze = active_freeze(transition.model, reading.freezes(), self._policy(), transition.intended_at)
        message = rollback_card.rollback_card(transition, serving, freeze)
        return self._poster.post_or_edit(outbox_message, message, existing, ["history", transition.model])

    def _deliver_thread_reply(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            parent = reading.message_ref(outbox_message.lane)
        if parent is None:
            return DeliveryResult(DeliveryOutcome.REFUSED, why="its card was dropped")
        message = sentence_message(unpack_sentence(outbox_message.data["say"]))
        return self._poster.post(outbox_message, parent.channel, message, thread=parent.ts)

    def _report_refused(self, outbox_message: OutboxMessage, code: str) -> None:
        """Notify admins that Slack rejected a channel message: once per alert, or else at most once a day."""
        if outbox_message.kind not in _REPORTED_KINDS:
            return
        with self._ledger.read() as reading:
            if reading.message_ref(outbox_message.lane):
                return
        sentence = say(
            "Slack rejected {what} in {channel} ({code}), so I dropped it.{fix}",
            what=_REPORTED_KINDS[outbox_message.kind],
            channel=Channel(outbox_message.to),
            code=code,
            fix=_RESTRICTED_HINT if is_posting_restricted(code) else "",
        )
        is_alert = outbox_message.kind in {MessageKind.INCIDENT, MessageKind.ROLLBACK}
        subject = outbox_message.lane if is_alert else f"{outbox_message.to}:{code}:{self._now():%Y-%m-%d}"
        self._notify_admins(f"refused:{subject}", sentence)
