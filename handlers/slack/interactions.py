"""What all listeners share: who acts, how they are answered, and what happens after the acknowledgement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot import logging_context
from bot.domain.commands.base import Command
from bot.domain.commands.changes import FreezeModel, Unblock, UnfreezeModel
from bot.domain.commands.requests import Promote
from bot.domain.core import messages as core_messages
from bot.domain.core.actors import Profile
from bot.domain.core.errors import SlackUnreachable, Unreachable
from bot.domain.core.sentence import Channel, Code, Name, Say, joined, say
from bot.domain.policy.authorization import Act
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approver_messages import waiting_for
from bot.domain.promotions.approvers import awaited
from bot.domain.promotions.request import Choice, Request, RequestState
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.model import Stage
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.rollbacks.history import Timeline
from bot.domain.transitions import messages as transition_messages
from bot.domain.transitions.transition import Move, MoveKind
from bot.registrar import Registrar
from bot.services.core.commands import Done
from bot.services.core.outbox_messages import OPENED, card_note
from bot.slack.core.api_errors import LOST, error_of, is_restricted
from bot.slack.core.blocks import Message, message, said, section
from bot.slack.delivery.publisher import Attached, Published, Publisher
from bot.slack.promotions import request_card
from handlers.errors import explain
from handlers.slack.deferred import Task, after_acknowledgement
from handlers.slack.replies import Pictured, Place, Replies

Submit = Callable[[Task], object]
Found = TypeVar("Found")
PATIENCE = 2.0  # seconds that a person waits before hearing that the registry is slow


class Desk:
    """Translates between Slack's people and the services."""

    def __init__(self, registrar: Registrar, client: WebClient, web: str | None) -> None:
        self.registrar = registrar
        self.client = client
        self.web = web
        self._replies = Replies(client, registrar.admins.tell_of_scopes)
        self._publisher = Publisher(client, registrar.admins.tell_of_scopes)

    def close(self) -> None:
        """Close the connections over which people are answered."""
        self._replies.close()

    def caller(self, place: Place) -> Profile:
        """Return who acts, as Slack describes them now. Raises SlackUnreachable."""
        return self.registrar.directory.profile(place.person)

    def tell(self, place: Place, message: Message | Say) -> None:
        """Answer the person, and only them."""
        self._replies.send(place, said(message) if isinstance(message, Say) else message)

    def answer(self, place: Place, message: Message | Say) -> None:
        """Answer the person after the acknowledgement, which for a click cannot say anything."""
        self.after(place, lambda: self.tell(place, message))

    def look_up(self, place: Place, read: Callable[[], Message | Pictured]) -> None:
        """Read something for the person after the acknowledgement, if they may look, and answer with it."""

        def task(patience: _Patience) -> None:
            with patience:
                self.registrar.gatekeeper.admit(self.caller(place), Act.READ, origin="slack")
                message = read()
            if isinstance(message, Pictured):
                self._replies.show(place, message)
            else:
                self.tell(place, message)

        self._patiently(place, core_messages.answer_comes, task, self.registrar.look)

    def publish(self, place: Place, compare: Callable[[], Comparison], *, thread: str | None = None) -> None:
        """Compare versions after the acknowledgement, and post what comes of it where the person is."""

        def post(found: Comparison) -> Published:
            return self._publisher.publish(found, place.channel, person=place.person.user, thread=thread)

        self._publish(place, compare, post)

    def publish_timeline(self, place: Place, read: Callable[[], Timeline]) -> None:
        """Read the timeline of Production after the acknowledgement, and post it with its picture."""

        def post(found: Timeline) -> Published:
            return self._publisher.publish_timeline(found, place.channel, person=place.person.user)

        self._publish(place, read, post)

    def post(self, place: Place, make: Callable[[], tuple[Message, Callable[[], Sequence[Attached]]]]) -> None:
        """Make a message and its files after the acknowledgement, and post them where the person is."""

        def post(made: tuple[Message, Callable[[], Sequence[Attached]]]) -> Published:
            return self._publisher.post(*made, place.channel, person=place.person.user)

        self._publish(place, make, post)

    def _publish(self, place: Place, read: Callable[[], Found], post: Callable[[Found], Published]) -> None:
        """Read something after the acknowledgement, and post it when the channel's turn comes."""

        def task(patience: _Patience) -> None:
            with patience:
                self.registrar.gatekeeper.admit(self.caller(place), Act.READ, origin="slack")
                found = read()
            self._in_turn(place, lambda: publish(found))

        def publish(found: Found) -> None:
            standing, refused, missing = post(found)
            if standing.channel != place.channel:
                self.tell(place, core_messages.sent_directly(refused if is_restricted(refused) else ""))
            if missing:
                self.tell(place, message(missing, [section(missing)]))

        self._patiently(place, core_messages.answer_comes, task, self.registrar.look)

    def _in_turn(self, place: Place, task: Task) -> None:
        """Post in a channel when its turn comes, without keeping a worker thread waiting."""
        channel, outbox = place.channel or place.person.user, self.registrar.outbox
        if seconds := outbox.begin_turn(channel):
            again = logging_context.carried(
                lambda: self.after(place, lambda: self._in_turn(place, task), self.registrar.look)
            )
            turn = threading.Timer(seconds, again)
            turn.daemon = True
            turn.start()
            return
        try:
            task()
        finally:
            outbox.end_turn(channel)

    def ask(self, place: Place, command: Command) -> None:
        """Write down what is asked for; it is done after the acknowledgement.

        Raises Refused and LedgerUnavailable.
        """
        ask = self.registrar.errands.ask(self.caller(place), command, where=place.channel, origin="slack")
        self._carry_out(
            place,
            ask.id,
            promotion_messages.request_stands if isinstance(command, Promote) else core_messages.errand_stands,
        )

    def confirm(self, place: Place, draft: str) -> None:
        """Let a question that was answered with yes become what is asked for. Raises Refused and UnknownRequest."""
        ask = self.registrar.errands.confirm(self.caller(place), draft, origin="slack")
        self._carry_out(place, ask.id, core_messages.errand_stands)

    def mend(self, place: Place, finding_id: str) -> Say:
        """Give a stage its one holder back, after the acknowledgement, and return the answer. Raises Refused."""
        model = self.registrar.tending.mend(self.caller(place), finding_id, origin="slack")
        self.after(place, lambda: self.registrar.move(model))
        return transition_messages.mending()

    def unblock(self, place: Place, command: Unblock) -> Say:
        """Unblock a version and return the answer. Raises Refused."""
        sentence = self.registrar.rollbacks.unblock(self.caller(place), command, origin="slack")
        self.after(place, lambda: self.registrar.move(command.model))
        return sentence

    def answer_incident(self, place: Place, incident_id: str) -> Say:
        """Make the rollback that an incident asks about, after the acknowledgement. Raises Refused."""
        model = self.registrar.rollbacks.answer(self.caller(place), incident_id, origin="slack")
        self.after(place, lambda: self.registrar.move(model))
        return rollback_messages.under_way()

    def _carry_out(self, place: Place, ask_id: str, stands: Callable[[], Say]) -> None:
        self._patiently(place, stands, lambda patience: self._do(place, ask_id, patience))

    def approve(self, place: Place, request_id: str) -> Message:
        """Record an approval and return the answer; the move is made after the acknowledgement. Raises Refused."""
        counted = self.registrar.requests.vote(self.caller(place), request_id, Choice.APPROVE, origin="slack")
        if counted.request.state is RequestState.PENDING:
            self._tell_channel()
        else:
            self._patiently(
                place, promotion_messages.vote_stands, lambda patience: self._move(counted.request, patience)
            )
        return request_card.counted(
            counted.request, promotion_messages.vote_counted(counted.request, counted.approvals)
        )

    def withdraw(self, place: Place, request_id: str) -> Say:
        """Take the person's own vote back and return the answer. Raises Refused."""
        counted = self.registrar.requests.withdraw(self.caller(place), request_id, origin="slack")
        self._tell_channel()
        return promotion_messages.withdrawal_counted(counted.request, counted.approvals)

    def override(self, place: Place, request_id: str, reason: str) -> Say:
        """Let failed gates pass and return the answer; a move that comes of it is made later. Raises Refused."""
        counted = self.registrar.requests.override(self.caller(place), request_id, reason=reason, origin="slack")
        if counted.request.state is RequestState.PENDING:
            self._tell_channel()
        else:
            self._patiently(
                place, promotion_messages.vote_stands, lambda patience: self._move(counted.request, patience)
            )
        return promotion_messages.override_counted(counted.request, counted.approvals)

    def review(self, place: Place, request_id: str, reason: str) -> Say:
        """Write a review down and return the answer. Raises Refused and BadInput."""
        request = self.registrar.reviews.review(self.caller(place), request_id, reason=reason, origin="slack")
        self._tell_channel()
        return break_glass_messages.review_counted(request)

    def freeze(self, place: Place, command: FreezeModel) -> Say:
        """Freeze Production and return the answer. Raises Refused."""
        sentence = self.registrar.freezing.freeze(self.caller(place), command, origin="slack")
        self._tell_channel()
        return sentence

    def unfreeze(self, place: Place, command: UnfreezeModel) -> Say:
        """Let Production move again and return the answer; what waited for it is made soon. Raises Refused."""
        sentence = self.registrar.freezing.unfreeze(self.caller(place), command, origin="slack")
        self._tell_channel()
        return sentence

    def reject(self, place: Place, request_id: str, reason: str) -> Say:
        """Record a rejection and return the answer. Raises Refused."""
        counted = self.registrar.requests.vote(
            self.caller(place), request_id, Choice.REJECT, reason=reason, origin="slack"
        )
        self._tell_channel()
        return promotion_messages.rejection_counted(counted.request)

    def cancel(self, place: Place, request_id: str, reason: str) -> Say:
        """Take a request back and return the answer. Raises Refused."""
        request = self.registrar.requests.cancel(self.caller(place), request_id, reason=reason, origin="slack")
        self._tell_channel()
        return promotion_messages.cancelled(request)

    def show_modal(self, place: Place, make: Callable[[], dict[str, Any]]) -> None:
        """Open a modal after the acknowledgement; its trigger is good for three seconds."""
        self.after(place, lambda: self.open_modal(place, make()))

    def open_modal(self, place: Place, view: dict[str, Any]) -> str:
        """Open a modal now and return its id. Raises SlackUnreachable, also where the trigger is too old."""
        try:
            return str(self.client.views_open(trigger_id=place.trigger or "", view=view)["view"]["id"])
        except (SlackApiError, *LOST) as error:
            if isinstance(error, SlackApiError) and error_of(error) == "unknown_method":
                raise SlackUnreachable(
                    say("This Slack opens no forms, so type it in full: {help} says how.", help=Code("/model help"))
                ) from error
            raise SlackUnreachable("Slack did not open the form: it took too long. Try again.") from error

    def after(self, place: Place, task: Task, submit: Submit | None = None) -> None:
        """Do something on a thread of ours after the acknowledgement; the person hears of any error."""

        def told() -> None:
            try:
                task()
            except Exception as error:  # the one place where an error becomes a sentence in Slack
                self.tell(place, explain(error))

        after_acknowledgement(lambda: (submit or self.registrar.later)(told))

    def _patiently(
        self,
        place: Place,
        words_of: Callable[[], Say],
        task: Callable[[_Patience], object],
        submit: Submit | None = None,
    ) -> None:
        """Do something after the acknowledgement; where it takes too long, the person hears that meanwhile."""

        def start() -> None:
            patience = _Patience(lambda: self.tell(place, words_of()))
            self.after(place, lambda: task(patience), submit)

        after_acknowledgement(start)

    def told(self, sentence: Say) -> Say:
        """Return the answer to what changed something for all; the channel hears of it after the acknowledgement."""
        self._tell_channel()
        return sentence

    def _tell_channel(self) -> None:
        after_acknowledgement(self.registrar.outbox_soon)

    def unforeseen(self, error: Exception, body: dict[str, Any]) -> None:
        """Log an error of a listener under an id; what Bolt calls for those before the acknowledgement."""
        explain(error)

    def _do(self, place: Place, ask_id: str, patience: _Patience) -> None:
        with patience:
            try:
                done = self.registrar.errands.carry_out(ask_id)
            except Unreachable:
                patience.run_out()
                return
            if done.move:
                self.registrar.move(done.model)
        self.registrar.outbox.deliver(wait=5)
        self.tell(place, self._answer(done))

    def _answer(self, done: Done) -> Say:
        if done.request:
            return self._asked(done.request)
        if done.move:
            with self.registrar.context.ledger.read() as reading:
                move: Move = reading.move(done.move)
            return (
                rollback_messages.answer(move)
                if move.kind is MoveKind.ROLLBACK
                else transition_messages.archiving_ended(move)
            )
        return done.answer or core_messages.errand_stands()

    def _asked(self, request: Request) -> Say:
        policy = self.registrar.context.policy
        channel = policy.channel_for(request.model)
        if request.breaks_glass:
            with self.registrar.context.ledger.read() as reading:
                return break_glass_messages.glass_broken(reading.request(request.id))
        with self.registrar.context.ledger.read() as reading:
            card = reading.progress(card_note(request, OPENED, channel))
            if reading.posting(request.id) or (card and card.is_waiting and card.why in {"", "ratelimited"}):
                said = promotion_messages.asked(request, channel, waiting_for(awaited(request, (), policy), None))
                return self._with_warnings(said, request)
        if card and not card.is_waiting:
            return self._with_warnings(promotion_messages.card_refused(request, card.why), request)
        return say(
            "Requested {model} {path}: {id}. Its card isn't in {channel} yet. If I'm not a member there, invite me: "
            "{invite}",
            model=Name(request.model),
            path=promotion_messages.path(request),
            id=Code(request.id),
            channel=Channel(channel),
            invite=Code("/invite @registrar"),
        )

    def _with_warnings(self, answer: Say, request: Request) -> Say:
        """Add what stands in the way of an approval today: a failed gate, a freeze."""
        mind = [promotion_messages.blocked(request)] if request.is_blocked else []
        stop = self.registrar.freezing.stops(request.model) if request.target is Stage.PRODUCTION else None
        mind += [promotion_messages.frozen_now(stop.why)] if stop else []
        return joined([answer, *mind], " ")

    def _move(self, request: Request, patience: _Patience) -> None:
        with patience:
            self.registrar.move(request.model)
            with self.registrar.context.ledger.read() as reading:
                if reading.request(request.id).state is RequestState.APPROVED:
                    patience.run_out()


class _Patience:
    """Says something once when a task takes too long, waiting for a thread included, or when told to."""

    def __init__(self, speak: Callable[[], None]) -> None:
        self._speak = speak
        self._timer = threading.Timer(PATIENCE, logging_context.carried(self.run_out))
        self._timer.daemon = True
        self._once = threading.Lock()
        self._timer.start()

    def __enter__(self) -> _Patience:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def run_out(self) -> None:
        """Speak, unless it was done before."""
        if self._once.acquire(blocking=False):
            self._speak()
