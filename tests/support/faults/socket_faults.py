"""The complete bot with a failing connection to Slack, to a real MLflow server, or to PostgreSQL."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import make_url

from bot.domain.audit.events import EventTag
from bot.domain.monitoring.incident import IncidentEnding
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ledger import SqlLedger
from bot.registry.mlflow.registry import MlflowRegistry
from localslack import ActionResult, Remote
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app
from tests.support.app.harness import audit_links, is_chain_intact, only_request
from tests.support.app.live_world import BAD, AcceleratedClock, MetricPusher, monitored_policy
from tests.support.faults.end_state import duplicates
from tests.support.network.tcp_proxy import TcpProxy
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import wait_until

GOOD = 4  # the requested version; BAD is the one that's rolled back
LAYOUT = [Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE, Stage.NONE]  # v3 is in Production


@dataclass(frozen=True)
class Backends:
    """The bot's peers: a workspace, an MLflow server (and its database), and a ledger."""

    slack: Remote
    mlflow: str
    mlflow_database: str
    ledger: str


@dataclass(frozen=True)
class ProxiedApp:
    """A bot behind a proxy. `seen` is the same world without the proxy: the true state, whatever the bot can reach."""

    wire: TcpProxy
    seen: RunningApp
    clock: AcceleratedClock


def proxy_to(peer: str, url: str) -> TcpProxy:
    """Return a proxy to PostgreSQL, or to the HTTP server at this URL."""
    if peer != "postgres":
        return TcpProxy(int(str(urlsplit(url).port)))
    [folder] = parse_qs(urlsplit(url).query)["host"]
    return TcpProxy(f"{folder}/.s.PGSQL.{make_url(url).port or 5432}")


def postgres_url_through(postgres_url: str, wire: TcpProxy) -> str:
    """Return a database URL that goes through the proxy."""
    return f"postgresql://postgres@127.0.0.1:{wire.port}/{make_url(postgres_url).database}"


@contextmanager
def app_behind_proxy(peer: str, far: Backends, home: Path) -> Iterator[ProxiedApp]:
    """Run the bot with one of its peers behind a proxy. `churn` has five versions, with v3 in Production."""
    backend = MlflowBackend(far.mlflow_database)
    with ExitStack() as begun:
        urls = {"slack": far.slack.url, "mlflow": far.mlflow, "postgres": far.ledger}
        wire = begun.enter_context(closing(proxy_to(peer, urls[peer])))
        begun.callback(backend.close)
        backend.add_model("churn", versions=LAYOUT)
        begun.callback(lambda: backend._client.delete_registered_model("churn"))
        registry, direct = MlflowRegistry(far.mlflow), begun.enter_context(closing(MlflowRegistry(far.mlflow)))
        direct.set_alias("churn", "champion", 3)
        slack, url = copy.copy(far.slack), far.ledger
        if peer == "slack":
            slack.api_url = f"{wire.url}/api/"
        elif peer == "mlflow":
            registry = MlflowRegistry(wire.url)
        else:
            url = postgres_url_through(far.ledger, wire)
        ledger = begun.enter_context(closing(SqlLedger(far.ledger, timeout=20)))
        clock = AcceleratedClock()
        app = begun.enter_context(
            running_app(slack, home, registry, policy=monitored_policy(max_age="1h"), clock=clock, database_url=url)
        )
        app.registrar.poll_registry()
        begun.callback(wire.mend)
        yield ProxiedApp(wire, replace(app, slack=far.slack, ledger=ledger, registry=direct), clock)


# -- actions -----------------------------------------------------------------------------------------------------------


def request_and_approve(seen: RunningApp, version: int = GOOD) -> Iterator[str]:
    """Let Alice request and Bob approve, and retry if nothing was recorded. Yield what was lost."""
    yield from retry_until(
        lambda: seen.alice.types(CHANNEL, f"/model promote churn {version} production"),
        lambda: is_requested(seen),
        says_so=True,
    )
    card = seen.bob.waits_for(CHANNEL, lambda one: f"Promote churn v{version}" in str(one.get("blocks")), timeout=60)
    yield from retry_until(lambda: seen.bob.clicks(card, "Approve"), lambda: is_approved(seen), says_so=False)


def retry_until(act: Callable[[], ActionResult], is_so: Callable[[], object], *, says_so: bool) -> Iterator[str]:
    """Let a person retry until it's recorded; yield actions that were acknowledged silently but not recorded.

    `says_so`: the acknowledgment says what went wrong, as for a command; for a click, it says nothing.
    """
    silent = 0

    def tries() -> bool:
        nonlocal silent
        if is_so():
            return True
        outcome = act()
        done = bool(is_so())
        silent += outcome.acked and not outcome.text and not done and says_so
        return done

    wait_until(tries, limit=90)
    if silent:
        yield f"{silent} times acknowledged but not recorded"


def is_requested(seen: RunningApp) -> bool:
    """Return whether Alice's command is in the ledger, executed or not."""
    with seen.ledger.read() as reading:
        return bool(
            reading.requests() or reading.due_command_ids(seen.registrar.context.clock.now() + timedelta(days=1))
        )


def is_approved(seen: RunningApp) -> bool:
    """Return whether Bob's vote is in the ledger."""
    with seen.ledger.read() as reading:
        return bool(reading.votes(only_request(seen.ledger).id))


@contextmanager
def run_jobs(scene: ProxiedApp) -> Iterator[None]:
    """Push readings for the version in Production."""
    with MetricPusher(scene.seen, scene.clock):
        yield


# -- expected results --------------------------------------------------------------------------------------------------


def promotion_problems(scene: ProxiedApp, version: int = GOOD) -> Iterator[str]:
    """Yield the problems after a promotion."""
    seen = scene.seen
    yield from unfinished_work(scene, holder=version)
    with seen.ledger.read() as reading:
        states = [request.state.value for request in reading.requests()]
    if states != ["done"]:
        yield f"the requests are {states}"
    yield from wrong_event_counts(
        seen, EventTag.REQUEST_OPENED, EventTag.VOTED, EventTag.APPROVED, EventTag.TRANSITION_DONE
    )
    cards = messages(seen, f"v{version} is in Production")
    if len(cards) != 1 or len(messages(seen, "Promote churn")) > 1:
        yield f"{len(cards)} cards say that it is in Production"
    for card in cards:
        if thread := seen.bob.thread(card)[1:]:
            yield f"the thread says {[message_text(each)[:60] for each in thread]}"
    direct = seen.alice.direct_messages()
    if sum("Done" in message_text(each) for each in direct) != 1:
        yield f"Alice's direct messages are {[message_text(each)[:60] for each in direct]}"


def rollback_problems(scene: ProxiedApp) -> Iterator[str]:
    """Yield the problems after an automatic rollback."""
    seen = scene.seen
    yield from unfinished_work(scene, holder=3)
    yield from wrong_event_counts(seen, EventTag.TRANSITION_DONE, EventTag.ROLLED_BACK)
    with seen.ledger.read() as reading:
        incidents = [one for one in reading.incidents() if one.version == BAD]
        bars = [bar.version for bar in reading.rollback_blocks("churn")]
    ends = [(one.ending, one.target) for one in incidents]
    if ends not in (
        [(IncidentEnding.RESTORED, 3)],
        [(IncidentEnding.RECOVERED, 3)],
    ):  # it recovers once v3 has passed its checks
        yield f"the incidents ended as {[str(one.resolution or one.doing.value) for one in incidents]}"
    if bars != [BAD]:
        yield f"blocked versions are {bars}"
    alerts = [one for one in messages(seen, f"v{BAD}") if "incident_undo" in str(one)]
    if len(alerts) != 1:
        yield f"there are {len(alerts)} alerts"
    for alert in alerts:
        yield from duplicates(seen.bob.thread(alert)[1:])


def unfinished_work(scene: ProxiedApp, *, holder: int) -> Iterator[str]:
    """Yield unfinished work, and differences from the ledger."""
    seen = scene.seen
    later = scene.clock.now() + timedelta(days=1)
    with seen.ledger.read() as reading:
        left = {
            "messages": len(reading.due_messages(later)),
            "asks": len(reading.due_command_ids(later)),
            "moves": len(reading.models_with_transitions(UNFINISHED_STATES)),
            "tags": len(reading.due_tag_updates(later)),
        }
    for what, number in left.items():
        if number:
            yield f"{number} {what} are unfinished"
    champion = seen.registry.model("churn").aliases.get("champion")
    if (seen.production(), champion) != ([holder], holder):
        yield f"Production holds {seen.production()}, the alias {champion}"
    if not is_chain_intact(seen.ledger):  # type: ignore[arg-type]  # it is a SqlLedger
        yield "the audit chain is broken"


def wrong_event_counts(seen: RunningApp, *tags: EventTag) -> Iterator[str]:
    """Yield the events that aren't in the audit log exactly once."""
    for tag in tags:
        if (number := len(audit_links(seen.ledger, tag))) != 1:
            yield f"{tag.value} is {number} times in the audit log"


def messages(seen: RunningApp, holds: str) -> list[dict[str, Any]]:
    """Return the channel's public messages that contain this text."""
    return [one for one in seen.bob.sees(CHANNEL) if not one["is_ephemeral"] and holds in message_text(one) + str(one)]
