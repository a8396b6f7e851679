"""The docs' examples that aren't commands: policies parse, and so do JSON, TOML, and Python."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from bot.domain.core.errors import Misconfigured
from bot.domain.policy.callers.people import is_slack_id
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.policy import BUILT_IN_SOURCES, ModelRules, Policy, TargetRule
from bot.policy_file import parse_policy
from tests.support.docs.blocks import PAGES, CodeBlock, find_blocks, page_blocks, page_text, prose

NOT_A_POLICY = "not a policy"


def keys_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


OF_THE_FILE, OF_A_MODEL, OF_A_STAGE = keys_of(Policy), keys_of(ModelRules), keys_of(TargetRule)
OF_A_MONITOR = keys_of(MonitorConfig) - OF_THE_FILE
SECTIONS = re.compile(rf"(?:{'|'.join(sorted(OF_THE_FILE | OF_A_MODEL | OF_A_STAGE | OF_A_MONITOR))}): \S")


def blocks_of(language: str) -> list[Any]:
    found = [block for page in PAGES for block in page_blocks(page) if block.language == language]
    return [pytest.param(block, id=block.place) for block in found]


def inline_snippets() -> list[Any]:
    """Return the code in sentences that looks like a part of a policy with its value."""
    return [
        pytest.param(code, id=f"{page}: {code}")
        for page in PAGES
        if not page.startswith(("CHANGELOG", "docs/decisions/"))  # what once was, too
        for code in sorted(set(re.findall(r"`([^`\n]+)`", prose(page_text(page)))))
        if is_policy_snippet(code)
    ]


def is_policy_snippet(code: str) -> bool:
    """Tell if this is a key with its complete value, not its shape or a client's `models`."""
    return bool(SECTIONS.match(code)) and not re.search(r"…|\.\.\.|<\w+>|^models: \[", code)


def parse_example(text: str) -> Policy:
    """Parse a policy, or a part of one in a minimal policy. Raises Misconfigured."""
    file = Path("registrar.yml")
    try:
        return parse_policy(text, file)
    except Misconfigured as error:
        if "isn't valid YAML" in str(error):  # or has a key twice, which dumping it again would hide
            raise
    return parse_policy(yaml.safe_dump(complete(yaml.safe_load(text)), sort_keys=False), file)


def complete(part: Any) -> dict[str, Any]:
    """Return the policy that a part belongs to: each key where it's allowed, and what the part names but lacks."""
    if isinstance(part, list):
        part = {section_of(part[0]): part}
    if not isinstance(part, dict):
        raise Misconfigured("It's neither a mapping nor a list.")
    if part and set(part) <= OF_A_MONITOR:
        part = {"monitors": [{"name": "f1", "source": "prom"} | part]}
    production = {"approvers": ["lead"]} | part.get("production", {})
    model: dict[str, Any] = {"staging": {"approvers": ["lead"]}, "production": production}
    whole: dict[str, Any] = {"models": {"*": model}}
    for key, value in part.items():
        if key in OF_A_STAGE and key not in OF_A_MODEL:
            production[key] = value
        elif key in OF_A_MODEL and key not in OF_THE_FILE and key != "production":
            model[key] = value
        elif key != "production":
            whole[key] = value
    whole.setdefault("roles", {name: ["U0BOB"] for name in named_people(whole) if not is_slack_id(name)})
    whole.setdefault("sources", {name: {"type": "prometheus"} for name in named_sources(whole)})
    return whole


def section_of(item: Any) -> str:
    """Return the key that a list of such items belongs to."""
    for key, section in {"cron": "freeze", "name": "monitors", "url_env": "notify", "url": "notify"}.items():
        if isinstance(item, dict) and key in item:
            return section
    return "gates"


def named_people(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key in {"approvers", "override", "by", "on_call"} and isinstance(value, list):
                yield from map(str, value)
            else:
                yield from named_people(value)


def named_sources(whole: dict[str, Any]) -> set[str]:
    models = [one for one in whole["models"].values() if isinstance(one, dict)]
    monitors = [monitor for one in models for monitor in one.get("monitors") or () if isinstance(monitor, dict)]
    return {str(monitor.get("source")) for monitor in monitors} - {"None", *BUILT_IN_SOURCES}


# -- examples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks_of("yaml"))
def test_a_policy_example_parses(block: CodeBlock) -> None:
    if block.mark == NOT_A_POLICY:
        assert list(yaml.safe_load_all(block.text))
    else:
        assert parse_example(block.text).models


@pytest.mark.parametrize("code", inline_snippets())
def test_a_part_of_a_policy_in_a_sentence_parses(code: str) -> None:
    assert parse_example(code).models


def test_enough_is_recognized() -> None:
    assert len(blocks_of("yaml")) > 10
    assert len(inline_snippets()) > 10


def test_only_yaml_is_marked_as_no_policy() -> None:
    marked = [block for page in PAGES for block in page_blocks(page) if block.mark == NOT_A_POLICY]
    assert [block.place for block in marked if block.language != "yaml"] == []


def test_what_is_marked_as_no_policy_is_none() -> None:
    for page in PAGES:
        for block in page_blocks(page):
            if block.mark == NOT_A_POLICY:
                with pytest.raises((Misconfigured, TypeError, KeyError)):
                    parse_example(block.text)


@pytest.mark.parametrize("block", blocks_of("json"))
def test_json_parses(block: CodeBlock) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", blocks_of("toml"))
def test_toml_parses(block: CodeBlock) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", blocks_of("python"))
def test_python_compiles(block: CodeBlock) -> None:
    assert compile(block.text, block.place, "exec").co_code


# -- an example that's wrong is found ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "required: 2",
        "gates: [{metric: accuracy, at_least: 0.85}]\noverride: [admin]",
        "- {metric: accuracy, at_least: 0.85}",
        "production: {approvers: [lead], required: 2}",
        "monitors: [{name: f1, source: prom, query: q, of: all, hard_limit: 0.5}]",
        "name: f1\nsource: live\nhard_limit: 0.5",
        "freeze: [{cron: '0 18 * * 5', for: 62h}]",
        "on_call: [night_shift]",
    ],
)
def test_a_part_is_put_where_it_belongs(text: str) -> None:
    assert parse_example(text).models


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("required: two", "models.*.production.required"),
        ("gates: [{metric: accuracy, atleast: 0.85}]", "did you mean at_least?"),
        ("monitors: [{name: f1, source: live, hard_limt: 0.5}]", "did you mean hard_limit?"),
        ("freeze: [{cron: '0 18 * *', for: 62h}]", "freeze.0"),
        ("on_call: [U0BOB]\non_call: [U0EVE]", "isn't valid YAML"),
        ("modles: {}", "modles: unknown key"),
        ("roles: {lead: [U0BOB]}\nmodels: {'*': {production: {approvers: [leed]}}}", "did you mean lead?"),
        ("jobs: {build: {runs-on: ubuntu}}", "jobs: unknown key"),
    ],
)
def test_a_wrong_example_is_found(text: str, says: str) -> None:
    with pytest.raises(Misconfigured) as told:
        parse_example(text)
    assert says in str(told.value)


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("required: 2", True),
        ("freeze: [{cron: …, for: 62h}]", False),
        ("freeze:", False),
        ("promote: now", False),
        ("approvers", False),
    ],
)
def test_snippets_are_recognized(code: str, counts: bool) -> None:
    assert is_policy_snippet(code) is counts


def test_code_in_blocks_is_no_snippet() -> None:
    page = "Set `required: 2`.\n\n```yaml\n`required: 3`\n```\n"
    assert re.findall(r"`([^`\n]+)`", prose(page)) == ["required: 2"]
    assert len(find_blocks("page.md", page)) == 1
