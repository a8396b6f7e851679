"""The demo's folder: what's in a new one, and what a start adds to one from an earlier version."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.bootstrap.env_file import load_env_file
from bot.key_folder import KeyFolder
from bot.policy_file import load_policy
from bot.settings import read_settings
from handlers.demo.folder import POLICY_TEMPLATE, DemoFolder

BOT_URL = "http://127.0.0.1:3000"


@pytest.fixture
def folder(tmp_path: Path) -> DemoFolder:
    """Return a demo's folder that nothing was written to yet."""
    return DemoFolder(tmp_path / "it's a home")


def test_a_new_folder_has_a_key_that_signs(folder: DemoFolder) -> None:
    with folder.hold():
        assert KeyFolder(folder.path / "keys").signer()


def test_the_next_start_signs_with_the_same_key(folder: DemoFolder) -> None:
    with folder.hold():
        pass
    before = KeyFolder(folder.path / "keys").stored_keys()
    with folder.hold():
        pass
    assert KeyFolder(folder.path / "keys").stored_keys() == before


def test_a_folder_of_an_earlier_version_gets_a_key_and_lets_its_client_read(folder: DemoFolder) -> None:
    folder.path.mkdir()
    earlier = POLICY_TEMPLATE.replace(
        "    may: [push, read]          # read: to verify what was approved\n", "    may: [push]\n"
    )
    assert earlier != POLICY_TEMPLATE
    folder.policy_file.write_text(earlier, encoding="utf-8")
    with folder.hold():
        assert load_policy(folder.policy_file).clients["churn-serving"].may == ["push", "read"]
    assert KeyFolder(folder.path / "keys").signer()


def test_what_people_let_clients_do_stays(folder: DemoFolder) -> None:
    folder.path.mkdir()
    edited = POLICY_TEMPLATE.replace("may: [push, read]", "may: [push, request]")
    folder.policy_file.write_text(edited, encoding="utf-8")
    with folder.hold():
        assert load_policy(folder.policy_file).clients["churn-serving"].may == ["push", "request"]


def test_the_environment_file_is_private_and_finds_the_running_demo(
    folder: DemoFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "REGISTRAR_HOME", "REGISTRAR_URL", "REGISTRAR_TOKEN"):
        monkeypatch.setenv(name, "")  # restored afterward
        monkeypatch.delenv(name)
    with folder.hold():
        folder.write_environment("http://127.0.0.1:1")
        folder.write_environment(BOT_URL)  # the next start has another port
    assert folder.env_file.stat().st_mode & 0o777 == 0o600
    load_env_file(folder.env_file)
    settings = read_settings()
    assert settings.bot_token
    assert settings.bot_token.get_secret_value() == folder.token_file.read_text()
    assert (settings.bot_url, settings.keys_folder) == (BOT_URL, (folder.path / "keys").absolute())
    assert settings.tracking_uri == folder.registry_uri
