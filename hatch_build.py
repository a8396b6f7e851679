"""Package metadata that depends on the repository's address in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Addresses(MetadataHookInterface):
    """Fill in `urls`, and a `readme` whose links also work outside the repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both fields to the package's metadata."""
        repository: str = self.config["repository"]
        metadata["urls"] = {
            "Repository": repository,
            "Documentation": f"{repository}/tree/main/docs",
            "Changelog": f"{repository}/blob/main/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        }
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        release = f"{repository}/%s/v{metadata['version']}/"
        metadata["readme"] = {"content-type": "text/markdown", "text": with_absolute_links(text, release)}


def with_absolute_links(text: str, release: str) -> str:
    """Return Markdown with its relative links and pictures pointing to `release`, where %s is `blob` or `raw`."""

    def absolute(link: re.Match[str]) -> str:
        return f"{link['text']}({release % ('raw' if link['picture'] else 'blob')}{link['target']})"

    return re.sub(r"(?P<text>(?P<picture>!?)\[[^\]]*\])\((?!\w+:|#)(?P<target>[^)\s]+)\)", absolute, text)
