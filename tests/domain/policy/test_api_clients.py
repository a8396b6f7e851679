"""Which ID tokens belong to a client, and what their claims say about the CI run."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.core.ci_run import MAX_WORD_LENGTH, CiRun
from bot.domain.core.errors import WrongPolicy
from bot.domain.policy.callers.api_clients import ApiClient, OidcIdentity, is_safe_url
from bot.domain.policy.changes import policy_changes
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.pending_edit import loosens_any_rule

GITHUB = "https://token.actions.githubusercontent.com"
RUN = {"repository": "acme/churn", "run_id": "4711", "run_attempt": "1", "sha": "9fceb02", "actor": "octocat"}


def identity(**changes: Any) -> dict[str, Any]:
    return {"issuer": GITHUB, "audience": "registrar", "claims": {"repository": "acme/churn"}} | changes


def errors(client: dict[str, Any]) -> str:
    with pytest.raises(WrongPolicy) as found:
        validate_policy({"models": {}, "clients": {"ci": client}})
    return " ".join(found.value.errors)


class TestMatching:
    @pytest.mark.parametrize(
        ("pattern", "value", "matches"),
        [
            ("acme/churn", "acme/churn", True),
            ("acme/*", "acme/churn", True),
            ("acme/*", "acme-fake/churn", False),
            ("acme/*", "acme/ml/churn", False),
            ("acme/ch?rn", "acme/ch/rn", False),
            ("acme/churn", "Acme/Churn", False),
            ("acme/churn", "acme/churn ", False),
        ],
    )
    def test_a_star_matches_anything_but_a_slash(self, pattern: str, value: str, matches: bool) -> None:
        client = OidcIdentity(**identity(claims={"repository": pattern}))
        assert (client.mismatch({"aud": "registrar", "repository": value}) is None) == matches

    def test_a_value_with_brackets_matches_itself(self) -> None:
        client = OidcIdentity(**identity(claims={"repository": "acme/churn", "actor": "dependabot[bot]"}))
        assert client.mismatch({"aud": "registrar", "repository": "acme/churn", "actor": "dependabot[bot]"}) is None

    @pytest.mark.parametrize("value", [None, [], ["x"], {}])
    def test_a_missing_claim_and_a_list_match_no_pattern(self, value: Any) -> None:
        client = OidcIdentity(**identity(claims={"repository": "acme/churn", "environment": "*"}))
        claims = {"aud": "registrar", "repository": "acme/churn", "environment": value}
        assert client.mismatch(claims) == "environment"


class TestPolicy:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"issuer": "http://issuer.example"}, "issuer must be an https URL"),
            ({"issuer": "issuer.example"}, "issuer must be an https URL"),
            ({"issuer": "https://["}, "issuer must be an https URL"),
            ({"issuer": f"{GITHUB}?a=b"}, "issuer must be an https URL"),
            ({"claims": {}}, "clients.ci.oidc.claims"),
            ({"claims": {"ref": "refs/heads/main"}}, "claims must identify the jobs' owner"),
            ({"claims": {"repository": "*/churn"}}, "without a wildcard before the first /"),
            ({"claims": {"repository": ["acme/churn", "acme*/churn"]}}, "without a wildcard before the first /"),
            ({"claims": {"repository": "acme/churn", "sub": "*"}}, "without a wildcard before the first /"),
            ({"claims": {"repository": []}}, "clients.ci.oidc.claims.repository"),
            ({"claims": {"repository": 7}}, "clients.ci.oidc.claims.repository"),
            ({"audience": ""}, "clients.ci.oidc.audience"),
            ({"service": "jenkins"}, "clients.ci.oidc.service"),
            ({"isuer": GITHUB}, "did you mean issuer?"),
        ],
    )
    def test_a_wrong_identity_is_an_error(self, changes: dict[str, Any], words: str) -> None:
        assert words in errors({"oidc": identity(**changes)})

    @pytest.mark.parametrize("issuer", [GITHUB, "https://ghe.example/_services/token", "http://127.0.0.1:8080"])
    def test_an_issuer_uses_https_or_is_on_this_machine(self, issuer: str) -> None:
        assert OidcIdentity(**identity(issuer=issuer)).issuer == issuer

    @pytest.mark.parametrize(
        "other",
        [{"oidc": identity(claims={"repository": "acme/*"})}, {"oidc": identity(audience="x")}, {"token_env": "A"}],
    )
    def test_other_jobs_or_a_token_instead_loosen_a_rule(self, other: dict[str, Any]) -> None:
        before, after = (
            validate_policy({"models": {}, "clients": {"ci": {"may": ["push"]} | client}})
            for client in ({"oidc": identity()}, other)
        )
        assert loosens_any_rule(policy_changes(before, after))
        assert loosens_any_rule(policy_changes(after, before))

    @pytest.mark.parametrize("key", ["token_env", "token_file"])
    def test_a_client_has_either_a_token_or_an_identity(self, key: str) -> None:
        assert "needs either a token or oidc, not both" in errors({"oidc": identity(), key: "x"})

    @pytest.mark.parametrize(
        ("url", "issuer", "is_safe"),
        [
            ("https://keys.example", GITHUB, True),
            ("http://127.0.0.1/keys", "http://127.0.0.1", True),
            ("http://127.0.0.1/keys", GITHUB, False),
            ("http://keys.example", "http://127.0.0.1", False),
        ],
    )
    def test_keys_come_without_https_only_if_their_issuer_is_on_this_machine(
        self, url: str, issuer: str, is_safe: bool
    ) -> None:
        assert is_safe_url(url, issuer) == is_safe

    def test_a_private_issuer_can_have_any_claims(self) -> None:
        client = identity(issuer="https://login.acme.example", claims={"team": "ml"})
        assert OidcIdentity(**client).mismatch({"aud": "registrar", "team": "ml"}) is None

    def test_the_person_that_an_agent_acts_for_is_someone_that_the_file_names(self) -> None:
        policy = validate_policy({"models": {}, "clients": {"claude": {"acts_for": "U1"}}})
        assert policy.all_slack_ids() == {"U1"}

    def test_clients_of_the_previous_release_still_load(self) -> None:
        assert ApiClient(token_env="A", token_file="b").token_env == "A"
        assert ApiClient(may=["push"]).oidc is None


class TestCiRun:
    @pytest.mark.parametrize(
        ("issuer", "site"),
        [
            (GITHUB, "https://github.com"),
            (f"{GITHUB}/acme-inc", "https://github.com"),
            ("https://token.actions.acme.ghe.com", "https://acme.ghe.com"),
            ("https://ghe.example/_services/token", "https://ghe.example"),
        ],
    )
    def test_github_s_claims_name_the_run_and_who_started_it(self, issuer: str, site: str) -> None:
        assert OidcIdentity(**identity(issuer=issuer)).ci_run(RUN) == CiRun(
            repository="acme/churn",
            run="4711",
            commit="9fceb02",
            url=f"{site}/acme/churn/actions/runs/4711/attempts/1",
            actor="octocat",
            service="github",
            is_verified=True,
        )

    def test_no_one_is_known_to_have_started_another_attempt(self) -> None:
        run = OidcIdentity(**identity()).ci_run(RUN | {"run_attempt": "2"})
        assert (run.actor, run.is_verified) == ("", True)
        assert run.url.endswith("/4711/attempts/2")

    def test_gitlab_s_claims_name_the_run_and_who_started_it(self) -> None:
        claims = {
            "project_path": "ml/acme/churn",
            "pipeline_id": "99",
            "job_id": "7",
            "sha": "f00",
            "user_login": "ann",
        }
        client = identity(issuer="https://gitlab.example", service="gitlab", claims={"project_path": "ml/acme/churn"})
        assert OidcIdentity(**client).ci_run(claims) == CiRun(
            repository="ml/acme/churn",
            run="99",
            commit="f00",
            url="https://gitlab.example/ml/acme/churn/-/jobs/7",
            actor="ann",
            service="gitlab",
            is_verified=True,
        )

    def test_odd_claims_are_shortened_or_left_out(self) -> None:
        run = OidcIdentity(**identity()).ci_run({"repository": ["a"], "run_id": 4711, "sha": "f" * 999})
        assert (run.repository, run.run, run.actor, run.url) == ("", "4711", "", "")
        assert run.commit == "f" * MAX_WORD_LENGTH
