"""The policy file while the bot runs: taken up, refused, kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.approvals import RequestState
from bot.domain.errors import Misconfigured
from bot.domain.events import Event, Tag
from bot.domain.people import Person, Profile
from bot.policy_file import PolicyFile
from bot.services.policies import Policies, revision
from tests.services.bench import Bench

ONE = 'channel: "#one"\nroles: {lead: [UBOB]}\nmodels: {"*": {production: {approvers: [lead]}}}\n'
TWO = ONE.replace("[UBOB]", "[UBOB, UCAROL]").replace("#one", "#two")
BROKEN = ONE.replace("approvers", "aprovers")


class Names:
    """A directory that knows what Bob and Carol are called."""

    def profile(self, person: Person) -> Profile:
        """Return a plain member."""
        return Profile(person=person)

    def members(self, ids: object) -> list[str]:
        """Return nobody."""
        return []

    def names(self, ids: object) -> dict[str, str]:
        """Return the names."""
        return {one: {"UBOB": "Bob Tanaka", "UCAROL": "Carol"}[one] for one in ids}  # type: ignore[attr-defined]  # a list


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "registrar.yml"
    path.write_text(ONE, encoding="utf-8")
    return path


@pytest.fixture
def policies(bench: Bench, file: Path) -> Policies:
    begun = Policies(bench.context, PolicyFile(file), Names())
    begun.begin()
    return begun


def edits(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def told(bench: Bench) -> list[str]:
    """Return what channels have yet to hear."""
    return [bench.told(note.key) for note in bench.notes()]


def events(bench: Bench, tag: Tag) -> list[Event]:
    return [event for event in bench.events() if event.tag is tag]


def test_the_policy_of_the_start_is_kept_whole_with_the_names_behind_its_ids(bench: Bench, policies: Policies) -> None:
    [event] = events(bench, Tag.POLICY_TAKEN)
    assert event.evidence == {"text": ONE, "names": {"UBOB": "Bob Tanaka"}}
    assert event.subject == f"policy:{revision(ONE)}"
    assert told(bench) == []


def test_the_same_policy_at_the_next_start_is_no_event(bench: Bench, policies: Policies, file: Path) -> None:
    Policies(bench.context, PolicyFile(file), Names()).begin()
    assert len(events(bench, Tag.POLICY_TAKEN)) == 1


def test_an_edited_file_holds_at_the_next_look(bench: Bench, policies: Policies, file: Path) -> None:
    edits(file, TWO)
    assert policies.take_up()
    assert bench.context.policy.channel == "#two"
    assert bench.context.rules.revision == revision(TWO)
    [_, event] = events(bench, Tag.POLICY_TAKEN)
    assert (event.before, event.after) == (revision(ONE), revision(TWO))
    assert [note.to for note in bench.notes()] == ["#two"]
    assert f"revision {revision(TWO)} holds from now on" in told(bench)[0]


def test_a_file_that_nobody_touched_is_not_read(bench: Bench, policies: Policies) -> None:
    assert not policies.take_up()


def test_a_broken_edit_is_refused_loudly_and_once_while_the_old_one_holds(
    bench: Bench, policies: Policies, file: Path
) -> None:
    for _ in range(2):
        edits(file, BROKEN)
        assert not policies.take_up()
    assert bench.context.policy.channel == "#one"
    [event] = events(bench, Tag.POLICY_BROKEN)
    assert "did you mean approvers?" in event.why
    [sentence] = told(bench)
    assert f"revision {revision(ONE)} of the policy goes on holding" in sentence


def test_a_file_that_is_gone_changes_nothing_and_is_told(bench: Bench, policies: Policies, file: Path) -> None:
    file.unlink()
    assert not policies.take_up()
    assert bench.context.policy.channel == "#one"
    assert "There is no policy file" in told(bench)[0]


def test_a_mended_file_holds(bench: Bench, policies: Policies, file: Path) -> None:
    edits(file, BROKEN)
    policies.take_up()
    edits(file, TWO)
    assert policies.take_up()
    assert bench.context.policy.channel == "#two"


def test_a_file_put_back_as_it_was_is_no_new_revision(bench: Bench, policies: Policies, file: Path) -> None:
    edits(file, BROKEN)
    policies.take_up()
    edits(file, ONE)
    assert not policies.take_up()
    assert len(events(bench, Tag.POLICY_TAKEN)) == 1


def test_a_start_with_a_broken_file_is_refused(bench: Bench, file: Path) -> None:
    edits(file, BROKEN)
    with pytest.raises(Misconfigured):
        Policies(bench.context, PolicyFile(file), Names()).begin()


def test_what_was_asked_for_under_another_rule_ends_as_out_of_date(
    bench: Bench, policies: Policies, file: Path
) -> None:
    request = bench.open()
    edits(file, TWO)
    policies.take_up()
    assert bench.requests.refresh() == 1
    assert bench.state(request) is RequestState.STALE
    assert bench.requests.refresh() == 0
