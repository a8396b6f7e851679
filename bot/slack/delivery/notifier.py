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

from bot.domain.core.sentence import Channel, Code, Say, say, unpack
from bot.domain.monitoring.views import chart_of, of_incident
from bot.domain.policy.freezes import frozen
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approver_messages import waiting_for
from bot.domain.promotions.approvers import TOLD_MOST, awaited
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import blocks
from bot.ports import Delivery, Ledger, Note, NoteKind, Outcome, Posting
from bot.slack.core.api_errors import LOST, QUIET, TOO_MUCH, error_of, is_restricted, is_too_many, lacking, sort_out
from bot.slack.core.blocks import Message, message, pictured, said, section, shorter
from bot.slack.core.channels import Channels
from bot.slack.delivery.publisher import Attached, Invitations, TellOfScopes, file_name, upload
from bot.slack.monitoring import incident_card
from bot.slack.promotions import request_card
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice

log = logging.getLogger(__name__)

EVENT_TYPE = "registrar_message"  # of the metadata that holds our key; readable by the whole workspace
ANSWERED_IN = timedelta(seconds=10)  # the client's time limit
CARDS_MOST = 100  # cards whose place and link are remembered
CHARTED = 500  # checks of a monitor that a picture shows
PAGE = 200  # messages to ask Slack for at once, as it recommends
SKEW = timedelta(minutes=5)  # by which our clock may be ahead of Slack's: signed calls are refused beyond that
CARD_COMES = timedelta(minutes=1)  # how long an invitation waits for the card that it links to
SHOWN_TRIES = 5  # to show a chart in a message: 1, 2, 4, and 8 seconds apart
A_MOMENT = timedelta(seconds=1)  # until a message is tried again that links to one on its way
# Why nothing can be posted in a channel, and the fix, by Slack's error code.
_INVITE = say("Type {invite} there", invite=Code("/invite @registrar"))
_CLOSED: dict[str, tuple[str, Say]] = {
    "channel_not_found": ("it doesn't exist, was renamed, or is private and I'm not a member", _INVITE),
    "not_in_channel": ("I'm not a member", _INVITE),
    "is_archived": ("it's archived", say("Unarchive it")),
}
# What admins get a message about if Slack refuses it. Other messages, in threads or to one person, are only logged.
_DROPPED = {
    NoteKind.CARD: "a request's card",
    NoteKind.NOTICE: "a notice",
    NoteKind.SAID: "a message",
    NoteKind.ROLLBACK: "the message about a rollback",
    NoteKind.INCIDENT: "an alert",
}
_LET_ME = say(
    " Only some people can post there. Allow me to, or change the channel in {file}.", file=Code("registrar.yml")
)
# What can't be edited any more is posted again; if the channel refuses that too, the error says why.
_GONE = {"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found", "is_inactive"}


class _Late(Exception):
    """The lease on a note is as good as over."""


@dataclass(frozen=True, slots=True)
class _Alert:
    """An incident's message, the same with its chart if that was uploaded, its posting, and whether a chart follows.

    `more` is the command that shows more of it.
    """

    message: Message
    charted: Message | None
    standing: Posting | None
    is_charting: bool
    more: list[str]


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
        names: Callable[[Sequence[str]], Mapping[str, str]] = lambda _: {},
        tell_admins: Callable[[str, Say], object] = lambda key, sentence: None,
        tell_of_scopes: TellOfScopes = lambda missing: None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._policy = policy
        self._now = now
        self._names = names
        self._tell_admins = tell_admins
        self._tell_of_scopes = tell_of_scopes
        self._cards: dict[str, Posting] = {}  # the latest cards by request, perhaps not written down yet
        self._links: dict[Posting, str] = {}
        self._short: set[str] = set()  # lanes whose message Slack refused in full
        self._channels = Channels(client)
        self._conversations: dict[str, str] = {}  # with people, by their ids
        self._invitations = Invitations()

    def deliver(self, note: Note) -> Delivery:
        """Deliver one note: see the port."""
        try:
            return self._by_kind(note)
        except _Late:
            return Delivery(Outcome.LATER, why="it took too long, so another process may be at it")
        except SlackApiError as error:
            delivery = sort_out(error)
            if delivery.outcome is Outcome.NEVER:
                self._refused(note, delivery.why)
            return delivery
        except LOST as error:
            return Delivery(Outcome.UNKNOWN, why=f"{type(error).__name__}: {error}")

    def _by_kind(self, note: Note) -> Delivery:
        match note.kind:
            case NoteKind.CARD:
                return self._card(note)
            case NoteKind.NOTICE:
                return self._notice(note)
            case NoteKind.NEWS:
                return self._news(note)
            case NoteKind.DIRECT if "card" in note.data:
                return self._invitation(note, str(note.data["card"]))
            case NoteKind.DIRECT | NoteKind.SAID:
                return self._post(note, note.to, note.key, _sentence(note))
            case NoteKind.ROLLBACK:
                return self._rollback(note)
            case NoteKind.INCIDENT:
                return self._incident(note)
            case NoteKind.CHART:
                return self._charted(note) if "in_message" in note.data else self._chart(note)
            case NoteKind.EVENT:  # goes elsewhere: see bot/webhooks.py
                return Delivery(Outcome.NEVER, why="Slack takes no events")

    def channel(self, name: str) -> str:
        """Return the id of the channel of this name: see the port."""
        return self._channels.id_of(name)

    def take_back(self, posting: Posting) -> None:
        """Delete a message of ours that is there twice; where Slack does not let us, it stays."""
        try:
            self._client.chat_delete(channel=posting.channel, ts=posting.ts)
        except (SlackApiError, *LOST) as error:
            log.warning("a message that is there twice stays (%s)", error)

    def _in_time(self, note: Note) -> None:
        """Raise _Late where an answer of Slack's might come after somebody else began to deliver the note."""
        if note.claimed_until is not None and self._now() > note.claimed_until - ANSWERED_IN:
            raise _Late

    def _card(self, note: Note) -> Delivery:
        with self._ledger.read() as reading:
            request, votes, standing = reading.request(note.lane), reading.votes(note.lane), reading.posting(note.lane)
            freezes = reading.freezes()
            found = blocks(
                reading.bars(request.model),
                partial(reading.entries, request.model),
                {request.version: request.identity},
            )
        policy = self._policy()
        stop = frozen(request.model, freezes, policy, self._now()) if request.target is Stage.PRODUCTION else None
        message = request_card.card(
            request,
            votes,
            directions=policy.directions_for(request.model),
            stopped=stop,
            waiting=self._waiting(request, votes, policy) if request.state is RequestState.PENDING else None,
            block=found.get(request.version),
        )
        more = ["show", request.model, str(request.version)]
        delivery = self._stand(note, f"card:{note.lane}", message, standing, more)
        if delivery.posting:
            self._cards[note.lane] = delivery.posting
            _forget_older(self._cards)
        return delivery

    def _waiting(self, request: Request, votes: Sequence[Vote], policy: Policy) -> Say | None:
        """Return whom a request waits for: mentioned, if the policy says so, else by name, which notifies nobody.

        None for one that has what it needs: it's decided once the hold over it is accepted.
        """
        found, rule = awaited(request, votes, policy), policy.rules_for(request.model).rule(request.target)
        if not (found.approvals or request.is_blocked):
            return None
        is_mention = rule is None or rule.tell_approvers == "mention"
        return waiting_for(found, None if is_mention else self._names(found.ids[:TOLD_MOST]))

    def _invitation(self, note: Note, request: str) -> Delivery:
        """Send someone the link to a request's card; without one, where the card was given up."""
        opened = Note(key=str(note.data["after"]), lane=request, kind=NoteKind.CARD, to="")
        with self._ledger.read() as reading:
            standing, card = reading.posting(request) or self._cards.get(request), reading.progress(opened)
        is_late = note.created_at is not None and self._now() >= note.created_at + CARD_COMES
        if standing is None and card and card.is_waiting and not (card.why and is_late):
            wait = max(A_MOMENT, card.not_before - self._now()) if card.not_before else A_MOMENT
            return Delivery(Outcome.LATER, wait=wait, why="its card isn't posted yet")
        message = request_card.invitation(request, unpack(note.data["say"]), self._link(standing) if standing else None)
        return self._post(note, note.to, note.key, message)

    def _notice(self, note: Note) -> Delivery:
        with self._ledger.read() as reading:
            finding, standing = reading.finding(note.lane), reading.posting(note.lane)
        return self._stand(note, f"notice:{note.lane}", drift_notice.notice(finding), standing, ["show", finding.model])

    def _incident(self, note: Note) -> Delivery:
        alert, key = self._alert(note.lane), f"incident:{note.lane}"
        if alert is None:
            return Delivery(Outcome.LATER, wait=A_MOMENT, why="the message that it links to comes first")
        if alert.charted:
            try:
                return self._put(note, key, alert.charted, alert.standing)
            except SlackApiError as error:
                if is_too_many(error):
                    raise
                log.info("an alert is posted without its chart (%s)", error_of(error))
        return self._stand(note, key, alert.message, alert.standing, alert.more)

    def _alert(self, incident_id: str) -> _Alert | None:
        """Return an incident's message as it should look now; None until another one that it links to is posted."""
        with self._ledger.read() as reading:
            incident, standing = reading.incident(incident_id), reading.posting(incident_id)
            monitors = of_incident(incident, reading.monitors(incident.model or None))
            serving = reading.serving(incident.rollback) if incident.rollback else None
            chart = reading.posting(incident.chart)
            cause = reading.posting(incident.ended_in) if incident.ended_in else None
            if incident.ended_in and cause is None and reading.is_waiting(_keyed(incident.ended_in)):
                return None
            is_charting = reading.is_waiting(_keyed(incident.chart))
        link = self._link(cause) if cause else ""
        message = incident_card.card(incident, monitors, serving=serving, now=self._now(), link=link)
        charted = pictured(message, chart.file, incident_card.alt(incident)) if chart and chart.file else None
        more = ["monitor", "list", *filter(None, [incident.model])]
        return _Alert(message, charted, standing, is_charting, more)

    def _charted(self, note: Note) -> Delivery:
        """Show an incident's chart in its message, too: Slack refuses a file in a block until it has checked the file.

        Nothing waits for this; it's tried for about 15 seconds. Other rows can edit the message in the meantime, so
        it's drawn again if they did.
        """
        later = Delivery(
            Outcome.LATER, wait=timedelta(seconds=2 ** min(max(note.attempts - 1, 0), 3)), why="its chart isn't ready"
        )
        alert = self._alert(str(note.data["incident"]))
        if alert is None or alert.is_charting:
            return later
        if not (alert.charted and alert.standing):
            return Delivery(Outcome.DELIVERED)
        try:
            self._in_time(note)
            self._edit(alert.standing, alert.charted)
        except SlackApiError as error:
            if note.attempts < SHOWN_TRIES or is_too_many(error):
                return later
            log.info("an alert has its chart only in its thread (%s)", error_of(error))
            return Delivery(Outcome.DELIVERED)
        return Delivery(Outcome.DELIVERED) if self._alert(str(note.data["incident"])) == alert else later

    def _link(self, posting: Posting) -> str:
        """Return a message's link, asked for once for everyone who needs it; empty if Slack doesn't say."""
        self._links[posting] = self._links.get(posting) or self._asked_link(posting)
        _forget_older(self._links)
        return self._links[posting]

    def _asked_link(self, posting: Posting) -> str:
        try:
            answer = self._client.chat_getPermalink(channel=posting.channel, message_ts=posting.ts)
        except SlackApiError as error:
            if is_too_many(error):
                raise
            log.warning("no link to a message (%s)", error_of(error))
            return ""
        return str(answer["permalink"])

    def _chart(self, note: Note) -> Delivery:
        """Put a chart of the readings of an incident's first monitor into its thread, if Slack takes it."""
        with self._ledger.read() as reading:
            incident, standing = reading.incident(str(note.data["incident"])), reading.posting(note.lane)
            monitors = of_incident(incident, reading.monitors(incident.model or None))
            if standing is None:
                return Delivery(Outcome.NEVER, why="its message was given up")
            if not monitors:  # it was removed meanwhile: there is nothing to show, and nothing went wrong
                return Delivery(Outcome.DELIVERED, standing)
            first = monitors[0]
            chart = chart_of(
                first,
                reading.standing(first.id),
                reading.measurements(first.id, revision=first.measured_from, most=CHARTED),
                reading.moves(first.model, stage=Stage.PRODUCTION),
            )
        if not chart.values:
            return Delivery(Outcome.DELIVERED, standing)
        name = f"{file_name(first.model)}-{first.name}-{hashlib.sha256(note.key.encode()).hexdigest()[:8]}.png"
        if note.was_tried and (file := self._file_in(note, standing, name)):
            return Delivery(Outcome.DELIVERED, replace(standing, file=file))
        from bot.slack.monitoring.chart import readings_alt, readings_chart

        picture = Attached(name, readings_chart(chart), f"{first.name}, the last readings", readings_alt(chart))
        self._in_time(note)
        try:
            file = upload(self._client, standing, picture).id
        except (SlackApiError, *LOST) as error:
            if is_too_many(error):
                raise
            log.warning("Slack takes no picture of an incident (%s)", error)
            if invitation := self._invitations.after(error, standing.channel):
                self._post(
                    note, standing.channel, note.key, message(invitation, [section(invitation)]), thread=standing.ts
                )
            self._tell_of_scopes(lacking(error))
            return Delivery(Outcome.DELIVERED, standing)
        return Delivery(Outcome.DELIVERED, replace(standing, file=file))

    def _file_in(self, note: Note, standing: Posting, name: str) -> str:
        """Return the id of a file of ours with this name in a thread; empty too where this Slack lets nobody look."""
        try:
            answers = list(self._since(note, standing.channel, standing.ts))
        except SlackApiError:
            return ""
        files = [file for message in answers for file in message.get("files") or [] if file.get("name") == name]
        return str(files[0]["id"]) if files else ""

    def _rollback(self, note: Note) -> Delivery:
        with self._ledger.read() as reading:
            move, serving, standing = reading.move(note.lane), reading.serving(note.lane), reading.posting(note.lane)
            stop = frozen(move.model, reading.freezes(), self._policy(), move.intended_at)
        message = rollback_card.rollback(move, serving, stop)
        return self._stand(note, f"rollback:{note.lane}", message, standing, ["history", move.model])

    def _stand(self, note: Note, key: str, message: Message, standing: Posting | None, more: Sequence[str]) -> Delivery:
        """Post or edit the lane's one message. If Slack refuses its blocks, the next try has a shorter form.

        `more` is the command that shows the rest.
        """
        is_short = note.lane in self._short
        try:
            delivery = self._put(note, key, shorter(message, more) if is_short else message, standing)
        except SlackApiError as error:
            if error_of(error) in TOO_MUCH and not is_short:
                log.warning("Slack refused %s (%s): a shorter form is next", note.key, error_of(error))
                self._short.add(note.lane)
                return Delivery(Outcome.LATER, wait=A_MOMENT, why=error_of(error))
            if sort_out(error).outcome is Outcome.NEVER:
                self._short.discard(note.lane)
            raise
        self._short.discard(note.lane)
        return delivery

    def _put(self, note: Note, key: str, message: Message, standing: Posting | None) -> Delivery:
        """Edit the lane's one message, or post it where there is none yet."""
        self._in_time(note)
        if standing and self._edit(standing, message):
            return Delivery(Outcome.DELIVERED, standing)
        return self._post(note, note.to, key, message, gone=standing)

    def _news(self, note: Note) -> Delivery:
        with self._ledger.read() as reading:
            standing = reading.posting(note.lane)
        if standing is None:
            return Delivery(Outcome.NEVER, why="its card was given up")
        return self._post(note, standing.channel, note.key, _sentence(note), thread=standing.ts)

    def _edit(self, standing: Posting, message: Message) -> bool:
        """Edit the card in place; tell whether it is still there."""
        try:
            self._client.chat_update(
                channel=standing.channel, ts=standing.ts, text=message.text, blocks=message.blocks, parse="none"
            )
        except SlackApiError as error:
            if error_of(error) not in _GONE:
                raise
            log.warning("the card is gone from Slack (%s): posting it again", error_of(error))
            return False
        return True

    def _post(
        self,
        note: Note,
        channel: str,
        key: str,
        message: Message,
        *,
        thread: str | None = None,
        gone: Posting | None = None,
    ) -> Delivery:
        """Post a message, unless an earlier try did; `gone` is where one stands that can't be edited any more."""
        found = self._find(note, channel, key, thread) if note.was_tried else None
        if found and not (gone and found.ts == gone.ts):
            return Delivery(Outcome.DELIVERED, found)
        self._in_time(note)
        answer = self._send(
            channel,
            {
                "text": message.text,
                "blocks": message.blocks,
                "thread_ts": thread,
                **QUIET,
                "metadata": {"event_type": EVENT_TYPE, "event_payload": {"key": key}},
            },
        )
        return Delivery(Outcome.DELIVERED, Posting(str(answer["channel"]), str(answer["ts"])), is_new=True)

    def _send(self, channel: str, arguments: dict[str, Any]) -> Any:
        to = channel if _is_person(channel) else self._channels.id_of(channel)  # by a person, Slack knows who left
        try:
            answer = self._client.chat_postMessage(channel=to, **arguments)
        except SlackApiError as error:
            self._closed(channel, error_of(error))
            # A person's id is a channel for Slack itself; a server that wants the conversation's id gets that.
            if not _is_person(channel) or error_of(error) != "channel_not_found":
                raise
            return self._client.chat_postMessage(channel=self._conversation(channel), **arguments)
        self._channels.learn(channel, str(answer["channel"]))
        return answer

    def _closed(self, channel: str, code: str) -> None:
        """Tell admins, at most once a day, that nothing can be posted in a channel of the policy; look it up again."""
        if code not in _CLOSED or _is_person(channel):
            return
        self._channels.forget(channel)
        why, fix = _CLOSED[code]
        sentence = say(
            "Can't post in {channel} ({code}): {why}. {fix}, or change the channel in {file}. Its messages will wait.",
            channel=Channel(channel),
            code=code,
            why=why,
            fix=fix,
            file=Code("registrar.yml"),
        )
        self._tell_admins(f"channel:{channel}:{code}:{self._now():%Y-%m-%d}", sentence)

    def _refused(self, note: Note, code: str) -> None:
        """Tell admins what Slack refused to post in a channel: once for each alert, else at most once a day."""
        if note.kind not in _DROPPED:
            return
        with self._ledger.read() as reading:
            if reading.posting(note.lane):
                return
        sentence = say(
            "Slack refused {what} in {channel} ({code}), so I dropped it.{fix}",
            what=_DROPPED[note.kind],
            channel=Channel(note.to),
            code=code,
            fix=_LET_ME if is_restricted(code) else "",
        )
        is_alert = note.kind in {NoteKind.INCIDENT, NoteKind.ROLLBACK}
        about = note.lane if is_alert else f"{note.to}:{code}:{self._now():%Y-%m-%d}"
        self._tell_admins(f"refused:{about}", sentence)

    def _find(self, note: Note, channel: str, key: str, thread: str | None) -> Posting | None:
        """Return where a message with our key stands already; None too where this Slack lets nobody look."""
        try:
            where = self._conversation(channel)
            for message in self._since(note, where, thread):
                if self._is_ours(message, key):
                    return Posting(where, str(message["ts"]))
        except SlackApiError as error:
            if error_of(error) not in {"unknown_method", "missing_scope", "not_in_channel", "channel_not_found"}:
                raise
            log.warning("cannot look whether %s is posted already (%s); it may appear twice", key, error_of(error))
        return None

    def _is_ours(self, message: dict[str, Any], key: str) -> bool:
        """Tell whether we posted this under that key; another app may have written our key into its metadata."""
        metadata = message.get("metadata") or {}
        if metadata.get("event_type") != EVENT_TYPE or (metadata.get("event_payload") or {}).get("key") != key:
            return False
        own, its = self._client.auth_test().get("bot_id"), message.get("bot_id")
        return own is None or its is None or own == its

    def _since(self, note: Note, channel: str, thread: str | None) -> Iterator[dict[str, Any]]:
        """Yield the messages in a channel or thread since the note was written: ours can't be older."""
        ask = partial(self._client.conversations_replies, ts=thread) if thread else self._client.conversations_history
        oldest = f"{(note.created_at - SKEW).timestamp():.6f}" if note.created_at else None
        cursor, asked = "", set[str]()
        while cursor not in asked:  # none is there twice, or the server goes round in circles
            asked.add(cursor)
            answer = ask(channel=channel, oldest=oldest, cursor=cursor or None, limit=PAGE, include_all_metadata=True)
            yield from answer.get("messages", [])
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")

    def _conversation(self, channel: str) -> str:
        """Return a channel's id from its `#name`, or that of the conversation with a person."""
        if not _is_person(channel):
            return self._channels.id_of(channel)
        if channel not in self._conversations:
            opened = self._client.conversations_open(users=channel)
            self._conversations[channel] = str(opened["channel"]["id"])
        return self._conversations[channel]


def _forget_older(kept: dict[Any, Any]) -> None:
    """Keep only the latest entries."""
    for older in list(kept)[:-CARDS_MOST]:
        del kept[older]


def _is_person(channel: str) -> bool:
    return channel[:1] in {"U", "W"}


def _keyed(key: str) -> Note:
    """Return an outbox row that has only what it takes to find the one with this key."""
    return Note(key=key, lane=key, kind=NoteKind.SAID, to="")


def _sentence(note: Note) -> Message:
    return said(unpack(note.data["say"]))
