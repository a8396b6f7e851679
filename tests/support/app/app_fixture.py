"""The complete bot for tests: real listeners, sockets, and ledger, with a choice of registry and clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.bootstrap.build import build_registrar
from bot.bootstrap.slack import fetch_home_team_id, slack_client, slack_directory, slack_notifier
from bot.bootstrap.storage import open_dispatcher, open_ledger
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage
from bot.metrics.recorder import PrometheusMetrics
from bot.policy_file import LocalPolicyFile, load_policy
from bot.ports import NO_LINKS, SYSTEM_CLOCK, Clock, Ledger, ModelRegistry, RegistryLinks
from bot.registrar import Registrar
from bot.services.core.admins import AdminAlerts
from bot.services.core.context import ActivePolicy
from bot.settings import Settings
from handlers.serve import Service
from handlers.startup_checks import open_listener
from localslack import Remote, WorkspaceMember
from tests.support.app.workspaces import SPEED
from tests.support.paths import ROOT
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.opened import opened

MANIFEST = ROOT / "manifest.yml"
CHANNEL = "#ml-models"

POLICY: dict[str, Any] = {
    "channel": CHANNEL,
    "roles": {"lead": ["U0BOB", "U0CAROL"], "admin": ["U0DAVE"]},
    "models": {
        "*": {
            "staging": {"approvers": ["lead"], "requester_may_approve": True},
            "production": {"approvers": ["lead"], "expires_after": "24h"},
        },
        "two*": {"production": {"approvers": ["lead", "U0DAVE"], "required": 2}},
    },
}


class AdjustableClock:
    """A clock that a test can advance; otherwise, it follows the machine's."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC) + self.ahead

    def advance(self, span: timedelta) -> None:
        """Advance the clock."""
        self.ahead += span


@dataclass(frozen=True, kw_only=True)
class RunningApp:
    """A running bot, with its workspace and registry."""

    slack: Remote
    registrar: Registrar
    registry: ModelRegistry
    ledger: Ledger
    service: Service

    @property
    def alice(self) -> WorkspaceMember:
        """The requester."""
        return self.slack.person("alice")

    @property
    def bob(self) -> WorkspaceMember:
        """An approver, with the role lead."""
        return self.slack.person("bob")

    def card(self, channel: str = CHANNEL, *, holds: str = "Promote") -> dict[str, Any]:
        """Wait for the newest card whose blocks contain this text."""
        return self.bob.waits_for(channel, lambda message: holds in str(message.get("blocks")))

    def answer(self, person: WorkspaceMember, holds: str, channel: str = CHANNEL) -> str:
        """Wait for an answer that only this person sees, and return its text."""
        found = person.waits_for(channel, lambda m: m.get("is_ephemeral") and holds in message_text(m))
        return message_text(found)

    def production(self, model: str = "churn") -> list[int]:
        """Return the versions in Production in the registry."""
        return [one.version for one in self.registry.versions(model) if one.stage is Stage.PRODUCTION]

    def audit(self) -> list[str]:
        """Return the tags of all audit events, oldest first."""
        with self.ledger.read() as reading:
            return [link.event.tag.value for link in reading.audit_events()]


def message_text(message: Mapping[str, Any]) -> str:
    """Return a message's text and all texts in its blocks."""
    return " ".join([str(message.get("text", "")), *_texts(message.get("blocks", []))])


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
    elif isinstance(part, list):
        for one in part:
            yield from _texts(one)


def settings_for(slack: Remote, home: Path, **more: Any) -> Settings:
    """Return settings for a bot in this workspace; Socket Mode unless SLACK_APP_TOKEN is given as None."""
    values: dict[str, Any] = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        "SLACK_API_URL": slack.api_url,
        "REGISTRAR_HOME": home,
        "REGISTRAR_PORT": 0,
        "REGISTRAR_SLACK_PACE": 1 / SPEED,
    }
    return Settings(**(values | more))


def make_policy(changes: Mapping[str, Any] | None = None) -> Policy:
    """Return the tests' policy with these top-level keys replaced."""
    return validate_policy(POLICY | dict(changes or {}))


def add_churn(registry: MemoryRegistry) -> MemoryRegistry:
    """Add `churn` to the registry: four versions, with v3 in Production."""
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    return registry


@contextmanager
def running_app(
    slack: Remote,
    home: Path,
    registry: ModelRegistry,
    *,
    policy: Policy | None = None,
    clock: Clock | None = None,
    http: bool = False,
    database_url: str | None = None,
    webhook_secret: str | None = None,
    port: int = 0,
    is_worker: bool = False,
    policy_file: Path | None = None,
    links: RegistryLinks = NO_LINKS,
) -> Iterator[RunningApp]:
    """Run the complete bot until the block ends. An empty registry in memory gets `churn`.

    `http`: Slack reaches it by signed HTTP instead of Socket Mode. `port`: its HTTP port; 0 picks a free one.
    `is_worker`: it does background work, without a connection from Slack. `policy_file`: the file with edits.
    """
    if isinstance(registry, MemoryRegistry) and not registry.models():
        add_churn(registry)
    more: dict[str, Any] = {"SLACK_APP_TOKEN": None} if http else {}
    more["REGISTRAR_PORT"] = port
    more["REGISTRAR_MLFLOW_WEBHOOK_SECRET"] = webhook_secret
    settings = settings_for(slack, home, REGISTRAR_DATABASE_URL=database_url, **more)
    rules, metrics = (
        ActivePolicy(load_policy(policy_file) if policy_file else policy or make_policy()),
        PrometheusMetrics(),
    )
    with closing(open_ledger(settings, metrics)) as ledger:
        client = slack_client(settings, observer=metrics)
        directory = slack_directory(settings, fetch_home_team_id(client), rules, metrics)
        admins = AdminAlerts(ledger, lambda: rules.policy, directory)
        open_registry = opened(registry, links)
        registrar = build_registrar(
            settings,
            rules,
            ledger=ledger,
            registry=open_registry,
            notifier=slack_notifier(
                client, ledger, rules, directory, admins, clock or SYSTEM_CLOCK, open_registry.links
            ),
            directory=directory,
            clock=clock or SYSTEM_CLOCK,
            policy_file=LocalPolicyFile(policy_file) if policy_file else None,
            observer=metrics,
            admins=admins,
            dispatcher=None if ledger.is_file else open_dispatcher(settings),
        )
        with (
            open_listener(settings) as listener,
            Service(settings, registrar, listener, metrics, is_worker=is_worker) as service,
        ):
            if http:
                slack.deliver_to(f"{service.address}/slack/events")
            elif not is_worker:
                slack.wait_until_connected()
            yield RunningApp(slack=slack, registrar=registrar, registry=registry, ledger=ledger, service=service)
