"""Workspaces for tests: as strict as Slack, but with shorter rate-limit periods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localslack import LocalSlack

# Workspace seconds per real second, for rate limits and file checks.
SPEED = 50.0
# So fast that a workspace second is shorter than any call, for tests that post many messages.
INSTANT = 10_000.0


def local_slack(manifest: str | Path | Mapping[str, Any], **settings: Any) -> LocalSlack:
    """Start a workspace; the settings are those of `LocalSlack.start`."""
    return LocalSlack.start(manifest, **{"speed": SPEED, **settings})
