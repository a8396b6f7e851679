"""Prometheus's configuration and alerts: promtool accepts them, and each alert fires in its scenario."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.deploy.deployment import (
    DEPLOY,
)
from tests.support.network.prometheus_server import prometheus_binary
from tests.support.paths import ROOT

# -- Prometheus --------------------------------------------------------------------------------------------------------


def promtool() -> str:
    """Return the promtool of this machine's Prometheus, or skip."""
    binary = prometheus_binary()
    found = binary and shutil.which(Path(binary).resolve().parent / "promtool")
    if not found:
        pytest.skip("no promtool here; it comes with Debian's package prometheus")
    return found


def test_promtool_accepts_the_configuration_and_the_alerts() -> None:
    done = subprocess.run(
        [promtool(), "check", "config", DEPLOY / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_registrar_service_is_scraped() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    names = {name for job in jobs for found in job.get("dns_sd_configs", []) for name in found["names"]}
    assert names == {"registrar", "worker"}


def test_every_alert_has_a_summary_and_documentation() -> None:
    page = (ROOT / "docs" / "operations/metrics.md").read_text(encoding="utf-8")
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"]
            assert f"`{rule['alert']}`" in page


# Series that make each alert fire, in promtool's notation, one value per minute. All of them together are quiet
# with the other values.
FIRES = {
    "RegistrarReplicaDown": ['up{job="registrar-worker", instance="c"} 0x60'],
    "RegistrarDown": ['up{job="registrar", instance="a"} 0x60', 'up{job="registrar", instance="b"} 0x60'],
    "RegistrarLedgerDown": ['registrar_ledger_up{instance="a"} 0x60', 'registrar_ledger_up{instance="b"} 0x60'],
    "RegistrarOutboxGrows": ['registrar_outbox_oldest_seconds{to="slack"} 0+60x60'],
    "RegistrarMoveWaits": ['registrar_move_oldest_seconds{state="intended"} 0+60x60'],
    "RegistrarAsksWait": ["registrar_ask_oldest_seconds 0+60x60"],
    "RegistrarRegistryAway": ['registrar_registry_errors_total{error="RegistryUnreachable"} 0+10x60'],
    "RegistrarRegistrySlow": [
        'registrar_registry_seconds_bucket{le="1"} 0x60',
        'registrar_registry_seconds_bucket{le="2.5"} 0+10x60',
        'registrar_registry_seconds_bucket{le="+Inf"} 0+10x60',
    ],
    "RegistrarSlackRefuses": ['registrar_slack_errors_total{code="not_in_channel"} 0+10x60'],
    "RegistrarChecksLate": ["registrar_check_overdue_seconds 0+60x60"],
    "RegistrarBreakerTripped": ["registrar_breakers_tripped 1x60"],
    "RegistrarTagsWait": ["registrar_tags_waiting 500x60"],
    "RegistrarVersionsDiffer": ['registrar_build_info{version="1"} 1x120', 'registrar_build_info{version="2"} 1x120'],
}


QUIET = [
    'up{job="registrar", instance="a"} 1x120',
    'up{job="registrar", instance="b"} 1x120',
    'up{job="registrar-worker", instance="c"} 1x120',
    'registrar_ledger_up{instance="a"} 1x120',
    'registrar_ledger_up{instance="b"} 0x120',
    'registrar_outbox_oldest_seconds{to="slack"} 30x120',
    'registrar_move_oldest_seconds{state="executing"} 5x120',
    "registrar_ask_oldest_seconds 5x120",
    'registrar_registry_errors_total{error="RegistryRefused"} 0+10x120',
    "registrar_check_overdue_seconds 2x120",
    'registrar_registry_seconds_bucket{le="1"} 0+10x120',
    'registrar_registry_seconds_bucket{le="+Inf"} 0+10x120',
    'registrar_slack_errors_total{code="ratelimited"} 0+60x120',
    "registrar_breakers_tripped 0x120",
    "registrar_tags_waiting 3x120",
    'registrar_build_info{version="1"} 1x120',
]


def firing(tmp_path: Path, series: list[str], expected: dict[str, int]) -> str:
    """Run the alerts on series with promtool; return its output if other alerts than expected fire."""
    samples = [{"labels": f'{{alertname="{name}"}}', "value": number} for name, number in expected.items()]
    test = {
        "rule_files": [str(DEPLOY / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [dict(zip(("series", "values"), one.rsplit(" ", 1), strict=True)) for one in series],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": "119m",
                        "exp_samples": samples,
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool(), "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, check=False, timeout=30
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_no_alert_fires_for_a_healthy_system(tmp_path: Path) -> None:
    assert firing(tmp_path, QUIET, {}) == ""


def test_every_alert_has_a_scenario() -> None:
    rules = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == list(FIRES)


@pytest.mark.parametrize("alert", FIRES)
def test_an_alert_fires_in_its_scenario(tmp_path: Path, alert: str) -> None:
    bad = [one.replace("x60", "x120") for one in FIRES[alert]]
    names = {one.rsplit(" ", 1)[0] for one in bad}
    number = {"RegistrarReplicaDown": 2} if alert == "RegistrarDown" else {}
    series = [*bad, *(one for one in QUIET if one.rsplit(" ", 1)[0] not in names)]
    assert firing(tmp_path, series, {alert: 1} | number) == ""


# -- names of metrics --------------------------------------------------------------------------------------------------


def test_every_metric_that_is_named_exists() -> None:
    metrics = pytest.importorskip("bot.metrics.definitions")
    known = {shape.name for shape in metrics.METRIC_DEFINITIONS}
    text = (DEPLOY / "alerts.yml").read_text() + (ROOT / "docs" / "operations/metrics.md").read_text()
    named = set(re.findall(r"\bregistrar_[a-z_]+", text)) - {"registrar_bot"}
    assert [name for name in sorted(named) if name.removesuffix("_bucket") not in known] == []
