"""The app manifest: the app's name, scopes, events, commands, and shortcuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class SlashCommand:
    """A slash command in the manifest."""

    name: str
    description: str = ""
    usage_hint: str = ""
    should_escape: bool = False


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """A shortcut in the manifest; type is "message" or "global"."""

    type: str
    name: str
    callback_id: str
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The parts of an app manifest that the workspace uses."""

    app_name: str
    bot_name: str
    commands: tuple[SlashCommand, ...] = ()
    shortcuts: tuple[Shortcut, ...] = ()
    scopes: frozenset[str] = frozenset()
    bot_events: frozenset[str] = frozenset()
    unfurl_domains: tuple[str, ...] = ()
    has_home: bool = False

    def command(self, name: str) -> SlashCommand | None:
        """Return the slash command with this name, or None."""
        return next((command for command in self.commands if command.name == name), None)

    def shortcut(self, kind: str, name: str) -> Shortcut | None:
        """Return the shortcut of this type with this callback_id or name, or None."""
        candidates = (shortcut for shortcut in self.shortcuts if shortcut.type == kind)
        return next((shortcut for shortcut in candidates if name in (shortcut.callback_id, shortcut.name)), None)


def load(source: str | Path | Mapping[str, Any]) -> Manifest:
    """Read a manifest from a YAML or JSON file, or from a mapping. Raises OSError or ValueError."""
    data = source if isinstance(source, Mapping) else _read_file(Path(source))
    try:
        return _parse(data)
    except KeyError as error:
        raise ValueError(f"the manifest has an entry without {error}") from None


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is neither YAML nor JSON: {error}") from None
    if not isinstance(data, Mapping):
        raise ValueError(f"{path} isn't an app manifest: it isn't a mapping")
    return data


def _parse(data: Mapping[str, Any]) -> Manifest:
    features = data.get("features", {})
    name = data.get("display_information", {}).get("name", "App")
    return Manifest(
        app_name=name,
        bot_name=features.get("bot_user", {}).get("display_name", name),
        commands=tuple(_parse_command(entry) for entry in features.get("slash_commands", [])),
        shortcuts=tuple(_parse_shortcut(entry) for entry in features.get("shortcuts", [])),
        scopes=frozenset(data.get("oauth_config", {}).get("scopes", {}).get("bot", [])),
        bot_events=frozenset(data.get("settings", {}).get("event_subscriptions", {}).get("bot_events", [])),
        unfurl_domains=tuple(features.get("unfurl_domains", [])),
        has_home=bool(features.get("app_home", {}).get("home_tab_enabled", False)),
    )


def _parse_command(entry: Mapping[str, Any]) -> SlashCommand:
    return SlashCommand(
        name=entry["command"],
        description=entry.get("description", ""),
        usage_hint=entry.get("usage_hint", ""),
        should_escape=bool(entry.get("should_escape", False)),
    )


def _parse_shortcut(entry: Mapping[str, Any]) -> Shortcut:
    return Shortcut(
        type=entry["type"],
        name=entry["name"],
        callback_id=entry["callback_id"],
        description=entry.get("description", ""),
    )
