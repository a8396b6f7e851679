"""The policy file: which rules apply, and how errors in it are reported."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from bot.domain.core.errors import Misconfigured
from bot.domain.policy.gate_config import CardGate, InStagingGate, MetricGate, SemverGate, SignatureGate
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage
from bot.policy_file import load_policy

# The whole example of the documentation, every part used once.
WHOLE = """
channel: "#ml-models"                 # the default channel
roles:                                # user ids, user groups
  lead:  [U02BOB, S01LEADS]
  admin: [U05ANN]
on_call: [lead]
models:
  "*":
    staging:    {approvers: [lead], required: 1, requester_may_approve: true}
    production:
      approvers: [lead]
      required: 2
      requester_may_approve: false
      expires_after: 24h
      remind_after: 4h
      gates:
        - {metric: accuracy, at_least: 0.85}
        - {metric: latency_ms, at_most: 100}
        - {metric: f1, not_worse_than_incumbent_by: 0.01}
        - {card: [owner, use_case, dataset_version]}
        - {signature: compatible}
        - {semver: set}
        - {in_staging_for: 24h}
      override: [admin]
  "churn*":
    channel: "#churn"
    staging: {approvers: [lead]}
    production: {approvers: [lead]}
    rollback: {by: [lead], fast: true}
    monitors:
      - {name: accuracy-live, source: live, query: accuracy, rule: threshold, greater_than: 0.85, every: 5m,
         fail_after: 3, action: auto}
sources:
  live: {type: push}
  prom: {type: prometheus, url: "http://prometheus:9090"}
clients:
  github-churn: {token_env: REGISTRAR_CLIENT_GITHUB_CHURN, models: ["churn*"], may: [request]}
operators: {ann: U05ANN}
notify: [{url_env: DEPLOY_HOOK_URL, secret_env: DEPLOY_HOOK_SECRET, models: ["churn*"]}]
serving: {"churn*": {url: "http://churn.internal/version", json: version}}
anchor: {file: /var/lib/registrar/anchor.jsonl, channel: "#audit", every: 1h}
"""


def read(text: str) -> Policy:
    return validate_policy(yaml.safe_load(text))


def fault(text: str) -> str:
    """Return the error for an invalid policy."""
    with pytest.raises(Misconfigured) as caught:
        read(text)
    return str(caught.value)


def monitor(setting: str) -> str:
    """Return a file with one monitor that compares with a baseline and has this setting."""
    return f"models: {{churn: {{monitors: [{{name: a, source: push, {setting}}}]}}}}"


def in_production(text: str) -> str:
    """Return a policy file with this text in the rule for Production."""
    return f'roles: {{lead: [U02BOB]}}\nmodels: {{"*": {{production: {{{text}}}}}}}'


# -- which rules apply -------------------------------------------------------------------------------------------------


def test_the_example_in_the_documentation_is_valid() -> None:
    rule = read(WHOLE).models["*"].production
    assert rule is not None
    assert (rule.required, rule.expires_after, rule.remind_after) == (2, timedelta(hours=24), timedelta(hours=4))
    assert [type(gate) for gate in rule.gates] == [
        MetricGate,
        MetricGate,
        MetricGate,
        CardGate,
        SignatureGate,
        SemverGate,
        InStagingGate,
    ]


def test_omitted_keys_of_a_rule_have_defaults() -> None:
    rule = read(in_production("approvers: [lead]")).models["*"].production
    assert rule is not None
    assert (rule.required, rule.requester_may_approve, rule.expires_after) == (1, False, timedelta(days=7))


@pytest.mark.parametrize(
    ("model", "channel"),
    [("churn", "#churn"), ("churn-v2", "#churn"), ("fraud", "#ml-models"), ("Churn", "#ml-models")],
)
def test_the_longest_pattern_wins(model: str, channel: str) -> None:
    assert read(WHOLE).channel_for(model) == channel


def test_only_the_longest_pattern_applies() -> None:
    rule = read(WHOLE).rules_for("churn").rule(Stage.PRODUCTION)
    assert rule is not None
    assert rule.required == 1  # not the 2 of "*"
    assert rule.gates == []


def test_a_model_that_no_pattern_matches_has_no_rule() -> None:
    assert read('models: {"churn*": {production: {}}}').rules_for("fraud").rule(Stage.PRODUCTION) is None


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.ARCHIVED])
def test_only_staging_and_production_have_rules(stage: Stage) -> None:
    assert read(WHOLE).rules_for("fraud").rule(stage) is None


def test_a_role_expands_to_its_ids() -> None:
    assert read(WHOLE).expand_roles(["lead", "U9"]) == {"U02BOB", "S01LEADS", "U9"}


def test_a_model_s_own_people_are_on_call_for_it_even_if_there_are_none() -> None:
    policy = read('{on_call: [S1], roles: {ops: [U2, U1]}, models: {"*": {}, a: {on_call: [ops]}, b: {on_call: []}}}')
    assert [policy.on_call_ids(model) for model in ("churn", "a", "b")] == [["S1"], ["U1", "U2"], []]
    assert policy.all_slack_ids() == {"S1", "U1", "U2"}


def test_the_user_groups_in_the_file_are_found() -> None:
    assert read(WHOLE).user_groups() == {"S01LEADS"}


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "nearest"),
    [
        ("modles: {}\nmodels: {}", "modles", "models"),
        ('models: {"*": {prodution: {}}}', "models.*.prodution", "production"),
        (in_production("aprovers: [lead]"), "models.*.production.aprovers", "approvers"),
        ('models: {"*": {staging: {expire_after: 1h}}}', "models.*.staging.expire_after", "expires_after"),
        (in_production("gates: [{metric: f1, at_leest: 1}]"), "models.*.production.gates.0.at_leest", "at_least"),
        ('models: {"*": {rollback: {by: [], fst: true}}}', "models.*.rollback.fst", "fast"),
        (
            'models: {"*": {monitors: [{name: a, source: b, query: c, greater_then: 1}]}}',
            "models.*.monitors.0.greater_then",
            "greater_than",
        ),
        ("models: {}\nclients: {ci: {tokn_env: X}}", "clients.ci.tokn_env", "token_env"),
        ("models: {}\npeople: {gitub: {octocat: U1}}", "people.gitub", "github"),
        ("models: {}\nnotify: [{urlenv: X}]", "notify.0.urlenv", "url_env"),
        ('models: {}\nserving: {"a*": {url: x, jsn: y}}', "serving.a*.jsn", "json"),
        ("models: {}\nanchor: {fil: x}", "anchor.fil", "file"),
        ("models: {production: {production: {approvrs: []}}}", "models.production.production.approvrs", "approvers"),
    ],
)
def test_an_unknown_key_is_reported_with_its_path_and_the_nearest_known_key(text: str, path: str, nearest: str) -> None:
    assert f"{path}: unknown key; did you mean {nearest}?" in fault(text)


def test_an_unknown_key_unlike_any_other_lists_all_keys() -> None:
    assert "xyzzy: unknown key; known: approvers, required" in fault(in_production("xyzzy: 1"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("channel: '#x'", "models: field required"),
        ("models: []", "models: input should be a valid dictionary"),
        ("models: {}\nchannel: 5", "channel: input should be a valid string"),
        ('models: {"*": }', "models.*: input should be"),
        ('models: {"*": {channel: 7}}', "models.*.channel: input should be a valid string"),
        ("roles: {lead: U1}\nmodels: {}", "roles.lead: input should be a valid list"),
        (in_production("approvers: lead"), "models.*.production.approvers: input should be a valid list"),
        (in_production("approvers: [1]"), "models.*.production.approvers.0: input should be a valid string"),
        (in_production("required: two"), "models.*.production.required: input should be a valid integer"),
        (in_production("required: 0"), "models.*.production.required: input should be greater than or equal to 1"),
        (in_production("required: 51"), "models.*.production.required: input should be less than or equal to 50"),
        (in_production("requester_may_approve: maybe"), "models.*.production.requester_may_approve: input should be"),
        (in_production("expires_after: 24"), "models.*.production.expires_after: must be a duration, such as 30m"),
        (in_production("expires_after: 0h"), "models.*.production.expires_after: input should be greater than 0"),
        ('models: {"*": {monitors: [{name: a, source: b}]}}', "models.*.monitors.0.source: 'b' isn't a source"),
        (
            monitor("of: all"),
            "models.churn.monitors.0.of: push accepts pushed readings, each with its own total",
        ),
        (monitor("source: mlflow, of: all, aggregate: p95"), "the aggregate must be mean or last"),
        (
            monitor("window: 5d"),
            "models.churn.monitors.0.window: a baseline covers at most 21d. A window of 5d",
        ),
        (monitor("window: 7h"), "models.churn.monitors.0.window: a window of 7h fits 3 times into 1d"),
        (monitor("every: 2h"), "models.churn.monitors.0.window: a window of 1h is shorter than the 2h between checks"),
        (monitor("every: 5d"), "models.churn.monitors.0.every: a baseline covers at most 21d. One check every 5d"),
        (monitor("min_effect: 10% of error, direction: lower"), "models.churn.monitors.0.min_effect: lower is better"),
        (
            monitor("min_effect: much"),
            "models.churn.monitors.0.min_effect: isn't an effect size; use a value",
        ),
        ("models: {}\nclients: {ci: {may: [fly]}}", "clients.ci.may.0: input should be 'request', 'push' or 'read'"),
        ("models: {}\npeople: {github: {octocat: S1}}", "people.github.octocat: 'S1' isn't a Slack user ID (U… or W…)"),
        ("models: {}\npeople: {gitlab: {a: U1, A: U2}}", "people.gitlab: lists a login twice, with different"),
        ("models: {}\nsources: {x: {url: y}}", "sources.x.type: field required"),
        ("models: {}\nnotify: [{}]", "notify.0: needs either url_env or url, not both"),
        ("models: {}\nnotify: [{url: x, url_env: X}]", "notify.0: needs either url_env or url, not both"),
        ("models: {}\nserving: {a: {url: x, every: 0s}}", "serving.a.every"),
        ("models: {}\nserving: {a: {url: x, timeout: 0s}}", "serving.a.timeout"),
        ('models: {"*": {rollback: {by: [U1], fast: false}}}', "models.*.rollback: a rollback by someone in `by` is"),
        ("models: {}\noperators: {ann: ann}", "operators.ann: 'ann' isn't a Slack ID"),
    ],
)
def test_an_invalid_value_is_reported_with_its_path(text: str, said: str) -> None:
    assert said in fault(text)


def test_the_minimum_effect_can_be_written_in_every_notation() -> None:
    for setting, effect in (("3%", "3%"), ("0.03", "3%"), ("0.01 abs", "0.01 abs"), ("10% of error", "10% of error")):
        [rule] = read(monitor(f"min_effect: {setting}")).rules_for("churn").monitors
        assert str(rule.min_effect) == effect


def test_an_error_about_a_window_is_formatted_like_the_others() -> None:
    assert fault(monitor("window: 7h")).endswith("so 3h would never be checked. Use 6h or 8h.")


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{metric: f1}", "gates.0: needs at_least, at_most, or not_worse_than_incumbent_by"),
        ("{metric: f1, at_least: high}", "gates.0.at_least: input should be a valid number"),
        ("{card: owner}", "gates.0.card: input should be a valid list"),
        ("{signature: same}", "gates.0.signature: input should be 'compatible'"),
        ("{semver: yes}", "gates.0.semver: input should be 'set'"),
        ("{in_staging_for: long}", "gates.0.in_staging_for: must be a duration"),
        ("{colour: blue}", "gates.0.colour: unknown key"),
        ("accuracy", "gates.0: input should be a valid dictionary"),
    ],
)
def test_an_invalid_gate_is_reported_with_its_path_in_the_file(gate: str, said: str) -> None:
    assert f"models.*.production.{said}" in fault(in_production(f"gates: [{gate}]"))


def test_an_unknown_role_is_reported_with_the_nearest_one() -> None:
    assert "models.*.production.approvers: 'laed' is neither a role nor a Slack ID; did you mean lead?" in fault(
        in_production("approvers: [laed]")
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (in_production("override: [boss]"), "models.*.production.override"),
        ('models: {"*": {rollback: {by: [boss]}}}', "models.*.rollback.by"),
        ('models: {"*": {staging: {approvers: [boss]}}}', "models.*.staging.approvers"),
        ('models: {"*": {on_call: [boss]}}', "models.*.on_call"),
        ('{on_call: [boss], models: {"*": {}}}', "on_call"),
    ],
)
def test_an_unknown_name_is_refused_in_every_list_of_people(text: str, path: str) -> None:
    assert f"{path}: 'boss' is neither a role nor a Slack ID" in fault(text)


@pytest.mark.parametrize("one", ["bob", "@bob", "u02bob", "U", "C01GENERAL", "U02 BOB"])
def test_a_role_contains_only_slack_ids(one: str) -> None:
    assert f"roles.lead: '{one}' isn't a Slack ID" in fault(f"roles: {{lead: ['{one}']}}\nmodels: {{}}")


def test_all_errors_are_reported_together() -> None:
    said = fault('models: {"*": {staging: {approvrs: []}, production: {requird: 1}}}')
    assert "approvrs" in said
    assert "requird" in said


@pytest.mark.parametrize("text", ["", "- a\n- b", "just words", "null", "5"])
def test_a_file_without_keys_is_refused_with_examples_of_keys(text: str) -> None:
    assert "must contain keys such as channel, roles, and models" in fault(text)


# -- on the disk -------------------------------------------------------------------------------------------------------


def file_fault(path: Path, content: str | bytes) -> str:
    """Return the error for a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(Misconfigured) as caught:
        load_policy(path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registrar.yml"


def test_a_file_is_read(path: Path) -> None:
    path.write_text(WHOLE)
    assert load_policy(path) == read(WHOLE)


def test_a_missing_file_is_refused_with_how_to_create_one(path: Path) -> None:
    with pytest.raises(Misconfigured, match="registrar init"):
        load_policy(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="Can't read"):
        load_policy(tmp_path)


def test_a_file_that_is_not_text_is_refused(path: Path) -> None:
    assert "Can't read" in file_fault(path, b"\xff\xfe\x00models")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("channel: a\nmodels: {", "Line 2"),
        ("channel: a\n\tmodels: {}", "Line 2"),
        ("a: b: c", "Line 1"),
        ("models: !!python/object:os.system {}", "Line 1"),
        ("models: {}\n[a, b]: c", "Line 2"),
    ],
)
def test_a_yaml_error_is_reported_with_its_line(path: Path, content: str, line: str) -> None:
    assert line in file_fault(path, content)


@pytest.mark.parametrize("content", ["channel: 2026-13-45", "channel: \x00"])
def test_unparsable_yaml_is_reported(path: Path, content: str) -> None:
    assert "isn't valid YAML" in file_fault(path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("channel: a\nmodels: {}\nchannel: b", "Line 3, column 1: duplicate key channel"),
        ('models:\n  "*": {}\n  "*": {staging: {}}', "Line 3, column 3: duplicate key *"),
        ("models: {}\nroles: {lead: [], lead: [U1]}", "duplicate key lead"),
    ],
)
def test_a_duplicate_key_is_refused(path: Path, content: str, said: str) -> None:
    assert said in file_fault(path, content)


# -- which pattern applies ---------------------------------------------------------------------------------------------


def test_a_name_takes_precedence_over_a_pattern_of_the_same_length() -> None:
    policy = validate_policy({"models": {"chur*": {"channel": "#pattern"}, "churn": {"channel": "#name"}}})
    assert policy.channel_for("churn") == "#name"


# -- the serving side --------------------------------------------------------------------------------------------------


def test_an_endpoint_that_is_listed_several_times_is_notified_once() -> None:
    policy = validate_policy(
        {
            "models": {},
            "notify": [
                {"url_env": "A", "secret_env": "S", "models": ["churn*"]},
                {"url_env": "A"},
                {"url": "http://deploy/x"},
                {"url_env": "B", "models": ["fraud"]},
            ],
        }
    )
    told = policy.endpoints_for("churn-eu")
    assert [one.display_name for one in told] == ["A", "deploy"]
    assert told[0].secret_env == "S"
    assert policy.endpoint(told[1].key) == told[1]
    assert policy.endpoint("gone") is None


def test_the_fingerprint_of_a_rule_without_the_not_blocked_gate_is_unchanged() -> None:
    rule = {"approvers": ["lead"], "required": 2, "gates": [{"semver": "set"}], "override": ["admin"]}
    policy = validate_policy({"roles": {"lead": ["UBOB"], "admin": ["UDAVE"]}, "models": {"*": {"production": rule}}})
    assert policy.fingerprint("churn", Stage.PRODUCTION) == "100cdf6da7d38eff"


def test_whether_blocked_versions_are_refused_is_true_or_false() -> None:
    for word in ("yes", 1, "set"):
        with pytest.raises(Misconfigured, match="not_blocked"):
            validate_policy(
                {"models": {"*": {"production": {"approvers": ["UBOB"], "gates": [{"not_blocked": word}]}}}}
            )
