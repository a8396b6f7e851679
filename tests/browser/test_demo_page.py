"""The real demo, lived through in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.app.demo_process import DemoProcess
from tests.support.slack.screen import Screen, expect_text

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_newcomer_lives_the_whole_story(
    mlflow_sqlite: str, tmp_path: Path, open_window: Callable[..., Screen]
) -> None:
    with DemoProcess(tmp_path) as demo:  # in a folder with MLflow's empty tables, which take seconds to make
        screen = open_window(demo.url)
        expect_text(screen.page.get_by_test_id("message").first, "Hello, I'm Registrar")
        screen.picture("demo-welcome")
        screen.types("/model promote churn 4 production")
        screen.presses("Approve")
        screen.confirms("Approve")
        expect_text(screen.answer(), "somebody else has to decide")
        screen.becomes("Bob Tanaka")
        screen.presses("Approve")
        screen.confirms("Approve")
        expect_text(screen.card(), "is in Production")
        screen.types("/model show churn")
        expect_text(screen.answer(), "@champion")
        screen.picture("demo-done")
        screen.types("/model history churn")
        expect_text(screen.answer(), "before Registrar looked")
        screen.picture("demo-history")
