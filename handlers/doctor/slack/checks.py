"""Slack: the tokens, the scopes, the channels and people that the policy names, our cards, Socket Mode, the clock."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bot.bootstrap.build import slack_client
from bot.domain.core.actors import Person
from bot.domain.core.errors import Misconfigured, SlackUnreachable
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import unmeetable_rules
from bot.domain.promotions.request import Request
from bot.domain.promotions.snapshot import GateResult, Seen
from bot.domain.registry.model import Stage
from bot.domain.registry.signature_changes import CallerChange, Effect, ForCallers
from bot.services.core.admins import REINSTALL
from bot.settings import Settings
from bot.slack.core.api_errors import LOST, error_of
from bot.slack.core.directory import SlackDirectory, is_of
from bot.slack.promotions import request_card
from handlers.doctor.check import Check, NotLookedAtError, listed, shown
from handlers.doctor.clock import clock
from handlers.doctor.diagnosis import Finding, mind, ok, wrong
from handlers.doctor.local import LACKING
from handlers.manifest import MANIFEST, scopes_of, scopes_wanted
from handlers.terminal.policy import UNMEETABLE

SLACK = "https://slack.com/api/"
EACH = 4  # seconds that one call may take
PEOPLE_MOST = 40  # Slack lets users.info be called about a hundred times a minute, and others call it too
PAGES_MOST = 15  # of a thousand channels each; Slack allows 20 a minute, and the bot can need some of them
# What Slack says of a token that it does not take, https://docs.slack.dev/reference/methods/auth.test.
DEAD = {
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "no_permission",
    "org_login_required",
    "ekm_access_denied",
    "not_allowed_token_type",
}
WHERE = {
    "SLACK_BOT_TOKEN": "OAuth & Permissions → Bot User OAuth Token (xoxb-…)",
    "SLACK_APP_TOKEN": "Basic Information → App-Level Tokens, with connections:write (xapp-…)",
}
KINDS = {
    "xoxb-": "a bot token",
    "xapp-": "an app-level token",
    "xoxp-": "a user's token",
    "xoxe": "a token that expires",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the bot is, by Slack's answer to its token. `scopes` is None where the server does not tell them."""

    team: str
    team_name: str
    bot: str
    scopes: frozenset[str] | None
    date: str
    at: datetime  # when that answer came, by our clock


class Workspace:
    """Slack as the bot's token sees it. Who we are is asked once, whoever wants to know it first."""

    def __init__(self, client: WebClient, now: Callable[[], datetime]) -> None:
        self.client = client
        self._now = now
        self._asking = threading.Lock()
        self._known: Identity | Exception | None = None

    def identity(self) -> Identity:
        """Return who we are. Raises Misconfigured and SlackUnreachable."""
        with self._asking:
            if self._known is None:
                try:
                    self._known = self._ask()
                except Exception as error:
                    self._known = error
        if isinstance(self._known, Exception):
            raise self._known
        return self._known

    def must_know_us(self) -> Identity:
        """Return who we are, for what cannot be looked at without. Raises NotLookedAtError."""
        try:
            return self.identity()
        except Exception:  # the check of the token tells it
            raise NotLookedAtError("Not looked at: that needs a token that Slack takes.") from None

    def _ask(self) -> Identity:
        answer = asked(self.client, self.client.auth_test)
        headers = {str(name).lower(): value for name, value in answer.headers.items()}
        if not isinstance(answer.data, dict) or not answer.data.get("team_id"):
            raise Misconfigured(f"What answers at {shown(self.client.base_url)} is no Slack.")
        return Identity(
            team=str(answer["team_id"]),
            team_name=str(answer.get("team") or answer["team_id"]),
            bot=str(answer.get("user") or "registrar"),
            scopes=scopes_of(answer),
            date=str(headers.get("date", "")),
            at=self._now(),
        )


def asked(client: WebClient, call: Callable[[], Any]) -> Any:
    """Return Slack's answer. Raises NotLookedAtError for what this server has not or refuses to say.

    Raises Misconfigured for a token that it does not take, SlackUnreachable, and SlackApiError for everything else.
    """
    where = shown(client.base_url)
    try:
        return call()
    except SlackApiError as error:
        name, status = error_of(error), getattr(error.response, "status_code", 200)
        if name == "unknown_method":
            raise NotLookedAtError("Could not look: this server does not have that method.") from error
        if name == "missing_scope":
            raise NotLookedAtError("Could not look: the token lacks the scope for it, see scopes.") from error
        if status == 429 or name in {"ratelimited", "rate_limited"}:
            raise NotLookedAtError("Could not look: Slack is asked too often now; try again in a minute.") from error
        if status >= 500 or name in {"internal_error", "fatal_error", "service_unavailable"}:
            raise SlackUnreachable(f"Slack has trouble of its own ({name or status}).") from error
        if not name:
            raise Misconfigured(f"What answers at {where} is no Slack.") from error
        if name in DEAD:
            raise Misconfigured(f"Slack does not take the token ({name}).") from error
        raise
    except LOST as error:
        raise SlackUnreachable(f"Slack does not answer at {where}.") from error


def checks(
    settings: Settings,
    policy: Policy | None,
    *,
    live: bool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    manifest: Path = MANIFEST,
) -> list[Check]:
    """Return the looks at Slack. `now` is our clock, `manifest` says which scopes there have to be."""
    space = _space(settings, now)
    away = "Look at SLACK_API_URL, and whether this machine reaches the internet (proxy, firewall)."
    return [
        Check(
            "Slack token",
            lambda: token(settings, space),
            f"Copy SLACK_BOT_TOKEN again, from {WHERE['SLACK_BOT_TOKEN']}; or mend SLACK_API_URL.",
        ),
        Check("Slack scopes", lambda: scopes(_needed(space), manifest)),
        Check("Slack channels", lambda: channels(_needed(space), _of(policy)), away),
        Check("Slack people", lambda: people(_needed(space), _of(policy)), away, seconds=20),
        Check("Slack groups", lambda: groups(_needed(space), _of(policy)), away),
        Check("Slack cards", lambda: card(_needed(space)), away),
        Check("Slack connection", lambda: connection(settings, live=live), away),
        Check("clock", lambda: _clock(_needed(space))),
    ]


def _space(settings: Settings, now: Callable[[], datetime]) -> Workspace | None:
    wrong = _wrong_kind("SLACK_BOT_TOKEN", settings)
    return None if wrong or settings.slack_bot_token is None else Workspace(slack_client(settings, timeout=EACH), now)


def _needed(space: Workspace | None) -> Workspace:
    if space is None:
        raise NotLookedAtError("Not looked at: that needs the bot's token.")
    space.must_know_us()
    return space


def _of(policy: Policy | None) -> Policy:
    if policy is None:
        raise NotLookedAtError("Not looked at: the policy says which, and cannot be used.")
    return policy


# -- tokens and scopes -------------------------------------------------------------------------------------------------


def token(settings: Settings, space: Workspace | None) -> Iterator[Finding]:
    """Yield whose the bot's token is, or why there is none to ask with. Raises Misconfigured and SlackUnreachable."""
    if space is None:
        what = _wrong_kind("SLACK_BOT_TOKEN", settings) or "SLACK_BOT_TOKEN is not set."
        yield wrong("Slack token", what, f"Your app's page at api.slack.com/apps has it: {WHERE['SLACK_BOT_TOKEN']}.")
        return
    us = space.identity()
    yield ok("Slack token", f"Slack at {shown(settings.slack_api_url)} knows us: @{us.bot} in {us.team_name}.")


def _wrong_kind(name: str, settings: Settings) -> str:
    """Return what is wrong with a token by its looks; another server than Slack's may have others."""
    held = settings.slack_bot_token if name == "SLACK_BOT_TOKEN" else settings.slack_app_token
    text, wanted = held.get_secret_value() if held else "", "xoxb-" if name == "SLACK_BOT_TOKEN" else "xapp-"
    if not text or text.startswith(wanted):
        return ""
    kind = next((kind for start, kind in KINDS.items() if text.startswith(start)), "")
    if kind:
        return f"{name} holds {kind}, and not {KINDS[wanted]} ({wanted}…)."
    return f"{name} holds no token of Slack's: it has to begin with {wanted}" if settings.slack_api_url == SLACK else ""


def scopes(space: Workspace, manifest: Path) -> Iterator[Finding]:
    """Yield which scopes of manifest.yml the token lacks, and which it has beyond them."""
    has = space.must_know_us().scopes
    try:
        wanted = scopes_wanted(manifest)
    except OSError:
        raise NotLookedAtError("Could not look: manifest.yml is not beside the program.") from None
    if has is None:
        raise NotLookedAtError("Could not look: this server does not tell which scopes a token has.")
    if missing := sorted(wanted - has):
        what = f"The bot's token is missing {listed(missing, 20)}."
        yield wrong("Slack scopes", what, f"{REINSTALL} docs/slack.md says what each scope is for.")
    else:
        has_all = (
            f"The bot's token has all {len(wanted)} scopes in manifest.yml. Slack doesn't say which events it gets."
        )
        yield ok("Slack scopes", has_all)
    if more := sorted(has - wanted):
        yield mind(
            "Slack scopes",
            f"It may do more than we need: {listed(more, 20)}.",
            "Take them away at OAuth & Permissions, unless something else uses this app.",
        )


# -- channels ----------------------------------------------------------------------------------------------------------


def channels(space: Workspace, policy: Policy) -> Iterator[Finding]:
    """Yield for each channel that the policy names whether it is there and we are in it."""
    us, named = space.must_know_us(), _named_channels(policy)
    for one in [one for one in named if not one.startswith("#")]:
        room = _room(space.client, one)
        yield _channel(f"#{room['name']} ({one})" if room else one, named.pop(one), room, us)
    rooms = _rooms(space.client, set(named)) if named else {}
    for name, where in named.items():
        yield from _renamed(name, where, rooms.get(name))
        yield _channel(name, where, rooms.get(name), us)


def _named_channels(policy: Policy) -> dict[str, str]:
    """Return each channel that the policy names, and where it does so first."""
    named = {policy.channel: "channel"}
    for pattern, rules in policy.models.items():
        if rules.channel:
            named.setdefault(rules.channel, f"models.{pattern}.channel")
    if policy.anchor and policy.anchor.channel:
        named.setdefault(policy.anchor.channel, "anchor.channel")
    return named


def _room(client: WebClient, channel: str) -> Mapping[str, Any] | None:
    """Return the channel with this id; None if there is none, or it's private and we aren't in it."""
    try:
        room: Mapping[str, Any] = asked(client, partial(client.conversations_info, channel=channel))["channel"]
    except SlackApiError as error:
        if error_of(error) != "channel_not_found":
            raise
        return None
    return room


def _rooms(client: WebClient, names: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return the public channels, and the private ones that we are in, up to the last of these names.

    They're by name; where no channel has a name any more, it's that of the one that had it, if only one did.
    """
    found: dict[str, Mapping[str, Any]] = {}
    former: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    cursor: str | None = None
    for _ in range(PAGES_MOST):
        read = partial(client.conversations_list, types="public_channel,private_channel", limit=1000, cursor=cursor)
        page = asked(client, read)
        found |= {f"#{room.get('name')}": room for room in page["channels"]}
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
        for room in page["channels"]:
            for name in set(room.get("previous_names") or ()):
                former[f"#{name}"].append(room)
        if cursor is None or names <= set(found):
            return {name: rooms[0] for name, rooms in former.items() if len(rooms) == 1} | found
    missing = listed(sorted(names - set(found)), 3)
    raise NotLookedAtError(
        f"Could not look: the first {PAGES_MOST},000 channels don't include {missing}. Use the channel's id in the "
        "policy: in Slack, its name → About → Copy channel ID."
    )


def _renamed(name: str, where: str, room: Mapping[str, Any] | None) -> Iterator[Finding]:
    if room and f"#{room.get('name')}" != name:
        what = f"{name} ({where} of the policy) is now called #{room.get('name')}."
        yield mind("Slack channels", what, f"Use its new name or its id, {room['id']}, in the policy.")


def _channel(name: str, where: str, room: Mapping[str, Any] | None, us: Identity) -> Finding:
    invite = f"Type in that channel: /invite @{us.bot}"
    if room is None:
        what = f"There is no channel {name} ({where} of the policy), or it is private and we are not in it."
        return wrong(
            "Slack channels",
            what,
            f"If it is private: {invite[:1].lower()}{invite[1:]}. Else make it, or mend the name in the policy.",
        )
    if room.get("is_archived"):
        return wrong(
            "Slack channels",
            f"{name} ({where} of the policy) is archived.",
            "Unarchive it in Slack, or name another channel in the policy.",
        )
    if room.get("is_member"):
        return ok("Slack channels", f"We are in {name}.")
    if us.scopes is not None and "chat:write.public" not in us.scopes:
        return wrong("Slack channels", f"We are not in {name} and cannot post there.", f"{invite}.")
    return mind("Slack channels", f"We are not in {name}: cards can be posted there, charts cannot.", f"{invite}.")


# -- people ------------------------------------------------------------------------------------------------------------


def people(space: Workspace, policy: Policy) -> Iterator[Finding]:
    """Yield who of those that the policy names can do nothing, or that all can."""
    space.must_know_us()
    ids = sorted(policy.everybody() - policy.groups())
    bad = [found for one in ids[:PEOPLE_MOST] if (found := _person(space, policy, one))]
    yield from bad
    if not ids:
        raise NotLookedAtError("The policy names nobody by id.")
    seen = min(len(ids), PEOPLE_MOST)
    number = "The 1 person" if seen == 1 else f"All {seen} people"
    if not bad:
        yield ok("Slack people", f"{number} whom the policy names can act.")
    if len(ids) > PEOPLE_MOST:
        raise NotLookedAtError(f"Not looked at: {len(ids) - PEOPLE_MOST} more people, for Slack bounds how many.")


def _person(space: Workspace, policy: Policy, one: str) -> Finding | None:
    where = _roles(policy, one)
    try:
        user = asked(space.client, lambda: space.client.users_info(user=one))["user"]
    except SlackApiError as error:
        if error_of(error) not in {"user_not_found", "user_not_visible", "users_not_found"}:
            raise
        return wrong(
            "Slack people",
            f"Slack knows nobody with the id {one} ({where}).",
            "Copy it again in Slack: their profile → ⋮ → Copy member ID.",
        )
    who = f"{one}, {user.get('real_name') or user.get('name') or 'without a name'} ({where})"
    home = space.must_know_us().team
    faults = [
        (user.get("deleted"), "is deactivated"),
        (user.get("is_bot") or one == "USLACKBOT", "is a bot, and bots never decide"),
        (user.get("is_restricted") or user.get("is_ultra_restricted"), "is a guest, and guests never decide"),
        (not is_of(home, Person(home, one), user), "belongs to another workspace, so can't decide"),
    ]
    fault = next((said for is_so, said in faults if is_so), None)
    return wrong("Slack people", f"{who} {fault}.", "Take the id out of the policy.") if fault else None


def _roles(policy: Policy, one: str) -> str:
    """Return where the policy names an id: its roles, else its operators, else a rule."""
    roles = [f"roles.{role}" for role, ids in policy.roles.items() if one in ids]
    roles += [f"operators.{name}" for name, user in policy.operators.items() if user == one]
    return listed(roles, 3) or "named in a rule of the policy"


def groups(space: Workspace, policy: Policy) -> Iterator[Finding]:
    """Yield for each user group that the policy names whether it is there and has somebody in it.

    Then the rules that can't be met by those who are in them, which nobody sees in the file.
    """
    us = space.must_know_us()
    if not policy.groups():
        raise NotLookedAtError("The policy names no user group.")
    try:
        groups = asked(space.client, partial(space.client.usergroups_list, include_users=True))["usergroups"]
    except SlackApiError as error:
        if error_of(error) not in {"plan_upgrade_required", "paid_teams_only"}:
            raise
        what = f"This workspace's plan has no user groups, so nobody is in {listed(sorted(policy.groups()), 3)}."
        yield wrong("Slack groups", what, "List people by their ids in the policy.")
        return
    held = {group["id"]: group for group in groups}
    for one in sorted(policy.groups()):
        yield _group(space, policy, one, held.get(one))
    directory = SlackDirectory(space.client, us.team, policy.groups)
    for rule in unmeetable_rules(policy, directory.electorate):
        if rule not in unmeetable_rules(policy):  # said of the file
            yield mind("Slack groups", UNMEETABLE.format(rule), LACKING)


def _group(space: Workspace, policy: Policy, one: str, group: Mapping[str, Any] | None) -> Finding:
    where = _roles(policy, one)
    if group is None:
        return wrong(
            "Slack groups",
            f"Slack knows no user group {one} ({where}).",
            "Copy its id again in Slack: People → User groups → the group → ⋮ → Copy group ID.",
        )
    users = group.get("users")
    if users is None:  # this server leaves them out
        users = asked(space.client, partial(space.client.usergroups_users_list, usergroup=one))["users"]
    if not users:
        return wrong(
            "Slack groups",
            f"Nobody is in the user group {one} ({where}).",
            "Put people into it in Slack, or name others in the policy.",
        )
    return ok("Slack groups", f"The user group {one} ({where}) has {counted(len(users), 'member')}.")


# -- cards -------------------------------------------------------------------------------------------------------------


def card(space: Workspace) -> Iterator[Finding]:
    """Yield whether Slack would take the largest card that we make; nothing is posted."""
    space.must_know_us()
    blocks = request_card.card(largest_request(), []).blocks
    try:
        asked(space.client, lambda: space.client.blocks_validate(blocks=blocks))
    except SlackApiError as error:
        if not error_of(error).startswith("invalid_"):
            raise
        yield wrong(
            "Slack cards",
            f"Slack does not take our largest card ({error_of(error)}).",
            "That is a fault of ours: tell whoever maintains Registrar.",
        )
        return
    yield ok("Slack cards", "Slack takes our cards, the largest one too.")


def largest_request() -> Request:
    """Return a request that fills its card as far as one can."""
    now, text = datetime(2026, 1, 1, tzinfo=UTC), "m<&>" * 60
    figures = {f"{text}{at}": 1 / 3 for at in range(20)}
    gates = tuple(GateResult(name=f"{text}{at}", bound=text, value=text, passed=False, note=text) for at in range(20))
    change = CallerChange(Effect.BREAKS, say("{it}", it=text))
    callers = ForCallers(changes=(change,) * 5, way_back=change.says)
    return Request(
        id="r4k7q",
        model=text,
        version=999_999_999,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        incumbent=999_999_998,
        requester=Person("T0", "U0"),
        reason=text * 20,
        required=50,
        opened_at=now,
        expires_at=now + timedelta(days=7),
        semver=text,
        keep_existing=True,
        breaks_glass=True,
        seen=Seen(metrics=figures, against=figures, validation=figures, gates=gates, policy="0" * 12, callers=callers),
    )


# -- how Slack reaches us ----------------------------------------------------------------------------------------------


def connection(settings: Settings, *, live: bool) -> Iterator[Finding]:
    """Yield how Slack reaches us: Socket Mode (opened and closed when it is `live`), signed HTTP, or neither."""
    if settings.slack_app_token is None and settings.slack_signing_secret is None:
        yield wrong(
            "Slack connection",
            "Slack cannot reach us: neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET is set.",
            f"For Socket Mode: {WHERE['SLACK_APP_TOKEN']}. For HTTP: Basic "
            "Information → App Credentials → Signing Secret.",
        )
    if settings.slack_signing_secret is not None:
        yield ok(
            "Slack connection",
            "Slack can reach us over signed HTTP at /slack/events, where that is the request URL of the app.",
        )
    if settings.slack_app_token is None:
        return
    if kind := _wrong_kind("SLACK_APP_TOKEN", settings):
        yield wrong("Slack connection", kind, f"Your app's page has it: {WHERE['SLACK_APP_TOKEN']}.")
    elif not live:
        raise NotLookedAtError("Not tried: `registrar doctor --live` opens a Socket Mode connection and closes it.")
    else:
        yield _socket(settings, settings.slack_app_token.get_secret_value())


def _socket(settings: Settings, app_token: str) -> Finding:
    """Open a connection, wait for Slack's hello, and close it at once: what came over it would be lost."""
    client = WebClient(base_url=settings.slack_api_url, timeout=EACH, retry_handlers=[])
    mend = f"Copy SLACK_APP_TOKEN again: {WHERE['SLACK_APP_TOKEN']}."
    try:
        url = str(asked(client, lambda: client.apps_connections_open(app_token=app_token))["url"])
    except SlackApiError as error:
        return wrong(
            "Slack connection",
            f"Slack opens no Socket Mode connection ({error_of(error)}).",
            "Turn Socket Mode on in the app's settings, and give the token connections:write.",
        )
    except Misconfigured as error:
        return wrong("Slack connection", str(error.sentence), mend)
    began = time.monotonic()
    try:
        with connect(url, open_timeout=EACH, close_timeout=1) as socket:
            hello = json.loads(socket.recv(timeout=EACH))
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        what = f"Slack gave us an address for Socket Mode, and nothing answers there ({type(error).__name__})."
        raise SlackUnreachable(what) from error
    if hello.get("type") != "hello":
        return wrong(
            "Slack connection",
            f"Slack ended the Socket Mode connection ({hello.get('reason')}).",
            "Ten are allowed: look where else this app runs.",
        )
    return _opened(int(hello.get("num_connections", 1)) - 1, time.monotonic() - began)


def _opened(others: int, seconds: float) -> Finding:
    if others <= 0:
        return ok("Slack connection", f"Socket Mode opens, in {seconds:.1f} s. No bot is connected now.")
    number = "1 other is" if others == 1 else f"{others} others are"
    return ok(
        "Slack connection",
        f"Socket Mode opens, in {seconds:.1f} s. {number} connected: your bot, it "
        "is to be hoped, for each click goes to any one of them.",
    )


def _clock(space: Workspace) -> Iterable[Finding]:
    us = space.must_know_us()
    return [clock("Slack", us.date, us.at)]
