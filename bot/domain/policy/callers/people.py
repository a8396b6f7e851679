"""Slack IDs in the policy file, and the people behind CI services' logins."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from bot.domain.core.actors import Actor, Client
from bot.domain.core.ci_run import CiRun
from bot.domain.core.strict_model import StrictModel


def is_slack_id(text: str) -> bool:
    """Return whether this is the ID of a user (U, W) or a user group (S): only capital letters and digits."""
    return len(text) > 1 and text[0] in "UWS" and text.isascii() and text.isalnum() and text.upper() == text


def _require_user_id(text: str) -> str:
    if not is_slack_id(text) or text.startswith("S"):  # a user group would name no one
        raise ValueError(f"{text!r} isn't a Slack user ID (U… or W…)")
    return text


def _with_lowercase_logins(users: dict[str, str]) -> dict[str, str]:
    if len(lowercase := {login.casefold(): user for login, user in users.items()}) < len(users):
        raise ValueError("lists a login twice, with different capitalization")
    return lowercase


UserId = Annotated[str, AfterValidator(_require_user_id)]
_UsersByLogin = Annotated[dict[str, UserId], AfterValidator(_with_lowercase_logins)]


class People(StrictModel):
    """The people who start CI jobs: their Slack user IDs, by login. Capitalization doesn't matter."""

    github: _UsersByLogin = Field(default_factory=dict)  # by GitHub login
    gitlab: _UsersByLogin = Field(default_factory=dict)  # by GitLab username

    def find(self, ci: CiRun) -> str | None:
        """Return the Slack user ID of the person who started a CI run, or None if they aren't listed."""
        users = {"github": self.github, "gitlab": self.gitlab}.get(ci.service, {})
        return users.get(ci.actor.casefold())

    def is_starter_unknown(self, requester: Actor | None, ci: CiRun | None) -> bool:
        """Return whether whoever started a request's CI job should be listed but isn't, so it could be anyone.

        They should be listed if the run is verified. They should also be listed if anyone is and the requester is a
        program, since a program can omit its CI run.
        """
        run = ci or CiRun()
        is_program = isinstance(requester, Client) or bool(run)
        return self.find(run) is None and (run.is_verified or (is_program and bool(self.user_ids)))

    @property
    def user_ids(self) -> frozenset[str]:
        """The Slack user IDs of everyone listed."""
        return frozenset({*self.github.values(), *self.gitlab.values()})
