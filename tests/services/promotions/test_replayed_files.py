"""A replay derives the gate `integrity` from what the audit log recorded about a version's files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.integrity.digest import DigestState
from bot.domain.promotions.replay import ReplayStep
from bot.domain.promotions.request import Request, RequestState
from bot.services.promotions.queries import replay_request
from tests.support.registry.files import compare_and_move, digest_of, hash_files, move, write_file
from tests.support.replay.random_decisions import parse, take_policy
from tests.support.services.bench import Bench
from tests.support.services.gates import events


@pytest.fixture
def required(bench: Bench) -> Bench:
    """Return the bench with a recorded policy that requires unchanged files."""
    take_policy(bench, integrity="required", override=["admin"])
    write_file(bench)
    return bench


def steps_of(bench: Bench, request: Request) -> list[ReplayStep]:
    with bench.ledger.read() as reading:
        return replay_request(reading, request.id, parse)


def results(bench: Bench, request: Request) -> list[str]:
    """Return the steps about files and the result; all steps agree."""
    steps = steps_of(bench, request)
    assert [str(step.sentence) for step in steps if not step.agrees] == []
    return [f"{step.name}: {step.recorded}" for step in steps if "integrity" in str(step.name) or step == steps[-1]]


def too_large(bench: Bench) -> None:
    digest = digest_of(bench)
    assert digest is not None
    with bench.ledger.write() as tx:
        tx.save_digest(replace(digest, state=DigestState.TOO_LARGE, due_at=None, why="The files are too large: 9 GB."))


def test_files_that_were_recorded_after_the_opening_are_derived(required: Bench) -> None:
    request = required.open()
    hash_files(required)
    required.approve(request)
    assert compare_and_move(required, request).state is RequestState.DONE
    assert results(required, request) == [
        "Gate “integrity files recorded” when it was approved: 1 file, passed",
        "Gate “integrity files recorded” right before the transition: 1 file, passed",
        "Result: done",
    ]


def test_files_that_were_recorded_before_the_opening_are_derived(required: Bench) -> None:
    required.cancel(required.open())
    hash_files(required)
    assert results(required, required.open()) == [
        "Gate “integrity files recorded” when it was opened: 1 file, passed",
        "State: pending",
    ]


def test_files_that_changed_after_the_approval_are_why_the_request_is_outdated(required: Bench) -> None:
    request = required.open()
    hash_files(required)
    required.clock.advance(seconds=1)
    required.approve(request)
    write_file(required, contents=b"evil")
    assert compare_and_move(required, request).state is RequestState.STALE
    assert results(required, request) == [
        "Gate “integrity files recorded” when it was approved: 1 file, passed",
        "Gate “integrity files unchanged” right before the transition: its files changed: model.pkl, failed",
        "Result: stale",
    ]


def test_an_override_of_files_that_are_too_large_is_derived(required: Bench) -> None:
    request = required.open()
    too_large(required)
    required.approve(request)
    required.override(request)
    assert move(required, request).state is RequestState.DONE
    gate, value = "Gate “integrity files recorded”", "its files aren't recorded (The files are too large: 9 GB), failed"
    assert results(required, request) == [
        f"{gate} when it was approved: {value}",
        f"{gate} right before the transition: {value}",
        "Result: done",
    ]


def test_files_that_are_too_large_leave_an_approved_request_pending(required: Bench) -> None:
    request = required.open()
    too_large(required)
    required.approve(request)
    assert results(required, request) == ["State: pending"]


def test_what_was_known_about_the_files_is_in_the_audit_log(required: Bench) -> None:
    request = required.open()
    hash_files(required)
    required.clock.advance(seconds=1)
    required.approve(request)
    digest, at = digest_of(required), required.clock.now()
    compare_and_move(required, request)
    assert digest is not None
    [voted], [done] = (events(required, tag) for tag in (EventTag.VOTED, EventTag.TRANSITION_DONE))
    files = {"state": "recorded", "digest": digest.manifest.digest, "count": 1}
    seen = voted.evidence["facts"]["files"]
    assert seen.pop("compared_at") < at.isoformat()
    assert seen == files
    compared = done.evidence["facts"]["changed"]["files"]
    assert compared.pop("compared_at") > at.isoformat()
    assert compared == files
