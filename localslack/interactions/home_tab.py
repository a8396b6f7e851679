"""Visiting the app: opening its Home tab."""

from __future__ import annotations

from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.interactions.access import awake
from localslack.interactions.events import announce_visit
from localslack.workspace.records import JSON


def opens_home(core: Core, who: str) -> JSON:
    """Open the Home tab; the result is what is published at that moment. Raises not_enabled without such a tab."""
    person = awake(core, who)
    if not core.manifest.has_home:
        raise SlackError("not_enabled")
    announce_visit(core, person)
    return {"view": core.views.home(person.id)}
