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
from bot.domain.core.sentence import Channel, Code, Name, Sentence, join_sentences, say
from bot.domain.policy.authorization import Permission
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approver_messages import waiting_for_approvers
from bot.domain.promotions.approvers import pending_approvers
from bot.domain.promotions.request import Request, RequestState, VoteChoice
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.model import Stage
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.rollbacks.history import Timeline
from bot.domain.transitions import messages as transition_messages
from bot.domain.transitions.transition import Transition, TransitionKind
from bot.registrar import Registrar
from bot.services.core.commands import CommandResult
from bot.services.core.outbox_messages import OPENED, card_message
from bot.slack.core.api_errors import CONNECTION_ERRORS, error_code, is_posting_restricted
from bot.slack.core.blocks import Message, build_message, section, sentence_message
from bot.slack.delivery.publisher import FileUpload, PublishedMessage, Publisher
from bot.slack.promotions import request_card
from handlers.errors import explain
from handlers.slack.deferred import Task, after_acknowledgement
from handlers.slack.replies import AnswerWithChart, Replies, ReplyTarget
from handlers.slack.slow_notice import SlowNotice

SubmitTask = Callable[[Task], object]
ResultT = TypeVar("ResultT")


class SlackInteractions:
    """Translates between Slack's people and the services."""

    def __init__(self, registrar: Registrar, client: WebClient) -> None:
        self.registrar = registrar
        self.client = client
        self._replies = Replies(client, registrar.admins.report_missing_scopes)
        self._publisher = Publisher(client, registrar.admins.report_missing_scopes)

    def close(self) -> None:
        """Close the connections over which people are answered."""
        self._replies.close()

    def caller(self, target: ReplyTarget) -> Profile:
        """Return who acts, as Slack describes them now. Raises SlackUnreachable."""
        return self.registrar.directory.profile(target.person)

    def reply(self, target: ReplyTarget, message: Message | Sentence) -> None:
        """Answer the person, and only them."""
        self._replies.send(target, sentence_message(message) if isinstance(message, Sentence) else message)

    def reply_later(self, target: ReplyTarget, message: Message | Sentence) -> None:
        """Answer the person after the acknowledgement, which can't carry an answer to a click."""
        self.defer(target, lambda: self.reply(target, message))

    def run_query(self, target: ReplyTarget, read: Callable[[], Message | AnswerWithChart]) -> None:
        """Run a query after the acknowledgement, if the person is allowed to, and answer with its result."""

        def task(patience: SlowNotice) -> None:
            with patience:
                self.registrar.access_control.require_permission(self.caller(target), Permission.READ, origin="slack")
                message = read()
            if isinstance(message, AnswerWithChart):
                self._replies.send_with_chart(target, message)
            else:
                self.reply(target, message)

        self._defer_with_notice(target, core_messages.answer_delayed_notice, task, self.registrar.submit_query)

    def publish_comparison(
        self, target: ReplyTarget, compare: Callable[[], Comparison], *, thread: str | None = None
    ) -> None:
        """Compare versions after the acknowledgement, and post the result where the person is."""

        def post(comparison: Comparison) -> PublishedMessage:
            return self._publisher.publish_comparison(
                comparison, target.channel, user_id=target.person.user, thread=thread
            )

        self._publish(target, compare, post)

    def publish_timeline(self, target: ReplyTarget, read: Callable[[], Timeline]) -> None:
        """Read the timeline of Production after the acknowledgement, and post it with its picture."""

        def post(timeline: Timeline) -> PublishedMessage:
            return self._publisher.publish_timeline(timeline, target.channel, user_id=target.person.user)

        self._publish(target, read, post)

    def publish_message(
        self, target: ReplyTarget, build: Callable[[], tuple[Message, Callable[[], Sequence[FileUpload]]]]
    ) -> None:
        """Build a message and its files after the acknowledgement, and post them where the person is."""

        def post(message_and_files: tuple[Message, Callable[[], Sequence[FileUpload]]]) -> PublishedMessage:
            return self._publisher.post(*message_and_files, target.channel, user_id=target.person.user)

        self._publish(target, build, post)

    def _publish(
        self, target: ReplyTarget, read: Callable[[], ResultT], post: Callable[[ResultT], PublishedMessage]
    ) -> None:
        """Run a query after the acknowledgement, and post its result when it's the channel's turn."""

        def task(patience: SlowNotice) -> None:
            with patience:
                self.registrar.access_control.require_permission(self.caller(target), Permission.READ, origin="slack")
                result = read()
            self._post_in_turn(target, lambda: publish(result))

        def publish(result: ResultT) -> None:
            message_ref, channel_error, failure_text = post(result)
            if message_ref.channel != target.channel:
                self.reply(
                    target,
                    core_messages.sent_directly_notice(channel_error if is_posting_restricted(channel_error) else ""),
                )
            if failure_text:
                self.reply(target, build_message(failure_text, [section(failure_text)]))

        self._defer_with_notice(target, core_messages.answer_delayed_notice, task, self.registrar.submit_query)

    def _post_in_turn(self, target: ReplyTarget, task: Task) -> None:
        """Post in a channel when it's its turn, without blocking a worker thread until then."""
        channel, outbox = target.channel or target.person.user, self.registrar.outbox
        if seconds := outbox.take_turn(channel):
            retry = logging_context.with_context(
                lambda: self.defer(target, lambda: self._post_in_turn(target, task), self.registrar.submit_query)
            )
            turn = threading.Timer(seconds, retry)
            turn.daemon = True
            turn.start()
            return
        try:
            task()
        finally:
            outbox.end_turn(channel)

    def enqueue_command(self, target: ReplyTarget, command: Command) -> None:
        """Record the command, to be executed after the acknowledgement. Raises Refused and LedgerUnavailable."""
        queued = self.registrar.command_queue.submit(
            self.caller(target), command, channel=target.channel, origin="slack"
        )
        self._execute_later(
            target,
            queued.id,
            promotion_messages.request_recorded_notice
            if isinstance(command, Promote)
            else core_messages.command_recorded_notice,
        )

    def confirm_draft(self, target: ReplyTarget, draft_id: str) -> None:
        """Submit the draft that the person has confirmed. Raises Refused and UnknownRequest."""
        queued = self.registrar.command_queue.submit_draft(self.caller(target), draft_id, origin="slack")
        self._execute_later(target, queued.id, core_messages.command_recorded_notice)

    def repair_stage(self, target: ReplyTarget, notice_id: str) -> Sentence:
        """Give a stage its one holder back, after the acknowledgement, and return the answer. Raises Refused."""
        model = self.registrar.edits.repair_stage(self.caller(target), notice_id, origin="slack")
        self.defer(target, lambda: self.registrar.execute_transitions(model))
        return transition_messages.repair_started_notice()

    def unblock(self, target: ReplyTarget, command: Unblock) -> Sentence:
        """Unblock a version and return the answer. Raises Refused."""
        sentence = self.registrar.rollbacks.unblock(self.caller(target), command, origin="slack")
        self.defer(target, lambda: self.registrar.execute_transitions(command.model))
        return sentence

    def confirm_incident_rollback(self, target: ReplyTarget, incident_id: str) -> Sentence:
        """Execute the rollback that an incident proposes, after the acknowledgement. Raises Refused."""
        model = self.registrar.rollbacks.roll_back_for_incident(self.caller(target), incident_id, origin="slack")
        self.defer(target, lambda: self.registrar.execute_transitions(model))
        return rollback_messages.rollback_started_notice()

    def _execute_later(self, target: ReplyTarget, command_id: str, slow_sentence: Callable[[], Sentence]) -> None:
        self._defer_with_notice(target, slow_sentence, lambda patience: self._execute(target, command_id, patience))

    def approve(self, target: ReplyTarget, request_id: str) -> Message:
        """Record an approval and return the answer; the transition is executed later. Raises Refused."""
        counted = self.registrar.requests.vote(self.caller(target), request_id, VoteChoice.APPROVE, origin="slack")
        if counted.request.state is RequestState.PENDING:
            self._deliver_later()
        else:
            self._defer_with_notice(
                target,
                promotion_messages.vote_recorded_notice,
                lambda patience: self._execute_transitions(counted.request, patience),
            )
        return request_card.vote_answer(
            counted.request, promotion_messages.approval_confirmation(counted.request, counted.approvals)
        )

    def withdraw(self, target: ReplyTarget, request_id: str) -> Sentence:
        """Take the person's own vote back and return the answer. Raises Refused."""
        counted = self.registrar.requests.withdraw_vote(self.caller(target), request_id, origin="slack")
        self._deliver_later()
        return promotion_messages.withdrawal_confirmation(counted.request, counted.approvals)

    def override(self, target: ReplyTarget, request_id: str, reason: str) -> Sentence:
        """Override failed gates and return the answer; a transition that follows is executed later. Raises Refused."""
        counted = self.registrar.requests.override_gates(self.caller(target), request_id, reason=reason, origin="slack")
        if counted.request.state is RequestState.PENDING:
            self._deliver_later()
        else:
            self._defer_with_notice(
                target,
                promotion_messages.vote_recorded_notice,
                lambda patience: self._execute_transitions(counted.request, patience),
            )
        return promotion_messages.override_confirmation(counted.request, counted.approvals)

    def review(self, target: ReplyTarget, request_id: str, reason: str) -> Sentence:
        """Write a review down and return the answer. Raises Refused and BadInput."""
        request = self.registrar.reviews.review(self.caller(target), request_id, reason=reason, origin="slack")
        self._deliver_later()
        return break_glass_messages.review_confirmation(request)

    def freeze(self, target: ReplyTarget, command: FreezeModel) -> Sentence:
        """Freeze Production and return the answer. Raises Refused."""
        sentence = self.registrar.freezes.freeze(self.caller(target), command, origin="slack")
        self._deliver_later()
        return sentence

    def unfreeze(self, target: ReplyTarget, command: UnfreezeModel) -> Sentence:
        """Unfreeze Production and return the answer; requests that waited for it are executed soon. Raises Refused."""
        sentence = self.registrar.freezes.unfreeze(self.caller(target), command, origin="slack")
        self._deliver_later()
        return sentence

    def reject(self, target: ReplyTarget, request_id: str, reason: str) -> Sentence:
        """Record a rejection and return the answer. Raises Refused."""
        counted = self.registrar.requests.vote(
            self.caller(target), request_id, VoteChoice.REJECT, reason=reason, origin="slack"
        )
        self._deliver_later()
        return promotion_messages.rejection_confirmation(counted.request)

    def cancel(self, target: ReplyTarget, request_id: str, reason: str) -> Sentence:
        """Take a request back and return the answer. Raises Refused."""
        request = self.registrar.requests.cancel(self.caller(target), request_id, reason=reason, origin="slack")
        self._deliver_later()
        return promotion_messages.cancellation_confirmation(request)

    def open_modal_later(self, target: ReplyTarget, build: Callable[[], dict[str, Any]]) -> None:
        """Open a modal after the acknowledgement; its trigger is good for three seconds."""
        self.defer(target, lambda: self.open_modal(target, build()))

    def open_modal(self, target: ReplyTarget, view: dict[str, Any]) -> str:
        """Open a modal now and return its id. Raises SlackUnreachable, also if the trigger has expired."""
        try:
            return str(self.client.views_open(trigger_id=target.trigger_id or "", view=view)["view"]["id"])
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            if isinstance(error, SlackApiError) and error_code(error) == "unknown_method":
                raise SlackUnreachable(
                    say("This Slack opens no forms, so type it in full: {help} says how.", help=Code("/model help"))
                ) from error
            raise SlackUnreachable("Slack did not open the form: it took too long. Try again.") from error

    def defer(self, target: ReplyTarget, task: Task, submit: SubmitTask | None = None) -> None:
        """Do something on a thread of ours after the acknowledgement; the person hears of any error."""

        def told() -> None:
            try:
                task()
            except Exception as error:  # the one place where an error becomes a sentence in Slack
                self.reply(target, explain(error))

        after_acknowledgement(lambda: (submit or self.registrar.submit)(told))

    def _defer_with_notice(
        self,
        target: ReplyTarget,
        slow_sentence: Callable[[], Sentence],
        task: Callable[[SlowNotice], object],
        submit: SubmitTask | None = None,
    ) -> None:
        """Run a task after the acknowledgement; if it takes long, the person gets `slow_sentence` meanwhile."""

        def start() -> None:
            patience = SlowNotice(lambda: self.reply(target, slow_sentence()))
            self.defer(target, lambda: task(patience), submit)

        after_acknowledgement(start)

    def reply_and_deliver(self, sentence: Sentence) -> Sentence:
        """Return the answer to what changed something for all; the channel hears of it after the acknowledgement."""
        self._deliver_later()
        return sentence

    def _deliver_later(self) -> None:
        after_acknowledgement(self.registrar.schedule_delivery)

    def log_unexpected(self, error: Exception, body: dict[str, Any]) -> None:
        """Log a listener's error with an id; Bolt calls this for errors before the acknowledgement."""
        explain(error)

    def _execute(self, target: ReplyTarget, command_id: str, slow_notice: SlowNotice) -> None:
        with slow_notice:
            try:
                done = self.registrar.command_queue.execute(command_id)
            except Unreachable:
                slow_notice.send_now()
                return
            if done.transition_id:
                self.registrar.execute_transitions(done.model)
        self.registrar.outbox.deliver(patience=5)
        self.reply(target, self._result_sentence(done))

    def _result_sentence(self, result: CommandResult) -> Sentence:
        if result.request:
            return self._requested_sentence(result.request)
        if result.transition_id:
            with self.registrar.context.ledger.read() as reading:
                transition: Transition = reading.transition(result.transition_id)
            return (
                rollback_messages.rollback_confirmation(transition)
                if transition.kind is TransitionKind.ROLLBACK
                else transition_messages.archive_confirmation(transition)
            )
        return result.answer or core_messages.command_recorded_notice()

    def _requested_sentence(self, request: Request) -> Sentence:
        policy = self.registrar.context.policy
        channel = policy.channel_for(request.model)
        if request.breaks_glass:
            with self.registrar.context.ledger.read() as reading:
                return break_glass_messages.break_glass_confirmation(reading.request(request.id))
        with self.registrar.context.ledger.read() as reading:
            card = reading.delivery_progress(card_message(request, OPENED, channel))
            if reading.message_ref(request.id) or (card and card.is_waiting and card.why in {"", "ratelimited"}):
                confirmation = promotion_messages.request_confirmation(
                    request, channel, waiting_for_approvers(pending_approvers(request, (), policy), None)
                )
                return self._with_warnings(confirmation, request)
        if card and not card.is_waiting:
            return self._with_warnings(promotion_messages.card_refused_notice(request, card.why), request)
        return say(
            "Requested {model} {path}: {id}. Its card isn't in {channel} yet. If I'm not a member there, invite me: "
            "{invite}",
            model=Name(request.model),
            path=promotion_messages.describe_change(request),
            id=Code(request.id),
            channel=Channel(channel),
            invite=Code("/invite @registrar"),
        )

    def _with_warnings(self, answer: Sentence, request: Request) -> Sentence:
        """Add what blocks a promotion after approval: a failed gate, a freeze."""
        warnings = [promotion_messages.failed_gates_notice(request)] if request.has_blocking_gates else []
        freeze = self.registrar.freezes.active_freeze(request.model) if request.target is Stage.PRODUCTION else None
        warnings += [promotion_messages.frozen_notice(freeze.description)] if freeze else []
        return join_sentences([answer, *warnings], " ")

    def _execute_transitions(self, request: Request, slow_notice: SlowNotice) -> None:
        with slow_notice:
            self.registrar.execute_transitions(request.model)
            with self.registrar.context.ledger.read() as reading:
                if reading.request(request.id).state is RequestState.APPROVED:
                    slow_notice.send_now()
