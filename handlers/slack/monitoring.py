"""Monitors: what is typed, pressed and filled in about them."""

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
from bot.domain.commands.parser import build
from bot.domain.core.errors import BadInput, RegistrarError, WrongField
from bot.domain.core.sentence import Say, short
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.views import MonitorView
from bot.slack.core import forms
from bot.slack.core.blocks import Message, said
from bot.slack.delivery.publisher import Attached, file_name
from bot.slack.monitoring import answers as monitoring_answers
from bot.slack.monitoring import modal
from handlers.errors import explain
from handlers.slack import home
from handlers.slack.interactions import Desk
from handlers.slack.replies import Pictured, Place, of_interaction

SILENCE = timedelta(hours=2)  # what the button means
BACKTEST_DAYS = 30
NO_CHART = "Slack refused the chart."
FIELD_ERROR_MOST = 300  # characters under a field; more is hard to read there

Answer = Message | None  # what the acknowledgement says at once; nothing where the answer follows
Files = Callable[[], Sequence[Attached]]


def register(app: App, desk: Desk) -> None:
    """Listen to the buttons of monitors, and to the form that adds one."""
    for action, act in _BUTTONS.items():
        app.action(action)(_on_click(desk, act))
    app.view(modal.MONITOR)(_on_submit(desk))


# -- typed -------------------------------------------------------------------------------------------------------------


def ask_for_monitor(desk: Desk, place: Place, given: dict[str, str]) -> None:
    """Open the form that adds a monitor, with what was typed; flags that it has no field for are kept."""

    def make() -> dict[str, Any]:
        draft = desk.registrar.errands.draft(desk.caller(place), {"verb": MonitorAdd.verb} | given, where=place.channel)
        return modal.monitor(draft, given, desk.registrar.monitors.sources())

    desk.show_modal(place, make)


def _add(desk: Desk, place: Place, command: MonitorAdd) -> Answer:
    sentence = desk.told(desk.registrar.monitors.add(desk.caller(place), command, origin="slack"))
    return monitoring_answers.added(sentence, desk.registrar.monitors.find(command.model, command.name))


def _edit(desk: Desk, place: Place, command: MonitorEdit) -> Answer:
    return said(desk.told(desk.registrar.monitors.edit(desk.caller(place), command, origin="slack")))


def _list(desk: Desk, place: Place, command: MonitorList) -> Answer:
    registrar = desk.registrar

    def read() -> Message:
        rows = registrar.monitors.rows(command.model)
        return monitoring_answers.monitor_list(rows, registrar.context.clock.now(), command.model)

    desk.look_up(place, read)
    return None


def _show(desk: Desk, place: Place, command: MonitorShow) -> Answer:
    _look_at(desk, place, lambda: desk.registrar.monitors.find(command.model, command.name))
    return None


def _look_at(desk: Desk, place: Place, find: Callable[[], Monitor]) -> None:
    """Answer with all that is known of a monitor, and the picture of its readings where there are any."""

    def read() -> Message | Pictured:
        view, picture = _view_and_picture(desk, find().id)
        message = monitoring_answers.monitor_view(view)
        return Pictured(message, picture) if picture else message

    desk.look_up(place, read)


def _view_and_picture(desk: Desk, monitor_id: str) -> tuple[MonitorView, Callable[[], Attached] | None]:
    """Return a monitor, and what draws its readings; None if it has none."""
    monitors = desk.registrar.monitors
    view, chart = monitors.view(monitor_id), monitors.chart(monitor_id)
    if not chart.values:
        return view, None

    def picture() -> Attached:
        from bot.slack.monitoring.chart import readings_alt, readings_chart

        name = f"{file_name(view.monitor.model)}-{view.monitor.name}.png"
        return Attached(name, readings_chart(chart), "The last readings", readings_alt(chart))

    return view, picture


def _check(desk: Desk, place: Place, command: MonitorCheck) -> Answer:

    def find() -> Monitor:
        desk.registrar.monitors.may_check(desk.caller(place), command.model, origin="slack")
        return desk.registrar.monitors.find(command.model, command.name)

    _check_now(desk, place, find)
    return None


def _check_now(desk: Desk, place: Place, find: Callable[[], Monitor]) -> None:
    """Check after the acknowledgement, and answer with what came of it."""

    def read() -> Message:
        monitor = find()
        desk.registrar.monitors.may_check(desk.caller(place), monitor.model, origin="slack")
        standing = desk.registrar.monitoring.check(monitor.id)
        return said(monitor_messages.checked(monitor, standing))

    desk.look_up(place, read)


def _backtest(desk: Desk, place: Place, command: MonitorBacktest) -> Answer:
    _replay(desk, place, lambda: desk.registrar.monitors.find(command.model, command.name), command.days)
    return None


def _replay(desk: Desk, place: Place, find: Callable[[], Monitor], days: int) -> None:
    """Post what the rule would have said of the past: a sentence, and the picture in its thread."""

    def make() -> tuple[Message, Files]:
        found = desk.registrar.monitors.backtest(find(), timedelta(days=days))
        name = f"{file_name(found.monitor.model)}-{found.monitor.name}-backtest.png"

        def files() -> list[Attached]:
            if not found.points:
                return []
            from bot.slack.monitoring.chart import backtest_alt, backtest_chart

            return [Attached(name, backtest_chart(found), "Backtest", backtest_alt(found))]

        return said(found.sentence), files

    desk.post(place, make)


def _pause(desk: Desk, place: Place, command: MonitorPause) -> Answer:
    caller, monitors = desk.caller(place), desk.registrar.monitors
    return said(desk.told(monitors.pause(caller, command.model, command.name, origin="slack")))


def _resume(desk: Desk, place: Place, command: MonitorResume) -> Answer:
    caller, monitors = desk.caller(place), desk.registrar.monitors
    return said(desk.told(monitors.resume(caller, command.model, command.name, origin="slack")))


def _remove(desk: Desk, place: Place, command: MonitorRemove) -> Answer:
    caller, monitors = desk.caller(place), desk.registrar.monitors
    return said(desk.told(monitors.remove(caller, command.model, command.name, origin="slack")))


def _silence(desk: Desk, place: Place, command: MonitorSilence) -> Answer:
    return said(desk.told(desk.registrar.monitors.silence(desk.caller(place), command, origin="slack")))


def _unsilence(desk: Desk, place: Place, command: MonitorUnsilence) -> Answer:
    return said(desk.told(desk.registrar.monitors.unsilence(desk.caller(place), command, origin="slack")))


def _arm(desk: Desk, place: Place, command: MonitorArm) -> Answer:
    """Arm it after the acknowledgement: the backtest that speaks for it takes its time."""

    def read() -> Message:
        return said(desk.told(desk.registrar.monitors.arm(desk.caller(place), command, origin="slack")))

    desk.look_up(place, read)
    return None


def _reset(desk: Desk, place: Place, command: MonitorReset) -> Answer:
    return said(desk.told(desk.registrar.monitors.reset(desk.caller(place), command, origin="slack")))


VERBS: dict[type[Command], Callable[[Desk, Place, Any], Answer]] = {
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


def _on_click(desk: Desk, act: Callable[[Desk, Place, str], Say | None]) -> Callable[..., None]:
    """Return a listener: what changes something is committed, then the click is acknowledged, then the rest is done."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        place = of_interaction(body)
        try:
            sentence = act(desk, place, str(body["actions"][0].get("value", "")))
            if sentence is not None:
                desk.answer(place, desk.told(sentence))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            desk.answer(place, explain(error))
        if place.in_home:
            desk.after(place, lambda: home.publish(desk, place.person), desk.registrar.look)
        ack()

    return on_click


def id_in(value: str) -> str:
    """Return the id that a button carries. Raises BadInput for a forged one."""
    if not re.fullmatch(r"[a-z0-9]{4,32}", value):
        raise BadInput("That button belongs to nothing that is known here.")
    return value


def _press_add(desk: Desk, place: Place, value: str) -> None:
    ask_for_monitor(desk, place, {})


def _press_show(desk: Desk, place: Place, value: str) -> None:
    _look_at(desk, place, _finder(desk, value))


def _press_check(desk: Desk, place: Place, value: str) -> None:
    _check_now(desk, place, _finder(desk, value))


def _press_backtest(desk: Desk, place: Place, value: str) -> None:
    _replay(desk, place, _finder(desk, value), BACKTEST_DAYS)


def _press_chart(desk: Desk, place: Place, value: str) -> None:
    """Post how a monitor stands where the person is, with the picture of its readings in the thread."""
    monitor_id = id_in(value)

    def make() -> tuple[Message, Files]:
        view, picture = _view_and_picture(desk, monitor_id)
        return monitoring_answers.posted(view), lambda: [replace(picture(), missing=NO_CHART)] if picture else []

    desk.post(place, make)


def _press_pause(desk: Desk, place: Place, value: str) -> Say:
    monitor = _finder(desk, value)()
    return desk.registrar.monitors.pause(desk.caller(place), monitor.model, monitor.name, origin="slack")


def _press_resume(desk: Desk, place: Place, value: str) -> Say:
    monitor = _finder(desk, value)()
    return desk.registrar.monitors.resume(desk.caller(place), monitor.model, monitor.name, origin="slack")


def _press_silence(desk: Desk, place: Place, value: str) -> Say:
    monitor = _finder(desk, value)()
    command = MonitorSilence(model=monitor.model, name=monitor.name, span=SILENCE)
    return desk.registrar.monitors.silence(desk.caller(place), command, origin="slack")


def _press_unsilence(desk: Desk, place: Place, value: str) -> Say:
    monitor = _finder(desk, value)()
    command = MonitorUnsilence(model=monitor.model, name=monitor.name)
    return desk.registrar.monitors.unsilence(desk.caller(place), command, origin="slack")


def _finder(desk: Desk, value: str) -> Callable[[], Monitor]:
    monitor_id = id_in(value)
    return lambda: desk.registrar.monitors.monitor(monitor_id)


_BUTTONS: dict[str, Callable[[Desk, Place, str], Say | None]] = {
    monitoring_answers.ADD: _press_add,
    monitoring_answers.SHOW: _press_show,
    monitoring_answers.CHECK: _press_check,
    monitoring_answers.BACKTEST: _press_backtest,
    monitoring_answers.CHART: _press_chart,
    monitoring_answers.PAUSE: _press_pause,
    monitoring_answers.RESUME: _press_resume,
    monitoring_answers.SILENCE: _press_silence,
    monitoring_answers.UNSILENCE: _press_unsilence,
}


# -- filled in ---------------------------------------------------------------------------------------------------------


def _on_submit(desk: Desk) -> Callable[..., None]:
    """Return the listener of the form. An error stands under the field that it is about, and the form stays open."""

    def on_submit(ack: Ack, body: dict[str, Any]) -> None:
        view, place = body["view"], of_interaction(body)
        state = view.get("state") or {}
        fields, shown = forms.values(state), set(state.get("values") or {})
        try:
            before = desk.registrar.errands.drafted(str(view.get("private_metadata") or ""))
            answer = _add(desk, place, _filled_in(before.command, fields, shown))
        except RegistrarError as error:
            sentence = str(explain(error))
            field = _field_of(error, sentence)
            ack(response_action="errors", errors={field: short(_under_it(sentence), FIELD_ERROR_MOST)})
            return
        except Exception as error:  # unforeseen ones get an id to quote
            desk.answer(place, explain(error))
        else:
            if answer:
                desk.answer(Place(person=place.person, channel=before.where), answer)
        ack()

    return on_submit


def _filled_in(typed: dict[str, Any], fields: dict[str, str], shown: set[str]) -> MonitorAdd:
    """Return the command of the form; what was typed before is kept where the form shows no field for it."""
    kept = {key: value for key, value in typed.items() if key != "verb" and key not in shown}
    for field, label in (("model", "model"), ("name", "name")):
        if not fields.get(field):
            raise BadInput(f"{field}: name the {label}.")
    if fields.get("rule") != "threshold" and (fields.get("greater_than") or fields.get("less_than")):
        fields = fields | {"rule": "threshold"}  # a bound was filled in, so it is meant
    return build(MonitorAdd, kept | {key: value for key, value in fields.items() if key in modal.MONITOR_FIELDS})


def _under_it(sentence: str) -> str:
    """Return the sentence without the flag before it: a form has no flags, and the field stands above."""
    what = re.sub(r"^--[a-z-]+: ", "", sentence)
    return what[:1].upper() + what[1:]


def _field_of(error: RegistrarError, sentence: str) -> str:
    """Return the field of the form that an error is about: it says so, or its sentence names the flag."""
    if isinstance(error, WrongField) and error.field in modal.MONITOR_FIELDS:
        return error.field
    found = re.search(r"--([a-z-]+)", sentence)
    field = found[1].replace("-", "_") if found else ""
    if field in modal.MONITOR_FIELDS:
        return field
    return "name" if "monitor" in sentence.lower() and "model" not in sentence.lower() else "model"
