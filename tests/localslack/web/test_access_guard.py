"""Requests from other sites are refused, because any page can reach 127.0.0.1."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_socket
from websockets.typing import Origin

from localslack import LocalSlack


def status_of(slack: LocalSlack, method: str, path: str, headers: dict[str, str], **kwargs: Any) -> int:
    return httpx2.request(method, slack.url + path, headers=headers, trust_env=False, **kwargs).status_code


@pytest.mark.parametrize("path", ["", "_ui/people", "_control/status", "api/auth.test", "static/app.js"])
def test_a_foreign_host_is_refused_everywhere(slack: LocalSlack, path: str) -> None:
    assert (
        status_of(
            slack,
            "POST" if "control" in path else "GET",
            path,
            {"Host": "evil.example"},
        )
        == 403
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_origins_can_reach_neither_people_nor_controls(slack: LocalSlack, headers: dict[str, str]) -> None:
    assert status_of(slack, "GET", "_ui/people", headers) == 403
    assert status_of(slack, "POST", "_control/status", headers, json={}) == 403


def test_the_page_is_served(slack: LocalSlack) -> None:
    own = {"Origin": slack.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert status_of(slack, "GET", "_ui/people", own) == 200
    assert status_of(slack, "POST", "_control/status", own, json={}) == 200


def test_a_link_from_another_site_can_open_the_page_but_not_act(slack: LocalSlack) -> None:
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert status_of(slack, "GET", "", visit) == 200
    assert status_of(slack, "POST", "_ui/type", visit, json={}) == 403


def test_a_form_can_t_act(slack: LocalSlack) -> None:
    assert status_of(slack, "POST", "_control/reset", {}, data={"x": "y"}) == 403


def test_a_page_can_t_open_a_socket(slack: LocalSlack) -> None:
    url = slack.url.replace("http", "ws") + "link/?ticket=x"
    evil = Origin("https://evil.example")
    with pytest.raises(InvalidStatus), open_socket(url, origin=evil, proxy=None):
        pass


def test_the_page_loads_only_pictures_from_other_hosts(slack: LocalSlack) -> None:
    policy = httpx2.get(slack.url, trust_env=False).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy


def test_it_listens_only_on_this_machine(slack: LocalSlack) -> None:
    assert slack.url.startswith("http://127.0.0.1:")
