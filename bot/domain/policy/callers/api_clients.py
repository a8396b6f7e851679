"""Programs that can use the HTTP API, and the ID tokens that identify a CI job as one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from bot.domain.core.ci_run import MAX_URL_LENGTH, MAX_WORD_LENGTH, CiRun, parse_ci_run
from bot.domain.core.strict_model import StrictModel
from bot.domain.policy.callers.people import UserId

# Anyone can get a token from a public CI service. These claims say whose job it is; all others only narrow it down.
_PUBLIC_ISSUERS = ("https://token.actions.githubusercontent.com", "https://gitlab.com")
OWNER_CLAIMS = {
    *("sub", "repository", "repository_id", "repository_owner", "repository_owner_id"),
    *("project_path", "project_id", "namespace_path", "namespace_id"),
}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_CLAIM_BY_FIELD = {
    "github": {"repository": "repository", "run": "run_id", "commit": "sha", "actor": "actor"},
    "gitlab": {"repository": "project_path", "run": "pipeline_id", "commit": "sha", "actor": "user_login"},
}

ClaimPatterns = Annotated[
    list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value), Field(min_length=1)
]


class OidcIdentity(StrictModel):
    """The CI jobs that act as this client. Their CI service signs an ID token for each (OpenID Connect)."""

    issuer: str  # who signs the tokens, such as https://token.actions.githubusercontent.com
    audience: str = Field(min_length=1)  # who the tokens are for; use a name that no other service accepts
    # the claims that a token must have, each with a value or a list of them; `*` matches anything except `/`
    claims: dict[str, ClaimPatterns] = Field(min_length=1)
    service: Literal["github", "gitlab"] = "github"  # whose claims name the repository, the run, and who started it

    @model_validator(mode="after")
    def _check(self) -> OidcIdentity:
        if not is_safe_url(self.issuer) or set("?#@") & set(self.issuer):
            raise ValueError("issuer must be an https URL, without a query")
        owners = [pattern for name in self.claims.keys() & OWNER_CLAIMS for pattern in self.claims[name]]
        is_public = self.issuer.startswith(_PUBLIC_ISSUERS)
        if (is_public and not owners) or any(set("*?[") & set(pattern.partition("/")[0]) for pattern in owners):
            known = ", ".join(sorted(OWNER_CLAIMS))
            raise ValueError(f"claims must identify the jobs' owner, without a wildcard before the first /: {known}")
        return self

    def mismatch(self, claims: Mapping[str, Any]) -> str | None:
        """Return the name of the first claim that doesn't match, or None if the token belongs to this client."""
        audiences = claims.get("aud")
        if self.audience not in (audiences if isinstance(audiences, list) else [audiences]):
            return "aud"
        return next(
            (name for name, patterns in self.claims.items() if not _matches(_text(claims.get(name)), patterns)), None
        )

    def ci_run(self, claims: Mapping[str, Any]) -> CiRun:
        """Return the CI run that a verified token's claims describe."""
        texts = {name: _text(value) or "" for name, value in claims.items()}
        if texts.get("run_attempt", "1") != "1":
            texts["actor"] = ""  # GitHub names who started the first attempt, even if someone else started this one
        words = {field: texts.get(name, "")[:MAX_WORD_LENGTH] for field, name in _CLAIM_BY_FIELD[self.service].items()}
        url = self._run_url(texts)[:MAX_URL_LENGTH] if words["repository"] and words["run"] else ""
        return replace(parse_ci_run(words | {"service": self.service, "url": url}), is_verified=True)

    def _run_url(self, claims: Mapping[str, str]) -> str:
        """Return the URL of the run's page."""
        issuer = urlsplit(self.issuer)
        if self.service == "gitlab":
            return f"{self.issuer.rstrip('/')}/{claims.get('project_path')}/-/jobs/{claims.get('job_id')}"
        # github.com and GitHub Enterprise Cloud have another host for tokens; GitHub Enterprise Server doesn't.
        is_github_com = self.issuer.startswith(_PUBLIC_ISSUERS)
        host = "github.com" if is_github_com else issuer.netloc.removeprefix("token.actions.")
        run = f"{claims.get('run_id')}/attempts/{claims.get('run_attempt', '1')}"
        return f"{issuer.scheme}://{host}/{claims.get('repository')}/actions/runs/{run}"


class ApiClient(StrictModel):
    """A program that can use the HTTP API. Its token is never in the policy."""

    token_env: str | None = None  # the environment variable that contains its token
    token_file: str | None = None  # or the file that contains it
    oidc: OidcIdentity | None = None  # or the CI jobs that use ID tokens instead
    acts_for: UserId | None = None  # the Slack user ID of the person whose agent has the token
    models: list[str] = Field(default_factory=lambda: ["*"])  # patterns of the models it can access
    # push: send readings; request: make requests and register; read: read all requests. Over MCP, both can read models
    may: list[Literal["request", "push", "read"]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_one_identity(self) -> ApiClient:
        if self.oidc and (self.token_env or self.token_file):
            raise ValueError("needs either a token or oidc, not both")
        if self.oidc and self.acts_for:
            raise ValueError("acts_for needs a token: whoever starts a CI job is listed under people")
        return self


def is_safe_url(url: str, issuer: str = "http:") -> bool:
    """Return whether it's safe to read keys from a URL: it's https, or both it and its issuer are on this machine."""
    try:
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK and issuer.startswith("http:")
        return bool(parts.hostname) and (parts.scheme == "https" or is_local)
    except ValueError:
        return False


def _text(value: Any) -> str | None:
    """Return a claim's value as text: a number or a boolean as in JSON; None if it's missing or has several values."""
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, int | float) else None


def _matches(value: str | None, patterns: list[str]) -> bool:
    """Return whether a claim's value matches any pattern, part by part: `acme*/x` doesn't match `acme/fake/x`."""
    return value is not None and any(
        len(parts) == len(value.split("/")) and all(map(_matches_part, value.split("/"), parts))
        for parts in (pattern.split("/") for pattern in patterns)
    )


def _matches_part(part: str, pattern: str) -> bool:
    return part == pattern or fnmatchcase(part, pattern)
