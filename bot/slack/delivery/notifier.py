"""Deliver the outbox through Slack: build each message as it should look now, and post or edit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.sentence import Channel, Code, Sentence, links_in, say, unpack_sentence, with_urls
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import (
    MAX_NOTIFIED,
    describe_starter,
    pending_approvers,
    waiting_for_approvers,
)
from bot.domain.promotions.file_gate import digest_id_of, file_facts, files_line, with_file_gate
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.rollbacks.rollback_targets import current_blocks
from bot.domain.transitions.progress import progress_line
from bot.domain.transitions.transition import promotion_id
from bot.ports import (
    NO_LINKS,
    SYSTEM_CLOCK,
    DeliveryOutcome,
    DeliveryResult,
    Ledger,
    LedgerReader,
    MessageKind,
    MessageRef,
    OutboxMessage,
    RegistryLinks,
    read_proposal,
)
from bot.slack.commands.failed_command import with_form
from bot.slack.core.blocks import sentence_message
from bot.slack.core.client import CONNECTION_ERRORS, delivery_for_error, is_posting_restricted
from bot.slack.delivery.alerts import AlertDelivery
from bot.slack.delivery.message_links import MessageLinks
from bot.slack.delivery.poster import SHORT_WAIT, LeaseExpiring, MessagePoster, keep_latest
from bot.slack.delivery.publisher import ReportMissingScopes
from bot.slack.delivery.reviews import ReviewDelivery
from bot.slack.monitoring.proposal_card import proposal_card
from bot.slack.promotions import request_card
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice

MAX_CARD_WAIT = timedelta(minutes=1)  # how long a message waits for the card that it links to
# Admins are notified if Slack rejects one of these. Others, in threads or to one person, are only logged.
_REPORTED_KINDS = {
    MessageKind.CARD: "a request's card",
    MessageKind.NOTICE: "a notice",
    MessageKind.CHANNEL_MESSAGE: "a message",
    MessageKind.ROLLBACK: "a rollback message",
    MessageKind.INCIDENT: "an alert",
    MessageKind.PROPOSAL: "a proposed monitor",
}
_RESTRICTED_HINT = say(
    " Only some people can post there. Give me permission, or choose another channel in {file}.",
    file=Code("registrar.yml"),
)


class SlackNotifier:
    """Delivers outbox messages through Slack's Web API.

    `client` must not retry automatically, because it could post twice. `policy` returns the active policy, and
    `display_names` returns the names of people and groups by ID. `notify_admins` is called with problems that only
    admins can fix, each with a key; `report_missing_scopes` is called with the scopes that the app is missing. `links`
    builds links to the registry's pages.
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
        links: RegistryLinks = NO_LINKS,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._now = now
        self._display_names = display_names
        self._notify_admins = notify_admins
        self._registry_links = links
        self._cards: dict[str, MessageRef] = {}  # the latest cards by request, perhaps not recorded yet
        self._poster = MessagePoster(client, now, notify_admins)
        self._links = MessageLinks(client, ledger)
        alerts = AlertDelivery(self._poster, self._links, client, ledger, policy, now, report_missing_scopes)
        self._deliver_kind: dict[MessageKind, Callable[[OutboxMessage], DeliveryResult]] = {
            MessageKind.CARD: self._deliver_card,
            MessageKind.NOTICE: self._deliver_drift_notice,
            MessageKind.ROLLBACK: self._deliver_rollback,
            MessageKind.INCIDENT: alerts.deliver,
            MessageKind.PROPOSAL: self._deliver_proposal,
            MessageKind.CHART: alerts.deliver_chart,
            MessageKind.REVIEW: ReviewDelivery(self._poster, client, ledger, policy, report_missing_scopes).deliver,
            MessageKind.THREAD_REPLY: self._deliver_thread_reply,
            MessageKind.DIRECT: self._deliver_sentence,
            MessageKind.CHANNEL_MESSAGE: self._deliver_sentence,
        }

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Deliver one message; see `Notifier`."""
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
        """Return a channel's ID by its name; see `Notifier`."""
        return self._poster.channel_id(name)

    def delete_message(self, message_ref: MessageRef) -> None:
        """Delete a duplicate; see `Notifier`."""
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
            progress, digest = _read_progress(reading, request), reading.digest(digest_id_of(request))
        policy = self._policy()
        is_required = policy.rules_for(request.model).integrity(request.target) == "required"
        request = with_file_gate(request, file_facts(digest)) if is_required else request
        freeze = (
            active_freeze(request.model, freezes, policy, self._now()) if request.target is Stage.PRODUCTION else None
        )
        message = request_card.request_card(
            request,
            votes,
            metrics=policy.metrics_for(request.model),
            freeze=freeze,
            status=self._waiting_sentence(request, votes, policy)
            if request.state is RequestState.PENDING
            else progress,
            starter=describe_starter(request, policy),
            block=blocks.get(request.version),
            page=self._registry_links.version(
                VersionInfo(model=request.model, version=request.version, stage=request.target)
            ),
            files=files_line(request, digest, is_required=is_required),
        )
        details_command = ["show", request.model, str(request.version)]
        delivery = self._poster.post_or_edit(outbox_message, message, existing, details_command)
        if delivery.message_ref:
            self._cards[outbox_message.lane] = delivery.message_ref
            keep_latest(self._cards)
        return delivery

    def _waiting_sentence(self, request: Request, votes: Sequence[Vote], policy: Policy) -> Sentence | None:
        """Return who still has to approve: mentioned if the policy says so, or else by name, which notifies no one.

        Returns None if the request has all its approvals and no gate blocks it, so that it's only waiting to be
        decided.
        """
        pending = pending_approvers(request, votes, policy)
        rule = policy.rules_for(request.model).rule(request.target)
        if not (pending.missing_approvals or request.has_blocking_gates):
            return None
        is_mention = rule is None or rule.tell_approvers == "mention"
        return waiting_for_approvers(pending, None if is_mention else self._display_names(pending.ids[:MAX_NOTIFIED]))

    def _deliver_sentence(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Post a text message in a channel or a direct message.

        It waits for the messages that it links to, but for no more than a minute if their delivery is failing.
        """
        sentence = unpack_sentence(outbox_message.data["say"])
        urls = {}
        for link in links_in(sentence):
            with self._ledger.read() as reading:
                linked = reading.message_ref(link.message) or self._cards.get(link.message)
                progress = reading.delivery_progress(link.posted_by)
            is_late = outbox_message.created_at is not None and self._now() >= outbox_message.created_at + MAX_CARD_WAIT
            if linked is None and progress and progress.is_waiting and not (progress.why and is_late):
                wait = max(SHORT_WAIT, progress.not_before - self._now()) if progress.not_before else SHORT_WAIT
                return DeliveryResult(DeliveryOutcome.RETRY, retry_after=wait, why="its card isn't posted yet")
            urls[link] = self._links.permalink(linked) if linked else ""
        message = sentence_message(with_urls(sentence, urls))
        if command_id := outbox_message.data.get("edit"):
            message = with_form(message, str(command_id))
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

    def _deliver_proposal(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            proposal = read_proposal(reading, outbox_message.lane)
            existing = reading.message_ref(outbox_message.lane)
        details_command = ["monitor", "list", proposal.monitor.model]
        return self._poster.post_or_edit(outbox_message, proposal_card(proposal), existing, details_command)

    def _deliver_thread_reply(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            parent = reading.message_ref(outbox_message.lane)
        if parent is None:
            return DeliveryResult(DeliveryOutcome.REFUSED, why="its card was dropped")
        message = sentence_message(unpack_sentence(outbox_message.data["say"]))
        return self._poster.post(outbox_message, parent.channel, message, thread=parent.ts)

    def _report_refused(self, outbox_message: OutboxMessage, code: str) -> None:
        """Notify admins that Slack rejected a new channel message. `code` is Slack's error code.

        They're notified once for each alert or rollback message; for others, once a day for each channel and error
        code.
        """
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


def _read_progress(reader: LedgerReader, request: Request) -> Sentence | None:
    """Return the progress of a request's transition; None if the request was never approved."""
    try:
        transition = reader.transition(promotion_id(request))
    except KeyError:
        return None
    return progress_line(transition, reader.serving_check(transition.id))
