"""The outbox's way into Slack: posts, edits, and looks for what it may have posted before it posts again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.sentence import Channel, Code, Sentence, say, unpack_sentence
from bot.domain.monitoring.views import build_monitor_chart, monitors_of_incident
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approver_messages import waiting_for_approvers
from bot.domain.promotions.approvers import MAX_NOTIFIED, pending_approvers
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import current_blocks
from bot.ports import DeliveryOutcome, DeliveryResult, Ledger, MessageKind, MessageRef, OutboxMessage
from bot.slack.core.api_errors import (
    CONNECTION_ERRORS,
    CONTENT_ERRORS,
    POST_OPTIONS,
    delivery_for_error,
    error_code,
    is_posting_restricted,
    is_rate_limited,
    missing_scopes,
)
from bot.slack.core.blocks import Message, build_message, section, sentence_message, short_form, with_picture
from bot.slack.core.channels import ChannelDirectory
from bot.slack.delivery.publisher import (
    FileUpload,
    InvitationRequests,
    ReportMissingScopes,
    safe_file_name,
    upload_file,
)
from bot.slack.monitoring import incident_card
from bot.slack.promotions import request_card
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice

log = logging.getLogger(__name__)

METADATA_TYPE = "registrar_message"  # of the metadata that holds our key; readable by the whole workspace
CALL_TIMEOUT = timedelta(seconds=10)  # the client's time limit
MAX_REMEMBERED = 100  # cards whose place and link are remembered
MAX_CHARTED_CHECKS = 500  # checks of a monitor that a picture shows
PAGE_SIZE = 200  # messages to ask Slack for at once, as it recommends
MAX_CLOCK_SKEW = timedelta(
    minutes=5
)  # by which our clock may be ahead of Slack's: signed calls are refused beyond that
MAX_CARD_WAIT = timedelta(minutes=1)  # how long an invitation waits for the card that it links to
MAX_CHART_TRIES = 5  # to show a chart in a message: 1, 2, 4, and 8 seconds apart
SHORT_WAIT = timedelta(seconds=1)  # until a message is tried again that links to one on its way
# Why nothing can be posted in a channel, and the fix, by Slack's error code.
_INVITE_HINT = say("Type {invite} there", invite=Code("/invite @registrar"))
_CHANNEL_ERRORS: dict[str, tuple[str, Sentence]] = {
    "channel_not_found": ("it doesn't exist, was renamed, or is private and I'm not a member", _INVITE_HINT),
    "not_in_channel": ("I'm not a member", _INVITE_HINT),
    "is_archived": ("it's archived", say("Unarchive it")),
}
# What admins get a message about if Slack refuses it. Other messages, in threads or to one person, are only logged.
_REPORTED_KINDS = {
    MessageKind.CARD: "a request's card",
    MessageKind.NOTICE: "a notice",
    MessageKind.CHANNEL_MESSAGE: "a message",
    MessageKind.ROLLBACK: "the message about a rollback",
    MessageKind.INCIDENT: "an alert",
}
_RESTRICTED_HINT = say(
    " Only some people can post there. Allow me to, or change the channel in {file}.", file=Code("registrar.yml")
)
# What can't be edited any more is posted again; if the channel refuses that too, the error says why.
_NOT_EDITABLE_ERRORS = {
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "channel_not_found",
    "is_inactive",
}


class _LeaseExpiring(Exception):
    """The lease on a note is as good as over."""


@dataclass(frozen=True, slots=True)
class _IncidentMessage:
    """An incident's message, the same with its chart if that was uploaded, its posting, and whether a chart follows.

    `more` is the command that shows more of it.
    """

    message: Message
    with_chart: Message | None
    existing: MessageRef | None
    is_chart_pending: bool
    details_command: list[str]


class SlackNotifier:
    """Delivers notes through Slack's Web API. The client must not retry by itself: that posts twice.

    `policy` gives the one that holds now, `names` what people see in place of user and group ids. `tell_admins` gets
    what only they can fix, with a key for each such thing, and `tell_of_scopes` the scopes that the app lacks.
    """

    def __init__(
        self,
        client: WebClient,
        ledger: Ledger,
        policy: Callable[[], Policy],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        display_names: Callable[[Sequence[str]], Mapping[str, str]] = lambda _: {},
        notify_admins: Callable[[str, Sentence], object] = lambda key, sentence: None,
        report_missing_scopes: ReportMissingScopes = lambda missing: None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._policy = policy
        self._now = now
        self._display_names = display_names
        self._notify_admins = notify_admins
        self._report_missing_scopes = report_missing_scopes
        self._cards: dict[str, MessageRef] = {}  # the latest cards by request, perhaps not written down yet
        self._links: dict[MessageRef, str] = {}
        self._shortened: set[str] = set()  # lanes whose message Slack refused in full
        self._channels = ChannelDirectory(client)
        self._conversations: dict[str, str] = {}  # with people, by their ids
        self._invitations = InvitationRequests()

    def deliver(self, message: OutboxMessage) -> DeliveryResult:
        """Deliver one note: see the port."""
        try:
            return self._deliver_by_kind(message)
        except _LeaseExpiring:
            return DeliveryResult(DeliveryOutcome.RETRY, why="it took too long, so another process may be at it")
        except SlackApiError as error:
            delivery = delivery_for_error(error)
            if delivery.outcome is DeliveryOutcome.REFUSED:
                self._report_refused(message, delivery.why)
            return delivery
        except CONNECTION_ERRORS as error:
            return DeliveryResult(DeliveryOutcome.UNKNOWN, why=f"{type(error).__name__}: {error}")

    def _deliver_by_kind(self, outbox_message: OutboxMessage) -> DeliveryResult:
        match outbox_message.kind:
            case MessageKind.CARD:
                return self._deliver_card(outbox_message)
            case MessageKind.NOTICE:
                return self._deliver_drift_notice(outbox_message)
            case MessageKind.THREAD_REPLY:
                return self._deliver_thread_reply(outbox_message)
            case MessageKind.DIRECT if "card" in outbox_message.data:
                return self._deliver_invitation(outbox_message, str(outbox_message.data["card"]))
            case MessageKind.DIRECT | MessageKind.CHANNEL_MESSAGE:
                return self._post(
                    outbox_message, outbox_message.to, outbox_message.key, _render_sentence(outbox_message)
                )
            case MessageKind.ROLLBACK:
                return self._deliver_rollback(outbox_message)
            case MessageKind.INCIDENT:
                return self._deliver_incident(outbox_message)
            case MessageKind.CHART:
                return (
                    self._add_chart_to_message(outbox_message)
                    if "in_message" in outbox_message.data
                    else self._deliver_chart(outbox_message)
                )
            case MessageKind.EVENT:  # goes elsewhere: see bot/webhooks.py
                return DeliveryResult(DeliveryOutcome.REFUSED, why="Slack takes no events")

    def channel_id(self, name: str) -> str:
        """Return the id of the channel of this name: see the port."""
        return self._channels.id_of(name)

    def delete_message(self, ref: MessageRef) -> None:
        """Delete a message of ours that is there twice; where Slack does not let us, it stays."""
        try:
            self._client.chat_delete(channel=ref.channel, ts=ref.ts)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("a message that is there twice stays (%s)", error)

    def _require_lease(self, outbox_message: OutboxMessage) -> None:
        """Raise _Late where an answer of Slack's might come after somebody else began to deliver the note."""
        if outbox_message.claimed_until is not None and self._now() > outbox_message.claimed_until - CALL_TIMEOUT:
            raise _LeaseExpiring

    def _deliver_card(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            request, votes, standing = (
                reading.request(outbox_message.lane),
                reading.votes(outbox_message.lane),
                reading.message_ref(outbox_message.lane),
            )
            freezes = reading.freezes()
            found = current_blocks(
                reading.rollback_blocks(request.model),
                partial(reading.production_entries, request.model),
                {request.version: request.identity},
            )
        policy = self._policy()
        stop = (
            active_freeze(request.model, freezes, policy, self._now()) if request.target is Stage.PRODUCTION else None
        )
        message = request_card.request_card(
            request,
            votes,
            directions=policy.directions_for(request.model),
            freeze=stop,
            waiting_for=self._waiting_sentence(request, votes, policy)
            if request.state is RequestState.PENDING
            else None,
            block=found.get(request.version),
        )
        more = ["show", request.model, str(request.version)]
        delivery = self._post_or_edit_fitting(outbox_message, f"card:{outbox_message.lane}", message, standing, more)
        if delivery.message_ref:
            self._cards[outbox_message.lane] = delivery.message_ref
            _keep_latest(self._cards)
        return delivery

    def _waiting_sentence(self, request: Request, votes: Sequence[Vote], policy: Policy) -> Sentence | None:
        """Return whom a request waits for: mentioned, if the policy says so, else by name, which notifies nobody.

        None for one that has what it needs: it's decided once the hold over it is accepted.
        """
        found, rule = pending_approvers(request, votes, policy), policy.rules_for(request.model).rule(request.target)
        if not (found.missing_approvals or request.has_blocking_gates):
            return None
        is_mention = rule is None or rule.tell_approvers == "mention"
        return waiting_for_approvers(found, None if is_mention else self._display_names(found.ids[:MAX_NOTIFIED]))

    def _deliver_invitation(self, outbox_message: OutboxMessage, request_id: str) -> DeliveryResult:
        """Send someone the link to a request's card; without one, where the card was given up."""
        opened = OutboxMessage(key=str(outbox_message.data["after"]), lane=request_id, kind=MessageKind.CARD, to="")
        with self._ledger.read() as reading:
            standing, card = (
                reading.message_ref(request_id) or self._cards.get(request_id),
                reading.delivery_progress(opened),
            )
        is_late = outbox_message.created_at is not None and self._now() >= outbox_message.created_at + MAX_CARD_WAIT
        if standing is None and card and card.is_waiting and not (card.why and is_late):
            wait = max(SHORT_WAIT, card.not_before - self._now()) if card.not_before else SHORT_WAIT
            return DeliveryResult(DeliveryOutcome.RETRY, retry_after=wait, why="its card isn't posted yet")
        message = request_card.approval_invitation(
            request_id, unpack_sentence(outbox_message.data["say"]), self._permalink(standing) if standing else None
        )
        return self._post(outbox_message, outbox_message.to, outbox_message.key, message)

    def _deliver_drift_notice(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            finding, standing = reading.drift_notice(outbox_message.lane), reading.message_ref(outbox_message.lane)
        return self._post_or_edit_fitting(
            outbox_message,
            f"notice:{outbox_message.lane}",
            drift_notice.drift_message(finding),
            standing,
            ["show", finding.model],
        )

    def _deliver_incident(self, outbox_message: OutboxMessage) -> DeliveryResult:
        alert, key = self._build_incident_message(outbox_message.lane), f"incident:{outbox_message.lane}"
        if alert is None:
            return DeliveryResult(
                DeliveryOutcome.RETRY, retry_after=SHORT_WAIT, why="the message that it links to comes first"
            )
        if alert.with_chart:
            try:
                return self._post_or_edit(outbox_message, key, alert.with_chart, alert.existing)
            except SlackApiError as error:
                if is_rate_limited(error):
                    raise
                log.info("an alert is posted without its chart (%s)", error_code(error))
        return self._post_or_edit_fitting(outbox_message, key, alert.message, alert.existing, alert.details_command)

    def _build_incident_message(self, incident_id: str) -> _IncidentMessage | None:
        """Return an incident's message as it should look now; None until another one that it links to is posted."""
        with self._ledger.read() as reading:
            incident, standing = reading.incident(incident_id), reading.message_ref(incident_id)
            monitors = monitors_of_incident(incident, reading.monitors(incident.model or None))
            serving = reading.serving_check(incident.rollback) if incident.rollback else None
            chart = reading.message_ref(incident.chart_key)
            cause = reading.message_ref(incident.ended_in) if incident.ended_in else None
            if incident.ended_in and cause is None and reading.is_pending(_message_with_key(incident.ended_in)):
                return None
            is_charting = reading.is_pending(_message_with_key(incident.chart_key))
        link = self._permalink(cause) if cause else ""
        message = incident_card.card(incident, monitors, serving=serving, now=self._now(), link=link)
        charted = (
            with_picture(message, chart.file, incident_card.chart_alt_text(incident)) if chart and chart.file else None
        )
        more = ["monitor", "list", *filter(None, [incident.model])]
        return _IncidentMessage(message, charted, standing, is_charting, more)

    def _add_chart_to_message(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Show an incident's chart in its message, too: Slack refuses a file in a block until it has checked the file.

        Nothing waits for this; it's tried for about 15 seconds. Other rows can edit the message in the meantime, so
        it's drawn again if they did.
        """
        later = DeliveryResult(
            DeliveryOutcome.RETRY,
            retry_after=timedelta(seconds=2 ** min(max(outbox_message.attempts - 1, 0), 3)),
            why="its chart isn't ready",
        )
        alert = self._build_incident_message(str(outbox_message.data["incident"]))
        if alert is None or alert.is_chart_pending:
            return later
        if not (alert.with_chart and alert.existing):
            return DeliveryResult(DeliveryOutcome.DELIVERED)
        try:
            self._require_lease(outbox_message)
            self._edit(alert.existing, alert.with_chart)
        except SlackApiError as error:
            if outbox_message.attempts < MAX_CHART_TRIES or is_rate_limited(error):
                return later
            log.info("an alert has its chart only in its thread (%s)", error_code(error))
            return DeliveryResult(DeliveryOutcome.DELIVERED)
        return (
            DeliveryResult(DeliveryOutcome.DELIVERED)
            if self._build_incident_message(str(outbox_message.data["incident"])) == alert
            else later
        )

    def _permalink(self, message_ref: MessageRef) -> str:
        """Return a message's link, asked for once for everyone who needs it; empty if Slack doesn't say."""
        self._links[message_ref] = self._links.get(message_ref) or self._fetch_permalink(message_ref)
        _keep_latest(self._links)
        return self._links[message_ref]

    def _fetch_permalink(self, message_ref: MessageRef) -> str:
        try:
            answer = self._client.chat_getPermalink(channel=message_ref.channel, message_ts=message_ref.ts)
        except SlackApiError as error:
            if is_rate_limited(error):
                raise
            log.warning("no link to a message (%s)", error_code(error))
            return ""
        return str(answer["permalink"])

    def _deliver_chart(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Put a chart of the readings of an incident's first monitor into its thread, if Slack takes it."""
        with self._ledger.read() as reading:
            incident, standing = (
                reading.incident(str(outbox_message.data["incident"])),
                reading.message_ref(outbox_message.lane),
            )
            monitors = monitors_of_incident(incident, reading.monitors(incident.model or None))
            if standing is None:
                return DeliveryResult(DeliveryOutcome.REFUSED, why="its message was given up")
            if not monitors:  # it was removed meanwhile: there is nothing to show, and nothing went wrong
                return DeliveryResult(DeliveryOutcome.DELIVERED, standing)
            first = monitors[0]
            chart = build_monitor_chart(
                first,
                reading.monitor_state(first.id),
                reading.measurements(first.id, from_revision=first.measured_from, limit=MAX_CHARTED_CHECKS),
                reading.transitions(first.model, stage=Stage.PRODUCTION),
            )
        if not chart.values:
            return DeliveryResult(DeliveryOutcome.DELIVERED, standing)
        name = f"{safe_file_name(first.model)}-{first.name}-{hashlib.sha256(outbox_message.key.encode()).hexdigest()[:8]}.png"
        if outbox_message.was_tried and (file := self._find_file(outbox_message, standing, name)):
            return DeliveryResult(DeliveryOutcome.DELIVERED, replace(standing, file=file))
        from bot.slack.monitoring.chart import draw_readings, readings_alt_text

        picture = FileUpload(name, draw_readings(chart), f"{first.name}, the last readings", readings_alt_text(chart))
        self._require_lease(outbox_message)
        try:
            file = upload_file(self._client, standing, picture).id
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            if is_rate_limited(error):
                raise
            log.warning("Slack takes no picture of an incident (%s)", error)
            if invitation := self._invitations.request_after(error, standing.channel):
                self._post(
                    outbox_message,
                    standing.channel,
                    outbox_message.key,
                    build_message(invitation, [section(invitation)]),
                    thread=standing.ts,
                )
            self._report_missing_scopes(missing_scopes(error))
            return DeliveryResult(DeliveryOutcome.DELIVERED, standing)
        return DeliveryResult(DeliveryOutcome.DELIVERED, replace(standing, file=file))

    def _find_file(self, outbox_message: OutboxMessage, existing: MessageRef, name: str) -> str:
        """Return the id of a file of ours with this name in a thread; empty too where this Slack lets nobody look."""
        try:
            answers = list(self._messages_since(outbox_message, existing.channel, existing.ts))
        except SlackApiError:
            return ""
        files = [file for message in answers for file in message.get("files") or [] if file.get("name") == name]
        return str(files[0]["id"]) if files else ""

    def _deliver_rollback(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            move, serving, standing = (
                reading.transition(outbox_message.lane),
                reading.serving_check(outbox_message.lane),
                reading.message_ref(outbox_message.lane),
            )
            stop = active_freeze(move.model, reading.freezes(), self._policy(), move.intended_at)
        message = rollback_card.rollback_card(move, serving, stop)
        return self._post_or_edit_fitting(
            outbox_message, f"rollback:{outbox_message.lane}", message, standing, ["history", move.model]
        )

    def _post_or_edit_fitting(
        self,
        outbox_message: OutboxMessage,
        key: str,
        message: Message,
        existing: MessageRef | None,
        details_command: Sequence[str],
    ) -> DeliveryResult:
        """Post or edit the lane's one message. If Slack refuses its blocks, the next try has a shorter form.

        `more` is the command that shows the rest.
        """
        is_short = outbox_message.lane in self._shortened
        try:
            delivery = self._post_or_edit(
                outbox_message, key, short_form(message, details_command) if is_short else message, existing
            )
        except SlackApiError as error:
            if error_code(error) in CONTENT_ERRORS and not is_short:
                log.warning("Slack refused %s (%s): a shorter form is next", outbox_message.key, error_code(error))
                self._shortened.add(outbox_message.lane)
                return DeliveryResult(DeliveryOutcome.RETRY, retry_after=SHORT_WAIT, why=error_code(error))
            if delivery_for_error(error).outcome is DeliveryOutcome.REFUSED:
                self._shortened.discard(outbox_message.lane)
            raise
        self._shortened.discard(outbox_message.lane)
        return delivery

    def _post_or_edit(
        self, outbox_message: OutboxMessage, key: str, message: Message, existing: MessageRef | None
    ) -> DeliveryResult:
        """Edit the lane's one message, or post it where there is none yet."""
        self._require_lease(outbox_message)
        if existing and self._edit(existing, message):
            return DeliveryResult(DeliveryOutcome.DELIVERED, existing)
        return self._post(outbox_message, outbox_message.to, key, message, deleted=existing)

    def _deliver_thread_reply(self, outbox_message: OutboxMessage) -> DeliveryResult:
        with self._ledger.read() as reading:
            standing = reading.message_ref(outbox_message.lane)
        if standing is None:
            return DeliveryResult(DeliveryOutcome.REFUSED, why="its card was given up")
        return self._post(
            outbox_message, standing.channel, outbox_message.key, _render_sentence(outbox_message), thread=standing.ts
        )

    def _edit(self, existing: MessageRef, message: Message) -> bool:
        """Edit the card in place; tell whether it is still there."""
        try:
            self._client.chat_update(
                channel=existing.channel, ts=existing.ts, text=message.text, blocks=message.blocks, parse="none"
            )
        except SlackApiError as error:
            if error_code(error) not in _NOT_EDITABLE_ERRORS:
                raise
            log.warning("the card is gone from Slack (%s): posting it again", error_code(error))
            return False
        return True

    def _post(
        self,
        outbox_message: OutboxMessage,
        channel: str,
        key: str,
        message: Message,
        *,
        thread: str | None = None,
        deleted: MessageRef | None = None,
    ) -> DeliveryResult:
        """Post a message, unless an earlier try did; `gone` is where one stands that can't be edited any more."""
        found = self._find_posted(outbox_message, channel, key, thread) if outbox_message.was_tried else None
        if found and not (deleted and found.ts == deleted.ts):
            return DeliveryResult(DeliveryOutcome.DELIVERED, found)
        self._require_lease(outbox_message)
        answer = self._send(
            channel,
            {
                "text": message.text,
                "blocks": message.blocks,
                "thread_ts": thread,
                **POST_OPTIONS,
                "metadata": {"event_type": METADATA_TYPE, "event_payload": {"key": key}},
            },
        )
        return DeliveryResult(
            DeliveryOutcome.DELIVERED, MessageRef(str(answer["channel"]), str(answer["ts"])), is_new=True
        )

    def _send(self, channel: str, arguments: dict[str, Any]) -> Any:
        to = channel if _is_user_id(channel) else self._channels.id_of(channel)  # by a person, Slack knows who left
        try:
            answer = self._client.chat_postMessage(channel=to, **arguments)
        except SlackApiError as error:
            self._report_closed_channel(channel, error_code(error))
            # A person's id is a channel for Slack itself; a server that wants the conversation's id gets that.
            if not _is_user_id(channel) or error_code(error) != "channel_not_found":
                raise
            return self._client.chat_postMessage(channel=self._conversation_id(channel), **arguments)
        self._channels.learn(channel, str(answer["channel"]))
        return answer

    def _report_closed_channel(self, channel: str, code: str) -> None:
        """Tell admins, at most once a day, that nothing can be posted in a channel of the policy; look it up again."""
        if code not in _CHANNEL_ERRORS or _is_user_id(channel):
            return
        self._channels.forget(channel)
        why, fix = _CHANNEL_ERRORS[code]
        sentence = say(
            "Can't post in {channel} ({code}): {why}. {fix}, or change the channel in {file}. Its messages will wait.",
            channel=Channel(channel),
            code=code,
            why=why,
            fix=fix,
            file=Code("registrar.yml"),
        )
        self._notify_admins(f"channel:{channel}:{code}:{self._now():%Y-%m-%d}", sentence)

    def _report_refused(self, outbox_message: OutboxMessage, code: str) -> None:
        """Tell admins what Slack refused to post in a channel: once for each alert, else at most once a day."""
        if outbox_message.kind not in _REPORTED_KINDS:
            return
        with self._ledger.read() as reading:
            if reading.message_ref(outbox_message.lane):
                return
        sentence = say(
            "Slack refused {what} in {channel} ({code}), so I dropped it.{fix}",
            what=_REPORTED_KINDS[outbox_message.kind],
            channel=Channel(outbox_message.to),
            code=code,
            fix=_RESTRICTED_HINT if is_posting_restricted(code) else "",
        )
        is_alert = outbox_message.kind in {MessageKind.INCIDENT, MessageKind.ROLLBACK}
        about = outbox_message.lane if is_alert else f"{outbox_message.to}:{code}:{self._now():%Y-%m-%d}"
        self._notify_admins(f"refused:{about}", sentence)

    def _find_posted(
        self, outbox_message: OutboxMessage, channel: str, key: str, thread: str | None
    ) -> MessageRef | None:
        """Return where a message with our key stands already; None too where this Slack lets nobody look."""
        try:
            where = self._conversation_id(channel)
            for message in self._messages_since(outbox_message, where, thread):
                if self._is_ours(message, key):
                    return MessageRef(where, str(message["ts"]))
        except SlackApiError as error:
            if error_code(error) not in {"unknown_method", "missing_scope", "not_in_channel", "channel_not_found"}:
                raise
            log.warning("cannot look whether %s is posted already (%s); it may appear twice", key, error_code(error))
        return None

    def _is_ours(self, message: dict[str, Any], key: str) -> bool:
        """Tell whether we posted this under that key; another app may have written our key into its metadata."""
        metadata = message.get("metadata") or {}
        if metadata.get("event_type") != METADATA_TYPE or (metadata.get("event_payload") or {}).get("key") != key:
            return False
        own, its = self._client.auth_test().get("bot_id"), message.get("bot_id")
        return own is None or its is None or own == its

    def _messages_since(
        self, outbox_message: OutboxMessage, channel: str, thread: str | None
    ) -> Iterator[dict[str, Any]]:
        """Yield the messages in a channel or thread since the note was written: ours can't be older."""
        ask = partial(self._client.conversations_replies, ts=thread) if thread else self._client.conversations_history
        oldest = (
            f"{(outbox_message.created_at - MAX_CLOCK_SKEW).timestamp():.6f}" if outbox_message.created_at else None
        )
        cursor, asked = "", set[str]()
        while cursor not in asked:  # none is there twice, or the server goes round in circles
            asked.add(cursor)
            answer = ask(
                channel=channel, oldest=oldest, cursor=cursor or None, limit=PAGE_SIZE, include_all_metadata=True
            )
            yield from answer.get("messages", [])
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")

    def _conversation_id(self, channel: str) -> str:
        """Return a channel's id from its `#name`, or that of the conversation with a person."""
        if not _is_user_id(channel):
            return self._channels.id_of(channel)
        if channel not in self._conversations:
            opened = self._client.conversations_open(users=channel)
            self._conversations[channel] = str(opened["channel"]["id"])
        return self._conversations[channel]


def _keep_latest(kept: dict[Any, Any]) -> None:
    """Keep only the latest entries."""
    for older in list(kept)[:-MAX_REMEMBERED]:
        del kept[older]


def _is_user_id(channel: str) -> bool:
    return channel[:1] in {"U", "W"}


def _message_with_key(key: str) -> OutboxMessage:
    """Return an outbox row that has only what it takes to find the one with this key."""
    return OutboxMessage(key=key, lane=key, kind=MessageKind.CHANNEL_MESSAGE, to="")


def _render_sentence(outbox_message: OutboxMessage) -> Message:
    return sentence_message(unpack_sentence(outbox_message.data["say"]))
