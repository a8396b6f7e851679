"""The bot is killed before and after every write of an automatic rollback: one rollback comes of it, and one story."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.conftest import Mortals
from tests.faults.dying import Case
from tests.faults.test_crashes import deaths_at, twice
from tests.world import CHANNEL, said

ROLLED_BACK = "registrar:version:rolled_back"


# An automatic rollback has as many writes; each death costs the whole story before it.
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whoever_dies_at_any_write_of_an_automatic_rollback_leaves_one_rollback_and_one_story(mortals: Mortals) -> None:
    points = mortals.act(mortals.case("monitor")).points
    deaths = list(deaths_at(points, is_complete=False))
    print(f"monitor: {len(points)} writes, {len(deaths)} deaths")
    wrong = [
        f"killed {when} {points[number]} ({number}): {what}"
        for number, when in deaths
        for what in left_by_a_monitor(mortals, mortals.case("monitor", number, when))
    ]
    assert wrong == []


def left_by_a_monitor(mortals: Mortals, case: Case) -> Iterator[str]:
    """Yield what is wrong after an automatic rollback was interrupted here, and taken up again."""
    if not mortals.act(case).died:
        yield "it did not die"
    truth, _ = mortals.restart(case)
    if (truth.production, truth.champion) != ([3], 3):
        yield f"Production holds {truth.production}, the alias {truth.champion}"
    if truth.tags.count(ROLLED_BACK) != 1 or truth.bars != [4]:
        yield f"{truth.tags.count(ROLLED_BACK)} rollbacks told, barred are {truth.bars}"
    if len(truth.incidents) != 1 or not truth.incidents[0].startswith("Restored: v3"):
        yield f"the incidents ended so: {truth.incidents}"
    if truth.unfinished or truth.undelivered or not truth.chain_is_whole:
        yield f"{truth.unfinished} moves and {truth.undelivered} messages are left, chain {truth.chain_is_whole}"
    alerts = [one for one in mortals.slack.person("bob").sees(CHANNEL) if "v4" in said(one) and "Undo" in str(one)]
    if len(alerts) != 1:
        yield f"there are {len(alerts)} alerts"
    for alert in alerts:
        yield from twice(mortals.slack.person("bob").thread(alert)[1:])
