"""Record the files that this release of Registrar leaves when it's killed, for the tests of the next release.

`python -m tests.support.ledger.record_release FOLDER` plays several days with the whole bot over a local Slack, and
writes the ledger, the workspace and the registry as they are at the moment of the kill. tests/data/README.md says when
to run it.
"""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from bot.domain.core.errors import BadInput, RegistryUnreachable
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, MANIFEST, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.workspaces import local_slack
from tests.support.ledger.previous_release import LEDGER, REGISTRY, TOKEN, TOKEN_ENV, WORKSPACE, pack, policy, push
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

SECRETS = {"bot_token": "xoxb-made-up", "app_token": "xapp-made-up", "signing_secret": "made-up"}
LAYOUT = [Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE, Stage.NONE]  # v3 serves
PICTURE = """INSERT INTO "documents" VALUES('content',"""
MODELS = (
    "churn",
    "mail",
    "leads",
    "vision",
    "fraud",
    "two-eyes",
    "search",
    "pricing",
    "ranking",
    "billing",
    "reports",
)


class HangingRegistry(MemoryRegistry):
    """A registry that never answers a transition of one model."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(now=now)
        self.is_hanging, self.is_over = Event(), Event()

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Transition the version, or hang."""
        if name == "ranking":
            self.is_hanging.set()
            self.is_over.wait()
            raise RegistryUnreachable("The registry isn't responding.")
        super().transition_stage(name, version, stage, archive_existing=archive_existing)


class ReleaseRecorder:
    """Plays the days before the kill."""

    def __init__(self, slack: LocalSlack, home: Path) -> None:
        self.slack = slack
        self.home = home
        self.clock = AdjustableClock()
        self.registry = HangingRegistry(self.clock.now)
        for name in MODELS:
            self.registry.add_model(name)
            for stage in LAYOUT:
                run = self.registry.add_run(f"run-{name}-{len(self.registry.versions(name)) + 1}")
                self.registry.add_version(name, stage=stage, run_id=run)
            self.registry.set_alias(name, "champion", 3)

    def wait(self, **span: float) -> None:
        """Advance the time for the bot and Slack."""
        self.clock.advance(timedelta(**span))
        self.slack.advance(timedelta(**span).total_seconds())

    def ask(self, app: RunningApp, model: str, version: int) -> dict[str, Any]:
        """Have Alice request a version; return the card."""
        app.alice.types(CHANNEL, f'/model promote {model} {version} production --reason "better"')
        return app.card(holds=f"Promote {model} v{version}")

    def promote(self, app: RunningApp, model: str, version: int) -> None:
        """Have Alice request a version, and Bob approve it."""
        app.bob.clicks(self.ask(app, model, version), "Approve")
        wait_until(lambda: app.production(model) == [version])
        app.card(holds=f"v{version} is in Production")

    def history(self) -> None:
        """Play the days without monitors: promotions, and a version that someone transitions in MLflow."""
        with running_app(self.slack, self.home, self.registry, policy=policy(watched=False), clock=self.clock) as app:
            app.registrar.poll_registry()
            self.wait(hours=30)
            for model in ("churn", "mail", "leads"):
                self.promote(app, model, 4)
            self.registry.transition_stage("vision", 4, Stage.PRODUCTION, archive_existing=True)
            app.registrar.poll_registry()
            self.wait(hours=30)

    def watched(self) -> None:
        """Play the last day, up to the kill."""
        with running_app(self.slack, self.home, self.registry, policy=policy(), clock=self.clock) as app:
            app.registrar.poll_registry()
            try:
                self.incidents(app)
                self.requests(app)
                self.kill(app)
            finally:
                self.registry.is_down = False
                self.registry.is_over.set()

    def incidents(self, app: RunningApp) -> None:
        """Play an armed monitor, an automatic rollback, and one that a monitor requests."""
        dave = app.slack.person("dave")
        app.bob.types(
            CHANNEL,
            "/model monitor add mail drift --source live --query accuracy --greater-than 0.85 --every 10s "
            "--warmup 0s --fail-after 1 --action auto",
        )
        app.answer(app.bob, "mail")
        push(app, "mail", 4, 0.95)
        self.check(app, "mail")
        dave.types(CHANNEL, '/model monitor arm mail drift --override --reason "measured for weeks"')
        app.answer(dave, "rolls back")
        self.promote(app, "churn", 5)
        push(app, "churn", 5, 0.42)
        push(app, "leads", 4, 0.42)
        for model in ("churn", "leads"):
            self.check(app, model)
        wait_until(lambda: app.production("churn") == [4])
        app.card(holds="incident_undo")
        app.card(holds="Roll back to v3")

    def check(self, app: RunningApp, model: str) -> None:
        """Run the model's monitor now."""
        with app.ledger.read() as reading:
            [monitor] = reading.monitors(model)

        def checked() -> bool:
            with suppress(BadInput):
                app.registrar.monitoring.check_now(monitor.id)
                return True
            return False

        wait_until(checked)

    def requests(self, app: RunningApp) -> None:
        """Open requests in every state that isn't final."""
        for model in ("fraud", "search", "billing"):
            self.ask(app, model, 4)
        two = self.ask(app, "two-eyes", 4)
        app.bob.clicks(two, "Approve")
        app.card(holds="1 of 2")
        pricing = self.ask(app, "pricing", 4)
        ranking = self.ask(app, "ranking", 4)
        self.settle(app)
        self.registry.is_down = True
        app.bob.clicks(pricing, "Approve")
        self.thread_says(app, pricing, "Approved")
        app.bob.types(CHANNEL, '/model freeze pricing --reason "end of quarter"')
        app.answer(app.bob, "pricing")
        self.registry.is_down = False
        self.wait(minutes=1)
        self.thread_says(app, pricing, "froze Production")
        app.bob.clicks(ranking, "Approve")
        assert self.registry.is_hanging.wait(30)

    def settle(self, app: RunningApp) -> None:
        """Wait until every message is delivered and every tag is written."""

        def nothing_is_due() -> bool:
            app.registrar.poll_registry()
            with app.ledger.read() as reading:
                now = self.clock.now()
                return not reading.due_messages(now) and not reading.due_tag_updates(now)

        wait_until(nothing_is_due)

    def thread_says(self, app: RunningApp, card: dict[str, Any], words: str) -> None:
        """Wait until the card's thread has this text."""
        wait_until(lambda: any(words in message_text(one) for one in app.bob.thread(card)))

    def kill(self, app: RunningApp) -> None:
        """Disconnect Slack and the registry, let people continue, and stop there."""
        billing = app.card(holds="Promote billing")
        carol = app.slack.person("carol")
        carol.clicks(billing, "Reject")
        carol.waits_for_modal()
        for method in ("chat.postMessage", "chat.update"):
            self.slack.server_error(method, times=None)
        self.registry.is_down = True
        carol.submits({"reason": "too slow"})
        app.alice.types(CHANNEL, "/model promote reports 4 production")

        def is_left() -> bool:
            with app.ledger.read() as reading:
                now = self.clock.now() + timedelta(minutes=5)
                ranking = reading.transitions("ranking")[0].state is TransitionState.EXECUTING
                return ranking and bool(
                    reading.due_command_ids(now) and reading.due_messages(now) and reading.due_tag_updates(now)
                )

        wait_until(is_left)


def record(folder: Path) -> None:
    """Play the days, and write the three files to the folder."""
    os.environ[TOKEN_ENV] = TOKEN
    with tempfile.TemporaryDirectory() as work:
        home, state = Path(work), Path(work) / "slack.db"
        with local_slack(MANIFEST, state=state, secrets=SECRETS) as slack:
            play = ReleaseRecorder(slack, home)
            play.history()

            def leave(app: RunningApp) -> None:
                kill(app)
                _dump(home / "ledger.db", folder / LEDGER.name)
                _dump(state, folder / WORKSPACE.name)
                (folder / REGISTRY.name).write_text(pack(play.registry), encoding="utf-8")

            kill, play.kill = play.kill, leave  # type: ignore[method-assign]
            play.watched()
            slack.heal()


def _dump(database: Path, file: Path) -> None:
    """Return a database's rows as SQL, without this machine's name and Slack's images."""
    with closing(sqlite3.connect(database)) as connection:
        lines = [line for line in connection.iterdump() if not line.startswith(PICTURE)]
    text = re.sub(rf"'{re.escape(socket.gethostname())}[^']*'", "'yesterday/000000:1:a'", "\n".join(lines) + "\n")
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
