"""Checks for the channels that the policy names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.policy.policy import Policy
from bot.slack.core.client import error_code
from handlers.doctor.check import CheckSkippedError, Diagnosis, failure, join_names, ok, warning
from handlers.doctor.slack.workspace import BotIdentity, WorkspaceProbe, call_slack

MAX_PAGES = 15  # of 1,000 channels each; Slack allows 20 calls a minute, and the bot might need some of them


def check_channels(workspace: WorkspaceProbe, policy: Policy) -> Iterator[Diagnosis]:
    """Check, for each channel in the policy, whether it exists and the bot is a member."""
    us, named = workspace.identity(), _named_channels(policy)
    for channel_id in [channel_id for channel_id in named if not channel_id.startswith("#")]:
        room = _fetch_channel(workspace.client, channel_id)
        yield _check_channel(f"#{room['name']} ({channel_id})" if room else channel_id, named.pop(channel_id), room, us)
    rooms = _fetch_channels(workspace.client, set(named)) if named else {}
    for name, policy_path in named.items():
        yield from _check_renamed(name, policy_path, rooms.get(name))
        yield _check_channel(name, policy_path, rooms.get(name), us)


def _named_channels(policy: Policy) -> dict[str, str]:
    """Return each channel in the policy, with the first path that names it."""
    named = {policy.channel: "channel"}
    for pattern, rules in policy.models.items():
        if rules.channel:
            named.setdefault(rules.channel, f"models.{pattern}.channel")
    if policy.anchor and policy.anchor.channel:
        named.setdefault(policy.anchor.channel, "anchor.channel")
    return named


def _fetch_channel(client: WebClient, channel: str) -> Mapping[str, Any] | None:
    """Return the channel with this ID; None if it doesn't exist, or is private and the bot isn't a member."""
    try:
        room: Mapping[str, Any] = call_slack(client, partial(client.conversations_info, channel=channel))["channel"]
    except SlackApiError as error:
        if error_code(error) != "channel_not_found":
            raise
        return None
    return room


def _fetch_channels(client: WebClient, names: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return public channels and the bot's private ones by name, reading until all of these names are found.

    A former name resolves to the channel that had it, if only one did and no channel has it now. Raises
    CheckSkippedError if names are still missing after MAX_PAGES pages.
    """
    channels: dict[str, Mapping[str, Any]] = {}
    former: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        read = partial(client.conversations_list, types="public_channel,private_channel", limit=1000, cursor=cursor)
        page = call_slack(client, read)
        channels |= {f"#{room.get('name')}": room for room in page["channels"]}
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
        for room in page["channels"]:
            for name in set(room.get("previous_names") or ()):
                former[f"#{name}"].append(room)
        if cursor is None or names <= set(channels):
            return {name: rooms[0] for name, rooms in former.items() if len(rooms) == 1} | channels
    missing = join_names(sorted(names - set(channels)), 3)
    raise CheckSkippedError(
        f"Can't check: the first {MAX_PAGES},000 channels don't include {missing}. Use the channel's ID in the "
        "policy: in Slack, channel name → About → Copy channel ID."
    )


def _check_renamed(name: str, policy_path: str, channel: Mapping[str, Any] | None) -> Iterator[Diagnosis]:
    if channel and f"#{channel.get('name')}" != name:
        problem = f"{name} ({policy_path} in the policy) is now called #{channel.get('name')}."
        yield warning("Slack channels", problem, f"Use its new name or its ID, {channel['id']}, in the policy.")


def _check_channel(name: str, policy_path: str, channel: Mapping[str, Any] | None, bot: BotIdentity) -> Diagnosis:
    invite = f"In that channel, type /invite @{bot.bot}"
    if channel is None:
        problem = (
            f"Channel {name} ({policy_path} in the policy) doesn't exist, or it's private and the bot isn't in it."
        )
        return failure(
            "Slack channels",
            problem,
            f"If it's private, {invite[:1].lower()}{invite[1:]}. Otherwise, create it or fix its name in the policy.",
        )
    if channel.get("is_archived"):
        problem = f"{name} ({policy_path} in the policy) is archived."
        return failure("Slack channels", problem, "Unarchive it in Slack, or use another channel in the policy.")
    if channel.get("is_member"):
        return ok("Slack channels", f"The bot is in {name}.")
    if bot.scopes is not None and "chat:write.public" not in bot.scopes:
        return failure("Slack channels", f"The bot isn't in {name}, so it can't post there.", f"{invite}.")
    return warning(
        "Slack channels", f"The bot isn't in {name}, so it can post cards there, but not charts.", f"{invite}."
    )
