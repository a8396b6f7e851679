"""Run the steps of setup, and continue where an earlier run ended."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bot.bootstrap.env_file import LOCAL_ENV_FILE
from handlers.setup.files import saved_values
from handlers.setup.prompts import Prompts
from handlers.setup.steps.card import card_step
from handlers.setup.steps.doctor import doctor_step
from handlers.setup.steps.mlflow import mlflow_step
from handlers.setup.steps.policy import policy_step
from handlers.setup.steps.slack_tokens import app_token_step, bot_token_step, same_app_step
from handlers.setup.steps.step import SetupState, SetupStep, finish


def setup_steps() -> list[SetupStep]:
    """Return the steps in their order. MLflow's address is first, because the app's manifest has its domain."""
    slack = [bot_token_step(), app_token_step(), same_app_step()]
    return [mlflow_step(), *slack, policy_step(), doctor_step(), card_step()]


def run_setup() -> int:
    """Finish every step, and return the exit code. Raises Misconfigured and Unreachable."""
    env_file = Path(os.environ.get("REGISTRAR_ENV_FILE") or LOCAL_ENV_FILE)
    saved = saved_values(env_file)
    given = {name: value for name, value in os.environ.items() if saved.get(name) != value}
    state = SetupState(Prompts(), env_file, given)
    logging.disable(logging.CRITICAL)  # the libraries' logs would interrupt the questions
    try:
        for step in setup_steps():
            finish(step, state)
    except KeyboardInterrupt:
        state.prompts.say("\nStopped. To continue, run: registrar setup")
        return 130
    finally:
        logging.disable(logging.NOTSET)
    state.prompts.say("Setup is complete. Start the bot: registrar run")
    return 0
