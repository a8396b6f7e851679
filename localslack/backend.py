"""One running workspace: the object that builds and holds its parts."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localslack import payloads
from localslack.blocks import PictureCheck
from localslack.calls.call_log import CallLog
from localslack.calls.fault_injection import FaultInjector
from localslack.calls.rate_limits import RateLimiter
from localslack.core.change_feed import ChangeFeed
from localslack.core.clock import WorkspaceClock
from localslack.core.errors import SlackError
from localslack.core.state_file import StateFile
from localslack.delivery.router import PayloadRouter
from localslack.delivery.socket_mode import SocketModeTransport
from localslack.delivery.triggers import ResponseUrls, TriggerIds
from localslack.manifest import Manifest
from localslack.seed import Seed
from localslack.workspace import file_objects
from localslack.workspace.records import App, Conversation, File, Secrets, User
from localslack.workspace.state import WorkspaceState
from localslack.workspace.uploads import PendingUploads
from localslack.workspace.views import Views


@dataclass(kw_only=True)
class BackendSettings:
    """How to start a workspace.

    state: the file that stores messages, people, tokens, and other state; if None, nothing is stored. secrets: tokens
    and secrets to use instead of random ones. speed: how many times faster than real time rate limits and file checks
    run; nothing else is affected. files_ready_after: how long checking a file takes, in seconds at that speed.
    """

    manifest: Manifest
    base_url: str
    state: str | Path | None = None
    seed: Seed = field(default_factory=Seed)
    request_url: str | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    rate_limits: bool = True
    speed: float = 1.0
    files_ready_after: float = 1.0


class Backend:
    """One workspace with its app, for use in a single event loop."""

    def __init__(self, settings: BackendSettings) -> None:
        self.settings = settings
        self.manifest = settings.manifest
        self.base_url = settings.base_url
        self.clock = WorkspaceClock()
        self.changes = ChangeFeed()
        self.state_file = StateFile(settings.state)
        self.secrets = _load_secrets(self.state_file, settings.secrets)
        app = App(name=self.manifest.app_name, bot_name=self.manifest.bot_name)
        self.workspace = WorkspaceState(settings.seed, self.base_url, app, self.state_file, self.changes, self.clock)
        self.triggers = TriggerIds(self.clock)
        self.response_urls = ResponseUrls(self.clock, self.workspace.team.id)
        self.uploads = PendingUploads(self.clock.now)
        self.views = Views(
            app,
            self.workspace.team,
            state_file=self.state_file,
            change_feed=self.changes,
            next_ts=self.workspace.next_ts,
            has_picture=self.has_picture,
        )
        self.faults = FaultInjector()
        self.calls = CallLog(self.clock.now)
        self.rate_limiter = RateLimiter(self.clock.now, enforced=settings.rate_limits, speed=settings.speed)
        self.router = PayloadRouter(self.clock, SocketModeTransport(self.clock, app.id), self.secrets.signing_secret)
        self.problems: list[str] = []
        self._snapshot = self.workspace.snapshot()

    @property
    def installation(self) -> payloads.Installation:
        """The workspace and the app, as they appear in payloads."""
        team = self.workspace.team
        return payloads.Installation(
            team_id=team.id,
            team_domain=team.domain,
            api_app_id=self.workspace.app.id,
            bot_user_id=self.workspace.app.bot_user_id,
            token=self.secrets.verification_token,
            enterprise=self.workspace.enterprise,
        )

    def actor(self, person: User) -> payloads.Actor:
        """Return a person as they appear in payloads."""
        return payloads.Actor(id=person.id, name=person.name, team_id=person.team_id)

    def channel_ref(self, channel: Conversation) -> payloads.ChannelRef:
        """Return a conversation as it appears in payloads."""
        name = "directmessage" if channel.is_im else channel.name
        return payloads.ChannelRef(id=channel.id, name="privategroup" if channel.is_private else name)

    def require_scope(self, *any_of: str) -> None:
        """Raise missing_scope unless the manifest requests one of these scopes."""
        if any_of and not self.manifest.scopes.intersection(any_of):
            provided = ",".join(sorted(self.manifest.scopes))
            raise SlackError("missing_scope", needed=any_of[0], provided=provided)

    def has_picture(self, slack_file: dict[str, Any]) -> bool:
        """Return whether a block's slack_file refers to a picture that has been checked."""
        picture = file_objects.find_picture(self.workspace, slack_file)
        return picture is not None and self.is_file_ready(picture)

    def has_picture_for(self, audience: str | None) -> PictureCheck:
        """Return a check for a message's pictures: `has_picture` and, for an ephemeral message, visibility.

        audience: the only person who sees the message, or None. They must own the picture, or see it in a message that
        isn't ephemeral; Slack rejects other pictures (node-slack-sdk#1790, java-slack-sdk#1349).
        """
        if audience is None:
            return self.has_picture
        person = self.workspace.person(audience)
        return lambda slack_file: (
            self.has_picture(slack_file) and file_objects.can_see_picture(self.workspace, slack_file, person)
        )

    def is_file_ready(self, file: File) -> bool:
        """Return whether a file has been checked."""
        return self.clock.now() >= file.ready_at

    def file_ready_at(self) -> float:
        """Return when a file that's completed now will have passed its check, in seconds since the epoch."""
        return self.clock.now() + self.settings.files_ready_after / self.settings.speed

    def report_problem(self, problem: str) -> None:
        """Record an explanation of a problem for which Slack would only show a vague error."""
        self.problems.append(problem)
        self.changes.publish("problem")

    def reset(self) -> None:
        """Reset everything to the seed, except connections, tokens, the clock, and injected faults.

        Trigger IDs and response URLs that have been issued, the request URL, and the snapshot are also unaffected.
        """
        self.router.cancel_events()
        self.views.clear()
        self.uploads.clear()
        self.calls.clear()
        self.rate_limiter.clear()
        self.problems.clear()
        self.workspace.reset()

    def take_snapshot(self) -> None:
        """Save people, channels, groups, files, and messages for `restore_snapshot`, replacing the last snapshot."""
        self._snapshot = self.workspace.snapshot()

    def restore_snapshot(self) -> None:
        """Restore people, channels, groups, files, and messages from the snapshot; reset the rest, as `reset` does."""
        self.reset()
        self.workspace.restore(self._snapshot)

    async def close(self) -> None:
        """End waits for changes, stop delivering events, and close the state file and the HTTP connections.

        Those are the connections to the app's request URL; Socket Mode connections end with the server.
        """
        self.changes.close()
        await self.router.close()
        self.state_file.close()


def _load_secrets(state_file: StateFile, overrides: dict[str, str]) -> Secrets:
    stored = next(iter(state_file.read_all("secrets")), {})
    generated = {
        "bot_token": f"xoxb-{secrets.randbelow(10**12):012d}-{secrets.token_hex(12)}",
        "app_token": f"xapp-1-A0LOCALAPP-{secrets.randbelow(10**12):012d}-{secrets.token_hex(16)}",
        "signing_secret": secrets.token_hex(16),
        "verification_token": secrets.token_hex(12),
    }
    values: dict[str, Any] = {**generated, **stored, **{name: value for name, value in overrides.items() if value}}
    result = Secrets(**values)
    state_file.put(("secrets", "app", asdict(result)))
    return result
