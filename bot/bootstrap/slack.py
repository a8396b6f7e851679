"""Connect to Slack: the client, the directory of people, and the notifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import Misconfigured, SlackNotConnected, SlackUnreachable
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import EligibleApprovers
from bot.ports import (
    NO_OBSERVER,
    Clock,
    Directory,
    Ledger,
    Notifier,
    Observer,
    RegistryLinks,
)
from bot.services.core.admins import AdminAlerts
from bot.services.core.context import ActivePolicy
from bot.settings import Settings

if TYPE_CHECKING:  # imported where needed: a terminal that only compares versions needs neither Slack nor a ledger
    from slack_sdk import WebClient

    from bot.slack.core.directory import SlackDirectory


class LazyDirectory:
    """A terminal's directory. It connects to Slack on first use; most commands never use it."""

    def __init__(self, settings: Settings, active_policy: ActivePolicy) -> None:
        self._settings = settings
        self._active_policy = active_policy

    @cached_property
    def _slack(self) -> Directory:
        try:
            team = fetch_home_team_id(slack_client(self._settings, timeout=5))
        except Misconfigured as error:
            raise SlackNotConnected(error.sentence) from error
        return slack_directory(self._settings, team, self._active_policy)

    def profile(self, person: Person) -> Profile:
        """Return the person's profile. See `Directory`."""
        return self._slack.profile(person)

    def current_profiles(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return the people's current profiles. See `Directory`."""
        return self._slack.current_profiles(people)

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return the people that user and user group IDs resolve to. See `Directory`."""
        return self._slack.electorate(ids)

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return the user IDs that user and user group IDs resolve to. See `Directory`."""
        return self._slack.member_ids(ids)

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the display names for user and user group IDs. See `Directory`."""
        return self._slack.display_names(ids)


def fetch_profile(settings: Settings, policy: Policy, user: str) -> Profile:
    """Return a user's profile from Slack, or one with only the ID if there's no Slack token.

    Raises Misconfigured for a token that Slack rejects, and SlackUnreachable.
    """
    if settings.slack_bot_token is None:
        return Profile(person=Person("", user))
    team = fetch_home_team_id(slack_client(settings, timeout=5))
    return slack_directory(settings, team, ActivePolicy(policy)).profile(Person(team, user))


def slack_client(settings: Settings, *, timeout: int = 10, observer: Observer = NO_OBSERVER) -> WebClient:
    """Return a Slack client without automatic retries, which could post twice after a connection reset."""
    if settings.slack_bot_token is None:
        raise Misconfigured(say("{name} isn't set.", name=Code("SLACK_BOT_TOKEN")))
    from bot.http_client import trusted_certificates
    from bot.slack.core.client import ObservedWebClient

    client = ObservedWebClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api_url,
        timeout=timeout,
        retry_handlers=[],
        ssl=trusted_certificates(),
    )
    client.observer = observer
    return client


def message_urls(settings: Settings, ledger: Ledger, keys: Sequence[str]) -> list[str]:
    """Return links to the posted messages that have these ordering keys.

    Raises SlackUnreachable if none has been posted yet or Slack returns no link, and Misconfigured without a token.
    """
    from bot.slack.delivery.message_links import MessageLinks

    links = MessageLinks(slack_client(settings, timeout=5), ledger)
    with ledger.read() as reader:
        refs = reader.message_refs(keys)
    if urls := [url for key in keys if key in refs and (url := links.find(refs[key]))]:
        return urls
    raise SlackUnreachable("Slack has no link to the card yet. Try again in a moment.")


def slack_directory(
    settings: Settings, team: str, active_policy: ActivePolicy, observer: Observer = NO_OBSERVER
) -> SlackDirectory:
    """Return the directory of people, with timeouts short enough to acknowledge Slack's requests in time."""
    from bot.slack.core.directory import SlackDirectory

    return SlackDirectory(slack_client(settings, timeout=2, observer=observer), team, active_policy.user_groups)


def slack_notifier(
    client: WebClient,
    ledger: Ledger,
    active_policy: ActivePolicy,
    directory: SlackDirectory,
    admins: AdminAlerts,
    clock: Clock,
    links: RegistryLinks,
) -> Notifier:
    """Return the notifier that delivers messages to Slack under the policy in effect."""
    from bot.slack.delivery.notifier import SlackNotifier  # imported late, since it loads the chart libraries

    return SlackNotifier(
        client,
        ledger,
        active_policy.current,
        clock.now,
        directory.display_names,
        admins.notify,
        admins.report_missing_scopes,
        links,
    )


def fetch_home_team_id(client: WebClient) -> str:
    """Return the ID of the workspace that the token belongs to."""
    from slack_sdk.errors import SlackApiError

    from bot.slack.core.client import CONNECTION_ERRORS, error_code

    try:
        return str(client.auth_test()["team_id"])
    except SlackApiError as error:
        raise Misconfigured(
            say(
                "Slack rejected the bot's token ({what}). Copy {name} again from your app's page.",
                what=error_code(error),
                name=Code("SLACK_BOT_TOKEN"),
            )
        ) from error
    except CONNECTION_ERRORS as error:
        raise SlackUnreachable(say("Slack isn't responding at {url}.", url=Code(client.base_url))) from error
