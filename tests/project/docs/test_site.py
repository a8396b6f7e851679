"""The check of the built docs site finds what's broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_site import main, problems


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A built site with two pages that link each other."""
    (tmp_path / "zensical.toml").write_text('[project]\nsite_url = "https://docs.example/registrar/"\n')
    folder = tmp_path / "site"
    (folder / "how-to").mkdir(parents=True)
    (folder / "style.css").touch()
    (folder / "index.html").write_text(
        '<link rel="stylesheet" href="style.css"><a href="how-to/index.html#gate">Gate</a>'
    )
    (folder / "how-to" / "index.html").write_text(
        '<h2 id="gate">Gate</h2> <a href="..">Home</a> <a href="#gate">Top</a>'
    )
    (folder / "404.html").write_text('<a href="/registrar/how-to/">How-to</a>')
    return folder


def add(site: Path, html: str) -> list[str]:
    """Add something to the first page, and return what the check finds."""
    page = site / "index.html"
    page.write_text(page.read_text(encoding="utf-8") + html, encoding="utf-8")
    return list(problems(site, "/registrar/"))


def test_a_site_whose_links_work_has_no_problems(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(site) == 0
    assert capsys.readouterr().out.startswith("Checked 3 pages")


@pytest.mark.parametrize(
    "url", ["gone.html", "how-to/index.html#gone", "#gone", "pictures/gone.svg", "/elsewhere/index.html"]
)
def test_a_link_that_leads_nowhere_is_found(site: Path, url: str) -> None:
    assert add(site, f'<a href="{url}">here</a>') == [f"index.html: {url} leads nowhere"]


def test_a_picture_that_does_not_exist_is_found(site: Path) -> None:
    assert add(site, '<img src="pictures/card.png">') == ["index.html: pictures/card.png leads nowhere"]


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x"></script>',
        '<img src="https://cdn.example/x">',
        '<link rel="stylesheet" href="https://cdn.example/x">',
        '<link rel="preconnect" href="https://cdn.example/x">',
    ],
)
def test_what_is_loaded_from_another_site_is_found(site: Path, html: str) -> None:
    assert add(site, html) == ["index.html: loads https://cdn.example/x"]


def test_a_link_to_another_site_is_not_followed(site: Path) -> None:
    assert add(site, '<a href="https://mlflow.org/">MLflow</a> <a href="mailto:a@example.com">Mail</a>') == []


def test_an_empty_site_fails(tmp_path: Path) -> None:
    (tmp_path / "zensical.toml").write_text('[project]\nsite_url = "https://docs.example/"\n')
    (tmp_path / "site").mkdir()
    assert main(tmp_path / "site") == 1
