"""TODO bot.bootstrap.slack"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import Misconfigured, SlackNotConnected, SlackUnreachable
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import Electorate
from bot.ports import (
    UNOBSERVED,
    Clock,
    Directory,
    Ledger,
    Notifier,
    Observer,
)
from bot.services.core.admins import Admins
from bot.services.core.context import Rules
from bot.settings import Settings

if (
    TYPE_CHECKING
):  # a terminal that only compares draws nothing, and needs neither Slack nor a ledger: who does imports it
    from slack_sdk import WebClient

    from bot.slack.core.directory import SlackDirectory


class AskedLate:
    """The directory of a terminal: Slack is asked once somebody's rights matter, for most commands never."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self._settings = settings
        self._rules = rules

    @cached_property
    def _slack(self) -> Directory:
        try:
            team = home_team(slack_client(self._settings, timeout=5))
        except Misconfigured as error:
            raise SlackNotConnected(error.sentence) from error
        return slack_directory(self._settings, team, self._rules)

    def profile(self, person: Person) -> Profile:
        """Return what Slack says of the person."""
        return self._slack.profile(person)

    def profiles_now(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return what Slack says of people now."""
        return self._slack.profiles_now(people)

    def electorate(self, ids: Sequence[str]) -> Electorate:
        """Return who is behind ids."""
        return self._slack.electorate(ids)

    def members(self, ids: Sequence[str]) -> list[str]:
        """Return the users behind ids."""
        return self._slack.members(ids)

    def names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return what people see in place of ids."""
        return self._slack.names(ids)


def as_slack_knows(settings: Settings, policy: Policy, user: str) -> Profile:
    """Return a user's standing, asked of Slack where there is a token; without, what the policy says is all.

    Raises Misconfigured for a token that Slack does not take, and SlackUnreachable.
    """
    if settings.slack_bot_token is None:
        return Profile(person=Person("", user))
    team = home_team(slack_client(settings, timeout=5))
    return slack_directory(settings, team, Rules(policy)).profile(Person(team, user))


def slack_client(settings: Settings, *, timeout: int = 10, observer: Observer = UNOBSERVED) -> WebClient:
    """Return a client that does not retry by itself: after a reset that would post twice."""
    if settings.slack_bot_token is None:
        raise Misconfigured(say("{name} is not set.", name=Code("SLACK_BOT_TOKEN")))
    from bot.http_client import certificates
    from bot.slack.core.client import HeardClient

    client = HeardClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api_url,
        timeout=timeout,
        retry_handlers=[],
        ssl=certificates(),
    )
    client.observer = observer
    return client


def slack_directory(settings: Settings, team: str, rules: Rules, observer: Observer = UNOBSERVED) -> SlackDirectory:
    """Return who tells who people are, soon enough for an acknowledgement."""
    from bot.slack.core.directory import SlackDirectory

    def groups() -> frozenset[str]:
        return rules.policy.groups()  # of the policy that holds at that moment

    return SlackDirectory(slack_client(settings, timeout=2, observer=observer), team, groups)


def slack_notifier(
    client: WebClient, ledger: Ledger, rules: Rules, directory: SlackDirectory, admins: Admins, clock: Clock
) -> Notifier:
    """Return who delivers messages to Slack, under the policy that applies at that moment."""
    from bot.slack.delivery.notifier import SlackNotifier  # it draws

    return SlackNotifier(
        client, ledger, lambda: rules.policy, clock.now, directory.names, admins.tell, admins.tell_of_scopes
    )


def home_team(client: WebClient) -> str:
    """Return the id of the workspace that the token belongs to."""
    from slack_sdk.errors import SlackApiError

    from bot.slack.core.api_errors import LOST, error_of

    try:
        return str(client.auth_test()["team_id"])
    except SlackApiError as error:
        raise Misconfigured(
            say(
                "Slack does not take the bot's token ({what}). Copy {name} again from your app's page.",
                what=error_of(error),
                name=Code("SLACK_BOT_TOKEN"),
            )
        ) from error
    except LOST as error:
        raise SlackUnreachable(say("Slack does not answer at {url}.", url=Code(client.base_url))) from error
