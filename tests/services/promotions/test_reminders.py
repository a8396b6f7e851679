"""Reminders about pending requests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.domain.audit.events import EventTag
from bot.ports import MessageKind
from tests.support.services.bench import Bench, second_bench
from tests.support.services.gates import events, set_gates


@pytest.fixture
def reminding(bench: Bench) -> Bench:
    """Return a bench with a reminder after an hour; a request needs two of Bob, Carol, and Alice."""
    set_gates(bench, approvers=["lead", "UALICE"], required=2, remind_after="1h", tell_approvers="direct")
    return bench


def people(ids: Sequence[str]) -> list[str]:
    """Return the ids: there are no groups here."""
    return list(ids)


def reminded(bench: Bench) -> list[str]:
    """Return the recipients of reminders in the outbox, sorted."""
    return sorted(note.to for note in bench.notes() if note.kind is MessageKind.DIRECT and ":reminder:" in note.key)


def test_approvers_are_reminded_but_not_the_requester(reminding: Bench) -> None:
    reminding.open()
    reminding.clock.advance(hours=1)
    assert reminding.request_upkeep.remind_approvers(people) == 1
    assert reminded(reminding) == ["UBOB", "UCAROL"]


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("mention", "Still waiting for @UBOB, @UCAROL after 1h. Expires 2026-05-11 12:00 UTC."),
        ("none", "Still waiting for approval after 1h. Expires 2026-05-11 12:00 UTC."),
    ],
)
def test_a_reminder_is_in_the_thread_or_direct_but_never_both(reminding: Bench, way: str, said: str) -> None:
    rule = {"approvers": ["lead", "UALICE"], "required": 2, "remind_after": "1h", "tell_approvers": way}
    set_gates(reminding, **rule)
    reminding.open()
    reminding.clock.advance(hours=1)
    reminding.request_upkeep.remind_approvers(people)
    assert reminded(reminding) == []
    assert reminding.told("news") == said


def test_a_requester_in_a_group_of_approvers_is_not_reminded(reminding: Bench) -> None:
    reminding.open()
    reminding.clock.advance(hours=1)
    reminding.request_upkeep.remind_approvers(lambda _: ["UALICE", "UBOB"])
    assert reminded(reminding) == ["UBOB"]


def test_at_most_twenty_people_are_reminded(reminding: Bench) -> None:
    reminding.open()
    reminding.clock.advance(hours=1)
    reminding.request_upkeep.remind_approvers(lambda _: [f"U{number:02}" for number in range(30)])
    assert reminded(reminding) == [f"U{number:02}" for number in range(20)]


def test_people_who_voted_are_not_reminded(reminding: Bench) -> None:
    reminding.approve(reminding.open())
    reminding.clock.advance(hours=1)
    reminding.request_upkeep.remind_approvers(people)
    assert reminded(reminding) == ["UCAROL"]


def test_the_requester_is_reminded_if_they_can_decide(bench: Bench) -> None:
    set_gates(
        bench, approvers=["lead", "UALICE"], requester_may_approve=True, remind_after="1h", tell_approvers="direct"
    )
    bench.open()
    bench.clock.advance(hours=1)
    bench.request_upkeep.remind_approvers(people)
    assert reminded(bench) == ["UALICE", "UBOB", "UCAROL"]


def test_each_interval_is_twice_as_long_as_the_one_before(reminding: Bench) -> None:
    reminding.open()
    hours = []
    for hour in range(1, 20):
        reminding.clock.advance(hours=1)
        hours += [hour] * reminding.request_upkeep.remind_approvers(people)
    assert hours == [1, 3, 7, 15]


def test_two_processes_send_one_reminder(reminding: Bench) -> None:
    other, counts = second_bench(reminding), []
    other.context.active_policy.replace(reminding.context.policy, "edited")

    def while_the_other_reminds(ids: Sequence[str]) -> list[str]:
        counts.append(other.request_upkeep.remind_approvers(people))
        return people(ids)

    reminding.open()
    reminding.clock.advance(hours=1)
    assert reminding.request_upkeep.remind_approvers(while_the_other_reminds) == 0
    assert counts == [1]
    assert reminded(reminding) == ["UBOB", "UCAROL"]


def test_a_reminder_is_audited_with_its_recipients(reminding: Bench) -> None:
    reminding.open()
    reminding.clock.advance(hours=1)
    reminding.request_upkeep.remind_approvers(people)
    [event] = events(reminding, EventTag.REMINDED)
    assert event.evidence["people"] == ["UBOB", "UCAROL"]


def test_a_decided_request_reminds_no_one(reminding: Bench) -> None:
    reminding.reject(reminding.open())
    reminding.clock.advance(hours=1)
    assert reminding.request_upkeep.remind_approvers(people) == 0


def test_no_one_is_reminded_unless_the_policy_says_so(bench: Bench) -> None:
    bench.open()
    bench.clock.advance(hours=20)
    assert bench.request_upkeep.remind_approvers(people) == 0
