"""The gate `integrity`: with `required`, what's promoted is byte for byte what was approved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.domain.core.errors import GateFailed, Refused, RegistryRefused
from bot.domain.integrity.digest import DigestState
from bot.domain.promotions.request import Request, RequestState
from bot.domain.transitions.transition import TransitionState
from bot.services.integrity.digests import MAX_REFUSALS, request_digest
from tests.support.registry.files import (
    compare_and_move,
    digest_of,
    hash_files,
    move,
    require_files,
    write_file,
)
from tests.support.registry.memory import MemoryFiles
from tests.support.services.bench import BOB, CAROL, DAVE, Bench, second_bench


@pytest.fixture
def required(bench: Bench) -> Bench:
    """Return the bench with a rule that requires unchanged files; churn v4 has two."""
    require_files(bench, override=["admin"])
    write_file(bench, "MLmodel", b"flavors")
    write_file(bench, "model.pkl", b"good")
    return bench


@pytest.fixture
def hashed(required: Bench) -> Request:
    """Return an open request whose files are recorded."""
    request = required.open()
    hash_files(required)
    return request


def approved(bench: Bench, request: Request) -> Request:
    bench.clock.advance(seconds=10)
    return bench.approve(request).request


# -- recording ---------------------------------------------------------------------------------------------------------


def test_opening_a_request_has_the_files_hashed(bench: Bench) -> None:
    bench.open()
    assert digest_of(bench) is not None


def test_breaking_glass_has_the_files_hashed(bench: Bench) -> None:
    bench.open('promote churn 4 production --break-glass --reason "fraud"', DAVE)
    assert digest_of(bench) is not None


def test_a_refused_request_reads_no_files(required: Bench) -> None:
    require_files(required, gates=[{"metric": "accuracy", "at_least": 0.9}])
    with pytest.raises(GateFailed):
        required.open()
    assert digest_of(required) is None


def test_with_off_nothing_is_read(bench: Bench) -> None:
    require_files(bench, "off")
    move(bench, bench.approved())
    hash_files(bench)
    assert (bench.registry.holders(), digest_of(bench)) == ([4], None)
    assert bench.registry.request_counts["version_files"] == 0


def test_with_recorded_a_promotion_does_not_wait(bench: Bench) -> None:
    assert move(bench, bench.approved()).state is RequestState.DONE


def test_with_recorded_the_files_are_compared_after_the_move(bench: Bench) -> None:
    request = bench.open()
    hash_files(bench)
    move(bench, approved(bench, request))
    hash_files(bench)
    digest = digest_of(bench)
    assert digest is not None
    assert digest.compared_at == bench.clock.now()


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_nobody_can_approve_files_that_are_still_being_hashed(required: Bench) -> None:
    request = required.open()
    with pytest.raises(Refused, match=r"^Hashing its files\. You can approve when that's done\.$"):
        approved(required, request)
    hash_files(required)
    assert approved(required, request).state is RequestState.APPROVED


def test_files_that_are_still_being_hashed_can_be_rejected(required: Bench) -> None:
    assert required.reject(required.open()).request.state is RequestState.REJECTED


def test_a_waiting_promotion_says_what_for(required: Bench, hashed: Request) -> None:
    move(required, approved(required, hashed))
    assert required.move(hashed).why.startswith("Comparing its files")
    assert required.move(hashed).why.endswith("I'll promote the version when that's done.")


def test_a_waiting_promotion_is_made_once_the_files_are_compared(required: Bench, hashed: Request) -> None:
    request = approved(required, hashed)
    move(required, request)
    assert compare_and_move(required, request).state is RequestState.DONE


def test_another_process_makes_a_promotion_whose_process_was_killed_while_it_waited(
    required: Bench, hashed: Request
) -> None:
    request = approved(required, hashed)
    move(required, request)
    other = second_bench(required)
    other.context.active_policy.replace(required.context.policy, "edited")
    hash_files(other)
    assert compare_and_move(other, request).state is RequestState.DONE


def test_a_waiting_promotion_holds_no_claim(required: Bench, hashed: Request) -> None:
    move(required, approved(required, hashed))
    assert required.move(hashed).state is TransitionState.INTENDED


def test_a_promotion_that_waits_too_long_expires(required: Bench, hashed: Request) -> None:
    request = approved(required, hashed)
    move(required, request)
    assert move(required, request, seconds=8 * 24 * 3600).state is RequestState.EXPIRED


def test_a_promotion_waits_while_the_files_can_t_be_read(required: Bench, hashed: Request) -> None:
    approved(required, hashed)
    required.registry.are_files_down = True
    assert compare_and_move(required, hashed).state is RequestState.APPROVED
    required.registry.are_files_down = False
    required.clock.advance(minutes=15)
    hash_files(required)
    assert move(required, hashed, seconds=120).state is RequestState.DONE


def test_a_promotion_whose_files_can_never_be_compared_fails(
    required: Bench, hashed: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: MemoryFiles, path: str) -> Iterator[bytes]:
        raise RegistryRefused("Forbidden.")

    move(required, approved(required, hashed))
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFiles, "chunks", refuse)
        for _ in range(MAX_REFUSALS):
            hash_files(required)
            required.clock.advance(minutes=10)
        assert move(required, hashed).state is RequestState.FAILED
    assert required.move(hashed).why == "Its files can't be compared with what was approved. Forbidden."
    again = approved(required, required.open())
    assert compare_and_move(required, again).state is RequestState.DONE


def test_an_old_comparison_does_not_count(required: Bench, hashed: Request) -> None:
    move(required, approved(required, hashed))
    hash_files(required)
    write_file(required, "model.pkl", b"evil")
    assert move(required, hashed, seconds=7 * 3600).state is RequestState.APPROVED
    hash_files(required)
    assert move(required, hashed).state is RequestState.STALE


# -- changed files -----------------------------------------------------------------------------------------------------


def test_unchanged_files_are_promoted(required: Bench, hashed: Request) -> None:
    assert compare_and_move(required, approved(required, hashed)).state is RequestState.DONE


def test_a_byte_that_was_flipped_after_the_approval_makes_the_request_outdated(
    required: Bench, hashed: Request
) -> None:
    approved(required, hashed)
    write_file(required, "model.pkl", b"gooe")
    ended = compare_and_move(required, hashed)
    assert (ended.state, required.registry.holders()) == (RequestState.STALE, [3])
    assert ended.outcome == "A gate no longer passes: its files changed: model.pkl."


def test_files_that_were_hashed_after_an_approval_are_not_what_was_approved(required: Bench) -> None:
    request = required.open()
    too_large(required)
    required.clock.advance(seconds=1)
    required.approve(request, BOB)  # the gate fails, so this isn't enough
    write_file(required, "model.pkl", b"evil")
    required.clock.advance(seconds=1)
    with required.ledger.write() as tx:  # as another request of the version does
        identity = required.registry.version("churn", 4).identity()
        request_digest(tx, "churn", 4, identity, now=required.clock.now(), again=True)
    hash_files(required)
    ended = compare_and_move(required, required.approve(request, CAROL).request)
    assert (ended.state, required.registry.holders()) == (RequestState.STALE, [3])
    assert ended.outcome.startswith("The files were hashed after an approval")


def test_a_byte_that_was_flipped_before_the_approval_makes_the_request_outdated(
    required: Bench, hashed: Request
) -> None:
    write_file(required, "model.pkl", b"gooe")
    assert compare_and_move(required, approved(required, hashed)).state is RequestState.STALE


@pytest.mark.parametrize("path", ["hook.py", "code/hook.py"])
def test_a_file_that_was_added_between_comparison_and_move_is_noticed(
    required: Bench, hashed: Request, path: str
) -> None:
    move(required, approved(required, hashed))
    hash_files(required)
    write_file(required, path, b"import os")
    ended = move(required, hashed)
    assert (ended.state, required.registry.holders()) == (RequestState.STALE, [3])
    assert ended.outcome == f"A gate no longer passes: its files changed: {path}."


def test_a_file_that_was_removed_is_noticed(required: Bench, hashed: Request) -> None:
    approved(required, hashed)
    required.registry.remove_file(required.registry.version("churn", 4), "model.pkl")
    assert compare_and_move(required, hashed).outcome == "A gate no longer passes: its files changed: model.pkl."


def test_three_of_many_changed_files_are_named(required: Bench, hashed: Request) -> None:
    approved(required, hashed)
    for number in range(5):
        write_file(required, f"part-{number}", b"x")
    outcome = compare_and_move(required, hashed).outcome
    assert outcome == "A gate no longer passes: its files changed: part-0, part-1, part-2, 2 more."


def test_files_that_differ_from_those_of_an_earlier_request_fail_the_gate(required: Bench, hashed: Request) -> None:
    approved(required, hashed)
    write_file(required, "model.pkl", b"evil")
    compare_and_move(required, hashed)
    seen = required.open().seen
    assert seen is not None
    assert [gate.value for gate in seen.failed_gates] == ["its files changed: model.pkl"]


def test_a_re_created_version_is_hashed_again(required: Bench, hashed: Request) -> None:
    approved(required, hashed)
    first = digest_of(required)
    required.registry.replace_version("churn", 4, run_id="another", created_at=required.clock.now())
    assert compare_and_move(required, hashed).state is RequestState.STALE
    required.open()
    second = digest_of(required)
    assert first is not None
    assert second is not None
    assert (first.id != second.id, second.state) == (True, DigestState.WAITING)


def test_break_glass_does_not_wait(required: Bench) -> None:
    request = required.open('promote churn 4 production --break-glass --reason "fraud"', DAVE)
    assert move(required, request).state is RequestState.DONE


# -- files that can't be recorded --------------------------------------------------------------------------------------


def too_large(bench: Bench) -> None:
    digest = digest_of(bench)
    assert digest is not None
    with bench.ledger.write() as tx:
        tx.save_digest(replace(digest, state=DigestState.TOO_LARGE, due_at=None, why="The files are too large: 9 GB."))


def test_files_that_are_too_large_fail_the_gate_of_a_request_that_was_already_open(required: Bench) -> None:
    request = required.open()
    too_large(required)
    decided = required.approve(request).request
    assert (decided.state, decided.has_blocking_gates) == (RequestState.PENDING, True)


def test_files_that_are_too_large_can_be_overridden(required: Bench) -> None:
    request = required.open()
    too_large(required)
    required.override(request, DAVE)
    assert move(required, required.approve(request, BOB).request).state is RequestState.DONE


def test_an_override_of_another_gate_does_not_cover_files_that_turn_out_to_be_too_large(required: Bench) -> None:
    require_files(required, gates=[{"semver": "set"}], override=["admin"])
    request = required.open()
    required.override(request, DAVE)
    too_large(required)
    assert move(required, required.approve(request, BOB).request).state is RequestState.STALE
    assert required.registry.holders() == [3]


def test_an_override_of_unrecorded_files_does_not_cover_changed_ones(required: Bench) -> None:
    request = required.open()
    too_large(required)
    required.override(request, DAVE)
    required.approve(request, BOB)
    digest = digest_of(required)
    assert digest is not None
    with required.ledger.write() as tx:
        recorded = replace(digest.end_pass(), state=DigestState.RECORDED, compared_at=required.clock.now())
        tx.save_digest(replace(recorded, changed=("model.pkl",)))
    assert move(required, request).state is RequestState.STALE
