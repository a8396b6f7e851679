"""The tools' schemas, which come from the commands."""

from __future__ import annotations

import jsonschema
import pytest

from bot.domain.commands.base import MissingArguments
from bot.domain.core.errors import BadInput
from bot.domain.registry.model import parse_version_ref
from handlers.mcp.catalog import TOOLS

READING = ["find", "show", "compare", "best", "validate", "explain_gate", "history", "evidence"]


class TestCatalog:
    def test_agents_can_read_request_wait_and_propose(self) -> None:
        assert list(TOOLS) == [*READING, "request_promotion", "wait", "propose_monitor"]

    @pytest.mark.parametrize("name", TOOLS)
    def test_each_tool_has_a_valid_schema_and_described_arguments(self, name: str) -> None:
        tool = TOOLS[name].describe()
        for schema in (tool.input_schema, tool.output_schema):
            jsonschema.Draft202012Validator.check_schema(schema or {})
        assert all(argument["description"] for argument in tool.input_schema["properties"].values())
        assert str(tool.description).endswith(".")

    def test_only_two_tools_change_something_and_none_destroys(self) -> None:
        hints = {name: tool.describe().model_dump()["annotations"] for name, tool in TOOLS.items()}
        changing = [name for name, hint in hints.items() if not hint["read_only_hint"]]
        assert changing == ["request_promotion", "propose_monitor"]
        assert not any(hint["destructive_hint"] for hint in hints.values())

    def test_types_and_bounds_come_from_the_command(self) -> None:
        arguments = TOOLS["wait"].describe().input_schema
        assert arguments["required"] == ["request"]
        assert arguments["properties"]["timeout"] == {
            "type": "integer",
            "description": "how many seconds to wait",
            "minimum": 0,
            "maximum": 600,
            "default": 50,
        }
        assert TOOLS["validate"].describe().input_schema["properties"]["to"]["enum"] == ["staging", "production"]
        key = TOOLS["request_promotion"].describe().input_schema["properties"]["idempotency_key"]
        assert (key["maxLength"], key["pattern"]) == (100, "^[!-~]*$")

    def test_breaking_glass_is_no_argument(self) -> None:
        assert "break_glass" not in TOOLS["request_promotion"].describe().input_schema["properties"]
        with pytest.raises(BadInput, match="Unknown argument “break_glass”"):
            TOOLS["request_promotion"].parse({"model": "churn", "version": 4, "to": "production", "break_glass": True})

    @pytest.mark.parametrize("given", [4, "4", ["4"], [4]])
    def test_one_value_can_stand_for_a_list(self, given: object) -> None:
        command = TOOLS["compare"].parse({"model": "churn", "versions": given})
        assert command.versions == (parse_version_ref("4"),)

    @pytest.mark.parametrize("given", [{"4": 1}, 4.5, True, [None], [[4]]])
    def test_a_value_of_another_type_is_refused(self, given: object) -> None:
        with pytest.raises(BadInput):
            TOOLS["compare"].parse({"model": "churn", "versions": given})

    def test_results_of_a_validation_are_an_object(self) -> None:
        command = TOOLS["validate"].parse({"model": "churn", "version": 4, "validation": {"f1": 0.9}})
        assert command.validation == ("f1=0.9",)

    @pytest.mark.parametrize("name", [name for name, tool in TOOLS.items() if tool.describe().input_schema["required"]])
    def test_missing_arguments_are_named(self, name: str) -> None:
        with pytest.raises(MissingArguments) as refused:
            TOOLS[name].parse({})
        assert refused.value.missing == TOOLS[name].describe().input_schema["required"]
