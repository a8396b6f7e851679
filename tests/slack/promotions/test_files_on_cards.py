"""What a card, and its details, say about a version's files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.integrity.digest import DigestState, VersionDigest
from bot.domain.integrity.manifest import FileEntry, FileManifest
from bot.domain.integrity.messages import format_bytes
from bot.domain.promotions.file_gate import file_facts, files_line, with_file_gate
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model import VersionIdentity
from bot.slack.core.blocks import Message
from bot.slack.promotions.details import request_details
from bot.slack.promotions.request_card import OVERRIDE, request_card
from localslack.blocks import message_problems
from tests.support.app.app_fixture import message_text
from tests.support.slack.card_examples import BETTER, a_churn_request, a_snapshot
from tests.support.slack.message_parts import buttons
from tests.support.slack.worst_case_values import NOW

FILES = FileManifest.of(
    FileEntry(path, size, "ab" * 32) for path, size in (("MLmodel", 812), ("model.pkl", 3_100_000_000))
)


def digest(**changes: Any) -> VersionDigest:
    waiting = VersionDigest(
        id="churn/4/x", model="churn", version=4, identity=VersionIdentity(), requested_at=NOW, due_at=NOW
    )
    return replace(waiting, **changes)


def recorded(**changes: Any) -> VersionDigest:
    return digest(state=DigestState.RECORDED, manifest=FILES, recorded_at=NOW, **changes)


HASHING = digest(file_count=200, byte_count=5_000_000_000, partial=FILES)
CHANGED = recorded(changed=("model.pkl",))
TOO_LARGE = digest(state=DigestState.TOO_LARGE, why="The files have 9 GB, more than 5 GB.")


def a_request(**changes: Any) -> Request:
    return a_churn_request(a_snapshot(BETTER), **changes)


def card(of: VersionDigest | None, *, is_required: bool = False, **changes: Any) -> Message:
    request = with_file_gate(a_request(**changes), file_facts(of)) if is_required else a_request(**changes)
    return request_card(request, [], files=files_line(request, of, is_required=is_required))


def last_line(of: VersionDigest | None, **options: Any) -> str:
    made = card(of, **options)
    assert message_problems(made.blocks) == []
    return str(made.blocks[-1]["elements"][0]["text"]).partition("  ·  ")[2]


def test_recorded_files_need_no_line() -> None:
    assert last_line(recorded()) == ""


def test_a_version_without_a_digest_needs_no_line() -> None:
    assert last_line(None, is_required=True) == ""


def test_files_that_cannot_be_read_need_no_line_if_they_are_not_required() -> None:
    assert last_line(digest(state=DigestState.FAILED, why="The registry's adapter can't read files.")) == ""


def test_a_required_digest_is_shown_in_short() -> None:
    assert last_line(recorded(), is_required=True) == f"Files `{FILES.digest[:12]}`"


def test_the_progress_of_hashing_is_shown() -> None:
    assert last_line(HASHING) == "Hashing its files: 2 of 200 files, 3.1 GB of 5 GB"


def test_before_the_files_are_listed_there_are_no_figures() -> None:
    assert last_line(digest()) == "Hashing its files"


def test_files_that_can_t_be_read_now_are_shown_as_waiting() -> None:
    assert last_line(digest(why="S3 isn't responding.")) == "Hashing its files: waiting. S3 isn't responding."


def test_a_promoted_card_shows_no_progress() -> None:
    assert last_line(HASHING, state=RequestState.DONE) == ""


def test_changed_files_are_named() -> None:
    assert last_line(CHANGED) == "⚠️ Its files changed after they were recorded: `model.pkl`"


def test_unrecorded_files_say_why() -> None:
    assert last_line(TOO_LARGE) == "⚠️ Its files aren't recorded. The files have 9 GB, more than 5 GB."


def test_a_failed_gate_is_not_repeated() -> None:
    assert last_line(TOO_LARGE, is_required=True) == ""


@pytest.mark.parametrize("of", [CHANGED, TOO_LARGE], ids=["changed", "too large"])
def test_a_failed_gate_can_be_overridden_on_the_card(of: VersionDigest) -> None:
    assert OVERRIDE in buttons(card(of, is_required=True))
    assert OVERRIDE not in buttons(card(of))


def test_a_failed_gate_is_in_the_headline() -> None:
    shown = message_text({"blocks": card(TOO_LARGE, is_required=True).blocks})
    assert "is blocked: integrity failed, override needed" in shown
    assert "its files aren't recorded (The files have 9 GB, more than 5 GB)" in shown


def details(of: VersionDigest | None) -> str:
    blocks = request_details(a_request(), [], MetricCatalog(), of)
    return message_text({"blocks": [block.to_dict() for block in blocks]})


def test_the_details_have_the_whole_digest() -> None:
    assert f"{FILES.digest}, 2 files, 3.1 GB" in details(recorded()).replace("`", "")


def test_the_details_name_changed_files() -> None:
    assert "3.1 GB. Changed: model.pkl" in details(CHANGED).replace("`", "")


def test_the_details_without_a_digest_have_nothing_about_files() -> None:
    assert "Files" not in details(None)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (812, "812 bytes"), (3_140_000, "3.14 MB"), (5_000_000_000, "5 GB"), (7 * 10**15, "7,000 TB")],
)
def test_a_size_has_three_digits(count: int, shown: str) -> None:
    assert format_bytes(count) == shown
