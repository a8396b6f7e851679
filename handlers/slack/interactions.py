"""What all listeners share: who's acting, how to answer them, and what runs after the acknowledgment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot import logging_context
from bot.domain.commands.base import Change, Command, QueryCommand
from bot.domain.commands.parser import correct_typo
from bot.domain.commands.promotions import Promote
from bot.domain.core import messages as core_messages
from bot.domain.core.actors import Profile
from bot.domain.core.errors import RegistrarError, SlackUnreachable, Unreachable
from bot.domain.core.sentence import Channel, Code, Name, Sentence, join_sentences, links_in, say
from bot.domain.policy.authorization import Permission
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import pending_approvers, waiting_for_approvers
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions import messages as transition_messages
from bot.domain.transitions.transition import Transition, TransitionKind, promotion_id
from bot.ports import MessageRef
from bot.registrar import Registrar
from bot.services.core.commands import CommandResult, Origin
from bot.services.core.outbox_messages import OPENED, card_link, card_message
from bot.services.transitions.rollback_records import progress_link
from bot.slack.commands import failed_command
from bot.slack.commands.rendering import render
from bot.slack.core.answer import RenderContext, SlackAnswer
from bot.slack.core.blocks import Message, sentence_message, text_message
from bot.slack.core.client import CONNECTION_ERRORS, error_code, is_posting_restricted
from bot.slack.delivery.message_links import MessageLinks
from bot.slack.delivery.publisher import Publisher
from handlers.errors import explain
from handlers.slack.deferred import SlowNotice, Task, after_acknowledgement
from handlers.slack.replies import Replies, ReplyTarget

log = logging.getLogger(__name__)

SubmitTask = Callable[[Task, str], object]  # gets the task and its owner


class SlackInteractions:
    """Translates between people in Slack and the services."""

    def __init__(self, registrar: Registrar, client: WebClient) -> None:
        self.registrar = registrar
        self.client = client
        self._replies = Replies(client)
        self._publisher = Publisher(client, registrar.admins.report_missing_scopes)
        self.message_links = MessageLinks(client, registrar.context.ledger)
        self._workspace_url = ""

    def close(self) -> None:
        """Close the connection that sends answers."""
        self._replies.close()

    def caller(self, target: ReplyTarget) -> Profile:
        """Return the acting person's profile, as Slack describes them now. Raises SlackUnreachable."""
        return self.registrar.directory.profile(target.person)

    def workspace_url(self) -> str:
        """Return the workspace's URL, for links to messages, or an empty string if Slack doesn't respond.

        It's fetched only once.
        """
        if not self._workspace_url:
            try:
                self._workspace_url = str(self.client.auth_test().get("url") or "")
            except (SlackApiError, *CONNECTION_ERRORS) as error:
                log.warning("can't get the workspace's address (%s)", error)
        return self._workspace_url

    def reply(self, target: ReplyTarget, message: Message | Sentence) -> None:
        """Answer the person, and only them."""
        answer = sentence_message(self.message_links.fill_in(message)) if isinstance(message, Sentence) else message
        if target.is_direct:  # an ephemeral answer takes no turn
            self._post_in_turn(target, target.channel, lambda: self._replies.send(target, answer))
        else:
            self._replies.send(target, answer)

    def reply_later(self, target: ReplyTarget, message: Message | Sentence) -> None:
        """Answer the person after the acknowledgment, because a click's acknowledgment can't carry an answer."""
        self.defer(target, lambda: self.reply(target, message))

    def answer_later(self, target: ReplyTarget, build: Callable[[], Message]) -> None:
        """Answer with a message that's built after the acknowledgment."""
        self._defer_with_notice(
            target,
            core_messages.answer_delayed_notice,
            lambda patience: self._answer(target, lambda: SlackAnswer(build()), patience),
            self.registrar.submit_query,
        )

    def failure(self, target: ReplyTarget, error: Exception) -> Message:
        """Return the answer to an error, with a button for the corrected command or the form if there is one."""
        answer = sentence_message(explain(error))
        if not isinstance(error, RegistrarError):
            return answer
        corrected = correct_typo(target.typed, error)
        with suppress(RegistrarError):  # without the button, the answer is still complete
            if corrected and self.registrar.access_control.allows(caller := self.caller(target), Permission.REQUEST):
                queue = self.registrar.command_queue
                draft = queue.create_draft(caller, {"text": corrected}, channel=target.channel)
                return failed_command.with_corrected_command(answer, corrected, draft)
        return failed_command.with_form(answer, target.command_id) if target.command_id else answer

    # -- commands --------------------------------------------------------------------------------------------------

    def execute(self, target: ReplyTarget, command: Command) -> Message | None:
        """Execute a command, typed or from a button. Return the answer, or None if it follows the acknowledgment.

        When this returns, a change is committed, and a registry change is queued. Raises Refused, BadInput, and
        LedgerUnavailable.
        """
        if isinstance(command, QueryCommand) or (isinstance(command, Change) and command.is_slow):
            self.execute_later(target, command)
            return None
        result = self._dispatch(target, command)
        if result.queued is not None:
            if command.has_form:
                target = replace(target, command_id=result.queued.id)
            self._execute_queued_later(target, result.queued.id, is_promotion=isinstance(command, Promote))
            return None
        if result.answer and any(links_in(result.answer)):  # Slack says where the linked message is
            self.answer_later(target, lambda: self._render(command, result).message)
            return None
        return self._render(command, result).message

    def execute_later(self, target: ReplyTarget, command: Command, *, is_public: bool = False) -> None:
        """Execute a command after the acknowledgment, then answer; `is_public` posts the answer in the channel."""

        def build() -> SlackAnswer:
            answer = self._render(command, self._dispatch(target, command), is_public=is_public)
            return answer.shared_by(target.person) if is_public else answer

        self._defer_with_notice(
            target,
            core_messages.answer_delayed_notice,
            lambda patience: self._answer(target, build, patience),
            self.registrar.submit_query,
        )

    def _dispatch(self, target: ReplyTarget, command: Command) -> CommandResult:
        """Execute a command and start its follow-up work, after the acknowledgment if one is pending."""
        origin = Origin(entry_point="slack", channel=target.channel, idempotency_key=target.message_key)
        result = self.registrar.commands.execute(self.caller(target), command, origin)
        if result.request is not None and result.due_model:
            request = result.request
            self._defer_with_notice(
                target,
                promotion_messages.vote_recorded_notice,
                lambda patience: self._execute_transitions(request, patience),
            )
        elif result.due_model:
            self.execute_transitions_later(target, result.due_model)
        elif isinstance(command, Change):
            self.deliver_later()
        return result

    def _render(self, command: Command, result: CommandResult, *, is_public: bool = False) -> SlackAnswer:
        context = RenderContext(
            now=self.registrar.context.clock.now(),
            links=self.registrar.context.links,
            answer=self.message_links.fill_in(result.answer) if result.answer else say(""),
            is_public=is_public,
        )
        return render(command, result.view if result.request is None else result.request, context)

    def _answer(self, target: ReplyTarget, build: Callable[[], SlackAnswer], patience: SlowNotice) -> None:
        with patience:
            answer = build()
        if target.is_in_direct_messages:
            answer = replace(answer, shareable=None)
        if answer.is_public:
            self._post_in_turn(target, target.channel, lambda: self._publish(target, answer))
        elif answer.has_files:
            self._post_in_turn(target, target.person.user, lambda: self._answer_directly(target, answer))
        else:
            self.reply(target, answer.in_channel())

    def _answer_directly(self, target: ReplyTarget, answer: SlackAnswer) -> None:
        """Send an answer and its files as a direct message, and its summary to where the person asked.

        If Slack rejects the direct message, they get the answer where they asked, without its files.
        """
        try:
            sent = self._publisher.post_directly(answer.message, target.person.user)
        except SlackUnreachable:
            self.reply(target, answer.in_channel())
            return
        if target.channel not in {"", sent.channel}:
            self.reply(target, answer.in_channel(self.message_links.find(sent)))
        self._report_failed_upload(target, self._publisher.upload_files(answer, MessageRef(sent.channel, "")))

    def _publish(self, target: ReplyTarget, answer: SlackAnswer) -> None:
        """Post an answer in the person's channel, and notify them if it went elsewhere or its files are missing."""
        message_ref, channel_error, failure_text = self._publisher.post(
            answer, target.channel, user_id=target.person.user
        )
        if message_ref.channel != target.channel:
            self.reply(
                target,
                core_messages.sent_directly_notice(channel_error if is_posting_restricted(channel_error) else ""),
            )
        self._report_failed_upload(target, failure_text)

    def _report_failed_upload(self, target: ReplyTarget, failure_text: str) -> None:
        if failure_text:
            self.reply(target, text_message(failure_text))

    def _post_in_turn(self, target: ReplyTarget, channel: str, task: Task) -> None:
        """Run `task`, which posts in a channel, when the channel's turn comes.

        No worker thread is blocked until then.
        """
        channel, outbox = channel or target.person.user, self.registrar.outbox
        if seconds := outbox.take_turn(channel):
            release = self.registrar.query_pool.hold(target.person.user)

            def retry() -> None:
                self.defer(target, lambda: self._post_in_turn(target, channel, task), self.registrar.submit_query)
                release()

            turn = threading.Timer(seconds, logging_context.with_context(retry))
            turn.daemon = True
            turn.start()
            return
        try:
            task()
        finally:
            outbox.end_turn(channel)

    def confirm_draft(self, target: ReplyTarget, draft_id: str) -> None:
        """Submit the draft that the person has confirmed. Raises Refused and UnknownRequest."""
        queued = self.registrar.command_queue.submit_draft(self.caller(target), draft_id, origin="slack")
        self._execute_queued_later(target, queued.id, is_promotion=False)

    def execute_transitions_later(self, target: ReplyTarget, model: str) -> None:
        """Execute a model's due transitions after the acknowledgment."""
        self.defer(target, lambda: self.registrar.execute_transitions(model))

    # -- after the acknowledgment ----------------------------------------------------------------------------------

    def open_modal_later(self, target: ReplyTarget, build: Callable[[], dict[str, Any]]) -> None:
        """Open a modal after the acknowledgment; its trigger is valid for three seconds."""
        self.defer(target, lambda: self.open_modal(target, build()))

    def open_modal(self, target: ReplyTarget, view: dict[str, Any]) -> str:
        """Open a modal now and return its ID. Raises SlackUnreachable, including if the trigger has expired."""
        try:
            return str(self.client.views_open(trigger_id=target.trigger_id or "", view=view)["view"]["id"])
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            if isinstance(error, SlackApiError) and error_code(error) == "unknown_method":
                raise SlackUnreachable(
                    say(
                        "This server can't open forms. Type the command in full; {help} shows how.",
                        help=Code("/model help"),
                    )
                ) from error
            raise SlackUnreachable("Slack didn't open the form in time. Try again.") from error

    def defer(self, target: ReplyTarget, task: Task, submit: SubmitTask | None = None) -> None:
        """Run a task on a worker thread after the acknowledgment; answer any error it raises."""

        def told() -> None:
            try:
                task()
            except Exception as error:  # the only place where an error becomes a sentence in Slack
                self.reply(target, self.failure(target, error))

        after_acknowledgement(lambda: (submit or self.registrar.submit)(told, target.person.user))

    def _defer_with_notice(
        self,
        target: ReplyTarget,
        slow_sentence: Callable[[], Sentence],
        task: Callable[[SlowNotice], object],
        submit: SubmitTask | None = None,
    ) -> None:
        """Run a task after the acknowledgment. If it takes a while, the person gets `slow_sentence` in the meantime."""

        def start() -> None:
            patience = SlowNotice(lambda sentence: self.reply(target, sentence or slow_sentence()))
            self.defer(target, lambda: task(patience), submit)

        after_acknowledgement(start)

    def deliver_later(self) -> None:
        """Deliver messages after the acknowledgment."""
        after_acknowledgement(self.registrar.schedule_delivery)

    def log_unexpected(self, error: Exception, body: dict[str, Any]) -> None:
        """Log a listener's error with an ID. Bolt calls this for errors that occur before the acknowledgment."""
        explain(error)

    def _execute_queued_later(self, target: ReplyTarget, command_id: str, *, is_promotion: bool) -> None:
        self._defer_with_notice(
            target,
            promotion_messages.request_recorded_notice if is_promotion else core_messages.command_recorded_notice,
            lambda patience: self._execute_queued(target, command_id, patience),
        )

    def _execute_queued(self, target: ReplyTarget, command_id: str, slow_notice: SlowNotice) -> None:
        with slow_notice:
            try:
                done = self.registrar.command_queue.execute(command_id)
            except Unreachable:
                slow_notice.send_now()
                return
            if done.due_model:
                self.registrar.execute_transitions(done.due_model)
        self.registrar.outbox.deliver(patience=5)
        self.reply(target, self._result_sentence(done))

    def _result_sentence(self, result: CommandResult) -> Sentence:
        if result.request:
            return self._requested_sentence(result.request)
        if result.transition_id:
            with self.registrar.context.ledger.read() as reading:
                transition: Transition = reading.transition(result.transition_id)
            if transition.kind is not TransitionKind.ROLLBACK:
                return transition_messages.archive_confirmation(transition)
            message = progress_link(transition, self.registrar.context.policy.channel_for(transition.model))
            return say("{done} {message}.", done=rollback_messages.rollback_confirmation(transition), message=message)
        return result.answer or core_messages.command_recorded_notice()

    def _requested_sentence(self, request: Request) -> Sentence:
        policy = self.registrar.context.policy
        channel = policy.channel_for(request.model)
        if request.breaks_glass:
            with self.registrar.context.ledger.read() as reading:
                return break_glass_messages.break_glass_confirmation(reading.request(request.id))
        with self.registrar.context.ledger.read() as reading:
            card = reading.delivery_progress(card_message(request, OPENED, channel).key)
            if reading.message_ref(request.id) or (card and card.is_waiting and card.why in {"", "ratelimited"}):
                confirmation = promotion_messages.request_confirmation(
                    request,
                    card_link(request, channel, "See the card"),
                    waiting_for_approvers(pending_approvers(request, (), policy), None),
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
        """Add warnings about what will block the promotion even once it's approved: failed gates and a freeze."""
        warnings = [promotion_messages.failed_gates_notice(request)] if request.has_blocking_gates else []
        freeze = self.registrar.freezes.active_freeze(request.model) if request.target is Stage.PRODUCTION else None
        warnings += [promotion_messages.frozen_notice(freeze.description)] if freeze else []
        return join_sentences([answer, *warnings], " ")

    def _execute_transitions(self, request: Request, slow_notice: SlowNotice) -> None:
        with slow_notice:
            self.registrar.execute_transitions(request.model)
            with self.registrar.context.ledger.read() as reading:
                is_waiting = reading.request(request.id).state is RequestState.APPROVED
                why = reading.transition(promotion_id(request)).why if is_waiting else ""
            if is_waiting:
                slow_notice.send_now(promotion_messages.vote_recorded_notice(why) if why else None)
