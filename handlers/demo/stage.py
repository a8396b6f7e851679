"""Everything behind the demo's curtain: models in a registry, and Registrar over them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext

from bot.bootstrap import build_for_slack
from bot.domain.registry import Stage
from bot.policy_file import load_policy
from bot.registrar import Registrar
from bot.settings import Settings
from handlers.demo import models
from handlers.demo.home import Home, serving_port
from handlers.demo.serving import Serving
from handlers.demo.welcome import CHANNEL
from handlers.serve import Service, listen
from localslack import LocalSlack


@contextmanager
def set_up(home: Home, slack: LocalSlack, tell: Callable[[str], None], rows: int) -> Iterator[Registrar]:
    """Run Registrar over the demo's models, trained where they are missing, until the block ends."""
    began = time.monotonic()
    settings = _settings(home, slack)
    with closing(build_for_slack(settings, load_policy(home.policy))) as registrar:
        if models.prepare(registrar.context.registry, home.registry, tell, rows):
            tell(f"Done in {time.monotonic() - began:.0f} seconds.")
        with listen(settings) as listener, Service(settings, registrar, listener) as service:
            slack.wait_until_connected()
            with _served(home, registrar, service.address):
                yield registrar


def _served(home: Home, registrar: Registrar, address: str) -> AbstractContextManager[object]:
    """Let serve.py run, unless the policy is an older demo's or somebody's own, which says nothing of it."""
    port = serving_port(registrar.context.policy, models.MODEL)
    return nullcontext() if port is None else Serving(home, address, port)


def is_watched(registrar: Registrar) -> bool:
    """Tell whether the policy lets a monitor watch the demo's model."""
    return bool(registrar.context.policy.rules_for(models.MODEL).monitors)


def _settings(home: Home, slack: LocalSlack) -> Settings:
    values = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "MLFLOW_TRACKING_URI": home.registry,
        "REGISTRAR_HOME": home.folder,
        "REGISTRAR_POLICY": home.policy,
        "REGISTRAR_PORT": 0,
    }
    return Settings.model_validate(values)


def first_act(registrar: Registrar) -> str:
    """Return what a person can do first: ask for the version after the one that serves, or go on with a request."""
    waiting = registrar.lookups.requests(models.MODEL)
    if waiting:
        return f"Request {waiting[0].id} from last time still waits in {CHANNEL}. You are Alice."
    versions = registrar.context.registry.versions(models.MODEL)
    serves = max((one.version for one in versions if one.stage is Stage.PRODUCTION), default=0)
    others = [one.version for one in versions if one.version != serves]
    asked = min((one for one in others if one > serves), default=max(others, default=models.BETTER))
    return f"You are Alice. Type in {CHANNEL}:  /model promote {models.MODEL} {asked} production"
