"""Sources by their names in the policy: ours and other packages', and what is said where one cannot be had."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy, Source
from bot.ledger import SqlLedger
from bot.ports import MetricSource, Query
from bot.registry.memory import MemoryRegistry
from bot.sources import SourceDependencies
from bot.sources.mlflow import LiveMlflowSource, MlflowSource
from bot.sources.plugins import BUILT_IN_OPENERS, ENTRY_POINT_GROUP, MetricSources, open_source
from bot.sources.prometheus import PrometheusSource
from bot.sources.push import PushSource
from tests.support.paths import ROOT

HERE = __name__


class Plugin:
    """A source of somebody else's: it writes down what happens to it."""

    def __init__(self, name: str, source: Source, parts: SourceDependencies) -> None:
        self.name, self.options, self.parts = name, source.options, parts
        self.is_closed = False

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return nothing for each."""
        return [Answer() for _ in queries]

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return nothing."""
        return Answer()

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


def broken(name: str, source: Source, parts: SourceDependencies) -> MetricSource:
    """Fail as a plug-in may."""
    raise KeyError("no\x1b key")


def picky(name: str, source: Source, parts: SourceDependencies) -> MetricSource:
    """Say what is wrong, in our way."""
    raise Misconfigured("sources.x.key: is wrong.")


@pytest.fixture
def parts() -> Iterator[SourceDependencies]:
    ledger = SqlLedger("sqlite:////nowhere/ledger.db")
    registry = MemoryRegistry()
    environ = {"PROM_TOKEN": " t0ken\n", "EMPTY": " "}
    yield SourceDependencies(ledger=ledger, registry=registry, tracker=registry, environ=environ)
    ledger.close()


def plugins() -> list[EntryPoint]:
    """Return what other packages bring."""
    named = {
        "datadog": f"{HERE}:Plugin",
        "broken": f"{HERE}:broken",
        "picky": f"{HERE}:picky",
        "missing": "no_such_package:open",
        "nameless": f"{HERE}:nothing_of_that_name",
    }
    return [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in named.items()]


def opened(parts: SourceDependencies, **data: Any) -> MetricSource:
    return open_source("x", Source(**data), parts, plugins=plugins)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this module be found by its name: pytest keeps it apart."""
    import sys

    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"type": "push"}, PushSource),
        ({"type": "push", "keep": "30d", "require_signature": True}, PushSource),
        ({"type": "mlflow"}, MlflowSource),
        ({"type": "mlflow", "live": False}, MlflowSource),
        ({"type": "mlflow", "live": True}, LiveMlflowSource),
        ({"type": "prometheus", "url": "http://prom:9090"}, PrometheusSource),
        ({"type": "prometheus", "url": "https://ann:pw@prom/path", "token_env": "PROM_TOKEN"}, PrometheusSource),
    ],
)
def test_our_own_types(parts: SourceDependencies, data: dict[str, Any], kind: type[MetricSource]) -> None:
    source = opened(parts, **data)
    assert type(source) is kind
    getattr(source, "close", lambda: None)()


def test_another_package_s_type_gets_its_options_and_what_it_needs(parts: SourceDependencies, here: None) -> None:
    source = opened(parts, type="datadog", site="eu")
    assert isinstance(source, Plugin)
    assert (source.name, source.options, source.parts) == ("x", {"site": "eu"}, parts)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"type": "prometeus"}, "sources.x.type: there is no type prometeus; did you mean prometheus?"),
        ({"type": "datadgo"}, "sources.x.type: there is no type datadgo; did you mean datadog?"),
        (
            {"type": "\x1b[31m"},
            "sources.x.type: there is no type [31m; types are: broken, datadog, missing, mlflow, "
            "nameless, picky, prometheus, push.",
        ),
        (
            {"type": "missing"},
            "sources.x.type: the plug-in missing cannot be used (ModuleNotFoundError: "
            "No module named 'no_such_package').",
        ),
        ({"type": "broken"}, "sources.x.type: the plug-in broken cannot be used (KeyError: 'no\\x1b key')."),
        ({"type": "picky"}, "sources.x.key: is wrong."),
        ({"type": "push", "kep": "3d"}, "sources.x.kep: unknown key; did you mean keep?"),
        ({"type": "push", "url": "http://x"}, "sources.x.url: unknown key; known are type, keep, require_signature."),
        ({"type": "push", "keep": "long"}, "sources.x.keep: is no duration; write one like 12h or 35d."),
        ({"type": "push", "keep": "1s"}, "sources.x.keep: is shorter than an hour."),
        ({"type": "push", "require_signature": "yes"}, "sources.x.require_signature: must be true or false."),
        ({"type": "mlflow", "live": 1}, "sources.x.live: must be true or false."),
        ({"type": "mlflow", "uri": "x"}, "sources.x.uri: unknown key; known are type, live."),
        ({"type": "prometheus"}, "sources.x.url: must be Prometheus's address, such as http://prometheus:9090."),
        (
            {"type": "prometheus", "url": "http://prom", "token": "t"},
            "sources.x.token: unknown key; did you mean token_env?",
        ),
        (
            {"type": "prometheus", "url": "http://prom", "token_env": "NONE"},
            "sources.x.token_env: the environment has no token in NONE.",
        ),
        (
            {"type": "prometheus", "url": "http://prom", "token_env": "EMPTY"},
            "sources.x.token_env: the environment has no token in EMPTY.",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    parts: SourceDependencies, here: None, data: dict[str, Any], why: str
) -> None:
    with pytest.raises(Misconfigured) as refused:
        opened(parts, **data)
    assert str(refused.value.sentence) == why


@pytest.mark.parametrize(
    "url", ["", "prom:9090", "ftp://prom", "http://", "http://:9090", "http://prom:99999", "http://[", "file:///x"]
)
def test_an_address_that_is_none(parts: SourceDependencies, url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^sources.x.url: must be"):
        opened(parts, type="prometheus", url=url)


def test_a_name_that_a_plug_in_does_not_have(parts: SourceDependencies, here: None) -> None:
    with pytest.raises(Misconfigured, match="nameless cannot be used"):
        opened(parts, type="nameless")


def test_what_is_declared_is_what_there_is() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    points = declared["project"]["entry-points"][ENTRY_POINT_GROUP]
    assert {
        name: EntryPoint(name, value, ENTRY_POINT_GROUP).load() for name, value in points.items()
    } == BUILT_IN_OPENERS


def test_the_example_of_the_docs_is_a_plug_in(parts: SourceDependencies) -> None:
    page = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n([^`]*def open_datadog[^`]*)```", page)
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - it is ours
    source = Source(type="datadog", key_env="PROM_TOKEN")
    assert isinstance(scope["open_datadog"]("dd", source, parts), scope["Datadog"])
    with pytest.raises(Misconfigured, match=r"^sources.dd.key_env: names no variable"):
        scope["open_datadog"]("dd", Source(type="datadog"), parts)


def test_a_plug_in_written_for_0_2_still_works(parts: SourceDependencies) -> None:
    code = """
from bot.domain.errors import Misconfigured, Unreachable
from bot.domain.monitors import Answer, Outcome
from bot.ports import Query
from bot.sources import check_options, wrong_option
from bot.sources.contract import SourceContract


class Old:
    def read(self, queries: list[Query]) -> list[Answer]:
        return [Answer(outcome=Outcome.ERROR) for _ in queries]


def open_old(name, source, parts):
    check_options(name, source, ["key_env"])
    if not parts.environ.get(source.options.get("key_env", "")):
        raise wrong_option(name, "key_env", "names no variable.")
    return Old()
"""
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - it is ours
    source = scope["open_old"]("old", Source(type="old", key_env="PROM_TOKEN"), parts)
    assert source.read([None]) == [Answer(outcome=CheckOutcome.ERROR)]
    with pytest.raises(Misconfigured):
        scope["open_old"]("old", Source(type="old"), parts)
    assert (scope["Misconfigured"], scope["Unreachable"], scope["Query"]) == (Misconfigured, Unreachable, Query)


def policy(**sources: Mapping[str, Any]) -> Policy:
    return validate_policy({"models": {}, "sources": sources})


class TestSources:
    @pytest.fixture
    def held(self) -> list[Policy]:
        """The policy that holds is the last one."""
        return [policy(live={"type": "push"})]

    @pytest.fixture
    def sources(self, held: list[Policy], parts: SourceDependencies) -> Iterator[MetricSources]:
        sources = MetricSources(lambda: held[-1], parts)
        yield sources
        sources.close()

    def test_a_source_is_opened_once_and_anew_when_its_words_change(
        self, sources: MetricSources, held: list[Policy]
    ) -> None:
        held.append(policy(p={"type": "prometheus", "url": "http://a"}))
        first = sources._get("p")
        held.append(policy(p={"type": "prometheus", "url": "http://a"}, other={"type": "push"}))
        assert sources._get("p") is first
        held.append(policy(p={"type": "prometheus", "url": "http://b"}))
        second = sources._get("p")
        assert isinstance(first, PrometheusSource)
        assert isinstance(second, PrometheusSource)
        assert (second.address, first._client.is_closed) == ("http://b", True)
        sources.close()
        assert second._client.is_closed

    @pytest.mark.parametrize("name", ["push", "mlflow", "live"])
    def test_some_need_not_be_named(self, sources: MetricSources, name: str) -> None:
        assert sources.read(name, []) == [] if name == "mlflow" else sources._get(name)

    @pytest.mark.parametrize("name", ["unknown", "", "Push"])
    def test_an_unknown_name_is_refused(self, sources: MetricSources, name: str) -> None:
        with pytest.raises(Misconfigured, match="The policy has no source"):
            sources.read(name, [])

    def test_what_is_wrong_with_any_of_them_is_told_at_once(self, sources: MetricSources, held: list[Policy]) -> None:
        held.append(policy(a={"type": "push", "kep": "3d"}, b={"type": "push"}, c={"type": "prometheus"}))
        assert sources.config_errors() == [
            "sources.a.kep: unknown key; did you mean keep?",
            "sources.c.url: must be Prometheus's address, such as http://prometheus:9090.",
        ]

    def test_one_that_cannot_be_closed_harms_nobody(
        self, sources: MetricSources, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def close(self: PushSource) -> None:
            raise RuntimeError("stuck")

        monkeypatch.setattr(PushSource, "close", close, raising=False)
        sources._get("live")
        sources.close()
        assert "a source could not be closed" in caplog.text

    def test_a_source_that_loses_a_question_gives_no_answer(
        self, sources: MetricSources, held: list[Policy], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(PushSource, "read", lambda self, queries: [Answer()])
        with pytest.raises(Misconfigured, match="The source live gave 1 answers to 0 questions"):
            sources.read("live", [])

    def test_a_source_that_was_taken_out_is_gone(self, sources: MetricSources, held: list[Policy]) -> None:
        held.append(policy(p={"type": "prometheus", "url": "http://a"}))
        source = sources._get("p")
        held.append(policy())
        with pytest.raises(Misconfigured):
            sources._get("p")
        assert isinstance(source, PrometheusSource)
        assert source._client.is_closed

    @pytest.mark.parametrize(
        ("named", "days"),
        [
            ({}, 35),
            ({"a": {"type": "push"}}, 35),
            ({"a": {"type": "push", "keep": "7d"}}, 7),
            ({"a": {"type": "push", "keep": "7d"}, "b": {"type": "push", "keep": "90d"}, "c": {"type": "mlflow"}}, 90),
        ],
    )
    def test_readings_are_kept_as_long_as_any_source_says(
        self, sources: MetricSources, held: list[Policy], named: dict[str, Any], days: int
    ) -> None:
        held.append(policy(**named))
        assert sources.retention() == timedelta(days=days)

    def test_which_sources_take_what_is_pushed(self, sources: MetricSources, held: list[Policy]) -> None:
        held.append(policy(signed={"type": "push", "require_signature": True}, prom={"type": "prometheus"}))
        assert [sources.requires_signature(name) for name in ("signed", "push", "prom", "mlflow", "other")] == [
            True,
            False,
            None,
            None,
            None,
        ]
