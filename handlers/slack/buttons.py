"""Handle button clicks. A button carries an ID, a query, or typed text; Slack's signed payload says who clicked it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from slack_bolt import Ack, App
from slack_sdk.models.blocks import Block

from bot.domain.commands import monitoring as monitor_commands
from bot.domain.commands.base import Command
from bot.domain.commands.parser import build_command, load_command, parse_command
from bot.domain.commands.promotions import Approve, Cancel, Promote, Withdraw
from bot.domain.commands.registry import Compare, ListModels, ShowModel
from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.actors import Profile
from bot.domain.core.errors import BadInput, UnknownRequest
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.incident import IncidentStatus
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.authorization import Permission
from bot.domain.promotions.file_gate import digest_id_of
from bot.domain.promotions.request import Request
from bot.domain.rollbacks.messages import rollback_started_notice
from bot.domain.transitions.drift import DriftNotice
from bot.domain.transitions.messages import not_archived_confirmation, repair_started_notice
from bot.registrar import Registrar
from bot.slack.commands import help_text
from bot.slack.core.answer import SHARE
from bot.slack.core.blocks import Message
from bot.slack.monitoring import answers as monitoring_answers
from bot.slack.monitoring import incident_card, proposal_card
from bot.slack.promotions import request_card
from bot.slack.promotions.details import request_details
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import history as history_answer
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice
from handlers.slack.commands import (
    open_form,
    open_monitor_form,
    open_promotion_form,
    open_reason_form,
    open_rollback_form,
    run_typed,
)
from handlers.slack.details import show_version
from handlers.slack.interactions import SlackInteractions
from handlers.slack.listeners import ClickHandler, click_listener
from handlers.slack.replies import ReplyTarget

MAX_PERIODS = 3  # versions that were in Production last, among a request's details
MAX_COMPARED = 20  # new versions that one message compares
SILENCE_DURATION = timedelta(hours=2)  # how long the button silences
BACKTEST_DAYS = 30


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for clicks on the buttons of all messages and of the menu.

    The buttons share one listener, because Bolt tries listeners in turn, and with fifty of them, that would take longer
    than processing a decision.
    """
    handlers = {
        **_HANDLERS,
        **{action: _monitor_handler(build) for action, build in _MONITOR_COMMANDS.items()},
        **{action: _typed_handler(text) for action, text in _MENU_COMMANDS.items()},
    }
    listeners = {action: click_listener(interactions, handle) for action, handle in handlers.items()}

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        listeners[body["actions"][0]["action_id"]](ack, body)

    app.action(re.compile(rf"\A({'|'.join(map(re.escape, listeners))})\Z"))(on_click)


def _require_id(value: str) -> str:
    """Return the ID that a button carries. Raises BadInput for a forged one."""
    if not re.fullmatch(r"[a-z0-9]{4,32}", value):
        raise BadInput("I don't recognize this button.")
    return value


def _require_request_id(value: str) -> str:
    """Return the request ID that a button carries. Raises BadInput for a forged one."""
    return build_command(Approve, {"request": value}).request


# -- requests ----------------------------------------------------------------------------------------------------------


def _request_handler(command_class: type[Command]) -> ClickHandler:
    """Return a handler for a button that executes a command about its request."""
    return lambda interactions, target, value: interactions.execute(
        target, build_command(command_class, {"request": value})
    )


def _reason_handler(permission: Permission) -> ClickHandler:
    """Return a handler for a button that opens a form to enter a reason."""
    return lambda interactions, target, value: open_reason_form(
        interactions, target, _require_request_id(value), permission
    )


def _request_again(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Message | None:
    """Request an outdated request's version again; the person who clicks becomes the requester."""
    request = _read_request(interactions, value)
    results = request.seen.validation if request.seen else {}
    command = build_command(
        Promote,
        {
            "model": request.model,
            "version": str(request.version),
            "to": request.target,
            "reason": request.reason,
            "keep_existing": request.keep_existing,
            "validation": [f"{name}={value}" for name, value in results.items()],
        },
    )
    return interactions.execute(target, command)


def _read_request(interactions: SlackInteractions, value: str) -> Request:
    request_id = _require_request_id(value)
    with interactions.registrar.context.ledger.read() as reader:
        return reader.request(request_id)


def _open_rollback(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Open the form for rolling Production back, if the card's version is still there."""
    request = _read_request(interactions, value)
    open_rollback_form(interactions, target, {"model": request.model}, request.version)


def _show_history(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Message | None:
    request = _read_request(interactions, value)
    return interactions.execute(target, build_command(ShowHistory, {"model": request.model}))


# -- versions ----------------------------------------------------------------------------------------------------------


def _show_details(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Show a request's facts from the ledger immediately, then Production's history and the version's card."""
    request_id = _require_request_id(value)

    def read() -> tuple[list[Block], str, int, ShowHistory]:
        with interactions.registrar.context.ledger.read() as reader:
            request, votes = reader.request(request_id), reader.votes(request_id)
            digest = reader.digest(digest_id_of(request))
        metrics = interactions.registrar.context.policy.metrics_for(request.model)
        history = ShowHistory(model=request.model, last=MAX_PERIODS)
        return request_details(request, votes, metrics, digest), request.model, request.version, history

    show_version(interactions, target, read)


def _show_drift_details(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    def read() -> tuple[list[Block], str, int, None]:
        notice = _read_drift_notice(interactions, value)
        return [], notice.model, notice.versions[0], None

    show_version(interactions, target, read)


def _compare(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Compare a notice's new versions with Production."""
    notice = _read_drift_notice(interactions, value)
    versions = [str(number) for number in notice.versions[:MAX_COMPARED]]
    command = build_command(Compare, {"model": notice.model, "versions": versions})
    interactions.execute_later(target, command)


def _request_staging(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    notice = _read_drift_notice(interactions, value)
    open_promotion_form(
        interactions, target, {"model": notice.model, "version": str(notice.versions[0]), "to": "staging"}
    )


def _read_drift_notice(interactions: SlackInteractions, value: str) -> DriftNotice:
    with interactions.registrar.context.ledger.read() as reader:
        return reader.drift_notice(_require_id(value))


# -- lists and timelines -----------------------------------------------------------------------------------------------


def _show_page(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Message | None:
    """Execute the query that the button carries. Raises BadInput unless it lists something."""
    command = parse_command(value)
    if not isinstance(command, ListModels | ShowModel):
        raise BadInput("I can't show a list for this button.")
    return interactions.execute(target, command)


def _share(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Share the answer to the query that the button carries. Raises BadInput unless it can be shared."""
    try:
        command = load_command(json.loads(value))
    except (ValueError, AttributeError, RecursionError):
        raise BadInput("I can't share this answer. Run the command again, and then click Share to channel.") from None
    _share_answer(interactions, target, command)


def _share_timeline(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Share the timeline of an answer posted before 0.3.0. Its button carries the command as typed text."""
    _share_answer(interactions, target, parse_command(value))


def _share_answer(interactions: SlackInteractions, target: ReplyTarget, command: Command | None) -> None:
    if not isinstance(command, Compare | ShowHistory):
        raise BadInput("I can't share this answer. Run the command again, and then click Share to channel.")
    interactions.execute_later(target, command, is_public=True)


def _typed_handler(text: str) -> ClickHandler:
    """Return a handler for a menu button that does the same as typing the command."""
    return lambda interactions, target, value: run_typed(interactions, target, text)


# -- rollbacks and incidents -------------------------------------------------------------------------------------------


def _undo_rollback(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Open the form to request the rolled-back version again, under the same rules as any other promotion."""
    with interactions.registrar.context.ledger.read() as reader:
        try:
            transition = reader.transition(value)
        except KeyError:
            raise UnknownRequest("This message is out of date, so nothing changed.") from None
    _open_form_for(interactions, target, transition.model, transition.expected_incumbent)


def _undo_incident_rollback(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Open the form to request the rolled-back version again, under the same rules as any other promotion."""
    incident, _ = interactions.registrar.monitors.incident(_require_id(value))
    if incident.doing not in {IncidentStatus.ROLLED_BACK, IncidentStatus.NOT_FOLLOWED} or incident.version is None:
        raise BadInput("Nothing was rolled back here, so there's nothing to undo.")
    _open_form_for(interactions, target, incident.model, incident.version)


def _open_form_for(interactions: SlackInteractions, target: ReplyTarget, model: str, version: int | None) -> None:
    open_promotion_form(interactions, target, {"model": model, "version": str(version), "to": "production"})


def _decision_handler(decide: Callable[[Registrar, Profile, str], Sentence]) -> ClickHandler:
    """Return a handler for a button that decides on an incident or a proposed monitor, by its ID."""

    def handle(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Sentence:
        caller = interactions.caller(target)
        sentence = decide(interactions.registrar, caller, _require_id(value))
        interactions.deliver_later()
        return sentence

    return handle


def _transition_handler(
    start: Callable[[Registrar, Profile, str], str], started: Callable[[], Sentence]
) -> ClickHandler:
    """Return a handler for a button that starts a transition; `start` returns the model."""

    def handle(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Sentence:
        caller = interactions.caller(target)
        model = start(interactions.registrar, caller, _require_id(value))
        interactions.execute_transitions_later(target, model)
        return started()

    return handle


def _show_incident(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Show the incident's monitors to the person who clicked."""
    incident_id, monitors = _require_id(value), interactions.registrar.monitors

    def build() -> Message:
        interactions.registrar.access_control.require_permission(
            interactions.caller(target), Permission.READ, origin="slack"
        )
        incident, watching = monitors.incident(incident_id)
        views = [monitors.view(monitor.id) for monitor in watching[: monitoring_answers.MAX_DETAILS]]
        return monitoring_answers.incident_details(incident, views)

    interactions.answer_later(target, build)


# -- monitors ----------------------------------------------------------------------------------------------------------


def _post_chart(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Post a monitor's state in the channel where the person clicked, with its chart in the thread."""
    interactions.execute_later(target, _show_command(_read_monitor(interactions, value)), is_public=True)


def _read_monitor(interactions: SlackInteractions, value: str) -> Monitor:
    return interactions.registrar.monitors.monitor(_require_id(value))


def _monitor_handler(build: Callable[[Monitor], Command]) -> ClickHandler:
    """Return a handler for a monitor's button that does the same as typing the command."""
    return lambda interactions, target, value: interactions.execute(target, build(_read_monitor(interactions, value)))


def _show_command(monitor: Monitor) -> Command:
    return monitor_commands.MonitorShow(model=monitor.model, name=monitor.name)


_MONITOR_COMMANDS: dict[str, Callable[[Monitor], Command]] = {
    monitoring_answers.SHOW: _show_command,
    monitoring_answers.CHECK: lambda it: monitor_commands.MonitorCheck(model=it.model, name=it.name),
    monitoring_answers.BACKTEST: lambda it: monitor_commands.MonitorBacktest(
        model=it.model, name=it.name, days=BACKTEST_DAYS
    ),
    monitoring_answers.PAUSE: lambda it: monitor_commands.MonitorPause(model=it.model, name=it.name),
    monitoring_answers.RESUME: lambda it: monitor_commands.MonitorResume(model=it.model, name=it.name),
    monitoring_answers.SILENCE: lambda it: monitor_commands.MonitorSilence(
        model=it.model, name=it.name, span=SILENCE_DURATION
    ),
    monitoring_answers.UNSILENCE: lambda it: monitor_commands.MonitorUnsilence(model=it.model, name=it.name),
}
_MENU_COMMANDS = {
    help_text.MENU_REQUESTS: "requests",
    help_text.MENU_MODELS: "list",
    help_text.MENU_HELP: "help",
    help_text.MENU_COMPARE: "compare",
    help_text.MENU_HISTORY: "history",
    help_text.MENU_MONITORS: "monitor list",
    help_text.MENU_ROLLBACK: "rollback",
}
_HANDLERS: dict[str, ClickHandler] = {
    request_card.APPROVE: _request_handler(Approve),
    request_card.REJECT: _reason_handler(Permission.REJECT),
    request_card.DETAILS: _show_details,
    request_card.OVERRIDE: _reason_handler(Permission.OVERRIDE),
    request_card.WITHDRAW: _request_handler(Withdraw),
    request_card.REQUEST_AGAIN: _request_again,
    request_card.REVIEW: _reason_handler(Permission.REVIEW),
    request_card.CANCEL: _request_handler(Cancel),
    request_card.ROLL_BACK: _open_rollback,
    request_card.HISTORY: _show_history,
    request_card.OPEN_REGISTRY: lambda *_: None,  # the button is a link, and Slack opened it
    help_text.MENU_PROMOTE: lambda interactions, target, _: open_promotion_form(interactions, target, {}),
    help_text.OPEN_FORM: open_form,
    drift_notice.DETAILS: _show_drift_details,
    drift_notice.COMPARE: _compare,
    drift_notice.REQUEST_STAGING: _request_staging,
    drift_notice.REPAIR_STAGE: _transition_handler(
        lambda registrar, caller, notice_id: registrar.edits.repair_stage(caller, notice_id, origin="slack"),
        repair_started_notice,
    ),
    rollback_card.UNDO_ROLLBACK: _undo_rollback,
    registry_answers.CONFIRM_ARCHIVE: lambda interactions, target, value: interactions.confirm_draft(
        target, _require_id(value)
    ),
    registry_answers.CANCEL_ARCHIVE: lambda *_: not_archived_confirmation(),
    registry_answers.PREVIOUS_PAGE: _show_page,
    registry_answers.NEXT_PAGE: _show_page,
    SHARE: _share,
    history_answer.POST_HERE: _share_timeline,
    monitoring_answers.ADD: lambda interactions, target, _: open_monitor_form(interactions, target, {}),
    monitoring_answers.CHART: _post_chart,
    incident_card.ACKNOWLEDGE: _decision_handler(
        lambda registrar, caller, incident_id: registrar.monitors.acknowledge(caller, incident_id, origin="slack")
    ),
    incident_card.SILENCE: _decision_handler(
        lambda registrar, caller, incident_id: registrar.monitors.silence_incident(
            caller, incident_id, SILENCE_DURATION, origin="slack"
        )
    ),
    incident_card.DETAILS: _show_incident,
    incident_card.UNDO: _undo_incident_rollback,
    incident_card.ROLL_BACK: _transition_handler(
        lambda registrar, caller, incident_id: registrar.rollbacks.roll_back_for_incident(
            caller, incident_id, origin="slack"
        ),
        rollback_started_notice,
    ),
    proposal_card.ADD: _decision_handler(
        lambda registrar, caller, proposal_id: registrar.proposals.accept(caller, proposal_id, origin="slack")
    ),
    proposal_card.DISMISS: _decision_handler(
        lambda registrar, caller, proposal_id: registrar.proposals.dismiss(caller, proposal_id, origin="slack")
    ),
}
