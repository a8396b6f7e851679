"""Opening the app's Home tab."""

from __future__ import annotations

from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.interactions.access import require_active_user
from localslack.interactions.events import announce_home_opened
from localslack.workspace.records import JSON


def open_home(backend: Backend, user: str) -> JSON:
    """Open the Home tab, and return the view published so far. Raises not_enabled if the app has no Home tab."""
    person = require_active_user(backend, user)
    if not backend.manifest.has_home:
        raise SlackError("not_enabled")
    announce_home_opened(backend, person)
    return {"view": backend.views.home(person.id)}
