"""Settings: their sources and warnings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bot.bootstrap.storage import open_registry
from bot.domain.core.errors import Misconfigured
from bot.registry.mlflow.adapter import MlflowVariables
from bot.settings import Settings, read_settings
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.cli_runner import CliRunner


@pytest.mark.parametrize("name", ["HOME", "HOST", "PORT", "POLICY", "POLL", "THREADS", "STAGES", "DATABASE_URL"])
def test_other_programs_variables_are_not_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_settings()
    monkeypatch.setenv(name, "/elsewhere")
    assert read_settings() == before


@pytest.mark.parametrize("name", [str(field.alias) for field in Settings.model_fields.values()])
def test_an_empty_setting_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_settings()
    monkeypatch.setenv(name, "")
    assert read_settings() == before


def test_trusted_proxies_are_addresses_or_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,2001:db8::/32")
    assert [str(each) for each in read_settings().trusted_proxies] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]


@pytest.mark.parametrize("value", ["*", "nginx", "10.0.0.1/8", "10.0.0.1;10.0.0.2", ","])
def test_anything_else_is_not_a_trusted_proxy(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REGISTRAR_TRUSTED_PROXIES", value)
    with pytest.raises(Misconfigured, match="REGISTRAR_TRUSTED_PROXIES: value is not a valid IPv4 or IPv6 network"):
        read_settings()


def test_the_ledger_and_registry_default_to_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_HOME", "/srv/registrar")
    settings = read_settings()
    assert (settings.ledger_url, MlflowVariables(os.environ, settings.home).tracking_uri) == (
        "sqlite:////srv/registrar/ledger.db",
        "sqlite:////srv/registrar/mlflow.db",
    )


def test_the_built_in_registry_causes_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGISTRAR_HOME", str(tmp_path))
    file = tmp_path / "mlflow.db"
    advice = f"Set it to your MLflow server's address, or to sqlite:///{file} to keep this file."
    told = "MLFLOW_TRACKING_URI isn't set, so Registrar {} in {}. {}"
    assert str(open_registry(read_settings()).unset) == told.format("creates a registry", file, advice)
    file.touch()
    assert str(open_registry(read_settings()).unset) == told.format("uses a registry", file, advice)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:1")
    assert str(open_registry(read_settings()).unset) == told.format("uses MLflow's runs", file, advice)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    assert open_registry(read_settings()).unset is None


def test_a_command_that_uses_mlflow_warns_once_about_the_built_in_registry(
    registrar: CliRunner, tmp_path: Path, mlflow_sqlite: str, mlflow_backend: MlflowBackend
) -> None:
    mlflow_backend.add_model("churn", versions=2)
    (tmp_path / ".registrar").mkdir()
    shutil.copy(mlflow_sqlite.removeprefix("sqlite:///"), tmp_path / ".registrar" / "mlflow.db")
    said = registrar("compare", "churn", "1", "2", "--json")
    assert said.document["model"] == "churn"
    assert said.err == f"Warning: {open_registry(read_settings()).unset}\n"
    assert registrar("compare", "churn", "1", "2", MLFLOW_TRACKING_URI=mlflow_sqlite).err == ""


def test_a_command_that_does_not_use_mlflow_does_not_warn(
    registrar: CliRunner, policy: Path, tmp_path: Path, sqlite_template: Path
) -> None:
    (tmp_path / ".registrar").mkdir()
    (tmp_path / ".registrar" / "ledger.db").write_bytes(sqlite_template.read_bytes())
    for words in ("requests", "monitor list", "audit show", "policy check", "db status"):
        assert registrar(*words.split()).err == ""
    assert not (tmp_path / ".registrar" / "mlflow.db").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/api", "http://127.0.0.1:1/api/"])
def test_the_slack_api_url_ends_in_a_slash(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_API_URL", url)
    assert read_settings().slack_api_url == "http://127.0.0.1:1/api/"


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-made-up")
    assert "made-up" not in repr(read_settings())
