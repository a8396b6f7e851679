"""The picture of the architecture shows what the imports are, and refuses to show what they are not."""

from __future__ import annotations

import pytest

from scripts import architecture


def test_an_import_that_would_go_up_in_the_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "ROWS", architecture.ROWS[::-1])
    with pytest.raises(architecture.UpwardImport, match=r"bot\.domain|bot\.ports"):
        architecture.picture()


@pytest.mark.parametrize("layer", ["bot.domain", "bot.services", "bot.slack"])
def test_every_package_has_its_place_in_the_order(layer: str) -> None:
    assert set(architecture.packages(layer)) <= set(architecture.PACKAGE_ORDER)


def test_a_package_imports_only_packages_before_it() -> None:
    assert architecture.backward_imports() == []


def test_a_layer_that_is_no_folder_is_linked_as_a_file() -> None:
    assert "[`bot/registrar.py`](../bot/registrar.py)" in architecture.layer_table()
