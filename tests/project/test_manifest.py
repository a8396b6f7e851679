"""manifest.yml against Slack's rules and the code: everything declared is used, and the other way around."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from slack_sdk import WebClient

from bot.domain.commands.catalog import COMMANDS
from handlers.slack.shortcuts import REQUEST_PROMOTION
from scripts.slack_scopes import FEATURES, METHODS, scopes
from tests.support.paths import ROOT

MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "manifest.yml").read_text(encoding="utf-8"))


def _text(most: int, least: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most, **more}


def _part(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


SWITCH = {"type": "boolean"}
# The parts that the manifest uses, with the limits in Slack's own schema (slackapi/manifest-schema, version 2) and the
# rule for commands in https://docs.slack.dev/interactivity/implementing-slash-commands. Anything else is an error.
SCHEMA = _part(
    ["_metadata", "display_information", "features", "oauth_config", "settings"],
    _metadata=_part(["major_version"], major_version={"const": 2}, minor_version={"type": "integer"}),
    display_information=_part(
        ["name"],
        name=_text(35),
        description=_text(140),
        long_description=_text(4000, 175),
        background_color=_text(7, 4, pattern="^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    ),
    features=_part(
        ["bot_user", "slash_commands", "app_home"],
        app_home=_part(
            ["home_tab_enabled"],
            home_tab_enabled=SWITCH,
            messages_tab_enabled=SWITCH,
            messages_tab_read_only_enabled=SWITCH,
        ),
        bot_user=_part(["display_name"], display_name=_text(80, pattern=r"^[\w .-]+$"), always_online=SWITCH),
        slash_commands={
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": _part(
                ["command", "description"],
                command=_text(32, 2, pattern="^/[a-z0-9_-]+$"),
                description=_text(2000),
                usage_hint=_text(1000),
                should_escape=SWITCH,
                url=_text(3000, pattern="^https://"),
            ),
        },
        shortcuts={
            "type": "array",
            "minItems": 1,
            "maxItems": 10,
            "items": _part(
                ["name", "type", "callback_id", "description"],
                name=_text(24),
                type={"enum": ["message", "global"]},
                callback_id=_text(255),
                description=_text(150),
            ),
        },
        unfurl_domains={"type": "array", "minItems": 1, "maxItems": 5, "items": _text(255, pattern=r"^[a-z0-9.-]+$")},
    ),
    oauth_config=_part(
        ["scopes"],
        scopes=_part(["bot"], bot={"type": "array", "maxItems": 255, "uniqueItems": True, "items": _text(50)}),
    ),
    settings=_part(
        ["interactivity", "socket_mode_enabled", "event_subscriptions"],
        event_subscriptions=_part(
            ["bot_events"], bot_events={"type": "array", "minItems": 1, "uniqueItems": True, "items": _text(50)}
        ),
        interactivity=_part(["is_enabled"], is_enabled=SWITCH),
        org_deploy_enabled=SWITCH,
        socket_mode_enabled=SWITCH,
        token_rotation_enabled=SWITCH,
    ),
)


def test_slack_would_accept_the_manifest() -> None:
    faults = [f"{error.json_path}: {error.message}" for error in Draft7Validator(SCHEMA).iter_errors(MANIFEST)]
    assert faults == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it["display_information"].update(name="a" * 36),
        lambda it: it["display_information"].update(background_color="blue"),
        lambda it: it["features"]["slash_commands"][0].update(command="model"),
        lambda it: it["features"]["slash_commands"][0].update(command="/Model"),
        lambda it: it["settings"].update(socket_mode="yes"),
        lambda it: it.update(event_subscriptions={}),
    ],
)
def test_the_check_itself_finds_errors(spoil: Callable[[Any], None]) -> None:
    spoiled = yaml.safe_load(yaml.safe_dump(MANIFEST))
    spoil(spoiled)
    assert not Draft7Validator(SCHEMA).is_valid(spoiled)


# -- against the code --------------------------------------------------------------------------------------------------


def _sources() -> Iterator[ast.Module]:
    """Yield the syntax trees of the code that runs against a real workspace, without the demo's."""
    for folder in ("bot", "handlers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "demo" not in path.parts:
                yield ast.parse(path.read_text(encoding="utf-8"))


def _calls() -> Iterator[ast.Call]:
    for tree in _sources():
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


# The families of methods, https://docs.slack.dev/reference/methods.
FAMILY = re.compile(
    "(admin|apps|auth|blocks|bookmarks|bots|calls|canvases|chat|conversations|dialog|dnd|emoji|files|functions|pins"
    "|reactions|reminders|search|stars|team|usergroups|users|views|workflows)_"
)


def methods_called() -> set[str]:
    """Return the Web API methods that the code calls, also through `partial`, such as `chat.postMessage`."""
    names = {node.attr for tree in _sources() for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name.replace("_", ".") for name in names if FAMILY.match(name) and hasattr(WebClient, name)}


def commands_listened_to() -> set[str]:
    """Return the commands that `app.command(...)` is called with."""
    return {
        str(call.args[0].value)
        for call in _calls()
        if isinstance(call.func, ast.Attribute) and call.func.attr == "command" and call.args
        if isinstance(call.args[0], ast.Constant)
    }


def test_exactly_the_called_methods_have_scopes() -> None:
    assert {name.lower() for name in methods_called()} == {name.lower() for name in METHODS}


def test_the_scopes_are_those_of_the_methods() -> None:
    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) == set(scopes())


def test_few_scopes_belong_to_no_method() -> None:
    assert set(FEATURES) == {"commands", "chat:write.public", "app_mentions:read", "links:read"}


# The scopes that the bot needs; another scope needs a reason in a review, not only in a table.
EXPECTED = {
    "app_mentions:read",
    "channels:history",
    "channels:read",
    "chat:write",
    "chat:write.public",
    "commands",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:write",
    "links:read",
    "links:write",
    "usergroups:read",
    "users:read",
}


def test_no_unneeded_scope_is_requested() -> None:
    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) <= EXPECTED


def test_every_scope_has_its_reason_in_the_docs() -> None:
    page = (ROOT / "docs" / "reference/slack-scopes.md").read_text(encoding="utf-8")
    assert [scope for scope in scopes() if f"| `{scope}` | " not in page] == []


def test_the_docs_say_which_release_added_each_scope_and_event() -> None:
    page = (ROOT / "docs" / "operations/slack.md").read_text(encoding="utf-8")
    table = page.partition("| version | new scopes | new events |")[2].partition("\n\n")[0]
    rows = [row.split("|")[2:4] for row in table.splitlines()[2:]]
    asked, sent = (sorted(word for row in rows for word in re.findall("`(.+?)`", row[at])) for at in range(2))
    assert asked == sorted(MANIFEST["oauth_config"]["scopes"]["bot"])
    assert sent == sorted(MANIFEST["settings"]["event_subscriptions"]["bot_events"])


def test_the_declared_commands_are_handled() -> None:
    declared = {command["command"] for command in MANIFEST["features"]["slash_commands"]}
    assert declared == commands_listened_to() == {"/model"}


def test_the_verbs_in_slack_s_hint_exist() -> None:
    [command] = MANIFEST["features"]["slash_commands"]
    hinted = command["usage_hint"].strip("[]").split(" | ")
    assert len(hinted) > 5
    assert [verb for verb in hinted if verb not in COMMANDS] == []


def test_ids_and_text_are_not_escaped() -> None:
    [command] = MANIFEST["features"]["slash_commands"]
    assert command["should_escape"] is False


def test_the_subscribed_events_are_handled() -> None:
    listened = {
        call.args[0].value
        for call in _calls()
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"event", "message"} and call.args
        if isinstance(call.args[0], ast.Constant)
    }
    subscribed = {event.partition(".")[0] for event in MANIFEST["settings"]["event_subscriptions"]["bot_events"]}
    assert subscribed == listened == {"app_home_opened", "app_mention", "link_shared", "message"}


def test_the_declared_shortcuts_are_handled() -> None:
    assert [shortcut["callback_id"] for shortcut in MANIFEST["features"]["shortcuts"]] == [REQUEST_PROMOTION]


def test_the_published_home_tab_is_enabled() -> None:
    assert MANIFEST["features"]["app_home"]["home_tab_enabled"] is True


def test_socket_mode_and_interactivity_are_on() -> None:
    settings = MANIFEST["settings"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"] == {"is_enabled": True}


def test_it_is_for_one_workspace_with_a_token_that_stays() -> None:
    settings = MANIFEST["settings"]
    assert (settings["org_deploy_enabled"], settings["token_rotation_enabled"]) == (False, False)
