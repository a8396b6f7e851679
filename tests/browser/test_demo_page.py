"""The real demo, played through in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.app.demo_process import DemoProcess
from tests.support.slack.screen import Screen, expect_text

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_demo_s_steps_work_in_a_browser(
    mlflow_sqlite: str, tmp_path: Path, open_window: Callable[..., Screen]
) -> None:
    with DemoProcess(tmp_path) as demo:  # in a folder with MLflow's empty tables, which take seconds to make
        screen = open_window(demo.url)
        expect_text(screen.page.get_by_test_id("message").first, "Try Registrar in six steps")
        screen.picture("demo-welcome")
        screen.types("/model promote churn 4 production")
        screen.presses("Approve")
        screen.confirms("Approve")
        expect_text(screen.answer(), "someone else has to decide")
        screen.becomes("Bob Tanaka")
        screen.presses("Approve")
        screen.confirms("Approve")
        expect_text(screen.card(), "is in Production")
        screen.types("/model show churn")
        expect_text(screen.answer(), "@champion")
        screen.picture("demo-done")
        screen.types("/model history churn")
        expect_text(screen.answer(), "when Registrar first looked")
        screen.picture("demo-history")
        checklist = screen.page.get_by_test_id("message").first
        expect_text(checklist, "@bob read the history.")
        screen.presses("Break it", checklist)
        expect_text(checklist, "The live accuracy of v4 is falling.")
        screen.presses("Do it for me", checklist)
        expect_text(checklist, "before Registrar.")
        expect_text(checklist, "Try Registrar: done")
        screen.picture("demo-checklist")
