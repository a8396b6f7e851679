"""One person's actions and views in the workspace."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from localslack.blocks import input_state
from localslack.client.connection import WorkspaceConnection
from localslack.client.results import ActionResult, RefusedError
from localslack.client.surfaces import blocks_of, current_answers, element_ids, surface_address

JSON = dict[str, Any]


class WorkspaceMember:
    """A person in the workspace: their actions, and what they see."""

    def __init__(self, slack: WorkspaceConnection, name: str) -> None:
        self.slack = slack
        self.name = name

    @property
    def id(self) -> str:
        """The user ID."""
        return str(self.slack.query("overview", user=self.name)["me"]["id"])

    # -- actions --------------------------------------------------------------------------------------------

    def types(self, channel: str, text: str, *, thread: JSON | None = None) -> ActionResult:
        """Send a message, or run a slash command and wait for its acknowledgment."""
        body: JSON = {"user": self.name, "channel": channel, "text": text}
        if thread is not None:
            body["thread_ts"] = thread.get("thread_ts") or thread["ts"]
        result = self.slack.act("type", **body)
        if result["kind"] == "message":
            return ActionResult(acked=True, text=text, message=result["message"])
        return _action_result(result)

    def uploads(self, channel: str, name: str, content: bytes, *, thread: JSON | None = None) -> JSON:
        """Share a file, and return the message."""
        body: JSON = {"user": self.name, "channel": channel, "name": name}
        if thread is not None:
            body["thread_ts"] = thread.get("thread_ts") or thread["ts"]
        return dict(self.slack.act("upload", **body, content=base64.b64encode(content).decode())["message"])

    def clicks(self, surface: JSON, element_name: str, *, block: str | None = None) -> ActionResult:
        """Click a button in a message, a modal, or a Home tab, and confirm if asked.

        element_name: the button's text or action ID. block: the ID of its block, if several blocks have such a button.
        """
        return self._click(surface, element_name, None, block)

    def chooses(self, surface: JSON, element_name: str, answer: Any, *, block: str | None = None) -> ActionResult:
        """Choose an option, ID, or date in an element.

        element_name: its action ID or placeholder. answer: the choice; for a menu with external options, an option from
        `looks_up`, or a text or value to look up. block: as in `clicks`.
        """
        return self._click(surface, element_name, answer, block)

    def looks_up(self, surface: JSON, element_name: str, typed: str, *, block: str | None = None) -> list[JSON]:
        """Type into a menu with external options, and return the app's options.

        element_name and block: as in `clicks`. Raises RefusedError if the app doesn't answer, or if Slack wouldn't show
        the options.
        """
        containing_block, menu = self._find_element(surface, element_name, block)
        return self._load_options(surface, containing_block, menu, typed)

    def uses(self, shortcut: str, message: JSON | None = None) -> ActionResult:
        """Use a global shortcut or a message shortcut, by its callback_id or name."""
        address = {} if message is None else surface_address(message)
        return _action_result(self.slack.act("shortcut", user=self.name, name=shortcut, **address))

    def reacts(self, message: JSON, emoji: str, *, remove: bool = False) -> JSON:
        """Add or remove a reaction by its emoji's name, and return the message."""
        return dict(
            self.slack.act("react", user=self.name, **surface_address(message), name=emoji, remove=remove)["message"]
        )

    def edits(self, message: JSON, text: str) -> JSON:
        """Change the text of one of this person's messages, and return the message."""
        return dict(self.slack.act("edit", user=self.name, **surface_address(message), text=text)["message"])

    def deletes(self, message: JSON) -> None:
        """Delete one of this person's messages; an admin can delete any message."""
        self.slack.act("delete", user=self.name, **surface_address(message))

    def opens_home(self) -> JSON | None:
        """Open the app's Home tab, which sends app_home_opened, and return the view published so far, or None."""
        return _view_of(self.slack.act("open_home", user=self.name))

    def submits(self, values: Mapping[str, Any] | None = None) -> dict[str, str] | None:
        """Submit the top modal, and return its errors by block ID, or None if it was accepted.

        values: the answers, by block ID, action ID, or label. Inputs that are left out keep their values. In the
        errors, the key "*" stands for Slack's "trouble connecting" message.
        """
        view = self._top_modal()
        result = self.slack.act(
            "submit", user=self.name, view_id=view["id"], answers=self._merge_answers(view, values or {})
        )
        errors: dict[str, str] | None = result["errors"]
        return errors

    def closes(self, *, everything: bool = False) -> JSON:
        """Close the top modal, or all of them."""
        return self.slack.act("close", user=self.name, view_id=self._top_modal()["id"], everything=everything)

    # -- queries --------------------------------------------------------------------------------------------

    def sees(self, channel: str) -> list[JSON]:
        """Return the messages that this person sees in a conversation, oldest first."""
        return list(self.slack.query("messages", user=self.name, channel=channel)["messages"])

    def thread(self, message: JSON) -> list[JSON]:
        """Return a thread's parent message and its replies."""
        ts = message.get("thread_ts") or message["ts"]
        query = {"user": self.name, "channel": message["channel"], "ts": ts}
        return list(self.slack.query("thread", **query)["messages"])

    def files(self, message: JSON) -> list[JSON]:
        """Return the file objects in a message."""
        return list(message.get("files", []))

    def downloads(self, file: JSON | str) -> bytes:
        """Return the bytes of a file, given as an object or an ID.

        Raises RefusedError unless this person owns the file or sees it somewhere.
        """
        file_id = file if isinstance(file, str) else file["id"]
        return self.slack.fetch("file", user=self.name, id=file_id)

    def direct_messages(self) -> list[JSON]:
        """Return this person's direct messages with the app."""
        return self.sees(self.slack.query("direct", user=self.name)["channel"])

    def modal(self) -> JSON | None:
        """Return the top modal, or None."""
        views = self.modals()
        return views[-1] if views else None

    def modals(self) -> list[JSON]:
        """Return the open modals; the last one is on top."""
        return list(self.slack.query("modals", user=self.name)["views"])

    def home(self) -> JSON | None:
        """Return the view on this person's Home tab, or None, without sending app_home_opened."""
        return _view_of(self.slack.query("home", user=self.name))

    def waits_for(self, channel: str, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """Wait for a message that matches the predicate, and return the newest match. Raises TimeoutError."""

        def newest_match() -> JSON | None:
            messages = self.sees(channel)
            return next((message for message in reversed(messages) if predicate(message)), None)

        return _require_found(self.slack.wait_for(newest_match, timeout))

    def waits_for_modal(self, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """Wait until the top modal matches the predicate, and return it. Raises TimeoutError."""

        def matching_modal() -> JSON | None:
            view = self.modal()
            return view if view is not None and predicate(view) else None

        return _require_found(self.slack.wait_for(matching_modal, timeout))

    def waits_for_home(self, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """Wait until the view on the Home tab matches the predicate, and return it. Raises TimeoutError."""

        def matching_home() -> JSON | None:
            view = self.home()
            return view if view is not None and predicate(view) else None

        return _require_found(self.slack.wait_for(matching_home, timeout))

    def waits_for_direct_message(self, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """Wait for a direct message that matches the predicate, and return the newest match. Raises TimeoutError."""
        channel = self.slack.query("direct", user=self.name)["channel"]
        return self.waits_for(channel, predicate, timeout)

    # -- helpers --------------------------------------------------------------------------------------------

    def _top_modal(self) -> JSON:
        view = self.modal()
        if view is None:
            raise RefusedError(f"{self.name} has no modal open")
        return view

    def _click(self, surface: JSON, element_name: str, choice: Any, block_id: str | None) -> ActionResult:
        block, element = self._find_element(surface, element_name, block_id)
        answer = None if choice is None else self._normalize_answer(surface, block, element, choice)
        body = surface_address(surface) | element_ids(block, element) | {"answer": answer}
        if "view_id" in body:
            body["answers"] = self._merge_answers(surface, {})
            if answer is not None:
                body["answers"].setdefault(block["block_id"], {})[element["action_id"]] = answer
        return _action_result(self.slack.act("click", user=self.name, **body))

    def _find_element(self, surface: JSON, element_name: str, block_id: str | None) -> tuple[JSON, JSON]:
        blocks = [block for block in blocks_of(surface) if block_id in (None, block["block_id"])]
        return input_state.find_element(blocks, element_name)

    def _normalize_answer(self, surface: JSON, block: JSON, element: JSON, answer: Any) -> Any:
        """Return a plain answer, as in `input_state`, looking up options that only the app knows."""
        if element["type"] not in input_state.EXTERNAL_SELECT_TYPES or not answer:
            return input_state.normalize_answer(element, answer)
        options = [
            input_state.find_option(self._load_options(surface, block, element, choice), choice)
            if isinstance(choice, str)
            else choice
            for choice in (answer if isinstance(answer, list) else [answer])
        ]
        return options if element["type"].startswith("multi_") else options[0]

    def _load_options(self, surface: JSON, block: JSON, menu: JSON, query: str) -> list[JSON]:
        result = self.slack.act(
            "suggest", user=self.name, **surface_address(surface), **element_ids(block, menu), value=query
        )
        if result["error"]:
            raise RefusedError(result["error"])
        return list(result["options"])

    def _merge_answers(self, view: JSON, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        answers = current_answers(view)
        for key, answer in values.items():
            if isinstance(answer, Mapping):
                answers.setdefault(key, {}).update(answer)
                continue
            block, element = input_state.find_input(view["blocks"], key)
            answers.setdefault(block["block_id"], {})[element["action_id"]] = self._normalize_answer(
                view, block, element, answer
            )
        return answers


def _action_result(result: JSON) -> ActionResult:
    return ActionResult(
        acked=result["acked"],
        seconds=result["seconds"],
        error=result["error"],
        text=result.get("text", ""),
        message=result.get("message"),
    )


def _view_of(answer: JSON) -> JSON | None:
    view: JSON | None = answer["view"]
    return view


def _require_found(value: JSON | None) -> JSON:
    if value is None:
        raise TimeoutError("no match")
    return value
