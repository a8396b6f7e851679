"""The picture of the architecture shows what the imports are, and refuses to show what they are not."""

from __future__ import annotations

import pytest

from scripts import architecture
from tests.test_architecture import PACKAGED


def test_an_import_that_would_go_up_in_the_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "ROWS", architecture.ROWS[::-1])
    with pytest.raises(architecture.UpwardImport, match=r"bot\.domain|bot\.ports"):
        architecture.picture()


def test_the_packages_are_shown_in_the_order_that_their_imports_have() -> None:
    assert PACKAGED["bot.slack"] == architecture.PACKAGE_ORDER


def test_a_layer_that_is_no_folder_is_linked_as_a_file() -> None:
    assert "[`bot/registrar.py`](../bot/registrar.py)" in architecture.layer_table()
