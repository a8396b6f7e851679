"""Workspaces for tests: as strict as Slack, with its minutes passing faster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localslack import LocalSlack

# How many of a workspace's seconds pass in a real one when it counts calls and checks files.
SPEED = 50.0
# A second shorter than any call: for tests that post one message after the other.
INSTANT = 10_000.0


def local_slack(manifest: str | Path | Mapping[str, Any], **settings: Any) -> LocalSlack:
    """Start a workspace; settings as in `LocalSlack.start`."""
    return LocalSlack.start(manifest, **{"speed": SPEED, **settings})
