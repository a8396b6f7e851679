"""views.*: opening, pushing, updating, and publishing views."""

from __future__ import annotations

import re

from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.backend import Backend
from localslack.core.errors import SlackError, missing_field

USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")


def open_(backend: Backend, args: Arguments) -> JSON:
    """views.open: open a modal for the person whose action caused the trigger."""
    trigger, view = args.required("trigger_id"), _view(backend, args)
    user = backend.triggers.require_usable(trigger).user
    opened_view = backend.views.open(user, view)
    backend.triggers.exchange(trigger)
    return {"view": opened_view}


def push(backend: Backend, args: Arguments) -> JSON:
    """views.push: open a modal on top of the one that the trigger comes from."""
    trigger, view = args.required("trigger_id"), _view(backend, args)
    usable_trigger = backend.triggers.require_usable(trigger)
    if usable_trigger.view is None:
        raise SlackError("not_found")
    pushed_view = backend.views.push(usable_trigger.user, view)
    backend.triggers.exchange(trigger)
    return {"view": pushed_view}


def update(backend: Backend, args: Arguments) -> JSON:
    """views.update: replace the view with this view_id or external_id, unless a given hash doesn't match."""
    view_id, external_id = args.text("view_id"), args.text("external_id")
    if not view_id and not external_id:
        raise missing_field("view_id")
    user, current_view = backend.views.find_with_owner(view_id=view_id or None, external_id=external_id or None)
    view = _view(backend, args, current_view["type"])
    return {"view": backend.views.update(user, current_view, view, args.text("hash") or None)}


def publish(backend: Backend, args: Arguments) -> JSON:
    """views.publish: publish one person's Home tab, unless a given hash doesn't match."""
    user, view = args.required("user_id"), _view(backend, args, "home")
    if not USER_ID.fullmatch(user):
        raise SlackError("invalid_arguments", messages=["invalid `user_id`"])
    if not backend.manifest.has_home:
        raise SlackError("not_enabled")
    if user not in backend.workspace.people:
        raise SlackError("user_not_found")
    return {"view": backend.views.publish(user, view, args.text("hash") or None)}


def _view(backend: Backend, args: Arguments, kind: str = "modal") -> JSON:
    view: JSON = args.json("view")
    backend.views.validate(view, kind)
    return view


# JSON support and tiers: slack-ruby/slack-api-ref, methods/views. None of them needs a scope.
METHODS = {
    "views.open": ApiMethod(open_, tier=4),
    "views.push": ApiMethod(push, tier=4),
    "views.update": ApiMethod(update, tier=4),
    "views.publish": ApiMethod(publish, tier=4),
}
