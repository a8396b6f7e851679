"""Run the steps of setup, continuing where an earlier run stopped."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bot.bootstrap.env_file import LOCAL_ENV_FILE
from handlers.setup.files import saved_values
from handlers.setup.prompts import Prompts
from handlers.setup.steps.card import CARD_STEP
from handlers.setup.steps.doctor import DOCTOR_STEP
from handlers.setup.steps.mlflow import MLFLOW_STEP
from handlers.setup.steps.policy import POLICY_STEP
from handlers.setup.steps.slack_tokens import APP_TOKEN_STEP, BOT_TOKEN_STEP, SAME_APP_STEP
from handlers.setup.steps.step import SetupState, finish

# MLflow's address is first, because the app's manifest has its domain.
STEPS = (MLFLOW_STEP, BOT_TOKEN_STEP, APP_TOKEN_STEP, SAME_APP_STEP, POLICY_STEP, DOCTOR_STEP, CARD_STEP)


def run_setup() -> int:
    """Complete every step, and return the exit code. Raises Misconfigured."""
    env_file = Path(os.environ.get("REGISTRAR_ENV_FILE") or LOCAL_ENV_FILE)
    saved = saved_values(env_file)
    given = {name: value for name, value in os.environ.items() if saved.get(name) != value}
    state = SetupState(Prompts(), env_file, given)
    logging.disable(logging.CRITICAL)  # the libraries' logs would interrupt the questions
    try:
        for step in STEPS:
            finish(step, state)
    except KeyboardInterrupt:
        state.prompts.say("\nStopped. To continue, run: registrar setup")
        return 130
    finally:
        logging.disable(logging.NOTSET)
    state.prompts.say("Setup is complete. Start the bot: registrar run")
    return 0
