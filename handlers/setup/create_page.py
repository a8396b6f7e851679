"""Slack's page that creates an app from a manifest."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

import yaml

CREATE_PAGE = "https://api.slack.com/apps?new_app=1&manifest_yaml="


def create_app_url(manifest: str, mlflow_url: str) -> str:
    """Return the URL of the page with a manifest filled in, without the manifest's comments.

    `mlflow_url`: where people open MLflow. If it has a domain, Slack previews links to it.
    """
    content = yaml.safe_load(manifest)
    if domain := _public_domain(mlflow_url):
        content["features"]["unfurl_domains"] = [domain]
    return CREATE_PAGE + quote(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000), safe="")


def _public_domain(url: str) -> str:
    """Return a URL's domain; empty for a local name or an IP address, which Slack doesn't preview."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if "." in host else ""
    return ""
