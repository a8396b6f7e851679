"""A new rule needs two files: monitor_config.py for its fields and entry, and a module that judges."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.policy.monitor_config import RULES, MonitorConfig
from tests.support.paths import ROOT

CONFIG = "bot/domain/policy/monitor_config.py"
PLACES = ("monitor", "policy", "commands", "sources")  # elsewhere, "blocks" and "default" mean other things
MESSAGES = "bot/domain/monitoring/messages.py"  # "Not counted: 1 threshold" is English


def production_files() -> Iterator[Path]:
    for program in ("bot", "handlers"):
        for path in (ROOT / program).rglob("*.py"):
            if any(word in str(path.relative_to(ROOT)) for word in PLACES):
                yield path


def names_in(path: Path) -> set[str]:
    """Return the strings in a file, and the attributes that it reads."""
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    keys = {key for node in nodes if isinstance(node, ast.Dict) for key in node.keys}  # such as a schema's "default"
    texts = {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in keys
    }
    return texts | {node.attr for node in nodes if isinstance(node, ast.Attribute) and "_" in node.attr}


@pytest.mark.parametrize("rule", RULES)
def test_only_two_files_mention_a_rule(rule: str) -> None:
    names = {rule, f"is_{rule}", f"uses_{rule}"}
    found = {str(path.relative_to(ROOT)) for path in production_files() if names & names_in(path)}
    assert found - {MESSAGES, f"bot/domain/monitoring/rules/{rule}.py"} == {CONFIG}


def test_each_rule_has_a_module_with_its_name() -> None:
    for rule in RULES:
        path = ROOT / "bot/domain/monitoring/rules" / f"{rule}.py"
        functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        assert "evaluate" in functions


def test_every_value_of_rule_is_a_rule() -> None:
    for rule in RULES:
        bounds = dict.fromkeys(RULES[rule].bounds, 0.5)
        first = dict([*bounds.items()][:1])
        assert MonitorConfig(name="accuracy", source="push", rule=rule, **first).kind is RULES[rule]
    assert set(RULES) == set(MonitorConfig.model_json_schema()["properties"]["rule"]["anyOf"][0]["enum"])
