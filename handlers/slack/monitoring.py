"""Slack listeners for monitors: commands, buttons, and the form."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.base import Command
from bot.domain.commands.monitoring import (
    MonitorAdd,
    MonitorArm,
    MonitorBacktest,
    MonitorCheck,
    MonitorEdit,
    MonitorList,
    MonitorPause,
    MonitorRemove,
    MonitorReset,
    MonitorResume,
    MonitorShow,
    MonitorSilence,
    MonitorUnsilence,
)
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.views import MonitorView
from bot.slack.core.blocks import Message, sentence_message
from bot.slack.delivery.publisher import FileUpload, safe_file_name
from bot.slack.monitoring import answers as monitoring_answers
from bot.slack.monitoring import modal
from handlers.errors import explain
from handlers.slack import home
from handlers.slack.interactions import SlackInteractions
from handlers.slack.monitor_form import submit_listener
from handlers.slack.replies import AnswerWithChart, ReplyTarget, target_of_interaction

SILENCE_DURATION = timedelta(hours=2)  # what the button means
BACKTEST_DAYS = 30
CHART_REFUSED = "Slack refused the chart."

ImmediateReply = Message | None  # what the acknowledgement says at once; nothing where the answer follows
FileRenderer = Callable[[], Sequence[FileUpload]]


def register(app: App, interactions: SlackInteractions) -> None:
    """Register the listeners for monitors' buttons and the form that adds one."""
    for action, act in _BUTTON_HANDLERS.items():
        app.action(action)(_click_listener(interactions, act))
    app.view(modal.MONITOR)(submit_listener(interactions, _add))


# -- typed -------------------------------------------------------------------------------------------------------------


def open_monitor_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form that adds a monitor, prefilled with what was typed; flags without a field are kept."""

    def make() -> dict[str, Any]:
        draft = interactions.registrar.command_queue.create_draft(
            interactions.caller(target), {"verb": MonitorAdd.verb} | arguments, channel=target.channel
        )
        return modal.monitor_modal(draft, arguments, interactions.registrar.monitors.sources())

    interactions.open_modal_later(target, make)


def _add(interactions: SlackInteractions, target: ReplyTarget, command: MonitorAdd) -> ImmediateReply:
    sentence = interactions.reply_and_deliver(
        interactions.registrar.monitors.add(interactions.caller(target), command, origin="slack")
    )
    return monitoring_answers.added_answer(sentence, interactions.registrar.monitors.find(command.model, command.name))


def _edit(interactions: SlackInteractions, target: ReplyTarget, command: MonitorEdit) -> ImmediateReply:
    return sentence_message(
        interactions.reply_and_deliver(
            interactions.registrar.monitors.edit(interactions.caller(target), command, origin="slack")
        )
    )


def _list(interactions: SlackInteractions, target: ReplyTarget, command: MonitorList) -> ImmediateReply:
    registrar = interactions.registrar

    def read() -> Message:
        rows = registrar.monitors.list_rows(command.model)
        return monitoring_answers.monitor_list(rows, registrar.context.clock.now(), command.model)

    interactions.run_query(target, read)
    return None


def _show(interactions: SlackInteractions, target: ReplyTarget, command: MonitorShow) -> ImmediateReply:
    _reply_with_monitor(interactions, target, lambda: interactions.registrar.monitors.find(command.model, command.name))
    return None


def _reply_with_monitor(interactions: SlackInteractions, target: ReplyTarget, find: Callable[[], Monitor]) -> None:
    """Answer with a monitor's details, and its chart if it has readings."""

    def read() -> Message | AnswerWithChart:
        view, picture = _view_and_chart(interactions, find().id)
        message = monitoring_answers.monitor_view(view)
        return AnswerWithChart(message, picture) if picture else message

    interactions.run_query(target, read)


def _view_and_chart(
    interactions: SlackInteractions, monitor_id: str
) -> tuple[MonitorView, Callable[[], FileUpload] | None]:
    """Return a monitor, and a function that draws its chart; None if it has no readings."""
    monitors = interactions.registrar.monitors
    view, chart = monitors.view(monitor_id), monitors.chart(monitor_id)
    if not chart.values:
        return view, None

    def picture() -> FileUpload:
        from bot.slack.monitoring.chart import draw_readings, readings_alt_text

        name = f"{safe_file_name(view.monitor.model)}-{view.monitor.name}.png"
        return FileUpload(name, draw_readings(chart), "The last readings", readings_alt_text(chart))

    return view, picture


def _check(interactions: SlackInteractions, target: ReplyTarget, command: MonitorCheck) -> ImmediateReply:

    def find() -> Monitor:
        interactions.registrar.monitors.require_check_permission(
            interactions.caller(target), command.model, origin="slack"
        )
        return interactions.registrar.monitors.find(command.model, command.name)

    _check_now(interactions, target, find)
    return None


def _check_now(interactions: SlackInteractions, target: ReplyTarget, find: Callable[[], Monitor]) -> None:
    """Check the monitor after acknowledging the click, and answer with the result."""

    def read() -> Message:
        monitor = find()
        interactions.registrar.monitors.require_check_permission(
            interactions.caller(target), monitor.model, origin="slack"
        )
        monitor_state = interactions.registrar.monitoring.check_now(monitor.id)
        return sentence_message(monitor_messages.checked_answer(monitor, monitor_state))

    interactions.run_query(target, read)


def _backtest(interactions: SlackInteractions, target: ReplyTarget, command: MonitorBacktest) -> ImmediateReply:
    _post_backtest(
        interactions, target, lambda: interactions.registrar.monitors.find(command.model, command.name), command.days
    )
    return None


def _post_backtest(
    interactions: SlackInteractions, target: ReplyTarget, find: Callable[[], Monitor], days: int
) -> None:
    """Post a backtest's summary, with its chart in the thread."""

    def make() -> tuple[Message, FileRenderer]:
        backtest = interactions.registrar.monitors.backtest(find(), timedelta(days=days))
        name = f"{safe_file_name(backtest.monitor.model)}-{backtest.monitor.name}-backtest.png"

        def files() -> list[FileUpload]:
            if not backtest.points:
                return []
            from bot.slack.monitoring.chart import backtest_alt_text, draw_backtest

            return [FileUpload(name, draw_backtest(backtest), "Backtest", backtest_alt_text(backtest))]

        return sentence_message(backtest.sentence), files

    interactions.publish_message(target, make)


def _pause(interactions: SlackInteractions, target: ReplyTarget, command: MonitorPause) -> ImmediateReply:
    caller, monitors = interactions.caller(target), interactions.registrar.monitors
    return sentence_message(
        interactions.reply_and_deliver(monitors.pause(caller, command.model, command.name, origin="slack"))
    )


def _resume(interactions: SlackInteractions, target: ReplyTarget, command: MonitorResume) -> ImmediateReply:
    caller, monitors = interactions.caller(target), interactions.registrar.monitors
    return sentence_message(
        interactions.reply_and_deliver(monitors.resume(caller, command.model, command.name, origin="slack"))
    )


def _remove(interactions: SlackInteractions, target: ReplyTarget, command: MonitorRemove) -> ImmediateReply:
    caller, monitors = interactions.caller(target), interactions.registrar.monitors
    return sentence_message(
        interactions.reply_and_deliver(monitors.remove(caller, command.model, command.name, origin="slack"))
    )


def _silence(interactions: SlackInteractions, target: ReplyTarget, command: MonitorSilence) -> ImmediateReply:
    return sentence_message(
        interactions.reply_and_deliver(
            interactions.registrar.monitors.silence(interactions.caller(target), command, origin="slack")
        )
    )


def _unsilence(interactions: SlackInteractions, target: ReplyTarget, command: MonitorUnsilence) -> ImmediateReply:
    return sentence_message(
        interactions.reply_and_deliver(
            interactions.registrar.monitors.unsilence(interactions.caller(target), command, origin="slack")
        )
    )


def _arm(interactions: SlackInteractions, target: ReplyTarget, command: MonitorArm) -> ImmediateReply:
    """Arm the monitor after acknowledging the click, since its backtest takes a while."""

    def read() -> Message:
        return sentence_message(
            interactions.reply_and_deliver(
                interactions.registrar.monitors.arm(interactions.caller(target), command, origin="slack")
            )
        )

    interactions.run_query(target, read)
    return None


def _reset(interactions: SlackInteractions, target: ReplyTarget, command: MonitorReset) -> ImmediateReply:
    return sentence_message(
        interactions.reply_and_deliver(
            interactions.registrar.monitors.reset(interactions.caller(target), command, origin="slack")
        )
    )


COMMAND_HANDLERS: dict[type[Command], Callable[[SlackInteractions, ReplyTarget, Any], ImmediateReply]] = {
    MonitorAdd: _add,
    MonitorEdit: _edit,
    MonitorList: _list,
    MonitorShow: _show,
    MonitorCheck: _check,
    MonitorBacktest: _backtest,
    MonitorPause: _pause,
    MonitorResume: _resume,
    MonitorRemove: _remove,
    MonitorSilence: _silence,
    MonitorUnsilence: _unsilence,
    MonitorArm: _arm,
    MonitorReset: _reset,
}


# -- pressed -----------------------------------------------------------------------------------------------------------


def _click_listener(
    interactions: SlackInteractions, handler: Callable[[SlackInteractions, ReplyTarget, str], Sentence | None]
) -> Callable[..., None]:
    """Return a listener that commits the change, acknowledges the click, and then does the rest."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        place = target_of_interaction(body)
        try:
            sentence = handler(interactions, place, str(body["actions"][0].get("value", "")))
            if sentence is not None:
                interactions.reply_later(place, interactions.reply_and_deliver(sentence))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            interactions.reply_later(place, explain(error))
        if place.is_home:
            interactions.defer(
                place, lambda: home.publish_home(interactions, place.person), interactions.registrar.submit_query
            )
        ack()

    return on_click


def parse_id(value: str) -> str:
    """Return a button's id. Raises BadInput if it's forged."""
    if not re.fullmatch(r"[a-z0-9]{4,32}", value):
        raise BadInput("That button belongs to nothing that is known here.")
    return value


def _on_add(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    open_monitor_form(interactions, target, {})


def _on_show(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    _reply_with_monitor(interactions, target, _monitor_finder(interactions, value))


def _on_check(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    _check_now(interactions, target, _monitor_finder(interactions, value))


def _on_backtest(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    _post_backtest(interactions, target, _monitor_finder(interactions, value), BACKTEST_DAYS)


def _on_chart(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Post a monitor's state where the person is, with its chart in the thread."""
    monitor_id = parse_id(value)

    def make() -> tuple[Message, FileRenderer]:
        view, picture = _view_and_chart(interactions, monitor_id)
        return monitoring_answers.public_view(
            view
        ), lambda: [replace(picture(), failure_text=CHART_REFUSED)] if picture else []

    interactions.publish_message(target, make)


def _on_pause(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Sentence:
    monitor = _monitor_finder(interactions, value)()
    return interactions.registrar.monitors.pause(
        interactions.caller(target), monitor.model, monitor.name, origin="slack"
    )


def _on_resume(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Sentence:
    monitor = _monitor_finder(interactions, value)()
    return interactions.registrar.monitors.resume(
        interactions.caller(target), monitor.model, monitor.name, origin="slack"
    )


def _on_silence(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Sentence:
    monitor = _monitor_finder(interactions, value)()
    command = MonitorSilence(model=monitor.model, name=monitor.name, span=SILENCE_DURATION)
    return interactions.registrar.monitors.silence(interactions.caller(target), command, origin="slack")


def _on_unsilence(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Sentence:
    monitor = _monitor_finder(interactions, value)()
    command = MonitorUnsilence(model=monitor.model, name=monitor.name)
    return interactions.registrar.monitors.unsilence(interactions.caller(target), command, origin="slack")


def _monitor_finder(interactions: SlackInteractions, value: str) -> Callable[[], Monitor]:
    monitor_id = parse_id(value)
    return lambda: interactions.registrar.monitors.monitor(monitor_id)


_BUTTON_HANDLERS: dict[str, Callable[[SlackInteractions, ReplyTarget, str], Sentence | None]] = {
    monitoring_answers.ADD: _on_add,
    monitoring_answers.SHOW: _on_show,
    monitoring_answers.CHECK: _on_check,
    monitoring_answers.BACKTEST: _on_backtest,
    monitoring_answers.CHART: _on_chart,
    monitoring_answers.PAUSE: _on_pause,
    monitoring_answers.RESUME: _on_resume,
    monitoring_answers.SILENCE: _on_silence,
    monitoring_answers.UNSILENCE: _on_unsilence,
}


# -- filled in ---------------------------------------------------------------------------------------------------------
