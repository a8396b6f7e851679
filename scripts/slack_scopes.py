"""The generated page about the app's scopes: which Web API methods need them, and why."""

from __future__ import annotations

from scripts.markdown import MADE, as_sentence, table

# The scopes that the bot needs for each Web API method that it calls, and why. They're from Slack's pages,
# https://docs.slack.dev/reference/methods. If a method accepts several scopes, only those for the kinds of
# conversations that Registrar uses are listed.
METHODS: dict[str, tuple[tuple[str, ...], str]] = {
    "auth.test": ((), "learn which workspace the token belongs to"),
    "chat.postMessage": (("chat:write",), "post a request's card, updates in its thread, and direct messages"),
    "chat.update": (("chat:write",), "keep the card current, and remove its buttons once the request is decided"),
    "chat.delete": (("chat:write",), "delete its own message if two processes posted it"),
    "chat.getPermalink": ((), "link to the message about what ended an alert"),
    "chat.postEphemeral": (("chat:write",), "answer a person so that only they see it"),
    "chat.unfurl": (("links:write",), "show a version's state below a link to its page in MLflow"),
    "conversations.list": (("channels:read", "groups:read"), "find the ID of a channel that the policy names with `#`"),
    "conversations.info": (("channels:read", "groups:read"), "let `registrar doctor` look up a channel by its ID"),
    "conversations.history": (
        ("channels:history", "groups:history", "im:history"),
        "after a lost response, check whether the message was already posted before posting it again",
    ),
    "conversations.replies": (("channels:history", "groups:history"), "do the same check in a card's thread"),
    "files.upload.v2": (
        ("files:write",),
        "upload charts, and comparisons too large for a message, to a thread or direct messages",
    ),
    "conversations.open": (("im:write",), "open the conversation for a direct message"),
    "users.info": (
        ("users:read",),
        "check at every decision whether the person is a guest, a bot, deactivated, or from another workspace",
    ),
    "users.list": (("users:read",), "let `registrar setup` offer people as approvers"),
    "bots.info": (("users:read",), "let `registrar setup` check that both tokens belong to one app"),
    "usergroups.list": (("usergroups:read",), "get the names and members of all user groups in one call"),
    "usergroups.users.list": (("usergroups:read",), "get one group's members, on a server that doesn't list them all"),
    "blocks.validate": ((), "let `registrar doctor` check whether Slack accepts Registrar's largest card"),
    "apps.connections.open": ((), "open a Socket Mode connection, also from `registrar setup` and `doctor --live`"),
    "views.open": ((), "open a form"),
    "views.publish": ((), "show a person's Home tab"),
    "views.update": ((), "fill in the details once the registry has responded"),
}
# Scopes without a method.
FEATURES: dict[str, str] = {
    "commands": "provide the command `/model`",
    "app_mentions:read": "answer people who mention the bot (the event `app_mention`)",
    "links:read": "get notified of links to MLflow (the event `link_shared`)",
    "chat:write.public": "post in a public channel that the bot hasn't been invited to",
}


def scopes() -> dict[str, str]:
    """Return every scope that the app requests, with its reason."""
    needed = dict(FEATURES)
    for asked, _ in METHODS.values():
        for scope in asked:
            methods = [name for name, (others, _) in METHODS.items() if scope in others]
            needed[scope] = "; ".join(f"{METHODS[name][1]} (`{name}`)" for name in methods)
    return dict(sorted(needed.items()))


def slack_scopes() -> str:
    """Return docs/reference/slack-scopes.md."""
    rows = [[f"`{scope}`", as_sentence(why)] for scope, why in scopes().items()]
    return f"""{MADE}

# Slack scopes

This table says why the app needs each OAuth scope. Web API methods are in parentheses. A test compares the list with
the code. [`registrar doctor`](doctor.md) compares the installed app's scopes with the manifest.

{table(["scope", "purpose"], rows)}
"""
