"""The CI run that a request comes from, for the card's link and the audit log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from urllib.parse import urlsplit

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, sanitize_text, say

MAX_WORD_LENGTH = 200  # characters in any field but the URL
MAX_URL_LENGTH = 1000  # characters; a Slack button holds 3,000


@dataclass(frozen=True, slots=True, kw_only=True)
class CiRun:
    """A CI run, as the CI service describes it. Unknown fields are empty.

    `is_verified` is set only by the code that verifies the CI service's signature, never from what a program reports.
    """

    repository: str = ""  # such as acme/churn
    run: str = ""  # its number or ID in the CI service
    commit: str = ""  # the commit it runs on
    url: str = ""  # its web page; http or https
    actor: str = ""  # the login of the person who started it
    service: str = ""  # where that login belongs: github or gitlab
    is_verified: bool = False  # whether the CI service's signature was verified

    def __bool__(self) -> bool:
        """Return whether any field is known."""
        return any(asdict(self).values())


def parse_ci_run(data: Mapping[str, Any]) -> CiRun:
    """Parse a CI run that a program reports, which is never verified.

    Raises BadInput for an unknown key, an overlong value, or a bad link.
    """
    known_keys = [field.name for field in fields(CiRun) if field.name != "is_verified"]
    if unknown_key := next((key for key in data if key not in known_keys), None):
        key, known = Name(str(unknown_key)[:60]), [Code(name) for name in known_keys]
        raise BadInput(say("ci.{key}: unknown key. Use {known}.", key=key, known=known), "ci")
    words: dict[str, Any] = {name: sanitize_text(str(data.get(name) or "")).strip() for name in known_keys}
    for name, word in words.items():
        if len(word) > (MAX_URL_LENGTH if name == "url" else MAX_WORD_LENGTH):
            raise BadInput(say("ci.{name}: too long.", name=Code(name)), "ci")
    if words["url"] and not _is_web_page_url(words["url"]):
        raise BadInput(say("ci.{name}: must be an http or https URL.", name=Code("url")), "ci")
    return CiRun(**words)


def pack_ci_run(ci_run: CiRun) -> dict[str, str | bool]:
    """Return the known fields as plain JSON values, for the ledger and the audit log."""
    return {name: value for name, value in asdict(ci_run).items() if value}


def detect_ci_run(environ: Mapping[str, str]) -> CiRun:
    """Return the CI run in `environ` (GitHub Actions or GitLab CI), or an empty one outside CI.

    Truncates or omits anything that `parse_ci_run` would reject, so that an odd environment doesn't prevent a request.
    """
    run = _read_environment(environ)
    names = ("repository", "run", "commit", "actor")
    words: dict[str, Any] = {name: sanitize_text(getattr(run, name)).strip()[:MAX_WORD_LENGTH] for name in names}
    url = run.url if len(run.url) <= MAX_URL_LENGTH and _is_web_page_url(run.url) else ""
    return replace(run, **words, url=url)


def _read_environment(environ: Mapping[str, str]) -> CiRun:
    if environ.get("GITHUB_ACTIONS") == "true":
        repository, run = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_RUN_ID", "")
        server = environ.get("GITHUB_SERVER_URL", "https://github.com")
        attempt = environ.get("GITHUB_RUN_ATTEMPT", "1")
        url = f"{server}/{repository}/actions/runs/{run}/attempts/{attempt}" if repository and run else ""
        return CiRun(
            repository=repository,
            run=run,
            commit=environ.get("GITHUB_SHA", ""),
            url=url,
            # Someone else can start the next attempt of a run; GITHUB_ACTOR is who started the first one.
            actor=environ.get("GITHUB_TRIGGERING_ACTOR") or environ.get("GITHUB_ACTOR", ""),
            service="github",
        )
    if environ.get("GITLAB_CI") == "true":
        run = environ.get("CI_PIPELINE_ID") or environ.get("CI_JOB_ID", "")  # a retried job gets a new ID
        return CiRun(
            repository=environ.get("CI_PROJECT_PATH", ""),
            run=run,
            commit=environ.get("CI_COMMIT_SHA", ""),
            url=environ.get("CI_JOB_URL", ""),
            actor=environ.get("GITLAB_USER_LOGIN", ""),
            service="gitlab",
        )
    return CiRun()


def _is_web_page_url(url: str) -> bool:
    """Return whether `url` is a web page's http or https URL that's safe to use in Slack's link markup."""
    try:
        parts = urlsplit(url)
        is_page = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.username
    except ValueError:
        return False
    return is_page and bool(re.fullmatch(r"[!-~]+", url)) and not re.search(r"[<>|\"\\^`{}]", url)
