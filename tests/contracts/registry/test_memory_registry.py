"""The in-memory registry, as tests and the demo use it."""

from __future__ import annotations

import pytest

from bot.domain.core.errors import RegistryUnreachable
from tests.support.registry.contract_fixtures import PRODUCTION, stages
from tests.support.registry.memory import MemoryRegistry


class TestMemory:
    def test_every_call_to_a_registry_that_is_down_fails(self) -> None:
        memory = MemoryRegistry()
        memory.is_down = True
        with pytest.raises(RegistryUnreachable):
            memory.models()

    def test_a_call_takes_effect_even_if_its_response_is_lost(self) -> None:
        memory = MemoryRegistry()
        memory.add_model("churn", versions=1)
        memory.loses_answers = True
        with pytest.raises(RegistryUnreachable):
            memory.transition_stage("churn", 1, PRODUCTION, archive_existing=True)
        memory.loses_answers = False
        assert stages(memory) == {1: PRODUCTION}

    def test_a_slow_registry_waits_before_each_response(self) -> None:
        waited: list[float] = []
        memory = MemoryRegistry(sleep=waited.append)
        memory.delay = 2.5
        memory.models()
        assert waited == [2.5]

    def test_calls_are_counted(self) -> None:
        memory = MemoryRegistry()
        memory.add_model("churn", versions=1)
        memory.model("churn")
        memory.set_tags("churn", 1, {"a": "1", "b": "2"})
        memory.runs([str(number) for number in range(1001)])
        assert memory.request_counts == {"model": 1, "set_tags": 2, "runs": 2}
