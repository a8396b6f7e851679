"""The architecture picture matches the imports, and rejects wrong ones."""

from __future__ import annotations

import pytest

from scripts import architecture
from scripts.markdown import SOURCE
from tests.test_architecture import PACKAGED


def test_an_upward_import_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "ROWS", architecture.ROWS[::-1])
    with pytest.raises(architecture.UpwardImport, match=r"bot\.domain|bot\.ports"):
        architecture.picture()


def test_packages_are_shown_in_import_order() -> None:
    assert PACKAGED["bot.slack"] == architecture.PACKAGE_ORDER


def test_a_layer_that_is_a_file_is_linked_as_a_file() -> None:
    assert f"[`bot/registrar.py`]({SOURCE}bot/registrar.py)" in architecture.layer_table()
