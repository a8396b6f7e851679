"""The policy file while the bot runs: when edits apply, and when they are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.audit.events import EventTag
from bot.domain.audit.messages import describe_event
from bot.domain.core.errors import LedgerUnavailable, Refused
from bot.domain.policy.changes import policy_changes
from bot.domain.policy.parser import revision_of
from bot.domain.policy.pending_edit import settle_duration
from bot.domain.promotions.request import RequestState
from bot.policy_file import LocalPolicyFile
from bot.services.policy.reload import PolicyReloader
from handlers.terminal.init import POLICY_TEMPLATE as TEMPLATE
from tests.support.paths import ROOT
from tests.support.services.bench import BOB, Bench
from tests.support.services.policy_file import (
    BROKEN,
    ONE,
    STRICTER,
    TWO,
    NamesDirectory,
    edits,
    events,
    settles,
    start,
    told,
)

WITHOUT_BOB = ONE.replace("[UBOB]", "[]")


class EmptyDirectory(NamesDirectory):
    """A directory without display names."""

    def display_names(self, ids: object) -> dict[str, str]:
        """Return nothing."""
        return {}


@contextmanager
def busy(bench: Bench) -> Iterator[None]:
    """Make every transaction fail like one that waits too long for the ledger."""

    @contextmanager
    def write() -> Iterator[None]:
        raise LedgerUnavailable("The ledger is busy.")
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.ledger, "write", write)
        yield


def test_the_policy_at_startup_is_recorded_with_the_names_of_its_ids(bench: Bench, policies: PolicyReloader) -> None:
    [event] = events(bench, EventTag.POLICY_LOADED)
    assert event.evidence == {"text": ONE, "names": {"UBOB": "Bob Tanaka"}, "changes": []}
    assert event.subject == f"policy:{revision_of(ONE)}"
    assert told(bench) == []


def test_the_same_policy_at_the_next_start_records_no_event(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    PolicyReloader(bench.context, LocalPolicyFile(file), NamesDirectory()).load_initial()
    assert len(events(bench, EventTag.POLICY_LOADED)) == 1


# -- settling ----------------------------------------------------------------------------------------------------------


def test_an_edit_that_loosens_nothing_applies_once_the_file_has_been_unchanged_for_two_seconds(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, STRICTER)
    assert not policies.reload()
    bench.clock.advance(seconds=1.9)
    assert not policies.reload()
    bench.clock.advance(seconds=0.1)
    assert policies.reload()
    assert bench.context.active_policy.revision == revision_of(STRICTER)
    [_, event] = events(bench, EventTag.POLICY_LOADED)
    assert (event.before, event.after, event.evidence["text"]) == (revision_of(ONE), revision_of(STRICTER), STRICTER)
    assert [one["path"] for one in event.evidence["changes"]] == ["models.*.production.required"]
    assert str(describe_event(event)).endswith(
        f"revision {event.after} (models.*.production.required: approvals 1 → 2)"
    )
    assert told(bench)[0].splitlines() == [
        f"Policy updated: revision {revision_of(STRICTER)} replaces {revision_of(ONE)}.",
        "• Production of *: approvals 1 → 2",
        "To see a model's rules: /model policy MODEL",
    ]


def test_an_edit_that_loosens_a_rule_applies_after_thirty_seconds(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, TWO)
    assert not settles(bench, policies, 29)
    assert bench.context.policy.channel == "#one"
    assert settles(bench, policies, 1)
    assert bench.context.policy.channel == "#two"


def test_the_channel_gets_the_changes_of_a_loosening_edit_before_it_applies(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, TWO)
    settles(bench, policies, 29)
    [note] = bench.notes()
    assert note.to == "#one"
    first, *lines = told(bench)[0].splitlines()
    assert first.startswith(
        "The policy file changed, and the edit loosens a rule. It takes effect at 2026-05-04 12:00 UTC (30s"
    )
    assert "• Production of *: approvers: added @UCAROL" in lines


def test_an_edit_that_is_reverted_before_it_settles_never_applies(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, TWO)
    settles(bench, policies, 20)
    edits(file, ONE)
    settles(bench, policies, 5)
    edits(file, TWO)
    assert not settles(bench, policies, 29)
    assert bench.context.active_policy.revision == revision_of(ONE)


def test_an_edit_that_is_written_again_between_polls_waits_again(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, TWO)
    settles(bench, policies, 29)
    edits(file, ONE)
    edits(file, TWO)
    os.utime(file, (1, 1))
    assert not settles(bench, policies, 2)


@pytest.mark.parametrize("when", [0, 10**10])
def test_an_edit_with_the_same_size_waits_regardless_of_the_modification_time(
    bench: Bench, policies: PolicyReloader, file: Path, when: int
) -> None:
    os.utime(file, (when, when))
    settles(bench, policies, 5)
    other = ONE.replace("UBOB", "UEVE")
    with file.open("r+", encoding="utf-8") as same:
        same.write(other)
    os.utime(file, (when, when))
    assert not settles(bench, policies, 29)
    assert settles(bench, policies, 2)
    assert bench.context.active_policy.revision == revision_of(other)


def test_a_file_replaced_by_rename_waits_like_any_other(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    edits(file.with_suffix(".new"), TWO)
    file.with_suffix(".new").replace(file)
    assert not settles(bench, policies, 29)
    assert settles(bench, policies, 1)


def test_a_clock_set_back_does_not_shorten_the_wait(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    edits(file, TWO)
    settles(bench, policies, 20)
    bench.clock.set_back(hours=1)
    assert not settles(bench, policies, 29)


@pytest.mark.parametrize("settle", ["0s", "1s"])
def test_a_shorter_settle_time_does_not_shorten_its_own_wait(
    bench: Bench, policies: PolicyReloader, file: Path, settle: str
) -> None:
    edits(file, TWO + f"policy: {{settle: {settle}}}\n")
    assert not settles(bench, policies, 29)
    assert settles(bench, policies, 1)
    edits(file, TWO.replace("UBOB", "UEVE"))
    assert settles(bench, policies, 2)


def test_a_longer_settle_time_applies_to_the_next_edit(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    edits(file, ONE + "policy: {settle: 5m}\n")
    settles(bench, policies, 2)
    edits(file, TWO)
    assert not settles(bench, policies, 299)
    assert settles(bench, policies, 1)


FILES = [
    ONE,
    TWO,
    STRICTER,
    *(path.read_text(encoding="utf-8") for path in (ROOT / "examples" / "churn" / "registrar.yml",)),
    TEMPLATE,
]


@pytest.mark.parametrize("whole", FILES)
def test_no_prefix_of_a_file_that_is_being_written_ever_applies(bench: Bench, file: Path, whole: str) -> None:
    edits(file, whole)
    policies = PolicyReloader(bench.context, LocalPolicyFile(file), EmptyDirectory())
    policies.load_initial()
    written = whole.encode()
    for end in range(0, len(written), max(1, len(written) // 250)):
        file.write_bytes(written[:end])
        for _ in range(2):
            bench.clock.advance(seconds=0.9)
            assert not policies.reload()
    edits(file, whole)
    assert not settles(bench, policies, 60)
    assert [event.tag for event in bench.events()] == [EventTag.POLICY_LOADED]
    assert bench.notes() == []


# -- a ledger that is busy ---------------------------------------------------------------------------------------------


def test_an_edit_made_while_the_ledger_is_busy_applies_afterward(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    request = bench.open()
    edits(file, WITHOUT_BOB)
    policies.reload()
    bench.clock.advance(seconds=2)
    with busy(bench), pytest.raises(LedgerUnavailable):
        policies.reload()
    assert policies.reload()
    assert len(events(bench, EventTag.POLICY_LOADED)) == 2
    with pytest.raises(Refused):
        bench.approve(request, BOB)


def test_an_edit_that_loosens_applies_afterward_too(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    edits(file, TWO)
    policies.reload()
    with busy(bench):
        for _ in range(40):
            bench.clock.advance(seconds=1)
            with suppress(LedgerUnavailable):
                policies.reload()
    assert bench.context.active_policy.revision == revision_of(ONE)
    assert policies.reload()


def test_a_refusal_made_while_the_ledger_is_busy_is_recorded_and_announced_afterward(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, BROKEN)
    policies.reload()
    bench.clock.advance(seconds=2)
    with busy(bench), pytest.raises(LedgerUnavailable):
        policies.reload()
    policies.reload()
    assert len(events(bench, EventTag.POLICY_INVALID)) == 1
    assert len(told(bench)) == 1


# -- files that can't be used ------------------------------------------------------------------------------------------


def test_an_unchanged_file_changes_nothing(bench: Bench, policies: PolicyReloader) -> None:
    assert not settles(bench, policies, 60)


def test_an_invalid_edit_is_reported_once_and_the_old_policy_stays_in_force(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    for _ in range(2):
        edits(file, BROKEN)
        assert not settles(bench, policies, 60)
    assert bench.context.policy.channel == "#one"
    [event] = events(bench, EventTag.POLICY_INVALID)
    assert "did you mean approvers?" in event.why
    [sentence] = told(bench)
    assert f"revision {revision_of(ONE)} stays in effect" in sentence


def test_a_missing_file_is_reported_and_changes_nothing(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    file.unlink()
    assert not settles(bench, policies, 2)
    assert bench.context.policy.channel == "#one"
    assert "No policy file" in told(bench)[0]


def test_a_fixed_file_applies(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    edits(file, BROKEN)
    settles(bench, policies, 5)
    edits(file, TWO)
    assert settles(bench, policies, 30)
    assert bench.context.policy.channel == "#two"


def test_a_restored_file_is_not_a_new_revision(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    edits(file, BROKEN)
    settles(bench, policies, 5)
    edits(file, ONE)
    assert not settles(bench, policies, 60)
    assert len(events(bench, EventTag.POLICY_LOADED)) == 1


def test_a_request_made_under_another_rule_ends_as_outdated(bench: Bench, policies: PolicyReloader, file: Path) -> None:
    request = bench.open()
    edits(file, TWO)
    settles(bench, policies, 30)
    assert bench.request_upkeep.end_outdated() == 1
    assert bench.state(request) is RequestState.STALE
    assert bench.request_upkeep.end_outdated() == 0


# -- any order of events -----------------------------------------------------------------------------------------------


STEPS = st.tuples(
    st.sampled_from([None, ONE, TWO, STRICTER, BROKEN]), st.sampled_from([0, 1, 2, 15, 31]), st.booleans()
)


@given(steps=st.lists(STEPS, max_size=12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_policy_is_in_force_only_after_its_wait_and_only_with_its_event(
    bench: Bench, tmp_path: Path, steps: list[tuple[str | None, int, bool]]
) -> None:
    file = tmp_path / "any.yml"
    edits(file, ONE)
    policies, since, now = start(bench, file), bench.clock.now(), ONE
    for text, seconds, is_busy in steps:
        before, in_force = bench.context.policy, bench.context.active_policy.revision
        if text and text != now:
            edits(file, text)
            since, now = bench.clock.now(), text
        for _ in range(seconds):
            bench.clock.advance(seconds=1)
            with busy(bench) if is_busy else nullcontext(), suppress(LedgerUnavailable):
                policies.reload()
        if bench.context.active_policy.revision != in_force:
            changes = policy_changes(before, bench.context.policy)
            assert bench.context.active_policy.revision == revision_of(now)
            assert bench.clock.now() - since >= settle_duration(changes, before)
            assert events(bench, EventTag.POLICY_LOADED)[-1].after == revision_of(now)
