"""The services match the model, whatever people, clocks, and processes do, in any order.

The tests run thousands of steps in about a minute, the same ones each time. `make soak` runs random steps for as long
as you like.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.state_machine.promotion_machine import RequestsMachine
from tests.state_machine.restore_machine import RestoresMachine

SOAK = float(os.environ.get("SOAK") or 0)  # minutes
PROFILE = settings(
    max_examples=70,
    stateful_step_count=30,
    derandomize=not SOAK,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.timeout(SOAK * 60 + 900)
def test_services_and_model_come_to_the_same_end(
    sqlite_template: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, "bot")  # every error here is injected

    class Machine(RequestsMachine):
        def __init__(self) -> None:
            super().__init__(sqlite_template, tmp_path)

    assert play(Machine, PROFILE)["steps"] > 0


@pytest.mark.timeout(SOAK * 60 + 900)
def test_nothing_that_waited_in_a_restored_backup_is_made_before_an_admin_decides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, "bot")

    class Machine(RestoresMachine):
        def __init__(self) -> None:
            super().__init__(tmp_path)

    profile = settings(PROFILE, max_examples=90 if SOAK else 16, stateful_step_count=20)
    assert play(Machine, profile)["restored, something held"] > 0


def play(machine: type[RequestsMachine] | type[RestoresMachine], profile: settings) -> Counter[str]:
    """Run the state machine once, then repeat until the soak time is over; return what happened, and how often."""
    end = time.monotonic() + SOAK * 60
    while True:
        run_state_machine_as_test(machine, settings=profile)
        print(f"{machine.seen['steps']:,} steps", flush=True)
        if time.monotonic() >= end:
            break
    print(dict(sorted(machine.seen.items())))
    return machine.seen
