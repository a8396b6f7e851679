"""People and switches over the wire: usable from any process that can reach the workspace."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, TypeVar

import httpx

from localslack.blocks import input_state
from localslack.seed import PersonSeed

JSON = dict[str, Any]
T = TypeVar("T")
LONG_POLL_SECONDS = 10.0


class RefusedError(Exception):
    """The workspace refused an act or a switch: unknown channel, not a member, no such button."""


@dataclass(frozen=True, kw_only=True)
class ActionResult:
    """What an act led to: whether the app acknowledged, how fast, and what the person was shown at once.

    error is Slack's word for what went wrong, such as operation_timeout. text and message are the app's
    direct answer to a command, or the message that was posted.
    """

    acked: bool
    seconds: float = 0.0
    error: str | None = None
    text: str = ""
    message: JSON | None = None


class Remote:
    """A running workspace, by its address."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + "/"
        self.api_url = self.url + "api/"
        # Acts last up to the three seconds that the app has, and slow answers may be ordered.
        trusted = self.url.startswith("https:")  # certificates take longer to load than all the rest
        # httpx's 5 s fall within many tests, and then one thread can close what another one takes from the pool.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30)
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=60.0, verify=trusted, limits=limits)
        status = self.status()
        self.team_id: str = status["team_id"]
        self.bot_token: str = status["secrets"]["bot_token"]
        self.app_token: str = status["secrets"]["app_token"]
        self.signing_secret: str = status["secrets"]["signing_secret"]

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the workspace."""
        self._http.close()

    def person(self, name: str) -> WorkspaceMember:
        """The hands and eyes of a person, by handle or id."""
        return WorkspaceMember(self, name)

    # -- waiting --------------------------------------------------------------------------------------------

    def wait_for(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """Return the first true value of the predicate, asking again after every change in the workspace.

        Calls of the Web API are changes too. Raises TimeoutError.
        """
        deadline = time.monotonic() + timeout
        seq = self._current_seq()
        while not (found := predicate()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"nothing of the kind happened within {timeout} s")
            seq = self._wait_for_change(seq, min(left, LONG_POLL_SECONDS))
        return found

    def wait_until_connected(self, connections: int = 1, timeout: float = 10.0) -> None:
        """Return when the app has that many Socket Mode connections; raises TimeoutError."""
        self.wait_for(lambda: self.status()["connections"] >= connections, timeout)

    # -- switches -------------------------------------------------------------------------------------------

    def status(self) -> JSON:
        """Addresses, secrets, the app's connections (now, and so far), the time, and the problems noted."""
        return self.control("status")

    def problems(self) -> list[str]:
        """What Slack would only have shown as a vague error: refused answers of the app, in words."""
        return list(self.status()["problems"])

    def calls(self, method: str | None = None) -> list[JSON]:
        """The Web API calls received: method, args, at, ok, error. Response urls count as response_url."""
        return list(self.control("calls", method=method)["calls"])

    def forget_calls(self) -> None:
        """Start counting calls anew."""
        self.control("calls", clear=True)

    def rate_limit(self, method: str, times: int | None = 1, retry_after: int = 1) -> None:
        """Answer the next calls with HTTP 429 and Retry-After."""
        self.control("faults", method=method, kind="ratelimited", times=times, seconds=retry_after)

    def reset_before(self, method: str, times: int | None = 1) -> None:
        """Break the connection of the next calls before they take effect."""
        self.control("faults", method=method, kind="reset_before", times=times)

    def reset_after(self, method: str, times: int | None = 1) -> None:
        """Break the connection of the next calls after they took effect: the answer is lost."""
        self.control("faults", method=method, kind="reset_after", times=times)

    def slow(self, method: str, seconds: float, times: int | None = None) -> None:
        """Answer slowly; "*" is every method."""
        self.control("faults", method=method, kind="slow", times=times, seconds=seconds)

    def server_error(self, method: str, times: int | None = 1) -> None:
        """Answer the next calls with HTTP 500."""
        self.control("faults", method=method, kind="server_error", times=times)

    def fail(self, method: str, error: str, times: int | None = 1) -> None:
        """Answer the next calls with a Slack error of your choice."""
        self.control("faults", method=method, kind="error", times=times, error=error)

    def remove_method(self, method: str) -> None:
        """Answer unknown_method until healed."""
        self.control("faults", method=method, kind="unknown", times=None)

    def heal(self) -> None:
        """Forget all ordered failures."""
        self.control("heal")

    def advance(self, seconds: float) -> None:
        """Move the workspace's clock forward: triggers, response urls and acknowledgements expire by it."""
        self.control("advance", seconds=seconds)

    def disconnect_sockets(self, how: str = "graceful", reason: str = "refresh_requested") -> int:
        """End the Socket Mode connections, and say how many there were.

        graceful: a disconnect message with the reason. close: a close frame. abrupt: a TCP reset.
        silent: they stay open and nothing is read from them.
        """
        return int(self.control("disconnect", how=how, reason=reason)["disconnected"])

    def deliver_to(self, url: str | None) -> None:
        """Post commands and interactions to this URL, or use Socket Mode again with None."""
        self.control("deliver", url=url)

    def reset(self) -> None:
        """Put the seed back; tokens, connections and ordered failures stay."""
        self.control("reset")

    def keep(self) -> None:
        """Remember people, channels and messages as they are now, for `put_back`."""
        self.control("keep")

    def put_back(self) -> None:
        """Let people, channels and messages be as they were kept; all else starts over as with `reset`."""
        self.control("put_back")

    def change_person(self, name: str, **changes: Any) -> JSON:
        """Make someone a guest (is_restricted), a bot (is_bot), deleted, a stranger (team_id), ..."""
        return dict(self.control("person", who=name, changes=changes)["user"])

    def let_live_in(self, name: str, team_id: str, *, enterprise: JSON, teams: Sequence[str] | None = None) -> JSON:
        """Make someone belong to another workspace of an Enterprise Grid (its id and name), or to the Grid itself.

        teams: the workspaces that they are a member of; without it their own and this one.
        """
        user = {
            "id": self.person(name).id,
            "enterprise_id": enterprise["id"],
            "enterprise_name": enterprise["name"],
            "is_admin": False,
            "is_owner": False,
            "teams": [team_id, self.team_id] if teams is None else list(teams),
        }
        return self.change_person(name, team_id=team_id, enterprise_user=user)

    def add_person(self, person: PersonSeed) -> WorkspaceMember:
        """Add an account, in no channel yet."""
        self.control("person", **asdict(person))
        return self.person(person.name)

    def add_channel(self, channel_id: str, name: str, **fields: Any) -> JSON:
        """Add a channel; fields as in ChannelSeed."""
        return dict(self.control("channel", id=channel_id, name=name, **fields)["channel"])

    def set_members(self, channel: str, members: Sequence[str]) -> None:
        """Say who is in a channel, by name or id; "bot" is the app."""
        self.control("channel", where=channel, members=list(members))

    def members(self, channel: str) -> list[str]:
        """Who is in a channel, by id."""
        return list(self.control("channel", where=channel)["channel"]["members"])

    def archive(self, channel: str, archived: bool = True) -> None:
        """Archive a channel, or bring it back."""
        self.control("channel", where=channel, is_archived=archived)

    def rename(self, channel: str, name: str) -> None:
        """Rename a channel."""
        self.control("channel", where=channel, rename=name)

    def limit_posting(self, channel: str, to: str) -> None:
        """Say who can post in a channel: "everyone", or "admins", which excludes the app."""
        self.control("channel", where=channel, posting=to)

    def set_group(self, group_id: str, handle: str, members: Sequence[str], name: str = "") -> None:
        """Make a user group, or change who is in it."""
        self.control("group", id=group_id, handle=handle, name=name or handle, members=list(members))

    # -- the wire -------------------------------------------------------------------------------------------

    def control(self, name: str, /, **body: Any) -> JSON:
        """Turn one switch; raises RefusedError."""
        return _checked_body(self._http.post(f"_control/{name}", json=body))

    def query(self, name: str, /, **query: Any) -> JSON:
        """Ask what someone sees; raises RefusedError."""
        return _checked_body(self._http.get(f"_ui/{name}", params=query))

    def act(self, name: str, /, **body: Any) -> JSON:
        """Do something as someone; raises RefusedError."""
        return _checked_body(self._http.post(f"_ui/{name}", json=body))

    def fetch(self, name: str, /, **query: Any) -> bytes:
        """Ask for what is not JSON; raises RefusedError."""
        response = self._http.get(f"_ui/{name}", params=query)
        if not response.is_success:
            _checked_body(response)
        return response.content

    def _current_seq(self) -> int:
        return int(self._http.get("_ui/changes", params={"after": 0}).json()["seq"])

    def _wait_for_change(self, seq: int, seconds: float) -> int:
        query = {"after": seq, "wait": seconds}
        return int(self._http.get("_ui/changes", params=query).json()["seq"])


class WorkspaceMember:
    """What a person does and sees."""

    def __init__(self, slack: Remote, name: str) -> None:
        self.slack = slack
        self.name = name

    @property
    def id(self) -> str:
        """The user id."""
        return str(self.slack.query("overview", user=self.name)["me"]["id"])

    # -- doing ----------------------------------------------------------------------------------------------

    def types(self, channel: str, text: str, *, thread: JSON | None = None) -> ActionResult:
        """Send a message, or run a slash command and wait for its acknowledgement."""
        body: JSON = {"user": self.name, "channel": channel, "text": text}
        if thread is not None:
            body["thread_ts"] = thread.get("thread_ts") or thread["ts"]
        result = self.slack.act("type", **body)
        if result["kind"] == "message":
            return ActionResult(acked=True, text=text, message=result["message"])
        return _action_result(result)

    def uploads(self, channel: str, name: str, content: bytes, *, thread: JSON | None = None) -> JSON:
        """Share a file of this person's, and return the message."""
        body: JSON = {"user": self.name, "channel": channel, "name": name}
        if thread is not None:
            body["thread_ts"] = thread.get("thread_ts") or thread["ts"]
        return dict(self.slack.act("upload", **body, content=base64.b64encode(content).decode())["message"])

    def clicks(self, surface: JSON, element_name: str, *, block: str | None = None) -> ActionResult:
        """Press the button with this text or action id in a message, a modal or a Home tab; confirm if it asks.

        block: the id of the block that it is in, where several have such a button.
        """
        return self._click(surface, element_name, None, block)

    def chooses(self, surface: JSON, element_name: str, answer: Any, *, block: str | None = None) -> ActionResult:
        """Choose an option, id or date in the element with this action id or placeholder; block as in `clicks`.

        Where the app fills the menu, the answer is an option from `looks_up`, or what to look up: a text or value.
        """
        return self._click(surface, element_name, answer, block)

    def looks_up(self, surface: JSON, element_name: str, typed: str, *, block: str | None = None) -> list[JSON]:
        """Type into a menu that the app fills, and return the options that it offers; what and block as in `clicks`.

        Raises RefusedError if the app does not answer, or with something that Slack would not show.
        """
        found, menu = self._find_element(surface, element_name, block)
        return self._load_options(surface, found, menu, typed)

    def uses(self, shortcut: str, message: JSON | None = None) -> ActionResult:
        """Use a global shortcut, or one on a message, by its callback_id or name."""
        about = {} if message is None else _surface_address(message)
        return _action_result(self.slack.act("shortcut", user=self.name, name=shortcut, **about))

    def reacts(self, message: JSON, emoji: str, *, remove: bool = False) -> JSON:
        """Add a reaction to a message by its emoji's name, or remove it; returns the message."""
        return dict(
            self.slack.act("react", user=self.name, **_surface_address(message), name=emoji, remove=remove)["message"]
        )

    def edits(self, message: JSON, text: str) -> JSON:
        """Change the text of one of this person's messages, and return it."""
        return dict(self.slack.act("edit", user=self.name, **_surface_address(message), text=text)["message"])

    def deletes(self, message: JSON) -> None:
        """Delete one of this person's messages; an admin can delete any."""
        self.slack.act("delete", user=self.name, **_surface_address(message))

    def opens_home(self) -> JSON | None:
        """Open the app's Home tab, and return what it shows at first: a view, or None. The app is told."""
        return _view_of(self.slack.act("open_home", user=self.name))

    def submits(self, values: Mapping[str, Any] | None = None) -> dict[str, str] | None:
        """Submit the modal in front, and return its errors by block id, or None.

        values: {block id, action id or label: text, option, list of options, id or date}. Inputs that are
        left out keep what they hold. The key "*" of the errors is Slack's "trouble connecting".
        """
        view = self._top_modal()
        result = self.slack.act(
            "submit", user=self.name, view_id=view["id"], answers=self._merge_answers(view, values or {})
        )
        errors: dict[str, str] | None = result["errors"]
        return errors

    def closes(self, *, everything: bool = False) -> JSON:
        """Close the modal in front, or all of them."""
        return self.slack.act("close", user=self.name, view_id=self._top_modal()["id"], everything=everything)

    # -- seeing ---------------------------------------------------------------------------------------------

    def sees(self, channel: str) -> list[JSON]:
        """The messages of a conversation and this person's ephemerals in it, oldest first."""
        return list(self.slack.query("messages", user=self.name, channel=channel)["messages"])

    def thread(self, message: JSON) -> list[JSON]:
        """The first message of a thread and its answers."""
        ts = message.get("thread_ts") or message["ts"]
        query = {"user": self.name, "channel": message["channel"], "ts": ts}
        return list(self.slack.query("thread", **query)["messages"])

    def files(self, message: JSON) -> list[JSON]:
        """The files that a message shares, as Slack words them."""
        return list(message.get("files", []))

    def downloads(self, file: JSON | str) -> bytes:
        """The bytes of a file, given or by its id; raises RefusedError unless this person sees it somewhere."""
        wanted = file if isinstance(file, str) else file["id"]
        return self.slack.fetch("file", user=self.name, id=wanted)

    def direct_messages(self) -> list[JSON]:
        """The conversation with the app."""
        return self.sees(self.slack.query("direct", user=self.name)["channel"])

    def modal(self) -> JSON | None:
        """The modal in front, or None."""
        views = self.modals()
        return views[-1] if views else None

    def modals(self) -> list[JSON]:
        """The open modals, the one in front last."""
        return list(self.slack.query("modals", user=self.name)["views"])

    def home(self) -> JSON | None:
        """The view that is published on this person's Home tab now, or None. The app is told nothing."""
        return _view_of(self.slack.query("home", user=self.name))

    def waits_for(self, channel: str, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """The newest message in a conversation that the predicate holds for; raises TimeoutError."""

        def found() -> JSON | None:
            seen = self.sees(channel)
            return next((message for message in reversed(seen) if predicate(message)), None)

        return _require_found(self.slack.wait_for(found, timeout))

    def waits_for_modal(self, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """The modal in front, once the predicate holds for it; raises TimeoutError."""

        def found() -> JSON | None:
            view = self.modal()
            return view if view is not None and predicate(view) else None

        return _require_found(self.slack.wait_for(found, timeout))

    def waits_for_home(self, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """The view on the Home tab, once the predicate holds for it; raises TimeoutError."""

        def found() -> JSON | None:
            view = self.home()
            return view if view is not None and predicate(view) else None

        return _require_found(self.slack.wait_for(found, timeout))

    def waits_for_direct_message(self, predicate: Callable[[JSON], object] = bool, timeout: float = 10.0) -> JSON:
        """The newest message from the app in person that the predicate holds for; raises TimeoutError."""
        channel = self.slack.query("direct", user=self.name)["channel"]
        return self.waits_for(channel, predicate, timeout)

    # -- inside ---------------------------------------------------------------------------------------------

    def _top_modal(self) -> JSON:
        view = self.modal()
        if view is None:
            raise RefusedError(f"{self.name} has no modal open")
        return view

    def _click(self, surface: JSON, element_name: str, choice: Any, block_id: str | None) -> ActionResult:
        block, element = self._find_element(surface, element_name, block_id)
        answer = None if choice is None else self._normalize_answer(surface, block, element, choice)
        body = _surface_address(surface) | _element_ids(block, element) | {"answer": answer}
        if "view_id" in body:
            body["answers"] = self._merge_answers(surface, {})
            if answer is not None:
                body["answers"].setdefault(block["block_id"], {})[element["action_id"]] = answer
        return _action_result(self.slack.act("click", user=self.name, **body))

    def _find_element(self, surface: JSON, element_name: str, block_id: str | None) -> tuple[JSON, JSON]:
        among = [block for block in _blocks(surface) if block_id in (None, block["block_id"])]
        return input_state.find_element(among, element_name)

    def _normalize_answer(self, surface: JSON, block: JSON, element: JSON, answer: Any) -> Any:
        """An answer as in `forms`; the app is asked for the options that only it knows."""
        if element["type"] not in input_state.EXTERNAL_SELECT_TYPES or not answer:
            return input_state.normalize_answer(element, answer)
        chosen = [
            input_state.find_option(self._load_options(surface, block, element, one), one)
            if isinstance(one, str)
            else one
            for one in (answer if isinstance(answer, list) else [answer])
        ]
        return chosen if element["type"].startswith("multi_") else chosen[0]

    def _load_options(self, surface: JSON, block: JSON, menu: JSON, typed: str) -> list[JSON]:
        told = self.slack.act(
            "suggest", user=self.name, **_surface_address(surface), **_element_ids(block, menu), value=typed
        )
        if told["error"]:
            raise RefusedError(told["error"])
        return list(told["options"])

    def _merge_answers(self, view: JSON, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        answers = _current_answers(view)
        for key, said in values.items():
            if isinstance(said, Mapping):
                answers.setdefault(key, {}).update(said)
                continue
            block, element = input_state.find_input(view["blocks"], key)
            answers.setdefault(block["block_id"], {})[element["action_id"]] = self._normalize_answer(
                view, block, element, said
            )
        return answers


def connect(url: str) -> Remote:
    """A running workspace by its address; raises httpx.ConnectError."""
    return Remote(url)


def _current_answers(view: JSON) -> dict[str, dict[str, Any]]:
    held: dict[str, dict[str, Any]] = {}
    for block_id, actions in view["state"]["values"].items():
        held[block_id] = {action_id: _current_answer(state) for action_id, state in actions.items()}
    return held


def _current_answer(state: JSON) -> Any:
    value = input_state.answer_of(state)
    return value if state["type"] in input_state.EXTERNAL_SELECT_TYPES else _plain_value(value)


def _surface_address(surface: JSON) -> JSON:
    """The arguments that say which view or message an act is about."""
    if "callback_id" in surface:
        return {"view_id": surface["id"]}
    return {"channel": surface["channel"], "ts": surface["ts"]}


def _element_ids(block: JSON, element: JSON) -> JSON:
    return {"block_id": block["block_id"], "action_id": element["action_id"]}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict) and "value" in value:
        return value["value"]
    if isinstance(value, list):
        return [_plain_value(one) for one in value]
    return value


def _blocks(surface: JSON) -> list[JSON]:
    attached = [block for one in surface.get("attachments", []) for block in one.get("blocks", [])]
    return list(surface.get("blocks", [])) + attached


def _action_result(result: JSON) -> ActionResult:
    return ActionResult(
        acked=result["acked"],
        seconds=result["seconds"],
        error=result["error"],
        text=result.get("text", ""),
        message=result.get("message"),
    )


def _checked_body(response: httpx.Response) -> JSON:
    body: JSON = response.json()
    if not body.get("ok"):
        details = "; ".join(body.get("response_metadata", {}).get("messages", []))
        raise RefusedError(f"{body.get('error')}{': ' if details else ''}{details}")
    return body


def _view_of(answer: JSON) -> JSON | None:
    view: JSON | None = answer["view"]
    return view


def _require_found(found: JSON | None) -> JSON:
    if found is None:
        raise TimeoutError("nothing of the kind was seen")
    return found
