"""Open modals and published Home tabs, with their hashes and current state."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from localslack import blocks
from localslack.blocks.default_ids import with_default_ids
from localslack.blocks.input_state import Answers, state_values
from localslack.core.change_feed import ChangeFeed
from localslack.core.errors import SlackError
from localslack.core.state_file import StateFile
from localslack.workspace.records import App, Team

JSON = dict[str, Any]
MAX_MODALS = 3
MAX_VIEW_BYTES = 250_000


class Views:
    """All open modals, at most three per person, and all Home tabs. The state file stores Home tabs."""

    def __init__(
        self,
        app: App,
        team: Team,
        *,
        state_file: StateFile,
        change_feed: ChangeFeed,
        next_ts: Callable[[], str],
        has_picture: blocks.PictureCheck,
    ) -> None:
        self._app = app
        self._team = team
        self._state_file = state_file
        self._change_feed = change_feed
        self._next_ts = next_ts
        self._has_picture = has_picture
        self._stacks: dict[str, list[JSON]] = {}
        self._homes: dict[str, JSON] = {body["user"]: body["view"] for body in state_file.read_all("home")}

    def stack(self, user: str) -> list[JSON]:
        """Return a person's modals; the last one is on top."""
        return list(self._stacks.get(user, []))

    def top(self, user: str) -> JSON | None:
        """Return the top modal, or None."""
        stack = self._stacks.get(user)
        return stack[-1] if stack else None

    def home(self, user: str) -> JSON | None:
        """Return the view on a person's Home tab, or None."""
        return self._homes.get(user)

    def open_modal(self, user: str, view_id: str) -> JSON:
        """Return a person's open modal by its ID; raises not_found."""
        for view in self._stacks.get(user, []):
            if view["id"] == view_id:
                return view
        raise SlackError("not_found")

    def visible_view(self, user: str, view_id: str) -> JSON:
        """Return a person's open modal or Home tab by its ID; raises not_found."""
        home = self._homes.get(user)
        return home if home and home["id"] == view_id else self.open_modal(user, view_id)

    def find_with_owner(self, *, view_id: str | None = None, external_id: str | None = None) -> tuple[str, JSON]:
        """Return the ID of the person who sees a view, and the view; raises not_found."""
        for user, view in self._all_views():
            if view["id"] == view_id or (external_id and view["external_id"] == external_id):
                return user, view
        raise SlackError("not_found")

    def open(self, user: str, definition: JSON) -> JSON:
        """Open a modal and close the person's other modals; raises the same errors as views.open."""
        view = self._build(definition)
        view["root_view_id"] = view["id"]
        self._stacks[user] = [view]
        self._publish_change(user)
        return view

    def push(self, user: str, definition: JSON) -> JSON:
        """Open a modal on top of the person's others.

        Raises not_found if none is open, push_limit_reached if three are, or, for an invalid view, the same errors as
        `open`.
        """
        stack = self._stacks.get(user, [])
        if not stack:
            raise SlackError("not_found")
        if len(stack) >= MAX_MODALS:
            raise SlackError("push_limit_reached")
        view = self._build(definition)
        view |= {"root_view_id": stack[0]["id"], "previous_view_id": stack[-1]["id"]}
        stack.append(view)
        self._publish_change(user)
        return view

    def update(self, user: str, old: JSON, definition: JSON, expected_hash: str | None = None) -> JSON:
        """Replace a view. Answers are kept for elements that still exist.

        Raises hash_conflict if `expected_hash` is given and isn't the view's current hash.
        """
        if expected_hash is not None and expected_hash != old["hash"]:
            raise SlackError("hash_conflict")
        view = self._build(definition, kind=old["type"], replacing=old)
        kept_fields = ("id", "root_view_id", "previous_view_id")
        view |= {name: old[name] for name in kept_fields}
        view["state"] = {"values": _carry_over_state(view, old)}
        if view["type"] == "home":
            return self._save_home(user, view)
        stack = self._stacks[user]
        stack[[open_view["id"] for open_view in stack].index(old["id"])] = view
        self._publish_change(user)
        return view

    def publish(self, user: str, definition: JSON, expected_hash: str | None = None) -> JSON:
        """Publish a person's Home tab, which keeps its ID; raises hash_conflict."""
        old = self._homes.get(user)
        if old is not None:
            return self.update(user, old, definition, expected_hash)
        if expected_hash is not None:
            raise SlackError("hash_conflict")
        view = self._build(definition, kind="home")
        view["root_view_id"] = view["id"]
        return self._save_home(user, view)

    def save_answers(self, view: JSON, answers: Answers) -> JSON:
        """Store a person's answers; raises ValueError for an option that isn't offered."""
        view["state"] = {"values": state_values(view["blocks"], answers)}
        return view

    def close(self, user: str, view_id: str) -> JSON:
        """Close a person's modal, and return it; raises not_found."""
        closed = self.open_modal(user, view_id)
        self._stacks[user].remove(closed)
        self._publish_change(user)
        return closed

    def close_all(self, user: str) -> list[JSON]:
        """Close all of a person's modals, and return them."""
        closed = self._stacks.pop(user, [])
        self._publish_change(user)
        return closed

    def clear(self) -> None:
        """Close all modals, and remove all Home tabs."""
        self._stacks.clear()
        self._homes.clear()
        self._state_file.clear("home")

    def validate(self, definition: Any, kind: str = "modal") -> None:
        """Raise invalid_arguments, with the problems, if a view is invalid, or view_too_large if it's too large.

        kind: "modal" or "home".
        """
        if not isinstance(definition, dict):
            raise SlackError("invalid_arguments", messages=["must provide an object [json-pointer:/view]"])
        if len(json.dumps(definition).encode()) > MAX_VIEW_BYTES:
            raise SlackError("view_too_large")
        if problems := blocks.view_problems(definition, self._has_picture, kind):
            raise SlackError("invalid_arguments", messages=problems)

    def _build(self, definition: JSON, *, kind: str = "modal", replacing: JSON | None = None) -> JSON:
        self.validate(definition, kind)
        self._check_external_id(definition, replacing)
        view_blocks = with_default_ids(definition["blocks"])
        return {
            "id": f"V{secrets.token_hex(5).upper()}",
            "team_id": self._team.id,
            "type": definition["type"],
            "blocks": view_blocks,
            "private_metadata": definition.get("private_metadata", ""),
            "callback_id": definition.get("callback_id", ""),
            "state": {"values": state_values(view_blocks, {})},
            "hash": f"{self._next_ts()}.{secrets.token_hex(4)}",
            "title": definition.get("title"),
            "clear_on_close": definition.get("clear_on_close", False),
            "notify_on_close": definition.get("notify_on_close", False),
            "close": definition.get("close"),
            "submit": definition.get("submit"),
            "previous_view_id": None,
            "root_view_id": None,
            "app_id": self._app.id,
            "external_id": definition.get("external_id", ""),
            "app_installed_team_id": self._team.id,
            "bot_id": self._app.bot_id,
        }

    def _check_external_id(self, definition: JSON, replacing: JSON | None) -> None:
        external_id = definition.get("external_id")
        other_views = [view for _, view in self._all_views() if view is not replacing]
        if external_id and any(view["external_id"] == external_id for view in other_views):
            raise SlackError("duplicate_external_id")

    def _all_views(self) -> Iterator[tuple[str, JSON]]:
        yield from ((user, view) for user, stack in self._stacks.items() for view in stack)
        yield from self._homes.items()

    def _save_home(self, user: str, view: JSON) -> JSON:
        self._homes[user] = view
        self._state_file.put(("home", user, {"user": user, "view": view}))
        self._change_feed.publish("home", user=user)
        return view

    def _publish_change(self, user: str) -> None:
        self._change_feed.publish("view", user=user)


def _carry_over_state(view: JSON, old: JSON) -> dict[str, dict[str, JSON]]:
    values: dict[str, dict[str, JSON]] = view["state"]["values"]
    for block_id, states in old["state"]["values"].items():
        for action_id, state in states.items():
            new_state = values.get(block_id, {}).get(action_id)
            if new_state and new_state["type"] == state["type"]:
                values[block_id][action_id] = state
    return values
