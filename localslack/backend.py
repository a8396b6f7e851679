"""The parts of one running workspace, put together in one place."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localslack import payloads
from localslack.blocks import HasPicture
from localslack.calls.fault_injection import Calls, Faults
from localslack.calls.rate_limits import Limits
from localslack.core.change_feed import Changes
from localslack.core.clock import Clock
from localslack.core.errors import SlackError
from localslack.core.state_file import Store
from localslack.delivery.router import Post
from localslack.delivery.socket_mode import Sockets
from localslack.delivery.triggers import Hooks, Triggers
from localslack.manifest import Manifest
from localslack.seed import Seed
from localslack.workspace import file_objects
from localslack.workspace.records import App, Channel, File, Person, Secrets
from localslack.workspace.state import Workspace
from localslack.workspace.uploads import Uploads
from localslack.workspace.views import Views


@dataclass(kw_only=True)
class Settings:
    """How to start: the app's manifest, where to keep the state, and what to use instead of the defaults.

    speed: how many seconds pass in one where calls are counted and files looked into, and nowhere else.
    files_ready_after: how many of those seconds Slack takes to look into a file.
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


class Core:
    """One workspace with its app. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.manifest = settings.manifest
        self.base_url = settings.base_url
        self.clock = Clock()
        self.changes = Changes()
        self.store = Store(settings.state)
        self.secrets = _secrets(self.store, settings.secrets)
        app = App(name=self.manifest.app_name, bot_name=self.manifest.bot_name)
        self.space = Workspace(settings.seed, self.base_url, app, self.store, self.changes, self.clock)
        self.triggers = Triggers(self.clock)
        self.hooks = Hooks(self.clock, self.space.team.id)
        self.uploads = Uploads(self.clock.now)
        self.views = Views(
            app,
            self.space.team,
            store=self.store,
            changes=self.changes,
            next_ts=self.space.next_ts,
            has_picture=self.has_picture,
        )
        self.faults = Faults()
        self.calls = Calls(self.clock.now)
        self.limits = Limits(self.clock.now, enforced=settings.rate_limits, speed=settings.speed)
        self.post = Post(self.clock, Sockets(self.clock, app.id), self.secrets.signing_secret)
        self.problems: list[str] = []
        self._kept = self.space.kept()

    @property
    def origin(self) -> payloads.Origin:
        """The workspace and app, as payloads name them."""
        team = self.space.team
        return payloads.Origin(
            team_id=team.id,
            team_domain=team.domain,
            api_app_id=self.space.app.id,
            bot_user_id=self.space.app.bot_user_id,
            token=self.secrets.verification_token,
            enterprise=self.space.enterprise,
        )

    def actor(self, person: Person) -> payloads.Actor:
        """A person, as payloads name them."""
        return payloads.Actor(id=person.id, name=person.name, team_id=person.team_id)

    def place(self, channel: Channel) -> payloads.Place:
        """A conversation, as payloads name it."""
        name = "directmessage" if channel.is_im else channel.name
        return payloads.Place(id=channel.id, name="privategroup" if channel.is_private else name)

    def require_scope(self, *any_of: str) -> None:
        """Raise missing_scope unless the manifest asks for one of these scopes."""
        if any_of and not self.manifest.scopes.intersection(any_of):
            provided = ",".join(sorted(self.manifest.scopes))
            raise SlackError("missing_scope", needed=any_of[0], provided=provided)

    def has_picture(self, slack_file: dict[str, Any]) -> bool:
        """Whether a block's slack_file is a picture that Slack has checked."""
        held = file_objects.picture(self.space, slack_file)
        return held is not None and self.is_ready(held)

    def has_picture_for(self, audience: str | None) -> HasPicture:
        """As `has_picture`, for a message that one person sees: the picture must be shared where they can see it.

        Slack refuses the rest: node-slack-sdk#1790, java-slack-sdk#1349.
        """
        if audience is None:
            return self.has_picture
        person = self.space.person(audience)
        return lambda wanted: self.has_picture(wanted) and file_objects.is_shared(self.space, wanted, person)

    def is_ready(self, file: File) -> bool:
        """Whether Slack has checked a file."""
        return self.clock.now() >= file.ready_at

    def ready_at(self) -> float:
        """When Slack will have checked a file that is completed now."""
        return self.clock.now() + self.settings.files_ready_after / self.settings.speed

    def problem(self, what: str) -> None:
        """Note something that Slack would only show as a vague error, so that a developer can find it."""
        self.problems.append(what)
        self.changes.publish("problem")

    def reset(self) -> None:
        """Start over with the seed. Connections, tokens and standing faults stay."""
        self.post.forget_events()
        self.views.clear_everybody()
        self.uploads.clear()
        self.calls.clear()
        self.limits.clear()
        self.problems.clear()
        self.space.reset()

    def keep(self) -> None:
        """Remember people, channels and messages as they are, for `put_back`; what was kept before is forgotten."""
        self._kept = self.space.kept()

    def put_back(self) -> None:
        """Let people, channels and messages be as they were kept; all else starts over as with `reset`."""
        self.reset()
        self.space.put_back(self._kept)

    async def close(self) -> None:
        """Let go of everything that is held open."""
        self.changes.close()
        await self.post.close()
        self.store.close()


def _secrets(store: Store, given: dict[str, str]) -> Secrets:
    kept = next(iter(store.all("secrets")), {})
    made = {
        "bot_token": f"xoxb-{secrets.randbelow(10**12):012d}-{secrets.token_hex(12)}",
        "app_token": f"xapp-1-A0LOCALAPP-{secrets.randbelow(10**12):012d}-{secrets.token_hex(16)}",
        "signing_secret": secrets.token_hex(16),
        "verification_token": secrets.token_hex(12),
    }
    named: dict[str, Any] = {**made, **kept, **{name: value for name, value in given.items() if value}}
    result = Secrets(**named)
    store.put(("secrets", "app", asdict(result)))
    return result
