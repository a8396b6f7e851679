"""The pictures in the docs match the code: layers and imports, the states of a request, and those of a monitor."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bot.domain.monitoring.consecutive_checks import assess
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.promotions.request import NEXT_STATES, RequestState
from scripts import architecture, monitor_steps, state_pictures
from scripts.drawing import MARGIN, WIDTH, text_width
from scripts.markdown import SOURCE
from scripts.state_chart import PictureIsWrong
from scripts.state_pictures import monitor_picture, request_picture
from tests.test_architecture import PACKAGED


def test_an_upward_import_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "ROWS", architecture.ROWS[::-1])
    with pytest.raises(architecture.UpwardImport, match=r"bot\.domain|bot\.ports"):
        architecture.picture()


def test_packages_are_shown_in_import_order() -> None:
    assert PACKAGED["bot.slack"] == architecture.PACKAGE_ORDER


def test_a_layer_that_is_a_file_is_linked_as_a_file() -> None:
    assert f"[`bot/registrar.py`]({SOURCE}bot/registrar.py)" in architecture.layer_table()


def test_a_step_of_a_request_that_is_not_drawn_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    more = NEXT_STATES | {RequestState.DONE: frozenset({RequestState.PENDING})}
    monkeypatch.setattr(state_pictures, "NEXT_STATES", more)
    with pytest.raises(PictureIsWrong, match="not drawn: DONE → PENDING"):
        request_picture()


def test_a_step_of_a_request_that_is_gone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = NEXT_STATES | {RequestState.EXECUTING: NEXT_STATES[RequestState.EXECUTING] - {RequestState.APPROVED}}
    monkeypatch.setattr(state_pictures, "NEXT_STATES", fewer)
    with pytest.raises(PictureIsWrong, match="not in the code: EXECUTING → APPROVED"):
        request_picture()


def test_a_step_of_a_monitor_that_is_not_drawn_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a check without data could end a failure."""

    def forgetful(monitor, previous, reading, *rest, **more):  # type: ignore[no-untyped-def]  # passes everything on
        verdict = assess(monitor, previous, reading, *rest, **more)
        forgets = previous.state is MonitorStatus.FAILED and verdict.monitor_state.empty
        state = MonitorStatus.NO_DATA if forgets else verdict.monitor_state.state
        return replace(verdict, monitor_state=replace(verdict.monitor_state, state=state))

    monkeypatch.setattr(monitor_steps, "assess", forgetful)
    with pytest.raises(PictureIsWrong, match="not drawn: FAILED → NO_DATA"):
        monitor_picture()


def test_a_step_of_a_monitor_that_is_gone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_steps, "state_after_resume", lambda state, *_: state)
    monkeypatch.setattr(monitor_steps, "CHECKS", monitor_steps.CHECKS[1:])  # without errors
    with pytest.raises(PictureIsWrong, match="not in the code: OK → ERROR"):
        monitor_picture()


def test_every_status_can_be_reached_and_left() -> None:
    steps = monitor_steps.monitor_steps()
    assert {source for source, _ in steps} == {target for _, target in steps} == set(MonitorStatus)
    assert {target for source, target in steps if source is MonitorStatus.FAILED} == {
        MonitorStatus.OK,
        MonitorStatus.WARMUP,
        MonitorStatus.DISABLED,
    }


@pytest.mark.parametrize("draw", [request_picture, monitor_picture])
def test_no_line_is_wider_than_the_picture(draw) -> None:  # type: ignore[no-untyped-def]  # a function without parameters
    root = ET.fromstring(draw())  # noqa: S314 - made by us
    assert root.attrib["role"] == "img"
    lines = [node for node in root.iter() if node.tag.endswith("}text")]
    assert lines
    for line in lines:
        assert int(line.attrib["x"]) + text_width(line.text or "") <= WIDTH - MARGIN / 2, line.text
