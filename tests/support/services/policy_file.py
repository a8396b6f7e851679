"""A policy file that tests edit, and the bot that reloads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.policy_file import LocalPolicyFile
from bot.ports import DisconnectedDirectory
from bot.services.policy.reload import PolicyReloader
from tests.support.services.bench import Bench

ONE = 'channel: "#one"\nroles: {lead: [UBOB]}\nmodels: {"*": {production: {approvers: [lead]}}}\n'


TWO = ONE.replace("[UBOB]", "[UBOB, UCAROL]").replace("#one", "#two")


STRICTER = ONE.replace("[lead]", "[lead], required: 2")


BROKEN = ONE.replace("approvers", "aprovers")


class NamesDirectory(DisconnectedDirectory):
    """A directory that knows the names of Bob and Carol."""

    def display_names(self, ids: object) -> dict[str, str]:
        """Return the names."""
        return {one: {"UBOB": "Bob Tanaka", "UCAROL": "Carol"}.get(one, one) for one in ids}  # type: ignore[attr-defined]  # a list


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "registrar.yml"
    path.write_text(ONE, encoding="utf-8")
    return path


@pytest.fixture
def policies(bench: Bench, file: Path) -> PolicyReloader:
    begun = PolicyReloader(bench.context, LocalPolicyFile(file), NamesDirectory())
    begun.load_initial()
    return begun


def edits(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def settles(bench: Bench, policies: PolicyReloader, seconds: int) -> bool:
    """Let `seconds` pass, with a poll at the start and each second; return whether a policy was activated."""
    taken = policies.reload()
    for _ in range(seconds):
        bench.clock.advance(seconds=1)
        taken |= policies.reload()
    return taken


def told(bench: Bench) -> list[str]:
    """Return the undelivered channel messages."""
    return [bench.told(note.key) for note in bench.notes()]


def events(bench: Bench, tag: EventTag) -> list[Event]:
    return [event for event in bench.events() if event.tag is tag]


def start(bench: Bench, file: Path) -> PolicyReloader:
    """Start another process with the current file."""
    bench.context.active_policy.replace(LocalPolicyFile(file).parse(file.read_text(encoding="utf-8")), "")
    started = PolicyReloader(bench.context, LocalPolicyFile(file), NamesDirectory())
    started.load_initial()
    return started
