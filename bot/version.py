"""Registrar's version."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the installed package's version, or "unknown" if the package isn't installed."""
    try:
        return metadata.version("registrar-bot")
    except metadata.PackageNotFoundError:
        return "unknown"
