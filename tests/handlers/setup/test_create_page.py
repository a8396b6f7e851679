"""The address of Slack's page that creates the app."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from handlers.manifest import MANIFEST
from handlers.setup.create_page import create_app_url
from handlers.setup.steps.slack_tokens import BOT_TOKEN_STEP
from tests.support.terminal.setup_wizard import Wizard

TEXT = MANIFEST.read_text(encoding="utf-8")
MAX_URL = 4000  # characters; servers accept 8,000, and some proxies half of that


def manifest_in(url: str) -> dict[str, object]:
    manifest: dict[str, object] = yaml.safe_load(parse_qs(urlsplit(url).query)["manifest_yaml"][0])
    return manifest


def test_the_page_has_the_entire_manifest() -> None:
    assert manifest_in(create_app_url(TEXT, "")) == yaml.safe_load(TEXT)


def test_the_address_is_short_enough_and_has_no_comments() -> None:
    url = create_app_url(TEXT, "")
    assert len(url) < MAX_URL
    assert "docs%2Fslack.md" not in url


def test_links_to_mlflow_are_previewed() -> None:
    features = manifest_in(create_app_url(TEXT, "https://ml.acme.com:8443/x"))["features"]
    assert features["unfurl_domains"] == ["ml.acme.com"]  # type: ignore[index]


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000", "sqlite:///x"])
def test_a_local_address_changes_nothing(url: str) -> None:
    assert create_app_url(TEXT, url) == create_app_url(TEXT, "")


def test_setup_prints_the_page_and_the_file(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_API_URL")
    screen = wizard.finishes(BOT_TOKEN_STEP)
    assert f"\n{create_app_url(TEXT, '')}\n" in screen
    assert f"paste {MANIFEST}." in screen
