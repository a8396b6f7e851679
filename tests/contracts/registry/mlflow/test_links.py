"""The addresses of MLflow's pages, and which version a page shows."""

from __future__ import annotations

import pytest

from bot.domain.registry.model import Stage, VersionInfo
from bot.registry.mlflow.adapter import links

BASE = "https://mlflow.example.com/base"


@pytest.mark.parametrize("model", ["churn", "fraud/eu 2", "модель"])
def test_a_version_s_page_is_recognized(model: str) -> None:
    pages = links(BASE)
    page = pages.version(VersionInfo(model=model, version=7, stage=Stage.NONE))
    assert page is not None
    assert pages.version_at(page) == (model, 7)


@pytest.mark.parametrize(
    "url",
    [
        "https://MLflow.example.com/base/#/models/churn/versions/7?tab=overview",
        "https://mlflow.example.com/base#/models/churn/versions/7/",
    ],
)
def test_other_ways_to_write_the_page_are_recognized(url: str) -> None:
    assert links(BASE).version_at(url) == ("churn", 7)


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/#/models/churn",
        f"{BASE}/#/models/churn/versions/7x",
        f"{BASE}/#/models/churn%0A/versions/7",
        f"{BASE}/#/models/churn%00/versions/7",
        f"{BASE}/#/models/{'x' * 251}/versions/7",
        f"{BASE}/#/models/a/b/versions/7",
        f"{BASE}/#/experiments/1/runs/7",
        "https://mlflow.example.com/other/#/models/churn/versions/7",
        "https://mlflow.example.com.evil.test/base/#/models/churn/versions/7",
        "http://mlflow.example.com/base/#/models/churn/versions/7",
    ],
)
def test_another_page_is_not_a_version_s(url: str) -> None:
    assert links(BASE).version_at(url) is None


def test_without_an_address_no_page_is_known() -> None:
    assert links(None).version_at(f"{BASE}/#/models/churn/versions/7") is None
